"""The web listener put together: HTTP on each connection, until it becomes a WebSocket and goes to the `Server`."""

import msgspec

from roost_broker.config import Config, ListenerUnusable, reachable_host_port
from roost_broker.core import Core
from roost_broker.http.admin import AdminApi
from roost_broker.http.callers import BearerCallers
from roost_broker.http.server import HttpServer
from roost_broker.http.stream import StreamListener
from roost_broker.server import Server
from roost_broker.transport import Listener
from roost_broker.transport.tcp import TcpListener
from roost_broker.web.callers import WebCallers
from roost_broker.web.handshake import WebSocketDoor
from roost_broker.web.pages import Pages
from roost_broker.web.site import HEADERS, IDLE_KEPT_S, Site
from roost_protocol.admin.route import Role


def open_web_listener(config: Config) -> Listener:
    """Listen on `web_listen`. Raises ListenerUnusable."""
    host, port = reachable_host_port(
        config.web_listen, beyond_loopback=config.web_listen_beyond_loopback, key="web_listen"
    )
    try:
        return TcpListener.open(host, port)
    except (OSError, UnicodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise ListenerUnusable(f"cannot listen on web_listen = {config.web_listen}: {reason}") from error


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
        )

    async def serve(self, listener: Listener) -> None:
        """Serve until cancelled, or the listener is closed and everybody has gone."""
        await self.http.serve(StreamListener(listener))
