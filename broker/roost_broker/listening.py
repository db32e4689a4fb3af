"""Listeners on a network: TCP where the configuration says, with TLS around it if there is a certificate."""

from roost_broker.certificates import Certificates
from roost_broker.config import Config, ListenerUnusable, beyond_loopback, parse_listen
from roost_broker.transport import Listener
from roost_broker.transport.tcp import TcpListener
from roost_broker.transport.tls import TlsListener


def open_network_listener(config: Config, key: str, certificates: Certificates | None) -> Listener:
    """Listen where `key` says, one of `config.LISTEN_KEYS`. Raises ListenerUnusable."""
    if why_not := beyond_loopback(config, key):
        raise ListenerUnusable(why_not)
    listen: str = getattr(config, key)
    try:
        listener = TcpListener.open(*parse_listen(listen, key))
    except OSError as error:
        raise ListenerUnusable(f"cannot listen on {key} = {listen}: {error.strerror or error}") from error
    except UnicodeError as error:  # what no name of a host can be
        raise ListenerUnusable(f"cannot listen on {key} = {listen}: {error}") from error
    if certificates is None:
        return listener
    # An admin is known by his token: a device's certificate is nothing to him.
    return TlsListener(listener, certificates.context if key == "admin_listen" else certificates.device_context)
