"""File descriptors: how many this process may have, and how many of them are for connections.

Where accept(2) fails for want of descriptors, so does everything else that opens a file: a backup, a page, the admin
socket. So the bound on connections is never above what is left of the descriptors after all that.
"""

import resource
import sys

from roost_broker.config import Config

BESIDE = 128
"""What a broker has open beside connections: the store, log files, the threads' wake-ups, a backup, files of pages, and
connections that are turned away (`server.TURNED_AWAY_MAX`)."""


def raise_allowed(config: Config) -> None:
    """Raise the soft bound on descriptors to what this configuration needs, as far as the hard bound lets it.

    The soft bound is 1,024 nearly everywhere, for the sake of programs that use select(2).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _beside(config) + config.limits.connections_max
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def places(config: Config) -> int:
    """For how many connections of devices there are descriptors, as they stand now; 1 at the least."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else max(1, soft - _beside(config))


def _beside(config: Config) -> int:
    limits = config.limits
    with_admins = limits.http_connections_max * (2 if config.admin_listen else 1)
    return BESIDE + with_admins + (limits.web_connections_max if config.web_listen else 0)
