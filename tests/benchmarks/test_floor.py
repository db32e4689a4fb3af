"""The floor measures what it says, and leaves nothing open. No test asks how long anything takes."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost_benchmarks import floor

FIGURES = st.dictionaries(st.sampled_from(["commit_1_ms", "send_us", "fdatasync_ms"]), st.floats(0, 1e6))


def test_commits_of_every_size_are_timed(tmp_path: Path) -> None:
    told: list[float] = []
    figures = floor.commit_floor(tmp_path, 128, rounds=3, progress=told.append)
    names = {"fdatasync", *(f"commit_{size}" for size in floor.SIZES)}
    assert set(figures) == {f"{name}{middle}_ms" for name in names for middle in ("", "_p99")}
    assert all(value > 0 for value in figures.values())
    assert told == sorted(told)
    assert told[-1] <= 1


@given(st.sampled_from(floor.SIZES), st.integers(1, 131_072), st.integers(10, 5_000))
def test_rounds_are_fewer_where_bodies_are_large(size: int, body_bytes: int, rounds: int) -> None:
    made = floor.rounds_of(size, body_bytes, rounds)
    assert floor.ROUNDS_MIN <= made <= rounds
    assert made == floor.ROUNDS_MIN or made * size * body_bytes <= floor.STORED_BYTES_MAX


def test_a_group_is_one_commit(tmp_path: Path) -> None:
    figures = floor.group_floor(tmp_path, members=20, rounds=3)
    assert set(figures) == {"commit_group_ms", "commit_group_p99_ms"}


def test_sends_go_to_every_socket_and_leave_none_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    figures = floor.send_floor(20, rounds=3)
    assert len(os.listdir("/proc/self/fd")) == before
    # For 1,000 sends, milliseconds are what microseconds are for one.
    assert figures["fan_out_1000_ms"] == pytest.approx(figures["send_us"], abs=0.01)


def test_everything_is_measured_in_one_fresh_folder(tmp_path: Path) -> None:
    figures = floor.measure(tmp_path, rounds=2)
    assert {"commit_1_ms", "commit_1_p99_ms", "commit_group_ms", "fan_out_1000_ms", "fdatasync_ms"} <= set(figures)


@given(FIGURES, FIGURES)
def test_the_floor_of_a_run_is_the_lower_of_those_before_and_after(
    before: dict[str, float], after: dict[str, float]
) -> None:
    lower = floor.lower_of(before, after)
    shared = before.keys() & after.keys()
    assert len(lower) == 3 * len(shared)
    for name in shared:
        assert (lower[f"{name}_before"], lower[f"{name}_after"]) == (before[name], after[name])
        assert lower[name] == min(before[name], after[name])
