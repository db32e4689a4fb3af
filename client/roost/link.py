"""One connection to the broker, from the log-in to its end: one task reads, one writes.

Only the writing task ever sends, so that no two tasks meet in `send_all`; and after a `send_all` that was cancelled
nothing is sent any more, since nobody knows how much of it went out. Whatever the ending, the reading task looks for
the broker's last words first: a DISCONNECT says more than a broken pipe.
"""

import math
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

import trio

from roost.bell import Bell
from roost.bounds import (
    CLOSE_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    LOGIN_TIMEOUT_S,
    READ_BYTES,
    VIOLATION_PAUSE_S,
    WRITE_TIMEOUT_S,
)
from roost.errors import ConnectionFailed, LoginRefused, StateUnusable
from roost_protocol import codec
from roost_protocol.connection import Connection, Event
from roost_protocol.errors import RemoteProtocolError
from roost_protocol.frames import Connack, Connect, Disconnect, Frame, Granted, Origin, Ping
from roost_protocol.reasons import Reason
from roost_protocol.states import Role

Dial = Callable[[], Awaitable[trio.abc.Stream]]
"""Opens a connection to the broker. Raises OSError, trio.BrokenResourceError or ConnectionFailed if it cannot."""


class Ending(NamedTuple):
    """How a connection ended. `reconnect`: whether the device may come back by itself, in `after_s` at the earliest."""

    reason: Reason
    text: str
    reconnect: bool = True
    after_s: float = 0.0
    origin: Origin | None = None


class Traffic(Protocol):
    """What a link carries."""

    bell: Bell
    """Rings when there is something to send."""

    def received(self, frame: Frame) -> None:
        """Take a frame in. Raises RemoteProtocolError if the broker may not say that."""
        ...

    async def take(self) -> list[Frame]:
        """What is to be sent now; may be none. Raises StateUnusable."""
        ...

    def next_at(self) -> float:
        """When to ask again though the bell has not rung."""
        ...


class Link:
    """A live connection. `run` it in one task; `leave` may be called from any."""

    def __init__(
        self, stream: trio.abc.Stream, connection: Connection, connack: Connack, granted: Granted, early: list[Event]
    ) -> None:
        self.connack = connack
        self.granted = granted
        self.began = trio.current_time()
        self._stream = stream
        self._connection = connection
        self._early = early
        self._keepalive_s = max(1, granted.keepalive_s)
        self._scope = trio.CancelScope()
        self._leaving = False
        self._bell: Bell | None = None
        self._farewell: Disconnect | None = None
        self._ending: Ending | None = None
        self._silent_ending = Ending(Reason.SUCCESS, "the connection was left")
        self._failure: StateUnusable | None = None
        self._sent_at = self._received_at = self._pinged_at = self.began

    async def run(self, traffic: Traffic) -> Ending:
        """Carry frames both ways until the connection is over, and close it. Raises StateUnusable.

        A checkpoint. Cancelling closes the connection without a word.
        """
        self._bell = traffic.bell
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read, traffic)
                    nursery.start_soon(self._write, traffic)
        finally:
            await trio.aclose_forcefully(self._stream)
        if self._failure is not None:
            raise self._failure
        return self._ending or self._silent_ending

    async def close(self) -> None:
        """Close the connection without a word: for one that is never run."""
        await trio.aclose_forcefully(self._stream)

    def leave(self) -> None:
        """Send what there is to send, say goodbye, and end; all of it within `CLOSE_TIMEOUT_S`."""
        self._leaving = True
        self._hurry()
        if self._bell is not None:
            self._bell.ring()

    # --- reading --------------------------------------------------------------------------------------------------

    async def _read(self, traffic: Traffic) -> None:
        silence_s = self._keepalive_s * 1.5
        with trio.CancelScope(deadline=trio.current_time() + silence_s) as scope:
            events: Sequence[Event] = self._early
            while self._take_in(events, traffic):
                try:
                    data = await self._stream.receive_some(READ_BYTES)
                except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                    self._over(Ending(Reason.UNSPECIFIED_ERROR, f"the connection broke: {error}".rstrip(": ")))
                    return
                self._received_at = trio.current_time()
                scope.deadline = self._received_at + silence_s
                if not data:
                    self._over(Ending(Reason.UNSPECIFIED_ERROR, "the broker closed the connection"))
                    return
                events = self._connection.receive_data(data)
        if scope.cancelled_caught:
            self._over(Ending(Reason.KEEP_ALIVE_TIMEOUT, f"nothing came from the broker for {silence_s:g} s"))

    def _take_in(self, events: Sequence[Event], traffic: Traffic) -> bool:
        """Pass the frames on; False when one of them was the last."""
        for event in events:
            if isinstance(event, RemoteProtocolError):
                return self._violated(event)
            if isinstance(event, Disconnect):
                self._over(_ending_of(event))
                return False
            try:
                traffic.received(event)
            except RemoteProtocolError as violation:
                return self._violated(violation)
        return True

    def _violated(self, violation: RemoteProtocolError) -> bool:
        text = f"the broker broke the protocol: {violation.text}"
        self._ending = Ending(violation.reason, text, after_s=VIOLATION_PAUSE_S)
        self._farewell = Disconnect(reason=violation.reason, text=violation.text)
        self.leave()
        return False

    # --- writing --------------------------------------------------------------------------------------------------

    async def _write(self, traffic: Traffic) -> None:
        sending = True
        while sending:
            try:
                frames = await traffic.take()
            except StateUnusable as error:
                self._failure = error
                self._scope.cancel()
                return
            if self._connection.closed or self._farewell is not None:
                frames = []  # it ended while these were being saved; what is unsettled goes out on the next connection
            if self._ping_at() <= trio.current_time():
                self._pinged_at = trio.current_time()
                frames.append(Ping())
            if frames:
                sending = await self._send(b"".join([self._connection.send(frame) for frame in frames]))
            elif self._leaving:
                await self._say_goodbye()
                return
            else:
                with trio.move_on_at(min(self._ping_at(), traffic.next_at())):
                    await traffic.bell.wait()

    def _ping_at(self) -> float:
        """When to ask whether the broker is there: after half a keepalive in which either side was silent."""
        if self._connection.closed:
            return math.inf
        quiet_since = max(min(self._sent_at, self._received_at), self._pinged_at)
        return quiet_since + self._keepalive_s / 2

    async def _send(self, data: bytes) -> bool:
        """Send it; False if nothing can be sent any more."""
        with trio.move_on_after(WRITE_TIMEOUT_S) as scope:
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._silent_ending = Ending(Reason.UNSPECIFIED_ERROR, "the connection broke")
                self._hurry()  # the reading task finds out why, if the broker said so
                return False
        if scope.cancelled_caught:
            self._over(Ending(Reason.WRITE_TIMEOUT, f"the broker took nothing for {WRITE_TIMEOUT_S:g} s"))
            return False
        self._sent_at = trio.current_time()
        return True

    async def _say_goodbye(self) -> None:
        """Send DISCONNECT and the end of the stream; the reading task then waits for the broker to close."""
        if await self._send(codec.encode(self._farewell or Disconnect())):
            if self._farewell is not None:
                self._scope.cancel()  # nobody reads any more after a violation
            else:
                await self._send_eof()

    async def _send_eof(self) -> None:
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            try:
                await self._stream.send_eof()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # it is closed already, which is what was wanted

    # --- the end --------------------------------------------------------------------------------------------------

    def _over(self, ending: Ending) -> None:
        if self._ending is None:
            self._ending = ending
        self._scope.cancel()

    def _hurry(self) -> None:
        """The rest must not take longer than a goodbye may."""
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + CLOSE_TIMEOUT_S)


async def log_in(dial: Dial, connect: Connect) -> Link:
    """Open a connection and log in on it.

    A checkpoint; cancelling closes the connection. Raises ConnectionFailed, LoginRefused.
    """
    stream = await _dialled(dial)
    try:
        with trio.fail_after(LOGIN_TIMEOUT_S):
            return await _logged_in(stream, connect)
    except BaseException as error:
        await trio.aclose_forcefully(stream)
        if isinstance(error, trio.TooSlowError):
            raise ConnectionFailed(f"the broker did not answer the log-in within {LOGIN_TIMEOUT_S:g} s") from error
        if isinstance(error, trio.BrokenResourceError | trio.ClosedResourceError):
            # In TLS 1.3 the broker says only here what it has against this side's certificate (RFC 8446, 4.4.2.4).
            why = f": {error.__cause__}" if isinstance(error.__cause__, ssl.SSLError) else ""
            raise ConnectionFailed(f"the connection broke during the log-in{why}") from error
        raise


async def _dialled(dial: Dial) -> trio.abc.Stream:
    try:
        with trio.fail_after(CONNECT_TIMEOUT_S):
            return await dial()
    except trio.TooSlowError as error:
        raise ConnectionFailed(f"no connection to the broker within {CONNECT_TIMEOUT_S:g} s") from error
    except (OSError, trio.BrokenResourceError) as error:
        raise ConnectionFailed(f"no connection to the broker: {error}") from error


async def _logged_in(stream: trio.abc.Stream, connect: Connect) -> Link:
    connection = Connection(Role.DEVICE)
    await stream.send_all(connection.send(connect))
    events: list[Event] = []
    while not events:
        data = await stream.receive_some(READ_BYTES)
        if not data:
            raise ConnectionFailed("the broker closed the connection during the log-in")
        events = connection.receive_data(data)
    match events[0]:
        case Connack(granted=Granted() as granted) as connack if not Reason.of(connack.reason).failed:
            return Link(stream, connection, connack, granted, events[1:])
        case Connack(reason=code, text=text, retry_after_s=retry_after_s, origin=origin) if Reason.of(code).failed:
            raise LoginRefused(Reason.of(code), text, retry_after_s, origin)
        case Disconnect() as told:
            ending = _ending_of(told)
            raise LoginRefused(ending.reason, ending.text, ending.after_s if ending.reconnect else None, ending.origin)
        case other:
            raise ConnectionFailed(f"the broker broke the protocol during the log-in: {other}"[:200])


def _ending_of(told: Disconnect) -> Ending:
    reason = Reason.of(told.reason)
    # A device that was taken over must not come back by itself, whatever else the frame says.
    reconnect = told.reconnect and reason is not Reason.SESSION_TAKEN_OVER
    return Ending(reason, told.text, reconnect, float(told.reconnect_after_s or 0), told.origin)
