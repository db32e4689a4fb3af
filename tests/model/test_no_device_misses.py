"""No device misses either side of a conversation: plans played by a whole broker in memory, judged by the oracle.

A plan takes users with several devices on and off line, by every way there is, while they publish, take over from each
other, acknowledge late or never, and while inboxes are trimmed, commits fail and the broker stops and starts. When the
faults have stopped, every device catches up, and G1 to G7 must hold. `test_bites` shows that this finds what is wrong.
"""

import pytest
from hypothesis import example, given, settings

from model.plan import FailCommit, LogIn, LogOut, Plan, Step, Terms
from model.strategies import examples, plans
from model.world import play

SHARE = 3.0
"""Examples for each one of the profile: 300 with `ci`."""


def short(*steps: Step, online: frozenset[str] = frozenset()) -> Plan:
    """A plan that has found something once."""
    return Plan(seed=0, terms=Terms(store_delay_s=0.02), online=online, members=frozenset({"bob"}), steps=steps)


# A device dials again before it is answered, and its older log-in comes last: it is not told that it was taken over.
@example(short(LogIn(device="c1", pause=0.001), LogIn(device="c1", pause=1.0)))
# A log-out that cannot be committed is answered, and costs nobody a connection.
@example(short(FailCommit(), LogOut(device="a1", other="a3", pause=1.0), online=frozenset({"a1", "a3"})))
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
