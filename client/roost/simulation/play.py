"""Plays a plan, and judges what came of it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

import trio

from roost.oracle import History, Verdict, judge
from roost.simulation.audit import audit_cursors
from roost.simulation.finish import finish
from roost.simulation.incidents import begin
from roost.simulation.plan import Plan
from roost.simulation.scheduler import run_seeded
from roost.simulation.stores import ON_PURPOSE, OpenStore
from roost.simulation.trace import Line
from roost.simulation.world import World
from roost_broker.app import Broker

END_S = 3_600.0
"""Virtual time from the last fault to the end: many times what the slowest run takes."""


@dataclass(frozen=True)
class Outcome:
    """What came of a run. `complaints` are what no promise speaks of: a crash, a traceback, a wait in vain."""

    plan: Plan
    verdict: Verdict
    complaints: tuple[str, ...]
    history: History
    lines: tuple[Line, ...]
    digest: str
    """The hash of everything that happened: two runs are the same if it is."""
    simulated_s: float
    took_s: float
    """By the wall clock."""

    @property
    def faults(self) -> list[str]:
        """Everything that is wrong, as one line each."""
        broken = (f"{violation.promise}: {violation.text}" for violation in self.verdict.violations)
        return [*broken, *self.complaints]

    @property
    def signs(self) -> tuple[str, ...]:
        """What kinds of things are wrong: promises, and the first words of complaints; each once, in that order."""
        promises = [violation.promise for violation in self.verdict.violations]
        return tuple(dict.fromkeys([*promises, *(_kind(complaint) for complaint in self.complaints)]))


def play(plan: Plan, open_store: OpenStore | None = None) -> Outcome:
    """Play the plan, and judge. The same plan gives the same outcome. Raises SchedulerChanged.

    `open_store` gives a store in the place of the one in the plan's terms: the same one each time the broker starts.
    """
    began = perf_counter()
    world = World(plan, open_store)
    with _errors_logged(world.complaints):
        try:
            simulated_s = run_seeded(f"roost simulation {plan.seed}: order", lambda: _run(world))
        finally:
            world.disk.remove()
    history = world.trace.history()
    return Outcome(
        plan=plan,
        verdict=judge(history),
        complaints=tuple(dict.fromkeys(world.complaints)),
        history=history,
        lines=tuple(world.trace.lines),
        digest=world.trace.digest,
        simulated_s=simulated_s,
        took_s=perf_counter() - began,
    )


async def _run(world: World) -> float:
    trio.lowlevel.add_instrument(world.steps)
    async with trio.open_nursery() as nursery:
        world.nursery = nursery
        nursery.start_soon(world.keep_broker)
        await world.enrol()
        nursery.start_soon(audit_cursors, world)
        began = trio.current_time()
        for incident in world.plan.incidents:
            await trio.sleep_until(began + incident.at_s)
            begin(world, incident)
        await trio.sleep_until(began + world.plan.length_s)
        with trio.move_on_after(END_S) as scope:
            await finish(world)
        if scope.cancelled_caught:
            world.complaints.append(f"the run came to no end within {END_S:g} s of its last fault")
            world.over = True
        world.trace.note("network", f"is still after {world.steps.steps} steps")
        nursery.cancel_scope.cancel()
    return trio.current_time()


def _kind(complaint: str) -> str:
    """The same for complaints of one kind: without names and numbers."""
    return " ".join(word for word in complaint.split()[:8] if word.isalpha())


@contextmanager
def _errors_logged(complaints: list[str]) -> Iterator[None]:
    """Whatever is logged as an error is a complaint, unless it was done on purpose."""

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = self.format(record)
            if ON_PURPOSE not in text:
                complaints.append(f"logged: {text}")

    logger = logging.getLogger(Broker.__module__.partition(".")[0])
    listening = Listening(logging.ERROR)
    logger.addHandler(listening)
    propagate, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.propagate = propagate
        logger.removeHandler(listening)
