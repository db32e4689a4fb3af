"""A connection of a device with a tap on it: every frame that passes, either way, is reported.

What the oracle judges is therefore what was on the wire, not what the client library makes of it.
"""

from collections.abc import Callable

import trio

from roost_admin.demo.reports import LineLost, Report, said
from roost_protocol.codec import ReceiveBuffer
from roost_protocol.frames import Publish
from roost_protocol.limits import FRAME_BYTES_MOST


class Tap:
    """What the connections of one device have in common: where to report, and what the line is like."""

    def __init__(self, device: str, report: Callable[[Report], None]) -> None:
        self.device = device
        self.report = report
        self.deaf = False
        """Nothing comes in any more."""
        self.slow = False
        """After the answer to the log-in, nothing comes in before something was published."""
        self.published = trio.Event()


class TappedStream(trio.abc.HalfCloseableStream):
    """A stream to the broker. Raises what the stream inside raises."""

    def __init__(self, inner: trio.SocketStream, tap: Tap) -> None:
        self._inner = inner
        self._tap = tap
        self._outgoing = ReceiveBuffer(FRAME_BYTES_MOST)
        self._incoming = ReceiveBuffer(FRAME_BYTES_MOST)
        self._answered = False
        self._lost = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Report the frames in `data`, then send it."""
        whole = bytes(data)
        for frame in self._outgoing.cut(whole):
            self._tap.report(said(self._tap.device, "device", frame))
            if isinstance(frame, Publish):
                self._tap.published.set()
        await self._inner.send_all(whole)

    async def wait_send_all_might_not_block(self) -> None:
        """See trio."""
        await self._inner.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """See trio."""
        await self._inner.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive, and report the frames that are complete with it; for ever nothing, once the line is deaf."""
        if self._tap.slow and self._answered:
            await self._tap.published.wait()
        try:
            # On a slow line byte by byte, so that the answer to the log-in comes alone.
            data = bytes(await self._inner.receive_some(1 if self._tap.slow and not self._answered else max_bytes))
        except trio.BrokenResourceError:
            self._over()
            raise
        if self._tap.deaf:
            await trio.sleep_forever()
        for frame in self._incoming.cut(data):
            self._answered = True
            self._tap.report(said(self._tap.device, "broker", frame))
        if not data:
            self._over()
        return data

    async def aclose(self) -> None:
        """Close it."""
        self._over()
        await self._inner.aclose()

    def _over(self) -> None:
        if not self._lost:
            self._lost = True
            self._tap.report(LineLost(self._tap.device))
