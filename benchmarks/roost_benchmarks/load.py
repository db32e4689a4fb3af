"""The load generator's devices: raw non-blocking sockets in one epoll loop, no coroutine and no decoding for a message.

It has to cost much less than the broker it measures. So frames are counted by their type byte, a publish is made of
two constant pieces around its count, and only the number of each DELIVER is read, to see that none is missed or
doubled: a run with a hole or a duplicate fails.
"""

import select
import socket
import struct
import time
from collections.abc import Callable

from roost_protocol import codec
from roost_protocol.frames import Ack, Connack, Connect, FrameType, Publish

READ_BYTES = 256 * 1024
ACK_EVERY = 64
"""Entries after which a device acknowledges: a quarter of the default window."""

_HEADER = struct.Struct(">IB")
_U32 = struct.Struct(">I")
_NUMBER_AT = 10  # header 5, map 1, the key "seq" 4
_UINT16, _UINT32 = 0xCD, 0xCE

DELIVER = FrameType.DELIVER.value
PUBACK = FrameType.PUBACK.value


class BrokenPromise(Exception):
    """The broker skipped, doubled or refused something: the run does not count."""


class Device:
    """One logged-in device. `on_delivered` is called with the count of entries after each read that brought some."""

    def __init__(
        self, address: tuple[str, int], user: str, terminal: str, password: str, receive_max: int = 256
    ) -> None:
        self.name = f"{user}/{terminal}"
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.delivered = 0
        self.settled = 0
        self.position = 0
        self._acknowledged = 0
        self._rest = b""
        self._unsent = b""
        self.on_delivered: Callable[[], None] = _nothing
        self._log_in(user, terminal, password, receive_max)
        self.socket.setblocking(False)

    def _log_in(self, user: str, terminal: str, password: str, receive_max: int) -> None:
        connect = Connect(
            user=user, password=password, terminal=terminal, device=f"bench-{terminal}", newest=0,
            receive_max=receive_max, keepalive_s=600, client="roost-bench",
        )  # fmt: skip
        self.socket.sendall(codec.encode(connect))
        self.socket.settimeout(30)
        head = _exactly(self.socket, 4)
        body = _exactly(self.socket, _U32.unpack(head)[0])
        frame = codec.decode_body(body[0], body[1:])
        if not isinstance(frame, Connack) or frame.reason:
            raise BrokenPromise(f"{self.name} could not log in: {frame}")
        self.position = frame.position

    def send(self, data: bytes) -> None:
        """Send now what the socket takes; the rest goes before anything later."""
        data = self._unsent + data
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        self._unsent = data[sent:]

    def receive(self) -> None:
        """Read what is there and count it."""
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            raise BrokenPromise(f"{self.name}: the broker closed the connection")
        if self._rest:
            data = self._rest + data
        at, size, before = 0, len(data), self.delivered
        header = _HEADER.unpack_from
        while size - at >= 5:
            length, kind = header(data, at)
            if size - at < 4 + length:
                break
            if kind == DELIVER:
                self._count(data, at + _NUMBER_AT)
            elif kind == PUBACK:
                self.settled += 1
            else:
                raise BrokenPromise(
                    f"{self.name}: unexpected {codec.decode_body(kind, data[at + 5 : at + 4 + length])}"
                )
            at += 4 + length
        self._rest = data[at:]
        if self.delivered != before:
            if self.position - self._acknowledged >= ACK_EVERY:
                self._acknowledged = self.position
                self.send(codec.encode(Ack(seq=self.position)))
            self.on_delivered()

    def _count(self, data: bytes, at: int) -> None:
        first = data[at]
        if first < 0x80:
            number = first
        elif first == _UINT16:
            number = data[at + 1] << 8 | data[at + 2]
        elif first == _UINT32:
            (number,) = _U32.unpack_from(data, at + 1)
        else:
            number = data[at + 1]
        if number != self.position + 1:
            raise BrokenPromise(f"{self.name}: {number} after {self.position}")
        self.position = number
        self.delivered += 1


class Publisher:
    """Makes PUBLISH frames that differ in their count only."""

    def __init__(self, to: str, body_bytes: int) -> None:
        marker = 0x7FFF_FFFE
        frame = codec.encode(Publish(n=marker, to=to, data=b"x" * body_bytes))
        self._before, _, self._after = frame.partition(_U32.pack(marker))
        self.n = 0

    def frames(self, count: int) -> bytes:
        """The next so many frames."""
        parts: list[bytes] = []
        for n in range(self.n + 1, self.n + count + 1):
            parts += (self._before, _U32.pack(n), self._after)
        self.n += count
        return b"".join(parts)


class Loop:
    """Devices in one epoll."""

    def __init__(self, devices: list[Device]) -> None:
        self._devices = {device.socket.fileno(): device for device in devices}
        self._epoll = select.epoll()
        for number in self._devices:
            self._epoll.register(number, select.EPOLLIN)

    def run(self, until: Callable[[], bool], deadline_s: float) -> None:
        """Receive until `until()`; raises BrokenPromise when nothing came to that for `deadline_s`."""
        end = time.monotonic() + deadline_s
        while not until():
            ready = self._epoll.poll(0.2)
            for number, _ in ready:
                self._devices[number].receive()
            if time.monotonic() > end:
                stuck = ", ".join(f"{d.name} at {d.position}" for d in list(self._devices.values())[:8])
                raise BrokenPromise(f"not done within {deadline_s} s: {stuck}")

    def close(self) -> None:
        """Close every connection."""
        self._epoll.close()
        for device in self._devices.values():
            device.socket.close()


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise BrokenPromise("the broker closed the connection at log-in")
        data += more
    return data


def _nothing() -> None:
    """Stand in until somebody wants to know."""
