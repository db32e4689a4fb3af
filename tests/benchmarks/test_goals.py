"""Every goal on both sides of its bound, and what is said where nothing was measured."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost_benchmarks.goals import RULES, judged, remarks
from roost_benchmarks.result import Generator, Goal, Oracle, Run

FLOOR = {"commit_1_ms": 0.4, "commit_1_p99_ms": 1.0, "commit_group_ms": 4.0, "fan_out_1000_ms": 6.0}
MOST: dict[str, Any] = {"pairs": 20, "window": 64}
KIB = 1024


def run(workload: str, broker: str = "roost", *, counts: bool = True, round_: int = 0, **said: Any) -> Run:
    """`figures` and `latency_ms` as they are, anything else an option."""
    figures, latency = said.pop("figures", {}), said.pop("latency_ms", None)
    return Run(
        workload=workload, name="x", broker=broker, round=round_, options=said, figures=figures, latency_ms=latency,
        generator=Generator.of(0.2 if counts else 0.99), oracle=Oracle(entries_checked=1),
        command=f"measure {workload}",
    )  # fmt: skip


def pairs(ours: float, theirs: float, broker: str) -> list[Run]:
    return [
        run("W1", **MOST, figures={"messages_per_s": ours}),
        run("W1", broker, **MOST, figures={"messages_per_s": theirs}),
    ]


def slow(*ratios: float) -> list[Run]:
    found = []
    for number, ratio in enumerate(ratios):
        found.append(run("W7", round_=number, healthy=100, stalled=0, latency_ms={"p99": 2.0}))
        found.append(run("W7", round_=number, healthy=100, stalled=100, latency_ms={"p99": 2.0 * ratio}))
    return found


def sizes(few: float, many: float) -> list[Run]:
    return [
        run("W8", entries=10_000, figures={"cost_us_per_message": few}),
        run("W8", entries=10_000_000, figures={"cost_us_per_message": many}),
    ]


def group(ours: float, theirs: float) -> list[Run]:
    return [run("W3", latency_ms={"p50": ours}), run("W3", "mosquitto", latency_ms={"p50": theirs})]


def one(workload: str, figure: str, value: float, **options: Any) -> list[Run]:
    return [run(workload, **options, figures={figure: value})]


@pytest.mark.parametrize(
    ("goal", "met", "missed"),
    [
        ("2.5 × Mosquitto", pairs(50_000, 20_000, "mosquitto"), pairs(49_000, 20_000, "mosquitto")),
        ("30 × Prosody", pairs(51_000, 1_700, "prosody"), pairs(50_900, 1_700, "prosody")),
        (
            "1.5 × the commit + 0.15 ms",
            [run("W1", pairs=1, window=1, latency_ms={"p50": 0.74})],
            [run("W1", pairs=1, window=1, latency_ms={"p50": 0.76})],
        ),
        (
            "2,000/s: p50",
            [run("W2", rate_per_s=2_000, latency_ms={"p50": 0.99})],
            [run("W2", rate_per_s=2_000, latency_ms={"p50": 1.01})],
        ),
        (
            "2,000/s: p99",
            [run("W2", rate_per_s=2_000, latency_ms={"p99": 4.9})],
            [run("W2", rate_per_s=2_000, latency_ms={"p99": 5.1})],
        ),
        ("1.3 × the send floor", group(11.7, 1.0), group(11.9, 1.0)),
        ("ahead of Mosquitto", group(15.0, 16.0), group(16.5, 16.0)),
        (
            "on loopback",
            one("W4", "entries_per_s", 300_000, round_trip_ms=0),
            one("W4", "entries_per_s", 299_000, round_trip_ms=0),
        ),
        (
            "50 ms round trip",
            one("W4", "entries_per_s", 50_000, round_trip_ms=50),
            one("W4", "entries_per_s", 49_000, round_trip_ms=50),
        ),
        (
            "less than 8 MiB",
            one("W4", "memory_growth_bytes", 7 * KIB * KIB, round_trip_ms=0),
            one("W4", "memory_growth_bytes", 9 * KIB * KIB, round_trip_ms=0),
        ),
        (
            "12 KiB",
            one("W5", "memory_per_device_bytes", 12 * KIB, devices=10_000),
            one("W5", "memory_per_device_bytes", 13 * KIB, devices=10_000),
        ),
        ("log-ins/s", one("W6", "log_ins_per_s", 2_000), one("W6", "log_ins_per_s", 1_999)),
        ("of the healthy", slow(1.1, 1.15, 9.0), slow(1.0, 1.3, 1.4)),
        ("10 million", sizes(20, 30), sizes(20, 30.1)),
    ],
)
def test_a_goal_is_met_up_to_its_bound(goal: str, met: list[Run], missed: list[Run]) -> None:
    assert _of(goal, judged(met, FLOOR)).met is True
    assert _of(goal, judged(missed, FLOOR)).met is False


def _of(words: str, goals: list[Goal]) -> Goal:
    (found,) = [goal for goal in goals if words in goal.goal]
    return found


def test_without_runs_no_goal_is_judged() -> None:
    goals = judged([], {})
    assert len(goals) == len(RULES)
    assert all(goal.met is None and "not measured" in goal.measured for goal in goals)


def test_a_run_that_does_not_count_is_no_evidence() -> None:
    goal = _of("log-ins/s", judged([run("W6", counts=False, figures={"log_ins_per_s": 9_000.0})], FLOOR))
    assert goal.met is None
    assert "bottleneck" in goal.measured


def test_without_a_floor_nothing_is_held_against_it() -> None:
    goal = _of("1.5 × the commit + 0.15 ms", judged([run("W1", pairs=1, window=1, latency_ms={"p50": 0.1})], {}))
    assert (goal.met, goal.measured) == (None, "not measured: commit_1_ms of the floor")


def test_nothing_is_divided_by_zero() -> None:
    assert _of("10 million", judged(sizes(0, 0), FLOOR)).met in (None, True)
    assert _of("2.5 × Mosquitto", judged(pairs(1, 0, "mosquitto"), FLOOR)).met is None


def test_each_goal_names_the_command_that_gives_it() -> None:
    assert _of("log-ins/s", judged(one("W6", "log_ins_per_s", 1), FLOOR)).command == "measure W6"


@given(st.lists(st.floats(1, 10_000), min_size=1, max_size=7))
def test_a_figure_is_the_median_of_the_rounds(values: list[float]) -> None:
    """So that one bad round changes nothing: the verdict is that of the middle one."""
    ordered = sorted(values)
    middle = (ordered[len(values) // 2] + ordered[(len(values) - 1) // 2]) / 2
    runs = [run("W6", round_=number, figures={"log_ins_per_s": value}) for number, value in enumerate(values)]
    assert _of("log-ins/s", judged(runs, FLOOR)).met is (middle >= 2_000)


def test_a_goal_of_several_runs_names_the_command_for_all_of_them() -> None:
    from msgspec.structs import replace

    runs = [replace(each, command=f"suite full --only W8/{each.options['entries']}") for each in sizes(20, 21)]
    assert _of("10 million", judged(runs, FLOOR)).command == "suite full --only W8"


def test_where_a_peer_is_ahead_it_is_said_and_why() -> None:
    ahead = [
        run("W1", broker, pairs=1, window=1, latency_ms={"p50": ms})
        for broker, ms in (("roost", 0.7), ("mosquitto", 0.06))
    ]
    (said,) = remarks([*ahead, *group(9.0, 16.0)])
    assert "Mosquitto is ahead with one message in flight: p50 0.06 ms against 0.70 ms" in said
    assert "fsync" in said
    assert remarks(ahead[:1]) == []
