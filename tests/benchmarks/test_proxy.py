"""The delaying proxy passes on what it gets: all of it, in order, with its end. No test asks how long anything takes,
but that nothing comes before it is due.
"""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import pytest

from roost_benchmarks.proxy import OVERDUE_BYTES_MAX, delayed

pytestmark = pytest.mark.process

ONE_WAY_MS = 3
DEADLINE_S = 30


@contextmanager
def links(count: int = 1) -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """So many connections through a proxy, each as its two ends."""
    ends: list[tuple[socket.socket, socket.socket]] = []
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        delayed(listening.getsockname(), ONE_WAY_MS) as address,
    ):
        listening.settimeout(DEADLINE_S)
        try:
            for _ in range(count):
                near = socket.create_connection(address, DEADLINE_S)
                far, _ = listening.accept()
                far.settimeout(DEADLINE_S)
                ends.append((near, far))
            yield ends
        finally:
            for near, far in ends:
                near.close()
                far.close()


def everything(sock: socket.socket) -> bytes:
    """What comes until the stream ends."""
    parts = []
    while part := sock.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def test_bytes_arrive_whole_and_in_order_in_both_directions() -> None:
    there, back = Random(1).randbytes(8 << 20), Random(2).randbytes(3 << 20)  # noqa: S311
    with links() as [(near, far)]:

        def send(sock: socket.socket, data: bytes) -> None:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)

        senders = [threading.Thread(target=send, args=pair) for pair in ((near, there), (far, back))]
        got: list[bytes] = []
        readers = [threading.Thread(target=lambda s=sock: got.append(everything(s))) for sock in (near, far)]
        for thread in (*senders, *readers):
            thread.start()
        for thread in (*senders, *readers):
            thread.join(DEADLINE_S)
        assert sorted(got, key=len) == [back, there]


def test_nothing_arrives_before_it_is_due() -> None:
    with links() as [(near, far)]:
        for count in range(20):
            begin = time.monotonic_ns()
            near.sendall(bytes([count]))
            assert far.recv(1) == bytes([count])
            far.sendall(b"y")
            assert near.recv(1) == b"y"
            assert time.monotonic_ns() - begin >= 2 * ONE_WAY_MS * 1_000_000


def test_one_direction_ends_and_the_other_goes_on() -> None:
    with links() as [(near, far)]:
        near.sendall(b"last words")
        near.shutdown(socket.SHUT_WR)
        assert everything(far) == b"last words"
        far.sendall(b"still here")
        far.close()
        assert everything(near) == b"still here"


@pytest.mark.parametrize("by", [0, 1])
def test_a_reset_is_passed_on(by: int) -> None:
    with links() as ends:
        sock, other = ends[0][by], ends[0][1 - by]
        sock.sendall(b"x")
        assert other.recv(1) == b"x"
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        with pytest.raises(ConnectionResetError):
            other.recv(1)


def test_a_receiver_that_does_not_read_stops_its_sender_alone() -> None:
    with links(2) as [(near, far), (other_near, other_far)]:
        far.setblocking(False)
        sent = 0
        chunk = b"z" * 65_536
        near.settimeout(0.5)
        while True:  # until the proxy reads no more of it; a pause before it is full is only a busy machine
            try:
                sent += near.send(chunk)
            except TimeoutError:
                if sent > OVERDUE_BYTES_MAX:
                    break
        other_near.sendall(b"hello")
        assert other_far.recv(5) == b"hello"
        near.shutdown(socket.SHUT_WR)
        far.settimeout(DEADLINE_S)
        assert len(everything(far)) == sent


def test_a_target_that_is_not_there_resets() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        target = gone.getsockname()
    with (
        delayed(target, ONE_WAY_MS) as address,
        pytest.raises(ConnectionResetError),  # by connect(2) or by recv(2), whichever is overtaken
        socket.create_connection(address, DEADLINE_S) as sock,
    ):
        sock.recv(1)


def test_an_address_that_makes_no_sense_is_said() -> None:
    with pytest.raises(RuntimeError, match="did not start"), delayed(("127.0.0.1", 0), float("nan")):
        pass
