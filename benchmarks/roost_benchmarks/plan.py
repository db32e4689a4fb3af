"""What the suite runs: the steps of `quick`, `full`, `growth` and `admin`, in their order.

Brokers take turns within each shape of a workload, so that a slow minute of the machine meets all of them. Prosody gets
fewer and shorter runs: it is more than ten times slower, and its figures are steady.
"""

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import mkdtemp
from typing import Final, Protocol, TypeVar

from msgspec.structs import replace

from roost_benchmarks import floor
from roost_benchmarks.brokers.port import Broker
from roost_benchmarks.brokers.roost import DURABILITY, Roost
from roost_benchmarks.goals import FEW_ENTRIES, MANY_ENTRIES
from roost_benchmarks.progress import Progress
from roost_benchmarks.result import Run
from roost_benchmarks.steps import Measured, Step, in_turn
from roost_benchmarks.target import Target
from roost_benchmarks.workloads import (
    administration,
    browsers,
    catchup,
    group,
    growth,
    idle,
    pairs,
    size,
    slow,
    storm,
    web,
)

SHAPES: Final = ((1, 1), (10, 1), (10, 16), (20, 64))
"""Pairs and messages in flight for each: W1."""
RATES: Final = (500, 2_000, 10_000)
"""Messages a second: W2."""

PROSODY_SHAPES: Final = SHAPES[:3]
PROSODY_RATES: Final = RATES[:1]
"""What it can do: at 2,000/s its backlog would grow without end."""
PROSODY_S: Final = 4.0
PROSODY_DEVICES: Final = 1_000
"""Idle devices: it logs in few a second."""

PROSODY_MESSAGES: Final = 5
"""To a group: it takes most of a second for each."""

FULL_S: Final = 4.0
"""How long a run of W1 or W2 measures."""
QUICK_S: Final = 2.5

ROUNDS: Final = (("roost", 3), ("mosquitto", 3), ("prosody", 1))
ALTERNATIONS: Final = 10
"""Of W7: its goal is a ratio close to 1, and the machine drifts."""
ADMIN_ALTERNATIONS: Final = 6
"""Of W9, for the same reason."""
STALLED: Final = 100

WITH_FLOOR: Final = ("W1", "W2", "W3")
"""Workloads whose latency is held against the floor of the same moment."""
FLOOR_ROUNDS: Final = 60
"""Commits of each size for it: under a second."""

ROUNDS_ALONE: Final = 2
MIXED_DEVICES: Final = 2_000
"""W10, mixed: as many of each kind as the other forms have in all."""
"""Of a workload that only roost can run."""


class Options(Protocol):
    """Options of a workload."""

    @property
    def users(self) -> int:
        """Accounts that are needed."""
        ...


O = TypeVar("O", bound=Options)  # noqa: E741 - the options

P = TypeVar("P")


def planned(kind: str, brokers: Sequence[str]) -> list[Step]:
    """The steps of a kind of run, against those of its brokers that are here. Raises KeyError for another kind."""
    return list(_KINDS[kind](brokers))


def broker_named(name: str) -> Broker:
    """A kind of broker by its name. Raises KeyError for one that nobody knows."""
    match name:
        case "roost":
            return Roost()
        case "mosquitto":
            from roost_benchmarks.brokers.mosquitto import Mosquitto

            return Mosquitto()
        case "prosody":
            from roost_benchmarks.brokers.prosody import Prosody

            return Prosody()
    raise KeyError(name)


def _quick(_: Sequence[str]) -> Iterator[Step]:
    for shape in SHAPES:
        yield _pairs(shape, "roost", 0, QUICK_S)
    for rate in RATES[:2]:
        yield _rate(rate, "roost", 0, QUICK_S)
    yield _group("roost", 0, 20)
    yield _catchup(0, 0, 20_000)
    yield _idle("roost", 0, 2_000)
    yield _storm(0, 1_000)


def _full(brokers: Sequence[str]) -> Iterator[Step]:
    # What is about latency comes first: a disk that was written gigabytes to is slower for a while.
    turns = in_turn([(name, count) for name, count in ROUNDS if name in brokers])
    yield from _latencies(turns)
    for broker, number in turns:
        yield _group(broker, number, PROSODY_MESSAGES if broker == "prosody" else 100)
    yield from _rates(turns, SHAPES[1:])
    for round_trip_ms in (0, 50):
        for number in range(ROUNDS_ALONE):
            yield _catchup(number, round_trip_ms, 100_000)
    for broker, number in turns:
        if number == 0:
            yield _idle(broker, number, PROSODY_DEVICES if broker == "prosody" else 10_000)
    yield from _roost_alone()


def _latencies(turns: Sequence[tuple[str, int]]) -> Iterator[Step]:
    """W1 with one message in flight, and W2, for everybody who can do it."""
    yield from _rates(turns, SHAPES[:1])
    for rate in RATES:
        for broker, number in turns:
            if broker != "prosody" or rate in PROSODY_RATES:
                yield _rate(rate, broker, number, PROSODY_S if broker == "prosody" else FULL_S)


def _rates(turns: Sequence[tuple[str, int]], shapes: Sequence[tuple[int, int]]) -> Iterator[Step]:
    """W1 in these shapes, for everybody who can do it."""
    for shape in shapes:
        for broker, number in turns:
            if broker != "prosody" or shape in PROSODY_SHAPES:
                yield _pairs(shape, broker, number, PROSODY_S if broker == "prosody" else FULL_S)


def _roost_alone() -> Iterator[Step]:
    """W6 to W8."""
    for number in range(ROUNDS_ALONE):
        yield _storm(number, 5_000)
    for number in range(ALTERNATIONS):
        # Which comes first changes: whatever the machine does in turns is not taken for the stalled devices.
        for stalled in (0, STALLED) if number % 2 == 0 else (STALLED, 0):
            yield _slow(number, stalled)
    for number, entries in ((0, FEW_ENTRIES), (0, MANY_ENTRIES), (1, FEW_ENTRIES)):
        yield _size(number, entries)


def _growth(_: Sequence[str]) -> Iterator[Step]:
    for point in growth.points():
        yield _own("growth", point.curve, f"{point.curve}/{point.value}", 0, _without_options(point.work), None)


def _admin(_: Sequence[str]) -> Iterator[Step]:
    yield _own("W9", "commands", "commands", 0, administration.commands, administration.CommandsOptions())
    for number in range(ADMIN_ALTERNATIONS):
        for admins in (False, True) if number % 2 == 0 else (True, False):
            options = administration.BesideOptions(admins=admins)
            yield _own("W9", "beside", "with" if admins else "without", number, administration.beside, options)


def _web(_: Sequence[str]) -> Iterator[Step]:
    for number in range(ROUNDS_ALONE):
        for form in web.FORMS if number % 2 == 0 else web.FORMS[::-1]:
            devices = MIXED_DEVICES if form == "mixed" else web.WebOptions().devices
            yield _own("W10", "web", form, number, web.run, web.WebOptions(form=form, devices=devices))
        yield _own("W11", "browsers", "browsers", number, browsers.run, browsers.BrowsersOptions())


def _without_options(work: Callable[[Path, Progress], Run]) -> Callable[[Path, None, Progress], Run]:
    return lambda folder, _, progress: work(folder, progress)


_KINDS: Final[dict[str, Callable[[Sequence[str]], Iterator[Step]]]] = {
    "quick": _quick, "full": _full, "growth": _growth, "admin": _admin, "web": _web,
}  # fmt: skip


def _pairs(shape: tuple[int, int], broker: str, number: int, seconds: float) -> Step:
    count, window = shape
    options = pairs.PairsOptions(pairs=count, window=window, duration_s=seconds)
    return _step("W1", "pairs", f"{window}x{count}", broker, number, pairs.run, options)


def _rate(rate: int, broker: str, number: int, seconds: float) -> Step:
    options = pairs.PairsOptions(rate_per_s=rate, duration_s=seconds)
    return _step("W2", "pairs", str(rate), broker, number, pairs.run, options)


def _group(broker: str, number: int, messages: int) -> Step:
    options = group.GroupOptions(messages=messages)
    return _step("W3", "group", "1000", broker, number, group.run, options)


def _idle(broker: str, number: int, devices: int) -> Step:
    options = idle.IdleOptions(devices=devices)
    return _step("W5", "idle", str(devices), broker, number, idle.run, options)


def _catchup(number: int, round_trip_ms: int, entries: int) -> Step:
    options = catchup.CatchupOptions(entries=entries, round_trip_ms=round_trip_ms)
    return _own("W4", "catchup", f"{round_trip_ms}ms", number, catchup.measured, options)


def _storm(number: int, devices: int) -> Step:
    return _own("W6", "storm", str(devices), number, storm.measured, storm.StormOptions(devices=devices))


def _slow(number: int, stalled: int) -> Step:
    shape = "stalled" if stalled else "healthy"
    return _step("W7", "slow", shape, "roost", number, slow.run, slow.SlowOptions(stalled=stalled))


def _size(number: int, entries: int) -> Step:
    return _own("W8", "size", str(entries), number, size.measured, size.SizeOptions(entries=entries))


class _Floors:
    """The floor just before a run and just after it, on the same disk: a disk may be slower a minute later."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before = floor.measure(_fresh(folder), rounds=FLOOR_ROUNDS)

    def ended(self) -> dict[str, float]:
        """The lower of each figure."""
        return floor.lower(self._before, floor.measure(_fresh(self._folder), rounds=FLOOR_ROUNDS))


def _fresh(folder: Path) -> Path:
    return Path(mkdtemp(dir=folder))


def _own(
    workload: str, name: str, shape: str, number: int, measured: Callable[[Path, P, Progress], Run], options: P
) -> Step:
    """A workload that starts a roost of its own, on a store that is filled before."""

    def work(folder: Path, shown: Progress) -> Measured:
        return Measured(measured(folder, options, shown), version("roost"), DURABILITY)

    return Step(workload, name, shape, "roost", number, work)


def _step(
    workload: str,
    name: str,
    shape: str,
    broker: str,
    number: int,
    run: Callable[[Target, O, Progress], Run],
    options: O,
) -> Step:
    """A workload that needs nothing but accounts."""

    def work(folder: Path, shown: Progress) -> Measured:
        users = [f"user{number}" for number in range(options.users)]
        floors = _Floors(folder) if broker == "roost" and workload in WITH_FLOOR else None
        with broker_named(broker).start(_fresh(folder), users) as target:
            measured = Measured(run(target, options, shown), target.version, target.durability)
        return measured._replace(run=replace(measured.run, floor=floors.ended())) if floors else measured

    return Step(workload, name, shape, broker, number, work)
