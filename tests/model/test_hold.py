"""The hold: a device that is not gone for long loses nothing to retention, whatever else happens to it.

With room enough for the hold, and devices that never forget by themselves, every GAP is about what was trimmed before
the device came for the first time. `WatchedStore` checks each trim of every plan, also where the bound of the hold is
reached; the second test shows that it is, and that the bound wins.
"""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model import plan as p
from model.strategies import examples, plans, steps
from model.world import Outcome, play
from roost.oracle import Delivered, GapTold
from roost_broker.store.memory_state import State

TRIMMING = p.Terms(keep_count=1, trim_interval_s=0.05, hold_s=100_000, trim_slice=2, tail_entries=2, page_entries=2)


def remembers(step: p.Step) -> p.Step:
    """The step, but that no device forgets what it held, or asks for less than all."""
    if isinstance(step, p.LogIn):
        return dataclasses.replace(step, newest=None, back=0)
    return step


held_plans = st.builds(
    p.Plan,
    seed=st.integers(0, 2**32 - 1),
    terms=st.just(TRIMMING),
    online=st.just(frozenset(each.name for each in p.INSTALLATIONS[::2])),
    members=st.just(frozenset(p.USERS)),
    steps=st.lists(steps.map(remembers), min_size=15, max_size=40).map(tuple),
)


def late_gaps(outcome: Outcome) -> list[GapTold]:
    """Gaps that were told to devices which had been told something before."""
    told: set[str] = set()
    late: list[GapTold] = []
    for event in outcome.history.events:
        if isinstance(event, GapTold) and event.device in told:
            late.append(event)
        if isinstance(event, Delivered | GapTold):
            told.add(event.device)
    return late


@pytest.mark.timeout(1_800)  # as in test_no_device_misses
@settings(max_examples=examples(0.5))
@given(held_plans)
def test_a_device_that_comes_back_in_time_loses_nothing(plan: p.Plan) -> None:
    outcome = play(plan)
    outcome.check()
    assert late_gaps(outcome) == []


def short(hold_s: float, hold_bytes: int) -> p.Plan:
    """bob's pc goes; much is said, and trimmed; it comes back."""
    terms = dataclasses.replace(TRIMMING, hold_s=hold_s, hold_bytes=hold_bytes)
    talk = tuple(p.Publish(device="a1", to="user/bob", count=5, pause=0.2) for _ in range(4))
    there = p.Publish(device="a1", to="user/bob", pause=0.5)
    away = (p.Part(device="b2", how="leave", pause=1.5), *talk, p.Send(user="cem", to="user/bob", pause=1.0))
    back = p.Reconnect(device="b2", pause=1.0)
    return p.Plan(
        seed=1, terms=terms, online=frozenset({"a1", "b2"}), members=frozenset({"bob"}), steps=(there, *away, back)
    )


def test_a_hold_keeps_what_a_device_lacks() -> None:
    outcome = play(short(hold_s=100, hold_bytes=1 << 20))
    outcome.check()
    assert late_gaps(outcome) == []


@pytest.mark.parametrize(
    ("hold_s", "hold_bytes", "kept_least", "kept_most"),
    [(0, 1 << 20, 1, 1), (0.5, 1 << 20, 1, 1), (100, 700, 5, 15)],
)
def test_without_it_or_past_it_or_past_its_bound_it_does_not(
    hold_s: float, hold_bytes: int, kept_least: int, kept_most: int
) -> None:
    """Of 22 entries the pc has one; the rule keeps the last; and 700 bytes are some ten of them."""
    outcome = play(short(hold_s, hold_bytes))
    outcome.check()
    (gap,) = late_gaps(outcome)
    assert (gap.device, gap.first) == ("b2", 2)
    assert kept_least <= 22 - gap.last <= kept_most


def test_a_hold_that_does_not_hold_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search bites: each trim is checked against what is held."""
    monkeypatch.setattr(State, "_is_held", lambda *_: False)
    with pytest.raises(AssertionError, match="were held, and are trimmed"):
        play(short(hold_s=100, hold_bytes=1 << 20)).check()


def test_plans_as_they_are_drawn_have_holds() -> None:
    """So that `test_no_device_misses` and its like check them, too."""
    drawn: list[p.Terms] = []

    @settings(max_examples=50, database=None, derandomize=True)
    @given(plans(least=1, most=1))
    def collect(plan: p.Plan) -> None:
        drawn.append(plan.terms)

    collect()
    assert any(terms.hold_s and terms.keep_count for terms in drawn)
