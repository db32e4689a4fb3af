"""The parts of the demo that its honesty rests on: the tap, the observer, the journals, the comparison of them."""

import io
import os
import select
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from roost.oracle import Acknowledged, Connected, Delivered, Disconnected, Kicked, LoginAsked, Sent, load
from roost_admin.demo.document import make_document
from roost_admin.demo.journal import Entry, Gap, Journal, Kick, StartOver
from roost_admin.demo.observer import WAIT_S, DemoFailed, Observer
from roost_admin.demo.play import ALICE_PC, ALICE_PHONE, BOB_PC, BOB_PHONE, DEVICES
from roost_admin.demo.reports import (
    Device,
    HasCaughtUp,
    LineLost,
    LogIn,
    Publish,
    Report,
    Said,
    decode_command,
    decode_report,
    encode_line,
    said,
    write_report,
)
from roost_admin.demo.tapped import Tap, TappedStream
from roost_protocol import codec, frames
from roost_protocol.frames import Frame

HELLO = Entry(seq=1, id="0" * 15 + "1", sender="alice", to="user/bob", own=False, body="hello")
CONNACK = frames.Connack(epoch=7, head=0, position=0, incarnation="f" * 16)


def connect(device: Device, *, last_seq: int = 0, epoch: int | None = None) -> frames.Connect:
    return frames.Connect(
        user=device.user, password="p", terminal=device.terminal, device=device.name, last_seq=last_seq, epoch=epoch
    )


def deliver(
    seq: int, text: str | None, *, own: tuple[Device, int] | None = None, sender: str = "alice"
) -> frames.Deliver:
    entry = frames.Entry(id=f"{seq:016x}", sender=sender, to="user/bob", time=1, text=text)
    if own is None:
        return frames.Deliver(seq=seq, entry=entry)
    return frames.Deliver(seq=seq, kind="own", device=own[0].name, n=own[1], entry=entry)


# --- reports ------------------------------------------------------------------------------------------------------


def test_commands_and_reports_cross_a_pipe() -> None:
    for command in (LogIn("secret", slow_line=True), Publish("user/bob", "a\nb")):
        assert decode_command(encode_line(command)) == command
        assert encode_line(command).count(b"\n") == 1
    report = said("bob-pc", "broker", deliver(3, "hello\n"))
    read = decode_report(encode_line(report))
    assert isinstance(read, Said)
    assert read.decoded() == deliver(3, "hello\n")


def test_a_report_that_could_be_torn_is_not_written() -> None:
    with pytest.raises(AssertionError, match="torn"):
        write_report(1, said("bob-pc", "broker", deliver(3, "x" * select.PIPE_BUF)))


# --- the tap ------------------------------------------------------------------------------------------------------


class Line:
    """A tapped connection, and the broker's end of it."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.tap = Tap("alice-phone", self.reports.append)
        self.device: TappedStream
        self.broker: trio.SocketStream

    @property
    def passed(self) -> list[tuple[str, Frame]]:
        return [(report.by, report.decoded()) for report in self.reports if isinstance(report, Said)]


async def lay(line: Line) -> None:
    ours, theirs = trio.socket.socketpair()
    line.device, line.broker = TappedStream(trio.SocketStream(ours), line.tap), trio.SocketStream(theirs)


async def test_frames_are_reported_whole_whatever_the_chunks() -> None:
    line = Line()
    await lay(line)
    out, back = codec.encode(connect(ALICE_PHONE)), codec.encode(CONNACK)
    for byte in out:
        await line.device.send_all(bytes([byte]))
    assert await line.broker.receive_some(len(out)) == out
    for byte in back:
        await line.broker.send_all(bytes([byte]))
        await line.device.receive_some(100)
    assert line.passed == [("device", connect(ALICE_PHONE)), ("broker", CONNACK)]
    await line.broker.aclose()
    assert await line.device.receive_some(10) == b""
    await line.device.aclose()
    assert line.reports[2:] == [LineLost("alice-phone")], "once"


async def test_a_deaf_line_still_carries_what_is_said(autojump_clock: MockClock) -> None:
    line = Line()
    await lay(line)
    line.tap.deaf = True
    await line.device.send_all(codec.encode(frames.Publish(n=1, to="user/bob", text="hi")))
    await line.broker.send_all(codec.encode(frames.Puback(n=1)))
    with trio.move_on_after(10) as scope:
        await line.device.receive_some()
    assert scope.cancelled_caught
    assert [by for by, _ in line.passed] == ["device"]
    await line.device.aclose()
    await line.broker.aclose()


async def test_a_slow_line_brings_the_answer_to_the_login_and_waits_for_a_publish(autojump_clock: MockClock) -> None:
    line = Line()
    await lay(line)
    line.tap.slow = True
    await line.broker.send_all(codec.encode(CONNACK) + codec.encode(deliver(1, "hello")))
    while not line.passed:
        await line.device.receive_some(1000)
    assert line.passed == [("broker", CONNACK)]
    with trio.move_on_after(10) as scope:
        await line.device.receive_some(1000)
    assert scope.cancelled_caught
    await line.device.send_all(codec.encode(frames.Publish(n=1, to="user/bob", text="hi")))
    await line.device.receive_some(1000)
    assert line.passed[-1] == ("broker", deliver(1, "hello"))
    await line.device.aclose()
    await line.broker.aclose()


# --- the observer -------------------------------------------------------------------------------------------------


def observer(stream: io.StringIO | None = None) -> Observer:
    return Observer(DEVICES, stream or io.StringIO())


def tell(seen: Observer, device: Device, *passed: Frame) -> None:
    for frame in passed:
        by = "device" if isinstance(frame, frames.Connect | frames.Publish) else "broker"
        seen.take(said(device.name, by, frame))


def test_frames_become_the_history() -> None:
    stream = io.StringIO()
    seen = observer(stream)
    tell(
        seen, BOB_PHONE, connect(BOB_PHONE, epoch=5, last_seq=2), CONNACK,
        frames.Publish(n=4, to="user/bob", text="to me"), frames.Puback(n=4, seq=3, id="0" * 15 + "3"),
        deliver(3, None, own=(BOB_PHONE, 4), sender="bob"),
    )  # fmt: skip
    seen.take(LineLost(BOB_PHONE.name))
    name = BOB_PHONE.name
    assert list(seen.history().events[len(DEVICES) :]) == [
        LoginAsked(name, resume=True),
        Connected(name, epoch=7, position=0, head=0, incarnation="f" * 16, resumed=False, asked=2),
        Sent(name, 4, "user/bob", "to me"),
        Acknowledged(name, 4, "success", 3, "0" * 15 + "3"),
        Delivered(name, 3, "0" * 15 + "3", "bob", "user/bob", None, own_device=name, n=4),
        Disconnected(name),
    ]
    assert seen.holds(name, "to me")
    assert not seen.holds(BOB_PC.name, "to me")
    assert seen.is_stored_once("to me")


def test_the_history_is_on_disk_as_it_happens(tmp_path: Path) -> None:
    with (tmp_path / "history").open("w") as stream:
        seen = Observer(DEVICES, stream)
        tell(seen, BOB_PHONE, connect(BOB_PHONE), CONNACK)
        assert load(tmp_path / "history") == seen.history()


def test_a_kick_counts_whether_told_at_once_or_at_a_refused_resumption() -> None:
    origin = frames.Origin(by=ALICE_PC.name, at=5, address="192.0.2.1:1")
    for told in (
        frames.Disconnect(reason=0x8E, origin=origin),
        frames.Connack(reason=0x8E, origin=origin),
    ):
        seen = observer()
        tell(seen, ALICE_PHONE, told)
        assert seen.history().events[-1] == Kicked(ALICE_PHONE.name, ALICE_PC.name, "session taken over")
        assert seen.seen[ALICE_PHONE.name].kicks == [origin]


def test_a_body_under_two_ids_is_not_stored_once() -> None:
    seen = observer()
    tell(seen, BOB_PHONE, connect(BOB_PHONE), CONNACK, deliver(1, "hello"), deliver(2, "hello"))
    assert not seen.is_stored_once("hello")


async def test_waiting_ends_with_the_news_or_in_vain(autojump_clock: MockClock) -> None:
    seen = observer()
    reading, writing = os.pipe()
    async with trio.lowlevel.FdStream(reading) as pipe, trio.open_nursery() as nursery:
        nursery.start_soon(seen.listen, pipe)
        write_report(writing, said(BOB_PHONE.name, "device", connect(BOB_PHONE)))
        write_report(writing, said(BOB_PHONE.name, "broker", CONNACK))
        write_report(writing, HasCaughtUp(BOB_PHONE.name, 0))
        os.close(writing)
        await seen.until(lambda: seen.seen[BOB_PHONE.name].caught_up == 1, "bob catches up")
        began = trio.current_time()
        with pytest.raises(DemoFailed, match="the moon falls"):
            await seen.until(lambda: False, "the moon falls")
        assert trio.current_time() - began >= WAIT_S


# --- journals -----------------------------------------------------------------------------------------------------


def test_a_journal_survives_its_process(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    for line in (HELLO, HELLO, Gap(2, 4, "age"), Kick("bob-pc", 1, "here", "text")):
        journal.write(line)
    again = Journal(path)
    assert again.entries == {1: HELLO}
    assert again.gaps == [Gap(2, 4, "age")]
    assert again.kicks == [Kick("bob-pc", 1, "here", "text")]
    assert again.last == 4
    again.write(StartOver())
    assert Journal(path).entries == {}
    assert Journal(path).last == 0


@pytest.mark.parametrize("lines", [[], [HELLO, Entry(2, "0" * 15 + "2", "alice", "user/bob", False, "more")]])
def test_a_journal_that_is_not_what_came_over_the_wire_is_found(tmp_path: Path, lines: list[Entry]) -> None:
    """Even though the oracle, which judges the wire, has nothing to say."""
    seen = observer()
    tell(seen, ALICE_PHONE, connect(ALICE_PHONE), CONNACK, frames.Publish(n=1, to="user/bob", text="hello"))
    tell(seen, ALICE_PHONE, frames.Puback(n=1, seq=1, id=HELLO.id), deliver(1, None, own=(ALICE_PHONE, 1)))
    tell(seen, BOB_PHONE, connect(BOB_PHONE), CONNACK, deliver(1, "hello"))
    journals = {device.name: Journal(tmp_path / device.name) for device in DEVICES}
    journals[ALICE_PHONE.name].write(Entry(1, HELLO.id, "alice", "user/bob", True, "hello"))
    for line in lines:
        journals[BOB_PHONE.name].write(line)
    document = make_document(DEVICES, journals, seen, seconds=1, restarts=0, problems=())
    assert document.verdict.passed
    assert not document.passed
    assert len(document.problems) == 1
    assert "bob-phone" in document.problems[0]
    assert document.cell(ALICE_PHONE.name, HELLO.id) == "→1"


def test_the_table_says_what_a_device_lacks(tmp_path: Path) -> None:
    journals = {device.name: Journal(tmp_path / device.name) for device in DEVICES}
    journals[BOB_PHONE.name].write(HELLO)
    journals[BOB_PC.name].write(Gap(1, 1, "count"))
    document = make_document(DEVICES, journals, observer(), seconds=1, restarts=0, problems=("met on the way",))
    assert document.cell(BOB_PHONE.name, HELLO.id) == "1"
    assert document.cell(BOB_PC.name, HELLO.id) == "gap"
    assert document.cell(ALICE_PC.name, HELLO.id) == "·"
    assert "met on the way" in document.problems
    journals[BOB_PC.name].gaps.clear()
    lacking = make_document(DEVICES, journals, observer(), seconds=1, restarts=0, problems=())
    assert lacking.cell(BOB_PC.name, HELLO.id) == "✗"
