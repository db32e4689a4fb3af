"""A real broker with healthy clients, what an attack does to them, and what is left of it afterwards.

::

    async with besieged(tmp_path, "idle", limits={"login_timeout_s": 2}) as siege:
        siege.memory_bound_bytes = 20 * MIB
        ...  # peers do their worst
        siege.expect_closed({"login_timeout": 300})

On the way out the siege waits until every peer's connection is gone from the broker, and holds what it found against
what is promised whatever the attack was: every message of the healthy clients arrived once, none of their connections
was lost, none of their log-ins was turned away, memory stayed below the bound and came back, so did file descriptors,
what the broker has counted is what the peers have seen, and it logged no error.
"""

import http.client
import json
import os
import re
import resource
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from admin.running import CHEAP, COMMAND, RunningBroker
from hostile.figures import FIGURES, Figures
from hostile.healthy import NEWCOMER, USERS, PhaseTold, Told
from hostile.peers import Peer
from hostile.watching import Has, Watcher, has
from roost_benchmarks.machine import allow_files
from roost_broker.heap import LOOK_EVERY_S
from roost_protocol.limits import KIB, MIB

PEERS = int(os.environ.get("HOSTILE_PEERS", "300"))
"""Connections of each crowd; `make hostile` has 5,000."""

FULL = PEERS >= 5_000
"""Whether the bounds are those that a broker has by default. With fewer peers they are smaller in proportion."""

DEFECT = os.environ.get("HOSTILE_DEFECT", "")
"""The protection that is taken out of the broker, one of `weakened.DEFECTS`; `make hostile-defects` sets it."""

TESTS = Path(__file__).parents[1]

CALM_S = 1.5 if FULL else 0.6
"""Healthy clients are looked at for so long before and after an attack."""

PATIENCE_S = 120.0 if not DEFECT else 20.0
"""For all connections of peers to be gone: far more than all deadlines together."""

ASK_EVERY_S = 0.1

NOBODY_HOME = "nobody-home"
"""A user without a device: whom peers write to."""

DIALLING_MAX = 500
"""Connections being opened at once: more than the kernel keeps (net.core.somaxconn) would wait for a second each."""

FDS_SLACK = 8
"""Descriptors that a broker has more or less by itself: threads that read, the newcomer under way."""

GIVES_BACK_S = 4 * LOOK_EVERY_S
"""Free memory is given back now and then (`roost_broker.heap`)."""

KEPT_BYTES = 16 * MIB + PEERS * 12 * KIB
KEPT_OF_PEAK = 0.1
"""So much memory may stay, and this part of what an attack took. What a stranger costs is small objects: Python gives
them back in arenas of 1 MiB, and each only when nothing is left in it. They are used again: an attack ten times as long
takes no more."""

Grown = Counter[str]


class Siege:
    """A broker under attack. Made by `besieged`."""

    def __init__(self, name: str, broker: RunningBroker, healthy: trio.Process) -> None:
        self.name = name
        self.broker = broker
        self.address = broker.address
        self.web_address = broker.web_address
        self.memory_bound_bytes = 64 * MIB
        """The most by which the broker's own memory may grow."""
        self.log_ins_may_wait = False
        """Whether the healthy newcomer may be turned away: only where every place is taken by those who logged in."""
        self.closed: Grown = Counter()
        """What `roost_connections_closed_total` has grown by at the end, without healthy clients."""
        self.refused: Grown = Counter()
        """Likewise `roost_connections_refused_total`."""
        self._healthy = healthy
        self._watcher = Watcher(broker.process.pid)
        self._expected: Grown | None = None
        self._may_vary: frozenset[str] = frozenset()
        self._peers: set[Peer] = set()
        self._dialling = trio.CapacityLimiter(DIALLING_MAX)
        self._counted_before: dict[str, float] = {}
        self._counted_after: dict[str, float] = {}

    # --- for tests ---

    async def dial(self, number: int, **how: int) -> Peer:
        """A peer's connection to where devices connect, from an address of its own; see `Peer.dial`."""
        async with self._dialling:
            return await Peer.dial(self.address, number, self._peers, **how)

    async def dial_web(self, number: int, **how: int) -> Peer:
        """Likewise to where browsers connect; what is heard is in `Peer.raw`."""
        async with self._dialling:
            peer = await Peer.dial(self.web_address, number, self._peers, **how)
        peer.speaks_roost = False
        return peer

    def expect_closed(self, by_reason: Mapping[str, int], may_vary: tuple[str, ...] = ()) -> None:
        """What connections are closed for, in all, but for the reasons of which there may be any number."""
        self._expected = Counter({reason: count for reason, count in by_reason.items() if count})
        self._may_vary = frozenset(may_vary)

    async def metrics(self) -> dict[str, float]:
        """The numbers that `/metrics` says, by name and label as they stand there."""
        return await trio.to_thread.run_sync(read_metrics, self.broker.socket)

    async def wait_until(self, is_so: Callable[[dict[str, float]], bool], what: str) -> dict[str, float]:
        """Ask for the metrics until they are as they should be; the last of them."""
        until = trio.current_time() + PATIENCE_S
        while not is_so(found := await self.metrics()):
            assert trio.current_time() < until, f"waited in vain for {what}: {nonzero(found)}"
            await trio.sleep(ASK_EVERY_S)
        return found

    def close_peers(self) -> None:
        """All that are still open go."""
        for peer in tuple(self._peers):
            peer.close()

    # --- for `besieged` ---

    async def begin(self) -> Watcher:
        """The calm is over."""
        await trio.sleep(CALM_S)
        self._counted_before = await self.metrics()
        await self._phase("during")
        self._watcher = Watcher(self.broker.process.pid)
        return self._watcher

    async def end(self) -> Has:
        """Wait until the peers are gone, and for some calm; what the broker has then."""
        mine = len(USERS) + 1  # the newcomer, now and then
        await self.wait_until(lambda found: found["roost_connections"] <= mine, "the peers' connections to be gone")
        await self._phase("after")
        await trio.sleep(CALM_S)
        until = trio.current_time() + GIVES_BACK_S
        most = self._watcher.before.rss_bytes + self._may_keep_bytes
        while True:
            now = has(self.broker.process.pid)
            if now.rss_bytes <= most or trio.current_time() > until:
                break
            await trio.sleep(ASK_EVERY_S)
        self._counted_after = await self.metrics()
        return now

    @property
    def _may_keep_bytes(self) -> float:
        """How much memory may stay after what it was at its height."""
        return KEPT_BYTES + (self._watcher.most.rss_bytes - self._watcher.before.rss_bytes) * KEPT_OF_PEAK

    async def _phase(self, name: str) -> None:
        assert self._healthy.stdin is not None
        await self._healthy.stdin.send_all(f"{name}\n".encode())

    def judge(self, told: Told, at_last: Has) -> None:
        """Hold what was felt, counted and measured against what is promised."""
        self.closed = self._grown("roost_connections_closed_total")
        self.refused = self._grown("roost_connections_refused_total")
        left = self.closed.pop("device_left", 0)
        figures = Figures(
            name=self.name,
            before=told.phases["before"],
            during=told.phases.get("during", PhaseTold()),
            at_first=self._watcher.before,
            at_most=self._watcher.most,
            at_last=at_last,
            closed=dict(self.closed),
            refused=dict(self.refused),
        )
        FIGURES.append(figures)
        assert (told.lost, told.doubled, told.refused, told.cut) == (0, 0, 0, 0), f"healthy clients: {told}"
        turned_away = sum(phase.turned_away for phase in told.phases.values())
        assert self.log_ins_may_wait or not turned_away, f"{turned_away} healthy log-ins turned away"
        grown, bound, kept = figures.rss_grown_bytes, self.memory_bound_bytes, figures.rss_kept_bytes
        assert grown <= bound, f"memory grew by {grown / MIB:.1f} MiB; the bound is {bound / MIB:.1f}"
        assert kept <= self._may_keep_bytes, f"{kept / MIB:.1f} MiB stayed, of {grown / MIB:.1f} MiB"
        assert figures.fds_kept <= FDS_SLACK, f"{figures.fds_kept} descriptors stayed"
        self._check_counts(told, left)

    def _check_counts(self, told: Told, left: int) -> None:
        """Hold what the broker has counted against what the peers have seen; `left`: so many devices said goodbye."""
        log_ins = sum(phase.log_ins for name, phase in told.phases.items() if name != "before")
        # One log-in may have begun before the counters were first read, or have come after they were last.
        assert abs(left - log_ins) <= 2 or self.log_ins_may_wait, f"{left} left, {log_ins} healthy log-ins"
        if self._expected is not None:
            counted = Counter({reason: n for reason, n in self.closed.items() if reason not in self._may_vary})
            assert counted == self._expected, f"closed {dict(self.closed)}, expected {dict(self._expected)}"

    def _grown(self, name: str) -> Grown:
        """By how much a counter with one label has grown, by its label."""
        grown: Grown = Counter()
        for key, value in self._counted_after.items():
            more = value - self._counted_before.get(key, 0)
            if more and (found := re.fullmatch(rf'{name}\{{\w+="(\w+)"\}}', key)):
                grown[found[1]] = int(more)
        return grown


@asynccontextmanager
async def besieged(
    folder: Path,
    name: str,
    *options: str,
    limits: Mapping[str, int] | None = None,
    config: str = "",
    users: tuple[str, ...] = (),
    connections: int = 3 * PEERS,
    trusting: Path | None = None,
) -> AsyncIterator[Siege]:
    """A broker with healthy clients; see above. `connections` is how many the peers need at once.

    With `trusting`, a file of authorities, healthy clients come over TLS.
    """
    need_files(connections)
    command = (sys.executable, str(TESTS / "hostile/weakened.py"), DEFECT) if DEFECT else COMMAND
    text = config_of(limits or {}, config)
    with await trio.to_thread.run_sync(lambda: RunningBroker(folder, *options, config=text, command=command)) as broker:
        await trio.to_thread.run_sync(broker.create_users, *(*USERS, NEWCOMER, NOBODY_HOME, *users))
        async with healthy_clients(broker.address, trusting) as (healthy, lines):
            siege = Siege(name, broker, healthy)
            with await siege.begin():
                try:
                    yield siege
                finally:
                    siege.close_peers()
                at_last = await siege.end()
            told = await told_by(healthy, lines)
        siege.judge(told, at_last)
        status = await trio.to_thread.run_sync(broker.stop)
        assert status == 0, broker.log.read_text()[-4_000:]
        assert not errors_logged(broker.log)


@asynccontextmanager
async def healthy_clients(
    address: str, trusting: Path | None
) -> AsyncIterator[tuple[trio.Process, AsyncIterator[str]]]:
    """The process of the healthy clients, logged in and talking, and what it says, line by line."""
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "hostile.healthy", address, *([str(trusting)] if trusting else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        async with aclosing(said_by(process)) as lines:
            assert await anext(lines) == "ready"
            yield process, lines
    finally:
        with trio.CancelScope(shield=True):
            if process.poll() is None:
                process.kill()
            await process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    await trio.aclose_forcefully(stream)


async def said_by(process: trio.Process) -> AsyncGenerator[str, None]:
    """The lines that a process says."""
    assert process.stdout is not None
    rest = b""
    async for data in process.stdout:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line.decode()


async def told_by(process: trio.Process, lines: AsyncIterator[str]) -> Told:
    """Let the healthy clients come to an end; what they felt."""
    assert process.stdin is not None
    await process.stdin.aclose()
    said = [line async for line in lines]
    return msgspec.json.decode(said[-1], type=Told)


def config_of(limits: Mapping[str, int], more: str) -> str:
    """The broker's configuration file."""
    lines = "".join(f"{name} = {value}\n" for name, value in limits.items())
    return f"{more}\n{CHEAP}\n[limits]\n{lines}"


def read_metrics(admin_socket: Path) -> dict[str, float]:
    """What `/metrics` on the admin socket says."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(PATIENCE_S)
    try:
        connection.sock.connect(str(admin_socket))
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def nonzero(metrics: Mapping[str, float]) -> dict[str, float]:
    """What of it tells something about connections."""
    told = ("roost_connections", "roost_sessions{", "roost_slow")
    return {name: value for name, value in metrics.items() if value and name.startswith(told)}


def errors_logged(log: Path) -> list[str]:
    """Messages that the broker logged as errors, or with a traceback."""
    lines = (json.loads(line) for line in log.read_text().splitlines())
    return [
        line["message"] for line in lines if line["level"] not in ("debug", "info", "warning") or "exception" in line
    ]


def need_files(connections: int) -> None:
    """Skip the test where a process may not have so many descriptors."""
    wanted = connections + 1_000
    if (found := allow_files(wanted)) < wanted:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        pytest.skip(f"needs {wanted:,} file descriptors; {found:,} are allowed (ulimit -Hn: {hard:,})")
