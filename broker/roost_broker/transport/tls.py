"""TLS as a layer over any other transport: `ssl.MemoryBIO` between the bytes of a session and those on the wire.

Nothing above it knows. The handshake is done by whoever waits first, for reading or for writing, so that accepting
never waits for a peer; the deadline of the log-in covers it. What has been encrypted and did not fit into the kernel
is kept here, at most one record at a time, and the piece of plain text it came from is not yet reported as taken: so
whoever sends offers it again, waits for room, and pending bytes are never forgotten (see `Transport.try_send`).
"""

import logging
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

import trio

from roost_broker.transport.port import ConnectionLost, HandshakeFailed, Listener, PeerCertificate, Transport

_log = logging.getLogger(__name__)

RECORD_BYTES = 16 * 1024
"""Plain text in one record: the most that TLS allows (RFC 8446, 5.1)."""

WIRE_BYTES = 32 * 1024
"""Read from below at a time, as it came over the wire."""


class TlsTransport:
    """The broker's side of TLS on an accepted connection. See `Transport`."""

    __slots__ = (
        "_below", "_given_up", "_handshaken", "_incoming", "_now_s", "_outgoing", "_owed", "_pending", "_said_end",
        "_session", "_shaking", "_starved", "_turns", "address", "host",
    )  # fmt: skip

    def __init__(self, below: Transport, context: ssl.SSLContext, now_s: Callable[[], float] = time.time) -> None:
        self._below = below
        self._now_s = now_s
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._handshaken = False
        self._shaking = False
        self._said_end = False
        self._given_up = False
        self._turns = trio.lowlevel.ParkingLot()  # of those who wait for the handshake that somebody else drives
        self._starved = True  # nothing more can be decrypted until more has come
        self._pending = b""  # encrypted, and not taken by the transport below
        self._owed = 0  # bytes of plain text that `_pending` stands for, to be offered again
        self.address = below.address
        self.host = below.host

    @property
    def certificate(self) -> PeerCertificate | None:
        """See `Transport.certificate`; None before the handshake is done."""
        shown = self._session.getpeercert() if self._handshaken else None
        return _certificate(shown) if shown else None

    def try_send(self, data: bytes | memoryview) -> int:
        """See `Transport.try_send`. Takes nothing before the handshake is done."""
        if not self._handshaken:
            if self._given_up:
                raise HandshakeFailed("TLS: the handshake was not finished")
            return 0
        if not self._flush():
            return 0
        taken, self._owed = min(self._owed, len(data)), 0
        view = memoryview(data)
        while taken < len(data):
            record = view[taken : taken + RECORD_BYTES]
            try:
                self._session.write(record)
            except ssl.SSLError as error:
                raise ConnectionLost(_text(error)) from error
            if not self._flush():
                self._owed = len(record)
                return taken
            taken += len(record)
        return taken

    def recv_nowait(self, bytes_max: int) -> bytes | None:
        """See `Transport.recv_nowait`. An end without a word counts as an end: the frames say whether it was one."""
        if not self._handshaken:
            return None
        while True:
            try:
                data = self._session.read(bytes_max)
            except ssl.SSLWantReadError:
                if not self._feed():
                    self._flush()  # an answer to a change of keys
                    return None
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLEOFError:
                return b""
            except ssl.SSLError as error:
                raise ConnectionLost(_text(error)) from error
            else:
                self._starved = False
                return data

    async def wait_readable(self) -> None:
        """See `Transport.wait_readable`."""
        if not self._handshaken:
            await self._shake_hands()
        if self._starved:
            await self._below.wait_readable()
        else:
            await trio.lowlevel.checkpoint()

    async def wait_writable(self) -> None:
        """See `Transport.wait_writable`."""
        if not self._handshaken:
            await self._shake_hands()
        await self._below.wait_writable()
        while not self._flush():
            await self._below.wait_writable()

    def send_eof(self) -> None:
        """See `Transport.send_eof`: `close_notify`, and the end of what is below."""
        self._say_end()
        self._below.send_eof()

    def explain_end(self, reason: int, text: str) -> None:
        """See `Transport.explain_end`: an alert has no place for it.

        A peer that has not finished its handshake by now cannot be told anything, and is not waited for any longer.
        """
        self._given_up = True

    def close(self) -> None:
        """See `Transport.close`. The peer is told before, if that can be done at once: it was no cut."""
        self._say_end()
        self._below.close()

    # --- inside ---

    def _say_end(self) -> None:
        if not self._handshaken or self._pending or self._said_end:
            return
        self._said_end = True
        try:
            self._session.unwrap()
        except (ssl.SSLError, ValueError):
            pass  # it would read the peer's own end, which nobody waits for
        self._try_flush()

    async def _shake_hands(self) -> None:
        """Take part in the handshake until it is done, by one task at a time. Raises ConnectionLost."""
        while not self._handshaken:
            if self._shaking:
                await self._turns.park()
                continue
            self._shaking = True
            try:
                await self._shake_hands_alone()
            finally:
                self._shaking = False
                self._turns.unpark_all()

    async def _shake_hands_alone(self) -> None:
        while True:
            try:
                self._session.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                self._try_flush()  # the alert that tells the peer
                _log.debug("%s: no handshake: %s", self.address, _text(error))
                raise HandshakeFailed(_text(error)) from error
            else:
                self._check_resumed()
                self._handshaken, self._starved = True, False
            flushed = self._flush()
            if self._handshaken:
                return  # tickets for later sessions may be pending still: they go with whatever is said next
            while not flushed:
                await self._below.wait_writable()
                flushed = self._flush()
            while not self._feed():
                await self._below.wait_readable()

    def _check_resumed(self) -> None:
        """A session that TLS 1.2 resumes has the certificate that it began with, and nobody looks whether that holds.

        Raises ConnectionLost.
        """
        shown = self._session.getpeercert() if self._session.session_reused else None
        if shown and self._now_s() >= ssl.cert_time_to_seconds(str(shown["notAfter"])):
            raise ConnectionLost("TLS: the certificate of a resumed session has expired")

    def _feed(self) -> bool:
        """Take what has come from below; whether there was anything, the end included. Raises ConnectionLost."""
        data = self._below.recv_nowait(WIRE_BYTES)
        if data is None:
            self._starved = True
            return False
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return True

    def _flush(self) -> bool:
        """Give what is encrypted to the transport below; whether it took all. Raises ConnectionLost."""
        if self._outgoing.pending:
            self._pending += self._outgoing.read()
        if self._pending:
            self._pending = self._pending[self._below.try_send(self._pending) :]
        return not self._pending

    def _try_flush(self) -> None:
        try:
            self._flush()
        except ConnectionLost:
            pass


class TlsListener:
    """Connections of another listener, each with TLS. `context` is asked for each: certificates may be renewed."""

    def __init__(self, below: Listener, context: Callable[[], ssl.SSLContext]) -> None:
        self._below = below
        self._context = context
        self.address = below.address

    async def accept(self) -> Transport:
        """See `Listener.accept`. The handshake is still to come."""
        return TlsTransport(await self._below.accept(), self._context())

    def close(self) -> None:
        """See `Listener.close`."""
        self._below.close()


def _text(error: ssl.SSLError) -> str:
    """What went wrong, in OpenSSL's words for it."""
    return f"TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"


def _certificate(shown: Mapping[str, Any]) -> PeerCertificate:
    """What Python says of a certificate that OpenSSL has verified, by kind of name."""
    names = shown.get("subjectAltName", ())
    return PeerCertificate(
        common_names=tuple(value for part in shown.get("subject", ()) for key, value in part if key == "commonName"),
        emails=tuple(value for kind, value in names if kind == "email"),
        uris=tuple(value for kind, value in names if kind == "URI"),
        hosts=tuple(value for kind, value in names if kind == "DNS"),
    )
