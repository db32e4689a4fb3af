"""The one writer: batches within bounds, results in commit order, each exactly once, and nothing before its time."""

import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any, NamedTuple, cast

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from broker.house import in_virtual_time
from roost_broker import batcher as batcher_module
from roost_broker.batcher import Batcher, Settlement
from roost_broker.metrics import BatchMetrics
from roost_broker.offload import InlineOffload, OwnThread
from roost_broker.store import CommitRefused, OutcomeUnknown, Store
from roost_broker.store.operations import (
    Done,
    MoveCursors,
    Operation,
    OperationResult,
    Published,
    PublishMessage,
)
from roost_protocol.limits import KIB, Limits
from roost_protocol.reasons import Reason

LIMITS = Limits(
    batch_operations_max=4,
    queue_operations_max=8,
    frame_bytes_max=16 * KIB,
    body_bytes_max=8 * KIB,
    batch_bytes_max=64 * KIB,
    queue_bytes_max=128 * KIB,
    group_members_max=10,
    batch_entries_max=10,
)
COMMIT_S = 1.0

GROUP_ENTRIES = 6
"""Inboxes that a message to a group goes to here."""


def message(n: int, to: str = "user/bob") -> PublishMessage:
    return PublishMessage(
        sender=1, sender_name="alice", device=1, terminal="pc", epoch=1, n=n, to=to, content_type="t", digest=b""
    )


def number(operation: Operation) -> int:
    assert isinstance(operation, PublishMessage)
    return operation.n


class ListingStore:
    """Commits by writing down what it was given; raises the next of `faults` instead, if there is one."""

    def __init__(self) -> None:
        self.batches: list[list[Operation]] = []
        self.times: list[float] = []
        self.faults: list[Exception | None] = []

    def commit(self, operations: Sequence[Operation], now_ms: int) -> list[OperationResult]:
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        self.batches.append(list(operations))
        self.times.append(trio.current_time())
        return [self._result(operation) for operation in operations]

    def _result(self, operation: Operation) -> OperationResult:
        if not isinstance(operation, PublishMessage):
            return Done()
        inboxes = GROUP_ENTRIES if operation.to.startswith("group/") else 2
        return Published(
            n=operation.n, reason=Reason.SUCCESS, entries=tuple((user, operation.n) for user in range(inboxes))
        )

    @property
    def numbers(self) -> list[list[int]]:
        """The publishes of each batch, by their count."""
        return [[each.n for each in batch if isinstance(each, PublishMessage)] for batch in self.batches]


class Settled(NamedTuple):
    """One call of `settle`."""

    n: int
    result: Settlement


class Bench:
    """A batcher that runs, its store, and what was settled."""

    def __init__(self, limits: Limits = LIMITS, **more: Any) -> None:
        self.store = ListingStore()
        self.settled: list[Settled] = []
        self.batcher = Batcher(
            cast("Store", self.store), InlineOffload(lambda: COMMIT_S / 2, serial=True), limits, lambda: 0, **more
        )

    def submit(self, n: int, body_bytes: int = 0, to: str = "user/bob") -> None:
        self.batcher.submit(message(n, to), self.settle, body_bytes)

    def settle(self, operation: Operation, result: Settlement) -> None:
        self.settled.append(Settled(number(operation), result))

    @property
    def settled_numbers(self) -> list[int]:
        return [each.n for each in self.settled]


@asynccontextmanager
async def bench(limits: Limits = LIMITS, **more: Any) -> AsyncIterator[Bench]:
    async with trio.open_nursery() as nursery:
        made = Bench(limits, **more)
        nursery.start_soon(made.batcher.serve)
        yield made
        nursery.cancel_scope.cancel()


@in_virtual_time
async def test_a_single_operation_waits_for_nobody() -> None:
    async with bench() as b:
        b.submit(1)
        assert not b.settled
        await trio.sleep(COMMIT_S * 0.9)
        assert (b.store.numbers, b.settled) == ([[1]], [])
        await trio.sleep(COMMIT_S * 0.2)
        assert b.settled_numbers == [1]


@in_virtual_time
async def test_what_arrives_during_a_commit_is_the_next_batch() -> None:
    async with bench() as b:
        b.submit(1)
        await trio.sleep(COMMIT_S / 4)
        b.submit(2)
        b.submit(3)
        await b.batcher.wait_idle()
        assert b.store.numbers == [[1], [2, 3]]
        assert b.settled_numbers == [1, 2, 3]
        assert trio.current_time() == 2 * COMMIT_S
        assert b.batcher.batches == 2


@in_virtual_time
async def test_a_batch_is_bounded_in_operations() -> None:
    async with bench() as b:
        for n in range(10):
            b.submit(n)
        await b.batcher.wait_idle()
        assert b.store.numbers == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@in_virtual_time
async def test_a_batch_is_bounded_in_bytes_but_one_operation_always_fits() -> None:
    async with bench() as b:
        for n, size in enumerate([40 * KIB, 24 * KIB, 1, 100 * KIB, 1]):
            b.submit(n, size)
        await b.batcher.wait_idle()
        assert b.store.numbers == [[0, 1], [2], [3], [4]]


@in_virtual_time
async def test_a_batch_is_bounded_in_entries_once_the_size_of_a_group_is_known() -> None:
    async with bench() as b:
        for n in range(3):
            b.submit(n, to="group/all")
        await b.batcher.wait_idle()
        assert b.store.numbers == [[0, 1, 2]], "not known yet: taken for a direct message"
        for n in range(3, 6):
            b.submit(n, to="group/all")
        b.submit(6)
        await b.batcher.wait_idle()
        assert b.store.numbers[1:] == [[3], [4], [5, 6]]


@in_virtual_time
async def test_sizes_of_groups_are_remembered_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher_module, "WEIGHTS_MAX", 2)
    async with bench() as b:
        for n in range(5):
            b.submit(n, to=f"group/{n}")
            await b.batcher.wait_idle()
        assert 1 <= len(vars(b.batcher)["_weights"]) <= 2


@in_virtual_time
async def test_riders_go_along_with_each_commit_and_are_asked_for_once() -> None:
    asked = 0

    def riders() -> Sequence[Operation]:
        nonlocal asked
        asked += 1
        return [MoveCursors(cursors=((asked, 1),))]

    async with bench(riders=riders) as b:
        for n in range(LIMITS.batch_operations_max + 1):
            b.submit(n)
        await b.batcher.wait_idle()
        moved = [[each for each in batch if isinstance(each, MoveCursors)] for batch in b.store.batches]
        assert moved == [[MoveCursors(cursors=((1, 1),))], [MoveCursors(cursors=((2, 1),))]]
        assert b.settled_numbers == list(range(LIMITS.batch_operations_max + 1))


@in_virtual_time
async def test_after_batch_is_called_when_a_batch_is_settled_to_its_end() -> None:
    batches: list[int] = []
    async with bench(after_batch=lambda: batches.append(-1)) as b:

        def settle(operation: Operation, result: Settlement) -> None:
            batches.append(number(operation))

        for n in range(6):
            b.batcher.submit(message(n), settle)
        await b.batcher.wait_idle()
        assert batches == [0, 1, 2, 3, -1, 4, 5, -1]


@in_virtual_time
async def test_a_refused_commit_is_told_to_everyone_in_it_and_to_nobody_else() -> None:
    async with bench() as b:
        refused = CommitRefused("the map is full", Reason.QUOTA_EXCEEDED)
        b.store.faults = [None, refused]
        for n in range(10):
            b.submit(n)
        await b.batcher.wait_idle()
        assert b.store.numbers == [[0, 1, 2, 3], [8, 9]]
        assert b.settled_numbers == list(range(10))
        assert {each.n for each in b.settled if isinstance(each.result, CommitRefused)} == {4, 5, 6, 7}


@in_virtual_time
async def test_it_is_known_whether_the_last_commit_was_refused() -> None:
    async with bench() as b:
        refused = CommitRefused("the map is full", Reason.QUOTA_EXCEEDED)
        for faults, expected in (([None], None), ([refused], refused), ([None], None)):
            b.store.faults = list(faults)
            b.submit(1)
            await b.batcher.wait_idle()
            assert b.batcher.refused is expected


@in_virtual_time
async def test_an_unknown_outcome_settles_nothing_and_is_raised() -> None:
    made = Bench()
    made.store.faults = [None, OutcomeUnknown("fsync failed")]
    for n in range(10):
        made.submit(n)
    with pytest.raises(ExceptionGroup) as error:
        await made.batcher.serve()
    assert error.group_contains(OutcomeUnknown)
    assert made.settled_numbers in ([], [0, 1, 2, 3]), "never one of the batch that may or may not be durable"
    assert made.store.numbers == [[0, 1, 2, 3]], "and nothing after it"


class Gated(ListingStore):
    """A store whose commits wait, in their thread, until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()

    def commit(self, operations: Sequence[Operation], now_ms: int) -> list[OperationResult]:
        self.begun.set()
        self.go_on.wait(5)
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        self.batches.append(list(operations))
        return [self._result(operation) for operation in operations]


async def test_a_commit_in_a_thread_is_waited_for_when_the_broker_is_cancelled() -> None:
    store, writer, settled = Gated(), OwnThread("writer"), []
    batcher = Batcher(cast("Store", store), writer, LIMITS, lambda: 0)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(batcher.serve)
            batcher.submit(message(1), lambda *_: settled.append(1))
            await trio.to_thread.run_sync(store.begun.wait, 5)
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):  # the batcher has noticed, and waits for the commit alone
                await trio.testing.wait_all_tasks_blocked()
            store.go_on.set()
    assert (store.numbers, settled) == ([[1]], []), "it is durable, and nobody is told by a broker that has stopped"
    writer.close()


async def test_an_unknown_outcome_in_a_thread_settles_nothing_and_is_raised() -> None:
    store, writer, settled = Gated(), OwnThread("writer"), []
    store.faults = [OutcomeUnknown("fsync failed")]
    store.go_on.set()
    batcher = Batcher(cast("Store", store), writer, LIMITS, lambda: 0)
    batcher.submit(message(1), lambda *_: settled.append(1))
    with pytest.raises(ExceptionGroup) as error, trio.fail_after(5):
        await batcher.serve()
    assert error.group_contains(OutcomeUnknown)
    assert settled == []
    writer.close()


async def test_what_is_submitted_at_once_and_then_kicked_is_one_batch() -> None:
    store, writer = Gated(), OwnThread("writer")
    store.go_on.set()
    batcher = Batcher(cast("Store", store), writer, LIMITS, lambda: 0)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(batcher.serve)
            await trio.testing.wait_all_tasks_blocked()
            for n in (1, 2, 3):
                batcher.submit(message(n), kicks=True)
            batcher.kick()
            batcher.submit(message(4))
            await batcher.wait_idle()
            nursery.cancel_scope.cancel()
    assert store.numbers == [[1, 2, 3], [4]]
    writer.close()


@pytest.mark.parametrize("after_s", [0, COMMIT_S / 4, COMMIT_S * 3 / 4])
@in_virtual_time
async def test_whatever_is_kicked_while_it_stops_it_stops(after_s: float) -> None:
    """At whatever moment of the end: the sessions end in the same moment, with what they had just read."""
    made = Bench()

    async def session() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                for n in range(8):
                    made.batcher.submit(message(n), kicks=True)
                    made.batcher.kick()
                    await trio.lowlevel.checkpoint()

    with trio.fail_after(10 * COMMIT_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.batcher.serve)
            nursery.start_soon(session)
            made.submit(100)
            await trio.sleep(after_s)
            nursery.cancel_scope.cancel()
    assert len(made.store.batches) <= 1


@in_virtual_time
async def test_a_settle_that_fails_ends_the_broker() -> None:
    made = Bench()

    def broken(operation: Operation, result: Settlement) -> None:
        raise ZeroDivisionError

    made.batcher.submit(message(1), broken)
    with pytest.raises(ExceptionGroup) as error:
        await made.batcher.serve()
    assert error.group_contains(ZeroDivisionError)


@in_virtual_time
async def test_run_waits_for_the_result_and_settles_in_order() -> None:
    async with bench() as b:
        b.submit(1)
        result = await b.batcher.run(message(2), b.settle)
        assert isinstance(result, Published)
        assert result.n == 2
        assert b.settled_numbers == [1, 2]


@in_virtual_time
async def test_run_raises_what_the_commit_was_refused_for() -> None:
    async with bench() as b:
        b.store.faults = [CommitRefused("full", Reason.SERVER_BUSY)]
        with pytest.raises(CommitRefused, match="full") as error:
            await b.batcher.run(message(1), b.settle)
        assert error.value.reason is Reason.SERVER_BUSY
        assert isinstance(b.settled[0].result, CommitRefused)


@in_virtual_time
async def test_an_operation_is_done_also_when_nobody_waits_any_more() -> None:
    async with bench() as b:
        with trio.move_on_after(COMMIT_S / 4):
            await b.batcher.run(message(1), b.settle)
        await b.batcher.wait_idle()
        assert (b.store.numbers, b.settled_numbers) == ([[1]], [1])


@pytest.mark.parametrize("body_bytes", [0, 32 * KIB], ids=["operations", "bytes"])
@in_virtual_time
async def test_full_is_the_bound_of_the_queue(body_bytes: int) -> None:
    bound = 4 if body_bytes else LIMITS.queue_operations_max
    async with bench() as b:
        for n in range(bound - 1):
            b.submit(n, body_bytes)
        below = b.batcher.full
        await b.batcher.wait_room()
        b.submit(bound, body_bytes)
        assert (below, b.batcher.full) == (False, True)
        await b.batcher.wait_room()
        assert len(b.store.batches) == 0, "there is room as soon as a batch is taken"
        await b.batcher.wait_idle()


@in_virtual_time
async def test_idle_means_nothing_queued_and_nothing_under_way() -> None:
    async with bench() as b:
        await b.batcher.wait_idle()
        b.submit(1)
        await b.batcher.wait_idle()
        assert b.settled_numbers == [1]


# --- against a model --------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """One submit of a plan: its weight, and how long the next waits."""

    body_bytes: int
    to: str
    pause_s: float


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from([0, 1, 10 * KIB, 40 * KIB, 70 * KIB]),
        st.sampled_from(["user/bob", "group/a", "group/b"]),
        st.sampled_from([0.0, 0.0, 0.0, 0.3, 1.2, 5.0]),
    ),
    max_size=40,
)
FAULTS = st.lists(st.sampled_from([None, None, CommitRefused("full")]), max_size=12)


@given(steps=STEPS, faults=FAULTS)
def test_whatever_comes_in_comes_out_once_in_order_within_bounds(
    steps: list[Step], faults: list[CommitRefused | None]
) -> None:
    weights: list[int] = []

    async def main() -> None:
        async with bench() as b:
            b.store.faults = list(faults)
            for n, step in enumerate(steps):
                known = {steps[each.n].to for each in b.settled if isinstance(each.result, Published)}
                weights.append(GROUP_ENTRIES if step.to in known - {"user/bob"} else 2)
                b.submit(n, step.body_bytes, step.to)
                if step.pause_s:
                    await trio.sleep(step.pause_s)
            await b.batcher.wait_idle()
            assert b.settled_numbers == list(range(len(steps))), "each once, in the order they came"
            _check_bounds(b.store.numbers, steps, weights)
            _check_results(b)

    trio.run(main, clock=MockClock(autojump_threshold=0))


def _check_bounds(batches: list[list[int]], steps: list[Step], weights: list[int]) -> None:
    for batch in batches:
        assert 1 <= len(batch) <= LIMITS.batch_operations_max
        if len(batch) > 1:
            assert sum(steps[n].body_bytes for n in batch) <= LIMITS.batch_bytes_max
            assert sum(weights[n] for n in batch) <= LIMITS.batch_entries_max


def _check_results(b: Bench) -> None:
    done = [each.n for each in b.settled if isinstance(each.result, Published)]
    assert done == [n for batch in b.store.numbers for n in batch], "what was committed succeeded, and nothing else"
    assert all(each.result.n == each.n for each in b.settled if isinstance(each.result, Published)), "each its own"


async def test_a_kick_says_how_many_publishes_came_since_the_last() -> None:
    store, writer = Gated(), OwnThread("writer")
    batcher = Batcher(cast("Store", store), writer, LIMITS, lambda: 0)
    assert batcher.kick() == 0
    for n in (1, 2):
        batcher.submit(message(n), kicks=True)
    assert (batcher.kick(), batcher.kick()) == (2, 0)
    batcher.submit(MoveCursors(cursors=((1, 1),)))
    batcher.submit(message(3), kicks=True)
    assert batcher.kick() == 1, "what is no publish counts for nobody"
    assert batcher.queued_operations == 4
    assert batcher.queued_bytes == 0
    writer.close()


@in_virtual_time
async def test_what_a_batcher_measures() -> None:
    """Commits of a second: the first message is read at 0 and settled at 1; two more come at 0.5, and are at 2."""
    store, metrics = ListingStore(), BatchMetrics()
    batcher = Batcher(cast("Store", store), InlineOffload(lambda: COMMIT_S / 2), LIMITS, lambda: 0, metrics=metrics)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.serve)
        await trio.testing.wait_all_tasks_blocked()
        batcher.submit(message(1), kicks=True)
        batcher.kick()
        await trio.sleep(COMMIT_S / 2)
        batcher.submit(message(2), kicks=True)
        batcher.submit(message(3, "group/g"), kicks=True)
        batcher.kick()
        batcher.submit(MoveCursors(cursors=((1, 1),)))
        await batcher.wait_idle()
        nursery.cancel_scope.cancel()
    assert [len(batch) for batch in store.batches] == [1, 3]
    assert (metrics.commit_s.count, metrics.commit_s.total) == (2, 2 * COMMIT_S)
    assert (metrics.deliver_s.count, metrics.deliver_s.total) == (3, COMMIT_S + 2 * 1.5 * COMMIT_S)
    assert (metrics.operations.count, metrics.operations.total) == (2, 4)
    assert (metrics.entries.count, metrics.entries.total) == (2, 2 + 2 + GROUP_ENTRIES)


# --- how far behind it is -----------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_writer_with_nothing_to_do_is_not_behind() -> None:
    async with bench() as b:
        assert b.batcher.lag() == (0, 0.0, 0.0, None)
        b.submit(1)
        await b.batcher.wait_idle()
        await trio.sleep(5)
        b.submit(2)
        assert b.batcher.lag().oldest_s == 0, "it is about to be begun"
        await b.batcher.wait_idle()
        await trio.sleep(7)
        queued, oldest_s, under_way_s, since_commit_s = b.batcher.lag()
        assert (queued, oldest_s, under_way_s) == (0, 0, 0)
        assert since_commit_s == pytest.approx(7, abs=COMMIT_S)


@in_virtual_time
async def test_how_long_the_oldest_has_waited_is_known_to_within_one_commit() -> None:
    """Whatever is queued, whenever: no operation carries the time."""
    random = Random(7)  # noqa: S311  # for a choice of moments
    async with bench(msgspec.structs.replace(LIMITS, batch_operations_max=3)) as b:
        queued_at: list[float] = []
        for n in range(1, 200):
            b.submit(n)
            queued_at.append(trio.current_time())
            await trio.sleep(random.choice((0.0, 0.0, COMMIT_S / 7, COMMIT_S / 2)))
            waiting = b.batcher.lag().queued
            waited = trio.current_time() - queued_at[-waiting] if waiting else 0.0
            assert abs(b.batcher.lag().oldest_s - waited) <= COMMIT_S * 1.001
            assert b.batcher.lag().under_way_s <= COMMIT_S
        assert max(queued_at) > 0
        await b.batcher.wait_idle()
        assert len(b.batcher._takes) == 1, "what is not needed any more is forgotten"
