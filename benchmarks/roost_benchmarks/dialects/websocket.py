"""roost over WebSocket, as a load generator speaks it: the binary form around roost's own wire, and the JSON form.

Whatever a device says is masked with a key of zeros: RFC 6455 wants a mask, and this one costs nothing here; the broker
unmasks it like any other.
"""

import base64
import os
import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from roost_benchmarks.dialects.port import BrokenPromise, Dialect, Login, Publisher, Wire
from roost_benchmarks.dialects.roost import KEEPALIVE_S, RoostDialect
from roost_protocol import codec, websocket
from roost_protocol.frames import Ack, Connack, Connect, Frame, Ping, Publish

PATH: Final = "/ws"
HEAD_END: Final = b"\r\n\r\n"
FINAL_BINARY, FINAL_TEXT, CLOSE = 0x82, 0x81, 0x88
MASKED: Final = 0x80
NO_MASK: Final = bytes(4)
LENGTH_16, LENGTH_64 = 126, 127
_U16 = struct.Struct(">H")
_U64 = struct.Struct(">Q")


def framed(opcode: int, payload: bytes) -> bytes:
    """One message of a client."""
    size = len(payload)
    if size < LENGTH_16:
        head = bytes((opcode, MASKED | size))
    elif size < 1 << 16:
        head = bytes((opcode, MASKED | LENGTH_16)) + _U16.pack(size)
    else:
        head = bytes((opcode, MASKED | LENGTH_64)) + _U64.pack(size)
    return head + NO_MASK + payload


class _Frames:
    """What a server sends, taken apart: whole messages only, as the broker sends them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._rest = b""

    def read(self, data: bytes) -> Iterator[bytes]:
        """The payload of each message that is complete. Raises BrokenPromise when the broker closes."""
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        while size - at >= 2:
            opcode, length = data[at], data[at + 1]
            begin = at + 2
            if length == LENGTH_16:
                if size - at < 4:
                    break
                length, begin = _U16.unpack_from(data, at + 2)[0], at + 4
            elif length == LENGTH_64:
                if size - at < 10:
                    break
                length, begin = _U64.unpack_from(data, at + 2)[0], at + 10
            end = begin + length
            if end > size:
                break
            if opcode == CLOSE:
                raise BrokenPromise(f"{self._name}: the broker closes: {data[begin + 2 : end]!r}")
            if opcode in (FINAL_BINARY, FINAL_TEXT):
                yield data[begin:end]
            at = end
        self._rest = data[at:]


class _Upgrade:
    """The handshake of a client."""

    def __init__(self, sub_protocol: str) -> None:
        self._sub_protocol = sub_protocol
        self._head = b""
        self.done = False

    def request(self) -> bytes:
        """What a client asks."""
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            f"GET {PATH} HTTP/1.1", "host: localhost", "connection: upgrade", "upgrade: websocket",
            "sec-websocket-version: 13", f"sec-websocket-key: {key}",
            f"sec-websocket-protocol: {self._sub_protocol}", "", "",
        )  # fmt: skip
        return "\r\n".join(lines).encode()

    def receive(self, data: bytes) -> bytes | None:
        """What follows the answer; None: it is not complete. Raises BrokenPromise if the broker will not."""
        head, end, rest = (self._head + data).partition(HEAD_END)
        if not end:
            self._head = head
            return None
        if not head.startswith(b"HTTP/1.1 101 "):
            raise BrokenPromise(f"no WebSocket: {head.partition(b' ')[2][:80]!r}")
        self.done = True
        return rest


class _WebSocketWire:
    """What both forms of a `Wire` over WebSocket begin with."""

    def __init__(self, login: Login, protocol: str) -> None:
        self._upgrade = _Upgrade(protocol)
        self._frames = _Frames(login.name)
        self.live = False
        self.delivered = 0
        self.settled = 0
        self.token: str | None = None
        self.keepalive_s = 0

    def opening(self) -> bytes:
        """See `Wire.opening`."""
        return self._upgrade.request()


class BinaryWire(_WebSocketWire):
    """See `Wire`: roost's own inside of binary messages."""

    def __init__(self, login: Login, inner: Wire) -> None:
        super().__init__(login, websocket.BINARY)
        self._inner = inner

    def receive(self, data: bytes) -> bytes:
        """See `Wire.receive`."""
        if not self._upgrade.done:
            rest = self._upgrade.receive(data)
            return b"" if rest is None else framed(FINAL_BINARY, self._inner.opening())
        payload = b"".join(self._frames.read(data))
        answer = self._inner.receive(payload) if payload else b""
        inner = self._inner
        self.live, self.delivered, self.settled = inner.live, inner.delivered, inner.settled
        self.token, self.keepalive_s = inner.token, inner.keepalive_s
        return framed(FINAL_BINARY, answer) if answer else b""

    def ping(self) -> bytes:
        """See `Wire.ping`."""
        return framed(FINAL_BINARY, self._inner.ping())


class BinaryPublisher:
    """See `Publisher`."""

    def __init__(self, inner: Publisher) -> None:
        self._inner = inner
        self.n = 0

    def frames(self, count: int) -> bytes:
        """See `Publisher.frames`."""
        self.n += count
        return framed(FINAL_BINARY, self._inner.frames(count))


class BinaryDialect:
    """See `Dialect`."""

    name = "roost over WebSocket"

    def __init__(self) -> None:
        self._inner = RoostDialect()

    def wire(self, login: Login) -> BinaryWire:
        """See `Dialect.wire`."""
        return BinaryWire(login, self._inner.wire(login))

    def publisher(self, login: Login, to: str, body_bytes: int) -> BinaryPublisher:
        """See `Dialect.publisher`."""
        return BinaryPublisher(self._inner.publisher(login, to, body_bytes))


class MixedDialect:
    """See `Dialect`: devices of one terminal type come over WebSocket, in the binary form, all others over TCP."""

    name = "roost over TCP and WebSocket"

    def __init__(self, over_websocket: str) -> None:
        self._over_websocket = over_websocket
        self._tcp = RoostDialect()
        self._binary = BinaryDialect()

    def wire(self, login: Login) -> Wire:
        """See `Dialect.wire`."""
        return self._of(login).wire(login)

    def publisher(self, login: Login, to: str, body_bytes: int) -> Publisher:
        """See `Dialect.publisher`."""
        return self._of(login).publisher(login, to, body_bytes)

    def _of(self, login: Login) -> Dialect:
        return self._binary if login.terminal == self._over_websocket else self._tcp


class _Head(msgspec.Struct):
    """Of a frame in JSON, what has to be looked at."""

    frame: str
    seq: int = 0
    n: int = 0
    reason: int = 0


_head = msgspec.json.Decoder(_Head).decode


class JsonWire(_WebSocketWire):
    """See `Wire`: each text message is a frame. Acknowledges a quarter of the window at a time."""

    def __init__(self, login: Login) -> None:
        super().__init__(login, websocket.JSON)
        self._login = login
        self._every = max(1, login.window_entries // 8)
        self._acknowledged = 0
        self._position = 0
        self._pubacks = 0

    def receive(self, data: bytes) -> bytes:
        """See `Wire.receive`."""
        if not self._upgrade.done:
            rest = self._upgrade.receive(data)
            return b"" if rest is None else self._text(self._connect())
        for message in self._frames.read(data):
            self._take(message)
        if self._position - self._acknowledged < self._every:
            return b""
        self._acknowledged = self._position
        return self._text(Ack(seq=self._position))

    def ping(self) -> bytes:
        """See `Wire.ping`."""
        return self._text(Ping())

    @staticmethod
    def _text(frame: Frame) -> bytes:
        return framed(FINAL_TEXT, codec.encode_json(frame).encode())

    def _connect(self) -> Connect:
        login = self._login
        return Connect(
            user=login.user,
            password=login.password,
            terminal=login.terminal,
            device=f"bench-{login.terminal}",
            newest=None if login.backlog else 0,
            receive_max=login.window_entries,
            receive_bytes_max=login.window_bytes,
            keepalive_s=KEEPALIVE_S,
            client="roost-bench",
        )

    def _take(self, message: bytes) -> None:
        head = _head(message)
        if head.frame == "DELIVER":
            if head.seq != self._position + 1:
                raise BrokenPromise(f"{self._login.name}: number {head.seq} where {self._position + 1} was due")
            self._position += 1
            self.delivered += 1
        elif head.frame == "PUBACK":
            self._pubacks += 1
            if head.reason or head.n != self._pubacks:
                raise BrokenPromise(f"{self._login.name}: publish {self._pubacks} got {message!r}")
            self.settled = self._pubacks
        elif head.frame == "CONNACK" and not head.reason and not self.live:
            connack = codec.decode_json(message)
            if not isinstance(connack, Connack):
                raise BrokenPromise(f"{self._login.name}: no CONNACK: {message!r}")
            self.live = True
            self._position = self._acknowledged = connack.position
            self._pubacks = connack.settled_n
            if connack.granted is not None:
                self.keepalive_s = connack.granted.keepalive_s
        elif head.frame != "PONG":
            raise BrokenPromise(f"{self._login.name}: unexpected {message[:200]!r}")


class JsonPublisher:
    """See `Publisher`: text of so many bytes. Not for many messages a second."""

    def __init__(self, to: str, body_bytes: int) -> None:
        self._to = to
        self._body = "x" * body_bytes
        self.n = 0

    def frames(self, count: int) -> bytes:
        """See `Publisher.frames`."""
        made = []
        for _ in range(count):
            self.n += 1
            frame = Publish(n=self.n, to=self._to, text=self._body)
            made.append(framed(FINAL_TEXT, codec.encode_json(frame).encode()))
        return b"".join(made)


class JsonDialect:
    """See `Dialect`."""

    name = "roost over WebSocket, JSON"

    def wire(self, login: Login) -> JsonWire:
        """See `Dialect.wire`."""
        return JsonWire(login)

    def publisher(self, login: Login, to: str, body_bytes: int) -> JsonPublisher:
        """See `Dialect.publisher`."""
        del login
        return JsonPublisher(to, body_bytes)
