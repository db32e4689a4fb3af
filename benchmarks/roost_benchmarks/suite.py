"""The whole suite: roost and its peers in turn on this machine, and a report of it.

    python -m roost_benchmarks.suite quick|full|growth|admin|web [--only W1] [--folder DIR] [--output DIR]

Every run has a fresh folder and a broker of its own. The floor is measured before and after, on the same disk. What
came of it goes to `--output`: the report as JSON, the pictures as PNG, and one HTML page. The exit status is 1 if a
run does not count: its generator was the bottleneck, or a promise was broken.
"""

import datetime
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from msgspec.structs import replace

from roost_benchmarks import floor, goals, machine
from roost_benchmarks.result import Generator, Oracle, Report, Run, figure_words, to_json
from roost_benchmarks.screen import Bars
from roost_benchmarks.steps import Measured, Step, chosen

FILE_NAMES: Final = {"full": "bench", "quick": "quick", "growth": "growth", "admin": "admin", "web": "web"}
"""Of the report and its page: what `make bench` gives is not overwritten by a quick look."""

DOES_NOT_COUNT: Final = 1
"""Exit status: the report is there, but one of its runs does not count."""

FAILURES: Final = (OSError, RuntimeError, ValueError, AssertionError)
"""What may break one run and leave the others: a broker that died, a promise broken, a peer that cannot be started."""


def carry_out(steps: Sequence[Step], folder: Path | None, kind: str) -> dict[Step, Measured]:
    """Run them one after the other; a step that fails becomes a run that does not count."""
    found = {}
    with Bars(len(steps)) as bars:
        for step in steps:
            with bars.run(step.title) as shown, tempfile.TemporaryDirectory(prefix="roost-bench-", dir=folder) as name:
                begin = time.monotonic()
                try:
                    done = step.work(Path(name), shown)
                except FAILURES as error:
                    done = Measured(_failed(step, error), "", "")
                shown.update(1.0, f"{summary(done.run)} ({time.monotonic() - begin:.0f} s)")
            command = f".venv/bin/python -m roost_benchmarks.suite {kind} --only {step.shape_key}"
            found[step] = done._replace(run=replace(done.run, round=step.round, command=command))
    return found


def _failed(step: Step, error: Exception) -> Run:
    return Run(
        workload=step.workload, name=step.name, broker=step.broker, options={"shape": step.shape}, figures={},
        generator=Generator.of(0.0), oracle=Oracle(entries_checked=0),
        failure=f"{type(error).__name__}: {error}".partition("\n")[0],
    )  # fmt: skip


def summary(run: Run) -> str:
    """A run in one line, for a person who watches."""
    if run.failure is not None:
        return f"FAILED: {run.failure}"
    parts = figure_words(run.figures)
    if run.latency_ms:
        parts.append(f"p50 {run.latency_ms['p50']:.2f} ms, p99 {run.latency_ms['p99']:.2f} ms")
    if run.refusal:
        parts.append(f"DOES NOT COUNT: {run.refusal}")
    return " · ".join(parts)


def floor_of(folder: Path | None) -> dict[str, float]:
    """The floor on the disk of `folder`, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="roost-floor-", dir=folder) as name:
        return floor.measure(Path(name))


def measure(kind: str, steps: Sequence[Step], folder: Path | None, notes: Sequence[str]) -> Report:
    """Run all of it, between two measurements of the floor."""
    taken, begin = datetime.datetime.now(datetime.UTC), time.monotonic()
    before = floor_of(folder)
    found = carry_out(steps, folder, kind)
    floors = floor.lower_of(before, floor_of(folder))
    runs = [replace(done.run, floor=done.run.floor or _plain(floors)) for done in found.values()]
    facts = machine.facts()
    return Report(
        kind=kind,
        taken=taken.isoformat(timespec="seconds").replace("+00:00", "Z"),
        seconds=round(time.monotonic() - begin, 1),
        machine=facts,
        commit=str(facts.get("commit", "unknown")),
        versions={step.broker: done.version for step, done in found.items() if done.version},
        durability={step.broker: done.durability for step, done in found.items() if done.durability},
        floor=floors,
        runs=runs,
        goals=goals.judged(runs, floors) if kind == "full" else [],
        notes=[*goals.remarks(runs), *notes],
    )


def _plain(floors: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in floors.items() if not name.endswith(("_before", "_after"))}


def written(report: Report, output: Path) -> list[Path]:
    """Write a report, its pictures and its page into a folder; what was written. Raises OSError."""
    from roost_benchmarks.report.page import page
    from roost_benchmarks.report.pictures import pictures

    output.mkdir(parents=True, exist_ok=True)
    name = FILE_NAMES[report.kind]
    drawn = pictures(report)
    files = {f"{name}.json": to_json(report), f"{name}.html": page(report, drawn).encode()}
    files |= {f"{name}-{picture.name}.png": picture.png for picture in drawn}
    for file, data in files.items():
        (output / file).write_bytes(data)
    return [output / file for file in files]


@click.command()
@click.argument("kind", type=click.Choice(list(FILE_NAMES)))
@click.option("--only", multiple=True, metavar="KEY", help="Only these, by the beginning of their key: W1, W1/64x20.")
@click.option("--without-peers", is_flag=True, help="roost alone.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False, exists=True), help="The disk to measure on.")
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), default=Path("benchmarks/results"), show_default=True
)
@click.option("--plan", "only_plan", is_flag=True, help="Print the keys of what would run.")
def main(
    kind: str, only: tuple[str, ...], without_peers: bool, folder: Path | None, output: Path, only_plan: bool
) -> None:
    """Run the suite: `quick` (roost alone, 90 s), `full` (with the peers, 12 minutes), `growth` or `admin`."""
    from roost_benchmarks import peers
    from roost_benchmarks.plan import planned

    notes: list[str] = []
    brokers = ["roost"]
    if kind == "full" and not without_peers:
        notes += [] if only_plan else peers.provide(lambda text: click.echo(text, err=True))
        brokers += [name for name in peers.PACKAGES if name not in peers.missing()]
    steps = chosen(planned(kind, brokers), only)
    if not steps:
        raise click.UsageError(f"nothing of {kind} is called {', '.join(only)}")
    if only_plan:
        for step in steps:
            click.echo(step.title)
        return
    report = measure(kind, steps, folder, notes)
    files = written(report, output)
    _show(report, files)
    if report.refused:
        sys.exit(DOES_NOT_COUNT)


def _show(report: Report, files: Sequence[Path]) -> None:
    marks = {True: "met", False: "NOT MET", None: "-"}
    for goal in report.goals:
        click.echo(f"{goal.workload}  {marks[goal.met]:<8} {goal.goal}: {goal.measured}")
    for run in report.refused:
        click.echo(f"{run.workload} {run.name} of {run.broker} does not count: {run.refusal}", err=True)
    for note in report.notes:
        click.echo(note, err=True)
    click.echo(f"{report.seconds:.0f} s; written: {', '.join(str(path) for path in files)}", err=True)


if __name__ == "__main__":
    main()
