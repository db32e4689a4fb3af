"""What a suite consists of: one run after the other, in turn over the brokers."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from roost_benchmarks.progress import Progress
from roost_benchmarks.result import Run


class Measured(NamedTuple):
    """A run, and what the broker says of itself."""

    run: Run
    version: str
    durability: str
    """What it has done with a message when it acknowledges it."""


class Step(NamedTuple):
    """One run that is planned: a workload against one broker, in one round."""

    workload: str
    name: str
    shape: str
    """What distinguishes it within the workload: `64x20`, `2000/s`."""
    broker: str
    round: int
    work: Callable[[Path, Progress], Measured]
    """Start the broker in this fresh folder, run, stop. Raises one of FAILURES."""

    @property
    def key(self) -> str:
        """`W1/64x20/roost`: what `--only` is compared with."""
        return f"{self.shape_key}/{self.broker}"

    @property
    def shape_key(self) -> str:
        """`W1/64x20`: this and the same of every other broker, without which a ratio says nothing."""
        return f"{self.workload}/{self.shape}"

    @property
    def title(self) -> str:
        """How it is shown."""
        return f"{self.key} #{self.round + 1}"


def in_turn(rounds: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """(broker, round) as they run: A B A B …, so that a slow minute of the machine meets all of them.

    `rounds` says how many each broker gets; one that has had its rounds is skipped.
    """
    most = max((count for _, count in rounds), default=0)
    return [(broker, number) for number in range(most) for broker, count in rounds if number < count]


def chosen(steps: Iterable[Step], only: Sequence[str]) -> list[Step]:
    """The steps whose key begins with one of `only`; all if there is none. `W1` is no beginning of `W10`."""
    if not only:
        return list(steps)
    return [step for step in steps if any(f"{step.key}/".startswith(f"{each.rstrip('/')}/") for each in only)]
