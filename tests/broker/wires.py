"""A transport that does what a test tells it, for what sits right on top of one."""

from collections import deque
from collections.abc import Callable

import trio

from roost_broker.transport import ConnectionLost, PeerCertificate


class ScriptedTransport:
    """Takes as many bytes of each send as `takes` says; `sent` is what it took, `arrives` what there is to read.

    Nothing here waits for a network: `wait_writable` returns as soon as `writable` is set.
    """

    def __init__(self, takes: Callable[[int], int] = lambda offered: offered) -> None:
        self.address = "script:1"
        self.host = "script"
        self.certificate: PeerCertificate | None = None
        self.takes = takes
        self.sent = bytearray()
        self.sends = 0
        self.arrives: deque[bytes] = deque()
        self.lost = False
        self.eof = False
        self.explained: tuple[int, str] | None = None
        self.closed = False
        self.writable = trio.Event()
        self.readable = trio.Event()

    def try_send(self, data: bytes | memoryview) -> int:
        """See `Transport.try_send`."""
        self._check()
        self.sends += 1
        taken = min(self.takes(len(data)), len(data))
        self.sent += data[:taken]
        return taken

    def recv_nowait(self, bytes_max: int) -> bytes | None:
        """See `Transport.recv_nowait`."""
        self._check()
        return self.arrives.popleft() if self.arrives else None

    async def wait_readable(self) -> None:
        """See `Transport.wait_readable`."""
        await trio.lowlevel.checkpoint()
        if not self.arrives:
            await self.readable.wait()
        self._check()

    async def wait_writable(self) -> None:
        """See `Transport.wait_writable`."""
        await trio.lowlevel.checkpoint()
        await self.writable.wait()
        self._check()

    def explain_end(self, reason: int, text: str) -> None:
        """See `Transport.explain_end`."""
        self.explained = (reason, text)

    def send_eof(self) -> None:
        """See `Transport.send_eof`."""
        self.eof = True

    def close(self) -> None:
        """See `Transport.close`."""
        self.closed = True
        self.lose()

    def lose(self) -> None:
        """The connection is reset."""
        self.lost = True
        self.writable.set()
        self.readable.set()

    def _check(self) -> None:
        if self.lost:
            raise ConnectionLost("lost")
