"""What a node counts from its start: plain numbers and small histograms, which whoever asks looks at.

Counting must cost the hot path nothing that can be measured, so nothing is counted for each delivery, and for each
message only what the session needs anyway. Sessions have counts that only rise (see `Session`); they are summed up when
somebody asks (`survey`), and go into `Metrics` when a session ends. Bytes are counted once for each call of the kernel,
latencies once for each commit and each read. There is no lock: all of it belongs to the event loop.
"""

import math
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.session import Session

LATENCY_BOUNDS_S = (
    0.0002, 0.0003, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075,
    0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0,
)  # fmt: skip
"""From a commit on a fast disk (0.2 ms) to what no device waits for; near enough together for a percentile."""

OPERATIONS_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 4_096)
"""Around `Limits.batch_operations_max`, by default 1,024."""

ENTRIES_BOUNDS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 65_536)
"""Around `Limits.batch_entries_max`, by default 20,000, and `Limits.receive_max`, 4,096."""

BACKLOG_BOUNDS = (0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
"""Up to what an inbox keeps by default."""

Place = Literal[
    "connections_max",
    "connections_before_login_max",
    "connections_before_login_per_address_max",
    "connections_per_address_max",
]
"""The limit that leaves no place for a further connection."""

Hold = Literal["rate", "queue"]
HOLDS: tuple[Hold, ...] = ("queue", "rate")
"""What a publish may have to wait for: room in the queue to the writer, the rate of its user."""

PUBLISH_OUTCOMES = (
    Reason.UNKNOWN_RECIPIENT,
    Reason.NOT_A_MEMBER,
    Reason.BLOCKED,
    Reason.PACKET_TOO_LARGE,
    Reason.QUOTA_EXCEEDED,
    Reason.MESSAGE_RATE_TOO_HIGH,
    Reason.SERVER_BUSY,
    Reason.SESSION_TAKEN_OVER,
    Reason.PACKET_IDENTIFIER_IN_USE,
    Reason.SETTLED_LONG_AGO,
)
"""Refusals that are counted from 0 on: whoever draws a rate sees the first one, too. Others are there once they
happened."""

LOGIN_RESULTS = (
    Reason.SUCCESS,
    Reason.BAD_USER_NAME_OR_PASSWORD,
    Reason.CONNECTION_RATE_EXCEEDED,
    Reason.LOGIN_TIMEOUT,
    Reason.SERVER_BUSY,
    Reason.SESSION_TAKEN_OVER,
    Reason.UNKNOWN_TERMINAL_TYPE,
)
"""Likewise."""

CONNECTED_AGAIN = "connected_again"
DEVICE_LEFT = "device_left"
LOGIN_REFUSED = "login_refused"
PEER_GONE = "peer_gone"
HANDSHAKE_FAILED = "handshake_failed"
ENDINGS = (
    CONNECTED_AGAIN,
    DEVICE_LEFT,
    HANDSHAKE_FAILED,
    LOGIN_REFUSED,
    PEER_GONE,
    *(
        reason.name.lower()
        for reason in (
            Reason.ADMINISTRATIVE_ACTION,
            Reason.KEEP_ALIVE_TIMEOUT,
            Reason.LOGGED_OUT,
            Reason.LOGIN_TIMEOUT,
            Reason.MALFORMED_PACKET,
            Reason.PACKET_TOO_LARGE,
            Reason.PROTOCOL_ERROR,
            Reason.SERVER_BUSY,
            Reason.SERVER_SHUTTING_DOWN,
            Reason.SESSION_TAKEN_OVER,
            Reason.WRITE_TIMEOUT,
        )
    ),
)
"""Why connections end: the names of reasons, and a few that no frame says. Likewise."""


class Histogram:
    """How many amounts there were up to each bound, and their sum. `counts` has one more, for those past the last."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    @property
    def count(self) -> int:
        """How many amounts in all."""
        return sum(self.counts)

    def observe(self, amount: float, times: int = 1) -> None:
        """Count an amount, so many times."""
        self.counts[bisect_left(self.bounds, amount)] += times
        self.total += amount * times

    def copy(self) -> "Histogram":
        """The same as of now."""
        same = Histogram(self.bounds)
        same.counts = self.counts.copy()
        same.total = self.total
        return same

    def since(self, before: "Histogram") -> "Histogram":
        """What came after `before`, a copy of this one."""
        difference = Histogram(self.bounds)
        difference.counts = [now - then for now, then in zip(self.counts, before.counts, strict=True)]
        difference.total = self.total - before.total
        return difference

    def cumulative(self) -> list[tuple[float, int]]:
        """(bound, how many amounts up to it), rising; the last bound is infinite."""
        pairs = []
        sum_ = 0
        for bound, count in zip((*self.bounds, math.inf), self.counts, strict=True):
            sum_ += count
            pairs.append((bound, sum_))
        return pairs

    def quantile(self, fraction: float) -> float | None:
        """What that fraction of the amounts does not exceed, as near as the bounds tell; None without any amount.

        Within a bucket the amounts count as spread evenly; past the last bound, that bound is the answer.
        """
        wanted = fraction * self.count
        if not self.count:
            return None
        below, least = 0, 0.0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            if count and below + count >= wanted:
                return least + (bound - least) * max(0.0, wanted - below) / count
            below, least = below + count, bound
        return float(self.bounds[-1])


class Traffic:
    """Bytes that came and went on all connections."""

    __slots__ = ("received", "sent")

    def __init__(self) -> None:
        self.received = 0
        self.sent = 0


class Arrival(NamedTuple):
    """So many publishes that stand in a row in the queue came at this time (Trio's, in seconds)."""

    publishes: int
    at: float


class Arrivals:
    """When what waits in the batcher's queue came: one run for all publishes of one read, not a time for each.

    **Invariant:** the runs cover the first `known` operations of the queue, in its order. There are never more runs
    than operations.
    """

    __slots__ = ("_runs", "known")

    def __init__(self) -> None:
        self.known = 0
        self._runs: deque[tuple[int, float | None]] = deque()

    def note(self, queued: int, at: float) -> None:
        """Of `queued` operations in the queue, those not known yet are publishes that came just now."""
        if queued > self.known:
            self._runs.append((queued - self.known, at))
            self.known = queued

    def note_other(self) -> None:
        """The next operation not known yet is no publish: how long it takes counts for nothing."""
        self._runs.append((1, None))
        self.known += 1

    def take(self, count: int) -> list[Arrival]:
        """`count` operations leave the queue at its head: the publishes among them."""
        taken = []
        self.known -= count
        while count:
            run, at = self._runs.popleft()
            if run > count:
                self._runs.appendleft((run - count, at))
                run = count
            if at is not None:
                taken.append(Arrival(run, at))
            count -= run
        return taken


class BatchMetrics:
    """What the batcher measures."""

    __slots__ = ("commit_s", "deliver_s", "entries", "operations", "refused")

    def __init__(self) -> None:
        self.commit_s = Histogram(LATENCY_BOUNDS_S)
        """From the moment a commit is begun until the event loop knows that it is durable."""
        self.deliver_s = Histogram(LATENCY_BOUNDS_S)
        """From the moment a publish was read until its batch was put on the wire for those who are live."""
        self.operations = Histogram(OPERATIONS_BOUNDS)
        self.entries = Histogram(ENTRIES_BOUNDS)
        self.refused = 0
        """Commits that the store refused as a whole."""

    def settled(self, arrivals: list[Arrival], now: float) -> None:
        """A batch with these publishes is durable, answered and on the wire."""
        for publishes, at in arrivals:
            self.deliver_s.observe(now - at, publishes)


class RetentionMetrics:
    """What retention has done. Times are Trio's, in seconds."""

    __slots__ = ("devices_forgotten", "entries_trimmed", "walk_s", "walked_from")

    def __init__(self, now: float) -> None:
        self.entries_trimmed = 0
        self.devices_forgotten = 0
        self.walk_s = 0.0
        """How long the last whole walk through all inboxes took."""
        self.walked_from = now
        """When that walk began: what had to go by then is gone. Before the first, when the node started."""


HANDSHAKE_REFUSALS = ("method", "headers", "version", "sub_protocol", "origin")
"""Why no WebSocket was opened: what was wrong with what was asked for."""


HTTP_ENDINGS = ("answered", "bad_request", "peer_gone", "place_taken", "timeout")
"""Why HTTP connections are closed: the last request was answered; it could not be; the peer went; another took the
place, for this one kept the broker waiting; it took too long."""


class WebMetrics:
    """What the web listener counts."""

    __slots__ = ("closed", "csp_reports", "handshakes", "handshakes_refused")

    def __init__(self) -> None:
        self.handshakes: Counter[str] = Counter()
        """WebSockets opened, by sub-protocol."""
        self.handshakes_refused: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        """HTTP connections closed, by why: one of `HTTP_ENDINGS`."""
        self.csp_reports: Counter[str] = Counter()
        """By directive."""


class Metrics:
    """All counts of a node. `now` is Trio's time."""

    def __init__(self, now: float) -> None:
        self.traffic = Traffic()
        self.batches = BatchMetrics()
        self.retention = RetentionMetrics(now)
        self.web = WebMetrics()
        self.loop_lag_s = Histogram(LATENCY_BOUNDS_S)
        """How much later than it was due the event loop came back to a task that sleeps, twice a second."""
        self.accepted = 0
        """Connections accepted, with those that found no place."""
        self.no_place: Counter[Place] = Counter()
        self.closed: Counter[str] = Counter()
        """Connections that had a place and are closed, by why."""
        self.logins: Counter[Reason] = Counter()
        self.takeovers = 0
        self.retransmissions = 0
        """Publishes that were stored before, and were answered with that outcome again."""
        self.publishes_refused: Counter[Reason] = Counter()
        self.held: Counter[Hold] = Counter()
        """Publishes for which a socket was not read on for a while, by what they waited for."""
        self.ended_sent_entries = 0
        """Entries that sessions which have ended were sent."""
        self.ended_freed_entries = 0
        """Entries that they have acknowledged."""

    def ended(self, session: "Session") -> None:
        """A session ends: what it counted stays."""
        self.ended_sent_entries += session.sent_entries
        self.ended_freed_entries += session.freed_entries
