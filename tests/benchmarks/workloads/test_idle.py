"""W5, small, against a real broker: what a device costs is there, and not judged."""

from pathlib import Path

import pytest
from msgspec import structs

from roost_benchmarks.brokers.roost import Roost
from roost_benchmarks.progress import Unseen
from roost_benchmarks.workloads import idle
from roost_benchmarks.workloads.idle import IdleOptions

pytestmark = pytest.mark.process


def test_devices_do_nothing_and_cost_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "SETTLE_S", 0.05)
    options = IdleOptions(devices=150, devices_per_user=4)
    assert options.users == 38
    with Roost().start(tmp_path, [f"user{number}" for number in range(options.users)]) as target:
        run = idle.run(target, options, Unseen())
    assert (run.workload, run.name, run.broker) == ("W5", "idle", "roost")
    assert run.options == {"devices": 150, "devices_per_user": 4}
    assert run.oracle.entries_checked == 150
    assert run.figures["log_ins_per_s"] > 0
    assert run.figures["memory_per_device_bytes"] > 1_000


def test_the_memory_of_a_broker_elsewhere_cannot_be_seen(tmp_path: Path) -> None:
    with Roost().start(tmp_path, ["ann"]) as target, pytest.raises(RuntimeError, match="another machine"):
        idle.run(structs.replace(target, pids=()), IdleOptions(devices=1), Unseen())


def test_one_device_cannot_be_measured_and_too_few_accounts_are_no_smaller_run(tmp_path: Path) -> None:
    with Roost().start(tmp_path, ["ann"]) as target:
        with pytest.raises(RuntimeError, match="at least 2"):
            idle.run(target, IdleOptions(devices=1), Unseen())
        with pytest.raises(RuntimeError, match="needs 2 accounts, and there are 1"):
            idle.run(target, IdleOptions(devices=5), Unseen())
