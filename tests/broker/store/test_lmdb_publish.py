"""Exact de-duplication when a site changes `publish_max`: a device gets more slots, and keeps the ones it has."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from broker.store.world import SMALL_LIMITS, Session, World, seeded
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.operations import Published
from roost_protocol.reasons import Reason

Reopen = Callable[[int], World]


@pytest.fixture
def reopen(tmp_path: Path) -> Iterator[Reopen]:
    """Open the store again with another `publish_max`."""
    worlds: list[World] = []

    def again(publish_max: int) -> World:
        limits = msgspec.structs.replace(SMALL_LIMITS, publish_max=publish_max)
        if worlds:
            worlds[-1].store.close()
        world = World(LmdbStore(tmp_path, limits=limits, random=seeded()))
        if worlds:
            world.numbers, world.now_ms = worlds[-1].numbers, worlds[-1].now_ms
        worlds.append(world)
        return world

    yield again
    worlds[-1].store.close()


def outcomes(world: World, session: Session, *numbers: int) -> list[str]:
    """What retransmissions of these publishes get: `again`, or the reason."""
    results = [world.publish(session, "user/bob", f"text {n}", n=n) for n in numbers]
    return ["again" if result.retransmission else result.reason.phrase for result in results]


def write(world: World, session: Session, *numbers: int) -> list[Published]:
    return [world.publish(session, "user/bob", f"text {n}", n=n) for n in numbers]


LONG_AGO = Reason.SETTLED_LONG_AGO.phrase


def test_more_slots_keep_the_outcomes_that_are_known(reopen: Reopen) -> None:
    world = reopen(4)
    world.users("alice", "bob")
    write(world, world.login("alice"), *range(1, 11))
    world = reopen(16)
    session = world.login("alice")
    assert outcomes(world, session, *range(1, 11)) == [LONG_AGO] * 6 + ["again"] * 4
    write(world, session, *range(11, 23))
    assert outcomes(world, session, *range(5, 11)) == [LONG_AGO, LONG_AGO, "again", "again", "again", "again"]
    assert outcomes(world, session, *range(11, 23)) == ["again"] * 12
    write(world, session, 23)
    assert outcomes(world, session, 7, 8) == [LONG_AGO, "again"]
    assert world.head("bob") == 23


def test_an_n_that_was_left_out_is_new_with_more_slots_as_well(reopen: Reopen) -> None:
    world = reopen(4)
    world.users("alice", "bob")
    write(world, world.login("alice"), 1, 2, 5)
    world = reopen(8)
    session = world.login("alice")
    assert outcomes(world, session, 1, 2, 3, 4) == [LONG_AGO, "again", "success", "success"]
    assert world.head("bob") == 5


def test_fewer_slots_are_not_given(reopen: Reopen) -> None:
    world = reopen(8)
    world.users("alice", "bob")
    write(world, world.login("alice"), *range(1, 11))
    world = reopen(2)
    session = world.login("alice")
    assert outcomes(world, session, *range(1, 11)) == [LONG_AGO] * 2 + ["again"] * 8
    write(world, session, 11)
    assert outcomes(world, session, 3, 4) == [LONG_AGO, "again"]
    world = reopen(8)
    session = world.login("alice")
    assert outcomes(world, session, *range(3, 12)) == [LONG_AGO] + ["again"] * 8


def test_slots_grow_again_and_again(reopen: Reopen) -> None:
    world = reopen(2)
    world.users("alice", "bob")
    session = world.login("alice")
    write(world, session, *range(1, 6))
    for publish_max in (3, 5, 7):
        world = reopen(publish_max)
        session = world.login("alice")
        newest = session.logged_in.settled_n
        assert outcomes(world, session, 3, newest) == [LONG_AGO, "again"]
        write(world, session, newest + 1, newest + 2)
    assert outcomes(world, session, *range(4, 12)) == [LONG_AGO] + ["again"] * 7
    assert world.head("bob") == 11


def test_the_outcomes_of_the_same_batch_move_along(reopen: Reopen) -> None:
    world = reopen(2)
    world.users("alice", "bob")
    session = world.login("alice")
    world = reopen(4)
    world.do(
        world.message(session, "user/bob", "text 1", n=1),
        world.message(session, "user/bob", "text 2", n=2),
        world.message(session, "user/bob", "text 3", n=3),
        world.login_operation("alice", "alice-phone"),
    )
    session = world.login("alice")
    assert outcomes(world, session, 1, 2, 3, 4) == [LONG_AGO, "again", "again", "success"]
