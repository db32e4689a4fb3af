"""Many seeds, one after the other or several at once in processes of their own."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context

from msgspec import Struct

from roost.simulation.drawing import draw
from roost.simulation.play import play

AHEAD = 4
"""Seeds that wait for each process, so that none is ever idle."""


class SeedResult(Struct, frozen=True, kw_only=True):
    """What came of one seed, in short."""

    seed: int
    passed: bool
    faults: tuple[str, ...]
    digest: str
    """Of everything that happened: the same in every process."""
    incidents: int
    messages: int
    events: int
    """In the history that the oracle judged."""
    restarts: int
    simulated_s: float
    took_s: float
    """By the wall clock."""


def play_seed(seed: int) -> SeedResult:
    """Draw the plan of a seed, play it and judge. Raises SchedulerChanged."""
    outcome = play(draw(seed))
    figures = outcome.verdict.figures
    return SeedResult(
        seed=seed,
        passed=not outcome.faults,
        faults=tuple(outcome.faults),
        digest=outcome.digest,
        incidents=len(outcome.plan.incidents),
        messages=figures["messages"],
        events=figures["events"],
        restarts=figures["restarts"],
        simulated_s=outcome.simulated_s,
        took_s=outcome.took_s,
    )


def play_seeds(seeds: Iterable[int], jobs: int = 1) -> Iterator[SeedResult]:
    """The results in the order of the seeds, `jobs` of them being played at once. Raises SchedulerChanged."""
    if jobs == 1:
        yield from map(play_seed, seeds)
        return
    # A fresh interpreter for each: a fork would take over threads and locks of whoever asks.
    with ProcessPoolExecutor(max_workers=jobs, mp_context=get_context("spawn")) as pool:
        waiting: list[Future[SeedResult]] = []
        try:
            for seed in seeds:
                waiting.append(pool.submit(play_seed, seed))
                if len(waiting) >= AHEAD * jobs:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()
