"""The journal as admins read it: pages, filters, words, and following."""

from typing import Any, get_args

import pytest
import trio

from broker.house import House, in_house
from roost_broker.administration import NotDone
from roost_broker.administration.told import _TELLERS
from roost_broker.store.journal import AnyEvent, first_number_at
from roost_protocol.admin.events import EventKind, EventList, EventQuery, EventRow
from roost_protocol.admin.groups import GroupCreate
from roost_protocol.admin.sessions import Kick
from roost_protocol.frames import Disconnect

NOTED_S = 2.5


async def listed(house: House, **query: Any) -> list[EventRow]:
    return list((await house.broker.admin.events.list(EventQuery(**query))).events)


async def pages(house: House, **query: Any) -> list[EventList]:
    """Every page of a listing."""
    found = [await house.broker.admin.events.list(EventQuery(**query))]
    while (following := found[-1].next) is not None:
        where = "before" if query.get("newest") else "after"
        found.append(await house.broker.admin.events.list(EventQuery(**{**query, where: following})))
    return found


async def something(house: House) -> None:
    """Some of every noun."""
    await house.broker.admin.groups.create(GroupCreate(name="team", owner="alice", members=("bob",)))
    alice = await house.log_in("alice", "pc", host="10.0.0.7")
    await house.log_in("bob")
    await alice.publish(1, "user/bob")
    await trio.sleep(NOTED_S)
    await alice.say(Disconnect())
    await house.broker.admin.sessions.kick(Kick(user="bob", text="go home"))
    await trio.sleep(NOTED_S)


@in_house()
async def test_what_happened_in_words(house: House) -> None:
    await something(house)
    rows = await listed(house, user="alice")
    assert [(row.kind, row.user) for row in rows] == [
        ("user changed", "alice"),
        ("group changed", None),
        ("session opened", "alice"),
        ("progress", "alice"),
        ("session closed", "alice"),
    ]
    assert rows[1].text == "group team: alice came, bob came; by alice"
    opened, progress, closed = rows[2:]
    assert (opened.terminal, opened.device, opened.address) == ("pc", "alice-pc", "10.0.0.7:1")
    assert (progress.terminal, progress.device, progress.last, progress.acknowledged) == ("pc", "alice-pc", 1, 0)
    assert (closed.text, closed.reason) == (
        "the device has left; pushed up to 1, acknowledged up to 0",
        "the device has left",
    )
    ended = await listed(house, user="bob", kind=("session ended", "session closed"))
    assert [(row.kind, row.by, row.reason) for row in ended] == [
        ("session ended", "admin", "administrative action"),
        ("session closed", "admin", "administrative action"),
    ]
    assert all("(go home)" in row.text for row in ended)


def test_every_record_has_its_words() -> None:
    kinds = get_args(AnyEvent)
    assert set(_TELLERS) == set(kinds)
    assert len(get_args(EventKind)) == len(kinds)


@in_house()
async def test_pages_in_both_directions_give_every_record_once(house: House) -> None:
    await something(house)
    every = await listed(house, limit=1_000)
    assert len(every) > 8
    for query in ({"limit": 2}, {"limit": 3, "newest": True}):
        found = await pages(house, **query)
        ordered = reversed(found) if query.get("newest") else found
        assert [row for page in ordered for row in page.events] == every
        assert {page.since for page in found} == {every[0].at}
    newest = await house.broker.admin.events.list(EventQuery(limit=2, newest=True))
    assert list(newest.events) == every[-2:]


@in_house(limits={"page_entries_max": 4, "listing_max": 3})
async def test_filters_that_fit_little_find_everything_in_the_end(house: House) -> None:
    await something(house)
    kinds: tuple[EventKind, ...] = ("session closed",)
    found = [row for page in await pages(house, kind=kinds) for row in page.events]
    assert [row.user for row in found] == ["alice", "bob"]
    assert [row.user for row in await listed(house, terminal="pc")] == ["alice"] * 3
    assert [row.kind for row in await listed(house, group="team")] == ["group changed"]
    assert [row.kind for row in await listed(house, kind=("broker started",))] == ["broker started"]


@in_house()
async def test_a_span_of_time(house: House) -> None:
    await something(house)
    every = await listed(house, limit=1_000)
    moment = next(row.at for row in every if row.kind == "session opened")
    assert await listed(house, since=moment, limit=1_000) == [
        row for row in every if int(row.id, 16) >= first_number_at(moment)
    ]
    before = await listed(house, until=moment - 1, limit=1_000)
    assert before == [row for row in every if int(row.id, 16) < first_number_at(moment)]
    assert await listed(house, since=2**53 - 1) == []


@in_house()
async def test_nobody_of_that_name(house: House) -> None:
    for query in ({"user": "nobody"}, {"group": "nothing"}):
        with pytest.raises(NotDone):
            await listed(house, **query)


@in_house()
async def test_each_record_comes_once_it_is_durable(house: House) -> None:
    events = house.broker.admin.events
    heard: list[EventRow] = []

    async def follow(query: EventQuery) -> None:
        async for row in await events.follow(query):
            heard.append(row)

    await trio.sleep(NOTED_S)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow, EventQuery(user="bob"))
        await trio.sleep(1)
        assert heard == []
        await something(house)
        nursery.cancel_scope.cancel()
    assert heard == (await listed(house, user="bob"))[1:]
    first, *rest = heard
    heard.clear()
    with trio.move_on_after(1):
        await follow(EventQuery(user="bob", after=first.id))
    assert heard == rest
