"""The port between the broker and what carries its bytes.

Non-blocking calls for the hot path, and two that wait for when those can do nothing. One task reads and one writes
at a time; `close` may come from any, and wakes both with `ConnectionLost`.
"""

from typing import NamedTuple, Protocol


class ConnectionLost(Exception):
    """The transport is gone: reset by the peer, or closed here."""


class HandshakeFailed(ConnectionLost):
    """The peer does not speak what this transport speaks, or did not begin to in time."""


class PeerCertificate(NamedTuple):
    """What the peer's certificate says of its owner, when an authority that is trusted has signed it."""

    common_names: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    """Its alternative names (RFC 5280, 4.2.1.6), by kind."""


class Transport(Protocol):
    """One connection's bytes."""

    @property
    def address(self) -> str:
        """Where the peer is, for people: `127.0.0.1:50312`."""
        ...

    @property
    def host(self) -> str:
        """What a cap for each address counts by: the peer's address without its port."""
        ...

    @property
    def certificate(self) -> PeerCertificate | None:
        """The peer's certificate, once something was read; None if it has shown none, or could not."""
        ...

    def try_send(self, data: bytes | memoryview) -> int:
        """Send what can be sent at once; return the number of bytes taken, which may be 0. Raises ConnectionLost.

        What was not taken is offered again, first, before anything else: a layer may have worked on a part of it.
        """
        ...

    def recv_nowait(self, bytes_max: int) -> bytes | None:
        """What has arrived, at most about so much; None: nothing now; empty: the end.

        Raises ConnectionLost, and RemoteProtocolError where the peer breaks the rules of the transport itself.
        """
        ...

    async def wait_readable(self) -> None:
        """Wait until `recv_nowait` has something. A checkpoint; safe to cancel. Raises ConnectionLost."""
        ...

    async def wait_writable(self) -> None:
        """Wait until `try_send` would take something. A checkpoint; safe to cancel. Raises ConnectionLost."""
        ...

    def explain_end(self, reason: int, text: str) -> None:
        """Why this side will end the connection, for a transport that has words of its own for it. Never raises."""
        ...

    def send_eof(self) -> None:
        """Say that nothing more will be sent. What was taken before is still delivered. Never raises."""
        ...

    def close(self) -> None:
        """Close both directions at once. Idempotent, never raises."""
        ...


class Listener(Protocol):
    """Where connections come from."""

    @property
    def address(self) -> str:
        """Where it listens, for people and for devices: `127.0.0.1:7300`."""
        ...

    async def accept(self) -> Transport:
        """The next connection. A checkpoint; safe to cancel: none is lost. Raises ConnectionLost when closed."""
        ...

    def close(self) -> None:
        """Accept no more. Connections accepted before go on. Idempotent."""
        ...
