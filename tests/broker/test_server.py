"""Connections: accepted within bounds, each living and dying by itself."""

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from broker.house import PASSWORD, Device, House, in_house, in_virtual_time, open_house
from roost_broker import server as server_module
from roost_broker.link import Link
from roost_broker.server import Server
from roost_broker.session import Session
from roost_broker.store import ReadFailed
from roost_broker.transport.memory import MemoryListener, MemoryStream
from roost_protocol import codec
from roost_protocol.frames import Connack, Connect, Disconnect, Fetch, Frame, Ping, Publish, Result
from roost_protocol.reasons import Reason

HERE = (("alice", "phone"), ("bob", "phone"), ("bob", "pc"))


async def turned_away(house: House, host: str = "memory") -> Disconnect:
    """A connection that is told that there is no place for it."""
    stranger = await house.dial(host)
    dismissal = await stranger.expect_dismissal(Reason.SERVER_BUSY)
    await stranger.stream.aclose()
    await trio.sleep(0.1)
    assert dismissal.reconnect
    assert dismissal.reconnect_after_s
    return dismissal


@in_house(limits={"connections_max": 3, "connections_before_login_max": 3})
async def test_so_many_connections_in_all(house: House) -> None:
    alice, bob, pc = [await house.log_in(user, terminal) for user, terminal in HERE]
    assert "3 connections" in (await turned_away(house)).text
    for device in (alice, bob):
        await device.expect_alive()
    await pc.stream.aclose()
    await trio.sleep(0.1)
    await house.log_in("carol")


@in_house(limits={"connections_max": 3, "connections_before_login_max": 3})
async def test_whoever_has_not_logged_in_makes_place_for_others(house: House) -> None:
    alice, bob, stranger = await house.log_in("alice"), await house.log_in("bob"), await house.dial()
    await trio.sleep(0.1)
    await house.log_in("carol")
    await stranger.expect_dismissal(Reason.SERVER_BUSY)
    for device in (alice, bob):
        await device.expect_alive()


@in_house()
async def test_no_more_than_there_are_file_descriptors_for(house: House) -> None:
    listener = MemoryListener()
    server = Server(house.core, places=2)
    house.core.nursery.start_soon(server.serve, listener)
    for user in ("alice", "bob"):
        device = Device(await listener.dial())
        await device.say(Connect(user=user, password=PASSWORD, terminal="pc", device=user))
        await device.expect(Connack)
    refused = await Device(await listener.dial()).expect_dismissal(Reason.SERVER_BUSY)
    assert "2 connections" in refused.text
    assert house.core.metrics.no_place == {"connections_max": 1}


@in_house(limits={"connections_before_login_max": 2}, offload_s=1)
async def test_so_many_strangers(house: House) -> None:
    """While two are looked at there is no place for a third; see `test_strangers` for those who say nothing."""
    await house.log_in("alice")
    await house.log_in("bob")
    strangers = [await house.ask_in("carol", terminal) for terminal in ("phone", "pc")]
    await trio.sleep(0.1)
    assert "not logged in" in (await turned_away(house)).text
    for stranger in strangers:
        assert (await stranger.expect(Connack)).reason == Reason.SUCCESS
    await house.log_in("carol", "pad")


@in_house(limits={"connections_before_login_per_address_max": 2})
async def test_one_address_cannot_keep_everybody_from_the_door(house: House) -> None:
    await house.log_in("alice", host="10.0.0.1")
    strangers = [await house.dial("10.0.0.1") for _ in range(2)]
    await trio.sleep(0.1)
    assert "from 10.0.0.1 are not logged in" in (await turned_away(house, "10.0.0.1")).text
    assert house.core.metrics.no_place == {"connections_before_login_per_address_max": 1}
    await house.log_in("bob", host="10.0.0.2")
    await strangers[0].stream.aclose()
    await trio.sleep(0.1)
    await house.log_in("carol", host="10.0.0.1")
    await trio.sleep(0.1)
    left = vars(house.broker.server)["_strangers"]
    assert (left.total, left.of("10.0.0.1")) == (1, 1)


@in_house(limits={"connections_per_address_max": 2})
async def test_so_many_from_one_address(house: House) -> None:
    for terminal in ("phone", "pc"):
        await house.log_in("alice", terminal, host="10.0.0.1")
    assert "10.0.0.1" in (await turned_away(house, "10.0.0.1")).text
    await house.log_in("bob", host="10.0.0.2")


@in_house(limits={"connections_per_address_max": 2})
async def test_the_addresses_of_one_ipv6_site_are_one(house: House) -> None:
    """Whoever has one has 2^64 of them."""
    for number in (1, 2):
        await house.log_in("alice", "phone" if number == 1 else "pc", host=f"2001:db8::{number}")
    assert "2001:db8::/64" in (await turned_away(house, "2001:db8::3")).text
    await house.log_in("bob", host="2001:db8:0:1::1")


@in_house(limits={"connections_max": 4, "connections_before_login_max": 4, "connections_per_address_max": 2})
async def test_one_address_cannot_take_every_place_however_often_it_knocks(house: House) -> None:
    """Those that were turned away linger until their peer has closed: they must not count as taken places."""
    for terminal in ("phone", "pc"):
        await house.log_in("alice", terminal, host="10.0.0.1")
    knocking = [await house.dial("10.0.0.1") for _ in range(20)]
    await trio.sleep(0.1)
    await house.log_in("bob", host="10.0.0.2")
    for each in knocking:
        await each.expect_dismissal(Reason.SERVER_BUSY)


@in_virtual_time
async def test_a_flood_is_turned_away_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """To be told costs a task and a connection for a moment, so only so many at once are told."""
    monkeypatch.setattr(server_module, "TURNED_AWAY_MAX", 5)
    async with open_house(limits={"connections_max": 2, "connections_before_login_max": 2}) as house:
        for user in ("alice", "bob"):
            await house.log_in(user)
        flood = [await house.dial() for _ in range(50)]
        await trio.sleep(0.1)
        assert house.broker.server.connections == 2
        told = [await each.hear() for each in flood]
        assert sum(isinstance(frame, Disconnect) for frame in told) == 5
        assert told.count(None) == 45


@in_house()
async def test_nothing_is_left_of_a_connection_that_is_gone(house: House) -> None:
    for terminal in ("phone", "pc"):
        alice = await house.log_in("alice", terminal)
        await alice.say(Disconnect())
        await alice.expect_end()
        await alice.stream.aclose()
    await trio.sleep(0.1)
    assert house.broker.server.connections == 0
    await house.broker.server.wait_no_connections()


def connections() -> list[Session | Link]:
    """All there are in memory, also those that only the collector would find."""
    return [there for there in gc.get_objects() if isinstance(there, Session | Link)]


@in_house()
async def test_what_is_gone_leaves_nothing_for_the_collector(house: House) -> None:
    """A busy broker lets the cyclic collector look seldom: a session that has ended must be in no cycle."""
    gc.collect()
    before = {id(there) for there in connections()}  # of other tests, kept by what they say of themselves
    gc.disable()
    try:
        await house.log_in("alice")
        for terminal in ("pad", "web"):
            device = await house.log_in("alice", terminal)
            await device.stream.aclose()
            del device
        await house.log_in("alice", device="other")  # takes over
        await trio.sleep(20)
        left = [type(there) for there in connections() if id(there) not in before]
    finally:
        gc.enable()
    assert left.count(Session) == left.count(Link) == 1


WRONG = {
    "no length": bytes(5),
    "no frame": b"\0\0\0\3\1\xc1\xc1",
    "cut off": b"\0\0\0",
    "too long": b"\xff" * 4,
    "before CONNECT": codec.encode(Ping()),
}


@pytest.mark.parametrize("said", WRONG.values(), ids=WRONG)
@in_house()
async def test_who_broke_the_protocol_leaves_nothing_either(house: House, said: bytes) -> None:
    """The violation is an exception, which knows the frames it came through, in which it is kept."""
    gc.collect()
    before = {id(there) for there in connections()}
    gc.disable()
    try:
        for _ in range(3):
            stranger = await house.dial()
            await stranger.stream.send_all(said)
            await stranger.stream.send_eof()
            await stranger.expect(Disconnect)
            await stranger.stream.aclose()
            del stranger
        await trio.sleep(20)
        left = [type(there) for there in connections() if id(there) not in before]
    finally:
        gc.enable()
    assert not left


@in_house()
async def test_a_peer_that_does_not_close_is_closed(house: House) -> None:
    """It was told; it goes on talking, and does not go."""
    alice = await house.log_in("alice")
    await alice.stream.send_all(b"\0\0\0\0")
    await trio.sleep(1)
    await alice.stream.send_all(b"x" * 1000)
    assert house.broker.server.connections == 1
    await trio.sleep(2)
    assert house.broker.server.connections == 0
    assert isinstance(await alice.hear(), Disconnect)


@in_house()
async def test_a_read_that_fails_costs_one_answer(house: House, caplog: pytest.LogCaptureFixture) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")

    def fails(*_: object, **__: object) -> None:
        raise ReadFailed("a bad sector")

    vars(house.store)["read_conversation"] = fails
    await alice.say(Fetch(request=1))
    said = await alice.expect(Result)
    assert (said.request, said.reason, bool(said.retry_after_s)) == (1, Reason.UNSPECIFIED_ERROR, True)
    await alice.expect_alive()
    await bob.expect_alive()
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "a bad sector" in record.getMessage()
    assert not record.exc_info


@in_house()
async def test_a_defect_costs_one_connection_and_is_logged_whole(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")

    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    vars(house.store)["read_conversation"] = fails
    await alice.say(Fetch(request=1))
    await alice.rest()
    assert alice.at_end
    assert [session.user_name for session in house.core.directory] == ["bob"]
    await bob.expect_alive()
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.exc_info


@in_virtual_time
async def test_a_server_stops_accepting_when_its_listener_is_closed() -> None:
    async with open_house() as house:
        listener = MemoryListener()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Server(house.core).serve, listener)
            await (await listener.dial()).aclose()
            await trio.sleep(1)
            listener.close()
        with pytest.raises(ConnectionRefusedError):
            await listener.dial()


# --- whatever bytes come ------------------------------------------------------------------------------------------

RIGHT: list[Frame] = [
    Connect(user="alice", password=PASSWORD, terminal="phone", device="alice-phone"),
    Ping(),
    Fetch(request=1),
    Publish(n=1, to="user/bob", text="x"),
    Disconnect(),
]
PIECES = st.one_of(st.sampled_from([codec.encode(frame) for frame in RIGHT]), st.binary(max_size=40))


@settings(max_examples=60)
@given(pieces=st.lists(PIECES, max_size=8), logs_in=st.booleans(), ends=st.booleans(), seed=st.integers(0, 2**16))
def test_whatever_a_peer_sends_the_broker_goes_on(pieces: list[bytes], logs_in: bool, ends: bool, seed: int) -> None:
    """Frames and rubbish in any order and any chunks: the connection may end, and nothing else is affected."""
    random = Random(seed)  # noqa: S311  # where to cut

    async def main() -> None:
        async with open_house() as house:
            bob = await house.log_in("bob")
            stream = (await (house.log_in("alice") if logs_in else house.dial())).stream
            data = b"".join(pieces)
            cuts = sorted(random.randint(0, len(data)) for _ in range(3))
            with suppress(trio.BrokenResourceError):  # closed before everything was said
                for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                    await stream.send_all(data[start:end])
                    await trio.sleep(random.choice([0, 0.01]))
                if ends:
                    await stream.send_eof()
            await check_answers(stream)
            await bob.expect_alive()

    with errors_logged() as errors:
        trio.run(main, clock=MockClock(autojump_threshold=0))
    assert not errors


async def check_answers(stream: MemoryStream) -> None:
    """What the broker says is whole frames, and after a DISCONNECT nothing."""
    frames = codec.ReceiveBuffer(2**20)
    said: list[Frame] = []
    with trio.move_on_after(1), suppress(trio.BrokenResourceError):
        while data := await stream.receive_some():
            said += frames.cut(data)
    assert len(frames) == 0
    assert not any(isinstance(frame, Disconnect) for frame in said[:-1])


@contextmanager
def errors_logged() -> Iterator[list[str]]:
    """What the broker logs as an error, or with a traceback."""
    errors: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.ERROR or record.exc_info:
                errors.append(record.getMessage())

    logger, listening = logging.getLogger("roost_broker"), Listening()
    logger.addHandler(listening)
    try:
        yield errors
    finally:
        logger.removeHandler(listening)
