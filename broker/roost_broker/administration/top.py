"""What the node is busy with: two looks at its counts, an interval apart, and what lies between them.

Each who looks on has the counts of the look before; nothing is kept for anybody else. Sessions are walked through in
slices, and only for the few slow devices that are shown the store is read.
"""

from collections.abc import AsyncIterator, Callable
from heapq import nlargest
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
import trio

from roost_broker.administration.acts import Act, Acts
from roost_broker.metrics import Histogram
from roost_broker.store import ReadFailed
from roost_broker.survey import Survey, slices, survey
from roost_protocol import codec
from roost_protocol.admin.route import Route
from roost_protocol.admin.top import (
    TOP,
    Top,
    TopDevice,
    TopFlapping,
    TopLatency,
    TopQuery,
    TopRates,
    TopSlow,
    TopThrottled,
    TopUser,
)
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.core import Core
    from roost_broker.server import Server
    from roost_broker.session import Session

Row = TypeVar("Row")


# gc=False: without cycles, and ten thousand of them at each look, which the collector need not go through.


class Seen(msgspec.Struct, frozen=True, gc=False):
    """One session at one look: what it has done since it began, and where it is."""

    session: "Session"
    publishes: int
    deliveries: int
    acknowledgements: int
    acknowledged: int
    backlog: int
    unacknowledged: int


class Moved(msgspec.Struct, frozen=True, gc=False):
    """What a session did between two looks, and where it is."""

    seen: Seen
    publishes: int
    deliveries: int
    acknowledgements: int
    backlog: int
    slow: bool


class Sum:
    """The same of all sessions of a user."""

    __slots__ = ("acknowledgements", "backlog", "deliveries", "publishes", "sessions", "user")

    def __init__(self, user: str) -> None:
        self.user = user
        self.sessions = self.publishes = self.deliveries = self.acknowledgements = self.backlog = 0

    def add(self, moved: Moved) -> None:
        """One session more."""
        self.sessions += 1
        self.publishes += moved.publishes
        self.deliveries += moved.deliveries
        self.acknowledgements += moved.acknowledgements
        self.backlog += moved.backlog


class Totals(NamedTuple):
    """What the node had done by one look."""

    at: float
    """Trio's time, in seconds."""
    published: int
    refused: int
    deliveries: int
    acknowledgements: int
    received: int
    sent: int
    log_ins: int
    log_ins_refused: int
    takeovers: int
    commits: int
    deliver_s: Histogram
    commit_s: Histogram


class Look(NamedTuple):
    """The node at one moment; its sessions by epoch: no two ever have the same."""

    survey: Survey
    totals: Totals
    sessions: dict[int, Seen]


async def look_at(core: "Core") -> Look:
    """Look now. A checkpoint; safe to cancel."""
    sessions: dict[int, Seen] = {}

    def see(session: "Session") -> None:
        sessions[session.epoch] = _seen(session)

    seen = await survey(core, see)
    return Look(seen, _totals(core, seen), sessions)


class TopActs(Acts):
    """Acts that show what goes on."""

    def __init__(self, core: "Core", server: "Server") -> None:
        super().__init__(core)
        self._server = server

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {TOP: self.watch}

    async def watch(self, query: TopQuery) -> AsyncIterator[Top]:
        """An interval after the other, the first one interval from now, until whoever asks has enough."""
        return self._intervals(query)

    async def _intervals(self, query: TopQuery) -> AsyncIterator[Top]:
        before = await look_at(self._core)
        due = trio.current_time()
        while True:
            # An interval after the look before was due; at once when the node could not keep up with that.
            due = max(due + query.interval_s, trio.current_time())
            await trio.sleep_until(due)
            now = await look_at(self._core)
            yield await self._between(before, now, query)
            before = now

    async def _between(self, before: Look, now: Look, query: TopQuery) -> Top:
        core, seen = self._core, now.survey
        span_s = now.totals.at - before.totals.at
        moved, users = await _movements(before, now)
        key: Callable[[Moved | Sum], int] = attrgetter(query.sort)
        busiest_users = await _most(users, query.limit, key)
        busiest_devices = await _most(moved, query.limit, key)
        return Top(
            time=core.now_ms(),
            interval_s=span_s,
            connections=self._server.connections,
            sessions=seen.terminals.total(),
            terminals=dict(seen.terminals),
            rates=_rates(before.totals, now.totals, span_s),
            send_to_deliver=_latency(now.totals.deliver_s.since(before.totals.deliver_s)),
            commit=_latency(now.totals.commit_s.since(before.totals.commit_s)),
            backlog=int(seen.backlog.total),
            unacknowledged=int(seen.window.total),
            slow_devices=seen.slow,
            users=tuple(_user_row(each, span_s) for each in busiest_users if key(each)),
            devices=tuple(_device_row(each, span_s) for each in busiest_devices if key(each)),
            slow=await self._slow(moved, query.limit),
            flapping=self._flapping(query.limit),
            throttled=self._throttled(query.limit),
        )

    async def _slow(self, moved: list[Moved], limit: int) -> tuple[TopSlow, ...]:
        most = [each.seen for each in await _most(moved, limit, _behind) if each.slow]
        inboxes = [(seen.session.user, seen.acknowledged) for seen in most]
        ages = await self._core.readers.run(self._ages_s, inboxes) if inboxes else []
        return tuple(_slow_row(seen, age_s) for seen, age_s in zip(most, ages, strict=True))

    def _ages_s(self, inboxes: list[tuple[int, int]]) -> list[float | None]:
        """For each user and number, how old the entry after it is."""
        return [self._age_s(user, acknowledged) for user, acknowledged in inboxes]

    def _age_s(self, user: int, acknowledged: int) -> float | None:
        core = self._core
        try:
            page = core.store.read_inbox(user, acknowledged, 1, 1)
        except ReadFailed:  # a store that is damaged there is none of this view's business: the session will tell
            return None
        encoded = page.entries[0].encoded if page.entries else None
        if encoded is None:
            return None
        try:
            entry = codec.decode_entry(encoded)
        except msgspec.DecodeError:
            return None
        return max(0.0, (core.now_ms() - entry.time) / 1000)

    def _flapping(self, limit: int) -> tuple[TopFlapping, ...]:
        core = self._core
        rows = []
        for pair in core.damper.flapping(trio.current_time(), limit):
            session = core.directory.get(pair.user, pair.terminal)
            if pair.user in core.names:  # else he has no session any more, and nobody follows him
                rows.append(
                    TopFlapping(
                        user=core.names[pair.user],
                        terminal=pair.terminal,
                        device=session.device_id if session else "",
                        takeovers=pair.takeovers,
                        damped=pair.damped,
                        wait_s=pair.wait_s,
                    )
                )
        return tuple(rows)

    def _throttled(self, limit: int) -> tuple[TopThrottled, ...]:
        return tuple(
            TopThrottled(
                by=guesser.source.kind,
                who=guesser.source.key,
                failures=guesser.failures,
                refused=guesser.refused,
                wait_s=guesser.wait_s,
            )
            for guesser in self._core.guesses.guessers(trio.current_time(), limit)
        )


def _totals(core: "Core", seen: Survey) -> Totals:
    metrics = core.metrics
    log_ins = metrics.logins[Reason.SUCCESS]
    return Totals(
        at=trio.current_time(),
        published=core.published,
        refused=metrics.publishes_refused.total(),
        deliveries=seen.sent_entries,
        acknowledgements=seen.freed_entries,
        received=metrics.traffic.received,
        sent=metrics.traffic.sent,
        log_ins=log_ins,
        log_ins_refused=metrics.logins.total() - log_ins,
        takeovers=metrics.takeovers,
        commits=core.batcher.batches,
        deliver_s=metrics.batches.deliver_s.copy(),
        commit_s=metrics.batches.commit_s.copy(),
    )


def _seen(session: "Session") -> Seen:
    sent, freed = session.sent_entries, session.freed_entries
    backlog = max(0, session.inbox.head - session.position)
    return Seen(session, session.published, sent, freed, session.acknowledged, backlog, sent - freed)


async def _movements(before: Look, now: Look) -> tuple[list[Moved], list[Sum]]:
    """What each session did, and each user. A checkpoint."""
    moved: list[Moved] = []
    users: dict[int, Sum] = {}
    for some in slices(list(now.sessions.items())):
        for epoch, seen in some:
            each = _moved(before.sessions.get(epoch), seen)
            moved.append(each)
            session = seen.session
            if session.user not in users:
                users[session.user] = Sum(session.user_name)
            users[session.user].add(each)
        await trio.lowlevel.checkpoint()
    return moved, list(users.values())


def _moved(before: Seen | None, seen: Seen) -> Moved:
    if before is None:  # it began meanwhile
        slow = seen.backlog > 0
        return Moved(seen, seen.publishes, seen.deliveries, seen.acknowledgements, seen.backlog, slow)
    stuck = 0 < before.unacknowledged <= seen.unacknowledged and seen.acknowledged == before.acknowledged
    return Moved(
        seen,
        seen.publishes - before.publishes,
        seen.deliveries - before.deliveries,
        seen.acknowledgements - before.acknowledgements,
        seen.backlog,
        seen.backlog > 0 or stuck,
    )


async def _most(rows: list[Row], limit: int, key: Callable[[Row], Any]) -> list[Row]:
    """The `limit` rows with the most, most first. A checkpoint for each slice of them."""
    most: list[Row] = []
    for some in slices(rows):
        most = nlargest(limit, [*most, *some], key=key)
        await trio.lowlevel.checkpoint()
    return most


def _behind(moved: Moved) -> tuple[bool, int, int]:
    """By what the slowest devices are chosen: entries not sent, then those not acknowledged."""
    return moved.slow, moved.backlog, moved.seen.unacknowledged


def _user_row(each: Sum, span_s: float) -> TopUser:
    return TopUser(
        user=each.user,
        sessions=each.sessions,
        publishes=each.publishes / span_s,
        deliveries=each.deliveries / span_s,
        acknowledgements=each.acknowledgements / span_s,
        backlog=each.backlog,
    )


def _device_row(each: Moved, span_s: float) -> TopDevice:
    session = each.seen.session
    return TopDevice(
        user=session.user_name,
        terminal=session.terminal,
        device=session.device_id,
        publishes=each.publishes / span_s,
        deliveries=each.deliveries / span_s,
        acknowledgements=each.acknowledgements / span_s,
        backlog=each.backlog,
        unacknowledged=each.seen.unacknowledged,
    )


def _slow_row(seen: Seen, oldest_s: float | None) -> TopSlow:
    session = seen.session
    return TopSlow(
        user=session.user_name,
        terminal=session.terminal,
        device=session.device_id,
        backlog=seen.backlog,
        unacknowledged=seen.unacknowledged,
        oldest_s=oldest_s,
        full=session.rests_for if seen.backlog else None,
    )


def _rates(before: Totals, now: Totals, span_s: float) -> TopRates:
    def rate(then: int, by_now: int) -> float:
        return max(0, by_now - then) / span_s

    return TopRates(
        publishes=rate(before.published, now.published),
        publishes_refused=rate(before.refused, now.refused),
        deliveries=rate(before.deliveries, now.deliveries),
        acknowledgements=rate(before.acknowledgements, now.acknowledgements),
        received_bytes=rate(before.received, now.received),
        sent_bytes=rate(before.sent, now.sent),
        log_ins=rate(before.log_ins, now.log_ins),
        log_ins_refused=rate(before.log_ins_refused, now.log_ins_refused),
        takeovers=rate(before.takeovers, now.takeovers),
        commits=rate(before.commits, now.commits),
    )


def _latency(between: Histogram) -> TopLatency:
    return TopLatency(count=between.count, p50_s=between.quantile(0.5), p99_s=between.quantile(0.99))
