"""The load generator reads the wire by hand; it must read it as the codec writes it."""

import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost_benchmarks.load import BrokenPromise, Device, Publisher
from roost_protocol import Connection, Role, codec
from roost_protocol.frames import Connack, Deliver, Entry, Puback, Publish

ENTRY = Entry(id="0" * 16, sender="a", to="user/b", time=1, text="x")


class Pair:
    """A generator's device, and the broker's end of its connection."""

    def __init__(self, position: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            accepting = threading.Thread(target=self._accept, args=(listening, position))
            accepting.start()
            self.device = Device(listening.getsockname(), "a", "phone", "secret")
            accepting.join()

    def _accept(self, listening: socket.socket, position: int) -> None:
        self.broker, _ = listening.accept()
        Connection(Role.BROKER).receive_data(self.broker.recv(4096))
        self.broker.sendall(codec.encode(Connack(position=position)))

    def say(self, data: bytes) -> None:
        """Send as the broker, and let the device read it."""
        self.broker.sendall(data)
        self.device.socket.settimeout(10)
        self.device.receive()

    def __enter__(self) -> "Pair":
        return self

    def __exit__(self, *_: object) -> None:
        self.broker.close()
        self.device.socket.close()


@pytest.mark.parametrize("position", [0, 126, 127, 128, 254, 255, 256, 65_534, 65_535, 65_536, 2**32 - 3])
def test_numbers_of_every_width_are_read(position: int) -> None:
    with Pair(position) as pair:
        pair.say(b"".join(codec.encode(Deliver(seq=position + k, entry=ENTRY)) for k in (1, 2)))
        assert (pair.device.position, pair.device.delivered) == (position + 2, 2)


@pytest.mark.parametrize("seq", [5, 7])
def test_a_doubled_or_skipped_number_breaks_the_run(seq: int) -> None:
    with Pair(5) as pair, pytest.raises(BrokenPromise, match=f"{seq} after 5"):
        pair.say(codec.encode(Deliver(seq=seq, entry=ENTRY)))


def test_acknowledgements_of_publishes_are_counted_across_reads() -> None:
    with Pair(0) as pair:
        data = codec.encode(Puback(n=1, seq=1, id="0" * 16, time=1)) * 3
        pair.say(data[:-7])
        assert pair.device.settled == 2
        pair.say(data[-7:])
        assert pair.device.settled == 3


def test_a_refusal_or_any_other_frame_breaks_the_run() -> None:
    with Pair(0) as pair, pytest.raises(BrokenPromise, match="unexpected"):
        pair.say(codec.encode(Connack()))


@given(before=st.integers(0, 2**31 - 10), body_bytes=st.integers(1, 300))
def test_publishes_differ_in_their_count_only(before: int, body_bytes: int) -> None:
    publisher = Publisher("user/b", body_bytes)
    publisher.n = before
    frames = list(codec.ReceiveBuffer(1_000_000).cut(publisher.frames(3)))
    assert frames == [Publish(n=before + k, to="user/b", data=b"x" * body_bytes) for k in (1, 2, 3)]
