"""The one writer: operations join the open batch; batch after batch is committed, and its results are settled in order.

Everything that arrives while a commit is on its way to the disk is the next batch, so the cost of fsync is shared
under load and nobody waits for a timer when there is none. The results of a large batch are settled on the event loop
while the next commit is already under way in its thread.

**Invariant:** results are settled in commit order, each batch to its end, before any of the next.
**Invariant:** nothing is settled before the store has said that it is durable. If the store does not know
(`OutcomeUnknown`), nothing of that batch is settled, and the error ends the broker.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import trio
from msgspec import Struct
from outcome import Error, Outcome, Value

from roost_broker.metrics import Arrival, Arrivals, BatchMetrics
from roost_broker.offload import Offload, OwnThread
from roost_broker.store import CommitRefused, Store
from roost_broker.store.operations import Message, Operation, OperationResult, Published, PublishMessage
from roost_protocol.limits import Limits

Settlement = OperationResult | CommitRefused
Settle = Callable[[Operation, Settlement], None]

DIRECT_ENTRIES = 2
"""Inbox entries of a direct message."""

SETTLED_FIRST_MAX = 16
"""A batch of at most so many operations is settled before the next commit begins, a larger one while it is under way.
Two threads that both want the interpreter cost each other more than the overlap of a small batch gains (measured at
2,000 messages/s: an eighth of the processor's time)."""

WEIGHTS_MAX = 4_096
"""Groups whose fan-out is remembered, to bound the entries of one commit."""


class _Queued(Struct, frozen=True, gc=False):
    operation: Operation
    settle: Settle
    bytes: int
    entries: int


class _Waiting:
    """Somebody who waits for room in the queue."""

    __slots__ = ("called", "since", "was_called")

    def __init__(self, since: float) -> None:
        self.since = since
        self.called = trio.Event()
        self.was_called = False
        """And there was no room: nobody comes before him."""


class _Batch(Struct, frozen=True):
    queued: list[_Queued]
    arrivals: list[Arrival]
    begun: float
    """Trio's time, in seconds."""


class WriterLag(NamedTuple):
    """How far the writer is behind, in monotonic seconds."""

    queued: int
    """Operations that wait for a batch."""
    oldest_s: float
    """How long the oldest of them has waited, to within one commit; 0 if there is none."""
    under_way_s: float
    """For how long the commit under way has been; 0 if there is none."""
    since_commit_s: float | None
    """How long ago the last commit succeeded; None if there was none yet."""


def settle_nothing(operation: Operation, result: Settlement) -> None:
    """For operations that nobody asked about: cursors that ride along with a batch."""


class Batcher:
    """Queue in front of the store's only writer.

    `riders` gives operations to go along with whatever is committed next, before the rest of it, and `rider_settled`
    is told what came of each; `after_batch` is called when a batch is settled. What it measures goes into `metrics`.
    """

    def __init__(
        self,
        store: Store,
        writer: Offload | OwnThread,
        limits: Limits,
        now_ms: Callable[[], int],
        *,
        riders: Callable[[], Sequence[Operation]] = tuple,
        rider_settled: Settle = settle_nothing,
        after_batch: Callable[[], None] = lambda: None,
        metrics: BatchMetrics | None = None,
    ) -> None:
        self._store = store
        self._writer = writer
        self._limits = limits
        self._operations_max = limits.queue_operations_max
        self._bytes_max = limits.queue_bytes_max
        self._now_ms = now_ms
        self._riders = riders
        self._rider_settled = rider_settled
        self._after_batch = after_batch
        self._metrics = metrics or BatchMetrics()
        self._arrivals = Arrivals()
        self._queue: deque[_Queued] = deque()
        self._queued_bytes = 0
        self._under_way = 0
        self._work = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._committing = False
        self._commit_ended = trio.Event()
        self._failed = trio.Event()
        self._failure: BaseException | None = None
        self._line: OrderedDict[_Waiting, None] = OrderedDict()
        """Who waits for room, the first that came first."""
        self._idle = trio.lowlevel.ParkingLot()
        self._weights: dict[str, int] = {}
        self.batches = 0
        self.refused: CommitRefused | None = None
        """Why the last batch was not committed; None if it was."""
        self._taken = 0
        self._takes: deque[tuple[int, float]] = deque()  # what had been queued in all when a batch was taken, and when
        self._last_commit_at: float | None = None

    @property
    def full(self) -> bool:
        """Whether the queue is at its bound: nobody should read more that ends up in it."""
        return len(self._queue) >= self._operations_max or self._queued_bytes >= self._bytes_max

    @property
    def queued_operations(self) -> int:
        """Operations that wait for a batch."""
        return len(self._queue)

    @property
    def queued_bytes(self) -> int:
        """Bytes of their bodies."""
        return self._queued_bytes

    def lag(self) -> WriterLag:
        """How far the writer is behind. Nothing is noted for each operation: it is told by when batches were taken."""
        now = trio.current_time()
        return WriterLag(
            queued=len(self._queue),
            oldest_s=now - self._takes[0][1] if self._queue and self._committing else 0.0,
            under_way_s=now - self._takes[-1][1] if self._committing else 0.0,
            since_commit_s=None if self._last_commit_at is None else now - self._last_commit_at,
        )

    @property
    def first_waits_s(self) -> float:
        """How long the first in line has waited for room; 0 if nobody does. Who comes now waits about as long."""
        return trio.current_time() - next(iter(self._line)).since if self._line else 0.0

    @property
    def rests_s(self) -> float:
        """For how long the writer has taken nothing, though something waits for it."""
        return trio.current_time() - self._takes[-1][1] if self._queue and self._takes else 0.0

    async def wait_room(self) -> None:
        """Wait until the queue is not full, behind all who wait already. Safe to cancel."""
        mine = _Waiting(trio.current_time())
        try:
            while self.full:
                self._line[mine] = None
                if mine.was_called:  # somebody who was not in line was quicker
                    self._line.move_to_end(mine, last=False)
                    mine.called = trio.Event()
                await mine.called.wait()
                mine.was_called = True
        except trio.Cancelled:
            self._line.pop(mine, None)
            if mine.called.is_set():  # what was for this one is for the next
                self._let_in()
            raise

    async def wait_idle(self) -> None:
        """Wait until nothing is queued or under way. Safe to cancel."""
        while self._queue or self._under_way:
            await self._idle.park()

    def submit(
        self, operation: Operation, settle: Settle = settle_nothing, body_bytes: int = 0, *, kicks: bool = False
    ) -> None:
        """Queue an operation. `settle` is called with its result, in commit order, and must not wait or raise.

        With `kicks`, the caller calls `kick` when it has submitted all it has; otherwise that is done for it.
        """
        entries = DIRECT_ENTRIES
        if self._weights and isinstance(operation, Message):
            entries = self._weights.get(operation.to, DIRECT_ENTRIES)
        self._queue.append(_Queued(operation, settle, body_bytes, entries))
        self._queued_bytes += body_bytes
        if not kicks:
            self._arrivals.note(len(self._queue) - 1, trio.current_time())
            self._arrivals.note_other()
            self._work.set()

    async def run(self, operation: Operation, settle: Settle = settle_nothing) -> OperationResult:
        """Queue an operation and wait for its result; `settle` is called at its place in commit order.

        Raises CommitRefused. When cancelled, the operation is done all the same.
        """
        done = trio.Event()
        outcome: list[Settlement] = []

        def settled(operation: Operation, result: Settlement) -> None:
            settle(operation, result)
            outcome.append(result)
            done.set()

        self.submit(operation, settled)
        await done.wait()
        if isinstance(outcome[0], CommitRefused):
            raise CommitRefused(str(outcome[0]), outcome[0].reason) from outcome[0]
        return outcome[0]

    def kick(self) -> int:
        """Commit what is queued now, if no commit is under way: whoever has submitted all it had need not wait.

        How many publishes were submitted since the last call: all of whoever calls, unless he has waited in between.
        """
        queued = len(self._queue)
        came = queued - self._arrivals.known
        if came:
            self._arrivals.note(queued, trio.current_time())
        if queued and not self._committing and self._nursery is not None:
            self._start()
        return came

    async def serve(self) -> None:
        """Commit until cancelled. Raises OutcomeUnknown when the store cannot say what is durable.

        When it returns, no commit is under way.
        """
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._kick_when_there_is_work)
                try:
                    await self._failed.wait()
                finally:
                    self._nursery = None  # from here on nothing more is begun
                if self._failure is not None:
                    raise self._failure
        finally:
            with trio.CancelScope(shield=True):
                while self._committing:
                    await self._commit_ended.wait()

    async def _kick_when_there_is_work(self) -> None:
        while True:
            self.kick()
            await self._work.wait()
            self._work = trio.Event()

    def _start(self) -> None:
        """Begin to commit the next batch."""
        batch = self._take()
        operations = [queued.operation for queued in batch.queued]
        self._committing = True
        self._commit_ended = trio.Event()
        self._under_way += 1
        done = partial(self._committed, batch)
        if isinstance(self._writer, OwnThread):
            self._writer.start(done, self._store.commit, operations, self._now_ms())
        elif self._nursery is not None:
            self._nursery.start_soon(self._commit, self._writer, done, operations)

    async def _commit(
        self, writer: Offload, done: Callable[[Outcome[list[OperationResult]]], None], operations: list[Operation]
    ) -> None:
        outcome: Outcome[list[OperationResult]]
        try:
            outcome = Value(await writer.run(self._store.commit, operations, self._now_ms()))
        except Exception as error:  # noqa: BLE001 - it is looked at where the outcome is
            outcome = Error(error)
        except BaseException:
            self._committing = False
            self._commit_ended.set()
            raise
        done(outcome)

    def _committed(self, batch: _Batch, outcome: Outcome[list[OperationResult]]) -> None:
        """A commit has come to its end: settle it, and begin the next. Never raises."""
        self._committing = False
        self._commit_ended.set()
        if self._nursery is None:  # stopped: what is durable will be found by whoever opens the store next
            return
        try:
            results = outcome.unwrap()
        except CommitRefused as refused:
            self._metrics.refused += 1
            self._go_on(batch, refused)
        except BaseException as error:  # noqa: BLE001 - raised where somebody can do something about it
            self._fail(error)
        else:
            self._metrics.commit_s.observe(trio.current_time() - batch.begun)
            self._last_commit_at = trio.current_time()
            self._go_on(batch, results)

    def _go_on(self, batch: _Batch, outcome: list[OperationResult] | CommitRefused) -> None:
        try:
            if len(batch.queued) > SETTLED_FIRST_MAX:
                self.kick()
            self._settle_batch(batch, outcome)
            self.kick()
        except Exception as error:  # noqa: BLE001 - likewise
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._failed.set()

    def _settle_batch(self, batch: _Batch, outcome: list[OperationResult] | CommitRefused) -> None:
        self.refused = outcome if isinstance(outcome, CommitRefused) else None
        if isinstance(outcome, CommitRefused):
            for queued in batch.queued:
                queued.settle(queued.operation, outcome)
            self._after_batch()
        else:
            self._settle(batch.queued, outcome)
            self._after_batch()
            self._metrics.settled(batch.arrivals, trio.current_time())
        self.batches += 1
        self._under_way -= 1
        if not (self._under_way or self._queue):
            self._idle.unpark_all()

    def _take(self) -> _Batch:
        """The next batch: what is queued, within the bounds of one commit, and what rides along."""
        limits = self._limits
        batch: list[_Queued] = []
        body_bytes = entries = 0
        while self._queue and len(batch) < limits.batch_operations_max:
            first = self._queue[0]
            body_bytes += first.bytes
            entries += first.entries
            if batch and (body_bytes > limits.batch_bytes_max or entries > limits.batch_entries_max):
                break
            self._queued_bytes -= first.bytes
            batch.append(self._queue.popleft())
        self._taken += len(batch)
        self._takes.append((self._taken + len(self._queue), trio.current_time()))
        while len(self._takes) > 1 and self._takes[1][0] <= self._taken:
            self._takes.popleft()
        if self._line:
            self._let_in()
        arrivals = self._arrivals.take(len(batch))
        riders = [_Queued(rider, self._rider_settled, 0, 1) for rider in self._riders()]
        return _Batch(riders + batch, arrivals, trio.current_time())

    def _let_in(self) -> None:
        """Call as many of those who wait for room as will fill it, the first that came first.

        To call all each time would cost more than a batch when there are many. When nothing is left in the queue, none
        may be left waiting: there is no further batch after which they would be called.
        """
        if self.full:
            return
        room = self._operations_max - len(self._queue)
        called = max(1, room // self._limits.publish_max) if self._queue else len(self._line)
        while called and self._line:
            waiting, _ = self._line.popitem(last=False)
            waiting.called.set()
            called -= 1

    def _settle(self, batch: list[_Queued], outcome: list[OperationResult]) -> None:
        stored = 0
        for queued, result in zip(batch, outcome, strict=True):
            operation = queued.operation
            queued.settle(operation, result)
            if type(result) is Published:
                entries = len(result.entries)
                stored += entries
                if entries > DIRECT_ENTRIES:
                    self._learn_weight(operation, entries)
        self._metrics.operations.observe(len(batch))
        self._metrics.entries.observe(stored)

    def _learn_weight(self, operation: Operation, entries: int) -> None:
        """Remember how many inboxes a group's message went to: the best guess for its next one."""
        if isinstance(operation, PublishMessage):
            if len(self._weights) >= WEIGHTS_MAX:
                self._weights.clear()
            self._weights[operation.to] = entries
