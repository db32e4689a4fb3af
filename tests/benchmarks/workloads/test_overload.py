"""The overload benchmark: small on a real broker, and the device of it by itself."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec import structs

from roost_benchmarks import overload as command
from roost_benchmarks.brokers.roost import Roost
from roost_benchmarks.dialects.patient import PatientWire
from roost_benchmarks.dialects.port import BrokenPromise, Login
from roost_benchmarks.progress import Unseen
from roost_benchmarks.workloads import overload
from roost_benchmarks.workloads.overload import Overload, OverloadOptions, Phase, last_late_bin_ns
from roost_protocol import codec
from roost_protocol.frames import Connack, Deliver, Entry, Granted, Puback, Publish
from roost_protocol.reasons import Reason

GRANTED = Granted(
    frame_bytes_max=9_999, body_bytes_max=999, publish_max=4, receive_max=8, receive_bytes_max=9_999, keepalive_s=60
)
SMALL = OverloadOptions(devices=12, closed_devices=6, phase_s=0.3, warm_up_s=0.1, recovery_s=0.5)
NARROW = "[limits]\nbatch_operations_max = 4\nqueue_operations_max = 16\nqueue_wait_max_s = 1\n"


@pytest.mark.process
@pytest.mark.parametrize("toml", ["", NARROW], ids=["wide", "narrow"])
def test_a_run_loses_nothing(tmp_path: Path, toml: str) -> None:
    with Roost(toml=toml).start(tmp_path, [f"user{number}" for number in range(12)]) as target:
        run = overload.run(target, SMALL, Unseen())
    assert [phase.factor for phase in run.phases] == [0, *overload.FACTORS]
    assert all(phase.goodput_per_s > 0 for phase in run.phases)
    assert run.acknowledged > 100
    assert (run.lost, run.doubled) == (0, 0)
    assert f"{run.acknowledged:,} acknowledged, 0 lost, 0 doubled" in run.line


def wire() -> PatientWire:
    """A device that is logged in and publishes to bob."""
    made = PatientWire(Login(user="alice"))
    made.publish_to("user/bob", 16)
    made.receive(codec.encode(Connack(epoch=1, granted=GRANTED)))
    return made


def counts(data: bytes) -> list[int]:
    """The counts of these publishes."""
    buffer = codec.ReceiveBuffer(10_000)
    return [frame.n for frame in buffer.cut(data) if isinstance(frame, Publish)]


def test_it_keeps_to_its_window() -> None:
    alice = wire()
    assert counts(alice.offer(10, 0)) == [1, 2, 3, 4]
    assert counts(alice.receive(codec.encode(Puback(n=2, seq=1)))) == [], "the oldest is not settled"
    assert counts(alice.receive(codec.encode(Puback(n=1, seq=2)))) == [5, 6]
    assert (alice.waiting, alice.unsettled, alice.settled) == (4, 4, 2)
    assert bytes(alice.stored) == b"\0\1\1\0\0\0\0"


def test_what_is_refused_is_sent_again_in_order_after_the_time() -> None:
    alice = wire()
    alice.offer(4, 0)
    alice.receive(codec.encode(Puback(n=1, seq=1)))
    busy = [codec.encode(Puback(n=n, reason=Reason.SERVER_BUSY, retry_after_s=2)) for n in (3, 2)]
    assert counts(alice.receive(b"".join(busy))) == []
    refused_ns = alice.refusals[0]
    assert counts(alice.offer(1, refused_ns + 1_900_000_000)) == []
    assert counts(alice.due(refused_ns + 2_600_000_000)) == [2, 3, 5]
    assert alice.reasons == {"137": 2}


@pytest.mark.parametrize(
    "puback", [Puback(n=9, seq=1), Puback(n=1, reason=Reason.BLOCKED), Puback(n=9, reason=137, retry_after_s=1)]
)
def test_an_answer_that_may_not_be_breaks_the_run(puback: Puback) -> None:
    alice = wire()
    alice.offer(1, 0)
    with pytest.raises(BrokenPromise):
        alice.receive(codec.encode(puback))


def test_what_came_is_kept_by_the_senders_count() -> None:
    alice, bob = wire(), wire()
    frames = codec.ReceiveBuffer(10_000).cut(alice.offer(2, 0))
    bodies = [frame.data for frame in frames if isinstance(frame, Publish)]
    for seq, body in enumerate([bodies[0], bodies[1], bodies[1]], 1):
        entry = Entry(id="0" * 16, sender="alice", to="user/bob", time=1, data=body)
        bob.receive(codec.encode(Deliver(seq=seq, entry=entry)))
    assert list(bob.came[:4]) == [0, 1, 2, 0]
    with pytest.raises(BrokenPromise, match="number 9 where 4 was due"):
        bob.receive(codec.encode(Deliver(seq=9, kind="erased")))


def test_recovery_is_the_end_of_the_last_tenth_of_a_second_that_was_late() -> None:
    ms = 1_000_000
    accepted = [(0, 90 * ms), (100 * ms, 190 * ms), (200 * ms, 210 * ms), (500 * ms, 510 * ms)]
    assert last_late_bin_ns(accepted, 0, 50 * ms) == 200 * ms
    assert last_late_bin_ns(accepted, 0, 95 * ms) == 0
    assert last_late_bin_ns([], 7, 1) == 7


def test_the_goals() -> None:
    def run(share: float, recovery_s: float, lost: int = 0) -> Overload:
        return Overload(
            options=SMALL, offering=1, phases=[], best_per_s=1, goodput_share=share, goodput_share_of_cpu=share,
            recovery_s=recovery_s, acknowledged=1, lost=lost, doubled=0, seconds=1,
        )  # fmt: skip

    assert command.unmet(run(0.8, 5)) == []
    assert len(command.unmet(run(0.79, 5.1, lost=1))) == 3
    last = Phase(
        factor=3, offered_per_s=2.0, goodput_per_s=1, p50_ms=1, p99_ms=1, busy_share=0, reasons={},
        broker_cpu_share=0, generator_cpu_share=0, goodput_per_cpu_s=0,
    )  # fmt: skip
    (why,) = command.unmet(structs.replace(run(1, 0), phases=[last]))
    assert "only 2.0 times the best was offered" in why


@pytest.mark.process
def test_the_command_ends_in_one_line_and_writes_the_figures(tmp_path: Path) -> None:
    args = ["--devices", "8", "--phase", "0.2", "--output", str(tmp_path)]
    result = CliRunner().invoke(command.main, args)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("overload: best ")
    written = json.loads((tmp_path / "overload.json").read_bytes())
    assert written["run"]["lost"] == 0
    assert len(written["run"]["phases"]) == 6
