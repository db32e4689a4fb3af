"""One connection of the broker: a transport, the protocol core, and the outlet. What a session speaks through."""

import trio

from roost_broker.metrics import CONNECTED_AGAIN, PEER_GONE, Traffic
from roost_broker.outlet import Outlet
from roost_broker.transport import ConnectionLost, Transport
from roost_protocol import codec
from roost_protocol.connection import Connection, Event
from roost_protocol.errors import RemoteProtocolError
from roost_protocol.frames import Disconnect, Frame
from roost_protocol.limits import KIB, Limits
from roost_protocol.reasons import Reason
from roost_protocol.states import Role, State

FRAMES_AT_ONCE = 512
"""Frames that one read may bring before less is read at once: about 1 ms of decoding. Twice as many publishes as a
device may have unsettled by default."""

READ_BYTES_FIRST = 16 * KIB
"""So much is read at once at first: to begin with the least costs a busy publisher 6 % (measured)."""

READ_BYTES_LEAST = 4 * KIB
"""So much is read at once at the least: some 600 of the smallest frames."""


class Link:
    """Frames in and out of one connection.

    `say` queues, `flush` puts everything queued on the wire in one piece: one system call for each connection and
    batch, however many frames. `scope` is cancelled when the connection is over for this side. Bytes are counted in
    `traffic`.
    """

    __slots__ = (
        "_ended", "_limits", "_read_bytes", "_traffic", "connection", "ending", "outgoing", "outlet", "scope",
        "transport", "waiting_since",
    )  # fmt: skip

    def __init__(
        self, transport: Transport, nursery: trio.Nursery, limits: Limits, traffic: Traffic | None = None
    ) -> None:
        self.transport = transport
        self.connection = Connection(Role.BROKER, limits)
        self._traffic = traffic or Traffic()
        self.outlet = Outlet(transport, nursery, limits, self._traffic)
        self.outlet.lost = self.abandon
        self.scope = trio.CancelScope()
        self.waiting_since: float | None = None
        """Since when this side waits for the peer to say something; None while it is busy with what was said."""
        self._limits = limits
        self._read_bytes = min(READ_BYTES_FIRST, limits.read_bytes_max)
        self.outgoing: list[bytes] = []
        """Frames that wait for `flush`; a session appends its PUBACKs and DELIVERs itself."""
        self._ended = False
        self.ending = PEER_GONE
        """Why the connection ends, as it is counted: the peer has just gone, unless something else is known."""

    @property
    def ended(self) -> bool:
        """Whether this side has said its last frame, or the connection is lost."""
        return self._ended

    async def read(self) -> list[Event]:
        """The next events, at least one; none at all when the peer has closed.

        A peer whose frames are small is read in small pieces, so that nobody waits until very many are decoded.
        A checkpoint; safe to cancel. Raises ConnectionLost.
        """
        while True:
            self.waiting_since = trio.current_time()
            await self.transport.wait_readable()
            self.waiting_since = None
            try:
                data = self.transport.recv_nowait(self._read_bytes)
            except RemoteProtocolError as violation:
                return self.connection.break_off(violation)
            if data is None:
                continue
            self._traffic.received += len(data)
            if not data:
                return self.connection.receive_eof()
            events = self.connection.receive_data(data)
            if len(events) > FRAMES_AT_ONCE:
                self._read_bytes = max(READ_BYTES_LEAST, self._read_bytes // 2)
            elif len(data) >= self._read_bytes:
                self._read_bytes = min(2 * self._read_bytes, self._limits.read_bytes_max)
            if events:
                return events

    def say(self, frame: Frame) -> None:
        """Queue a frame. Says nothing after either side's end; raises LocalProtocolError if it may not be said now.

        The peer's end may have been read and not yet acted upon: frames that came with it are answered first.
        """
        if not (self._ended or self.connection.closed):
            self.outgoing.append(self.connection.send(frame))

    def delivered(self, position: int) -> None:
        """What is queued are DELIVERs up to `position`; see `Connection.delivered`."""
        connection = self.connection
        if connection.state is not State.CLOSED and position != connection.position:
            connection.delivered(position)

    def flush(self) -> None:
        """Put on the wire what was queued."""
        outgoing = self.outgoing
        if outgoing:
            data = outgoing[0] if len(outgoing) == 1 else b"".join(outgoing)
            outgoing.clear()
            self.outlet.send(data)

    def disconnect(self, frame: Disconnect) -> None:
        """Say why the connection ends, and end it. Allowed in every state, also after the peer broke the protocol."""
        if not self._ended:
            reason = Reason.of(frame.reason)
            self.ending = reason.name.lower() if reason.failed else CONNECTED_AGAIN
            self.transport.explain_end(frame.reason, frame.text)
            self.outgoing.append(codec.encode(frame))
            self.end()

    def dismiss(self, frame: Disconnect) -> None:
        """Say why the connection ends, as far as that can be said at once, and close it: nobody waits for the peer.

        For one that is owed nothing. What it is still sending may cost it this last frame.
        """
        if not self._ended:
            self.disconnect(frame)
            self.transport.send_eof()
            self.transport.close()

    def end(self) -> None:
        """Put on the wire what was queued, say nothing more, and stop reading."""
        if not self._ended:
            self._ended = True
            self.flush()
            self.scope.cancel()

    def abandon(self) -> None:
        """The transport is lost: nothing can be said any more."""
        if self.outlet.stalled and not self._ended:
            self.ending = Reason.WRITE_TIMEOUT.name.lower()
        self._ended = True
        self.outgoing.clear()
        self.scope.cancel()

    async def finish(self) -> None:
        """See `Outlet.finish`; at the end the transport is closed, also when this is cancelled."""
        try:
            await self.outlet.finish()
        except ConnectionLost:
            pass  # the peer went first: there is nobody to wait for
        finally:
            self.transport.close()
