"""No device misses either side of a conversation: plans played by a whole broker in memory, judged by the oracle.

A plan takes users with several devices on and off line, by every way there is, while they publish, take over from each
other, acknowledge late or never, and while inboxes are trimmed, commits fail and the broker stops and starts. When the
faults have stopped, every device catches up, and G1 to G7 must hold. `test_bites` shows that this finds what is wrong.
"""

import pytest
from hypothesis import given, settings

from model.plan import Plan
from model.strategies import examples, plans
from model.world import play

SHARE = 3.0
"""Examples for each one of the profile: 300 with `ci`."""


@pytest.mark.timeout(1_800)  # a failing plan is shrunk, and the deep profile plays thousands
@settings(max_examples=examples(SHARE))
@given(plans())
def test_no_device_misses_either_side(plan: Plan) -> None:
    play(plan).check()


@settings(max_examples=5)
@given(plans())
def test_a_plan_replays(plan: Plan) -> None:
    """The same plan gives the same history: what fails once can be looked at."""
    assert play(plan).history == play(plan).history
