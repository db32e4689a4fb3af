"""The write side of a connection: every byte in order whatever the transport takes at a time, within a bound."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from broker.house import in_virtual_time
from broker.wires import ScriptedTransport
from roost_broker.outlet import LINGER_S, Outlet
from roost_broker.transport import ConnectionLost
from roost_protocol.errors import RemoteProtocolError
from roost_protocol.limits import KIB, Limits
from roost_protocol.reasons import Reason

LIMITS = Limits(write_buffer_bytes_max=64 * KIB, write_timeout_s=10)


class Told:
    """What an outlet told its owner."""

    def __init__(self, outlet: Outlet) -> None:
        self.room = self.lost = 0
        outlet.room, outlet.lost = self._room, self._lost

    def _room(self) -> None:
        self.room += 1

    def _lost(self) -> None:
        self.lost += 1


@asynccontextmanager
async def outlet_on(transport: ScriptedTransport) -> AsyncIterator[tuple[Outlet, Told]]:
    async with trio.open_nursery() as nursery:
        outlet = Outlet(transport, nursery, LIMITS)
        yield outlet, Told(outlet)
        nursery.cancel_scope.cancel()


@in_virtual_time
async def test_what_the_transport_takes_at_once_is_one_send_and_no_task() -> None:
    transport = ScriptedTransport()
    async with outlet_on(transport) as (outlet, told):
        outlet.send(b"hello")
        assert (bytes(transport.sent), transport.sends, outlet.pending_bytes) == (b"hello", 1, 0)
        assert not trio.lowlevel.current_task().child_nurseries[0].child_tasks
        assert (told.room, told.lost) == (0, 0)


@in_virtual_time
async def test_the_rest_waits_and_what_comes_after_it_waits_behind() -> None:
    transport = ScriptedTransport(takes=lambda offered: 2)
    async with outlet_on(transport) as (outlet, told):
        outlet.send(b"hello")
        outlet.send(b" world")
        assert (bytes(transport.sent), outlet.pending_bytes) == (b"he", 9)
        await wait_all_tasks_blocked()
        assert bytes(transport.sent) == b"he"
        transport.takes = lambda offered: offered
        transport.writable.set()
        await wait_all_tasks_blocked()
        assert (bytes(transport.sent), outlet.pending_bytes, told.room) == (b"hello world", 0, 1)
        outlet.send(b"!")
        assert bytes(transport.sent) == b"hello world!"


@in_virtual_time
async def test_it_is_full_at_its_bound() -> None:
    transport = ScriptedTransport(takes=lambda offered: 0)
    async with outlet_on(transport) as (outlet, _):
        outlet.send(bytes(64 * KIB - 1))
        assert not outlet.full
        outlet.send(b"x")
        assert outlet.full


@in_virtual_time
async def test_a_transport_that_is_lost_is_told_once_and_takes_nothing_any_more() -> None:
    transport = ScriptedTransport()
    async with outlet_on(transport) as (outlet, told):
        transport.lose()
        outlet.send(b"hello")
        outlet.send(b"hello")
        assert (told.lost, told.room, outlet.pending_bytes) == (1, 0, 0)
        with pytest.raises(ConnectionLost):
            await outlet.finish()


@in_virtual_time
async def test_a_transport_that_is_lost_under_a_rest_drops_the_rest() -> None:
    transport = ScriptedTransport(takes=lambda offered: 1)
    async with outlet_on(transport) as (outlet, told):
        outlet.send(b"hello")
        transport.lose()
        await wait_all_tasks_blocked()
        assert (told.lost, told.room, outlet.pending_bytes, outlet.stalled) == (1, 0, 0, False)


@in_virtual_time
async def test_a_peer_that_takes_nothing_is_given_up_in_time() -> None:
    transport = ScriptedTransport(takes=lambda offered: 1)
    async with outlet_on(transport) as (outlet, told):
        outlet.send(b"hello")
        await trio.sleep(LIMITS.write_timeout_s - 0.1)
        assert (told.lost, outlet.stalled) == (0, False)
        await trio.sleep(0.2)
        assert (told.lost, told.room, outlet.stalled, outlet.pending_bytes) == (1, 0, True, 0)


@in_virtual_time
async def test_after_it_has_given_up_it_never_sends_again() -> None:
    """The stream broke off somewhere in a frame: whatever followed would be taken for the rest of it."""
    transport = ScriptedTransport(takes=lambda offered: 1)
    async with outlet_on(transport) as (outlet, told):
        outlet.send(b"hello")
        await trio.sleep(LIMITS.write_timeout_s + 1)
        transport.takes = lambda offered: offered
        transport.writable.set()
        outlet.send(b"world")
        await wait_all_tasks_blocked()
        assert (bytes(transport.sent), told.lost, outlet.pending_bytes) == (b"h", 1, 0)


@in_virtual_time
async def test_a_peer_that_takes_a_little_now_and_then_is_not_given_up() -> None:
    transport = ScriptedTransport(takes=lambda offered: 1)
    async with outlet_on(transport) as (outlet, told):
        outlet.send(b"hello")
        for _ in range(4):
            await trio.sleep(LIMITS.write_timeout_s - 1)
            transport.writable.set()
            transport.writable = trio.Event()
        await wait_all_tasks_blocked()
        assert (bytes(transport.sent), told.lost, told.room) == (b"hello", 0, 1)


@in_virtual_time
async def test_finish_sends_everything_says_so_and_waits_for_the_peer_to_go() -> None:
    transport = ScriptedTransport(takes=lambda offered: 1)
    async with outlet_on(transport) as (outlet, _), trio.open_nursery() as nursery:
        outlet.send(b"hello")
        nursery.start_soon(outlet.finish)
        await wait_all_tasks_blocked()
        assert not transport.eof
        transport.takes = lambda offered: offered
        transport.writable.set()
        await wait_all_tasks_blocked()
        assert (bytes(transport.sent), transport.eof) == (b"hello", True)
        started = trio.current_time()
        transport.arrives.extend([b"still talking", b""])
        transport.readable.set()
        await wait_all_tasks_blocked()
        assert not nursery.child_tasks
        assert trio.current_time() == started


@in_virtual_time
async def test_finish_does_not_wait_for_ever() -> None:
    transport = ScriptedTransport()
    async with outlet_on(transport) as (outlet, _):
        await outlet.finish()
        assert trio.current_time() == LINGER_S

    stuck = ScriptedTransport(takes=lambda offered: 0)
    async with outlet_on(stuck) as (outlet, _):
        outlet.send(b"hello")
        started = trio.current_time()
        with suppress(ConnectionLost):  # it gives up at the very moment when the rest does
            await outlet.finish()
        assert trio.current_time() - started <= LIMITS.write_timeout_s + LINGER_S


class Violated(ScriptedTransport):
    """A transport whose peer breaks its rules twice before it closes."""

    def __init__(self) -> None:
        super().__init__()
        self.violations = 2
        self.readable.set()

    def recv_nowait(self, bytes_max: int) -> bytes | None:
        """See `Transport.recv_nowait`."""
        if self.violations:
            self.violations -= 1
            raise RemoteProtocolError(Reason.PROTOCOL_ERROR, "again")
        return b""


@in_virtual_time
async def test_a_peer_that_breaks_the_rules_while_it_is_seen_off_is_seen_off() -> None:
    transport = Violated()
    async with outlet_on(transport) as (outlet, told):
        await outlet.finish()
        assert (transport.violations, transport.eof, told.lost) == (0, True, 0)
        assert trio.current_time() == 0, "it did not wait"


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=20),
    takes=st.lists(st.integers(0, 40), max_size=60),
    pauses=st.lists(st.booleans(), min_size=20, max_size=20),
)
def test_any_partial_sends_deliver_exactly_the_bytes(pieces: list[bytes], takes: list[int], pauses: list[bool]) -> None:
    script = iter(takes)

    async def main() -> None:
        transport = ScriptedTransport(takes=lambda offered: next(script, offered))
        transport.writable.set()
        async with outlet_on(transport) as (outlet, told):
            said = 0
            for piece, pause in zip(pieces, pauses, strict=False):
                outlet.send(piece)
                said += len(piece)
                assert outlet.pending_bytes == said - len(transport.sent)
                if pause:
                    await trio.lowlevel.checkpoint()
            await wait_all_tasks_blocked()
            assert (bytes(transport.sent), outlet.pending_bytes, told.lost) == (b"".join(pieces), 0, 0)

    trio.run(main, clock=MockClock(autojump_threshold=0))
