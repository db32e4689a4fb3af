"""What a check found, and how that is said: a table, a JSON document, or the one line of a monitoring plugin."""

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

from roost_admin.cells import printable

State = Literal["ok", "skipped", "warning", "critical"]

ORDER: tuple[State, ...] = ("ok", "skipped", "warning", "critical")
"""From well to ill: the worst of all stages is that of the broker."""

NAGIOS_OK, NAGIOS_WARNING, NAGIOS_CRITICAL, NAGIOS_UNKNOWN = 0, 1, 2, 3
"""Monitoring Plugins Development Guidelines, plugin return codes."""


class Figure(Struct, frozen=True):
    """A measured value, with the values from which on it is a warning, and critical, if it is judged by them."""

    name: str
    value: float
    unit: str = ""
    """As monitoring plugins have it: `ms`, `B`, or nothing."""
    warning: float | None = None
    critical: float | None = None


class Stage(Struct, frozen=True):
    """What one stage found, in a line."""

    name: str
    state: State
    text: str
    figures: tuple[Figure, ...] = ()


class Report(Struct, frozen=True):
    """What all stages found; `state` is the worst of them."""

    state: State
    stages: tuple[Stage, ...]


def report_on(stages: Sequence[Stage]) -> Report:
    """The stages put together. A stage that was skipped makes nothing worse than ok."""
    state = worst(stage.state for stage in stages)
    return Report("ok" if state == "skipped" else state, tuple(stages))


def worst(states: Iterable[State]) -> State:
    """The worst of some states."""
    found: State = "ok"
    for state in states:
        found = max(found, state, key=ORDER.index)
    return found


def judged(figure: Figure) -> State:
    """What a figure by itself means."""
    if figure.critical is not None and figure.value >= figure.critical:
        return "critical"
    if figure.warning is not None and figure.value >= figure.warning:
        return "warning"
    return "ok"


def nagios_status(report: Report) -> int:
    """The exit status that a monitor goes by."""
    return {"ok": NAGIOS_OK, "skipped": NAGIOS_OK, "warning": NAGIOS_WARNING, "critical": NAGIOS_CRITICAL}[report.state]


def nagios_line(report: Report) -> str:
    """`ROOST OK - … | name=value…`: what is wrong, or that nothing is, and every figure."""
    wrong = [stage for stage in report.stages if stage.state in ("warning", "critical")]
    ran = sum(stage.state != "skipped" for stage in report.stages)
    text = "; ".join(f"{stage.name}: {stage.text}" for stage in wrong) or f"{ran} stages are ok"
    figures = " ".join(_perfdata(figure) for stage in report.stages for figure in stage.figures)
    line = f"ROOST {report.state.upper()} - {_plain(text)}"
    return f"{line} | {figures}" if figures else line


def nagios_unknown(text: str, *, down: bool) -> str:
    """The line when nothing could be found out; `down`: because there is no broker."""
    return f"ROOST {'CRITICAL' if down else 'UNKNOWN'} - {_plain(text)}"


def _plain(text: str) -> str:
    return printable(text).replace("|", "/")


def _perfdata(figure: Figure) -> str:
    bounds = ["" if bound is None else _decimal(bound) for bound in (figure.warning, figure.critical)]
    return f"{figure.name}={_decimal(figure.value)}{figure.unit};{';'.join(bounds)}".rstrip(";")


def _decimal(value: float) -> str:
    """At most three decimals, and never an exponent: not every monitor reads one."""
    return f"{value:.3f}".rstrip("0").rstrip(".")
