"""What a run costs on both sides is measured where it can be."""

import os

import pytest

from roost_benchmarks.dialects.port import Login
from roost_benchmarks.dialects.roost import RoostDialect
from roost_benchmarks.target import Meter, Target


def target(*pids: int) -> Target:
    return Target(
        name="roost", version="1", durability="none", dialect=RoostDialect(), address=("127.0.0.1", 1), pids=pids,
        users=("ann", "bob"), password=lambda user: f"secret of {user}",
    )  # fmt: skip


def test_each_user_logs_in_with_its_own_password() -> None:
    assert target().login("ann", "pc") == Login("ann", "pc", "secret of ann")
    assert target().login("bob").name == "bob/phone"


def test_a_run_gets_the_users_it_needs_or_none() -> None:
    assert target().first_users(1) == ("ann",)
    assert target().first_users(2) == ("ann", "bob")
    with pytest.raises(RuntimeError, match="needs 3 accounts, and there are 2"):
        target().first_users(3)


def test_groups_need_no_making_unless_the_broker_says_so() -> None:
    target().make_group("all", ["ann", "bob"])


def test_all_processes_count() -> None:
    own = os.getpid()
    assert target(own, own).rss_anon_bytes() > 1.9 * target(own).rss_anon_bytes() > 0
    assert target(own, own).cpu_s() > target(own).cpu_s() > 0


def test_a_meter_measures_both_sides() -> None:
    meter = Meter(target(os.getpid()))
    sum(range(3_000_000))
    process, generator = meter.stop(10)
    assert process is not None
    assert process.rss_anon_bytes > 0
    assert process.cpu_us_per_message >= 0
    assert generator.cpu_share > 0
    assert meter.seconds > 0


def test_without_messages_they_cost_nothing_each() -> None:
    process, _ = Meter(target(os.getpid())).stop(0)
    assert process is not None
    assert process.cpu_us_per_message == 0


def test_a_broker_elsewhere_has_no_process() -> None:
    process, _ = Meter(target()).stop(10)
    assert process is None
