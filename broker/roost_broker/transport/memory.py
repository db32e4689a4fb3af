"""A network in memory: the broker's `Transport` on one side, a `trio.abc.Stream` for a device on the other.

Pipes hold a bounded number of bytes, so that a device that does not read fills them as it would fill a socket's
buffers. Nothing here is random; whoever wants delays or cuts wraps the device's stream.
"""

import operator
from collections.abc import Callable

import trio

from roost_broker.transport.port import ConnectionLost, PeerCertificate, Transport

PIPE_BYTES = 64 * 1024
"""Bytes under way in one direction: about what a socket's buffers hold."""

BACKLOG = 1_024
"""Connections waiting to be accepted."""


class _Pipe:
    """One direction. Reading and writing never block; `changed` wakes whoever waits for either."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.data = bytearray()
        self.ended = False  # the writer will write no more
        self.broken = False  # nobody will read, or the connection was cut
        self.changed = trio.lowlevel.ParkingLot()

    def write(self, data: bytes | bytearray | memoryview) -> int:
        if self.broken or self.ended:
            raise ConnectionLost("the connection is closed")
        taken = min(len(data), self.capacity - len(self.data))
        self.data += data[:taken]
        self.changed.unpark_all()
        return taken

    def read(self, bytes_max: int) -> bytes | None:
        """Bytes; empty at the end; None if there is nothing now."""
        if self.broken:
            raise ConnectionLost("the connection is closed")
        if not self.data:
            return b"" if self.ended else None
        taken = bytes(self.data[:bytes_max])
        del self.data[:bytes_max]
        self.changed.unpark_all()
        return taken

    def end(self) -> None:
        self.ended = True
        self.changed.unpark_all()

    def break_(self) -> None:
        self.broken = True
        self.changed.unpark_all()

    async def wait(self, ready: Callable[[], bool]) -> None:
        if self.broken or ready():
            await trio.lowlevel.checkpoint()
        while not (self.broken or ready()):
            await self.changed.park()
        if self.broken:
            raise ConnectionLost("the connection is closed")

    async def wait_readable(self) -> None:
        await self.wait(lambda: bool(self.data) or self.ended)

    async def wait_writable(self) -> None:
        await self.wait(lambda: self.ended or len(self.data) < self.capacity)


class MemoryTransport:
    """The broker's side. See `Transport`."""

    def __init__(self, incoming: _Pipe, outgoing: _Pipe, address: str) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self.address = address
        self.host = address.rpartition(":")[0]
        self.certificate: PeerCertificate | None = None
        """See `Transport.certificate`."""

    def try_send(self, data: bytes | memoryview) -> int:
        """See `Transport.try_send`."""
        return self._outgoing.write(data)

    def recv_nowait(self, bytes_max: int) -> bytes | None:
        """See `Transport.recv_nowait`."""
        return self._incoming.read(bytes_max)

    async def wait_readable(self) -> None:
        """See `Transport.wait_readable`."""
        await self._incoming.wait_readable()

    async def wait_writable(self) -> None:
        """See `Transport.wait_writable`."""
        await self._outgoing.wait_writable()

    def explain_end(self, reason: int, text: str) -> None:
        """See `Transport.explain_end`: bytes alone have no place for it."""

    def send_eof(self) -> None:
        """See `Transport.send_eof`."""
        self._outgoing.end()

    def close(self) -> None:
        """See `Transport.close`."""
        self._outgoing.end()
        self._incoming.break_()


class MemoryStream(trio.abc.HalfCloseableStream):
    """The device's side: a Trio stream. `cut` ends the connection at once, for both sides."""

    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._closed = False
        self._said_eof = False
        self._sending = self._receiving = False

    def _check(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this stream was closed here")

    def _check_sending(self) -> None:
        self._check()
        if self._said_eof:
            raise trio.ClosedResourceError("the end was said here")
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this stream")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See `trio.abc.SendStream.send_all`."""
        self._check_sending()
        self._sending = True
        try:
            await trio.lowlevel.checkpoint()
            rest = memoryview(data)
            while rest:
                await self._outgoing.wait_writable()
                self._check()
                rest = rest[self._outgoing.write(rest) :]
        except ConnectionLost as error:
            self._check()
            raise trio.BrokenResourceError(str(error)) from error
        finally:
            self._sending = False

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream.wait_send_all_might_not_block`."""
        self._check_sending()
        try:
            await self._outgoing.wait_writable()
        except ConnectionLost as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def send_eof(self) -> None:
        """See `trio.abc.HalfCloseableStream.send_eof`."""
        self._check()
        if not self._said_eof:
            self._check_sending()
        self._said_eof = True
        await trio.lowlevel.checkpoint()
        self._outgoing.end()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See `trio.abc.ReceiveStream.receive_some`."""
        self._check()
        if max_bytes is not None and operator.index(max_bytes) < 1:
            raise ValueError(f"max_bytes is at least 1, not {max_bytes}")
        if self._receiving:
            raise trio.BusyResourceError("another task is receiving on this stream")
        self._receiving = True
        try:
            await self._incoming.wait_readable()
            self._check()
            return self._incoming.read(max_bytes or PIPE_BYTES) or b""
        except ConnectionLost as error:
            self._check()
            raise trio.BrokenResourceError(str(error)) from error
        finally:
            self._receiving = False

    async def aclose(self) -> None:
        """See `trio.abc.AsyncResource.aclose`."""
        self._closed = True
        self._outgoing.end()
        self._incoming.break_()
        await trio.lowlevel.checkpoint()

    def cut(self) -> None:
        """The network fails: what is under way is lost, and both sides see the connection break."""
        self._outgoing.break_()
        self._incoming.break_()

    def lose_peer(self) -> None:
        """The broker's process ends: what it has sent still arrives, then the end; it takes nothing any more."""
        self._incoming.end()
        self._outgoing.break_()


class MemoryListener:
    """The broker's door, and `dial` for devices. See `Listener`."""

    def __init__(self, address: str = "memory:1", pipe_bytes: int = PIPE_BYTES) -> None:
        self.address = address
        self._pipe_bytes = pipe_bytes
        self._dialled = 0
        self.certificate: PeerCertificate | None = None
        """What devices show that dial from now on."""
        self._send, self._receive = trio.open_memory_channel[Transport](BACKLOG)

    async def dial(self, host: str = "memory") -> MemoryStream:
        """Connect as a device from `host`. A checkpoint. Raises OSError when nobody listens."""
        await trio.lowlevel.checkpoint()
        up, down = _Pipe(self._pipe_bytes), _Pipe(self._pipe_bytes)
        self._dialled += 1
        transport = MemoryTransport(up, down, f"{host}:{self._dialled}")
        transport.certificate = self.certificate
        try:
            self._send.send_nowait(transport)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.WouldBlock) as error:
            raise ConnectionRefusedError(f"nobody accepts connections at {self.address}") from error
        return MemoryStream(down, up)

    async def accept(self) -> Transport:
        """See `Listener.accept`."""
        try:
            return await self._receive.receive()
        except (trio.ClosedResourceError, trio.EndOfChannel) as error:
            raise ConnectionLost("the listener is closed") from error

    def close(self) -> None:
        """See `Listener.close`."""
        while True:
            try:
                self._receive.receive_nowait().close()
            except (trio.WouldBlock, trio.ClosedResourceError, trio.EndOfChannel):
                break
        self._receive.close()
