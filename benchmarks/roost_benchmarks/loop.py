"""The devices of a workload: raw non-blocking sockets in one epoll loop, no coroutine for a message.

It has to cost much less than the broker it measures: what is done for each read is one `recv`, one pass of the wire
over what came, and one call of whoever counts.
"""

import errno
import math
import os
import select
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from roost_benchmarks import machine
from roost_benchmarks.dialects.port import BrokenPromise, Login, Wire
from roost_benchmarks.target import Address, Target

READ_BYTES: Final = 64 * 1024
"""Of one read: from 128 KiB on, malloc maps and unmaps fresh pages for each (19 µs instead of 1.4 µs; malloc(3))."""
PER_SOURCE: Final = 1_000
"""Connections from one local address: far fewer than it has ports, and than a broker of ours grants one."""
IP_BIND_ADDRESS_NO_PORT: Final = 24
"""ip(7): the port is chosen when it is known where the connection goes. Python's `socket` has no name for it."""
FD_SETSIZE: Final = 1_024
"""select(2) takes descriptors below it only."""
TIMER_SLACK: Final = Path("/proc/self/timerslack_ns")
EXACT_BELOW_S: Final = 0.02
"""Waits shorter than this are exact, which costs a system call more."""
PINGS_EACH: Final = 2
"""In the time in which a broker has to hear something: one may be late by half of it."""
LOG_IN_S: Final = 60.0
LOGGING_IN_MAX: Final = 32
"""Log-ins under way at once, where nobody measures them: a broker checks few passwords at a time."""

_IN, _OUT = select.EPOLLIN, select.EPOLLOUT


class Device:
    """One connection. `on_delivered` is called after each read that brought messages."""

    __slots__ = ("_connected", "_loop", "_unsent", "began_ns", "live_ns", "login", "on_delivered", "socket", "wire")

    def __init__(self, loop: "Loop", login: Login, wire: Wire, opened: socket.socket) -> None:
        self._loop = loop
        self.login = login
        self.wire = wire
        self.socket = opened
        self.began_ns = time.perf_counter_ns()
        self.live_ns = 0
        """When the log-in was answered; 0 before."""
        self.on_delivered: Callable[[], None] = _nothing
        self._connected = False
        self._unsent = b""

    def send(self, data: bytes) -> None:
        """Send now what the socket takes, and the rest as soon as it takes more. Raises BrokenPromise.

        Before the connection is there everything waits: on the loopback it may be there already, and what was sent at
        once would come before the log-in.
        """
        if self._unsent or not self._connected:
            self._unsent += data
            return
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise BrokenPromise(f"{self.login.name}: cannot send: {error}") from error
        if sent < len(data):
            self._unsent = data[sent:]
            self._loop.watch(self, _IN | _OUT)

    def ready(self, flags: int) -> None:
        """The socket can be read or written, or is broken. Raises BrokenPromise."""
        if flags & _OUT:
            self._writable()
        if flags & ~_OUT:
            self._readable()

    def _writable(self) -> None:
        if not self._connected:
            error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise BrokenPromise(f"{self.login.name}: cannot connect: {os.strerror(error)}")
            self._connected = True
            self._unsent = self.wire.opening() + self._unsent
        self._loop.watch(self, _IN)
        data, self._unsent = self._unsent, b""
        if data:
            self.send(data)

    def _readable(self) -> None:
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            raise BrokenPromise(f"{self.login.name}: the connection is lost: {error}") from error
        if not data:
            raise BrokenPromise(f"{self.login.name}: the broker closed the connection")
        wire = self.wire
        before = wire.delivered
        answer = wire.receive(data)
        if answer:
            self.send(answer)
        if not self.live_ns and wire.live:
            self.live_ns = time.perf_counter_ns()
            self._loop.live += 1
            self._loop.keep(wire.keepalive_s)
        if wire.delivered != before:
            self.on_delivered()


class Loop:
    """Devices in one epoll. A context manager: at the end every connection is closed."""

    def __init__(self, target: Target) -> None:
        exact_timers()
        self._target = target
        self._epoll = select.epoll()
        # Other addresses than those of the loop before, whose ports are not free for a minute (TIME_WAIT): with
        # 10,000 of them, finding another took a millisecond.
        high, low = os.urandom(2)
        self._sources = f"127.{high or 1}.{low}"
        self._by_fd: dict[int, Device] = {}
        self.live = 0
        """Devices that are logged in."""
        self._ping_every_s = self._ping_at = math.inf

    def __enter__(self) -> "Loop":
        return self

    def __exit__(self, *_: object) -> None:
        for device in tuple(self._by_fd.values()):
            self.close(device)
        self._epoll.close()

    def connect(self, login: Login, *, address: Address | None = None) -> Device:
        """Begin a connection, which logs in by itself; to another address than the target's if one is given.

        Raises OSError when no file descriptor is left, and BrokenPromise when it is refused at once.
        """
        host, port = address or self._target.addresses.get(login.terminal, self._target.address)
        opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if host.startswith("127."):
            opened.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            opened.bind((f"{self._sources}.{1 + len(self._by_fd) // PER_SOURCE}", 0))
        error = opened.connect_ex((host, port))
        if error not in {0, errno.EINPROGRESS}:
            opened.close()
            raise BrokenPromise(f"{login.name}: cannot connect: {os.strerror(error)}")
        device = Device(self, login, self._target.dialect.wire(login), opened)
        self._by_fd[opened.fileno()] = device
        self._epoll.register(opened.fileno(), _OUT)
        return device

    def log_in(self, logins: Iterable[Login], progress: Callable[[int], None] | None = None) -> list[Device]:
        """Connect all of them, few at a time, and wait until they are live. Raises BrokenPromise."""
        devices: list[Device] = []
        at_first = self.live
        for login in logins:
            devices.append(self.connect(login))
            self.run(lambda: len(devices) - (self.live - at_first) < LOGGING_IN_MAX, LOG_IN_S)
            if progress:
                progress(len(devices))
        self.run(lambda: self.live - at_first == len(devices), LOG_IN_S)
        return devices

    def close(self, device: Device) -> None:
        """Close one connection without a word."""
        if self._by_fd.pop(device.socket.fileno(), None) is not None:
            device.socket.close()
            self.live -= device.wire.live

    def watch(self, device: Device, flags: int) -> None:
        """What to wait for on a device's socket."""
        self._epoll.modify(device.socket.fileno(), flags)

    def keep(self, keepalive_s: int) -> None:
        """The broker has to hear something of every device within so long (0: it need not); see to that."""
        if keepalive_s and keepalive_s / PINGS_EACH < self._ping_every_s:
            self._ping_every_s = keepalive_s / PINGS_EACH
            self._ping_at = min(self._ping_at, time.monotonic() + self._ping_every_s)

    def _ping_if_due(self) -> float:
        """Let every device say something, whether or not it has anything to say: a few bytes, seldom.

        How long it is until it has to be done again, in seconds.
        """
        left_s = self._ping_at - time.monotonic()
        if left_s > 0:
            return left_s
        for device in tuple(self._by_fd.values()):
            if device.wire.live and device.wire.keepalive_s:
                device.send(device.wire.ping())
        self._ping_at = time.monotonic() + self._ping_every_s
        return self._ping_every_s

    def poll(self, timeout_s: float) -> None:
        """Serve what is ready; wait for at most so long if nothing is. Raises BrokenPromise.

        Short waits are exact to some 40 µs: epoll itself counts in ms, so that a schedule would run late by half of
        one (as it does if the loop was made when a thousand files were open). A long one ends a little early.
        """
        if self._ping_at < math.inf:
            timeout_s = min(timeout_s, self._ping_if_due())
        if timeout_s <= 0:
            timeout_s = 0
        elif timeout_s < EXACT_BELOW_S and self._epoll.fileno() < FD_SETSIZE:
            select.select([self._epoll], [], [], timeout_s)
            timeout_s = 0
        else:
            timeout_s = max(timeout_s - EXACT_BELOW_S / 2, 0.001)
        by_fd = self._by_fd
        for number, flags in self._epoll.poll(timeout_s):
            device = by_fd.get(number)
            if device is not None:
                device.ready(flags)

    def run(self, until: Callable[[], bool], deadline_s: float) -> None:
        """Serve until `until()`. Raises BrokenPromise, also when it did not come to that within `deadline_s`."""
        end = time.monotonic() + deadline_s
        while not until():
            if time.monotonic() > end:
                raise BrokenPromise(f"not done within {deadline_s:g} s: {self._stuck()}")
            self.poll(0.1)

    def run_for(self, seconds: float) -> None:
        """Serve for so long. Raises BrokenPromise."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.poll(left)

    def _stuck(self) -> str:
        devices = list(self._by_fd.values())[:8]
        return ", ".join(f"{each.login.name} has {each.wire.delivered}" for each in devices)


def exact_timers() -> None:
    """Let the kernel wake this thread when it asked for it, and not up to 50 µs later (prctl(2), PR_SET_TIMERSLACK).

    Measured: waits of 400 µs end 40 µs late instead of 105. Where the kernel does not let us, they stay as they are.
    """
    try:
        TIMER_SLACK.write_text("1")
    except OSError:
        return


def allow_connections(count: int) -> int:
    """Raise this process's bound on file descriptors; how many connections there may be, at most `count`."""
    return min(count, machine.allow_files(count + machine.SPARE_FILES) - machine.SPARE_FILES)


def _nothing() -> None:
    """Stand in until somebody wants to know."""
