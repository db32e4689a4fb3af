"""The web listener put together: HTTP on each connection, until it becomes a WebSocket and goes to the `Server`."""

import msgspec

from roost_broker.core import Core
from roost_broker.http.admin import AdminApi
from roost_broker.http.callers import BearerCallers
from roost_broker.http.server import IDLE_KEPT_S, HttpServer
from roost_broker.http.stream import StreamListener
from roost_broker.server import Server
from roost_broker.transport import Listener
from roost_broker.web.callers import WebCallers
from roost_broker.web.handshake import WebSocketDoor
from roost_broker.web.pages import Pages
from roost_broker.web.site import HEADERS, Site
from roost_protocol.admin.route import Role


def web_callers(core: Core) -> WebCallers:
    """Who may administer there."""
    config = core.config
    role = msgspec.convert(config.web_admin_loopback or None, Role | None)
    return WebCallers(BearerCallers(core), config.web_origins, role)


class WebDoor:
    """Serves browsers, and whoever else comes, from one listener.

    A connection that asks for a WebSocket is one of `server`'s from then on. `admin` as in `Site`.
    """

    def __init__(self, core: Core, server: Server, admin: AdminApi | None) -> None:
        import roost_web

        config = core.config
        websocket = WebSocketDoor(core, server, config.web_origins)
        site = Site(core, config, Pages(roost_web.FILES), admin, websocket.respond)
        self.http = HttpServer(
            site.respond,
            config.limits,
            connections_max=config.limits.web_connections_max,
            idle_kept_s=IDLE_KEPT_S,
            headers=HEADERS,
            body_bytes_max=site.body_bytes_max,
            closed=core.metrics.web.closed,
        )

    async def serve(self, listener: Listener) -> None:
        """Serve until cancelled, or the listener is closed and everybody has gone."""
        await self.http.serve(StreamListener(listener))
