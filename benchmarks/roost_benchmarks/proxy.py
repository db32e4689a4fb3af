"""A link with a long round trip, on one machine: a TCP proxy that delays what it passes on and bounds nothing else.

    python -m roost_benchmarks.proxy HOST PORT ONE_WAY_MS

It listens on a free port of 127.0.0.1, writes `host port` to stdout, and ends when its stdin is closed. It is a process
of its own, so that it takes nothing from the broker's process or the generator's loop.

Bytes are read as soon as they are there and kept with the time at which they are due, so that a link of any speed is
full as far as its two ends keep it full. Since every byte waits equally long, one queue in the order of arrival holds
all of them. The end of a stream and a reset are passed on like bytes, in their turn. Setting up a connection is not
delayed: a device of these benchmarks connects once, and is measured from then on.

**Invariant:** what arrives at one end leaves at the other whole and in order, never before it is due.
"""

import select
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Final

READ_BYTES: Final = 256 * 1024
"""One read of a socket."""
OVERDUE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bytes that are due but not taken by their receiver; past it the sender is not read, as by any full link."""
BACKLOG: Final = 4_096
STOP_S: Final = 10

_NS_IN_MS: Final = 1_000_000
_NS_IN_S: Final = 1_000_000_000
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close(2) sends RST (socket(7))


class Sign(Enum):
    """What passes over a link beside bytes."""

    END = "end"
    """Nothing more comes from this side."""
    RESET = "reset"


class End:
    """One end of a link: a socket, and what is due to it but not sent yet."""

    __slots__ = ("ended", "finishing", "other", "overdue", "overdue_bytes", "reading", "registered", "sock")

    other: "End"

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.overdue: deque[memoryview] = deque()
        self.overdue_bytes = 0
        self.reading = True
        """Until its stream has ended."""
        self.finishing = False
        """The other's stream has ended; so does this one's when all is sent."""
        self.ended = False
        self.registered = 0

    def wanted(self) -> int:
        """What epoll should tell of it."""
        reads = self.reading and self.other.overdue_bytes <= OVERDUE_BYTES_MAX
        return (select.EPOLLIN if reads else 0) | (select.EPOLLOUT if self.overdue else 0)


class Proxy:
    """Every link from `listening` to `target`, each byte `one_way_ms` later, in one epoll."""

    def __init__(self, listening: socket.socket, target: tuple[str, int], one_way_ms: float) -> None:
        listening.setblocking(False)
        self._listening = listening
        self._target = target
        self._delay_ns = int(one_way_ms * _NS_IN_MS)
        self._due: deque[tuple[int, End, memoryview | Sign]] = deque()
        self._ends: dict[int, End] = {}
        self._epoll = select.epoll()
        self._epoll.register(listening, select.EPOLLIN)

    def run(self, stop: int) -> None:
        """Pass bytes on until the descriptor `stop` is readable."""
        self._epoll.register(stop, select.EPOLLIN)
        while True:
            # The wait of epoll itself is in whole milliseconds, that of select is not.
            select.select([self._epoll], [], [], self._wait_s())
            self._release()
            for number, events in self._epoll.poll(0):
                if number == stop:
                    return
                if number == self._listening.fileno():
                    self._accept()
                elif (end := self._ends.get(number)) is not None:
                    self._ready(end, events)

    def close(self) -> None:
        """Close every connection; what was not due yet is lost."""
        for end in list(self._ends.values()):
            end.sock.close()
        self._ends.clear()
        self._epoll.close()

    def _wait_s(self) -> float | None:
        return max(0, self._due[0][0] - time.monotonic_ns()) / _NS_IN_S if self._due else None

    def _accept(self) -> None:
        try:
            near, _ = self._listening.accept()
        except OSError:  # it has gone again
            return
        try:
            far = socket.create_connection(self._target, STOP_S)
        except OSError:
            _reset(near)
            return
        one, two = End(near), End(far)
        one.other, two.other = two, one
        for end in (one, two):
            self._ends[end.sock.fileno()] = end
            self._register(end)

    def _register(self, end: End) -> None:
        """Ask epoll for what is wanted; for nothing by leaving it, since a hang-up would be told again and again."""
        wanted, number = end.wanted(), end.sock.fileno()
        if wanted == end.registered:
            return
        if not wanted:
            self._epoll.unregister(number)
        elif end.registered:
            self._epoll.modify(number, wanted)
        else:
            self._epoll.register(number, wanted)
        end.registered = wanted

    def _ready(self, end: End, events: int) -> None:
        if events & select.EPOLLOUT:
            self._send(end)
        if events & ~select.EPOLLOUT and end.reading and end.registered:
            self._receive(end)

    def _receive(self, end: End) -> None:
        try:
            data = end.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._pass_on(end, Sign.RESET)
            return
        self._pass_on(end, memoryview(data) if data else Sign.END)

    def _pass_on(self, end: End, what: memoryview | Sign) -> None:
        self._due.append((time.monotonic_ns() + self._delay_ns, end.other, what))
        if isinstance(what, Sign):
            end.reading = False
            self._register(end)

    def _release(self) -> None:
        """Send everything that is due."""
        now, due = time.monotonic_ns(), self._due
        while due and due[0][0] <= now:
            _, end, what = due.popleft()
            if end.sock.fileno() >= 0:  # a link that was reset is closed
                self._deliver(end, what)

    def _deliver(self, end: End, what: memoryview | Sign) -> None:
        if what is Sign.RESET:
            self._drop(end)
        elif isinstance(what, memoryview):
            end.overdue.append(what)
            end.overdue_bytes += len(what)
            if len(end.overdue) == 1:
                self._send(end)
            else:
                self._register(end.other)
        else:
            end.finishing = True
            self._send(end)

    def _send(self, end: End) -> None:
        while end.overdue:
            piece = end.overdue[0]
            try:
                sent = end.sock.send(piece)
            except BlockingIOError:
                break
            except OSError:  # its peer has gone; the other end hears of it in its turn
                self._lost(end)
                return
            end.overdue_bytes -= sent
            if sent < len(piece):
                end.overdue[0] = piece[sent:]
                break
            end.overdue.popleft()
        if end.finishing and not end.overdue and not end.ended:
            self._finish(end)
            return
        self._register(end)
        self._register(end.other)

    def _lost(self, end: End) -> None:
        end.overdue.clear()
        end.overdue_bytes = 0
        self._pass_on(end, Sign.RESET)

    def _finish(self, end: End) -> None:
        """End the stream to this end, and the link when both have ended."""
        end.ended = True
        try:
            end.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._lost(end)
            return
        if end.other.ended:
            self._forget(end)
            end.sock.close()
            end.other.sock.close()
            return
        self._register(end)

    def _drop(self, end: End) -> None:
        self._forget(end)
        _reset(end.sock)
        _reset(end.other.sock)

    def _forget(self, end: End) -> None:
        for each in (end, end.other):
            del self._ends[each.sock.fileno()]
            if each.registered:
                self._epoll.unregister(each.sock.fileno())
            each.registered = 0


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    sock.close()


@contextmanager
def delayed(target: tuple[str, int], one_way_ms: float) -> Iterator[tuple[str, int]]:
    """An address of 127.0.0.1 that leads to `target` with `one_way_ms` more in each direction.

    The proxy is a process of its own, which has ended when the block is left. Raises RuntimeError if it does not start.
    """
    host, port = target
    command = [sys.executable, "-m", "roost_benchmarks.proxy", host, str(port), str(one_way_ms)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = process.stdout.readline().split() if process.stdout else []
            if len(said) != 2:
                raise RuntimeError(f"the delaying proxy to {host}:{port} did not start")
            yield said[0], int(said[1])
        finally:
            if process.stdin:
                process.stdin.close()  # that is how it is told to end
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def main(arguments: list[str]) -> None:
    """Listen, say where, and pass bytes on until stdin is closed."""
    host, port, one_way_ms = arguments
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listening:
        proxy = Proxy(listening, (host, int(port)), float(one_way_ms))
        print(*listening.getsockname(), flush=True)
        try:
            proxy.run(sys.stdin.fileno())
        finally:
            proxy.close()


if __name__ == "__main__":
    main(sys.argv[1:])
