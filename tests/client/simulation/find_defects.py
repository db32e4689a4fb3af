"""`make sim-defects`: how many seeds it takes to find each deliberate defect, as the table in `docs/testing.md`."""

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from time import perf_counter

import pytest

from client.simulation.defects import DEFECTS, Known
from roost.simulation.drawing import draw
from roost.simulation.play import Outcome, play

SEEDS_MAX = 200


def outcome_with(known: Known, seed: int) -> Outcome:
    """What comes of the seed with this defect in the broker; its store is the model in memory."""
    plan = draw(seed)
    with pytest.MonkeyPatch.context() as patch:
        open_store = known.defect(patch)
        return play(replace(plan, terms=replace(plan.terms, store="memory")), open_store)


def title(known: Known) -> str:
    """What the table calls it."""
    return " ".join((known.defect.__doc__ or known.defect.__name__).split())


def shows(known: Known, outcome: Outcome) -> bool:
    """Whether what came of it shows this defect."""
    return any(fault.startswith(f"{known.sign}:") or known.sign in fault for fault in outcome.faults)


def seeds_needed(index: int) -> tuple[int | None, int | None, str]:
    """The first seed that shows the defect, the first that shows anything, and what it shows."""
    anything = None
    for seed in range(SEEDS_MAX):
        outcome = outcome_with(DEFECTS[index], seed)
        if outcome.faults and anything is None:
            anything = seed
        if shows(DEFECTS[index], outcome):
            fault = next(each for each in outcome.faults if DEFECTS[index].sign in each)
            return seed, anything, fault
    return None, anything, ""


def rows() -> Iterator[str]:
    """The table, in Markdown, a line as soon as it is known."""
    yield "| defect | shown as | seeds needed | first seed |"
    yield "|---|---|---|---|"
    with ProcessPoolExecutor(max_workers=2) as pool:
        for known, (seed, _, _) in zip(DEFECTS, pool.map(seeds_needed, range(len(DEFECTS))), strict=True):
            found = "not found | -" if seed is None else f"{seed + 1} | {seed}"
            yield f"| {title(known)} | {known.sign} | {found} |"


def main() -> int:
    """Print the table; status 1 if a defect was not found."""
    began = perf_counter()
    lines = []
    for line in rows():
        lines.append(line)
        print(line, flush=True)  # noqa: T201 - this is what it is for
    missed = sum("not found" in line for line in lines)
    print(f"\n{len(DEFECTS) - missed} of {len(DEFECTS)} defects found in {perf_counter() - began:.0f} s")  # noqa: T201
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
