"""Trio runs that replay: virtual time, and an order of tasks that hangs on a seed alone.

Trio has a switch for this that is not part of its public interface: with `_ALLOW_DETERMINISTIC_SCHEDULING` the tasks
that are ready are sorted, then shuffled by its own `_r`. This module is the only one that touches either.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
import trio._core._run as scheduler
from trio.testing import MockClock

T = TypeVar("T")

_SWITCH = "_ALLOW_DETERMINISTIC_SCHEDULING"


def run_seeded(seed: int, main: Callable[[], Awaitable[T]]) -> T:
    """Run `main` under virtual time; the same seed and the same `main` give the same run.

    As long as `main` keeps to memory: no threads, no sockets. Trio's own state is put back at the end.
    """
    switch, shuffler = vars(scheduler)[_SWITCH], scheduler._r.getstate()
    vars(scheduler)[_SWITCH] = True
    scheduler._r.seed(seed)
    try:
        return trio.run(main, clock=MockClock(autojump_threshold=0))
    finally:
        vars(scheduler)[_SWITCH] = switch
        scheduler._r.setstate(shuffler)
