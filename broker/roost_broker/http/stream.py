"""A `Transport` as a Trio stream, for what is spoken over streams: HTTP before, or instead of, a WebSocket."""

import trio

from roost_broker.transport import ConnectionLost, Listener, Transport

READ_BYTES = 64 * 1024


class TransportStream(trio.abc.HalfCloseableStream):
    """See `trio.abc.HalfCloseableStream`. Whoever wants to go on without it takes `transport`, and forgets this."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything. A checkpoint; cancelled, it may have sent a part. Raises trio.BrokenResourceError."""
        rest = memoryview(data)
        try:
            await trio.lowlevel.checkpoint()
            while rest:
                taken = self.transport.try_send(rest)
                rest = rest[taken:]
                if rest:
                    await self.transport.wait_writable()
        except ConnectionLost as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream.wait_send_all_might_not_block`."""
        try:
            await self.transport.wait_writable()
        except ConnectionLost as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See `trio.abc.ReceiveStream.receive_some`. Safe to cancel."""
        try:
            while True:
                await self.transport.wait_readable()
                data = self.transport.recv_nowait(max_bytes or READ_BYTES)
                if data is not None:
                    return data
        except ConnectionLost as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def send_eof(self) -> None:
        """See `trio.abc.HalfCloseableStream.send_eof`."""
        self.transport.send_eof()
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """See `trio.abc.AsyncResource.aclose`."""
        self.transport.close()
        await trio.lowlevel.checkpoint()


class StreamListener(trio.abc.Listener[TransportStream]):
    """The same for whoever accepts connections."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    async def accept(self) -> TransportStream:
        """See `trio.abc.Listener.accept`. Raises trio.ClosedResourceError."""
        try:
            return TransportStream(await self._listener.accept())
        except ConnectionLost as error:
            raise trio.ClosedResourceError(str(error)) from error

    async def aclose(self) -> None:
        """See `trio.abc.AsyncResource.aclose`."""
        self._listener.close()
        await trio.lowlevel.checkpoint()
