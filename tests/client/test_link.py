"""One connection: the log-in and its failures, keepalive, time limits, the broker's last words; in virtual time."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from msgspec import structs

import roost
from client.scripted import GRANTED, Gone, Network, Peer, connect, deliver, next_of, puback
from roost.bounds import CONNECT_TIMEOUT_S, LOGIN_TIMEOUT_S, WRITE_TIMEOUT_S
from roost_protocol import codec
from roost_protocol import frames as f
from roost_protocol.reasons import Reason


async def _silent(peer: Peer) -> None:
    await peer.expect(f.Connect)
    await trio.sleep_forever()


async def _closed(peer: Peer) -> None:
    await peer.expect(f.Connect)
    await peer.cut()


async def _garbage(peer: Peer) -> None:
    await peer.stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def _without_bounds(peer: Peer) -> None:
    await peer.accept(granted=None)


@pytest.mark.parametrize(
    ("script", "message", "after_s"),
    [
        (_silent, "did not answer the log-in", LOGIN_TIMEOUT_S),
        (_closed, "closed the connection during the log-in|broke during the log-in", 0),
        (_garbage, "broke the protocol during the log-in", 0),
        (_without_bounds, "broke the protocol during the log-in", 0),
    ],
)
async def test_a_log_in_that_gets_no_answer_fails(
    script: Callable[[Peer], Awaitable[None]],
    message: str,
    after_s: float,
    nursery: trio.Nursery,
    autojump_clock: object,
) -> None:
    start = trio.current_time()
    with pytest.raises(roost.ConnectionFailed, match=message):
        async with connect(Network(nursery, script)):
            pass
    assert trio.current_time() - start == after_s
    nursery.cancel_scope.cancel()


async def test_a_broker_that_cannot_be_reached_is_a_failed_connection(autojump_clock: object) -> None:
    async def refused() -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        raise ConnectionRefusedError(111, "Connection refused")

    async def never() -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    with pytest.raises(roost.ConnectionFailed, match="Connection refused"):
        async with connect(refused):
            pass
    start = trio.current_time()
    with pytest.raises(roost.ConnectionFailed, match="no connection to the broker within"):
        async with connect(never):
            pass
    assert trio.current_time() - start == CONNECT_TIMEOUT_S


async def test_a_refused_log_in_says_why(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def script(peer: Peer) -> None:
        await peer.refuse(reason=Reason.SERVER_BUSY, text="too many log-ins", retry_after_s=3)

    async def disconnected(peer: Peer) -> None:
        await peer.expect(f.Connect)
        await peer.say(f.Disconnect(reason=Reason.SERVER_SHUTTING_DOWN, reconnect=True, reconnect_after_s=5))

    network = Network(nursery, script, disconnected)
    with pytest.raises(roost.LoginRefused, match="too many log-ins") as refused:
        async with connect(network):
            pass
    assert (refused.value.reason, refused.value.retry_after_s) == (Reason.SERVER_BUSY, 3)
    with pytest.raises(roost.LoginRefused, match="shutting down") as refused:
        async with connect(network):
            pass
    assert (refused.value.reason, refused.value.retry_after_s) == (Reason.SERVER_SHUTTING_DOWN, 5)


async def test_a_silent_device_pings_and_a_pong_keeps_it_alive(nursery: trio.Nursery, autojump_clock: object) -> None:
    pings: list[float] = []

    async def script(peer: Peer) -> None:
        await peer.accept(granted=structs.replace(GRANTED, keepalive_s=20))
        begin = trio.current_time()
        while True:
            await peer.expect(f.Ping)
            pings.append(trio.current_time() - begin)
            await peer.say(f.Pong())

    async with connect(Network(nursery, script), keepalive_s=99) as session:
        await trio.sleep(45)
        assert session.connected
    assert pings == [10, 20, 30, 40]


async def test_a_broker_that_says_nothing_is_given_up_after_one_and_a_half_keepalives(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    pings = 0

    async def mute(peer: Peer) -> None:
        nonlocal pings
        await peer.accept(granted=structs.replace(GRANTED, keepalive_s=20))
        while True:
            await peer.expect(f.Ping)
            pings += 1

    async with connect(Network(nursery, mute, Peer.accept)) as session:
        start = trio.current_time()
        lost = await next_of(session, roost.Disconnected)
        assert lost.reason is Reason.KEEP_ALIVE_TIMEOUT
        assert trio.current_time() - start == 30
        await next_of(session, roost.Connected)
    assert pings == 2


async def test_a_device_that_only_talks_pings_too(nursery: trio.Nursery, autojump_clock: object) -> None:
    async with connect(Network(nursery, Peer.accept), keepalive_s=60) as session:
        for _ in range(200):
            await session.send_ephemeral("user/bob", "typing")
            await trio.sleep(1)
        assert session.statistics().connects == 1


async def test_a_device_that_hears_enough_does_not_ping_for_nothing(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    pings: list[f.Frame] = []

    async def script(peer: Peer) -> None:
        await peer.accept(granted=structs.replace(GRANTED, keepalive_s=20))
        for seq in range(1, 20):
            await peer.say(deliver(seq))
            with trio.move_on_after(4):
                while True:
                    frame = await peer.next(pings=True)
                    if isinstance(frame, f.Ping):
                        pings.append(frame)

    async with connect(Network(nursery, script)) as session:
        for _ in range(19):
            await next_of(session, roost.Message)
    assert pings == []


class _FullPipe(trio.abc.Stream):
    """A stream whose other side takes nothing after the first write."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self.inner = inner
        self.writes = 0

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.writes += 1
        if self.writes > 1:
            await trio.sleep_forever()
        await self.inner.send_all(bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return bytes(await self.inner.receive_some(max_bytes))

    async def aclose(self) -> None:
        await self.inner.aclose()


async def test_a_broker_that_takes_nothing_is_given_up_and_nothing_more_is_sent(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    network = Network(nursery, Peer.accept)
    pipes: list[_FullPipe] = []

    async def dial() -> trio.abc.Stream:
        stream = await network.dial()
        if pipes:
            return stream
        pipes.append(_FullPipe(stream))
        return pipes[0]

    async with connect(dial, keepalive_s=600) as session:
        publication = session.publish_nowait("user/bob", "hi")
        start = trio.current_time()
        lost = await next_of(session, roost.Disconnected)
        assert lost.reason is Reason.WRITE_TIMEOUT
        assert trio.current_time() - start == WRITE_TIMEOUT_S
        await next_of(session, roost.Connected)
        await trio.sleep(1)
        publish = network.peers[1].heard[1]
        assert isinstance(publish, f.Publish)
        await network.peers[1].say(puback(1, publish))
        await publication.settled()
    assert pipes[0].writes == 2


async def test_the_brokers_last_words_count_though_writing_broke_first(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await trio.sleep(1)
        await peer.say(
            f.Disconnect(reason=Reason.SESSION_TAKEN_OVER, origin=f.Origin(by="phone-2", at=9, address="h:1"))
        )

    network = Network(nursery, script)
    device_side: list[trio.abc.Stream] = []

    class BreaksWriting(_FullPipe):
        async def send_all(self, data: bytes | bytearray | memoryview) -> None:
            self.writes += 1
            if self.writes > 1:
                raise trio.BrokenResourceError
            await self.inner.send_all(bytes(data))

    async def dial() -> trio.abc.Stream:
        device_side.append(BreaksWriting(await network.dial()))
        return device_side[-1]

    async with connect(dial) as session:
        session.publish_nowait("user/bob", "hi")
        assert (await next_of(session, roost.TakenOver)).by == "phone-2"
    assert len(device_side) == 1


async def test_a_broken_pipe_with_no_last_words_is_a_lost_connection(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    class BreaksWriting(_FullPipe):
        async def send_all(self, data: bytes | bytearray | memoryview) -> None:
            self.writes += 1
            if self.writes > 1:
                raise trio.BrokenResourceError
            await self.inner.send_all(bytes(data))

    network = Network(nursery, Peer.accept)

    async def dial() -> trio.abc.Stream:
        stream = await network.dial()
        return BreaksWriting(stream) if len(network.peers) == 1 else stream

    async with connect(dial) as session:
        session.publish_nowait("user/bob", "hi")
        lost = await next_of(session, roost.Disconnected)
        assert (lost.reason, lost.text) == (Reason.UNSPECIFIED_ERROR, "the connection broke")
        await next_of(session, roost.Connected)


async def _skips(peer: Peer) -> None:
    await peer.stream.send_all(codec.encode(deliver(2)))


async def _overruns(peer: Peer) -> None:
    await peer.say(*[deliver(seq) for seq in range(1, 10)])


async def _babbles(peer: Peer) -> None:
    await peer.stream.send_all(b"\x00\x00\x00\x05\x63abcd")


@pytest.mark.parametrize(
    ("violate", "reason"),
    [
        (_skips, Reason.PROTOCOL_ERROR),
        (_overruns, Reason.RECEIVE_MAXIMUM_EXCEEDED),
        (_babbles, Reason.PROTOCOL_ERROR),
    ],
)
async def test_a_broker_that_breaks_the_protocol_is_told_and_left(
    violate: Callable[[Peer], Awaitable[None]], reason: Reason, nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(head=9)
        await trio.testing.wait_all_tasks_blocked()
        await violate(peer)

    network = Network(nursery, script, Peer.accept)
    async with connect(network, receive_max=4) as session:
        await trio.sleep(3)
        lost = await next_of(session, roost.Disconnected)
        assert lost.reason is reason
        told = network.peers[0].heard[-1]
        assert isinstance(told, f.Disconnect)
        assert told.reason == reason


async def test_the_log_in_and_the_first_entries_may_come_in_one_piece(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def script(peer: Peer) -> None:
        connect_frame = await peer.expect(f.Connect)
        assert connect_frame.last_seq == 0
        await peer.say(f.Connack(epoch=1, head=2, granted=GRANTED), deliver(1), deliver(2))

    async with connect(Network(nursery, script)) as session:
        assert [(await next_of(session, roost.Message)).seq for _ in range(2)] == [1, 2]


async def test_cancelling_a_log_in_closes_its_connection(nursery: trio.Nursery, autojump_clock: object) -> None:
    gone = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.expect(f.Connect)
        try:
            await peer.next()
        except Gone:
            gone.set()

    with trio.move_on_after(1) as scope:
        async with connect(Network(nursery, script)):
            pass
    assert scope.cancelled_caught
    await gone.wait()
