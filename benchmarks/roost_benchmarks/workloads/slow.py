"""W7, slow: devices that never read, with traffic for them, beside healthy ones, and what the healthy notice of it.

The stalled devices are further terminals of the users whose other devices are healthy. So the same messages are
published and stored with and without them; what differs is only that the broker has them to deliver to. One run is
either with or without; the suite alternates, and compares neighbours.

A burst comes first, so that at the time of measuring their sockets have long been full.
"""

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from msgspec import Struct, structs

from roost_benchmarks.dialects.port import BrokenPromise, Login
from roost_benchmarks.progress import Progress
from roost_benchmarks.result import Run
from roost_benchmarks.target import Target
from roost_benchmarks.workloads import pairs
from roost_benchmarks.workloads.pairs import PairsOptions

HEALTHY_EACH: Final = 2
"""Healthy devices of a user: phone and pc."""
STALLED_TERMINALS: Final = ("pad", "web")
"""The terminal types of a user's stalled devices."""
RECEIVE_BUFFER_BYTES: Final = 4_096
"""Of a stalled device's socket: it takes little before it is full."""
LOG_IN_S: Final = 30.0
READ_BYTES: Final = 65_536


class SlowOptions(Struct, frozen=True, kw_only=True):
    """W7."""

    healthy: int = 100
    """Devices; two to a user, four to a pair."""
    stalled: int = 100
    """Devices, at most as many as there are healthy ones; 0 for the run to compare with."""
    rate_per_s: float = 1_000
    body_bytes: int = 128
    burst_s: float = 0.5
    """A closed loop before, that fills the sockets of the stalled."""
    burst_window: int = 64
    warm_up_s: float = 0.5
    duration_s: float = 3.0

    @property
    def pairs(self) -> int:
        """Pairs of users whose healthy devices are measured."""
        return max(1, self.healthy // (2 * HEALTHY_EACH))

    @property
    def users(self) -> int:
        """Accounts that are needed."""
        return 2 * self.pairs


def run(target: Target, options: SlowOptions, progress: Progress) -> Run:
    """One run. Raises BrokenPromise when a healthy device misses or doubles anything."""
    users = target.users[: options.users]
    logins = [target.login(user, terminal) for terminal in STALLED_TERMINALS for user in users][: options.stalled]
    burst = PairsOptions(
        pairs=options.pairs, window=options.burst_window, devices=HEALTHY_EACH, body_bytes=options.body_bytes,
        warm_up_s=0, duration_s=options.burst_s,
    )  # fmt: skip
    steady = structs.replace(
        burst, rate_per_s=options.rate_per_s, warm_up_s=options.warm_up_s, duration_s=options.duration_s
    )
    with stalled(target, logins):
        before = target.rss_anon_bytes()
        pairs.run(target, burst, progress)
        measured = pairs.run(target, steady, progress)
        grown = target.rss_anon_bytes() - before
    return structs.replace(
        measured,
        workload="W7",
        name="slow",
        options={
            "healthy": 2 * HEALTHY_EACH * options.pairs,
            "stalled": len(logins),
            "rate_per_s": options.rate_per_s,
            "body_bytes": options.body_bytes,
        },
        figures=measured.figures | {"memory_growth_bytes": grown},
    )


@contextmanager
def stalled(target: Target, logins: Sequence[Login]) -> Iterator[list[socket.socket]]:
    """Devices that log in and then read nothing, for as long as the block lasts. Raises BrokenPromise and OSError."""
    with ExitStack() as stack:
        yield [stack.enter_context(_logged_in(target, login)) for login in logins]


def _logged_in(target: Target, login: Login) -> socket.socket:
    """A connection that is live, and whose receive buffer is small: it has to be before it is connected (tcp(7))."""
    family = socket.AF_INET6 if ":" in target.address[0] else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        opened.settimeout(LOG_IN_S)
        opened.connect(target.address)
        wire = target.dialect.wire(login)
        opened.sendall(wire.opening())
        while not wire.live:
            data = opened.recv(READ_BYTES)
            if not data:
                raise BrokenPromise(f"{login.name}: the broker closed the connection")
            opened.sendall(wire.receive(data))
    except BaseException:
        opened.close()
        raise
    return opened
