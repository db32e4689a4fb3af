"""W3, small, against a real broker: every device gets every message once; figures are there, not judged."""

from pathlib import Path

import pytest

from roost_benchmarks.brokers.roost import Roost
from roost_benchmarks.latency import Latency
from roost_benchmarks.progress import Unseen
from roost_benchmarks.workloads import group
from roost_benchmarks.workloads.group import GroupOptions

pytestmark = pytest.mark.process


def names(options: GroupOptions) -> list[str]:
    return [f"user{number}" for number in range(options.users)]


@pytest.mark.parametrize("rate_per_s", [0, 100])
def test_every_device_gets_every_message(tmp_path: Path, rate_per_s: float) -> None:
    options = GroupOptions(members=20, devices=3, warm_up_messages=2, messages=15, rate_per_s=rate_per_s)
    with Roost().start(tmp_path, names(options)) as target:
        run = group.run(target, options, Unseen())
    assert (run.workload, run.name, run.counts) == ("W3", "group", True)
    shape = {"members": 20, "devices": 3, "body_bytes": 128}
    assert run.options == (shape | {"rate_per_s": 100} if rate_per_s else shape)
    assert run.oracle.entries_checked == 17 * 60
    assert run.hdr is not None
    assert Latency.decoded(run.hdr).count == 15
    assert run.figures["deliveries_per_s"] == pytest.approx(60 * run.figures["messages_per_s"], rel=0.01)


def test_messages_may_overtake_the_fan_out(tmp_path: Path) -> None:
    options = GroupOptions(members=100, devices=4, warm_up_messages=0, messages=200, rate_per_s=5_000)
    with Roost().start(tmp_path, names(options)) as target:
        run = group.run(target, options, Unseen())
    assert run.oracle.entries_checked == 200 * 400
    assert run.hdr is not None
    assert Latency.decoded(run.hdr).count == 200


def test_no_message_is_sent_after_its_time(tmp_path: Path) -> None:
    options = GroupOptions(members=1, warm_up_messages=1, messages=1_000, rate_per_s=50, duration_s=0.1)
    with Roost().start(tmp_path, names(options)) as target:
        assert group.run(target, options, Unseen()).oracle.entries_checked == 2 * (1 + 6)


def test_there_are_members_enough_for_the_devices_asked_for() -> None:
    assert group.for_devices(1_000, GroupOptions()).members == 500
    assert group.for_devices(7, GroupOptions(devices=2)).members == 4
    assert group.for_devices(0, GroupOptions()).members == 1
