"""The same plans on LMDB, closed and opened again at each stop of the broker.

The in-memory store is the model that LMDB must equal, number for number. So the two histories are one and the same,
event by event, and what the oracle finds in one it finds in both.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings

from model.plan import Plan
from model.strategies import examples, plans
from model.world import OpenStore, play
from roost_broker.store import Store
from roost_broker.store.lmdb import LmdbStore
from roost_protocol.limits import MIB, Limits

SHARE = 0.5
"""Examples for each one of the profile: 50 with `ci`."""


@contextmanager
def on_disk() -> Iterator[OpenStore]:
    """Opens the same LMDB store each time. Not synced: what a power cut does is another test's business."""
    with tempfile.TemporaryDirectory() as folder:

        def open_store(limits: Limits, random: Random) -> Store:
            path = Path(folder) / "store"
            return LmdbStore(path, limits=limits, random=random, map_bytes=64 * MIB, reserve_bytes=MIB, sync=False)

        yield open_store


@pytest.mark.timeout(1_800)  # as in test_no_device_misses
@settings(max_examples=examples(SHARE))
@given(plans())
def test_no_device_misses_either_side_on_lmdb(plan: Plan) -> None:
    with on_disk() as open_store:
        on_lmdb = play(plan, open_store)
    on_lmdb.check()
    in_memory = play(plan)
    for index, (event, expected) in enumerate(zip(on_lmdb.history.events, in_memory.history.events, strict=False)):
        assert event == expected, f"event {index}"
    assert len(on_lmdb.history.events) == len(in_memory.history.events)
