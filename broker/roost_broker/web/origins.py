"""Which pages may speak with this broker: those it serves itself, and those of the origins that are configured.

A browser says with `Origin` on whose behalf it asks (RFC 6454, 7). Software that is no browser says nothing, and has
no user whose rights a stranger's page could borrow.
"""

import re
from collections.abc import Sequence

from roost_broker.config import DEFAULT_PORTS
from roost_protocol.hosts import is_loopback

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:@/\s]+)(?::[0-9]*)?")


def may_connect(origin: str | None, host: str, allowed: Sequence[str]) -> bool:
    """Whether a page of `origin` may connect to what it calls `host`, with `allowed` origins beside our own."""
    if origin is None:
        return True
    origin = origin.lower()
    if origin in allowed:
        return True
    scheme, found, authority = origin.partition("://")
    port = DEFAULT_PORTS.get(scheme)
    if not found or port is None or not authority:
        return False
    return authority.removesuffix(port) == host.lower().removesuffix(port)


def names_loopback(host: str) -> bool:
    """Whether the `Host` header names this machine by a name that no server of names could give to another.

    A page elsewhere can have its own name resolved to 127.0.0.1 (DNS rebinding), and be of the same origin then.
    """
    matched = _HOST.fullmatch(host.lower())
    return matched is not None and is_loopback(matched[1].removeprefix("[").removesuffix("]"))
