"""Where blocking work runs: in threads, or inline under virtual time."""

import threading

import pytest
import trio
from outcome import Outcome

from broker.house import in_virtual_time
from roost_broker.offload import Gathered, InlineOffload, Offload, OwnThread, ThreadOffload


class Broken(Exception):
    """Raised by work."""


def broken() -> None:
    raise Broken


@pytest.mark.parametrize("offload", [InlineOffload, lambda: ThreadOffload(1)], ids=["inline", "thread"])
async def test_it_gives_what_the_function_gives(offload: type[InlineOffload]) -> None:
    runs: Offload = offload()
    assert await runs.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(Broken):
        await runs.run(broken)


async def test_threads_are_others_and_so_many_at_once() -> None:
    offload = ThreadOffload(2)
    together = threading.Barrier(2, timeout=5)
    threads: set[int] = set()
    most = now = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        together.wait()
        threads.add(threading.get_ident())
        with lock:
            now -= 1

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(offload.run, work)
    assert most == 2
    assert threading.get_ident() not in threads


async def test_what_runs_in_a_thread_is_not_left_alone_by_a_cancellation() -> None:
    go_on, done = threading.Event(), []

    def work() -> None:
        go_on.wait(5)
        done.append(True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ThreadOffload(1).run, work)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        go_on.set()
    assert done == [True]


@in_virtual_time
async def test_inline_takes_the_time_it_is_told_before_and_after() -> None:
    times: list[float] = []
    await InlineOffload(lambda: 2.0).run(lambda: times.append(trio.current_time()))
    assert [times[0], trio.current_time()] == [2.0, 4.0]


@in_virtual_time
async def test_inline_without_delay_is_a_checkpoint_all_the_same() -> None:
    with trio.testing.assert_checkpoints():
        await InlineOffload().run(len, "x")


@in_virtual_time
async def test_serial_means_one_at_a_time_in_order() -> None:
    offload = InlineOffload(lambda: 1.0, serial=True)
    order: list[tuple[int, float]] = []

    async def call(number: int) -> None:
        await offload.run(lambda: order.append((number, trio.current_time())))

    async with trio.open_nursery() as nursery:
        for i in range(3):
            nursery.start_soon(call, i)
            await trio.testing.wait_all_tasks_blocked()
    assert order == [(0, 1.0), (1, 3.0), (2, 5.0)]


@in_virtual_time
async def test_inline_forgets_nothing_that_was_done_when_cancelled() -> None:
    done: list[float] = []

    def work() -> str:
        done.append(trio.current_time())
        return "done"

    with trio.move_on_after(1.5) as scope:
        assert await InlineOffload(lambda: 1.0).run(work) == "done"
    assert done == [1.0]
    assert trio.current_time() == 2.0
    assert not scope.cancelled_caught

    with trio.move_on_after(0.5) as scope:
        await InlineOffload(lambda: 1.0).run(done.append, 9.0)
    assert scope.cancelled_caught
    assert done == [1.0], "cancelled before it began: it never runs"


async def test_a_thread_of_ones_own_does_one_thing_after_the_other_and_says_what_came_of_it() -> None:
    own, ended = OwnThread("a thread of its own"), trio.Event()
    outcomes: list[Outcome[tuple[int, threading.Thread]]] = []

    def work(number: int) -> tuple[int, threading.Thread]:
        if number == 2:
            raise Broken(number)
        return number, threading.current_thread()

    def done(outcome: Outcome[tuple[int, threading.Thread]]) -> None:
        assert threading.current_thread() is threading.main_thread()
        outcomes.append(outcome)
        if len(outcomes) == 3:
            ended.set()

    for number in (1, 2, 3):
        own.start(done, work, number)
    await ended.wait()
    (first, thread), (third, same) = outcomes[0].unwrap(), outcomes[2].unwrap()
    assert (first, third) == (1, 3)
    assert thread is same
    assert thread.name == "a thread of its own"
    with pytest.raises(Broken, match="2"):
        outcomes[1].unwrap()
    own.close()
    own.close()
    await trio.to_thread.run_sync(thread.join, 5)
    assert not thread.is_alive()


# --- gathered -----------------------------------------------------------------------------------------------------


def half(number: int) -> int:
    if number % 2:
        raise Broken(number)
    return number // 2


@in_virtual_time
async def test_who_asks_at_once_goes_in_one_visit() -> None:
    visits: list[int] = []

    def delay() -> float:
        visits.append(1)
        return 1.0

    async with trio.open_nursery() as nursery:
        gathered = Gathered(half, InlineOffload(delay), nursery)
        halves: dict[int, int | str] = {}

        async def ask(number: int) -> None:
            try:
                halves[number] = await gathered.run(number)
            except Broken as broken:
                halves[number] = str(broken)

        for number in range(6):
            nursery.start_soon(ask, number)
        await trio.sleep(0.5)
        nursery.start_soon(ask, 10)  # a visit is under way: it takes the next
        with trio.move_on_after(0.1):
            await gathered.run(12)  # nobody waits for it, and nothing is lost by that
    assert halves == {0: 0, 1: "1", 2: 1, 3: "3", 4: 2, 5: "5", 10: 5}
    assert len(visits) == 4, "two visits, each with a delay before and after"
