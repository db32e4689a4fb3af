"""Counts the steps of Trio's tasks: so that something can happen between any two of them, and a run comes to an end.

A program that spins lets no virtual time pass, and would be waited for for ever.
"""

from collections.abc import Callable

import trio


class StepCount(trio.abc.Instrument):
    """Calls a function just before the step that comes so many steps later; `too_many` after `steps_max` in all."""

    def __init__(self, steps_max: int, too_many: Callable[[], None]) -> None:
        self.steps = 0
        """So many were made."""
        self._steps_max = steps_max
        self._too_many = too_many
        self._next = steps_max
        self._then: Callable[[], None] | None = None

    def after(self, steps: int, then: Callable[[], None]) -> None:
        """Call `then` before the step that comes `steps` later; what was asked for before is forgotten."""
        self._next, self._then = self.steps + steps, then

    def disarm(self) -> None:
        """Forget what was asked for."""
        self._next, self._then = self._steps_max, None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        del task
        self.steps += 1
        if self.steps >= self._next:
            then = self._then
            self.disarm()
            if then is not None:
                then()
            elif self.steps == self._steps_max:
                self._too_many()
