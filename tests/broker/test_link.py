"""One connection of the broker: frames in and out of a transport."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from broker.house import in_virtual_time
from broker.wires import ScriptedTransport
from roost_broker.link import FRAMES_AT_ONCE, Link
from roost_broker.transport import ConnectionLost
from roost_protocol import LocalProtocolError, RemoteProtocolError, codec
from roost_protocol.frames import Connack, Connect, Disconnect, Ping, Pong, Publish
from roost_protocol.limits import Limits
from roost_protocol.reasons import Reason

CONNECT = Connect(user="alice", password="x", terminal="phone", device="a1")


@asynccontextmanager
async def link_on(transport: ScriptedTransport, *, live: bool = False) -> AsyncIterator[Link]:
    async with trio.open_nursery() as nursery:
        link = Link(transport, nursery, Limits())
        if live:
            transport.arrives.append(codec.encode(CONNECT))
            await link.read()
            link.say(Connack())
            link.flush()
            transport.sent.clear()
            transport.sends = 0
        yield link
        nursery.cancel_scope.cancel()


def waiting_since(link: Link) -> float | None:
    """As of now: what another task does to it is not seen by the type checker."""
    return link.waiting_since


async def ended_scope(link: Link) -> bool:
    """Whether the scope ends whoever is in it."""
    with link.scope:
        await trio.lowlevel.checkpoint()
    return link.scope.cancelled_caught


@in_virtual_time
async def test_read_gives_whole_frames_however_they_come() -> None:
    transport = ScriptedTransport()
    async with link_on(transport) as link:
        encoded = codec.encode(CONNECT)
        transport.arrives.extend(encoded[i : i + 1] for i in range(len(encoded)))
        assert await link.read() == [CONNECT]
        assert not transport.arrives


@in_virtual_time
async def test_read_gives_nothing_at_the_end_and_a_violation_inside_a_frame() -> None:
    transport = ScriptedTransport()
    async with link_on(transport, live=True) as link:
        transport.arrives.append(b"")
        assert await link.read() == []

    transport = ScriptedTransport()
    async with link_on(transport, live=True) as link:
        transport.arrives.extend([b"\0\0", b""])
        (violation,) = await link.read()
        assert isinstance(violation, RemoteProtocolError)
        assert violation.reason is Reason.MALFORMED_PACKET


@in_virtual_time
async def test_it_says_since_when_it_waits_for_the_peer() -> None:
    transport = ScriptedTransport()
    async with link_on(transport, live=True) as link, trio.open_nursery() as nursery:
        assert waiting_since(link) is None
        await trio.sleep(3)
        nursery.start_soon(link.read)
        await wait_all_tasks_blocked()
        assert waiting_since(link) == 3
        await trio.sleep(1)
        transport.arrives.append(codec.encode(Ping()))
        transport.readable.set()
        await wait_all_tasks_blocked()
        assert waiting_since(link) is None


@in_virtual_time
async def test_what_was_said_goes_out_in_one_piece() -> None:
    transport = ScriptedTransport()
    async with link_on(transport, live=True) as link:
        for _ in range(3):
            link.say(Pong())
        assert transport.sends == 0
        link.flush()
        link.flush()
        assert (transport.sends, bytes(transport.sent)) == (1, 3 * codec.encode(Pong()))


@in_virtual_time
async def test_it_says_only_what_the_protocol_allows() -> None:
    transport = ScriptedTransport()
    async with link_on(transport) as link:
        with pytest.raises(LocalProtocolError):
            link.say(Pong())
        link.flush()
        assert not transport.sent


@in_virtual_time
async def test_a_disconnect_is_the_last_frame_and_ends_the_scope() -> None:
    transport = ScriptedTransport()
    async with link_on(transport, live=True) as link:
        link.say(Pong())
        link.disconnect(Disconnect(reason=Reason.SERVER_BUSY))
        link.say(Pong())
        link.disconnect(Disconnect())
        link.flush()
        assert await ended_scope(link)
        assert link.ended
        assert bytes(transport.sent) == codec.encode(Pong()) + codec.encode(Disconnect(reason=Reason.SERVER_BUSY))
        assert transport.sends == 1


@in_virtual_time
async def test_a_disconnect_may_be_said_in_every_state() -> None:
    transport = ScriptedTransport()
    async with link_on(transport) as link:
        transport.arrives.append(b"\0\0\0\0")
        assert isinstance((await link.read())[-1], RemoteProtocolError)
        link.disconnect(Disconnect(reason=Reason.MALFORMED_PACKET))
        assert bytes(transport.sent) == codec.encode(Disconnect(reason=Reason.MALFORMED_PACKET))


@in_virtual_time
async def test_after_the_peer_has_ended_nothing_is_said_and_nothing_is_raised() -> None:
    """The peer's end came with frames before it: who answers those finds the connection closed."""
    transport = ScriptedTransport()
    async with link_on(transport, live=True) as link:
        transport.arrives.append(codec.encode(Ping()) + codec.encode(Disconnect()))
        assert await link.read() == [Ping(), Disconnect()]
        link.say(Pong())
        link.delivered(5)
        link.flush()
        assert not transport.sent


@in_virtual_time
async def test_a_lost_transport_ends_the_link_without_a_word() -> None:
    transport = ScriptedTransport()
    async with link_on(transport, live=True) as link:
        transport.lose()
        link.say(Pong())
        link.flush()
        assert await ended_scope(link)
        assert link.ended
        assert not link.outgoing
        await link.finish()
        assert transport.closed
        with pytest.raises(ConnectionLost):
            await link.read()


@in_virtual_time
async def test_finish_closes_the_transport_also_when_it_is_cancelled() -> None:
    transport = ScriptedTransport(takes=lambda offered: 0)
    async with link_on(transport, live=False) as link:
        link.disconnect(Disconnect())
        with trio.move_on_after(1) as scope:
            await link.finish()
        assert scope.cancelled_caught
        assert transport.closed


@in_virtual_time
async def test_a_transport_that_finds_its_own_rules_broken() -> None:
    """As if the protocol's were: what came before is answered, and nothing after it is looked at."""
    transport = BrokenRules()
    async with link_on(transport, live=True) as link:
        transport.violation = RemoteProtocolError(Reason.PROTOCOL_ERROR, "WebSocket: no mask")
        assert await link.read() == [transport.violation]
        assert link.connection.closed
        link.say(Pong())
        link.disconnect(Disconnect(reason=Reason.PROTOCOL_ERROR, text="no mask"))
        assert bytes(transport.sent) == codec.encode(Disconnect(reason=Reason.PROTOCOL_ERROR, text="no mask"))
        assert transport.explained == (Reason.PROTOCOL_ERROR, "no mask"), "a transport may say it in its own words"


class BrokenRules(ScriptedTransport):
    """Raises a violation, once there is one."""

    violation: RemoteProtocolError | None = None

    async def wait_readable(self) -> None:
        """See `Transport.wait_readable`."""
        if self.violation is None:
            await super().wait_readable()

    def recv_nowait(self, bytes_max: int) -> bytes | None:
        """See `Transport.recv_nowait`."""
        if self.violation is not None:
            raise self.violation
        return super().recv_nowait(bytes_max)


@in_virtual_time
async def test_who_is_dismissed_is_told_and_not_waited_for() -> None:
    transport = ScriptedTransport()
    async with link_on(transport) as link:
        link.dismiss(Disconnect(reason=Reason.SERVER_BUSY))
        assert transport.sent == codec.encode(Disconnect(reason=Reason.SERVER_BUSY))
        assert transport.eof
        assert transport.closed
        assert link.ending == "server_busy"
        assert await ended_scope(link)


class Telling(ScriptedTransport):
    """Has as much to read as is asked for, and notes how much that was."""

    def __init__(self, frame: bytes) -> None:
        super().__init__()
        self._stream = frame * (2 * Limits().read_bytes_max // len(frame) + 1)
        self._frame_bytes = len(frame)
        self._at = 0
        self.asked: list[int] = []

    async def wait_readable(self) -> None:
        await trio.lowlevel.checkpoint()

    def recv_nowait(self, bytes_max: int) -> bytes | None:
        self.asked.append(bytes_max)
        data = self._stream[self._at : self._at + bytes_max]
        self._at = (self._at + bytes_max) % self._frame_bytes
        return data


@in_virtual_time
async def test_small_frames_are_read_few_at_a_time() -> None:
    """Nobody else waits until thousands of them are decoded."""
    transport = Telling(codec.encode(Ping()))
    async with trio.open_nursery() as nursery:
        link = Link(transport, nursery, Limits())
        link.connection.receive_data(codec.encode(CONNECT))
        link.say(Connack())
        frames = [len(await link.read()) for _ in range(20)]
        assert max(frames) <= 6 * FRAMES_AT_ONCE
        assert max(frames[3:]) <= 2 * FRAMES_AT_ONCE


@in_virtual_time
async def test_large_frames_are_read_many_at_a_time() -> None:
    transport = Telling(codec.encode(Publish(n=1, to="user/bob", text="x" * 4000)))
    async with trio.open_nursery() as nursery:
        link = Link(transport, nursery, Limits())
        link.connection.receive_data(codec.encode(CONNECT))
        link.say(Connack())
        for _ in range(20):
            await link.read()
        assert transport.asked[-1] == Limits().read_bytes_max
