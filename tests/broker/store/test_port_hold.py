"""The hold: what a device that was here lately has not acknowledged stays, up to a bound; and `would_trim`."""

from itertools import product
from pathlib import Path

import pytest

from broker.store.test_port_retention import bounds, talk
from broker.store.world import SMALL_LIMITS, World, seeded
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.memory import MemoryStore
from roost_broker.store.operations import Floor, Hold, MoveCursors, Retention, Trim, Trimmed
from roost_protocol.limits import MIB

EVERYTHING = Retention(count=0)
PLENTY = 1_000_000


def held(world: World, *, ago_ms: int = 100, live: frozenset[int] = frozenset(), bytes_max: int = PLENTY) -> Hold:
    return Hold(seen_since=world.now_ms - ago_ms, live=live, bytes_max=bytes_max)


def trim(world: World, hold: Hold | None, retention: Retention = EVERYTHING, entries_max: int = 1_000) -> Trimmed:
    result = world.one(Trim(retention=retention, hold=hold, users_max=100, entries_max=entries_max))
    assert isinstance(result, Trimmed)
    return result


def acknowledge(world: World, device: int, seq: int) -> None:
    world.one(MoveCursors(cursors=((device, seq),)))


def test_what_a_device_has_not_acknowledged_stays(world: World) -> None:
    talk(world)
    phone = world.login("bob", last_seq=2)
    assert trim(world, held(world)).floors == (
        Floor(user=1, floor=7, reason="count"),  # alice's device was last here long ago
        Floor(user=2, floor=3, reason="count"),
    )
    acknowledge(world, phone.device, 4)
    assert trim(world, held(world)).floors == (Floor(user=2, floor=5, reason="count"),)
    assert trim(world, held(world)).entries == 0
    assert trim(world, None).floors == (Floor(user=2, floor=7, reason="count"),)


def test_the_lowest_cursor_counts_and_only_of_devices_seen_since(world: World) -> None:
    talk(world)
    world.login("bob", "old", last_seq=1)
    since = world.now_ms + 1
    world.login("bob", "new", "pc", last_seq=5)
    world.login("bob", "newer", "pc", last_seq=3)
    trim(world, Hold(seen_since=since, bytes_max=PLENTY))
    assert bounds(world, 2) == (4, 6)


def test_a_device_that_is_here_is_seen_now(world: World) -> None:
    talk(world)
    phone = world.login("bob", last_seq=2)
    hold = Hold(seen_since=world.now_ms + 1, live=frozenset({phone.device}), bytes_max=PLENTY)
    trim(world, hold)
    assert bounds(world, 2) == (3, 6)
    trim(world, Hold(seen_since=world.now_ms + 1, live=frozenset({99}), bytes_max=PLENTY))
    assert bounds(world, 2) == (7, 6)


@pytest.mark.parametrize("rule", [Retention(age_ms=0), Retention(count=0), Retention(bytes=0)], ids=str)
def test_it_goes_over_every_rule(world: World, rule: Retention) -> None:
    talk(world)
    world.login("bob", last_seq=2)
    world.now_ms += 10
    trim(world, held(world), rule)
    assert bounds(world, 2) == (3, 6)


def test_the_bound_goes_over_the_hold(world: World) -> None:
    size = talk(world)
    world.login("bob", last_seq=0)
    trim(world, held(world, bytes_max=6 * size))
    assert bounds(world, 2) == (1, 6)
    trim(world, held(world, bytes_max=3 * size + 1))
    assert bounds(world, 2) == (4, 6)
    trim(world, held(world, bytes_max=size - 1))
    assert bounds(world, 2) == (7, 6)


def test_what_no_rule_is_against_stays_whatever_the_bound(world: World) -> None:
    talk(world)
    world.login("bob", last_seq=0)
    trim(world, held(world, bytes_max=0), Retention(count=4))
    assert bounds(world, 2) == (3, 6)


def test_the_hold_is_kept_in_slices(world: World) -> None:
    talk(world)
    world.login("bob", last_seq=4)
    for _ in range(12):
        assert trim(world, held(world), entries_max=1).entries <= 1
    assert (bounds(world, 1), bounds(world, 2)) == ((7, 6), (5, 6))


def test_cursors_of_the_same_batch_count(world: World) -> None:
    talk(world)
    phone = world.login("bob", last_seq=2)
    trimming = Trim(retention=EVERYTHING, hold=held(world), users_max=10, entries_max=100)
    world.do(MoveCursors(cursors=((phone.device, 5),)), trimming)
    assert bounds(world, 2) == (6, 6)


def test_nothing_is_held_without_room() -> None:
    room = MemoryStore(limits=SMALL_LIMITS, random=seeded(), map_bytes=2_000, reserve_bytes=500)
    world = World(room)
    size = talk(world)
    world.login("bob", last_seq=0)
    trim(world, held(world))
    assert bounds(world, 2) == (1, 6)
    phone = world.login("alice")
    for _ in range((1_500 - 6 * size) // size + 1):
        world.publish(phone, "user/bob", "text 0")
    floor = room.would_trim(2, EVERYTHING, world.now_ms, held(world))
    assert floor is not None
    assert trim(world, held(world)).floors[-1] == floor == Floor(user=2, floor=world.head("bob") + 1, reason="count")


def test_nothing_is_held_without_room_on_disk(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, limits=SMALL_LIMITS, random=seeded(), map_bytes=64 * MIB, reserve_bytes=MIB)
    world = World(store)
    talk(world)
    world.login("bob", last_seq=0)
    trim(world, held(world))
    assert bounds(world, 2) == (1, 6)
    store.close()
    world.store = store = LmdbStore(
        tmp_path, limits=SMALL_LIMITS, random=seeded(), map_bytes=64 * MIB, reserve_bytes=64 * MIB - 1
    )
    would = store.would_trim(2, EVERYTHING, world.now_ms, held(world))
    assert would == Floor(user=2, floor=7, reason="count")
    assert trim(world, held(world)).floors == (would,)
    store.close()


# --- what would be trimmed ----------------------------------------------------------------------------------------


def test_what_would_be_trimmed_is_what_is(world: World) -> None:
    size = talk(world)
    world.login("bob", last_seq=2)
    policies = [Retention(age_ms=age) for age in (0, 2_500, 9_000)] + [Retention(count=n) for n in (0, 3, 6, 9)]
    policies += [Retention(bytes=n) for n in (0, size, 3 * size - 1, 6 * size)]
    policies += [Retention(age_ms=2_500, count=4, bytes=size), Retention()]
    holds = [None, held(world), held(world, ago_ms=-5), held(world, bytes_max=2 * size)]
    for policy, hold, user in product(policies, holds, (1, 2)):
        would = world.store.would_trim(user, policy, world.now_ms + 1, hold)
        copy = World(MemoryStore(limits=SMALL_LIMITS, random=seeded()))
        assert talk(copy) == size
        copy.login("bob", last_seq=2)
        (trimmed,) = copy.store.commit(
            [Trim(retention=policy, hold=hold, after=user - 1, users_max=1, entries_max=99)], world.now_ms + 1
        )
        assert isinstance(trimmed, Trimmed)
        assert trimmed.floors == (() if would is None else (would,)), (policy, hold, user)


def test_asking_what_would_be_trimmed_trims_nothing(world: World) -> None:
    talk(world)
    assert world.store.would_trim(1, EVERYTHING, world.now_ms) == Floor(user=1, floor=7, reason="count")
    assert bounds(world, 1) == (1, 6)
    assert world.store.would_trim(77, EVERYTHING, world.now_ms) is None
    trim(world, None)
    assert world.store.would_trim(1, EVERYTHING, world.now_ms) is None
