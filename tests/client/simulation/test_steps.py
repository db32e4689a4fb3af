"""Something happens between two steps; and a run that spins comes to an end."""

import pytest
import trio

from roost.simulation.drawing import draw
from roost.simulation.play import play
from roost.simulation.steps import StepCount
from roost_broker.retention import RetentionKeeper


async def test_before_the_step_that_was_asked_for() -> None:
    called: list[int] = []
    count = StepCount(1_000, lambda: called.append(-1))
    trio.lowlevel.add_instrument(count)
    count.after(5, lambda: called.append(count.steps))
    begun = count.steps
    for _ in range(10):
        await trio.lowlevel.checkpoint()
    trio.lowlevel.remove_instrument(count)
    assert called == [begun + 5]


async def test_too_many_are_told_once() -> None:
    called: list[int] = []
    count = StepCount(5, lambda: called.append(count.steps))
    trio.lowlevel.add_instrument(count)
    for _ in range(20):
        await trio.lowlevel.checkpoint()
    trio.lowlevel.remove_instrument(count)
    assert called == [5]


def test_a_broker_that_spins_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def spin(self: RetentionKeeper) -> None:
        del self
        while True:
            await trio.lowlevel.checkpoint()

    monkeypatch.setattr(RetentionKeeper, "serve", spin)
    monkeypatch.setattr("roost.simulation.world.STEPS_MAX", 20_000)
    outcome = play(draw(1).only(()))
    assert outcome.faults[0].startswith("the run came to no end in 20,000 steps")
