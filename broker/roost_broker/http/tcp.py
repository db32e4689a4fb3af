"""The admin API on a network: where admins with a token come in."""

import socket

import trio

from roost_broker.config import Config, ListenerUnusable, reachable_host_port
from roost_broker.http.unix import BACKLOG


def open_admin_listener(config: Config) -> trio.SocketListener:
    """Listen on `admin_listen`. Raises ListenerUnusable."""
    host, port = reachable_host_port(
        config.admin_listen, beyond_loopback=config.admin_listen_beyond_loopback, key="admin_listen"
    )
    try:
        family, kind, protocol, _, name = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise _unusable(config, error) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(name)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise _unusable(config, error) from error
    return trio.SocketListener(trio.socket.from_stdlib_socket(listening))


def address_of(listener: trio.SocketListener) -> str:
    """`host:port` that it listens on."""
    host, port, *_ = listener.socket.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _unusable(config: Config, error: OSError | UnicodeError) -> ListenerUnusable:
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    return ListenerUnusable(f"cannot listen on admin_listen = {config.admin_listen}: {reason}")
