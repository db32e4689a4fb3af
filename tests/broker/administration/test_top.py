"""`top`: two looks at a whole broker, and what lies between them, in virtual time."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import msgspec
import pytest
import trio

from broker.house import House, in_house
from broker.http.admin_door import admin_door
from roost_broker import survey as survey_module
from roost_broker.store import ReadFailed
from roost_protocol.admin.top import Sort, Top, TopDevice, TopQuery, TopUser
from roost_protocol.frames import Ack, Disconnect, Publish


class Watching:
    """Who looks on."""

    def __init__(self, intervals: AsyncIterator[Top]) -> None:
        self._intervals = intervals

    async def next(self) -> Top:
        """The interval that ends next."""
        return await anext(self._intervals)


@asynccontextmanager
async def watching(house: House, **query: Any) -> AsyncIterator[Watching]:
    """From now on."""
    intervals = await house.broker.admin.top.watch(TopQuery(**query))
    async with aclosing(cast("Any", intervals)), trio.open_nursery() as nursery:
        send, receive = trio.open_memory_channel[Top](0)

        async def run() -> None:
            async with send:
                async for each in intervals:
                    await send.send(each)

        nursery.start_soon(run)
        await trio.sleep(0.01)  # the first look
        yield Watching(receive)
        nursery.cancel_scope.cancel()


@in_house()
async def test_rates_are_those_of_the_interval_alone(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await house.fill(alice, "user/bob", 7)
    await bob.rest()
    async with watching(house, interval_s=2) as top:
        await house.fill(alice, "user/bob", 4, first=8)
        await bob.say(Ack(seq=7))
        await alice.publish(12, "user/nobody")
        await house.refusal("carol", password="wrong")
        now = await top.next()
        assert now.interval_s == pytest.approx(2, abs=0.05)
        rates = now.rates
        per_s = [rates.publishes, rates.publishes_refused, rates.deliveries, rates.acknowledgements]
        assert per_s == [pytest.approx(each, rel=0.05) for each in (2, 0.5, 4, 3.5)]
        assert rates.log_ins == 0
        assert rates.log_ins_refused == pytest.approx(0.5, rel=0.05)
        assert rates.received_bytes > 0
        assert rates.sent_bytes > rates.received_bytes
        assert (now.sessions, now.terminals["phone"], now.connections) == (2, 2, 3), "who was refused lingers"
        quiet = await top.next()
        assert quiet.time - now.time == pytest.approx(2_000, abs=20)
        assert (quiet.rates.publishes, quiet.rates.deliveries, quiet.rates.log_ins_refused) == (0, 0, 0)
        assert (quiet.users, quiet.devices) == ((), ())


@in_house(offload_s=0.02)
async def test_latency_is_that_of_the_interval_alone(house: House) -> None:
    """A commit takes 40 ms: what is measured is in its bucket, from 30 to 50 ms."""
    alice = await house.log_in("alice")
    async with watching(house, interval_s=1) as top:
        await alice.publish(1, "user/bob")
        now = await top.next()
        assert now.send_to_deliver.count == 1
        assert now.commit.count >= 1
        for percentile in (now.send_to_deliver.p50_s, now.send_to_deliver.p99_s, now.commit.p50_s):
            assert percentile is not None
            assert 0.03 <= percentile <= 0.05
        now = await top.next()
        assert (now.send_to_deliver.count, now.send_to_deliver.p50_s, now.send_to_deliver.p99_s) == (0, None, None)


async def some_bustle(house: House) -> None:
    """alice publishes 2 and 4 on two devices, bob 5; alice gets most, carol has room for two entries alone."""
    phone, pc, bob = await house.log_in("alice"), await house.log_in("alice", "pc"), await house.log_in("bob")
    carol = await house.log_in("carol", receive_max=2)
    await house.log_in("carol", "pad")
    await house.fill(phone, "user/alice", 2)
    await house.fill(pc, "user/alice", 4)
    await house.fill(bob, "user/carol", 3)
    await carol.rest(0.1)
    await carol.say(Ack(seq=2))
    await house.fill(bob, "user/carol", 2, first=4)


BUSIEST: list[tuple[Sort, list[tuple[str, int]], list[tuple[str, int]]]] = [
    (
        "publishes",
        [("alice", 6), ("bob", 5)],
        [("bob/phone", 5), ("alice/pc", 4), ("alice/phone", 2)],
    ),
    (
        "deliveries",
        [("alice", 12), ("carol", 9), ("bob", 5)],
        [("alice/phone", 6), ("alice/pc", 6), ("bob/phone", 5)],
    ),
    ("acknowledgements", [("carol", 2)], [("carol/phone", 2)]),
    ("backlog", [("carol", 1)], [("carol/phone", 1)]),
]


@pytest.mark.parametrize(("sort", "users", "devices"), BUSIEST)
@in_house()
async def test_the_busiest_by_what_is_asked_for(
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    sort: Sort,
    users: list[tuple[str, int]],
    devices: list[tuple[str, int]],
) -> None:
    """Three rows each at most, however the sessions fall into slices; nobody who did nothing."""
    monkeypatch.setattr(survey_module, "SLICE_SESSIONS", 2)
    async with watching(house, interval_s=3, sort=sort, limit=3) as top:
        await some_bustle(house)
        now = await top.next()

    def amount(row: TopUser | TopDevice) -> int:
        return row.backlog if sort == "backlog" else round(getattr(row, sort) * now.interval_s)

    assert [(row.user, amount(row)) for row in now.users] == users
    assert [(f"{row.user}/{row.terminal}", amount(row)) for row in now.devices] == devices
    assert {row.user: row.sessions for row in now.users}.get("alice", 2) == 2


@in_house()
async def test_a_slow_device_with_the_age_of_its_oldest_entry(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob", receive_max=3)
    await alice.publish(1, "user/bob")
    await trio.sleep(10)
    await house.fill(alice, "user/bob", 4, first=2)
    async with watching(house, interval_s=5) as top:
        now = await top.next()
        row = next(row for row in now.slow if row.user == "bob")
        assert (row.terminal, row.device, row.backlog, row.unacknowledged, row.full) == (
            "phone",
            "bob-phone",
            2,
            3,
            "window",
        )
        assert row.oldest_s == pytest.approx(15, abs=0.5)
        assert now.slow[0] == row, "alice acknowledges nothing, but was sent everything"
        assert (now.slow_devices, now.backlog, now.unacknowledged) == (1, 2, 5 + 3)
        await bob.rest(0.1)
        await bob.say(Ack(seq=3))
        await trio.sleep(1)
        await bob.rest(0.1)
        await bob.say(Ack(seq=5))
        now = await top.next()
        assert [row.user for row in now.slow] == ["alice"]


@in_house()
async def test_who_acknowledges_in_every_interval_is_not_slow(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    async with watching(house, interval_s=2) as top:
        for seq in range(1, 4):
            await alice.publish(seq, "user/bob")
            await bob.rest(0.5)
            if seq > 1:
                await bob.say(Ack(seq=seq - 1))
            now = await top.next()
            assert "bob" not in {row.user for row in now.slow}, seq
        now = await top.next()
        assert [(row.user, row.backlog, row.full) for row in now.slow if row.user == "bob"] == [("bob", 0, None)]


@in_house()
async def test_an_age_that_nobody_knows(house: House) -> None:
    """The oldest entry is trimmed, and after that the store cannot be read: the view goes on."""
    alice, _ = await house.log_in("alice"), await house.log_in("bob", receive_max=1)
    await house.fill(alice, "user/bob", 3)
    async with watching(house, interval_s=1) as top:
        house.store.holes.update(range(1, 10))
        assert {row.user: row.oldest_s for row in (await top.next()).slow}["bob"] is None
        house.store.holes.clear()
        house.store.read_faults += [ReadFailed("damaged")] * 2
        now = await top.next()
        assert {row.user: row.oldest_s for row in now.slow}["bob"] is None
        assert not house.store.read_faults
        assert {row.user: row.oldest_s for row in (await top.next()).slow}["bob"] is not None


@in_house(limits={"takeovers_max": 3})
async def test_who_flaps(house: House) -> None:
    await house.log_in("bob", "pc", "one")
    await house.log_in("bob", "pc", "two")  # once is nothing
    async with watching(house, interval_s=5) as top:
        assert (await top.next()).flapping == ()
        for n in range(4):
            await house.log_in("alice", "pc", f"device-{n % 2}")
        await house.refusal("alice", "pc", "device-0")
        now = await top.next()
        (row,) = now.flapping
        assert (row.user, row.terminal, row.device, row.takeovers, row.damped) == ("alice", "pc", "device-1", 3, 1)
        assert row.wait_s is not None
        assert 50 < row.wait_s <= 60
        session = await house.broker.admin.sessions.show("alice", "pc")
        assert (session.takeovers, session.damped) == (3, 1)
        assert session.wait_s is not None
        assert session in (await house.broker.admin.sessions.list()).sessions
        assert now.rates.takeovers == pytest.approx(3 / 5, rel=0.05)


@in_house(limits={"login_failures_per_address_max": 2})
async def test_who_is_throttled(house: House) -> None:
    async with watching(house, interval_s=5) as top:
        assert (await top.next()).throttled == ()
        for _ in range(4):
            await house.refusal("alice", "pc", password="guess", host="198.51.100.1")
        (row,) = (await top.next()).throttled
        assert (row.by, row.who, row.failures, row.refused) == ("address", "198.51.100.1", 2, 2)
        assert row.wait_s is None, "a second has gone by"


@in_house()
async def test_a_session_that_ends_in_the_interval_counts_for_the_node(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    async with watching(house, interval_s=1) as top:
        await house.fill(alice, "user/bob", 4)
        for device in (alice, bob):
            await device.say(Disconnect())
        now = await top.next()
    assert (now.sessions, now.devices) == (0, ())
    assert now.rates.deliveries * now.interval_s == pytest.approx(8)
    assert now.rates.publishes * now.interval_s == pytest.approx(4)


@in_house(limits={"publish_max": 4})
async def test_each_publish_counts_for_the_device_that_sent_it(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    async with watching(house, interval_s=5) as top:
        await alice.say(*(Publish(n=n, to="user/bob", text="x") for n in range(1, 13)))
        await bob.say(*(Publish(n=n, to="user/alice", text="x") for n in range(1, 8)))
        now = await top.next()
    assert [(row.user, round(row.publishes * now.interval_s)) for row in now.devices] == [("alice", 12), ("bob", 7)]


# --- over HTTP ---


@in_house()
async def test_intervals_come_as_events(house: House) -> None:
    await house.log_in("alice")
    async with admin_door(house) as door:
        peer = door.dial()
        await peer.send(b"GET /v1/top?interval_s=1&limit=1&sort=backlog HTTP/1.1\r\nhost: x\r\n\r\n")
        seen = b""
        with trio.fail_after(10):
            while seen.count(b"data: ") < 3:
                seen += bytes(await peer.stream.receive_some())
        assert b"text/event-stream" in seen
        documents = [line.removeprefix(b"data: ") for line in seen.splitlines() if line.startswith(b"data: ")]
        assert [msgspec.json.decode(each, type=Top).sessions for each in documents[:2]] == [1, 1]


@pytest.mark.parametrize(
    "query", ["interval_s=0", "interval_s=61", "interval_s=NaN", "limit=0", "limit=101", "sort=name", "x=1"]
)
@in_house()
async def test_what_cannot_be_asked(house: House, query: str) -> None:
    async with admin_door(house) as door:
        assert (await door.dial().ask("GET", f"/v1/top?{query}")).status == 400
        assert (await door.dial().ask("POST", "/v1/top")).status == 405
