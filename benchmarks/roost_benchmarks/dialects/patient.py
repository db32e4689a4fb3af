"""roost's protocol as a device speaks it that does what it is told when there is too much: wait, and try again.

Unlike `RoostWire` it takes a refusal with a time for what it is. It stops there, waits for so long and up to a quarter
more, and sends what was refused again, in order and with the same counts. What shows at once: a DELIVER whose number
is not the next; a PUBACK of a publish that is not under way; a refusal for good. What was acknowledged and what came
is kept for each count, so that both can be compared at the end.
"""

import heapq
import math
import random
import struct
import time
from collections import Counter

from roost_benchmarks.dialects.port import BrokenPromise, Login
from roost_benchmarks.dialects.roost import MARK, RoostPublisher, encoded_number, opening
from roost_protocol import codec
from roost_protocol.frames import Ack, Connack, FrameType, Ping, Puback

_HEADER = struct.Struct(">IB")
_END = struct.Struct(">II")
_NUMBER_AT = 10  # as in `dialects.roost`
_COUNT_AT = 8
_REFUSED = b"\xa6reason"
_DELIVER = FrameType.DELIVER.value
_PUBACK = FrameType.PUBACK.value
_PONG = FrameType.PONG.value
_LATER_BY = 0.25
"""The largest part of a wait that is added to it, as the clients do."""


class PatientWire:
    """See `Wire`. What it publishes goes through `offer` and `due`."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._rest = b""
        self._acknowledged = 0
        self._every = max(1, login.window_entries // 4)
        self._publisher: RoostPublisher | None = None
        self.publish_max = 1
        """Publishes it may have under way, as granted."""
        self._unsettled: dict[int, int] = {}
        """Count → when it was sent first, ns; in the order of the counts."""
        self._again: list[int] = []
        """Counts that were refused, to be sent again; a heap."""
        self._paused_until = -math.inf
        self._random = random.Random(login.name)  # noqa: S311 - when to try again
        self.live = False
        self.delivered = 0
        self.settled = 0
        self.position = 0
        self.token: str | None = None
        self.keepalive_s = 0
        self.waiting = 0
        """Messages that are due and wait for room in the window."""
        self.stored = bytearray(1)
        """For each count, 1 if it was acknowledged as stored."""
        self.came = bytearray(1)
        """For each count of the one who writes to this device, how often that message came."""
        self.accepted: list[tuple[int, int]] = []
        """When each acknowledged publish was sent first, and when it was acknowledged, ns."""
        self.refusals: list[int] = []
        """When publishes were refused for now, ns."""
        self.reasons: Counter[str] = Counter()

    @property
    def unsettled(self) -> int:
        """Publishes on their way, with those that wait to be sent again."""
        return len(self._unsettled)

    @property
    def oldest_ns(self) -> int | None:
        """When the oldest of them was sent first."""
        return next(iter(self._unsettled.values()), None)

    def publish_to(self, to: str, body_bytes: int) -> None:
        """Whom `offer` publishes to."""
        self._publisher = RoostPublisher(to, body_bytes)

    def offer(self, count: int, now_ns: int) -> bytes:
        """So many messages more are due; the frames to be sent now."""
        self.waiting += count
        return self.due(now_ns)

    def due(self, now_ns: int) -> bytes:
        """The frames to be sent now, of what was refused before and of what waits."""
        publisher = self._publisher
        if publisher is None or now_ns < self._paused_until:
            return b""
        parts = []
        while self._again:
            parts.append(publisher.frame_of(heapq.heappop(self._again)))
        oldest = next(iter(self._unsettled), publisher.n + 1)
        count = min(self.waiting, oldest + self.publish_max - 1 - publisher.n)
        if count > 0:
            first = publisher.n + 1
            parts.append(publisher.frames(count))
            self._unsettled.update(dict.fromkeys(range(first, first + count), now_ns))
            self.stored.extend(bytes(count))
            self.waiting -= count
        return b"".join(parts)

    def opening(self) -> bytes:
        """See `Wire.opening`."""
        return opening(self._login)

    def ping(self) -> bytes:
        """See `Wire.ping`."""
        return codec.encode(Ping())

    def receive(self, data: bytes) -> bytes:
        """See `Wire.receive`."""
        if self._rest:
            data = self._rest + data
        now_ns = time.perf_counter_ns()
        at, size = 0, len(data)
        while size - at >= _HEADER.size:
            length, kind = _HEADER.unpack_from(data, at)
            end = at + 4 + length
            if end > size:
                break
            if kind == _DELIVER:
                self._delivered(data, at, end)
            elif kind == _PUBACK:
                self._answered(data, at, end, now_ns)
            elif kind != _PONG or not self.live:
                self._other(kind, data[at + 5 : end])
            at = end
        self._rest = data[at:]
        answer = b""
        if self.position - self._acknowledged >= self._every:
            self._acknowledged = self.position
            answer = codec.encode(Ack(seq=self.position))
        return answer + self.due(now_ns)

    def _delivered(self, data: bytes, at: int, end: int) -> None:
        number = encoded_number(data, at + _NUMBER_AT)
        self.position += 1
        if number != self.position:
            raise BrokenPromise(f"{self._login.name}: number {number} where {self.position} was due")
        self.delivered += 1
        mark, count = _END.unpack_from(data, end - 8)
        if mark == MARK:
            if count >= len(self.came):
                self.came.extend(bytes(count + 1024 - len(self.came)))
            self.came[count] = min(self.came[count] + 1, 255)

    def _answered(self, data: bytes, at: int, end: int, now_ns: int) -> None:
        n = encoded_number(data, at + _COUNT_AT)
        if data.find(_REFUSED, at, end) < 0:
            sent_ns = self._unsettled.pop(n, None)
            if sent_ns is None:
                raise BrokenPromise(f"{self._login.name}: a PUBACK of publish {n}, which is not under way")
            self.accepted.append((sent_ns, now_ns))
            self.stored[n] = 1
            self.settled += 1
            return
        puback = codec.decode_body(_PUBACK, data[at + 5 : end])
        if not isinstance(puback, Puback) or puback.retry_after_s is None or n not in self._unsettled:
            raise BrokenPromise(f"{self._login.name}: publish {n} got {puback}")
        self.reasons[str(puback.reason)] += 1
        self.refusals.append(now_ns)
        heapq.heappush(self._again, n)
        wait_s = max(0.1, puback.retry_after_s) * (1 + self._random.random() * _LATER_BY)
        self._paused_until = max(self._paused_until, now_ns + wait_s * 1e9)

    def _other(self, kind: int, body: bytes) -> None:
        frame = codec.decode_body(kind, body)
        if self.live or not isinstance(frame, Connack) or frame.reason or frame.granted is None:
            raise BrokenPromise(f"{self._login.name}: unexpected {str(frame)[:300]}")
        self.live = True
        self.position = self._acknowledged = frame.position
        self.keepalive_s = frame.granted.keepalive_s
        self.publish_max = frame.granted.publish_max
        self._every = max(1, min(self._every, frame.granted.receive_max // 4))


class PatientDialect:
    """See `Dialect`; on a broker that is fresh."""

    name = "roost"

    def wire(self, login: Login) -> PatientWire:
        """See `Dialect.wire`."""
        return PatientWire(login)

    def publisher(self, login: Login, to: str, body_bytes: int) -> RoostPublisher:
        """See `Dialect.publisher`."""
        return RoostPublisher(to, body_bytes)
