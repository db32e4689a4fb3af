"""A plan follows from its seed, and over many seeds everything that can happen does."""

from collections import Counter
from dataclasses import fields

import pytest

from roost.simulation import plan as p
from roost.simulation.drawing import draw


def test_a_seed_gives_one_plan() -> None:
    assert draw(5) == draw(5)
    assert draw(5) != draw(6)


def test_incidents_come_in_the_order_of_time() -> None:
    for seed in range(20):
        times = [incident.at_s for incident in draw(seed).incidents]
        assert times == sorted(times)


def test_every_kind_of_incident_is_drawn() -> None:
    kinds = {kind for kind in vars(p).values() if isinstance(kind, type) and issubclass(kind, p.Incident)}
    drawn = Counter(type(incident) for seed in range(60) for incident in draw(seed).incidents)
    assert set(drawn) == kinds - {p.Incident}


def test_every_term_varies() -> None:
    terms = [draw(seed).terms for seed in range(60)]
    same = {each.name for each in fields(p.Terms) if len({getattr(one, each.name) for one in terms}) == 1}
    assert same == {"queue_operations"}


def test_a_share_of_the_seeds_is_on_real_files() -> None:
    assert 10 < sum(draw(seed).terms.store == "lmdb" for seed in range(100)) < 40


def test_some_of_a_plan_is_a_plan() -> None:
    plan = draw(3)
    some = plan.only((4, 1))
    assert some.incidents == (plan.incidents[1], plan.incidents[4])
    assert (some.seed, some.terms, some.length_s) == (plan.seed, plan.terms, plan.length_s)
    with pytest.raises(ValueError, match="and no 9999"):
        plan.only((1, 9_999))
