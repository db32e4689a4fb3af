"""The write side of one connection: sends at once what the transport takes, and keeps the rest in a bounded buffer.

Nobody who has something to say ever waits here, so that one slow peer costs a fan-out nothing. A task exists only
while there is a rest. The bound is kept by those who produce: past `write_buffer_bytes_max` the connection's frames
are not read and its session is not pumped, until there is room again; what can still be added then is bounded by
what is under way already (publishes to be answered, one read's worth of requests).
"""

from collections import deque
from collections.abc import Callable

import trio

from roost_broker.metrics import Traffic
from roost_broker.transport import ConnectionLost, Transport
from roost_protocol.errors import RemoteProtocolError
from roost_protocol.limits import Limits

LINGER_S = 2.0
"""How long to read on after the end, so that the last frame is not lost to a reset: a closed socket with unread bytes
makes the kernel throw away what the peer has not read yet."""


class Outlet:
    """Bytes out to one transport. `room` is called when a rest is gone; `lost` when the transport is.

    What the transport takes is counted in `traffic`.
    """

    __slots__ = (
        "_broken",
        "_flushing",
        "_limits",
        "_nursery",
        "_pending",
        "_traffic",
        "_transport",
        "lost",
        "pending_bytes",
        "room",
        "stalled",
    )

    def __init__(
        self, transport: Transport, nursery: trio.Nursery, limits: Limits, traffic: Traffic | None = None
    ) -> None:
        self._transport = transport
        self._traffic = traffic or Traffic()
        self._nursery = nursery
        self._limits = limits
        self._pending: deque[bytes | memoryview] | None = None  # made when there is a rest: most peers never have one
        self._flushing: trio.Event | None = None
        # Once lost, perhaps inside a frame: whatever followed would be taken for the rest of that frame.
        self._broken = False
        self.pending_bytes = 0
        self.stalled = False
        """The peer took no byte for `write_timeout_s`."""
        self.room: Callable[[], None] = _nothing
        self.lost: Callable[[], None] = _nothing

    @property
    def full(self) -> bool:
        """Whether no more may be produced for this peer now."""
        return self.pending_bytes >= self._limits.write_buffer_bytes_max

    def send(self, data: bytes) -> None:
        """Send or keep `data`. Never waits, never raises: a lost transport is told by `lost`, and sends no more."""
        if self._broken:
            return
        if self._flushing is not None:
            self._keep(data)
            return
        try:
            taken = self._transport.try_send(data)
        except ConnectionLost:
            self._break_off()
            return
        self._traffic.sent += taken
        if taken < len(data):
            self._keep(memoryview(data)[taken:])
            self._flushing = trio.Event()
            self._nursery.start_soon(self._flush, self._flushing)

    async def finish(self) -> None:
        """Wait until everything is sent, say so, and read on until the peer has closed; at most for the deadlines.

        A checkpoint; safe to cancel. Raises ConnectionLost.
        """
        with trio.move_on_after(self._limits.write_timeout_s):
            if self._flushing is not None:
                await self._flushing.wait()
        if self._broken:
            raise ConnectionLost("broken off before everything was sent")
        self._transport.send_eof()
        with trio.move_on_after(LINGER_S):
            while not self._is_at_end():
                await self._transport.wait_readable()

    def _is_at_end(self) -> bool:
        """Read what has arrived, and forget it; whether that was the end. Raises ConnectionLost."""
        try:
            return self._transport.recv_nowait(self._limits.read_bytes_max) == b""
        except RemoteProtocolError:
            return False  # the last word is said already: nobody is told what else was wrong

    def forget(self) -> None:
        """The connection is closed: let go of those who wanted to know, so that nothing is left in a cycle."""
        self.room = self.lost = _nothing

    def _keep(self, rest: bytes | memoryview) -> None:
        if self._pending is None:
            self._pending = deque()
        self._pending.append(rest)
        self.pending_bytes += len(rest)

    async def _flush(self, done: trio.Event) -> None:
        try:
            while self._pending:
                with trio.move_on_after(self._limits.write_timeout_s) as scope:
                    await self._transport.wait_writable()
                if scope.cancelled_caught:
                    self.stalled = True
                    raise ConnectionLost("the peer takes no bytes")
                self._write_some()
        except ConnectionLost:
            self._break_off()
        finally:
            self._flushing = self._pending = None
            done.set()
        if not self._broken:
            self.room()

    def _break_off(self) -> None:
        self._broken = True
        self._pending = None
        self.pending_bytes = 0
        self.lost()

    def _write_some(self) -> None:
        """Write until the transport takes no more. Raises ConnectionLost."""
        pending = self._pending
        while pending:
            rest = pending[0]
            taken = self._transport.try_send(rest)
            self.pending_bytes -= taken
            self._traffic.sent += taken
            if taken < len(rest):
                pending[0] = memoryview(rest)[taken:]
                return
            pending.popleft()


def _nothing() -> None:
    """Stand in until somebody wants to know."""
