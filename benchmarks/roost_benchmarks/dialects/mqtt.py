"""MQTT 5.0 as a load generator speaks it, used the way that comes closest to what roost does.

A user is a topic, `inbox/NAME`, to which all his devices subscribe with QoS 1, in persistent sessions. MQTT has no
sender fan-out, so the sender publishes each message twice: to the recipient's topic and to his own, to which his
devices subscribe with *no local*, so that the phone that sends does not get its own copy. A group is one topic.

Every payload begins with who sent it and its number: eight bytes each. So it shows at once when a message is missing,
doubled or out of order for a device; and, by the packet identifiers, when an acknowledgement is. Clauses are those of
the MQTT 5.0 standard.
"""

import struct
from zlib import crc32

from roost_benchmarks.dialects.counting import CountingWire
from roost_benchmarks.dialects.port import BrokenPromise, Login

MARK = struct.Struct(">QQ")
"""What a payload begins with: the sender, and the number of the message among those to this address."""

_unpack_mark = MARK.unpack_from

_PUBLISH_QOS_1 = 0x32
_PUBACK = 0x40
_CONNACK = 0x20
_SUBACK = 0x90
_QOS_1_NO_LOCAL = 0x05
_FAILURE = 0x80

_U16 = struct.Struct(">H")
_IDS = 32_767
"""Messages until the packet identifiers begin again: two for each, of the 65,535 there are (2.2.1)."""


def _string(text: str) -> bytes:
    data = text.encode()
    return _U16.pack(len(data)) + data


def _packet(kind: int, body: bytes) -> bytes:
    """A packet with its remaining length as a variable byte integer (1.5.5)."""
    length, digits = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | (0x80 if length else 0))
        if not length:
            return bytes((kind,)) + bytes(digits) + body


def _sender(login: Login) -> int:
    return crc32(login.name.encode())


def _topic(to: str) -> str:
    kind, _, name = to.partition("/")
    return f"inbox/{name}" if kind == "user" else f"group/{name}"


class MqttWire(CountingWire):
    """See `Wire`. Every message is acknowledged at once, as the protocol demands it.

    `Login.backlog` changes nothing: the sessions are persistent, so what waits for one always comes.
    """

    __slots__ = ("_due", "_step")

    def __init__(self, login: Login) -> None:
        super().__init__(login)
        self._step = 0
        """How far it is from one packet identifier to the next: 0 until the first is acknowledged."""
        self._due = 0
        """The packet identifier of the next acknowledgement; 0: any."""

    def opening(self) -> bytes:
        """See `Wire.opening`: a persistent session (3.1.2.11.2) without keepalive, any number of messages in flight."""
        properties = b"\x11\xff\xff\xff\xff" + b"\x21\xff\xff"
        body = _string("MQTT") + b"\x05\x00\x00\x00" + bytes((len(properties),)) + properties
        return _packet(0x10, body + _string(self._login.name.replace("/", "-")))

    def receive(self, data: bytes) -> bytes:
        """See `Wire.receive`."""
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        answers: list[bytes] = []
        while size - at >= 2:
            length, head = data[at + 1], at + 2
            if length >= 0x80:
                length, head = _length(data, at + 1)
                if not head:
                    break
            end = head + length
            if end > size:
                break
            kind = data[at]
            if kind == _PUBLISH_QOS_1:
                topic_end = head + 2 + (data[head] << 8 | data[head + 1])
                answers.append(_PUBACK_HEAD + data[topic_end : topic_end + 2])
                payload = topic_end + 3 + data[topic_end + 2]
                if end - payload < MARK.size:
                    raise BrokenPromise(f"{self._login.name}: a message of somebody else: {data[payload:end].hex()}")
                self._count(*_unpack_mark(data, payload))
            elif kind == _PUBACK:
                if length > 2 and data[head + 2] >= _FAILURE:
                    raise BrokenPromise(f"{self._login.name}: PUBACK with reason code {data[head + 2]:#x}")
                self._settle(data[head] << 8 | data[head + 1])
            else:
                answers.append(self._other(kind, data[head:end]))
            at = end
        self._rest = data[at:]
        return b"".join(answers)

    def ping(self) -> bytes:
        """See `Wire.ping`: a PINGREQ, which no broker asks for here (3.12)."""
        return b"\xc0\x00"

    def _settle(self, identifier: int) -> None:
        """One publish is acknowledged. Mosquitto answers in the order of the publishes, so none is left out."""
        if not self._due:  # 1: there are two publishes for a message; 2: one
            self._due = self._step = 2 - identifier % 2
        if identifier != self._due:
            raise BrokenPromise(f"{self._login.name}: PUBACK of {identifier} where that of {self._due} was due")
        self._due = identifier + self._step
        if self._due > 2 * _IDS:
            self._due = self._step
        self.settled += not identifier & 1  # the last publish of a message has an even identifier

    def _other(self, kind: int, body: bytes) -> bytes:
        if kind == _CONNACK:
            if body[1] >= _FAILURE:
                raise BrokenPromise(f"{self._login.name}: CONNACK with reason code {body[1]:#x}")
            topics = [f"inbox/{self._login.user}", *(f"group/{name}" for name in self._login.groups)]
            filters = b"".join(_string(topic) + bytes((_QOS_1_NO_LOCAL,)) for topic in topics)
            return _packet(0x82, b"\x00\x01\x00" + filters)
        if kind == _SUBACK and max(body[3:]) < _FAILURE:
            self.live = True
            return b""
        raise BrokenPromise(f"{self._login.name}: unexpected packet {kind:#x} {body[:40].hex()}")


_PUBACK_HEAD = bytes((_PUBACK, 2))


def _length(data: bytes, at: int) -> tuple[int, int]:
    """The remaining length that stands here, and where the body begins (0: not known yet). Raises BrokenPromise."""
    length = shift = 0
    for digit in data[at : at + 4]:
        at += 1
        length |= (digit & 0x7F) << shift
        if digit < 0x80:
            return length, at
        shift += 7
    if shift == 28:
        raise BrokenPromise("a remaining length of more than 4 bytes")
    return 0, 0


class MqttPublisher:
    """See `Publisher`: two publishes for a message to a user, one for a message to a group."""

    def __init__(self, login: Login, to: str, body_bytes: int) -> None:
        topics = [_topic(to)]
        if to.startswith("user/"):
            topics.insert(0, f"inbox/{login.user}")  # first the copy, so that the identifier of the last is even
        rest = b"x" * max(0, body_bytes - MARK.size)
        self._sender = _sender(login)
        self._rest = rest
        self._heads: list[bytes] = []
        for topic in topics:
            whole = _packet(_PUBLISH_QOS_1, _string(topic) + b"\x00\x00\x00" + bytes(MARK.size) + rest)
            self._heads.append(whole[: len(whole) - len(rest) - MARK.size - 3])
        self.n = 0

    def frames(self, count: int) -> bytes:
        """See `Publisher.frames`."""
        parts: list[bytes] = []
        pack, mark, sender, rest = _U16.pack, MARK.pack, self._sender, self._rest
        first = 2 - len(self._heads)
        for n in range(self.n + 1, self.n + count + 1):
            payload = b"\x00" + mark(sender, n) + rest  # no properties
            identifier = 2 * ((n - 1) % _IDS) + 1 + first
            for number, head in enumerate(self._heads, identifier):
                parts += (head, pack(number), payload)
        self.n += count
        return b"".join(parts)


class MqttDialect:
    """See `Dialect`."""

    name = "mqtt"

    def wire(self, login: Login) -> MqttWire:
        """See `Dialect.wire`."""
        return MqttWire(login)

    def publisher(self, login: Login, to: str, body_bytes: int) -> MqttPublisher:
        """See `Dialect.publisher`. A body has at least the 16 bytes of its mark."""
        return MqttPublisher(login, to, body_bytes)
