"""What goes into the journal from the broker's side: how far sessions are, how they end, gaps, refused log-ins.

Nothing is written for a delivery, and nothing on the path of a message: once a second whoever has moved is noted, and
what was noted rides along with the next commit. So a record is durable a second after the fact at the latest; what a
crash cuts off is known to be unknown, since a broker that starts says so in the journal, and a session that was open
then has no end.

**Invariant:** records of one session are written in the order in which they happened, and its end is the last.
"""

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

import trio

from roost_broker.batcher import Settlement
from roost_broker.store import CommitRefused
from roost_broker.store.journal import (
    BrokerStarted,
    BrokerStopped,
    Event,
    GapTold,
    LoginRefused,
    Progress,
    RecordsLost,
    SessionClosed,
)
from roost_broker.store.operations import Operation, Refused, WriteJournal
from roost_broker.survey import slices
from roost_protocol.frames import Disconnect, Gap
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.core import Core
    from roost_broker.session import Session

JOURNAL_WRITE_S = 1.0
"""Records are durable after at most so long, and half of it more; a session's progress is recorded at most so often."""

RECORDS_A_COMMIT = 2_048
"""Records that ride along with one commit: some 10 ms of the writer at the most."""

RECORDS_WAITING_MAX = 65_536
"""Records that wait for a store that has no room; past it the oldest go, and how many is recorded."""

REFUSAL_S = 60.0
"""The refused log-ins of a device are recorded at most so often."""

REFUSED_MAX = 10_000
"""Devices whose last recorded refusal is remembered."""


class Journal:
    """Records that wait to be written, and the one place that makes them. Called from the event loop only."""

    def __init__(self, core: "Core") -> None:
        self._core = core
        self._waiting: deque[Event] = deque()
        self._lost = 0
        self._due = trio.current_time()
        self._under_way = False
        self._refused: dict[tuple[int, str, str], float] = {}
        self._written = trio.lowlevel.ParkingLot()

    # --- what happens ---

    def started(self, version: str) -> None:
        """The broker has opened the store: before anything else is recorded."""
        self._note(BrokerStarted(at=self._core.now_ms(), version=version))

    def stopped(self) -> None:
        """The broker has drained: nothing more happens."""
        self._note(BrokerStopped(at=self._core.now_ms()))

    def closed(self, session: "Session", why: Disconnect | None) -> None:
        """A session has ended: `why` as either side has said it, None if the connection was lost without a word."""
        origin = None if why is None else why.origin
        self._note(
            SessionClosed(
                at=self._core.now_ms(),
                user=session.user,
                device=session.device,
                device_id=session.device_id,
                terminal=session.terminal,
                epoch=session.epoch,
                pushed=session.position,
                acknowledged=session.acknowledged,
                reason=None if why is None else why.reason,
                text="" if why is None else why.text,
                by="" if origin is None else origin.by,
                address="" if origin is None else origin.address,
            )
        )

    def gap(self, session: "Session", gap: Gap) -> None:
        """A session is told of a gap."""
        self._note(
            GapTold(
                at=self._core.now_ms(),
                user=session.user,
                device=session.device,
                epoch=session.epoch,
                first=gap.first,
                last=gap.last,
                reason=gap.reason,
            )
        )

    def refused(self, user: int, terminal: str, device_id: str, *, reason: Reason, by: str, address: str) -> None:
        """A device of a known user was not let in: with a right credential, or after too many wrong ones."""
        now = trio.current_time()
        key = (user, terminal, device_id)
        if now < self._refused.get(key, -REFUSAL_S) + REFUSAL_S:
            return
        if len(self._refused) >= REFUSED_MAX:
            self._refused.clear()
        self._refused[key] = now
        self._note(
            LoginRefused(
                at=self._core.now_ms(),
                user=user,
                device_id=device_id,
                terminal=terminal,
                reason=reason,
                by=by,
                address=address,
            )
        )

    async def note_progress(self) -> None:
        """Note every session that has moved since it was noted last. Safe to cancel."""
        for some in slices(list(self._core.directory)):
            for session in some:
                progress = (session.position, session.acknowledged)
                if progress != session.noted and not session.closed:
                    session.noted = progress
                    self._note(_progress(session, self._core.now_ms()))
            await trio.lowlevel.checkpoint()

    def _note(self, event: Event) -> None:
        if len(self._waiting) >= RECORDS_WAITING_MAX:
            self._waiting.popleft()
            self._lost += 1
        self._waiting.append(event)

    # --- writing ---

    def take(self) -> list[Operation]:
        """What rides along with the commit about to be made: at most once in half a second, and one at a time.

        What was taken and could not be written has to come before what is taken next.
        """
        if self._under_way or not self._waiting or trio.current_time() < self._due:
            return []
        self._due = trio.current_time() + JOURNAL_WRITE_S / 2
        self._under_way = True
        events: list[Event] = []
        if self._lost:
            events.append(RecordsLost(at=self._core.now_ms(), count=self._lost))
            self._lost = 0
        while self._waiting and len(events) < RECORDS_A_COMMIT:
            events.append(self._waiting.popleft())
        return [WriteJournal(events=tuple(events))]

    def write(self) -> None:
        """Have what waits written now, also if there is nothing else to go with: as much as rides with one commit."""
        if self._waiting and not self._under_way:
            self._due = trio.current_time()
            self._core.batcher.submit(WriteJournal(events=()))

    async def flush(self) -> None:
        """Write everything that waits, as far as the store takes it. Safe to cancel."""
        await self._core.batcher.wait_idle()
        before = RECORDS_WAITING_MAX + 1
        while 0 < len(self._waiting) < before:
            before = len(self._waiting)
            self.write()
            await self._core.batcher.wait_idle()

    def settled(self, operation: Operation, result: Settlement) -> None:
        """What could not be written waits on."""
        if not isinstance(operation, WriteJournal):
            return
        self._under_way = False
        if isinstance(result, CommitRefused | Refused):
            self._wait_again(operation.events)
        elif len(self._waiting) >= RECORDS_A_COMMIT:
            self.write()

    def _wait_again(self, events: Iterable[Event]) -> None:
        for event in reversed(tuple(events)):
            if isinstance(event, RecordsLost):
                self._lost += event.count
            elif len(self._waiting) >= RECORDS_WAITING_MAX:
                self._lost += 1
            else:
                self._waiting.appendleft(event)

    # --- following ---

    def committed(self) -> None:
        """A batch is durable; it may have had records."""
        if self._written:
            self._written.unpark_all()

    async def wait_committed(self) -> None:
        """Wait until there may be more to read. Safe to cancel."""
        await self._written.park()


def _progress(session: "Session", now_ms: int) -> Progress:
    return Progress(
        at=now_ms,
        user=session.user,
        device=session.device,
        epoch=session.epoch,
        pushed=session.position,
        acknowledged=session.acknowledged,
    )
