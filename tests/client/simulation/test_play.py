"""Thirty seeds, judged. `make sim` plays a thousand."""

import pytest

from roost.simulation.drawing import draw
from roost.simulation.play import play

SEEDS = range(30)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_goes_wrong(seed: int) -> None:
    outcome = play(draw(seed))
    assert outcome.faults == [], f"roost sim --seed {seed}"
    assert outcome.verdict.figures["devices_caught_up"] > 0


def test_a_plan_without_incidents_is_quiet() -> None:
    outcome = play(draw(1).only(()))
    assert outcome.faults == []
    assert outcome.verdict.figures["publishes"] == 0


def test_what_is_left_out_changes_no_lag_or_id_elsewhere() -> None:
    """Chance belongs to things, not to the run: a plan without its last incidents begins as the whole one."""
    plan = draw(4)
    half = plan.only(tuple(range(len(plan.incidents) // 2)))
    until = plan.incidents[len(plan.incidents) // 2].at_s
    whole, part = play(plan), play(half)

    def beginning(lines: tuple[object, ...]) -> list[object]:
        return [line for line in lines if getattr(line, "at_s") < until]  # noqa: B009

    assert beginning(whole.lines) == beginning(part.lines)
    assert beginning(whole.lines)
