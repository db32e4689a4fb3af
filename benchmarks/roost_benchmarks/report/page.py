"""One self-contained HTML page of a report: goals, pictures, every run, and what it was all measured on.

No script, nothing from elsewhere: it opens from a disk or a mail. Whatever comes from a report is escaped.
"""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from roost_benchmarks.report.pictures import Picture
from roost_benchmarks.result import Goal, Report, Run, figure_words, shown_number

STYLE: Final = """
:root { --ink: #1f2933; --soft: #616e7c; --line: #e4e7eb; --pale: #f7f9fa; --good: #0d7d77; --bad: #b3402a; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff; font: 16px/1.55 system-ui, "Segoe UI", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; margin: 0 0 .25rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .75rem; }
p { margin: .4rem 0; max-width: 46rem; }
.soft { color: var(--soft); font-size: .9rem; }
.cards { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.5rem 0 0; }
.card { flex: 1 1 11rem; padding: .8rem 1rem; background: var(--pale); border: 1px solid var(--line);
  border-radius: 10px; }
.card b { display: block; font-size: 1.5rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; }
th { text-align: left; font-weight: 600; color: var(--soft); border-bottom: 2px solid var(--line); }
th, td { padding: .42rem .7rem .42rem 0; vertical-align: top; }
td { border-bottom: 1px solid var(--line); }
th.n, td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th.w, td.w { min-width: 12rem; }
.runs table { font-size: .82rem; }
.runs { margin: 0 calc(max(-10rem, (100% - 100vw) / 2 + 1.25rem)); }
tr.refused td { color: var(--bad); }
.met, .not { font-weight: 600; white-space: nowrap; }
.met { color: var(--good); }
.not { color: var(--bad); }
code { font: .82rem/1.4 ui-monospace, "SF Mono", Menlo, monospace; background: var(--pale); border-radius: 4px;
  padding: .05rem .3rem; overflow-wrap: anywhere; }
figure { margin: 2.5rem 0 0; }
figure img { width: 100%; height: auto; border: 1px solid var(--line); border-radius: 10px; padding: .75rem; }
figcaption { margin-top: .5rem; color: var(--soft); font-size: .9rem; max-width: 46rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.5rem; font-size: .9rem; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; }
""".strip()

_PERCENTILES: Final = ("p50", "p90", "p99", "p99.9", "max")
_CLASSES: Final = {"#": "n", "*": "w"}


def page(report: Report, pictures: Sequence[Picture]) -> str:
    """The whole page."""
    body = [
        _head(report),
        _goals(report.goals),
        *(_figure(picture) for picture in pictures),
        _runs(report.runs),
        _floor(report.floor),
        _facts(report),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>roost: measured {escape(report.taken)}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _head(report: Report) -> str:
    judged = [goal for goal in report.goals if goal.met is not None]
    cards = []
    if report.goals:
        met = sum(bool(goal.met) for goal in judged)
        cards.append((f"{met} of {len(report.goals)}", "goals met"))
    cards.append((f"{len(report.runs) - len(report.refused)} of {len(report.runs)}", "runs count"))
    if checked := sum(run.oracle.entries_checked for run in report.runs):
        bad = sum(run.oracle.missed + run.oracle.doubled for run in report.runs)
        cards.append((f"{checked:,}", f"entries checked, {bad} missed or doubled"))
    if "commit_1_ms" in report.floor:
        cards.append((f"{report.floor['commit_1_ms']:.2f} ms", "one durable commit (the floor)"))
    shown = "".join(f'<div class="card"><b>{escape(value)}</b>{escape(text)}</div>' for value, text in cards)
    processor, cores = report.machine.get("processor", "unknown processor"), report.machine.get("cores", "?")
    line = f"{report.taken} · commit {report.commit} · {processor}, {cores} cores · {report.seconds:.0f} s"
    return (
        f'<h1>roost, measured</h1>\n<p class="soft">{escape(line)}</p>\n'
        "<p>Figures drift from machine to machine and from run to run; the ratios, taken in one run on one machine, "
        "are what counts. The load generator runs beside the broker and checks every entry that it is delivered.</p>\n"
        f'<div class="cards">{shown}</div>'
    )


def _goals(goals: Sequence[Goal]) -> str:
    if not goals:
        return ""
    rows = [
        [
            escape(g.workload),
            escape(g.goal),
            escape(g.measured),
            _mark(g.met),
            f"<code>{escape(g.command)}</code>" * bool(g.command),
        ]
        for g in goals
    ]
    return "<h2>Goals</h2>\n" + _table(["", "Goal", "Measured", "", "Command"], rows)


def _mark(met: bool | None) -> str:
    if met is None:
        return '<span class="soft">not measured</span>'
    return '<span class="met">✓ met</span>' if met else '<span class="not">✗ not met</span>'


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode("ascii")
    return (
        f'<figure id="{escape(picture.name)}">\n<h2>{escape(picture.title)}</h2>\n'
        f'<img alt="{escape(picture.title)}" src="data:image/png;base64,{data}">\n'
        f"<figcaption>{escape(picture.caption)}</figcaption>\n</figure>"
    )


def _runs(runs: Sequence[Run]) -> str:
    columns = ["", "Broker", "*Options", "*Figures", *(f"#{p} ms" for p in _PERCENTILES)]
    columns += ["#µs/msg", "#Memory MiB", "#Generator"]
    rows, marked = [], []
    for run in runs:
        latency = run.latency_ms or {}
        cells = [
            escape(f"{run.workload} {run.name}"),
            escape(run.broker) + f" #{run.round + 1}",
            _pairs(run.options.items()),
        ]
        cells += [escape(", ".join(figure_words(run.figures))) if run.failure is None else escape(run.failure)]
        cells += [shown_number(latency[p]) if p in latency else "" for p in _PERCENTILES]
        cells += [
            shown_number(run.process.cpu_us_per_message) if run.process and run.process.cpu_us_per_message else ""
        ]
        cells += [
            shown_number(run.process.rss_anon_bytes / 2**20) if run.process else "",
            f"{run.generator.cpu_share:.0%}",
        ]
        rows.append(cells)
        marked.append("" if run.counts else "refused")
    refused = "".join(
        f'<p class="not">{escape(f"{run.workload} {run.name}, {run.broker}, does not count: {run.refusal}")}</p>'
        for run in runs
        if not run.counts
    )
    return f'<h2>Every run</h2>\n{refused}<div class="runs">{_table(columns, rows, marked)}</div>'


def _floor(floor: dict[str, float]) -> str:
    if not floor:
        return ""
    names = [name for name in floor if not name.endswith(("_before", "_after"))]
    rows = [
        [
            f"<code>{escape(name)}</code>",
            shown_number(floor[name]),
            *(
                shown_number(floor[f"{name}_{when}"]) if f"{name}_{when}" in floor else ""
                for when in ("before", "after")
            ),
        ]
        for name in names
    ]
    return (
        "<h2>The floor</h2>\n<p>The commit of the same records by the same code with nothing around it, and sends from "
        "a bare loop, on the same folder before and after the runs: nothing could be faster.</p>\n"
        + _table(["", "#Lower", "#Before", "#After"], rows)
    )


def _facts(report: Report) -> str:
    facts = [(name, str(value)) for name, value in report.machine.items() if not isinstance(value, dict)]
    for value in report.machine.values():
        if isinstance(value, dict):
            facts += [(str(name), str(inner)) for name, inner in value.items()]
    facts += [(name, version) for name, version in report.versions.items()]
    facts += [(f"{name}: an acknowledged message", text) for name, text in report.durability.items()]
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    notes = "".join(f"<p>{escape(note)}</p>" for note in report.notes)
    return f"<h2>Measured on</h2>\n<dl>{lines}</dl>\n{notes}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], marked: Sequence[str] = ()) -> str:
    """`#` before a title: a column of numbers; `*`: a wide one. Cells are HTML."""
    classes = [_CLASSES.get(title[:1], "") for title in columns]

    def line(tag: str, cells: Sequence[str], mark: str = "") -> str:
        inner = "".join(f"<{tag}{_class(name)}>{cell}</{tag}>" for cell, name in zip(cells, classes, strict=True))
        return f"<tr{_class(mark)}>{inner}</tr>"

    head = line("th", [escape(title.lstrip("#*")) for title in columns])
    body = "\n".join(line("td", cells, marked[index] if marked else "") for index, cells in enumerate(rows))
    return f'<div class="scroll"><table>\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _pairs(items: Iterable[tuple[str, object]]) -> str:
    return ", ".join(f"{escape(str(name)).replace('_', ' ')} {_value(value)}" for name, value in items)


def _value(value: object) -> str:
    return shown_number(value) if isinstance(value, float | int) else escape(str(value))
