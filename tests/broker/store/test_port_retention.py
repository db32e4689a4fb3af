"""Retention: what is trimmed by which rule, in which slices; and devices that are forgotten."""

import pytest

from broker.store.world import World
from roost_broker.store.operations import (
    CreateGroup,
    Floor,
    ForgetDevices,
    Forgotten,
    MoveCursors,
    Retention,
    Trim,
    Trimmed,
)
from roost_protocol.reasons import Reason


def trim(world: World, *, after: int = 0, users_max: int = 100, entries_max: int = 1_000, **rules: int) -> Trimmed:
    result = world.one(Trim(retention=Retention(**rules), after=after, users_max=users_max, entries_max=entries_max))
    assert isinstance(result, Trimmed)
    return result


def bounds(world: World, user: int) -> tuple[int, int]:
    page = world.store.read_inbox(user, 0, 1, 1)
    return page.floor, page.head


def talk(world: World, count: int = 6) -> int:
    """`count` messages of one size between alice and bob, one a second; returns their size."""
    world.users("alice", "bob")
    phone = world.login("alice")
    size = 0
    for number in range(count):
        world.now_ms += 999
        size = len(world.publish(phone, "user/bob", f"text {number}").encoded)
    return size


def test_no_rule_trims_nothing(world: World) -> None:
    talk(world)
    assert trim(world) == Trimmed(floors=(), entries=0, next_after=None)
    assert world.store.read_inbox(1, 0, 1, 1).floor_reason is None


def test_by_count(world: World) -> None:
    talk(world)
    assert trim(world, count=4) == Trimmed(
        floors=(Floor(user=1, floor=3, reason="count"), Floor(user=2, floor=3, reason="count")),
        entries=4,
        next_after=None,
    )
    assert trim(world, count=4).floors == ()
    assert world.store.read_inbox(1, 0, 1, 1).floor_reason == "count"


def test_by_bytes(world: World) -> None:
    size = talk(world)
    assert trim(world, bytes=6 * size).entries == 0
    assert trim(world, bytes=4 * size).entries == 4
    assert trim(world, bytes=4 * size - 1).entries == 2
    assert bounds(world, 1) == (4, 6)
    assert trim(world, bytes=0).entries == 6
    assert bounds(world, 1) == (7, 6)
    assert world.store.read_inbox(1, 0, 1, 1).floor_reason == "bytes"


def test_by_age(world: World) -> None:
    talk(world)  # the last message was committed just now, those before it each 1 s earlier
    now = world.now_ms
    world.now_ms = now + 5_000 - 1
    assert trim(world, age_ms=7_000).floors == (
        Floor(user=1, floor=4, reason="age"),
        Floor(user=2, floor=4, reason="age"),
    )
    world.now_ms = now + 7_000 - 1
    assert trim(world, age_ms=7_000).entries == 4
    world.now_ms = now - 1_000_000
    assert trim(world, age_ms=7_000).entries == 0


def test_the_reason_is_the_rule_that_trimmed_last(world: World) -> None:
    size = talk(world)
    trim(world, count=5, bytes=3 * size)
    assert (bounds(world, 1), world.store.read_inbox(1, 0, 1, 1).floor_reason) == ((4, 6), "bytes")
    trim(world, count=1)
    assert world.store.read_inbox(1, 0, 1, 1).floor_reason == "count"


def test_numbers_go_on_after_everything_was_trimmed(world: World) -> None:
    size = talk(world)
    trim(world, count=0)
    assert bounds(world, 2) == (7, 6)
    assert world.store.statistics().entries == 0
    assert world.login("bob", newest=5).logged_in.position == 6
    alice = world.login("alice")
    assert world.publish(alice, "user/bob", "text n").entries == ((1, 7), (2, 7))
    assert trim(world, bytes=size).entries == 0
    assert bounds(world, 2) == (7, 7)
    assert trim(world, bytes=size - 1).entries == 2


def test_a_message_goes_with_its_last_entry(world: World) -> None:
    world.users("alice", "bob", "carol")
    world.one(CreateGroup(name="team", owner=1, members=("bob", "carol")))
    alice, carol = world.login("alice"), world.login("carol")
    world.publish(alice, "group/team")
    world.publish(alice, "user/alice")
    world.publish(carol, "user/bob")
    assert world.store.statistics().messages == 3
    trim(world, after=2, count=1)  # carol's
    trim(world, after=1, count=1)  # carol's and bob's
    sizes = world.store.statistics()
    assert (sizes.messages, sizes.entries) == (3, 4)
    trim(world, count=1)
    sizes = world.store.statistics()
    assert (sizes.messages, sizes.entries) == (2, 3)
    trim(world, count=0)
    sizes = world.store.statistics()
    assert (sizes.messages, sizes.entries) == (0, 0)


def test_what_was_trimmed_is_still_settled(world: World) -> None:
    talk(world)
    trim(world, count=0)
    alice = world.login("alice")
    again = world.publish(alice, "user/bob", "text 5", n=6)
    assert (again.reason, again.retransmission, again.seq) == (Reason.SUCCESS, True, 6)


def test_a_walk_in_slices_of_users(world: World) -> None:
    talk(world)
    world.users("carol")
    first = trim(world, users_max=1, count=3)
    assert (first.floors, first.next_after) == ((Floor(user=1, floor=4, reason="count"),), 1)
    second = trim(world, after=1, users_max=1, count=3)
    assert (second.floors, second.next_after) == ((Floor(user=2, floor=4, reason="count"),), 2)
    assert trim(world, after=2, users_max=1, count=3) == Trimmed(floors=(), entries=0, next_after=None)
    assert trim(world, after=99, users_max=1, count=3) == Trimmed(floors=(), entries=0, next_after=None)


def test_a_walk_in_slices_of_entries(world: World) -> None:
    talk(world)
    after: int | None = 0
    slices = []
    while after is not None:
        slice_ = trim(world, after=after, entries_max=2, count=1)
        assert slice_.entries <= 2
        slices.append((slice_.entries, slice_.floors[-1:]))
        after = slice_.next_after
    assert sum(entries for entries, _ in slices) == 10
    assert bounds(world, 1) == bounds(world, 2) == (6, 6)
    assert trim(world, entries_max=2, count=1).next_after is None


def test_trimming_what_the_same_batch_stored(world: World) -> None:
    world.users("alice", "bob")
    phone = world.login("alice")
    batch = [world.message(phone, "user/bob") for _ in range(3)]
    trimming = Trim(retention=Retention(count=1), users_max=10, entries_max=100)
    trimmed = world.do(*batch, trimming, world.message(phone, "user/bob"), trimming)
    assert [result.entries for result in trimmed if isinstance(result, Trimmed)] == [4, 2]
    assert bounds(world, 1) == bounds(world, 2) == (4, 4)


# --- forgetting devices -------------------------------------------------------------------------------------------


def forget(world: World, **more: int | frozenset[int]) -> Forgotten:
    fields: dict[str, int | frozenset[int]] = {"seen_before": world.now_ms, "keep": frozenset(), "devices_max": 10}
    result = world.one(ForgetDevices(**{**fields, **more}))  # type: ignore[arg-type]
    assert isinstance(result, Forgotten)
    return result


def test_devices_not_seen_for_long_are_forgotten(world: World) -> None:
    world.users("alice", "bob")
    old = world.login("alice", "old", new_token_digest=b"token")
    for _ in range(3):
        world.publish(old, "user/bob")
    kept = world.login("alice", "kept")
    acknowledging = world.login("bob", "acknowledging")
    limit = world.now_ms
    world.one(MoveCursors(cursors=((acknowledging.device, 1),)))
    result = forget(world, seen_before=limit + 1, keep=frozenset({kept.device}))
    assert result == Forgotten(devices=(old.device,), next_after=None)
    assert [record.device_id for record in world.store.devices(1)] == ["kept"]
    assert world.store.token_owner(b"token") is None
    assert world.store.statistics().devices == 2


def test_a_forgotten_device_comes_back_as_a_new_one(world: World) -> None:
    world.users("alice", "bob")
    old = world.login("alice", "a")
    world.publish(old, "user/bob")
    forget(world, seen_before=world.now_ms + 1)
    back = world.login("alice", "a")
    assert back.device > old.device
    assert back.logged_in.settled_n == 0
    assert world.publish(back, "user/bob", n=1).seq == 2


def test_forgetting_in_slices(world: World) -> None:
    world.users("alice", "bob")
    numbers = [world.login(name, device).device for name in ("alice", "bob") for device in "abc"]
    keep = frozenset(numbers[1:2])
    before = world.now_ms + 1
    first = forget(world, seen_before=before, keep=keep, devices_max=4)
    assert first == Forgotten(devices=(numbers[0], numbers[2], numbers[3]), next_after=numbers[3])
    second = forget(world, seen_before=before, keep=keep, devices_max=4, after=numbers[3])
    assert second == Forgotten(devices=tuple(numbers[4:]), next_after=None)
    assert forget(world, seen_before=before, keep=keep) == Forgotten(devices=(), next_after=None)


@pytest.mark.parametrize("after", [0, 7])
def test_nothing_to_forget(world: World, after: int) -> None:
    assert forget(world, after=after) == Forgotten(devices=(), next_after=None)
