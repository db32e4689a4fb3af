"""A broker that the tests of a module share, each with users of its own."""

from collections.abc import Iterator

import pytest

from admin.running import RunningBroker


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with RunningBroker(tmp_path_factory.mktemp("broker")) as running:
        yield running
