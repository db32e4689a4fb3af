"""What an admin sees of an inbox: pages, what is in it, and entries as they come."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio

from broker.house import House, in_house
from broker.http.admin_door import admin_door
from broker.http.speaking import Peer
from roost_broker.administration import NotDone
from roost_broker.config import RetentionConfig
from roost_broker.delivery import LiveInbox
from roost_protocol.admin.groups import GroupCreate
from roost_protocol.admin.inbox import (
    INBOX_BODIES,
    INBOX_TAIL_BODIES,
    InboxEntry,
    InboxFollow,
    InboxQuery,
    StatQuery,
)
from roost_protocol.admin.messages import MessageSend
from roost_protocol.admin.table import ROUTES
from roost_protocol.frames import Deliver, Disconnect
from roost_protocol.limits import KIB


def numbers(entries: tuple[InboxEntry, ...]) -> list[int]:
    return [entry.seq for entry in entries]


async def talk(house: House) -> None:
    """alice: 1 to 4 and 6 with bob, 5 in the team."""
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 4)
    await house.broker.admin.groups.create(GroupCreate(name="team", owner="carol", members=("alice",)))
    await (await house.log_in("carol")).publish(1, "group/team", "to all")
    await alice.publish(5, "user/bob", data=b"\x00\xff", content_type="image/x")


@in_house()
async def test_entries_are_shown_without_what_they_say(house: House) -> None:
    await talk(house)
    page = await house.broker.admin.inboxes.show("alice")
    assert (page.head, page.floor, page.next, numbers(page.entries)) == (6, 1, None, [1, 2, 3, 4, 5, 6])
    own, theirs, data = page.entries[0], page.entries[4], page.entries[5]
    assert (own.kind, own.sender, own.to, own.device, own.n) == ("own", "alice", "user/bob", "alice-phone", 1)
    assert (theirs.kind, theirs.sender, theirs.to, theirs.device) == ("message", "carol", "group/team", None)
    assert (data.content_type, data.text, data.data, theirs.text) == ("image/x", None, None, None)
    (stored,) = house.store.read_inbox(house.number("alice"), 5, 1, 1).entries
    assert data.entry_bytes == len(stored.encoded or b"")


@in_house()
async def test_bodies_are_a_route_of_their_own(house: House) -> None:
    await talk(house)
    page = await house.broker.admin.inboxes.show_bodies("alice", InboxQuery(first=5))
    assert [(entry.text, entry.data) for entry in page.entries] == [("to all", None), (None, b"\x00\xff")]
    for route in (INBOX_BODIES, INBOX_TAIL_BODIES):
        assert (route.role, route.audited) == ("admin", True)
    assert {route.path for route in ROUTES if "inbox" in route.path and route.role == "read"} == {
        "/v1/users/{user}/inbox",
        "/v1/users/{user}/inbox/tail",
        "/v1/users/{user}/inbox/stat",
        "/v1/users/{user}/inbox/{seq}/explain",
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (InboxQuery(first=3), [3, 4, 5, 6]),
        (InboxQuery(last=2), [1, 2]),
        (InboxQuery(first=2, last=4), [2, 3, 4]),
        (InboxQuery(first=7), []),
        (InboxQuery(first=99, last=99), []),
        (InboxQuery(newest=2), [5, 6]),
        (InboxQuery(newest=2, last=4), [3, 4]),
        (InboxQuery(newest=3, first=5), [5, 6]),
        (InboxQuery(newest=2, conversation="user/bob"), [4, 6]),
        (InboxQuery(newest=1, conversation="group/team"), [5]),
        (InboxQuery(newest=9, conversation="user/bob", first=2, last=5), [2, 3, 4]),
        (InboxQuery(conversation="user/carol"), []),
    ],
)
@in_house()
async def test_which_entries(house: House, query: InboxQuery, expected: list[int]) -> None:
    await talk(house)
    page = await house.broker.admin.inboxes.show("alice", query)
    assert (numbers(page.entries), page.next) == (expected, None)


@in_house(limits={"listing_max": 2})
async def test_entries_come_in_pages(house: House) -> None:
    await talk(house)
    for query, expected in [
        (InboxQuery(), [[1, 2], [3, 4], [5, 6]]),
        (InboxQuery(last=3), [[1, 2], [3]]),
        (InboxQuery(newest=3), [[4, 5], [6]]),
        (InboxQuery(conversation="user/bob"), [[1, 2], [3, 4], [6]]),
        (InboxQuery(limit=1, first=6), [[6]]),
    ]:
        found = []
        ask: InboxQuery | None = query
        while ask is not None:
            page = await house.broker.admin.inboxes.show("alice", ask)
            found.append(numbers(page.entries))
            ask = None if page.next is None else msgspec.structs.replace(query, first=page.next, newest=None)
        assert found == expected


@in_house(limits={"page_bytes_max": 16 * KIB})
async def test_a_page_is_bounded_in_bytes(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 6, text="x" * 6_000)
    page = await house.broker.admin.inboxes.show_bodies("bob")
    assert (numbers(page.entries), page.next) == ([1, 2], 3)


@in_house(retention=RetentionConfig(count=2))
async def test_what_was_trimmed_is_not_shown(house: House) -> None:
    await talk(house)
    await house.broker.trim()
    page = await house.broker.admin.inboxes.show("alice", InboxQuery(first=1))
    assert (page.floor, numbers(page.entries)) == (5, [5, 6])


# --- what is in it ------------------------------------------------------------------------------------------------


@in_house()
async def test_what_an_inbox_holds(house: House) -> None:
    await talk(house)
    stat = await house.broker.admin.inboxes.stat("alice")
    assert (stat.user, stat.head, stat.floor, stat.entries, stat.floor_reason) == ("alice", 6, 1, 6, None)
    assert (stat.bytes, stat.conversations) == (house.store.inbox_size(house.number("alice")).bytes, 2)
    assert [(each.address, each.entries, each.newest) for each in stat.newest] == [
        ("user/bob", 5, 6),
        ("group/team", 1, 5),
    ]
    stat = await house.broker.admin.inboxes.stat("alice", StatQuery(conversations=1))
    assert (stat.conversations, [each.address for each in stat.newest]) == (2, ["user/bob"])
    empty = await house.broker.admin.inboxes.stat("carol", StatQuery(conversations=5))
    assert (empty.entries, empty.conversations) == (1, 1)


@pytest.mark.parametrize("slice_", [1, 2, 3, 4, 5, 6, 7])
@in_house()
async def test_an_inbox_is_counted_in_slices(house: House, slice_: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversation that a slice breaks off in is counted once, with all that it has."""
    await talk(house)
    monkeypatch.setattr("roost_broker.administration.inbox.COUNTED_A_SLICE", slice_)
    stat = await house.broker.admin.inboxes.stat("alice")
    assert stat.conversations == 2
    assert [(each.address, each.entries, each.newest) for each in stat.newest] == [
        ("user/bob", 5, 6),
        ("group/team", 1, 5),
    ]


@in_house()
async def test_who_is_not_there_has_no_inbox(house: House) -> None:
    inboxes = house.broker.admin.inboxes
    for act in (inboxes.show, inboxes.show_bodies, inboxes.tail, inboxes.tail_bodies, inboxes.stat):
        with pytest.raises(NotDone, match="no user 'nobody'"):
            await act("nobody")


# --- live ---------------------------------------------------------------------------------------------------------


async def next_of(entries: AsyncIterator[InboxEntry], within_s: float = 1.0) -> InboxEntry:
    with trio.fail_after(within_s):
        return await anext(entries)


async def expect_nothing(entries: AsyncIterator[InboxEntry]) -> None:
    with trio.move_on_after(5) as scope:
        await anext(entries)
    assert scope.cancelled_caught


@asynccontextmanager
async def following(house: House, user: str, **how: Any) -> AsyncIterator[AsyncIterator[InboxEntry]]:
    """The live entries of an inbox."""
    entries: Any = await house.broker.admin.inboxes.tail(user, InboxFollow(**how))
    async with aclosing(entries):
        yield entries


@pytest.mark.parametrize("others", [(), ("bob",), ("alice", "bob")])
@in_house()
async def test_entries_are_seen_as_they_come(house: House, others: tuple[str, ...]) -> None:
    """Whether or not anybody has a session on the inbox that is followed."""
    carol = await house.log_in("carol")
    await carol.publish(1, "user/bob", "before")
    for user in others:
        await house.log_in(user, "pc")
    async with following(house, "bob") as entries:
        for n in (2, 3):
            await carol.publish(n, "user/bob", "now")
            entry = await next_of(entries)
            assert (entry.seq, entry.kind, entry.sender, entry.text) == (n, "message", "carol", None)
    async with following(house, "carol") as own:
        await carol.publish(4, "user/bob")
        entry = await next_of(own)
        assert (entry.seq, entry.kind, entry.n) == (4, "own", 4)


@pytest.mark.parametrize("erase", [False, True])
@in_house()
async def test_it_ends_when_the_user_is_removed(house: House, erase: bool) -> None:
    carol = await house.log_in("carol")
    async with following(house, "bob") as entries:
        await carol.publish(1, "user/bob", "now")
        assert (await next_of(entries)).seq == 1
        async with trio.open_nursery() as nursery:

            async def the_end() -> None:
                with pytest.raises(StopAsyncIteration):
                    await next_of(entries)

            nursery.start_soon(the_end)
            await trio.testing.wait_all_tasks_blocked()
            if erase:
                await house.broker.admin.erase.erase("bob")
            else:
                await house.broker.admin.users.remove("bob")
    assert not house.core.delivery._followed


@in_house()
async def test_the_disk_is_not_read_while_nothing_comes(house: House) -> None:
    carol = await house.log_in("carol")
    async with following(house, "bob") as entries, trio.open_nursery() as nursery:
        nursery.start_soon(next_of, entries, 9_999)
        await trio.sleep(1)
        reads = house.store.reads
        for n in range(1, 20):
            await carol.publish(n, "user/alice")
        await trio.sleep(50)
        assert house.store.reads == reads
        await carol.publish(20, "user/bob")
        await trio.sleep(1)
        assert house.store.reads > reads


@in_house()
async def test_sessions_come_and_go_on_an_inbox_that_is_followed(house: House) -> None:
    """The live inbox is there for the follower, for sessions, for both and for neither; each gets every number."""
    carol = await house.log_in("carol")
    async with following(house, "bob", after=0) as entries:
        for turn in range(3):
            await carol.publish(3 * turn + 1, "user/bob")
            assert (await next_of(entries)).seq == 3 * turn + 1
            bob = await house.log_in("bob", last_seq=0, receive_max=100)
            assert type(house.session("bob").inbox) is LiveInbox, "from memory, as if nobody followed"
            await carol.publish(3 * turn + 2, "user/bob")
            assert (await next_of(entries)).seq == 3 * turn + 2
            assert await bob.seqs() == list(range(1, 3 * turn + 3))
            await bob.say(Disconnect())
            await trio.sleep(1)
            await carol.publish(3 * turn + 3, "user/bob")
            assert (await next_of(entries)).seq == 3 * turn + 3
        bob = await house.log_in("bob", newest=0)
    await carol.publish(10, "user/bob")
    assert (await bob.expect(Deliver)).seq == 10
    await bob.say(Disconnect())
    await carol.say(Disconnect())
    await trio.sleep(1)
    assert not house.core.delivery._inboxes
    assert not house.core.delivery._followed


@in_house(retention=RetentionConfig(count=2))
async def test_what_is_lost_is_said(house: House) -> None:
    carol = await house.log_in("carol")
    async with following(house, "bob", after=0) as entries:
        await house.fill(carol, "user/bob", 5)
        await house.broker.trim()
        gap = await next_of(entries)
        assert (gap.kind, gap.seq, gap.last, gap.reason) == ("gap", 1, 3, "count")
        assert [(await next_of(entries)).seq for _ in range(2)] == [4, 5]
        await expect_nothing(entries)


@in_house()
async def test_a_message_that_an_admin_sends_is_seen(house: House) -> None:
    async with following(house, "alice") as own, following(house, "bob") as theirs:
        await house.broker.admin.messages.send(MessageSend(sender="alice", to="user/bob", text="hi"))
        assert (await next_of(own)).kind == "own"
        assert (await next_of(theirs)).kind == "message"


@in_house()
async def test_nothing_comes_after_what_is_not_there(house: House) -> None:
    with pytest.raises(NotDone, match="ends at 0"):
        await house.broker.admin.inboxes.tail("alice", InboxFollow(after=1))


@in_house()
async def test_whoever_goes_follows_no_more(house: House) -> None:
    carol = await house.log_in("carol")
    async with admin_door(house) as door:
        peer: Peer = door.dial()
        await peer.ask("GET", "/v1/users/bob/inbox/tail/bodies")
        await carol.publish(1, "user/bob", "hi")
        await trio.sleep(1)
        data = bytes(await peer.stream.receive_some())
        event = msgspec.json.decode(data.partition(b"data: ")[2].partition(b"\n")[0], type=InboxEntry)
        assert (event.seq, event.text) == (1, "hi")
        assert house.core.delivery._followed
        await peer.stream.aclose()
        await trio.sleep(1)
        assert not house.core.delivery._followed
