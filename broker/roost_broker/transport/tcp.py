"""TCP on raw non-blocking sockets.

Measured against Trio's streams, which take a lock and a checkpoint for each call: the broker sends to thousands of
sockets from one place, and waits only for those whose kernel buffer is full.
"""

import contextlib
import errno
import logging
import socket

import trio

from roost_broker.transport.port import ConnectionLost, Transport

_log = logging.getLogger(__name__)

BACKLOG = 4_096
"""Connections that the kernel holds until they are accepted (capped by net.core.somaxconn)."""

ACCEPT_PAUSE_S = 0.1
"""Pause after accept failed for want of file descriptors or memory: some may come back."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

# accept(2): errors that befell the connection before it was accepted. The listener is as good as ever.
_OF_THE_CONNECTION = frozenset(
    {
        errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.ENOPROTOOPT, errno.EOPNOTSUPP,
        errno.ENETDOWN, errno.ENETUNREACH, errno.ENONET, errno.EHOSTDOWN, errno.EHOSTUNREACH,
    }
)  # fmt: skip


def _text(name: tuple[str, int] | tuple[str, int, int, int]) -> str:
    host, port = name[0], name[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class TcpTransport:
    """An accepted socket. See `Transport`."""

    __slots__ = ("_socket", "address", "host")

    def __init__(self, accepted: socket.socket, name: tuple[str, int] | tuple[str, int, int, int]) -> None:
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = accepted
        self.address = _text(name)
        self.host = name[0]

    @property
    def certificate(self) -> None:
        """See `Transport.certificate`."""
        return None

    def try_send(self, data: bytes | memoryview) -> int:
        """See `Transport.try_send`."""
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            raise ConnectionLost(str(error)) from error

    def recv_nowait(self, bytes_max: int) -> bytes | None:
        """See `Transport.recv_nowait`."""
        try:
            return self._socket.recv(bytes_max)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            raise ConnectionLost(str(error)) from error

    async def wait_readable(self) -> None:
        """See `Transport.wait_readable`."""
        try:
            await trio.lowlevel.wait_readable(self._socket.fileno())
        except (OSError, ValueError, trio.ClosedResourceError) as error:
            raise ConnectionLost(str(error)) from error

    async def wait_writable(self) -> None:
        """See `Transport.wait_writable`."""
        try:
            await trio.lowlevel.wait_writable(self._socket.fileno())
        except (OSError, ValueError, trio.ClosedResourceError) as error:
            raise ConnectionLost(str(error)) from error

    def explain_end(self, reason: int, text: str) -> None:
        """See `Transport.explain_end`: bytes alone have no place for it."""

    def send_eof(self) -> None:
        """See `Transport.send_eof`."""
        with contextlib.suppress(OSError):  # already gone: nobody is there to be told
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """See `Transport.close`."""
        if self._socket.fileno() != -1:
            trio.lowlevel.notify_closing(self._socket.fileno())
            self._socket.close()


class TcpListener:
    """A listening socket. See `Listener`."""

    def __init__(self, listening: socket.socket) -> None:
        self._socket = listening
        self.address = _text(listening.getsockname())

    @classmethod
    def open(cls, host: str, port: int) -> "TcpListener":
        """Listen on host and port (0: a free one). Raises OSError: in use, no such address, no right to it."""
        family, kind, protocol, _, name = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setblocking(False)
            listening.bind(name)
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise
        return cls(listening)

    async def accept(self) -> Transport:
        """See `Listener.accept`."""
        while True:
            try:
                return TcpTransport(*self._socket.accept())
            except (BlockingIOError, InterruptedError):
                pass  # nobody there
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    _log.warning("cannot accept a connection: %s; trying again in %s s", error, ACCEPT_PAUSE_S)
                    await trio.sleep(ACCEPT_PAUSE_S)
                    continue
                if error.errno not in _OF_THE_CONNECTION:
                    raise ConnectionLost(str(error)) from error
            try:
                await trio.lowlevel.wait_readable(self._socket.fileno())
            except (OSError, ValueError, trio.ClosedResourceError) as error:
                raise ConnectionLost(str(error)) from error

    def close(self) -> None:
        """See `Listener.close`."""
        if self._socket.fileno() != -1:
            trio.lowlevel.notify_closing(self._socket.fileno())
            self._socket.close()
