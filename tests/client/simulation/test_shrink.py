"""A story is made short by leaving out what is not needed."""

from dataclasses import replace

import pytest

from client.simulation import defects
from client.simulation.find_defects import outcome_with
from model import defects as modelled
from roost.simulation import plan as p
from roost.simulation.drawing import draw
from roost.simulation.plan import Plan
from roost.simulation.play import Outcome, play
from roost.simulation.shrink import shorten
from roost.simulation.story import LINES_MAX, story, trace

KNOWN = defects.Known(modelled.gap_not_told, "G4")


def again(plan: Plan) -> Outcome:
    with pytest.MonkeyPatch.context() as patch:
        modelled.gap_not_told(patch)
        return play(replace(plan, terms=replace(plan.terms, store="memory")))


def test_what_is_left_goes_wrong_by_itself_and_all_of_it_is_needed() -> None:
    seed = next(seed for seed in range(50) if "G4" in outcome_with(KNOWN, seed).signs)
    whole = outcome_with(KNOWN, seed)
    shortened = shorten(whole, again)
    assert 0 < len(shortened.numbers) < len(whole.plan.incidents) / 5
    sign = whole.signs[0]
    assert sign in shortened.outcome.signs
    for number in shortened.numbers:
        rest = tuple(other for other in shortened.numbers if other != number)
        assert sign not in again(draw(seed).only(rest)).signs, f"{number} could be left out"
    told = story(shortened.outcome)
    assert 0 < len(told) <= LINES_MAX + 1
    assert len(told) < len(trace(shortened.outcome))
    assert sum(" fault " in line for line in told) >= len(shortened.numbers)


def test_runs_are_bounded() -> None:
    whole = replace(play(draw(0)), complaints=("something odd",))
    runs = []

    def always(plan: Plan) -> Outcome:
        runs.append(plan)
        return replace(whole, complaints=("all is different",))

    assert shorten(whole, always, runs_max=7).numbers == tuple(range(len(whole.plan.incidents)))
    assert len(runs) == 7


def test_a_fault_that_needs_nothing_leaves_nothing() -> None:
    plan = Plan(1, p.Terms(), (p.Installation("a1", "ann", "phone"),), (), 1.0, (p.Trim(at_s=0.1), p.Trim(at_s=0.2)))
    wrong = replace(play(plan), complaints=("something odd",))
    assert shorten(wrong, lambda some: replace(wrong, plan=some)).numbers == ()
