"""W6, small, against a real broker."""

from pathlib import Path

import pytest

from roost_benchmarks.brokers.roost import Roost
from roost_benchmarks.dialects.port import BrokenPromise
from roost_benchmarks.progress import Unseen
from roost_benchmarks.workloads import storm
from roost_benchmarks.workloads.storm import StormOptions

pytestmark = pytest.mark.process


@pytest.mark.parametrize("backlog", [0, 3])
def test_all_devices_come_back_with_what_was_waiting(tmp_path: Path, backlog: int) -> None:
    run = storm.measured(tmp_path, StormOptions(devices=150, backlog=backlog), Unseen())
    assert run.workload == "W6"
    assert run.options == {"devices": 150, "backlog": backlog, "body_bytes": 128}
    assert run.oracle.entries_checked == 150 * backlog
    assert run.latency_ms is not None
    assert run.latency_ms["p50"] <= run.latency_ms["max"]
    assert run.figures["time_to_log_in_s"] <= run.figures["time_to_live_s"]


def test_tokens_and_backlogs_are_made_where_none_are_prepared(tmp_path: Path) -> None:
    options = StormOptions(devices=40, backlog=5)
    assert options.users == 56
    with Roost().start(tmp_path, [f"user{number}" for number in range(options.users)]) as target:
        run = storm.run(target, options, Unseen())
    assert run.oracle.entries_checked == 200


def test_a_token_that_is_refused_breaks_the_run(tmp_path: Path) -> None:
    options = StormOptions(devices=3, is_prepared=True)
    with Roost().start(tmp_path, ["ann", "bob", "cat"]) as target, pytest.raises(BrokenPromise, match="token"):
        storm.run(target, options, Unseen())
