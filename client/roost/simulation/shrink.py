"""Makes a story short: leaves out incident after incident, and plays again, as long as the same thing goes wrong.

Delta debugging (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002): first large parts
are left out, then ever smaller ones, down to single incidents.
"""

from collections.abc import Callable
from typing import NamedTuple

from roost.simulation.plan import Plan
from roost.simulation.play import Outcome, play

RUNS_MAX = 400
"""Runs that one story is worth: a minute or two."""

Play = Callable[[Plan], Outcome]


class Shortened(NamedTuple):
    """What was left: the numbers of the incidents in the whole plan, and what comes of them alone."""

    numbers: tuple[int, ...]
    outcome: Outcome
    runs: int


def shorten(
    whole: Outcome,
    again: Play = play,
    runs_max: int = RUNS_MAX,
    progress: Callable[[int, int], None] = lambda runs, left: None,
) -> Shortened:
    """The shortest plan that is found to go wrong as `whole` did first: the same promise, or the same complaint.

    `progress` is told the runs so far, and how many incidents are left.
    """
    search = _Search(whole, again, runs_max, progress)
    search.halve()
    return Shortened(search.numbers, search.outcome, search.runs)


class _Search:
    def __init__(self, whole: Outcome, again: Play, runs_max: int, progress: Callable[[int, int], None]) -> None:
        self.outcome = whole
        self.numbers = tuple(range(len(whole.plan.incidents)))
        self.runs = 0
        self._plan = whole.plan
        self._sign = next(iter(whole.signs), None)
        self._again = again
        self._runs_max = runs_max
        self._progress = progress

    def halve(self) -> None:
        """Leave out parts, and halve their size when none of that size can be."""
        size = max(1, len(self.numbers) // 2)
        while self.numbers and self.runs < self._runs_max:
            if not self._leave_out_some(size):
                if size == 1:
                    return
                size = max(1, size // 2)

    def _leave_out_some(self, size: int) -> bool:
        """Leave out every part of this size that can be; whether there was one."""
        shorter = False
        start = 0
        while start < len(self.numbers) and self.runs < self._runs_max:
            rest = self.numbers[:start] + self.numbers[start + size :]
            if self._is_as_wrong(rest):
                shorter = True
            else:
                start += size
        return shorter

    def _is_as_wrong(self, numbers: tuple[int, ...]) -> bool:
        outcome = self._again(self._plan.only(numbers))
        self.runs += 1
        if self._sign not in outcome.signs:
            return False
        self.numbers, self.outcome = numbers, outcome
        self._progress(self.runs, len(numbers))
        return True
