"""The plan has every workload, each key once a round, brokers in turn, and nothing for a broker that is not here."""

import pytest

from roost_benchmarks import plan
from roost_benchmarks.plan import planned

PEERS = ("roost", "mosquitto", "prosody")


def test_the_full_plan_has_every_workload() -> None:
    assert {step.workload for step in planned("full", PEERS)} == {f"W{number}" for number in range(1, 9)}


@pytest.mark.parametrize("kind", ["quick", "full", "growth"])
def test_a_step_is_there_once(kind: str) -> None:
    titles = [step.title for step in planned(kind, PEERS)]
    assert titles
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("kind", ["quick", "growth"])
def test_a_look_and_the_curves_are_of_roost_alone(kind: str) -> None:
    assert {step.broker for step in planned(kind, PEERS)} == {"roost"}


def test_who_is_not_here_is_not_planned() -> None:
    assert {step.broker for step in planned("full", ("roost", "prosody"))} == {"roost", "prosody"}


@pytest.mark.parametrize("workload", ["W1", "W2", "W3"])
def test_brokers_take_turns_in_each_shape(workload: str) -> None:
    steps = [step for step in planned("full", PEERS) if step.workload == workload]
    for shape in {step.shape for step in steps}:
        turns = [(step.round, PEERS.index(step.broker)) for step in steps if step.shape == shape]
        assert turns == sorted(turns)
        for broker, rounds in plan.ROUNDS[:2]:
            assert [step.round for step in steps if (step.shape, step.broker) == (shape, broker)] == list(range(rounds))


def test_the_stalled_and_the_healthy_alternate() -> None:
    steps = [step for step in planned("full", PEERS) if step.workload == "W7"]
    for number in range(plan.ALTERNATIONS):
        pair = steps[2 * number : 2 * number + 2]
        assert {step.round for step in pair} == {number}
        assert {step.shape for step in pair} == {"healthy", "stalled"}


def test_a_broker_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(KeyError):
        plan.broker_named("another")
