"""roost's own protocol, as a load generator speaks it: frames counted by their type byte, numbers read in place.

What shows at once: a DELIVER whose number is not the one after that before it; a message that is not the one after
that before it, by the count that its sender wrote at the end of its body (in every workload, what is written to an
inbox while a device reads it comes from one device); a PUBACK out of turn, or with a refusal. A publish is settled when
its PUBACK and the device's own entry of it have both come. What was missed at the end shows when what was delivered is
compared with what was published.
"""

import struct

from roost_benchmarks.dialects.port import BrokenPromise, Login
from roost_protocol import codec
from roost_protocol.frames import Ack, Connack, Connect, FrameType, Ping, Puback, Publish

KEEPALIVE_S = 3_600
ACK_SHARE_BYTES = 32
"""The part of the window's bytes that is acknowledged at once. So small since no timer here acknowledges what is left
when the stream rests, and a broker may count in steps of 32 entries: with large bodies, one step fills the window."""

_HEADER = struct.Struct(">IB")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_NUMBER_AT = 10  # header 5, map 1, the key "seq" 4
_COUNT_AT = 8  # header 5, map 1, the key "n" 2
_UINT16, _UINT32, _UINT64 = 0xCD, 0xCE, 0xCF
_REFUSED = b"\xa6reason"  # a PUBACK of success leaves it out

_DELIVER = FrameType.DELIVER.value
_PUBACK = FrameType.PUBACK.value
_PONG = FrameType.PONG.value
_PING = codec.encode(Ping())
_LONGEST_SHOWN = 300

_END = struct.Struct(">II")
MARK = 0x9C1F_52E7
"""Stands before the count at the end of a body, so that other bodies (of a prepared store) are not read as one."""


class RoostWire:
    """See `Wire`. Acknowledges when a quarter of the entries granted, or a 32nd of the bytes, are unacknowledged."""

    __slots__ = (
        "_acknowledged",
        "_before",
        "_due",
        "_every",
        "_every_bytes",
        "_login",
        "_newest_own",
        "_pubacks",
        "_rest",
        "_settled",
        "_unacknowledged_bytes",
        "delivered",
        "keepalive_s",
        "live",
        "position",
        "settled",
        "token",
    )

    def __init__(self, login: Login, settled: dict[str, int] | None = None) -> None:
        self._login = login
        self._settled = {} if settled is None else settled
        self._rest = b""
        self._acknowledged = 0
        self._every = max(1, login.window_entries // 4)
        self._every_bytes = login.window_bytes // ACK_SHARE_BYTES
        self._unacknowledged_bytes = 0
        self._before = 0
        """This device's count of publishes when it logged in."""
        self._pubacks = 0
        """Its count that the broker has acknowledged."""
        self._newest_own = 0
        """The number of the last of those in its own inbox."""
        self._due = 0
        """The sender's count of the next message; 0: any."""
        self.live = False
        self.delivered = 0
        self.settled = 0
        self.position = 0
        self.token: str | None = None
        self.keepalive_s = 0

    def opening(self) -> bytes:
        """See `Wire.opening`."""
        return opening(self._login)

    def receive(self, data: bytes) -> bytes:
        """See `Wire.receive`."""
        if self._rest:
            data = self._rest + data
        at, size, last_puback = 0, len(data), -1
        header, ending = _HEADER.unpack_from, _END.unpack_from
        position, pubacks, due = self.position, self._pubacks, self._due
        while size - at >= _HEADER.size:
            length, kind = header(data, at)
            end = at + 4 + length
            if end > size:
                break
            if kind == _DELIVER:
                number = data[at + _NUMBER_AT]
                if number >= 0x80:  # MessagePack: not the number itself, but how it is written
                    number = _number(data, at + _NUMBER_AT)
                position += 1
                if number != position:
                    raise BrokenPromise(f"{self._login.name}: number {number} where {position} was due")
                mark, count = ending(data, end - 8)
                if mark == MARK:
                    if count != due and due:
                        raise BrokenPromise(f"{self._login.name}: the sender's message {count} where {due} was due")
                    due = count + 1
            elif kind == _PUBACK:
                number = data[at + _COUNT_AT]
                if number >= 0x80:
                    number = _number(data, at + _COUNT_AT)
                pubacks += 1
                if number != pubacks or data.find(_REFUSED, at, end) >= 0:
                    puback = codec.decode_body(kind, data[at + 5 : end])
                    raise BrokenPromise(f"{self._login.name}: publish {pubacks} got {puback}")
                last_puback = at
            elif kind != _PONG or not self.live:
                self._other(kind, data[at + 5 : end])
                position, pubacks = self.position, self._pubacks
            at = end
        self._rest = data[at:]
        self.delivered += position - self.position
        self.position, self._pubacks, self._due = position, pubacks, due
        return self._after_read(data, last_puback)

    def ping(self) -> bytes:
        """See `Wire.ping`."""
        return _PING

    def _after_read(self, data: bytes, last_puback: int) -> bytes:
        """Settle what the last PUBACK in `data` (-1: none) is about; the ACK that is due, if one is."""
        position = self.position
        if last_puback >= 0:
            self._newest_own = _number_in_own_inbox(data, last_puback)
        if position >= self._newest_own:
            self.settled = self._pubacks - self._before
        self._unacknowledged_bytes += len(data) - len(self._rest)
        if position - self._acknowledged < self._every and self._unacknowledged_bytes < self._every_bytes:
            return b""
        self._unacknowledged_bytes = 0
        if position == self._acknowledged:  # nothing but answers to what it published
            return b""
        self._acknowledged = position
        return codec.encode(Ack(seq=position))

    def _other(self, kind: int, body: bytes) -> None:
        frame = codec.decode_body(kind, body)
        if self.live or not isinstance(frame, Connack) or frame.reason:
            raise BrokenPromise(f"{self._login.name}: unexpected {str(frame)[:_LONGEST_SHOWN]}")
        self.live = True
        self._before = self._pubacks = frame.settled_n
        if frame.settled_n:
            self._settled[self._login.name] = frame.settled_n
        self.token = frame.token
        self.position = self._acknowledged = frame.position
        if frame.granted is not None:
            self.keepalive_s = frame.granted.keepalive_s
            self._every = max(1, min(self._every, frame.granted.receive_max // 4))
            self._every_bytes = min(self._every_bytes, frame.granted.receive_bytes_max // ACK_SHARE_BYTES)


def opening(login: Login) -> bytes:
    """The CONNECT of a log-in."""
    return codec.encode(
        Connect(
            user=login.user,
            password=None if login.token else login.password,
            token=login.token,
            terminal=login.terminal,
            device=f"bench-{login.terminal}",
            newest=None if login.backlog else 0,
            receive_max=login.window_entries,
            receive_bytes_max=login.window_bytes,
            keepalive_s=KEEPALIVE_S,
            want_token=login.want_token,
            client="roost-bench",
        )
    )


def encoded_number(data: bytes, at: int) -> int:
    """The MessagePack integer that begins at `at`."""
    number = data[at]
    return number if number < 0x80 else _number(data, at)


def _number(data: bytes, at: int) -> int:
    """A MessagePack integer that takes more than one byte."""
    first = data[at]
    if first == _UINT16:
        return data[at + 1] << 8 | data[at + 2]
    if first == _UINT32:
        return int(_U32.unpack_from(data, at + 1)[0])
    if first == _UINT64:
        return int(_U64.unpack_from(data, at + 1)[0])
    return data[at + 1]


def _number_in_own_inbox(data: bytes, at: int) -> int:
    """What the PUBACK that begins at `at` says of the sender's inbox; 0 if nothing."""
    length, kind = _HEADER.unpack_from(data, at)
    puback = codec.decode_body(kind, data[at + 5 : at + 4 + length])
    return puback.seq or 0 if isinstance(puback, Puback) else 0


class RoostPublisher:
    """See `Publisher`: constant pieces around the count, which is in the frame and, if there is room, ends the body.

    `settled_n`: what the device has published before.
    """

    def __init__(self, to: str, body_bytes: int, settled_n: int = 0) -> None:
        place = _U32.pack(0x7FFF_FFFE)
        self._is_numbered = body_bytes >= _END.size
        body = b"x" * (body_bytes - _END.size) + _U32.pack(MARK) + place if self._is_numbered else b"x" * body_bytes
        frame = codec.encode(Publish(n=_U32.unpack(place)[0], to=to, data=body))
        self._before, self._between, *_ = frame.split(place)
        self._settled_n = settled_n
        self.n = 0

    def frames(self, count: int) -> bytes:
        """See `Publisher.frames`."""
        parts: list[bytes] = []
        first = self._settled_n + self.n + 1
        for n in range(first, first + count):
            packed = _U32.pack(n)
            parts += (self._before, packed, self._between, packed if self._is_numbered else b"")
        self.n += count
        return b"".join(parts)

    def frame_of(self, n: int) -> bytes:
        """The message of this count once more."""
        packed = _U32.pack(n)
        return b"".join((self._before, packed, self._between, packed if self._is_numbered else b""))


class RoostDialect:
    """See `Dialect`."""

    name = "roost"

    def __init__(self) -> None:
        self._settled: dict[str, int] = {}
        """What devices have published in earlier runs: on a broker that stays, their count goes on."""

    def wire(self, login: Login) -> RoostWire:
        """See `Dialect.wire`."""
        return RoostWire(login, self._settled)

    def publisher(self, login: Login, to: str, body_bytes: int) -> RoostPublisher:
        """See `Dialect.publisher`; the broker knows who publishes by the connection."""
        return RoostPublisher(to, body_bytes, self._settled.get(login.name, 0))
