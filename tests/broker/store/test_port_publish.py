"""Messages: what is stored, under which numbers, what is refused, and that nothing is stored twice."""

import pytest

from broker.store.world import START_MS, World
from roost_broker.store.operations import (
    CreateGroup,
    Done,
    EndSession,
    ForgetDevices,
    MoveCursors,
    Published,
    SetRelation,
)
from roost_broker.store.readings import StoredEntry
from roost_protocol.codec import decode_entry
from roost_protocol.reasons import Reason


def entries(world: World, name: str) -> tuple[StoredEntry, ...]:
    return world.store.read_inbox(world.numbers[name], 0, 1_000, 1_000_000).entries


def texts(world: World, name: str) -> list[str | None]:
    return [decode_entry(entry.encoded).text for entry in entries(world, name) if entry.encoded is not None]


# --- what is stored -----------------------------------------------------------------------------------------------


def test_a_message_goes_to_both_inboxes(world: World) -> None:
    alice, bob = world.users("alice", "bob")
    phone = world.login("alice")
    published = world.publish(phone, "user/bob", "hello")
    assert published.reason is Reason.SUCCESS
    assert published.settled
    assert not published.retransmission
    assert (published.n, published.seq, published.time) == (1, 1, world.now_ms)
    assert published.entries == ((alice, 1), (bob, 1))
    own = StoredEntry(seq=1, kind="own", encoded=published.encoded, device_id="alice-phone", n=1)
    assert entries(world, "alice") == (own,)
    assert entries(world, "bob") == (StoredEntry(seq=1, kind="message", encoded=published.encoded),)


def test_the_entry_says_what_was_sent(world: World) -> None:
    world.users("alice", "bob")
    phone = world.login("alice")
    text = decode_entry(world.publish(phone, "user/bob", "hello").encoded)
    assert (text.sender, text.to, text.content_type, text.text, text.data) == (
        "alice", "user/bob", "text/plain", "hello", None,
    )  # fmt: skip
    picture = world.publish(phone, "user/bob", content_type="image/png", text=None, data=b"\x89PNG")
    entry = decode_entry(picture.encoded)
    assert (entry.content_type, entry.text, entry.data) == ("image/png", None, b"\x89PNG")
    assert entry.id == picture.id
    assert entry.time == picture.time == world.now_ms


def test_numbers_are_dense_in_every_inbox(world: World) -> None:
    world.users("alice", "bob", "carol")
    sessions = {name: world.login(name) for name in world.numbers}
    for sender, recipient in [("alice", "bob"), ("carol", "bob"), ("bob", "alice"), ("alice", "carol")] * 3:
        world.publish(sessions[sender], f"user/{recipient}")
    for name, count in (("alice", 9), ("bob", 9), ("carol", 6)):
        assert [entry.seq for entry in entries(world, name)] == list(range(1, count + 1))
        assert world.head(name) == count


def test_a_message_to_oneself_is_one_entry(world: World) -> None:
    (alice,) = world.users("alice")
    phone = world.login("alice")
    published = world.publish(phone, "user/alice")
    assert published.entries == ((alice, 1),)
    assert [(entry.kind, entry.n) for entry in entries(world, "alice")] == [("own", 1)]


def test_a_group_message_goes_to_every_member(world: World) -> None:
    alice, bob, carol, _ = world.users("alice", "bob", "carol", "dave")
    assert world.one(CreateGroup(name="team", owner=bob, members=("carol", "alice"))) == Done()
    phone = world.login("carol")
    published = world.publish(phone, "group/team")
    assert published.entries == ((carol, 1), (alice, 1), (bob, 1))
    assert [entry.kind for entry in entries(world, "carol")] == ["own"]
    assert [entry.kind for entry in entries(world, "alice")] == ["message"]
    assert entries(world, "dave") == ()


def test_a_user_and_a_group_may_share_a_name(world: World) -> None:
    alice, bob = world.users("alice", "bob")
    world.one(CreateGroup(name="bob", owner=alice))
    phone = world.login("alice")
    assert world.publish(phone, "group/bob").entries == ((alice, 1),)
    assert world.publish(phone, "user/bob").entries == ((alice, 2), (bob, 1))


def test_ids_rise_within_a_batch_and_when_the_clock_goes_back(world: World) -> None:
    world.users("alice", "bob")
    phone = world.login("alice")
    batch = [world.message(phone, "user/bob", f"{count}") for count in range(3)]
    results = world.do(*batch)
    world.now_ms -= 3_600_000
    results.append(world.publish(phone, "user/bob"))
    ids = [result.id for result in results if isinstance(result, Published)]
    assert all(message_id is not None for message_id in ids)
    assert ids == sorted(set(ids), key=str)
    assert len(ids) == 4


def test_operations_of_a_batch_see_those_before_them(world: World) -> None:
    alice, bob = world.users("alice", "bob")
    phone = world.login("alice")
    results = world.do(
        world.message(phone, "group/team", n=1),
        CreateGroup(name="team", owner=alice, members=("bob",)),
        world.message(phone, "group/team", n=2),
        world.message(phone, "group/team", n=2),
        SetRelation(user=bob, kind="block", other="alice", present=True),
        world.message(phone, "user/bob", n=3),
        world.login_operation("alice", "other-phone"),
        world.message(phone, "group/team", n=4),
    )
    outcomes = [(result.reason, result.settled) for result in results if isinstance(result, Published)]
    assert outcomes == [
        (Reason.UNKNOWN_RECIPIENT, True),
        (Reason.SUCCESS, True),
        (Reason.SUCCESS, True),
        (Reason.BLOCKED, True),
        (Reason.SESSION_TAKEN_OVER, False),
    ]
    assert (world.head("alice"), world.head("bob")) == (1, 1)


def test_an_empty_batch_is_fine(world: World) -> None:
    assert world.do() == []


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["user/nobody", "group/nothing"])
def test_unknown_recipient(world: World, to: str) -> None:
    world.users("alice")
    phone = world.login("alice")
    refused = world.publish(phone, to)
    assert refused == Published(n=1, reason=Reason.UNKNOWN_RECIPIENT)
    assert world.publish(phone, to, n=1) == Published(n=1, reason=Reason.UNKNOWN_RECIPIENT, retransmission=True)
    assert world.head("alice") == 0


def test_a_refusal_that_was_settled_stays_when_its_cause_is_gone(world: World) -> None:
    world.users("alice")
    phone = world.login("alice")
    world.publish(phone, "user/bob")
    world.users("bob")
    assert world.publish(phone, "user/bob", n=1).reason is Reason.UNKNOWN_RECIPIENT
    assert world.publish(phone, "user/bob").reason is Reason.SUCCESS


def test_a_blocked_sender_gets_a_reason_and_nothing_is_stored(world: World) -> None:
    alice, bob = world.users("alice", "bob")
    phone = world.login("alice")
    world.one(SetRelation(user=bob, kind="block", other="alice", present=True))
    assert world.publish(phone, "user/bob") == Published(n=1, reason=Reason.BLOCKED)
    assert (world.head("alice"), world.head("bob")) == (0, 0)
    bobs = world.login("bob")
    assert world.publish(bobs, "user/alice").entries == ((bob, 1), (alice, 1))
    world.one(SetRelation(user=bob, kind="block", other="alice", present=False))
    assert world.publish(phone, "user/bob").entries == ((alice, 2), (bob, 2))


def test_a_block_takes_hold_of_a_conversation_that_goes_on(world: World) -> None:
    _, bob = world.users("alice", "bob")
    phone = world.login("alice")
    reasons = [world.publish(phone, "user/bob").reason]
    for present in (True, False):
        world.one(SetRelation(user=bob, kind="block", other="alice", present=present))
        reasons.append(world.publish(phone, "user/bob").reason)
    assert reasons == [Reason.SUCCESS, Reason.BLOCKED, Reason.SUCCESS]


def test_a_contact_is_not_a_block_and_groups_ignore_blocks(world: World) -> None:
    _, bob = world.users("alice", "bob")
    phone = world.login("alice")
    world.one(SetRelation(user=bob, kind="contact", other="alice", present=True))
    assert world.publish(phone, "user/bob").reason is Reason.SUCCESS
    world.one(CreateGroup(name="team", owner=bob, members=("alice",)))
    world.one(SetRelation(user=bob, kind="block", other="alice", present=True))
    assert world.publish(phone, "group/team").reason is Reason.SUCCESS
    assert world.head("bob") == 2


def test_only_members_write_to_a_group(world: World) -> None:
    _, bob = world.users("alice", "bob")
    world.one(CreateGroup(name="team", owner=bob))
    assert world.publish(world.login("alice"), "group/team") == Published(n=1, reason=Reason.NOT_A_MEMBER)
    assert world.head("bob") == 0


def test_what_the_session_found_wrong_is_settled(world: World) -> None:
    world.users("alice", "bob")
    phone = world.login("alice")
    too_large = world.publish(phone, "user/bob", refused=Reason.PACKET_TOO_LARGE)
    assert too_large == Published(n=1, reason=Reason.PACKET_TOO_LARGE)
    again = world.publish(phone, "user/bob", n=1, refused=Reason.PACKET_TOO_LARGE)
    assert again == Published(n=1, reason=Reason.PACKET_TOO_LARGE, retransmission=True)
    assert world.head("bob") == 0


def test_an_outcome_goes_before_what_the_session_found_wrong(world: World) -> None:
    world.users("alice", "bob")
    phone = world.login("alice")
    stored = world.publish(phone, "user/bob")
    again = world.publish(phone, "user/bob", n=1, refused=Reason.PACKET_TOO_LARGE)
    assert (again.reason, again.seq, again.retransmission) == (Reason.SUCCESS, stored.seq, True)


# --- the fence ----------------------------------------------------------------------------------------------------


def test_a_fenced_session_stores_nothing(world: World) -> None:
    world.users("alice", "bob")
    old = world.login("alice", "first")
    world.publish(old, "user/bob")
    new = world.login("alice", "second")
    fenced = world.publish(old, "user/bob", n=2)
    assert fenced == Published(n=2, reason=Reason.SESSION_TAKEN_OVER, settled=False)
    assert world.publish(old, "user/bob", n=1).reason is Reason.SESSION_TAKEN_OVER
    assert world.head("bob") == 1
    assert world.publish(new, "user/bob").reason is Reason.SUCCESS


def test_the_fence_is_that_of_the_terminal_type(world: World) -> None:
    world.users("alice", "bob")
    phone, pc = world.login("alice"), world.login("alice", terminal="pc")
    assert world.publish(phone, "user/bob").reason is Reason.SUCCESS
    assert world.publish(pc, "user/bob").reason is Reason.SUCCESS


def test_a_fenced_publish_may_be_tried_again_in_the_next_session(world: World) -> None:
    world.users("alice", "bob")
    old = world.login("alice")
    world.login("alice", "other")
    world.publish(old, "user/bob", n=1)
    back = world.login("alice")
    assert back.logged_in.settled_n == 0
    assert world.publish(back, "user/bob", n=1).seq == 1


def test_an_ended_session_stores_nothing_and_is_told_why(world: World) -> None:
    alice, _ = world.users("alice", "bob")
    phone = world.login("alice")
    world.one(EndSession(user=alice, terminal="phone", reason=Reason.ADMINISTRATIVE_ACTION, by="admin"))
    fenced = world.publish(phone, "user/bob")
    assert fenced == Published(n=1, reason=Reason.ADMINISTRATIVE_ACTION, settled=False)
    assert world.head("bob") == 0


def test_a_session_that_never_was_stores_nothing(world: World) -> None:
    world.users("alice", "bob")
    phone = world.login("alice")
    assert world.publish(phone, "user/bob", epoch=phone.epoch + 1).reason is Reason.SESSION_TAKEN_OVER
    assert world.publish(phone, "user/bob", terminal="tv").reason is Reason.SESSION_TAKEN_OVER


def test_a_forgotten_device_stores_nothing(world: World) -> None:
    world.users("alice", "bob")
    phone = world.login("alice")
    world.one(ForgetDevices(seen_before=world.now_ms + 1, keep=frozenset(), devices_max=10))
    refused = world.publish(phone, "user/bob")
    assert refused == Published(n=1, reason=Reason.SESSION_TAKEN_OVER, settled=False)


# --- de-duplication: publish_max is 4 here ------------------------------------------------------------------------


def test_a_retransmission_gets_the_first_outcome(world: World) -> None:
    world.users("alice", "bob")
    phone = world.login("alice")
    first = world.publish(phone, "user/bob")
    world.publish(phone, "user/bob", "more")
    again = world.publish(phone, "user/bob", n=1)
    assert again.retransmission
    assert again.settled
    assert (again.reason, again.seq, again.id, again.time) == (Reason.SUCCESS, 1, first.id, first.time)
    assert (again.entries, again.encoded) == ((), b"")
    assert world.head("bob") == 2


def test_the_outcome_stays_after_a_new_log_in(world: World) -> None:
    world.users("alice", "bob")
    first = world.publish(world.login("alice"), "user/bob")
    back = world.login("alice")
    assert back.logged_in.settled_n == 1
    assert world.publish(back, "user/bob", n=1).id == first.id
    assert world.head("bob") == 1


def test_the_same_n_with_other_content_is_refused(world: World) -> None:
    world.users("alice", "bob")
    phone = world.login("alice")
    world.publish(phone, "user/bob", "one")
    conflict = world.publish(phone, "user/bob", "another", n=1)
    assert conflict == Published(n=1, reason=Reason.PACKET_IDENTIFIER_IN_USE)
    assert texts(world, "bob") == ["one"]


def test_devices_count_for_themselves(world: World) -> None:
    world.users("alice", "bob")
    phone, pc = world.login("alice"), world.login("alice", terminal="pc")
    assert world.publish(phone, "user/bob", n=1).seq == 1
    assert world.publish(pc, "user/bob", n=1).seq == 2


def test_the_newest_publish_max_outcomes_are_known_and_older_ones_settled(world: World) -> None:
    world.users("alice", "bob")
    phone = world.login("alice")
    for _ in range(6):
        world.publish(phone, "user/bob")
    for n in (1, 2):
        assert world.publish(phone, "user/bob", n=n) == Published(n=n, reason=Reason.SETTLED_LONG_AGO)
    assert [world.publish(phone, "user/bob", n=n).seq for n in (3, 4, 5, 6)] == [3, 4, 5, 6]
    assert world.head("bob") == 6


def test_an_n_that_was_left_out_is_new_as_long_as_it_may_be_in_doubt(world: World) -> None:
    world.users("alice", "bob")
    phone = world.login("alice")
    assert world.publish(phone, "user/bob", n=10).seq == 1
    assert world.publish(phone, "user/bob", n=7).seq == 2
    assert world.publish(phone, "user/bob", n=7).retransmission
    assert world.publish(phone, "user/bob", n=6).reason is Reason.SETTLED_LONG_AGO
    assert world.login("alice").logged_in.settled_n == 10


def test_retransmissions_within_one_batch(world: World) -> None:
    world.users("alice", "bob")
    phone = world.login("alice")
    batch = [world.message(phone, "user/bob", n=n) for n in (1, 1, 2, 3, 4, 5, 2, 1)]
    results = [result for result in world.do(*batch) if isinstance(result, Published)]
    assert [result.seq for result in results] == [1, 1, 2, 3, 4, 5, 2, None]
    assert results[-1].reason is Reason.SETTLED_LONG_AGO
    assert world.head("bob") == 5


# --- cursors ------------------------------------------------------------------------------------------------------


def test_cursors_move_forward_and_note_the_device_as_seen(world: World) -> None:
    alice, _ = world.users("alice", "bob")
    phone = world.login("alice")
    for _ in range(3):
        world.publish(phone, "user/bob")
    assert world.one(MoveCursors(cursors=((phone.device, 2), (999, 1)))) == Done()
    assert [record.cursor for record in world.store.devices(alice)] == [2]
    seen = world.now_ms
    world.one(MoveCursors(cursors=((phone.device, 1),)))
    (record,) = world.store.devices(alice)
    assert (record.cursor, record.settled_n, record.last_seen) == (2, 3, seen + 1)
    assert record.last_seen > START_MS
