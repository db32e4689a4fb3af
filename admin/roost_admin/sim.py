"""`roost sim`: the whole broker with its devices and their faults, simulated out of a seed, and judged."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from roost_admin.failures import EX_NOINPUT, EX_SOFTWARE, Failure, say
from roost_admin.options import json_option

if TYPE_CHECKING:
    from roost.simulation.play import Outcome
    from roost.simulation.seeds import SeedResult

    _RangeType = click.ParamType[range]
    _NumbersType = click.ParamType[tuple[int, ...]]
else:
    _RangeType = _NumbersType = click.ParamType

STORIES_MAX = 3
"""Of several seeds that went wrong, so many are told; the others can be asked for one by one."""

SEEDS_MAX = 1_000_000
"""In one call: a week or so."""


class SeedRange(_RangeType):
    """`A..B`, both included."""

    name = "seeds"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> range:
        """See click."""
        if isinstance(value, range):
            return value
        found = re.fullmatch(r"(\d{1,18})\.\.(\d{1,18})", str(value))
        if found is None:
            self.fail(f"{value!r} is not of the form A..B, as in 0..999", param, ctx)
        first, last = int(found[1]), int(found[2])
        if not 0 <= last - first < SEEDS_MAX:
            self.fail(f"{value!r}: A..B has 1 to {SEEDS_MAX:,} seeds, A the lower", param, ctx)
        return range(first, last + 1)


class Numbers(_NumbersType):
    """`3,9,12`; also nothing at all."""

    name = "numbers"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """See click."""
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"(\d{1,6}(,\d{1,6})*)?", str(value)):
            self.fail(f"{value!r} is not of the form 3,9,12", param, ctx)
        return tuple(int(number) for number in str(value).split(",") if number)


@click.command("sim")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Play this one, and say what came of it.")
@click.option("--seeds", type=SeedRange(), metavar="A..B", help="Play all of these, with a progress bar.")
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Of them, so many at once.")
@click.option("--only", type=Numbers(), metavar="N,N,…", help="With --seed: leave out all incidents but these.")
@click.option("--trace", is_flag=True, help="With --seed: print everything that happens.")
@click.option("--history", type=click.Path(path_type=Path), help="With --seed: write what the oracle judges there.")
@json_option
@click.pass_context
def sim(
    context: click.Context,
    seed: int | None,
    seeds: range | None,
    jobs: int,
    only: tuple[int, ...] | None,
    trace: bool,
    history: Path | None,
    as_json: bool,
) -> None:
    """Simulate a broker, its devices and their faults in virtual time; exit status 1 if a promise was broken.

    The broker and the client library are the real ones. What fails, and when, follows from the seed: connections,
    devices, the disk, the clock, the broker itself. The same seed gives the same run, to the last event. A run that
    goes wrong is told in few lines, with the command that plays it again.

    \b
    Example:
        roost sim --seed 7
        roost sim --seed 7 --trace
        roost sim --seeds 0..999 --jobs 2
    """
    from roost.simulation.scheduler import SchedulerChanged

    if (seed is None) == (seeds is None):
        raise click.UsageError("give either --seed N or --seeds A..B")
    if seed is None and (only is not None or trace or history is not None):
        raise click.UsageError("--only, --trace and --history go with --seed")
    try:
        if seeds is not None:
            passed = _play_many(seeds, jobs, as_json=as_json)
        else:
            passed = _play_one(seed or 0, only, history, whole_trace=trace, as_json=as_json)
    except SchedulerChanged as changed:
        raise Failure(str(changed), EX_SOFTWARE) from changed
    context.exit(0 if passed else 1)


# --- one seed -----------------------------------------------------------------------------------------------------


def _play_one(
    seed: int, only: tuple[int, ...] | None, history: Path | None, *, whole_trace: bool, as_json: bool
) -> bool:
    from roost.oracle import dump
    from roost.simulation.drawing import draw
    from roost.simulation.play import play
    from roost.simulation.story import trace

    plan = draw(seed)
    if only is not None:
        try:
            plan = plan.only(only)
        except ValueError as error:
            raise click.UsageError(f"--only: {error}") from error
    outcome = play(plan)
    if history is not None:
        try:
            dump(outcome.history, history)
        except OSError as error:
            raise Failure(f"{history}: {error.strerror or error}", EX_NOINPUT) from error
    if as_json:
        _show_json(outcome, whole_trace=whole_trace)
        return not outcome.faults
    if whole_trace:
        for line in trace(outcome):
            click.echo(line)
    for line in _verdict(outcome):
        click.echo(line)
    if outcome.faults and only is None:
        _tell_short(outcome)
    elif outcome.faults and not whole_trace:
        _tell(outcome)
    return not outcome.faults


def _show_json(outcome: "Outcome", *, whole_trace: bool) -> None:
    from roost.simulation.story import trace
    from roost_admin.output import show_document

    document: dict[str, object] = {
        "seed": outcome.plan.seed,
        "passed": not outcome.faults,
        "faults": outcome.faults,
        "digest": outcome.digest,
        "simulated_s": outcome.simulated_s,
        "took_s": outcome.took_s,
        "incidents": len(outcome.plan.incidents),
        "figures": outcome.verdict.figures,
    }
    show_document({**document, "trace": trace(outcome)} if whole_trace else document)


def _verdict(outcome: "Outcome") -> list[str]:
    plan, figures = outcome.plan, outcome.verdict.figures
    ratio = outcome.simulated_s / outcome.took_s
    return [
        f"seed {plan.seed}: {len(plan.users)} users, {len(plan.installations)} devices, "
        f"{len(plan.incidents)} incidents, the store {'on files' if plan.terms.store == 'lmdb' else 'in memory'}",
        f"simulated {outcome.simulated_s:.0f} s in {outcome.took_s:.2f} s ({ratio:.0f} to 1): "
        f"{figures['messages']:,} messages, {figures['connections']:,} log-ins, {figures['restarts']} restarts",
        f"trace: {outcome.digest}",
        *(f"broken: {fault}" for fault in outcome.faults),
        f"verdict: {'FAIL' if outcome.faults else 'pass'}",
    ]


def _tell_short(outcome: "Outcome") -> None:
    """Make the story short, and tell it."""
    from roost.simulation.shrink import shorten

    say(f"seed {outcome.plan.seed} went wrong; looking for the shortest story of it")
    shortened = shorten(outcome)
    many = f"{len(shortened.numbers)} of {len(outcome.plan.incidents)} incidents"
    click.echo(f"\nthe shortest story found, in {shortened.runs} runs ({many}):")
    for fault in shortened.outcome.faults:
        click.echo(f"broken: {fault}")
    _tell(shortened.outcome)
    numbers = ",".join(map(str, shortened.numbers))
    click.echo(f"\nplay it again with: roost sim --seed {outcome.plan.seed} --only '{numbers}' --trace")


def _tell(outcome: "Outcome") -> None:
    from roost.simulation.story import story
    from roost_admin.cells import printable

    click.echo(f"the terms: {_terms(outcome)}")
    for line in story(outcome):
        click.echo(printable(line))


def _terms(outcome: "Outcome") -> str:
    """Those that are not as always."""
    from dataclasses import fields

    terms = outcome.plan.terms
    other = {field.name: getattr(terms, field.name) for field in fields(terms)}
    return ", ".join(
        f"{field.name}={other[field.name]}" for field in fields(terms) if other[field.name] != field.default
    )


# --- many seeds ---------------------------------------------------------------------------------------------------


def _play_many(seeds: range, jobs: int, *, as_json: bool) -> bool:
    from time import perf_counter

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from roost.simulation.seeds import play_seeds
    from roost_admin.output import show_line

    began = perf_counter()
    done: list[SeedResult] = []
    wrong: list[int] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("seeds", total=len(seeds))
        for result in play_seeds(seeds, jobs):
            done.append(result)
            if as_json:
                show_line(result)
            if not result.passed:
                wrong.append(result.seed)
                progress.console.print(f"seed {result.seed} went wrong: {result.faults[0]}", markup=False)
            progress.update(task, advance=1, description=f"{len(wrong)} went wrong" if wrong else "all well")
    if as_json:
        return not wrong
    for seed in wrong[:STORIES_MAX]:
        click.echo("")
        _play_one(seed, None, None, whole_trace=False, as_json=False)
    for seed in wrong[STORIES_MAX:]:
        click.echo(f"went wrong too: roost sim --seed {seed}")
    click.echo(_summary(done, perf_counter() - began))
    return not wrong


def _summary(done: "list[SeedResult]", took_s: float) -> str:
    """The figures of it all, in one line."""
    simulated_s = sum(result.simulated_s for result in done)
    ratio = simulated_s / max(sum(result.took_s for result in done), 0.001)
    counts = {
        "messages": sum(result.messages for result in done),
        "incidents": sum(result.incidents for result in done),
        "restarts": sum(result.restarts for result in done),
    }
    return (
        f"{len(done):,} seeds, {sum(not result.passed for result in done)} went wrong; "
        f"{', '.join(f'{count:,} {what}' for what, count in counts.items())}; "
        f"{simulated_s:,.0f} s simulated in {took_s:,.0f} s ({ratio:,.0f} to 1 for each job)"
    )
