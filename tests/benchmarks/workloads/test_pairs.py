"""W1 and W2, small, against a real broker: every message arrives everywhere once; figures are there, not judged."""

from pathlib import Path

import pytest
from msgspec import structs

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
