"""Erasing what a removed user sent: bodies go, entries stay as they are, and each conversation is told."""

import os
from pathlib import Path

import lmdb
import pytest

from broker.store.tables import check_tables
from broker.store.world import World, make_store, reason_of
from roost_broker.store.account_operations import (
    ERASED_TYPE,
    Cleared,
    ClearRemoved,
    EraseMessages,
    MessagesErased,
    Notice,
    RemoveUser,
    TellErased,
    Told,
    erased_text,
)
from roost_broker.store.operations import ChangeMembers, CreateGroup, Retention, Trim
from roost_broker.store.readings import StoredEntry
from roost_protocol.codec import decode_entry
from roost_protocol.reasons import Reason


def town(world: World) -> None:
    """alice writes to bob, to herself and to a group; bob writes back."""
    world.users("alice", "bob", "carol", "dave")
    world.one(CreateGroup(name="team", owner=1, members=("bob", "carol")))
    alice, bob = world.login("alice"), world.login("bob")
    world.publish(alice, "user/bob", "secret one")
    world.publish(bob, "user/alice", "not hers")
    world.publish(alice, "group/team", "secret two")
    world.publish(alice, "user/alice", "secret three")
    world.publish(bob, "group/team", "from bob")
    world.publish(alice, "user/bob", "secret four")


def erase(world: World, user: int = 1, *, looked_at_max: int = 100, erased_max: int = 100) -> int:
    """Erase every message of the user; how many went."""
    after: int | None = 0
    messages = 0
    while after is not None:
        step = EraseMessages(user=user, after=after, looked_at_max=looked_at_max, erased_max=erased_max)
        result = world.one(step)
        assert isinstance(result, MessagesErased)
        assert result.messages <= erased_max
        messages += result.messages
        after = result.next_after
    return messages


def tell(world: World, user: int = 1, *, users_max: int = 100, conversations_max: int = 1) -> list[Notice]:
    """Tell every conversation, as a broker does."""
    holders: dict[int, list[int]] = {}
    after: int | None = 0
    while after is not None:
        page = world.store.erased_group_holders(user, after, users_max)
        holders = {group: holders.get(group, []) for group in page.groups}
        for group, holder in page.holders:
            holders[group].append(holder)
        after = page.next_after
    notices: list[Notice] = []
    for group, who in holders.items():
        result = world.one(TellErased(user=user, group=group, holders=tuple(who)))
        assert isinstance(result, Told)
        notices += result.notices
    more = True
    while more:
        result = world.one(TellErased(user=user, conversations_max=conversations_max))
        assert isinstance(result, Told)
        notices += result.notices
        more = result.more
    return notices


def inbox(world: World, user: int) -> tuple[StoredEntry, ...]:
    return world.store.read_inbox(user, 0, 1_000, 1_000_000).entries


def shown(world: World, user: int) -> list[str]:
    """Number, kind and text of each entry."""
    return [
        f"{entry.seq} {entry.kind} {decode_entry(entry.encoded).text if entry.encoded else ''}".strip()
        for entry in inbox(world, user)
    ]


def test_bodies_go_and_numbers_stay(world: World) -> None:
    town(world)
    extents = [world.store.inbox_size(user) for user in (1, 2, 3)]
    times = [world.store.time_of(2, seq) for seq in range(1, 6)]
    world.one(RemoveUser(user=1, erase=True))
    assert erase(world) == 4
    assert shown(world, 2) == ["1 erased", "2 own not hers", "3 erased", "4 own from bob", "5 erased"]
    assert shown(world, 3) == ["1 erased", "2 message from bob"]
    assert [world.store.inbox_size(user) for user in (1, 2, 3)] == extents
    assert [world.store.time_of(2, seq) for seq in range(1, 6)] == times
    assert erase(world) == 0, "erased once"


HOUR_MS = 3_600_000


def test_a_clock_that_went_back_before_the_first_message_hides_nothing(world: World) -> None:
    world.users("alice", "bob")
    world.now_ms -= HOUR_MS
    world.publish(world.login("alice"), "user/bob", "secret")
    world.one(RemoveUser(user=1, erase=True))
    assert erase(world) == 1
    assert shown(world, 2) == ["1 erased"]


def test_a_clock_that_went_back_since_erases_nothing_of_whoever_has_the_name_next(world: World) -> None:
    world.users("alice", "bob")
    world.publish(world.login("alice"), "user/bob", "secret")
    world.now_ms += HOUR_MS
    world.one(RemoveUser(user=1, erase=True))
    world.now_ms -= HOUR_MS
    world.users("alice")
    world.publish(world.login("alice", "another-phone"), "user/bob", "not hers")
    assert erase(world) == 1
    assert shown(world, 2) == ["1 erased", "2 message not hers"]


def test_an_erased_entry_keeps_its_conversation(world: World) -> None:
    town(world)
    world.one(RemoveUser(user=1, erase=True))
    erase(world)
    page = world.store.read_conversation(2, "group/team", limit=9, bytes_max=10_000)
    assert [(entry.seq, entry.kind) for entry in page.entries] == [(3, "erased"), (4, "own")]


def test_a_page_is_cut_where_it_was_before(world: World) -> None:
    """By the bytes that were there, so that a page has the same numbers whatever was erased."""
    town(world)
    seqs = [entry.seq for entry in world.store.read_inbox(2, 0, 9, 250).entries]
    world.one(RemoveUser(user=1, erase=True))
    erase(world)
    assert [entry.seq for entry in world.store.read_inbox(2, 0, 9, 250).entries] == seqs


@pytest.mark.parametrize(("looked_at_max", "erased_max"), [(1, 9), (3, 2), (2, 1)])
def test_messages_go_in_slices(world: World, looked_at_max: int, erased_max: int) -> None:
    town(world)
    world.one(RemoveUser(user=1, erase=True))
    assert erase(world, looked_at_max=looked_at_max, erased_max=erased_max) == 4
    (removal,) = world.store.removals(0, 9)
    assert (removal.messages, removal.erasing) == (4, True)
    assert removal.bytes > 4 * len("secret one")


def test_each_conversation_is_told_once(world: World) -> None:
    town(world)
    world.one(RemoveUser(user=1, erase=True))
    erase(world)
    group, direct = tell(world)
    assert group.entries == ((2, 6), (3, 3))
    assert direct.entries == ((2, 7),)
    told = decode_entry(direct.encoded)
    assert (told.sender, told.to, told.content_type) == ("alice", "user/bob", ERASED_TYPE)
    assert told.text == erased_text("alice", 2) == "2 messages of alice were erased"
    assert decode_entry(group.encoded).text == "1 message of alice was erased"
    assert decode_entry(group.encoded).to == "group/team"
    assert inbox(world, 2)[-1] == StoredEntry(seq=7, kind="message", encoded=direct.encoded)
    assert tell(world) == []
    (removal,) = world.store.removals(0, 9)
    assert (removal.erasing, removal.conversations) == (False, 2)


def test_numbers_go_on_after_a_notice(world: World) -> None:
    town(world)
    world.one(RemoveUser(user=1, erase=True))
    erase(world)
    tell(world)
    bob = world.login("bob")
    published = world.publish(bob, "group/team", "what happened?")
    assert published.entries == ((2, 8), (3, 4))
    ids = [decode_entry(entry.encoded).id for entry in inbox(world, 2) if entry.encoded]
    assert ids == sorted(ids)


def test_who_left_a_group_is_told_and_so_are_its_members(world: World) -> None:
    town(world)
    world.one(ChangeMembers(group="team", by=None, add=("dave",), remove=("carol",)))
    world.one(RemoveUser(user=1, erase=True))
    erase(world)
    (group, _) = tell(world, users_max=1)
    assert [user for user, _ in group.entries] == [2, 3, 4]


def test_members_are_told_whose_inboxes_hold_nothing_any_more(world: World) -> None:
    town(world)
    world.one(Trim(retention=Retention(count=0), after=1, users_max=9, entries_max=99))
    world.one(RemoveUser(user=1, erase=True))
    assert erase(world) == 4
    group, direct = tell(world)
    assert (group.entries, direct.entries) == (((2, 6), (3, 3)), ((2, 7),))


def test_a_group_that_is_gone_is_told_to_who_was_in_it(world: World) -> None:
    town(world)
    world.one(ChangeMembers(group="team", by=None, remove=("alice", "bob", "carol")))
    world.one(RemoveUser(user=1, erase=True))
    erase(world)
    (group, _) = tell(world)
    assert [user for user, _ in group.entries] == [2, 3]
    assert decode_entry(group.encoded).to == "group/team"


def test_many_holders_are_told_in_parts(world: World) -> None:
    town(world)
    world.one(ChangeMembers(group="team", by=None, remove=("bob", "carol")))
    world.one(RemoveUser(user=1, erase=True))
    erase(world)
    first = world.one(TellErased(user=1, group=1, holders=(2,), last=False))
    second = world.one(TellErased(user=1, group=1, holders=(3,)))
    assert isinstance(first, Told)
    assert isinstance(second, Told)
    assert [[user for user, _ in notice.entries] for told in (first, second) for notice in told.notices] == [[2], [3]]
    assert world.store.removals(0, 9)[0].conversations == 1


def test_many_conversations_are_told_in_slices(world: World) -> None:
    world.users("alice", *(f"user{number}" for number in range(5)))
    phone = world.login("alice")
    for number in range(5):
        world.publish(phone, f"user/user{number}")
    world.one(RemoveUser(user=1, erase=True))
    erase(world)
    assert len(tell(world, conversations_max=2)) == 5


def test_who_was_removed_too_is_not_told(world: World) -> None:
    town(world)
    world.one(RemoveUser(user=1, erase=True))
    world.one(RemoveUser(user=2))
    erase(world)
    (group,) = tell(world)
    assert group.entries == ((3, 3),)


def test_messages_of_somebody_before_with_the_same_name_stay(world: World) -> None:
    world.users("alice", "bob")
    world.publish(world.login("alice"), "user/bob", "of the first")
    world.one(RemoveUser(user=1))
    (second,) = world.users("alice")
    world.publish(world.login("alice"), "user/bob", "of the second")
    world.one(RemoveUser(user=second, erase=True))
    world.users("alice")
    world.publish(world.login("alice"), "user/bob", "of the third")
    assert erase(world, second) == 1
    assert shown(world, 2) == ["1 message of the first", "2 erased", "3 message of the third"]


def test_what_was_trimmed_from_the_own_inbox_is_erased_in_others(world: World) -> None:
    """The conversation is then what the address says, if that is still the same user."""
    town(world)
    world.one(Trim(retention=Retention(count=0), users_max=1, entries_max=99))
    assert world.store.inbox_size(1).floor == 7
    world.one(RemoveUser(user=1, erase=True))
    assert erase(world) == 3, "the note to herself was gone already"
    group, direct = tell(world)
    assert [user for user, _ in group.entries] == [2, 3]
    assert direct.entries == ((2, 7),)


def test_a_new_user_of_a_name_is_not_told_of_messages_to_the_old_one(world: World) -> None:
    world.users("alice", "bob", "carol")
    world.one(CreateGroup(name="team", owner=1, members=("bob", "carol")))
    world.publish(world.login("alice"), "user/bob", "to the old bob")
    world.one(Trim(retention=Retention(count=0), users_max=1, entries_max=99))
    world.one(RemoveUser(user=2))
    world.users("bob")
    world.one(RemoveUser(user=1, erase=True))
    erase(world)
    assert tell(world) == []


def test_trimming_goes_on_as_if_nothing_was_erased(world: World) -> None:
    town(world)
    would = [world.store.would_trim(2, rule, world.now_ms) for rule in (Retention(bytes=300), Retention(count=2))]
    world.one(RemoveUser(user=1, erase=True))
    erase(world)
    assert [
        world.store.would_trim(2, rule, world.now_ms - 2) for rule in (Retention(bytes=300), Retention(count=2))
    ] == would
    world.one(Trim(retention=Retention(count=0), users_max=9, entries_max=99))
    sizes = world.store.statistics()
    assert (sizes.messages, sizes.entries) == (0, 0)


def test_a_device_goes_on_after_an_erased_entry(world: World) -> None:
    """It may know the id from before, or have none."""
    town(world)
    (first, *_) = inbox(world, 2)
    assert first.encoded is not None
    held = decode_entry(first.encoded).id
    world.one(RemoveUser(user=1, erase=True))
    erase(world)
    for last_id in (held, None):
        session = world.login("bob", last_seq=1, last_id=last_id)
        assert not session.logged_in.start_over
        assert session.logged_in.position == 1


def test_in_what_order_it_is_done(world: World) -> None:
    town(world)
    assert reason_of(world.one(EraseMessages(user=1, looked_at_max=9, erased_max=9))) is Reason.NOT_FOUND
    assert reason_of(world.one(TellErased(user=1))) is Reason.NOT_FOUND
    world.one(RemoveUser(user=1, erase=True))
    assert reason_of(world.one(ClearRemoved(user=1, rows_max=99))) is Reason.NOT_AUTHORIZED
    erase(world)
    assert reason_of(world.one(ClearRemoved(user=1, rows_max=99))) is Reason.NOT_AUTHORIZED
    tell(world)
    assert reason_of(world.one(EraseMessages(user=1, looked_at_max=9, erased_max=9))) is Reason.NOT_FOUND
    assert world.one(ClearRemoved(user=1, rows_max=99)) == Cleared(done=True)
    assert reason_of(world.one(TellErased(user=1))) is Reason.NOT_FOUND


def test_no_byte_of_a_body_is_left_in_a_compact_copy(tmp_path: Path) -> None:
    path = tmp_path / "store"
    world = World(make_store("lmdb", path))
    world.users("alice", "bob")
    alice, bob = world.login("alice"), world.login("bob")
    for number in range(40):
        world.publish(alice, "user/bob", f"alice-secret-{number} " * (1 + number * 12))  # some on overflow pages
        world.publish(bob, "user/alice", f"bob-says-{number} " * (1 + number * 12))
    world.one(RemoveUser(user=1, erase=True))
    assert erase(world, looked_at_max=7, erased_max=3) == 40
    tell(world)
    while world.one(ClearRemoved(user=1, rows_max=5)) != Cleared(done=True):
        pass
    assert [entry.kind for entry in inbox(world, 2)] == ["erased", "own"] * 40 + ["message"]
    world.store.close()
    check_tables(path)
    copy = tmp_path / "copy"
    copy.mkdir()
    with lmdb.open(os.fspath(path), readonly=True, max_dbs=64) as env:
        env.copy(os.fspath(copy), compact=True)
    data = (copy / "data.mdb").read_bytes()
    assert b"bob-says-7" in data
    assert b"alice-secret" not in data


def test_erasing_survives_a_restart_at_every_step(tmp_path: Path) -> None:
    path = tmp_path / "store"
    world = World(make_store("lmdb reopened", path))
    town(world)
    world.one(RemoveUser(user=1, erase=True))
    assert erase(world, erased_max=1) == 4
    assert len(tell(world)) == 2
    while world.one(ClearRemoved(user=1, rows_max=1)) != Cleared(done=True):
        pass
    world.store.close()
    check_tables(path)
