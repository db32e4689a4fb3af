"""Counts the steps of Trio's tasks, so that something can happen between any two of them."""

from collections.abc import Callable

import trio


class StepCount(trio.abc.Instrument):
    """Calls a function just before the step that comes so many steps later."""

    def __init__(self) -> None:
        self._left = 0
        self._then: Callable[[], None] | None = None

    def after(self, steps: int, then: Callable[[], None]) -> None:
        """Call `then` before the step that comes `steps` later; what was asked for before is forgotten."""
        self.disarm()
        self._left, self._then = steps, then
        trio.lowlevel.add_instrument(self)

    def disarm(self) -> None:
        """Call nothing."""
        if self._then is not None:
            self._then = None
            trio.lowlevel.remove_instrument(self)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        del task
        self._left -= 1
        then = self._then
        if self._left <= 0 and then is not None:
            self.disarm()
            then()
