"""How cost grows: short runs along curves, on each of which one thing grows and everything else stays.

A point is a roost of its own on a fresh folder. What it costs is the broker's processor time for a message
(`cost_us_per_message`) and the latency to the last device; where devices catch up, entries/s.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import structs

from roost_benchmarks.brokers.roost import Roost
from roost_benchmarks.loop import Loop, allow_connections
from roost_benchmarks.progress import Progress
from roost_benchmarks.result import Run
from roost_benchmarks.target import Target
from roost_benchmarks.workloads import group, pairs, size, storm
from roost_benchmarks.workloads.group import GroupOptions
from roost_benchmarks.workloads.pairs import TERMINALS, PairsOptions
from roost_benchmarks.workloads.size import SizeOptions
from roost_benchmarks.workloads.storm import StormOptions

POINTS: Final = {
    "users": (100, 1_000, 10_000, 100_000),
    "sessions": (10, 100, 1_000, 10_000),
    "devices": (1, 2, 4, 8, 16),
    "members": (2, 20, 200, 2_000),
    "body_bytes": (16, 128, 1_024, 8_192, 65_536),
    "entries": (10_000, 100_000, 1_000_000, 10_000_000),
    "backlogged": (10, 100, 1_000, 5_000),
}
"""What grows, and where it is looked at."""

LOAD: Final = PairsOptions(pairs=20, window=4, warm_up_s=1, duration_s=3)
"""Of every curve whose cost is that of a message between two users, unless the curve says otherwise."""

FEW_PAIRS: Final = 2
"""Where sessions grow: they have eight, the others do nothing."""
SESSIONS_EACH: Final = 4
"""Sessions of a user who does nothing."""
DEVICE_PAIRS: Final = 5
"""Where the devices of a user grow."""
GROUP_MESSAGES_MAX: Final = 10_000
GROUP_S: Final = 4.0
"""Or so long: a small group gets many messages, since processor time is counted in hundredths of a second."""
BACKLOG: Final = 20
"""Entries waiting for each device, where devices with a backlog grow."""


class Point(NamedTuple):
    """One run of one curve."""

    curve: str
    value: int
    work: Callable[[Path, Progress], Run]
    """Start a broker in this fresh folder, run, stop. Raises what workloads raise."""


def points(curves: Sequence[str] = tuple(POINTS)) -> list[Point]:
    """Every point of these curves, in their order. Raises KeyError for a curve that is not known."""
    return [_point(curve, value) for curve in curves for value in POINTS[curve]]


def measured(folder: Path, found: Sequence[Point], progress: Progress) -> list[Run]:
    """Run these points one after the other, each in a folder of its own under `folder`."""
    runs = []
    for number, point in enumerate(found):
        inner = folder / f"{point.curve}-{point.value}"
        inner.mkdir()
        progress.update(number / len(found), f"{point.curve} {point.value:,}")
        runs.append(point.work(inner, progress))
    return runs


def _point(curve: str, value: int) -> Point:
    work = _WORK[curve]
    return Point(curve, value, lambda folder, progress: _on_curve(curve, value, work(folder, value, progress)))


def _on_curve(curve: str, value: int, run: Run) -> Run:
    """The same as a point of a curve: what grew is an option with the curve's name."""
    cost = {"cost_us_per_message": run.process.cpu_us_per_message} if run.process and curve != "backlogged" else {}
    options = run.options | {curve: value, "workload": run.workload}
    return structs.replace(run, workload="growth", name=curve, options=options, figures=run.figures | cost)


def _pairs(folder: Path, options: PairsOptions, progress: Progress, *, accounts: int = 0, toml: str = "") -> Run:
    users = [f"user{number}" for number in range(max(accounts, options.users))]
    with Roost(toml=toml).start(folder, users) as target:
        return pairs.run(_spread(target, options.users), options, progress)


def _spread(target: Target, count: int) -> Target:
    """The same with so many users, from all over the tables."""
    every = len(target.users) // count
    return structs.replace(target, users=target.users[::every][:count])


def _users(folder: Path, value: int, progress: Progress) -> Run:
    return _pairs(folder, LOAD, progress, accounts=value)


def _body_bytes(folder: Path, value: int, progress: Progress) -> Run:
    return _pairs(folder, structs.replace(LOAD, body_bytes=value), progress)


def _devices(folder: Path, value: int, progress: Progress) -> Run:
    options = structs.replace(LOAD, pairs=DEVICE_PAIRS, devices=value)
    named = ", ".join(f'"{terminal}"' for terminal in TERMINALS[: max(value, 1)])
    return _pairs(folder, options, progress, toml=f"terminal_types = [{named}]\n")


def _sessions(folder: Path, value: int, progress: Progress) -> Run:
    options = structs.replace(LOAD, pairs=FEW_PAIRS)
    idle = max(0, allow_connections(value) - FEW_PAIRS * 2 * options.devices)
    users = [f"user{number}" for number in range(options.users + -(-idle // SESSIONS_EACH))]
    with Roost().start(folder, users) as target, Loop(target) as loop:
        sleepers = target.users[options.users :]
        logins = [target.login(user, terminal) for user in sleepers for terminal in TERMINALS[:SESSIONS_EACH]][:idle]
        loop.log_in(logins, lambda count: progress.update(0.0, f"{count:,} of {idle:,} logged in"))
        return pairs.run(target, options, progress)


def _members(folder: Path, value: int, progress: Progress) -> Run:
    options = GroupOptions(members=value - 1, devices=1, messages=GROUP_MESSAGES_MAX, duration_s=GROUP_S)
    with Roost().start(folder, [f"user{number}" for number in range(options.users)]) as target:
        return group.run(target, options, progress)


def _entries(folder: Path, value: int, progress: Progress) -> Run:
    return size.measured(folder, SizeOptions(entries=value), progress)


def _backlogged(folder: Path, value: int, progress: Progress) -> Run:
    return storm.measured(folder, StormOptions(devices=value, backlog=BACKLOG), progress)


_WORK: Final[dict[str, Callable[[Path, int, Progress], Run]]] = {
    "users": _users,
    "sessions": _sessions,
    "devices": _devices,
    "members": _members,
    "body_bytes": _body_bytes,
    "entries": _entries,
    "backlogged": _backlogged,
}
