"""What a run ends with, and what a suite of runs ends with: plain records, and their JSON and CSV.

Units stand last in every name. The names that goals and pictures look for:

| workload | name    | options                                  | figures                                             |
|----------|---------|------------------------------------------|-----------------------------------------------------|
| W1       | pairs   | pairs, window, devices, body_bytes       | messages_per_s, deliveries_per_s                    |
| W2       | pairs   | pairs, rate_per_s, devices, body_bytes   | messages_per_s, deliveries_per_s                    |
| W3       | group   | members, devices, body_bytes             | messages_per_s, deliveries_per_s                    |
| W4       | catchup | entries, round_trip_ms, body_bytes       | entries_per_s, time_to_head_s, memory_growth_bytes  |
| W5       | idle    | devices                                  | memory_per_device_bytes                             |
| W6       | storm   | devices, backlog                         | log_ins_per_s, time_to_live_s                       |
| W7       | slow    | healthy, stalled                         | messages_per_s, memory_growth_bytes                 |
| W8       | size    | entries, pairs, window                   | messages_per_s, cost_us_per_message                 |
| W10      | web     | form, devices                            | as W3; mixed: also tcp_p50_ms, websocket_p50_ms, …  |
| W11      | browsers| body_bytes                               | messages_per_s                                      |
| growth   | CURVE   | CURVE: where on it, and what was fixed   | cost_us_per_message; `name` is the option that grows|

`latency_ms` is from send (W2: from when it was due) to the last device that had to get it; for W6 from connect to live.
A run of W7 without the stalled devices has `stalled` 0 and the same `round` as the one beside it that has them.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Self

import msgspec
from msgspec import Struct

FORMAT: Final = 1
"""Of the JSON: it rises when a reader of the one before would misread it."""

GENERATOR_SHARE_MAX: Final = 0.9
"""Of a core: a generator that used more was the bottleneck, and measured itself."""

BROKER_SHARE_MIN: Final = 0.95
"""Of a core: a broker that used as much was itself what was waited for."""


class Process(Struct, frozen=True, kw_only=True):
    """What the measured broker cost, over all of its processes, while the run was measured."""

    cpu_share: float
    """Of one core: 1.0 is a core fully used."""
    cpu_us_per_message: float
    """0.0 where there are no messages."""
    rss_anon_bytes: int
    """Anonymous memory at the end: its own, without the pages of the store's map."""


class Generator(Struct, frozen=True, kw_only=True):
    """What the load cost on our side."""

    cpu_share: float
    was_the_bottleneck: bool

    @classmethod
    def of(cls, cpu_share: float, broker_share: float | None = None) -> Self:
        """Judge a share of a core, as measured, beside that of the broker if it is known.

        A generator that takes nearly all of its core is no bottleneck beside a broker that takes all of its own: both
        run in one thread, and it is the broker that all wait for. The rule is the same for every broker.
        """
        waited_for = broker_share is not None and broker_share >= BROKER_SHARE_MIN
        return cls(cpu_share=round(cpu_share, 3), was_the_bottleneck=cpu_share > GENERATOR_SHARE_MAX and not waited_for)


class Oracle(Struct, frozen=True, kw_only=True):
    """What was checked while the load ran: that every device got every sender's messages once and in order."""

    entries_checked: int
    missed: int = 0
    doubled: int = 0


class Run(Struct, frozen=True, kw_only=True):
    """One workload against one broker, once."""

    workload: str
    """`W1` … `W11`, or `growth`."""
    name: str
    broker: str
    """`roost`, `mosquitto`, `prosody`."""
    round: int = 0
    """From 0: the turn in which it ran."""
    options: dict[str, Any]
    command: str = ""
    """What gives this figure again, for a shell in the root of the sources."""
    figures: dict[str, float]
    latency_ms: dict[str, float] | None = None
    """`p50`, `p90`, `p99`, `p99.9`, `max`."""
    hdr: str | None = None
    """The whole histogram in ns: base64 of HDR V2."""
    process: Process | None = None
    """None for a broker that is not on this machine."""
    generator: Generator
    oracle: Oracle
    floor: dict[str, float] = {}
    """What nothing could be faster than, from the same machine, folder and minute (see `floor`)."""
    seconds: float = 0.0
    """How long was measured, without warming up and draining."""
    failure: str | None = None
    """Why it broke off: a promise that was broken, a broker that died."""

    @property
    def refusal(self) -> str | None:
        """Why this run does not count; None: it counts."""
        if self.failure is not None:
            return self.failure
        if self.oracle.missed or self.oracle.doubled:
            return f"{self.oracle.missed} entries missed and {self.oracle.doubled} doubled"
        if self.generator.was_the_bottleneck:
            return f"the generator was the bottleneck ({self.generator.cpu_share:.0%} of a core)"
        return None

    @property
    def counts(self) -> bool:
        """Whether its figures may be used."""
        return self.refusal is None


class Goal(Struct, frozen=True, kw_only=True):
    """One line of the table of goals."""

    workload: str
    goal: str
    """In words, as the table has it."""
    measured: str
    """In words, with what it was measured against; why there is nothing, where nothing was measured."""
    met: bool | None
    """None: not measured in this run."""
    command: str = ""


class Report(Struct, frozen=True, kw_only=True):
    """One whole run of the suite."""

    format: int = FORMAT
    kind: str = "full"
    """`quick`, `full` or `growth`."""
    taken: str
    """When it began: ISO 8601, UTC."""
    seconds: float = 0.0
    """How long all of it took."""
    machine: dict[str, Any]
    commit: str
    versions: dict[str, str]
    """Of each broker."""
    durability: dict[str, str]
    """What each broker has done with a message when it acknowledges it."""
    floor: dict[str, float]
    """The lower of the floors before and after; `…_before` and `…_after` are those."""
    runs: list[Run]
    goals: list[Goal] = []
    notes: list[str] = []
    """What was left out, and why."""

    @property
    def refused(self) -> list[Run]:
        """The runs that do not count."""
        return [run for run in self.runs if not run.counts]


def to_json(document: Struct) -> bytes:
    """A record as indented JSON with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def read_report(path: Path) -> Report:
    """A report as `to_json` wrote it. Raises OSError, and ValueError for a file that is none or of another format."""
    report = msgspec.json.decode(path.read_bytes(), type=Report)
    if report.format != FORMAT:
        raise ValueError(f"{path} has format {report.format}; this version of roost reads {FORMAT}")
    return report


def to_csv(runs: Iterable[Run]) -> str:
    """One line for each run, with a header; nested names are joined by a dot, what a run has not is empty."""
    rows = [_row(run) for run in runs]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(run: Run) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in msgspec.to_builtins(run).items():
        if name == "hdr" or value is None:
            continue
        if isinstance(value, Mapping):
            flat.update({f"{name}.{inner}": part for inner, part in value.items()})
        else:
            flat[name] = value
    return flat


_DECIMALS: Final = ((100, 0), (10, 1), (1, 2), (0, 3))
"""Decimals that a number of at least so much is shown with."""


def shown_number(value: float) -> str:
    """A number for people: as many decimals as its size deserves, and commas in thousands."""
    if value == int(value):
        return f"{int(value):,}"
    decimals = next(decimals for least, decimals in _DECIMALS if abs(value) >= least)
    return f"{value:,.{decimals}f}"


def figure_words(figures: Mapping[str, float]) -> list[str]:
    """Figures for people: rates as `20,000 messages/s`, anything else by its name, with the unit at its end."""
    words = []
    for name, value in figures.items():
        plain = name.removesuffix("_per_s").replace("_", " ")
        words.append(
            f"{shown_number(value)} {plain}/s" if name.endswith("_per_s") else f"{plain} {shown_number(value)}"
        )
    return words
