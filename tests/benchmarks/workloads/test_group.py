"""W3, small, against a real broker: every device gets every message once; figures are there, not judged."""

from pathlib import Path

import pytest

from benchmarks.faulty import AT, Fault, faulty
from roost_benchmarks.brokers.roost import Roost
from roost_benchmarks.dialects.port import BrokenPromise
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


def test_too_few_accounts_are_no_smaller_run(tmp_path: Path) -> None:
    with Roost().start(tmp_path, ["user0"]) as target, pytest.raises(RuntimeError, match="needs 3 accounts"):
        group.run(target, GroupOptions(members=2), Unseen())


FAST = GroupOptions(members=3, warm_up_messages=0, messages=20, rate_per_s=1_000)
EVERYBODY = tuple(names(FAST))


@pytest.mark.parametrize("rate_per_s", [0, 1_000])
def test_a_broker_that_keeps_its_promises_passes(rate_per_s: float) -> None:
    options = GroupOptions(members=3, warm_up_messages=1, messages=20, rate_per_s=rate_per_s)
    with faulty(Fault.NONE, EVERYBODY) as target:
        assert group.run(target, options, Unseen()).oracle.entries_checked == 21 * 6


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.NUMBER_SKIPPED, "number 6 where 5 was due"),
        (Fault.NUMBER_DOUBLED, "number 5 where 6 was due"),
        (Fault.MESSAGE_DOUBLED, "the sender's message 5 where 6 was due"),
        (Fault.MESSAGE_LOST, "the sender's message 6 where 5 was due"),
        (Fault.OWN_DOUBLED, "user0/phone was shown 21 messages of its own, 20 were published"),
        (Fault.ACKNOWLEDGEMENT_LOST, "user0/phone: publish 5 got .*n=6"),
        (Fault.REFUSED, "user0/phone: publish 5 got .*no such user"),
        (Fault.CLOSED, "user0/phone: (the broker closed|the connection is lost|cannot send)"),
    ],
)
def test_a_broken_promise_breaks_the_run(fault: Fault, words: str) -> None:
    with faulty(fault, EVERYBODY) as target, pytest.raises(BrokenPromise, match=words):
        group.run(target, FAST, Unseen())


@pytest.mark.parametrize("rate_per_s", [0, 1_000])
def test_what_never_comes_breaks_the_run(rate_per_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "STALL_S", 0.1)
    options = GroupOptions(members=3, warm_up_messages=0, messages=20, rate_per_s=rate_per_s)
    words = r"not done within 0\.1 s: .*user1/phone has [0-4]"
    with faulty(Fault.SILENT, EVERYBODY) as target, pytest.raises(BrokenPromise, match=words):
        group.run(target, options, Unseen())


def test_more_than_was_published_breaks_the_run_although_bodies_have_no_count() -> None:
    options = GroupOptions(members=1, devices=1, body_bytes=1, warm_up_messages=0, messages=AT, rate_per_s=100)
    words = "more messages than were published"
    with faulty(Fault.MESSAGE_DOUBLED, EVERYBODY) as target, pytest.raises(BrokenPromise, match=words):
        group.run(target, options, Unseen())
