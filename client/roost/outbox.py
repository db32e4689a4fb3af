"""The unsettled publishes of a device: which go on the wire next, and in which order.

Decisions only: no socket, no clock, no task. Three rules hold here.

**Invariant:** a publish has one number from its making to its outcome, on however many connections it is sent, so that
the broker stores it once.
**Invariant:** no number is sent that is `publish_max` or more beyond the oldest one unsettled: the broker keeps the
outcome of (device, n) in slot n mod `publish_max`, and would lose the older one's.
**Invariant:** on each connection publishes go out in the order of their numbers. After a refusal that asks to wait, all
of them wait, so that those refused together go out again together.
"""

import heapq
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator

from roost.bounds import ECHO_BODIES_MAX, ECHO_BYTES_MAX
from roost.events import Body
from roost.publication import Publication, body_bytes
from roost_protocol.frames import Publish


class Outbox:
    """The unsettled publishes of a device, in order of their numbers, and what of them is to be sent."""

    def __init__(self, last_n: int) -> None:
        self.last_n = last_n
        self.publish_max = 1
        self._unsettled: OrderedDict[int, Publication] = OrderedDict()
        self._unsent: list[int] = []  # a heap
        self._paused_until = -math.inf

    def __iter__(self) -> Iterator[Publication]:
        return (publication for publication in self._unsettled.values() if not publication.given_up)

    def get(self, n: int) -> Publication | None:
        """The unsettled publish with this number, also if it is given up and still on the wire."""
        return self._unsettled.get(n)

    @property
    def room(self) -> int:
        """How many more publishes may be made now."""
        if not self._unsettled:
            return self.publish_max
        return max(0, next(iter(self._unsettled)) + self.publish_max - 1 - self.last_n)

    def add(self, frame: Publish, abandon: Callable[[Publication], None]) -> Publication:
        """Take a publish in. Its number is larger than that of any before."""
        publication = Publication(frame, abandon)
        self._unsettled[frame.n] = publication
        self.last_n = max(self.last_n, frame.n)
        heapq.heappush(self._unsent, frame.n)
        return publication

    def take(self, now: float, bytes_max: int) -> list[Publication]:
        """What is to be sent now, in order, of about so many bytes; it counts as on the wire from here on."""
        taken: list[Publication] = []
        if now < self._paused_until or not self._unsent:
            return taken
        beyond = next(iter(self._unsettled), self.last_n) + self.publish_max
        total = 0
        while self._unsent and total < bytes_max:
            publication = self._unsettled.get(self._unsent[0])
            if publication is not None:
                if publication.n >= beyond:
                    break
                publication.on_wire = publication.sent = True
                taken.append(publication)
                total += publication.size
            heapq.heappop(self._unsent)
        return taken

    def next_at(self, now: float) -> float:
        """When a pause that a refusal asked for is over; infinity if there is none."""
        return self._paused_until if self._unsent and self._paused_until > now else math.inf

    def remove(self, n: int) -> Publication | None:
        """The publish with this number is settled, or nothing more is to come of it."""
        return self._unsettled.pop(n, None)

    def put_back(self, publication: Publication, not_before: float) -> None:
        """The broker asks to wait: send it again, and nothing else before that."""
        publication.on_wire = False
        self._paused_until = max(self._paused_until, not_before)
        heapq.heappush(self._unsent, publication.n)

    def connection_lost(self) -> None:
        """Everything unsettled is to be sent again, but for what was given up."""
        for publication in [*self._unsettled.values()]:
            publication.on_wire = False
            if publication.given_up:
                del self._unsettled[publication.n]
        self._unsent = sorted(self._unsettled)

    def too_large(self, body_bytes_max: int) -> list[Publication]:
        """Those that no broker with this limit will take."""
        return [publication for publication in self if publication.size > body_bytes_max]


class EchoBodies:
    """Bodies of publishes that are settled, until their entry comes back (without a body) in the stream. Bounded."""

    def __init__(self) -> None:
        self._bodies: OrderedDict[int, Body] = OrderedDict()
        self._bytes = 0

    def keep(self, n: int, body: Body) -> None:
        """Keep the body of publish `n`; the oldest go when there are too many."""
        self._bodies[n] = body
        self._bytes += body_bytes(body)
        while len(self._bodies) > ECHO_BODIES_MAX or self._bytes > ECHO_BYTES_MAX:
            _, oldest = self._bodies.popitem(last=False)
            self._bytes -= body_bytes(oldest)

    def take(self, n: int) -> Body | None:
        """The body of publish `n`, if it was kept."""
        body = self._bodies.pop(n, None)
        if body is not None:
            self._bytes -= body_bytes(body)
        return body
