"""W4, catch-up: a device logs in behind a long backlog, and gets all of it; on loopback, or over a link with a delay.

The device asks for the largest windows there are, as one that comes home after weeks would, and acknowledges while it
receives. How much it is granted is the broker's business.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from msgspec import Struct, structs

from roost_benchmarks.brokers.port import PASSWORD
from roost_benchmarks.brokers.roost import Prepare, Roost, cheap_hash
from roost_benchmarks.dialects.port import BrokenPromise
from roost_benchmarks.loop import Device, Loop
from roost_benchmarks.prepared import Filler
from roost_benchmarks.progress import Progress
from roost_benchmarks.proxy import delayed
from roost_benchmarks.result import Oracle, Run
from roost_benchmarks.target import Meter, Target
from roost_benchmarks.workloads.pairs import LOOK_EVERY_S, STALL_S
from roost_broker.store.port import Store

WINDOW_ENTRIES: Final = 65_535
WINDOW_BYTES: Final = 64 * 1024 * 1024
"""The most that a device of roost may ask for."""

FILLING: Final = 128
"""Messages of the backlog in flight, where it is made over the wire."""

READER: Final = "reader"
"""The user with the prepared backlog."""


class CatchupOptions(Struct, frozen=True, kw_only=True):
    """W4."""

    entries: int = 100_000
    body_bytes: int = 128
    round_trip_ms: float = 0
    """Of the link; 0: straight to the broker."""
    is_prepared: bool = False
    """The backlog of the first user is there already; otherwise the second writes it first."""

    @property
    def users(self) -> int:
        """Accounts that are needed."""
        return 1 if self.is_prepared else 2


def prepare(options: CatchupOptions) -> Prepare:
    """What fills a store with the backlog."""

    def fill(store: Store) -> None:
        filler = Filler(store, body_bytes=options.body_bytes)
        filler.users([READER], cheap_hash())
        filler.backlog([READER], options.entries)

    return fill


def measured(folder: Path, options: CatchupOptions, progress: Progress) -> Run:
    """One run against a roost of its own, whose backlog is in the store before it starts."""
    progress.update(0.0, "filling the store")
    with Roost(prepare=prepare(options)).start(folder, []) as started:
        target = structs.replace(started, users=(READER,), password=lambda _: PASSWORD)
        return run(target, structs.replace(options, is_prepared=True), progress)


def run(target: Target, options: CatchupOptions, progress: Progress) -> Run:
    """One run. Raises BrokenPromise when an entry is missed or doubled."""
    link = delayed(target.address, options.round_trip_ms / 2) if options.round_trip_ms else nullcontext(target.address)
    with Loop(target) as loop, link as address:
        if not options.is_prepared:
            _write(loop, target, options, progress)
        login = target.login(target.users[0])._replace(
            backlog=True, window_entries=WINDOW_ENTRIES, window_bytes=WINDOW_BYTES
        )
        memory = _Peak(target.rss_anon_bytes)
        meter = Meter(target)
        begin = time.perf_counter()
        device = loop.connect(login, address=address)
        _receive(loop, device, options.entries, memory, progress)
        time_to_head_s = time.perf_counter() - begin
        process, generator = meter.stop(options.entries)
        memory.look()
        _check_nothing_more(loop, device, options.entries)
        log_in_ms = (device.live_ns - device.began_ns) / 1e6
    return Run(
        workload="W4",
        name="catchup",
        broker=target.name,
        options={
            "entries": options.entries,
            "round_trip_ms": options.round_trip_ms,
            "body_bytes": options.body_bytes,
        },
        figures={
            "entries_per_s": round(options.entries / time_to_head_s),
            "time_to_head_s": round(time_to_head_s, 4),
            "log_in_ms": round(log_in_ms, 3),
            "memory_growth_bytes": memory.growth_bytes,
        },
        process=process,
        generator=generator,
        oracle=Oracle(entries_checked=device.wire.delivered),
        seconds=round(time_to_head_s, 4),
    )


class _Peak:
    """How far memory has grown at most, among the moments at which it was looked at."""

    def __init__(self, read_bytes: Callable[[], int]) -> None:
        self._read_bytes = read_bytes
        self._before = self._most = read_bytes()

    def look(self) -> None:
        self._most = max(self._most, self._read_bytes())

    @property
    def growth_bytes(self) -> int:
        return self._most - self._before


def _write(loop: Loop, target: Target, options: CatchupOptions, progress: Progress) -> None:
    """The second user writes the backlog; the first has seen the inbox as it was before, so nothing else is in it."""
    reader, writer = target.users[:2]
    (sender,) = loop.log_in([target.login(writer)])
    publisher = target.dialect.publisher(sender.login, f"user/{reader}", options.body_bytes)
    while publisher.n < options.entries:
        free = FILLING - (publisher.n - sender.wire.settled)
        if free > 0:
            sender.send(publisher.frames(min(free, options.entries - publisher.n)))
        loop.poll(STALL_S)
        progress.update(0.0, f"{publisher.n:,} of {options.entries:,} written")
    loop.run(lambda: sender.wire.settled == options.entries, STALL_S)
    loop.close(sender)


def _receive(loop: Loop, device: Device, entries: int, memory: _Peak, progress: Progress) -> None:
    """Until the last entry is there, or none comes for STALL_S."""
    wire = device.wire
    while (had := wire.delivered) < entries:
        end = time.perf_counter() + LOOK_EVERY_S / 10
        while wire.delivered < entries and time.perf_counter() < end:
            loop.poll(LOOK_EVERY_S / 10)
        if wire.delivered == had:
            loop.run(lambda now=had: wire.delivered > now, STALL_S)  # type: ignore[misc]
        memory.look()
        progress.update(wire.delivered / entries, f"{wire.delivered:,} of {entries:,} entries")


def _check_nothing_more(loop: Loop, device: Device, entries: int) -> None:
    """The backlog was all there was. Raises BrokenPromise."""
    loop.poll(0)
    if device.wire.delivered != entries:
        raise BrokenPromise(f"{device.login.name} got {device.wire.delivered} entries of a backlog of {entries}")
