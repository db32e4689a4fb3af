"""W4, small, against a real broker: everything is there once and in order; the figures are not judged."""

from pathlib import Path

import pytest
from msgspec import structs

from roost_benchmarks.brokers.roost import Roost
from roost_benchmarks.dialects.port import BrokenPromise
from roost_benchmarks.progress import Unseen
from roost_benchmarks.result import Run
from roost_benchmarks.workloads import catchup
from roost_benchmarks.workloads.catchup import CatchupOptions

pytestmark = pytest.mark.process


class Heard:
    """Progress that is kept."""

    def __init__(self) -> None:
        self.shares: list[float] = []

    def update(self, done: float, text: str) -> None:
        """See `Progress.update`."""
        self.shares.append(done)


def assert_complete(run: Run, entries: int) -> None:
    assert run.workload == "W4"
    assert run.oracle.entries_checked == entries
    assert run.figures["entries_per_s"] > 0
    assert run.process is not None


@pytest.mark.parametrize("round_trip_ms", [0, 6])
def test_a_prepared_backlog_is_caught_up_with(tmp_path: Path, round_trip_ms: int) -> None:
    options = CatchupOptions(entries=6_000, round_trip_ms=round_trip_ms)
    heard = Heard()
    run = catchup.measured(tmp_path, options, heard)
    assert_complete(run, 6_000)
    assert run.options == {"entries": 6_000, "round_trip_ms": round_trip_ms, "body_bytes": 128}
    assert heard.shares == sorted(heard.shares)
    assert heard.shares[-1] == 1


def test_bodies_so_large_that_the_window_is_one_of_bytes(tmp_path: Path) -> None:
    run = catchup.measured(tmp_path, CatchupOptions(entries=300, body_bytes=60_000), Unseen())
    assert_complete(run, 300)


def test_a_backlog_is_written_where_none_is_prepared(tmp_path: Path) -> None:
    options = CatchupOptions(entries=1_000)
    assert options.users == 2
    with Roost().start(tmp_path, ["ann", "bob"]) as target:
        assert_complete(catchup.run(target, options, Unseen()), 1_000)


def test_a_longer_backlog_than_expected_breaks_the_run(tmp_path: Path) -> None:
    options = CatchupOptions(entries=100)
    with Roost().start(tmp_path, ["ann", "bob"]) as target:
        catchup.run(target, options, Unseen())
        with pytest.raises(BrokenPromise, match="backlog of 100"):
            catchup.run(target, structs.replace(options, entries=100), Unseen())
