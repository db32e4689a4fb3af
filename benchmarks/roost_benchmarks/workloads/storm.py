"""W6, storm: every device of a site reconnects at once, with its token, each with a few entries waiting for it.

As after a restart of the broker or of the network. A device is live when it is logged in and holds what was waiting.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct, structs

from roost_benchmarks.brokers.roost import Prepare, Roost
from roost_benchmarks.dialects.port import BrokenPromise, Login
from roost_benchmarks.latency import Latency
from roost_benchmarks.loop import Device, Loop, allow_connections
from roost_benchmarks.prepared import Filler, token_of
from roost_benchmarks.progress import Progress
from roost_benchmarks.result import Oracle, Run
from roost_benchmarks.target import Meter, Target
from roost_benchmarks.workloads.pairs import LOOK_EVERY_S, STALL_S
from roost_broker.store.port import Store

TERMINAL: Final = "phone"
SENDERS: Final = 16
"""Users who write the backlogs, where they are made over the wire."""
FILLING: Final = 64
"""Messages of a sender in flight then."""


class StormOptions(Struct, frozen=True, kw_only=True):
    """W6. One device of each of so many users."""

    devices: int = 5_000
    backlog: int = 3
    """Entries waiting for each."""
    body_bytes: int = 128
    is_prepared: bool = False
    """Tokens and backlogs are in the store; otherwise each device logs in once before, with its password."""

    @property
    def users(self) -> int:
        """Accounts that are needed."""
        return self.devices + (0 if self.is_prepared else min(SENDERS, self.devices))


def user(number: int) -> str:
    """The name of a prepared user."""
    return f"storm{number}"


def prepare(options: StormOptions) -> Prepare:
    """What fills a store with users, their devices with tokens, and what is waiting for them."""

    def fill(store: Store) -> None:
        names = [user(number) for number in range(options.devices)]
        filler = Filler(store, body_bytes=options.body_bytes)
        filler.users(names)
        filler.devices(names, TERMINAL)
        filler.backlog(names, options.backlog)

    return fill


def measured(folder: Path, options: StormOptions, progress: Progress) -> Run:
    """One run against a roost of its own, with everything in its store before it starts."""
    options = structs.replace(options, devices=allow_connections(options.devices), is_prepared=True)
    progress.update(0.0, "filling the store")
    with Roost(prepare=prepare(options)).start(folder, []) as target:
        names = tuple(user(number) for number in range(options.devices))
        return run(structs.replace(target, users=names), options, progress)


def run(target: Target, options: StormOptions, progress: Progress) -> Run:
    """One run. Raises BrokenPromise when a device is refused, or an entry is missed or doubled."""
    options = structs.replace(options, devices=allow_connections(options.devices))
    if options.is_prepared:
        logins = [
            Login(user=name, terminal=TERMINAL, token=token_of(name, TERMINAL), backlog=True)
            for name in target.users[: options.devices]
        ]
    else:
        logins = _first_time(target, options, progress)
    with Loop(target) as loop:
        meter = Meter(target)
        storm = _Storm(loop, logins, options.backlog)
        storm.run(progress)
        process, generator = meter.stop(options.devices)
        loop.poll(0)
        storm.check()
    log_ins_ns = [device.live_ns - device.began_ns for device in storm.devices]
    latency = Latency().record_all(log_ins_ns)
    return Run(
        workload="W6",
        name="storm",
        broker=target.name,
        options={"devices": options.devices, "backlog": options.backlog, "body_bytes": options.body_bytes},
        figures={
            "log_ins_per_s": round(options.devices / storm.time_to_log_in_s, 1),
            "time_to_live_s": round(storm.time_to_live_s, 3),
            "time_to_log_in_s": round(storm.time_to_log_in_s, 3),
            "entries_per_s": round(options.devices * options.backlog / storm.time_to_live_s, 1),
        },
        latency_ms=latency.shown_ms(),
        hdr=latency.encoded(),
        process=process,
        generator=generator,
        oracle=Oracle(entries_checked=sum(device.wire.delivered for device in storm.devices)),
        seconds=round(meter.seconds, 3),
    )


class _Storm:
    """All devices at once."""

    def __init__(self, loop: Loop, logins: Sequence[Login], backlog: int) -> None:
        self._loop = loop
        self._backlog = backlog
        self._behind = len(logins) if backlog else 0
        self.time_to_live_s = self.time_to_log_in_s = 0.0
        self._begin_ns = time.perf_counter_ns()
        self.devices: list[Device] = []
        for login in logins:
            device = loop.connect(login)
            self.devices.append(device)
            device.on_delivered = lambda wire=device.wire: self._delivered(wire.delivered)  # type: ignore[misc]

    def _delivered(self, entries: int) -> None:
        """A device has so many; it is counted at the read that brought the last, and no later one brings any."""
        if entries >= self._backlog:
            self._behind -= 1

    def run(self, progress: Progress) -> None:
        """Until all are live. Raises BrokenPromise."""
        count, end = len(self.devices), time.monotonic() + STALL_S
        while self._loop.live < count or self._behind > 0:
            shown = time.monotonic() + LOOK_EVERY_S
            self._loop.run(
                lambda until=shown: (  # type: ignore[misc]
                    (self._loop.live == count and self._behind <= 0) or time.monotonic() > until
                ),
                STALL_S,
            )
            if time.monotonic() > end:
                raise BrokenPromise(f"{self._loop.live} of {count} logged in, {self._behind} without their backlog")
            progress.update(self._loop.live / count, f"{self._loop.live:,} of {count:,} logged in")
        self.time_to_live_s = (time.perf_counter_ns() - self._begin_ns) / 1e9
        self.time_to_log_in_s = (max(device.live_ns for device in self.devices) - self._begin_ns) / 1e9

    def check(self) -> None:
        """Every device has its backlog, and nothing more. Raises BrokenPromise."""
        for device in self.devices:
            if device.wire.delivered != self._backlog:
                raise BrokenPromise(
                    f"{device.login.name} got {device.wire.delivered} entries of a backlog of {self._backlog}"
                )


def _first_time(target: Target, options: StormOptions, progress: Progress) -> list[Login]:
    """Log in once with passwords to get tokens, go, and have the backlogs written."""
    names = target.users[: options.devices]
    with Loop(target) as loop:
        logins = [target.login(name, TERMINAL)._replace(want_token=True) for name in names]
        devices = loop.log_in(logins, lambda count: progress.update(0.0, f"{count:,} of {len(logins):,} have a token"))
        tokens = [device.wire.token for device in devices]
    if not all(tokens):
        raise BrokenPromise("a device that asked for a token got none")
    _write(target, options, target.users[options.devices : options.users], names)
    again = [Login(user=name, terminal=TERMINAL, token=token) for name, token in zip(names, tokens, strict=True)]
    return [login._replace(backlog=True) for login in again]


def _write(target: Target, options: StormOptions, writers: Sequence[str], readers: Sequence[str]) -> None:
    """Write every backlog, each by one of the writers."""
    with Loop(target) as loop:
        senders = loop.log_in([target.login(name) for name in writers])
        written = [0] * len(senders)
        for place, reader in enumerate(readers):
            turn = place % len(senders)
            sender, sent = senders[turn], written[turn]
            loop.run(lambda wire=sender.wire, least=sent - FILLING: wire.settled >= least, STALL_S)  # type: ignore[misc]
            publisher = target.dialect.publisher(sender.login, f"user/{reader}", options.body_bytes)
            publisher.n = sent  # a device counts its messages, whoever they go to
            sender.send(publisher.frames(options.backlog))
            written[turn] = publisher.n
        loop.run(lambda: [sender.wire.settled for sender in senders] == written, STALL_S)
