"""Every filling of the port, as a fixture."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.store.world import FILLINGS, World, make_store
from roost_broker.store import Store


@pytest.fixture(params=FILLINGS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = make_store(request.param, tmp_path / "store")
    yield opened
    opened.close()


@pytest.fixture
def world(store: Store) -> World:
    return World(store)
