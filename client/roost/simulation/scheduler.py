"""Trio runs that replay: virtual time, and an order of tasks that hangs on a seed alone.

Trio has a switch for this that is not part of its public interface: with `_ALLOW_DETERMINISTIC_SCHEDULING` the tasks
that are ready are sorted by when they were made, then shuffled by Trio's own `_r`. This module is the only one of the
simulation that touches either, and says so clearly when they are not there any more.
"""

import inspect
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

import trio
import trio._core._run as scheduler
from trio.testing import MockClock

T = TypeVar("T")

SWITCH = "_ALLOW_DETERMINISTIC_SCHEDULING"
"""Makes Trio's scheduler sort the tasks that are ready before it shuffles them."""

SHUFFLER = "_r"
"""The `Random` that it shuffles them with."""


class SchedulerChanged(RuntimeError):
    """This version of Trio has no seeded scheduler where it used to be; the message says what is missing."""


def check_scheduler() -> None:
    """Raise SchedulerChanged unless a run can be made to replay."""
    names = vars(scheduler)
    found: list[str] = []
    if not isinstance(names.get(SWITCH), bool):
        found.append(f"trio._core._run.{SWITCH} is no bool")
    if not isinstance(names.get(SHUFFLER), Random):
        found.append(f"trio._core._run.{SHUFFLER} is no random.Random")
    loop = inspect.unwrap(names.get("unrolled_run", check_scheduler))
    missing = sorted({SWITCH, SHUFFLER, "sort", "shuffle"} - set(loop.__code__.co_names))
    if missing:
        found.append(f"its event loop does not use {', '.join(missing)}")
    if found:
        raise SchedulerChanged(
            f"Trio {trio.__version__} cannot replay a run from a seed: {'; '.join(found)}. "
            "A simulation needs Trio 0.30 to 0.35, or this module brought up to date."
        )


def run_seeded(seed: str, main: Callable[[], Awaitable[T]]) -> T:
    """Run `main` under virtual time; the same seed and the same `main` give the same run.

    As long as `main` keeps to memory: no threads, no sockets. Trio's own state is put back at the end. Raises
    SchedulerChanged.
    """
    check_scheduler()
    names = vars(scheduler)
    shuffler: Random = names[SHUFFLER]
    switch, state = names[SWITCH], shuffler.getstate()
    names[SWITCH] = True
    shuffler.seed(seed)
    try:
        return trio.run(main, clock=MockClock(autojump_threshold=0))
    finally:
        names[SWITCH] = switch
        shuffler.setstate(state)
