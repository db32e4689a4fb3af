"""W7, slow: devices that never read, with traffic for them, beside healthy ones, and what the healthy notice of it.

The stalled devices are further terminals of the users whose other devices are healthy. So the same messages are
published and stored with and without them; what differs is only that the broker has them to deliver to. One run is
either with or without; the suite alternates, and compares neighbours.

A burst comes first, so that at the time of measuring their windows have long been full. They ask for small ones: a
kernel takes a megabyte for a device that reads nothing, and a large window would be swallowed by it for the whole run,
with nobody stalled as far as the broker can see. At the end they wake up, and have to get all that they are behind by.
A run in which one of them was not behind raises: it would have measured something else.
"""

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple

from msgspec import Struct, structs

from roost_benchmarks.dialects.port import BrokenPromise, Login
from roost_benchmarks.dialects.roost import RoostWire
from roost_benchmarks.loop import Loop
from roost_benchmarks.progress import Progress
from roost_benchmarks.result import Oracle, Run
from roost_benchmarks.target import Target
from roost_benchmarks.workloads import pairs
from roost_benchmarks.workloads.pairs import PairsOptions
from roost_protocol import codec
from roost_protocol.frames import Ack

HEALTHY_EACH: Final = 2
"""Healthy devices of a user: phone and pc."""
STALLED_TERMINALS: Final = ("pad", "web")
"""The terminal types of a user's stalled devices."""
RECEIVE_BUFFER_BYTES: Final = 4_096
"""Of a stalled device's socket: it takes little before it is full."""
ANSWER_S: Final = 30.0
"""The broker answers a stalled device within this time, at log-in and when it wakes up."""
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
    """A closed loop before, that fills the windows of the stalled."""
    burst_window: int = 64
    stalled_window: int = 32
    """Entries that a stalled device asks to be sent ahead: fewer than the burst has in flight, so that it fills it."""
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


class StalledDevice(NamedTuple):
    """A device that is live and reads nothing. `began_at`: the number that its inbox was at when it logged in."""

    login: Login
    connection: socket.socket
    wire: RoostWire
    began_at: int


def run(target: Target, options: SlowOptions, progress: Progress) -> Run:
    """One run. Raises BrokenPromise when a device, healthy or woken up, misses or doubles anything.

    Raises RuntimeError for too few accounts, and when a stalled device was not behind.
    """
    users = target.first_users(options.users)
    every = [target.login(user, terminal) for terminal in STALLED_TERMINALS for user in users]
    logins = [login._replace(window_entries=options.stalled_window) for login in every[: options.stalled]]
    burst = PairsOptions(
        pairs=options.pairs, window=options.burst_window, devices=HEALTHY_EACH, body_bytes=options.body_bytes,
        warm_up_s=0, duration_s=options.burst_s,
    )  # fmt: skip
    steady = structs.replace(
        burst, rate_per_s=options.rate_per_s, warm_up_s=options.warm_up_s, duration_s=options.duration_s
    )
    with stalled(target, logins) as devices:
        before = target.rss_anon_bytes()
        pairs.run(target, burst, progress)
        measured = pairs.run(target, steady, progress)
        grown = target.rss_anon_bytes() - before
        behind = [_wake(device, head) for device, head in zip(devices, _heads(target, devices), strict=True)]
    figures = {"memory_growth_bytes": grown} | ({"least_behind_entries": min(behind)} if behind else {})
    woken = sum(device.wire.delivered for device in devices)
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
        figures=measured.figures | figures,
        oracle=Oracle(entries_checked=measured.oracle.entries_checked + woken),
    )


@contextmanager
def stalled(target: Target, logins: Sequence[Login]) -> Iterator[list[StalledDevice]]:
    """Devices that log in and then read nothing, for as long as the block lasts. Raises BrokenPromise and OSError."""
    with ExitStack() as stack:
        devices = []
        for login in logins:
            device = _logged_in(target, login)
            stack.enter_context(device.connection)
            devices.append(device)
        yield devices


def _logged_in(target: Target, login: Login) -> StalledDevice:
    """A connection that is live, and whose receive buffer is small: it has to be before it is connected (tcp(7))."""
    family = socket.AF_INET6 if ":" in target.address[0] else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.settimeout(ANSWER_S)
        opened.connect(target.address)
        wire = _wire(target.dialect.wire(login))
        opened.sendall(wire.opening())
        while not wire.live:
            _read(login, opened, wire)
    except BaseException:
        opened.close()
        raise
    return StalledDevice(login, opened, wire, wire.position)


def _wire(wire: object) -> RoostWire:
    """What stalls here is a window of roost: of another protocol it is not known how far a device is behind."""
    if not isinstance(wire, RoostWire):
        raise TypeError(f"stalled devices speak roost's protocol only, not by {type(wire).__name__}")
    return wire


def _read(login: Login, connection: socket.socket, wire: RoostWire) -> None:
    """Take what comes next, and answer it. Raises BrokenPromise."""
    try:
        data = connection.recv(READ_BYTES)
    except TimeoutError as error:
        raise BrokenPromise(f"{login.name}: nothing came for {ANSWER_S:g} s, at number {wire.position}") from error
    if not data:
        raise BrokenPromise(f"{login.name}: the broker closed the connection")
    connection.sendall(wire.receive(data))


def _heads(target: Target, devices: Sequence[StalledDevice]) -> list[int]:
    """The newest number in the inbox of each: where a device of the same user begins that wants nothing older."""
    with Loop(target) as loop:
        users = dict.fromkeys(device.login.user for device in devices)
        probes = loop.log_in([target.login(user) for user in users])
        heads = {probe.login.user: _wire(probe.wire).position for probe in probes}
    return [heads[device.login.user] for device in devices]


def _wake(device: StalledDevice, head: int) -> int:
    """Read and acknowledge up to `head`; how many entries the broker had not sent before. Raises BrokenPromise.

    Until now it has acknowledged nothing, so that it can have been sent no more than its window. Raises RuntimeError if
    all there was fits into that.
    """
    login, connection, wire, began_at = device
    behind = head - began_at - login.window_entries
    if behind <= 0:
        raise RuntimeError(
            f"{login.name} was never stalled: {head - began_at} entries came for it, and its window has room for"
            f" {login.window_entries}; make the burst longer or the window smaller"
        )
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_BYTES)
    while wire.position < head:
        _read(login, connection, wire)
        # The wire leaves a few unacknowledged, which is more than so small a window can spare: a broker may count it
        # in steps of 32 entries (docs/protocol.md, "The window"), and the stream would rest for good.
        connection.sendall(codec.encode(Ack(seq=wire.position)))
    if wire.position > head:
        raise BrokenPromise(f"{login.name} got number {wire.position} of an inbox that ends at {head}")
    return behind
