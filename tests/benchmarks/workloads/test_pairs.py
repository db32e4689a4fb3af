"""W1 and W2, small, against a real broker: every message arrives everywhere once; figures are there, not judged."""

from pathlib import Path

import pytest
from msgspec import structs

from benchmarks.faulty import AT, Fault, faulty
from roost_benchmarks.brokers.roost import Roost
from roost_benchmarks.dialects.port import BrokenPromise
from roost_benchmarks.latency import Latency
from roost_benchmarks.loop import Loop
from roost_benchmarks.progress import Unseen
from roost_benchmarks.result import Run
from roost_benchmarks.target import Target
from roost_benchmarks.workloads import pairs
from roost_benchmarks.workloads.pairs import PairsOptions

pytestmark = pytest.mark.process

USERS = tuple(f"user{number}" for number in range(6))
SHORT = {"warm_up_s": 0.1, "duration_s": 0.3}


def latencies(run: Run) -> int:
    """How many there are."""
    assert run.hdr is not None
    return Latency.decoded(run.hdr).count


class Meddling:
    """Progress that writes a message of its own to a receiver, once."""

    def __init__(self, target: Target, to: str) -> None:
        self._target = target
        self._to = to
        self._has_meddled = False

    def update(self, done: float, text: str) -> None:
        """See `Progress.update`."""
        if self._has_meddled:
            return
        self._has_meddled = True
        with Loop(self._target) as loop:
            (device,) = loop.log_in([self._target.login(USERS[-1])])
            device.send(self._target.dialect.publisher(device.login, f"user/{self._to}", 128).frames(1))
            loop.run(lambda: device.wire.settled == 1, 20)


@pytest.mark.parametrize(
    ("count", "window", "devices", "body_bytes"), [(1, 1, 2, 128), (2, 8, 3, 4), (3, 64, 1, 70_000)]
)
def test_a_closed_loop(tmp_path: Path, count: int, window: int, devices: int, body_bytes: int) -> None:
    options = PairsOptions(pairs=count, window=window, devices=devices, body_bytes=body_bytes, **SHORT)
    with Roost().start(tmp_path, USERS) as target:
        run = pairs.run(target, options, Unseen())
    assert (run.workload, run.name, run.broker, run.counts) == ("W1", "pairs", "roost", True)
    assert run.options == {"pairs": count, "window": window, "devices": devices, "body_bytes": body_bytes}
    assert run.figures["deliveries_per_s"] == pytest.approx((2 * devices - 1) * run.figures["messages_per_s"], rel=0.01)
    assert run.oracle.entries_checked % (2 * devices - 1) == 0
    assert 0 < latencies(run) * (2 * devices - 1) <= run.oracle.entries_checked
    assert run.process is not None


def test_an_open_loop_sends_what_is_due_and_no_more(tmp_path: Path) -> None:
    options = PairsOptions(pairs=3, rate_per_s=200, warm_up_s=0.1, duration_s=0.5)
    with Roost().start(tmp_path, USERS) as target:
        run = pairs.run(target, options, Unseen())
    assert (run.workload, run.name, run.counts) == ("W2", "pairs", True)
    assert run.options == {"pairs": 3, "rate_per_s": 200, "devices": 2, "body_bytes": 128}
    assert run.oracle.entries_checked == 3 * (20 + 100)
    assert 100 <= latencies(run) <= 120  # those of warming up that were still on their way count as well


def test_it_can_run_again_on_the_same_broker(tmp_path: Path) -> None:
    options = PairsOptions(pairs=1, rate_per_s=100, warm_up_s=0, duration_s=0.2)
    with Roost().start(tmp_path, USERS) as target:
        for _ in range(2):
            assert pairs.run(target, options, Unseen()).oracle.entries_checked == 3 * 20


def test_it_tells_how_far_it_is(tmp_path: Path) -> None:
    heard: list[tuple[float, str]] = []

    class Heard:
        def update(self, done: float, text: str) -> None:
            heard.append((done, text))

    with Roost().start(tmp_path, USERS) as target:
        pairs.run(target, PairsOptions(pairs=1, window=2, warm_up_s=0, duration_s=0.6), Heard())
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert heard[-1][0] == 1
    assert "messages/s, p50" in heard[-1][1]


@pytest.mark.parametrize("to", [USERS[0], USERS[1]])
def test_a_message_that_is_none_of_ours_breaks_the_run(tmp_path: Path, to: str) -> None:
    options = PairsOptions(pairs=1, window=2, warm_up_s=0, duration_s=0.7)
    with Roost().start(tmp_path, USERS) as target, pytest.raises(BrokenPromise):
        pairs.run(target, options, Meddling(target, to))


def test_a_refused_password_breaks_the_run(tmp_path: Path) -> None:
    with Roost().start(tmp_path, USERS) as target, pytest.raises(BrokenPromise, match="user name or password is wrong"):
        pairs.run(structs.replace(target, password=lambda _: "wrong"), PairsOptions(pairs=1), Unseen())


def test_too_few_accounts_are_no_smaller_run(tmp_path: Path) -> None:
    with (
        Roost().start(tmp_path, USERS) as target,
        pytest.raises(RuntimeError, match="needs 8 accounts, and there are 6"),
    ):
        pairs.run(target, PairsOptions(pairs=4), Unseen())


LONG = PairsOptions(pairs=1, window=3, warm_up_s=0, duration_s=60)
"""Far longer than it takes until something is seen."""
OPEN = PairsOptions(pairs=1, rate_per_s=1_000, warm_up_s=0, duration_s=0.03)


@pytest.mark.parametrize("options", [structs.replace(LONG, duration_s=0.05), OPEN])
def test_a_broker_that_keeps_its_promises_passes(options: PairsOptions) -> None:
    with faulty(Fault.NONE, USERS) as target:
        run = pairs.run(target, options, Unseen())
    assert run.counts
    assert run.process is None
    assert run.oracle.entries_checked == 90 if options is OPEN else run.oracle.entries_checked >= 3 * 3


@pytest.mark.parametrize("options", [LONG, OPEN], ids=["closed loop", "open loop"])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.NUMBER_SKIPPED, "user1/.*: number 6 where 5 was due"),
        (Fault.NUMBER_DOUBLED, "user1/.*: number 5 where 6 was due"),
        (Fault.MESSAGE_DOUBLED, "user1/.*: the sender's message 5 where 6 was due"),
        (Fault.MESSAGE_LOST, "user1/.*: the sender's message 6 where 5 was due"),
        (Fault.ACKNOWLEDGEMENT_LOST, "user0/phone: publish 5 got .*n=6"),
        (Fault.REFUSED, "user0/phone: publish 5 got .*no such user"),
        (Fault.CLOSED, "user0/phone: (the broker closed|the connection is lost|cannot send)"),
    ],
)
def test_a_broken_promise_breaks_the_run(fault: Fault, words: str, options: PairsOptions) -> None:
    with faulty(fault, USERS) as target, pytest.raises(BrokenPromise, match=words):
        pairs.run(target, options, Unseen())


def test_what_a_sender_is_shown_twice_breaks_the_run() -> None:
    words = "user0/phone was shown 31 messages of its own, 30 were published"
    with faulty(Fault.OWN_DOUBLED, USERS) as target, pytest.raises(BrokenPromise, match=words):
        pairs.run(target, OPEN, Unseen())


@pytest.mark.parametrize("options", [structs.replace(LONG, duration_s=0.05), OPEN])
def test_what_never_comes_breaks_the_run(options: PairsOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "STALL_S", 0.1)
    words = r"not done within 0\.1 s: .*user1/phone has [0-4]"
    with faulty(Fault.SILENT, USERS) as target, pytest.raises(BrokenPromise, match=words):
        pairs.run(target, options, Unseen())


def test_more_than_was_published_breaks_the_run_although_bodies_have_no_count() -> None:
    """Of the last message there is one too many, after everything that was waited for."""
    options = PairsOptions(pairs=1, rate_per_s=100, devices=1, body_bytes=1, warm_up_s=0, duration_s=AT / 100)
    words = "more messages came than the 5 published"
    with faulty(Fault.MESSAGE_DOUBLED, USERS) as target, pytest.raises(BrokenPromise, match=words):
        pairs.run(target, options, Unseen())
