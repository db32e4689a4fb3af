"""The pictures of a report, as PNG. Needs matplotlib (extra `bench`).

A picture is drawn only of what was measured; one that would be empty is left out. Bars and lines show the median over
the rounds that count, and the peers stand beside roost in the order in which the suite starts them.
"""

import io
import math
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any, Final, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from roost_benchmarks.latency import Latency
from roost_benchmarks.result import Report, Run

COLOURS: Final = {"roost": "#0d7d77", "mosquitto": "#c8741a", "prosody": "#7a5bb5"}
OTHER_COLOUR: Final = "#6b7280"
INK: Final = "#1f2933"
FAINT: Final = "#d7dce1"
FLOOR_COLOUR: Final = "#9aa3ad"

STYLE: Final[Any] = {
    "figure.facecolor": "white",
    "font.size": 10.5,
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": "#52606d",
    "ytick.color": "#52606d",
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.frameon": False,
    "figure.constrained_layout.w_pad": 0.12,
    "figure.constrained_layout.h_pad": 0.1,
    "savefig.facecolor": "white",
}
DPI: Final = 144

CURVES: Final = {
    "users": "accounts",
    "sessions": "live sessions",
    "devices": "devices of a user",
    "members": "members of a group",
    "body_bytes": "bytes of a body",
    "entries": "entries in the store",
    "backlogged": "devices with a backlog",
}
"""What grows, in words; a curve with another name is shown under that."""

_PERCENT_TICKS: Final = (50.0, 90.0, 99.0, 99.9, 99.99)
_BAR_SHARE: Final = 0.84
FAR: Final = 10
"""Times the fastest: a broker further away is named below the picture."""
_BAR_WIDTH_MAX: Final = 0.34


class Picture(NamedTuple):
    """One picture, as it stands in the page and in a file."""

    name: str
    """Of the file, without its suffix."""
    title: str
    caption: str
    png: bytes


def pictures(report: Report) -> list[Picture]:
    """Every picture that the report has something for."""
    runs = [run for run in report.runs if run.counts]
    drawn = []
    with mpl.rc_context(STYLE):
        for draw in (_latency, _throughput, _fan_out, _memory, _growth_of_latency, _growth_of_cost):
            picture = draw(runs, report.floor)
            if picture is not None:
                drawn.append(picture)
    return drawn


# --- latency ---


def _latency(runs: Sequence[Run], floor: dict[str, float]) -> Picture | None:
    """By percentile, one panel for each rate."""
    there = [run for run in runs if run.workload == "W2" and run.hdr]
    rates = sorted({int(run.options["rate_per_s"]) for run in there})
    if not rates:
        return None
    figure = Figure(figsize=(3.6 * max(len(rates), 2), 3.9), layout="constrained")
    panels = figure.subplots(1, len(rates), sharey=True, squeeze=False)[0]
    for panel, rate in zip(panels, rates, strict=True):
        at_rate = [run for run in there if run.options["rate_per_s"] == rate]
        for broker in _brokers(at_rate):
            merged = Latency()
            for run in at_rate:
                if run.broker == broker:
                    merged.merge(Latency.decoded(run.hdr or ""))
            curve = [(_nines(percent), ms) for percent, ms in merged.curve_ms()]
            panel.plot(*zip(*curve, strict=True), color=_colour(broker), label=broker, **_line(broker))
        if "commit_1_ms" in floor:
            panel.axhline(floor["commit_1_ms"], color=FLOOR_COLOUR, linestyle=(0, (4, 3)), linewidth=1.2)
        panel.set_title(f"{rate:,} messages/s")
        panel.set_xlabel("percentile")
        panel.set_xticks([_nines(percent) for percent in _PERCENT_TICKS], [f"{p:g}" for p in _PERCENT_TICKS])
        panel.set_yscale("log")
        _plain_numbers(panel, "y")
    panels[0].set_ylabel("ms from due to the last device")
    figure.legend(*_legend(panels, floor), loc="outside lower center", ncols=5)
    return Picture(
        "latency",
        "Latency at a fixed rate",
        "Open loop: counted from when a message was due, so that no stall is hidden. Every message of roost is on "
        "disk before anybody is told of it; the peers do not wait for the disk. Both scales are logarithmic.",
        _png(figure),
    )


def _legend(panels: Iterable[Axes], floor: dict[str, float]) -> tuple[list[Any], list[str]]:
    found: dict[str, Any] = {}
    for panel in panels:
        for artist, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, artist)
        if "commit_1_ms" in floor and panel.lines:
            found["one commit (floor)"] = panel.lines[-1]
    ordered = sorted(found, key=lambda label: label.startswith("one commit"))
    return [found[label] for label in ordered], ordered


def _nines(percent: float) -> float:
    """Where a percentile stands: 90, 99 and 99.9 are equally far apart."""
    return -math.log10(1 - percent / 100)


# --- bars ---


def _throughput(runs: Sequence[Run], _: dict[str, float]) -> Picture | None:
    there = [run for run in runs if run.workload == "W1" and "messages_per_s" in run.figures]
    shapes = sorted({(int(run.options["pairs"]), int(run.options["window"])) for run in there})
    shapes.sort(key=lambda shape: shape[0] * shape[1])
    if not shapes:
        return None
    groups = [f"{window} in flight\n× {pairs} pair{'s' if pairs > 1 else ''}" for pairs, window in shapes]
    values = {
        broker: [
            _median(
                run.figures["messages_per_s"]
                for run in there
                if run.broker == broker and (run.options["pairs"], run.options["window"]) == shape
            )
            for shape in shapes
        ]
        for broker in _brokers(there)
    }
    figure = Figure(figsize=(8.4, 4.2), layout="constrained")
    panel = figure.subplots()
    _grouped_bars(panel, groups, values, lambda value: f"{value:,.0f}")
    panel.set_ylabel("messages/s")
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    panel.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4)
    return Picture(
        "throughput",
        "Throughput between pairs of users",
        "Closed loop; a message counts when both of the receiver's devices and the sender's other one hold it.",
        _png(figure),
    )


def _fan_out(runs: Sequence[Run], floor: dict[str, float]) -> Picture | None:
    there = [run for run in runs if run.workload == "W3" and run.latency_ms]
    if not there:
        return None
    values = {
        broker: [
            _median((run.latency_ms or {})[name] for run in there if run.broker == broker) for name in ("p50", "p99")
        ]
        for broker in _brokers(there)
    }
    # One that is slower by far would leave nothing to see of the others.
    least_p50 = min(p50 for p50, _ in values.values())
    far = {broker: values.pop(broker)[0] for broker in list(values) if values[broker][0] > FAR * least_p50}
    figure = Figure(figsize=(8.4, 3.7), layout="constrained")
    panel = figure.subplots()
    _grouped_bars(panel, ["p50", "p99"], values, lambda value: f"{value:,.1f}")
    if "commit_group_ms" in floor and "fan_out_1000_ms" in floor:
        least = floor["commit_group_ms"] + floor["fan_out_1000_ms"]
        label = f"commit + 1,000 sends: {least:.1f} ms"
        panel.axhline(least, color=FLOOR_COLOUR, linestyle=(0, (4, 3)), linewidth=1.2, label=label)
    panel.set_ylabel("ms until the last device has it")
    panel.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4)
    return Picture(
        "group",
        "One message to a group of 1,000 devices",
        "500 members with two devices each. roost stores 500 inboxes before the first device is sent anything. "
        + " ".join(f"Not drawn: {broker}, p50 {p50:,.0f} ms." for broker, p50 in far.items()),
        _png(figure),
    )


def _memory(runs: Sequence[Run], _: dict[str, float]) -> Picture | None:
    there = [run for run in runs if run.workload == "W5" and "memory_per_device_bytes" in run.figures]
    if not there:
        return None
    brokers = _brokers(there)
    kib = [_median(run.figures["memory_per_device_bytes"] / 1024 for run in there if run.broker == b) for b in brokers]
    figure = Figure(figsize=(8.4, 0.9 + 0.62 * len(brokers)), layout="constrained")
    panel = figure.subplots()
    bars = panel.barh(brokers, kib, height=0.6, color=[_colour(broker) for broker in brokers])
    panel.bar_label(bars, [f"{value:.1f} KiB" for value in kib], padding=5, fontsize=9.5)
    panel.invert_yaxis()
    panel.margins(x=0.14)
    panel.grid(axis="y", visible=False)
    panel.set_xlabel("KiB for each device that is logged in and idle")
    return Picture(
        "memory", "Memory of an idle device", "Anonymous memory of the broker (RssAnon) before and after.", _png(figure)
    )


def _grouped_bars(panel: Axes, groups: Sequence[str], values: dict[str, list[float]], label: Any) -> None:
    width = min(_BAR_SHARE / len(values), _BAR_WIDTH_MAX)
    for index, (broker, heights) in enumerate(values.items()):
        places = [group + (index - (len(values) - 1) / 2) * width for group in range(len(groups))]
        known = [(place, height) for place, height in zip(places, heights, strict=True) if not math.isnan(height)]
        bars = panel.bar(
            [place for place, _ in known], [height for _, height in known], width * 0.94, color=_colour(broker),
            label=broker,
        )  # fmt: skip
        panel.bar_label(bars, [label(height) for _, height in known], padding=2, fontsize=8.5)
    panel.set_xticks(range(len(groups)), groups)
    panel.tick_params(axis="x", length=0)
    panel.margins(y=0.14)
    panel.grid(axis="x", visible=False)


# --- growth ---

COSTS: Final = (
    ("cost_us_per_message", "µs of processor a message"),
    ("entries_per_s", "entries/s"),
    ("log_ins_per_s", "log-ins/s"),
    ("messages_per_s", "messages/s"),
    ("memory_per_device_bytes", "bytes a device"),
)
"""What is drawn of a curve: the first of these that all of its runs have."""


class _Line(NamedTuple):
    """One line of a panel."""

    label: str
    heights: list[float]
    colour: str
    style: str = "-"


def _growth_of_latency(runs: Sequence[Run], _: dict[str, float]) -> Picture | None:
    png = _growth(runs, _latency_lines, "ms")
    caption = "Send to the last device, p50 and p99. One thing grows, everything else stays; horizontal scales are "
    return Picture("growth_latency", "How latency grows", caption + "logarithmic.", png) if png else None


def _growth_of_cost(runs: Sequence[Run], _: dict[str, float]) -> Picture | None:
    png = _growth(runs, _cost_lines, "")
    caption = "One thing grows, everything else stays; what is measured stands beside each scale."
    return Picture("growth_cost", "How cost grows", caption, png) if png else None


def _latency_lines(runs: Sequence[Run]) -> list[_Line]:
    found = [run.latency_ms for run in runs if run.latency_ms]
    if len(found) < len(runs):
        return []
    return [
        _Line("p99", [latency["p99"] for latency in found], COLOURS["roost"], ":"),
        _Line("p50", [latency["p50"] for latency in found], COLOURS["roost"]),
    ]


def _cost_lines(runs: Sequence[Run]) -> list[_Line]:
    for name, label in COSTS:
        if all(name in run.figures for run in runs):
            return [_Line(label, [run.figures[name] for run in runs], COLOURS["mosquitto"])]
    return []


def _growth(runs: Sequence[Run], lines_of: Callable[[Sequence[Run]], list[_Line]], unit: str) -> bytes | None:
    """One panel for each curve that has lines; None if there is no such curve."""
    there = [run for run in runs if run.workload == "growth" and run.name in run.options]
    curves = []
    for name in dict.fromkeys(run.name for run in there):
        points = sorted((run for run in there if run.name == name), key=lambda run: float(run.options[name]))
        if lines := lines_of(points):
            curves.append((name, [float(run.options[name]) for run in points], lines))
    if not curves:
        return None
    columns = min(len(curves), 3)
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(4.0 * max(columns, 2), 2.9 * rows + 0.3), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel, (name, at, lines) in zip(panels, curves, strict=False):
        _curve(panel, name, at, lines, unit)
    for panel in panels[len(curves) :]:
        panel.set_visible(False)
    return _png(figure)


def _curve(panel: Axes, name: str, at: Sequence[float], lines: Sequence[_Line], unit: str) -> None:
    for line in lines:
        panel.plot(at, line.heights, line.style, marker="o", markersize=4.5, color=line.colour, label=line.label)
    panel.set_title(CURVES.get(name, name.replace("_", " ")))
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(sorted(set(at))))
    _plain_numbers(panel, "x")
    panel.set_ylim(bottom=0, top=1.12 * max(max(line.heights) for line in lines) or 1)
    panel.yaxis.set_major_formatter(FuncFormatter(_short))
    if len(lines) > 1:
        panel.legend(loc="best", fontsize=9)
    panel.set_ylabel(unit or lines[0].label, fontsize=9.5)


# --- shared ---


def _brokers(runs: Iterable[Run]) -> list[str]:
    there = dict.fromkeys(run.broker for run in runs)
    return sorted(there, key=lambda broker: list(COLOURS).index(broker) if broker in COLOURS else len(COLOURS))


def _colour(broker: str) -> str:
    return COLOURS.get(broker, OTHER_COLOUR)


def _line(broker: str) -> dict[str, float]:
    return {"linewidth": 2.4 if broker == "roost" else 1.7, "zorder": 3.0 if broker == "roost" else 2.5}


def _median(values: Iterable[float]) -> float:
    found = list(values)
    return median(found) if found else math.nan


def _plain_numbers(panel: Axes, which: str) -> None:
    axis = panel.xaxis if which == "x" else panel.yaxis
    axis.set_major_formatter(FuncFormatter(_short))
    axis.set_minor_formatter(NullFormatter())
    if which == "x":
        axis.set_minor_locator(NullLocator())


def _short(value: float, _: int | None = None) -> str:
    """`0.5`, `20`, `3k`, `10M`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:g}"


def _png(figure: Figure) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=DPI, metadata={"Software": "roost"})
    return data.getvalue()
