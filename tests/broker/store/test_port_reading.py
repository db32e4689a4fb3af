"""Reading inboxes and conversations in pages, and the sizes of a store."""

import pytest

from broker.store.world import SMALL_LIMITS, World
from roost_broker.store.operations import CreateGroup, ForgetDevices, Published, Retention, SetRelation, Trim
from roost_broker.store.readings import FoundEntry, InboxPage, ScrollPage, StoredEntry
from roost_protocol.codec import decode_entry
from roost_protocol.reasons import Reason

PLENTY = 1_000_000


def seqs(page: InboxPage | ScrollPage) -> list[int]:
    return [entry.seq for entry in page.entries]


def text(entry: StoredEntry) -> str | None:
    assert entry.encoded is not None
    return decode_entry(entry.encoded).text


def backlog(world: World, count: int = 6) -> int:
    """Bob's inbox with `count` messages from alice, all of the same size; returns the size."""
    world.users("alice", "bob")
    phone = world.login("alice")
    published = [world.publish(phone, "user/bob", f"text {number}") for number in range(1, count + 1)]
    return len(published[0].encoded)


# --- the inbox ----------------------------------------------------------------------------------------------------


def test_an_empty_inbox(world: World) -> None:
    world.users("alice")
    empty = InboxPage(head=0, floor=1, floor_reason=None, entries=())
    assert world.store.read_inbox(1, 0, 10, PLENTY) == empty
    assert world.store.read_inbox(99, 7, 10, PLENTY) == empty


def test_pages_follow_each_other(world: World) -> None:
    backlog(world)
    first = world.store.read_inbox(2, 0, 4, PLENTY)
    assert (seqs(first), first.head, first.floor) == ([1, 2, 3, 4], 6, 1)
    assert [text(entry) for entry in first.entries] == ["text 1", "text 2", "text 3", "text 4"]
    assert seqs(world.store.read_inbox(2, 4, 4, PLENTY)) == [5, 6]
    assert seqs(world.store.read_inbox(2, 6, 4, PLENTY)) == []
    assert seqs(world.store.read_inbox(2, 2**53 - 1, 4, PLENTY)) == []


def test_pages_are_bounded_in_bytes_but_never_empty(world: World) -> None:
    size = backlog(world)
    assert seqs(world.store.read_inbox(2, 0, 10, 3 * size)) == [1, 2, 3]
    assert seqs(world.store.read_inbox(2, 0, 10, 3 * size - 1)) == [1, 2]
    assert seqs(world.store.read_inbox(2, 1, 10, 1)) == [2]


def test_a_page_starts_at_the_floor(world: World) -> None:
    backlog(world)
    world.one(Trim(retention=Retention(count=2), users_max=10, entries_max=100))
    page = world.store.read_inbox(2, 1, 10, PLENTY)
    assert (seqs(page), page.floor, page.floor_reason) == ([5, 6], 5, "count")


def test_large_messages(world: World) -> None:
    world.users("alice", "bob")
    phone = world.login("alice")
    bodies = ["x" * 120_000, "y", "z" * 5_000]
    for body in bodies:
        world.publish(phone, "user/bob", body)
    page = world.store.read_inbox(2, 0, 10, PLENTY)
    assert [text(entry) for entry in page.entries] == bodies
    assert seqs(world.store.read_inbox(2, 0, 10, 10)) == [1]


def test_the_count_of_a_forgotten_device_goes_with_it(world: World) -> None:
    world.users("alice", "bob")
    world.publish(world.login("alice", "a"), "user/bob")
    assert [(entry.device_id, entry.n) for entry in world.store.read_inbox(1, 0, 1, PLENTY).entries] == [("a", 1)]
    world.one(ForgetDevices(seen_before=world.now_ms + 1, keep=frozenset(), devices_max=10))
    (entry,) = world.store.read_inbox(1, 0, 1, PLENTY).entries
    assert (entry.kind, entry.device_id, entry.n) == ("own", None, None)
    assert world.login("alice", "a").logged_in.settled_n == 0
    (entry,) = world.store.read_inbox(1, 0, 1, PLENTY).entries
    assert (entry.device_id, entry.n) == (None, None)


# --- conversations ------------------------------------------------------------------------------------------------


@pytest.fixture
def talk(world: World) -> World:
    """Alice's inbox: with bob 1, 3, 5, 7; with carol 2; with the group 4, 6; with herself 8."""
    world.users("alice", "bob", "carol")
    world.one(CreateGroup(name="team", owner=1, members=("bob",)))
    alice, bob, carol = (world.login(name) for name in ("alice", "bob", "carol"))
    for session, to in (
        (alice, "user/bob"),
        (carol, "user/alice"),
        (bob, "user/alice"),
        (bob, "group/team"),
        (alice, "user/bob"),
        (alice, "group/team"),
        (bob, "user/alice"),
        (alice, "user/alice"),
    ):
        world.publish(session, to)
    return world


def scroll(world: World, conversation: str | None, **more: int) -> ScrollPage:
    return world.store.read_conversation(1, conversation, **{"limit": 10, "bytes_max": PLENTY, **more})


@pytest.mark.parametrize(
    ("conversation", "expected"),
    [
        ("user/bob", [1, 3, 5, 7]),
        ("user/carol", [2]),
        ("group/team", [4, 6]),
        ("user/alice", [8]),
        ("user/nobody", []),
        ("group/bob", []),
        (None, [1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_a_conversation_holds_both_sides(talk: World, conversation: str | None, expected: list[int]) -> None:
    page = scroll(talk, conversation)
    assert (seqs(page), page.head, page.floor, page.more) == (expected, 8, 1, False)
    kinds = {entry.seq: entry.kind for entry in talk.store.read_inbox(1, 0, 10, PLENTY).entries}
    assert [entry.kind for entry in page.entries] == [kinds[seq] for seq in expected]


@pytest.mark.parametrize(
    ("bounds", "expected", "more"),
    [
        ({"limit": 2}, [5, 7], True),
        ({"limit": 4}, [1, 3, 5, 7], False),
        ({"limit": 2, "before": 5}, [1, 3], False),
        ({"limit": 2, "before": 6}, [3, 5], True),
        ({"limit": 2, "before": 1}, [], False),
        ({"limit": 2, "before": 0}, [], False),
        ({"limit": 1, "before": 2**53 - 1}, [7], True),
        ({"limit": 2, "after": 0}, [1, 3], True),
        ({"limit": 2, "after": 3}, [5, 7], False),
        ({"limit": 2, "after": 4}, [5, 7], False),
        ({"limit": 2, "after": 7}, [], False),
        ({"limit": 2, "after": 2**53 - 1}, [], False),
    ],
)
def test_pages_of_a_conversation(talk: World, bounds: dict[str, int], expected: list[int], more: bool) -> None:
    page = scroll(talk, "user/bob", **bounds)
    assert (seqs(page), page.more) == (expected, more)


@pytest.mark.parametrize(
    ("bounds", "expected", "more"),
    [
        ({"limit": 3}, [6, 7, 8], True),
        ({"limit": 3, "before": 3}, [1, 2], False),
        ({"limit": 3, "before": 0}, [], False),
        ({"limit": 3, "after": 1}, [2, 3, 4], True),
        ({"limit": 3, "after": 5}, [6, 7, 8], False),
        ({"limit": 3, "after": 100}, [], False),
    ],
)
def test_pages_of_everything(talk: World, bounds: dict[str, int], expected: list[int], more: bool) -> None:
    page = scroll(talk, None, **bounds)
    assert (seqs(page), page.more) == (expected, more)


def test_a_page_of_a_conversation_is_bounded_in_bytes_but_never_empty(talk: World) -> None:
    size = len(scroll(talk, "user/bob").entries[-1].encoded or b"")
    near = scroll(talk, "user/bob", bytes_max=2 * size + 10)
    assert (seqs(near), near.more) == ([5, 7], True)
    assert seqs(scroll(talk, "user/bob", bytes_max=1)) == [7]
    assert seqs(scroll(talk, "user/bob", bytes_max=1, after=0)) == [1]


def test_a_conversation_shows_what_the_inbox_still_holds(talk: World) -> None:
    talk.one(Trim(retention=Retention(count=4), users_max=10, entries_max=100))
    page = scroll(talk, "user/bob")
    assert (seqs(page), page.floor, page.more) == ([5, 7], 5, False)
    assert seqs(scroll(talk, None, after=0)) == [5, 6, 7, 8]
    assert seqs(scroll(talk, "user/carol")) == []


def test_each_side_has_the_conversation_under_the_name_of_the_other(talk: World) -> None:
    bobs = talk.store.read_conversation(2, "user/alice", limit=10, bytes_max=PLENTY)
    assert [(entry.kind, entry.seq) for entry in bobs.entries] == [
        ("message", 1), ("own", 2), ("message", 4), ("own", 6),
    ]  # fmt: skip
    assert talk.store.read_conversation(2, "user/bob", limit=10, bytes_max=PLENTY).entries == ()


# --- sizes --------------------------------------------------------------------------------------------------------


def test_counts(talk: World) -> None:
    sizes = talk.store.statistics()
    assert (sizes.users, sizes.devices, sizes.groups, sizes.messages, sizes.entries) == (3, 3, 1, 8, 15)
    assert 0 < sizes.used_bytes < sizes.map_bytes


def test_closing_twice_is_fine(world: World) -> None:
    world.store.close()
    world.store.close()


# --- one message --------------------------------------------------------------------------------------------------


def test_a_message_is_found_in_every_inbox_that_holds_it(world: World) -> None:
    alice, bob, carol = world.users("alice", "bob", "carol")
    phone = world.login("alice", "a")
    for _ in range(7):
        world.publish(phone, "user/carol")
    published = world.publish(phone, "user/bob", "this one")
    assert published.id is not None
    message_id = int(published.id, 16)
    assert world.store.find_entry(alice, message_id) == FoundEntry(seq=8, kind="own", inboxes=2, device_id="a", n=8)
    assert world.store.find_entry(bob, message_id) == FoundEntry(seq=1, kind="message", inboxes=2)
    for user, wanted in [
        (carol, message_id),
        (alice, message_id + 1),
        (alice, 0),
        (alice, 2**64 - 1),
        (99, message_id),
    ]:
        assert world.store.find_entry(user, wanted) is None
    found = world.store.find_message(message_id)
    assert found is not None
    assert (found.encoded, found.released) == (published.encoded, 0)
    assert world.store.find_message(message_id + 1) is None
    world.one(Trim(retention=Retention(count=0), after=alice, users_max=1, entries_max=9))
    assert world.store.find_entry(bob, message_id) is None
    found = world.store.find_message(message_id)
    assert found is not None
    assert found.released == 1


def test_what_was_committed_together_is_known_by_its_ids(world: World) -> None:
    world.users("alice")
    phone = world.login("alice")
    world.now_ms -= 5  # the clock goes back: ids go on from the last one, and still tell the batches apart
    batches = [world.do(*(world.message(phone, "user/alice") for _ in range(size))) for size in (3, 1, 2)]
    for batch in batches:
        ids = [int(published.id or "", 16) for published in batch if isinstance(published, Published)]
        for message_id in ids:
            found = world.store.find_message(message_id)
            assert found is not None
            assert (found.batch_first, found.batch_last) == (ids[0], ids[-1])


def test_the_name_of_a_number(world: World) -> None:
    (alice,) = world.users("alice")
    assert world.store.user_name(alice) == "alice"
    assert world.store.user_name(99) is None


# --- one publish --------------------------------------------------------------------------------------------------


def test_what_came_of_a_publish(world: World) -> None:
    alice, bob, _ = world.users("alice", "bob", "carol")
    world.one(SetRelation(user=bob, kind="block", other="alice", present=True))
    phone = world.login("alice", "a")
    (device,) = world.store.devices(alice)
    stored = world.publish(phone, "user/carol")
    refused = world.publish(phone, "user/bob")
    found = world.store.publish_outcome(device.device, 1)
    assert found == Published(n=1, reason=Reason.SUCCESS, seq=1, id=stored.id, time=stored.time)
    assert world.store.publish_outcome(device.device, 2) == refused == Published(n=2, reason=Reason.BLOCKED)
    assert world.store.publish_outcome(device.device, 3) is None
    assert world.store.publish_outcome(99, 1) is None
    for _ in range(SMALL_LIMITS.publish_max):
        world.publish(phone, "user/carol")
    assert world.store.publish_outcome(device.device, 1) == Published(n=1, reason=Reason.SETTLED_LONG_AGO)
