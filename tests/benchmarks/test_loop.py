"""The loop of devices, over real sockets with the broker's end in the hands of the test, and a dialect of lines."""

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from roost_benchmarks import loop as loop_module
from roost_benchmarks.dialects.port import BrokenPromise, Login, Publisher
from roost_benchmarks.loop import Device, Loop, allow_connections
from roost_benchmarks.target import Target

SOON_S = 20.0
ANN = Login("ann")


class LineWire:
    """Says hello, is live at the first line, and counts the others; a line of `?` is answered by `!`."""

    def __init__(self) -> None:
        self.live = False
        self.delivered = 0
        self.settled = 0
        self.token: str | None = None
        self.keepalive_s = 0

    def opening(self) -> bytes:
        """See `Wire.opening`."""
        return b"hello\n"

    def receive(self, data: bytes) -> bytes:
        """See `Wire.receive`."""
        lines = data.count(b"\n")
        self.delivered += lines if self.live else lines - 1
        self.live = True
        if b"within 1 s\n" in data:
            self.keepalive_s = 1
        return b"!" * data.count(b"?")

    def ping(self) -> bytes:
        """See `Wire.ping`."""
        return b"."


class Lines:
    """See `Dialect`."""

    name = "lines"

    def wire(self, login: Login) -> LineWire:
        """See `Dialect.wire`."""
        return LineWire()

    def publisher(self, login: Login, to: str, body_bytes: int) -> Publisher:
        """See `Dialect.publisher`."""
        raise NotImplementedError


class Listening:
    """A broker's listener, and a loop of devices that connect to it."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.listener.settimeout(SOON_S)
        self.target = Target(
            name="lines", version="1", durability="none", dialect=Lines(), address=self.listener.getsockname(), pids=(),
            users=("ann",), password=lambda _: "secret",
        )  # fmt: skip
        self.loop = Loop(self.target)

    def accept(self) -> socket.socket:
        """The broker's end of the connection that was begun first."""
        near, _ = self.listener.accept()
        near.settimeout(SOON_S)
        return near

    def live(self) -> tuple[Device, socket.socket]:
        """A device that is logged in, and the other end."""
        before = self.loop.live
        device = self.loop.connect(ANN)
        near = self.accept()
        near.sendall(b"welcome\n")
        self.loop.run(lambda: self.loop.live > before, SOON_S)
        assert near.recv(6) == b"hello\n"
        return device, near


@pytest.fixture
def listening() -> Iterator[Listening]:
    found = Listening()
    with found.listener, found.loop:
        yield found


def test_a_device_connects_and_logs_in_by_itself(listening: Listening) -> None:
    device, near = listening.live()
    with near:
        assert device.login is ANN
        assert device.live_ns > device.began_ns
        assert listening.loop.live == 1


def test_a_quiet_device_is_heard_of_as_often_as_the_broker_wants(listening: Listening) -> None:
    device = listening.loop.connect(ANN)
    with listening.accept() as near:
        near.sendall(b"within 1 s\n")
        near.setblocking(False)
        said = bytearray()

        def heard() -> bool:
            try:
                said.extend(near.recv(100))
            except BlockingIOError:
                pass  # nothing yet
            return said.endswith(b"..")

        listening.loop.run(heard, SOON_S)
        assert said == b"hello\n.."
        assert device.wire.delivered == 0


def test_a_device_that_nobody_waits_for_says_nothing(listening: Listening) -> None:
    _, near = listening.live()
    with near:
        listening.loop.run_for(0.05)
        near.setblocking(False)
        with pytest.raises(BlockingIOError):
            near.recv(1)


def test_several_log_in_together(listening: Listening) -> None:
    with ExitStack() as ends:

        def answer(count: int) -> None:
            """The callback of progress comes once for each connection that was begun."""
            ends.enter_context(listening.accept()).sendall(b"welcome\n")

        devices = listening.loop.log_in([ANN._replace(terminal=f"t{number}") for number in range(30)], answer)
        assert [device.login.terminal for device in devices] == [f"t{number}" for number in range(30)]
        assert listening.loop.live == 30


def test_whoever_counts_is_called_when_messages_came(listening: Listening) -> None:
    device, near = listening.live()
    seen: list[int] = []
    device.on_delivered = lambda: seen.append(device.wire.delivered)
    with near:
        near.sendall(b"a\nb\n")
        listening.loop.run(lambda: device.wire.delivered == 2, SOON_S)
        near.sendall(b"?")  # half a line
        assert seen[-1] == 2
        listening.loop.run_for(0.01)
        assert seen[-1] == 2


def test_what_the_wire_answers_is_sent(listening: Listening) -> None:
    device, near = listening.live()
    with near:
        near.sendall(b"??\n")
        listening.loop.run(lambda: device.wire.delivered == 1, SOON_S)
        assert near.recv(10) == b"!!"


def test_what_a_socket_does_not_take_goes_later_and_before_anything_else(listening: Listening) -> None:
    device, near = listening.live()
    first, second = b"1" * 8_000_000, b"2" * 8_000_000
    with near:
        device.send(first)
        device.send(second)
        near.setblocking(False)
        got = bytearray()

        def all_is_there() -> bool:
            try:
                got.extend(near.recv(1_000_000))
            except BlockingIOError:
                pass
            return len(got) == len(first) + len(second)

        while not all_is_there():
            listening.loop.poll(0.001)
        assert got == first + second


def test_a_closed_connection_breaks_the_run(listening: Listening) -> None:
    _, near = listening.live()
    near.close()
    with pytest.raises(BrokenPromise, match="ann/phone: the broker closed the connection"):
        listening.loop.run(lambda: False, SOON_S)


def test_sending_into_a_closed_connection_breaks_the_run(listening: Listening) -> None:
    device, near = listening.live()
    near.close()

    def send_much() -> None:
        for _ in range(1_000):  # the first tell the other end that it is gone
            device.send(b"x" * 100_000)

    with pytest.raises(BrokenPromise, match="ann/phone: cannot send"):
        send_much()


def test_a_refused_connection_breaks_the_run(listening: Listening) -> None:
    listening.listener.close()
    with pytest.raises(BrokenPromise, match="ann/phone: cannot connect: Connection refused"):
        listening.loop.log_in([ANN])


def test_a_wait_has_a_deadline_and_says_who_has_what(listening: Listening) -> None:
    _, near = listening.live()
    with near, pytest.raises(BrokenPromise, match=r"not done within 0\.01 s: ann/phone has 0"):
        listening.loop.run(lambda: False, 0.01)


def test_what_is_done_is_done_however_late(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, answers = iter([0.0, 0.5, 9.0]), iter([False, True])
    monkeypatch.setattr(loop_module, "time", SimpleNamespace(monotonic=lambda: next(now_s)))
    listening.loop.run(lambda: next(answers), 1.0)
    assert next(now_s) == 9


def test_a_broker_that_never_answers_breaks_the_run(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "LOG_IN_S", 0.01)
    with pytest.raises(BrokenPromise, match=r"not done within 0\.01 s: ann/phone has 0"):
        listening.loop.log_in([ANN])


def test_a_connection_that_is_reset_breaks_the_run(listening: Listening) -> None:
    _, near = listening.live()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # socket(7): close by RST
    near.close()
    with pytest.raises(BrokenPromise, match="ann/phone: the connection is lost"):
        listening.loop.run(lambda: False, SOON_S)


def test_what_is_sent_before_the_connection_is_there_goes_after_the_opening(listening: Listening) -> None:
    device = listening.loop.connect(ANN)
    device.send(b"first")
    with listening.accept() as near:
        near.sendall(b"welcome\n")
        listening.loop.run(lambda: device.wire.live, SOON_S)
        assert near.recv(11, socket.MSG_WAITALL) == b"hello\nfirst"


def test_a_device_may_connect_elsewhere(listening: Listening) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(SOON_S)
        device = listening.loop.connect(ANN, address=other.getsockname())
        near, _ = other.accept()
        with near:
            near.sendall(b"welcome\n")
            listening.loop.run(lambda: device.wire.live, SOON_S)


def test_a_device_that_is_closed_while_others_are_served_is_served_no_more(listening: Listening) -> None:
    first, near_first = listening.live()
    second, near_second = listening.live()
    with near_first, near_second:
        first.on_delivered = lambda: listening.loop.close(second)
        second.on_delivered = lambda: listening.loop.close(first)
        near_first.sendall(b"a\n")
        near_second.sendall(b"a\n")
        listening.loop.run(lambda: listening.loop.live == 1, SOON_S)
        listening.loop.poll(0.001)
        assert first.wire.delivered + second.wire.delivered == 1


def test_a_closed_device_is_live_no_more(listening: Listening) -> None:
    device, near = listening.live()
    with near:
        listening.loop.close(device)
        listening.loop.close(device)
        assert listening.loop.live == 0
        assert near.recv(1) == b""


def test_at_the_end_every_connection_is_closed(listening: Listening) -> None:
    with Loop(listening.target) as loop:
        loop.connect(ANN)
        near = listening.accept()
    with near:
        assert near.recv(100) == b""


def test_many_connections_come_from_several_addresses(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "PER_SOURCE", 2)
    with ExitStack() as ends:
        addresses = []
        for _ in range(5):
            listening.loop.connect(ANN)
            addresses.append(ends.enter_context(listening.accept()).getpeername()[0])
    assert [address.rpartition(".")[2] for address in addresses] == ["1", "1", "2", "2", "3"]
    assert len({address.rpartition(".")[0] for address in addresses}) == 1


def test_a_loop_made_late_waits_by_epoll_alone(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "FD_SETSIZE", 0)
    device, near = listening.live()
    with near:
        near.sendall(b"a\n")
        listening.loop.run(lambda: device.wire.delivered == 1, SOON_S)


def test_timers_stay_as_they_are_where_they_cannot_be_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "TIMER_SLACK", tmp_path / "nowhere" / "timerslack_ns")
    loop_module.exact_timers()


def test_few_connections_are_always_allowed() -> None:
    assert allow_connections(10) == 10
    assert 10 <= allow_connections(10**9) <= 10**9
