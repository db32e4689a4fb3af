"""Connections: accepting them within bounds, and the life of each from its first byte to its close."""

import logging
import sys
from itertools import count
from typing import NamedTuple

import trio

from roost_broker.addresses import Census, address_block
from roost_broker.core import Core
from roost_broker.link import Link
from roost_broker.login import log_in
from roost_broker.metrics import HANDSHAKE_FAILED, Place
from roost_broker.session import Session
from roost_broker.store import ReadFailed
from roost_broker.transport import ConnectionLost, HandshakeFailed, Listener, Transport
from roost_protocol.frames import Disconnect
from roost_protocol.reasons import Reason

_log = logging.getLogger(__name__)

ACCEPTED_IN_A_ROW = 16
"""Connections accepted without letting anybody else go on: about 1 ms."""

TURNED_AWAY_MAX = 64
"""Connections past the bound that are told so, at once; those past that are closed without a word."""


class Full(NamedTuple):
    """Why there is no place: which limit, and in words."""

    limit: Place
    text: str


class Server:
    """The connections of one node, over any transports; `places`: for so many there are file descriptors."""

    def __init__(self, core: Core, places: int = sys.maxsize) -> None:
        self._core = core
        self._places = places
        self._placed = Census()
        self._strangers = Census()
        """Those of them on which nobody has logged in yet."""
        self._turned_away = 0
        self._gone = trio.lowlevel.ParkingLot()

    @property
    def connections(self) -> int:
        """Connections that have a place now, with those that are not logged in."""
        return self._placed.total

    async def wait_no_connections(self) -> None:
        """Wait until every connection that has a place is closed. Safe to cancel."""
        while self.connections:
            await self._gone.park()

    async def serve(self, listener: Listener) -> None:
        """Accept connections until cancelled or the listener is closed."""
        for accepted in count(1):
            try:
                transport = await listener.accept()
            except ConnectionLost:
                return
            self._core.nursery.start_soon(self.serve_connection, transport)
            if not accepted % ACCEPTED_IN_A_ROW:
                await trio.lowlevel.checkpoint()

    async def serve_connection(self, transport: Transport) -> None:
        """Serve a connection that was accepted, to its end. Never raises."""
        metrics = self._core.metrics
        link = Link(transport, self._core.nursery, self._core.limits, metrics.traffic)
        full = self._is_full(address_block(transport.host))
        metrics.accepted += 1
        if full is not None:
            metrics.no_place[full.limit] += 1
        try:
            if full is None:
                await self._give_place(link)
            elif self._turned_away < TURNED_AWAY_MAX:
                await self._turn_away(link, full.text)
        except ConnectionLost:
            pass  # the peer is gone; the session, if there was one, has ended
        except ReadFailed as error:
            _log.error("%s: connection closed: %s", transport.address, error)
        except Exception:  # noqa: BLE001 - a defect of ours must not cost anybody else his connection
            _log.exception("%s: connection closed after an internal error", transport.address)
        finally:
            transport.close()
            link.outlet.forget()

    async def _give_place(self, link: Link) -> None:
        """Serve a connection to its end, and count it until then."""
        try:
            with self._placed.one(address_block(link.transport.host)):
                await self._serve_link(link)
                await link.finish()
        finally:
            self._core.metrics.closed[link.ending] += 1
            self._gone.unpark_all()

    def _is_full(self, host: str) -> Full | None:
        """Which bound a further connection from `host` would break, after what can be done about it."""
        limits, strangers = self._core.limits, self._core.strangers
        # Those of an address first: who has all of its own places takes nobody else's.
        if self._placed.of(host) >= limits.connections_per_address_max:
            text = f"{host} has its {limits.connections_per_address_max} connections"
            return Full("connections_per_address_max", text)
        if self._strangers.of(host) >= limits.connections_before_login_per_address_max:
            text = f"{limits.connections_before_login_per_address_max} connections from {host} are not logged in yet"
            return Full("connections_before_login_per_address_max", text)
        most = min(limits.connections_max, self._places)
        if self.connections >= most and not strangers.make_place():
            return Full("connections_max", f"the broker has its {most} connections")
        if len(strangers) >= limits.connections_before_login_max and not strangers.make_place():
            text = f"{limits.connections_before_login_max} connections are not logged in yet"
            return Full("connections_before_login_max", text)
        return None

    async def _turn_away(self, link: Link, text: str) -> None:
        """Say that there is no place. It takes none while it lingers, or an address could take those of others."""
        self._turned_away += 1
        self._core.strangers.log(_log.warning, "%s turned away: %s", link.transport.address, text)
        try:
            link.disconnect(Disconnect(reason=Reason.SERVER_BUSY, text=text, reconnect=True, reconnect_after_s=5))
            await link.finish()
        finally:
            self._turned_away -= 1

    async def _serve_link(self, link: Link) -> None:
        """Log in, and live. The session is ended, and the link too, when this returns or raises ConnectionLost."""
        session: Session | None = None
        try:
            with link.scope:
                session = await self._log_in(link)
                if session is not None:
                    await session.run()
        except HandshakeFailed:
            link.ending = HANDSHAKE_FAILED
            raise
        finally:
            if session is not None:
                self._core.end(session)
            link.end()

    async def _log_in(self, link: Link) -> Session | None:
        core = self._core
        if core.draining:
            link.disconnect(core.farewell)
            return None
        core.strangers.add(link)
        try:
            with self._strangers.one(address_block(link.transport.host)):
                return await log_in(core, link)
        finally:
            core.strangers.discard(link)
