"""Where blocking work runs: in threads of their own, or (in a simulation) inline under virtual time.

The store's writer, its readers and the password hashes are each given one `Offload`. The app takes them as
parameters, since a thread would make a simulation's order of events depend on the machine.
"""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Generic, Protocol, TypeVar, TypeVarTuple, Unpack

import trio
from outcome import Outcome, capture

Args = TypeVarTuple("Args")
T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


class Offload(Protocol):
    """Runs a blocking function so that the event loop goes on."""

    async def run(self, function: Callable[[Unpack[Args]], T], *args: *Args) -> T:
        """Call it and return what it returns, or raise what it raises.

        A checkpoint. Once the function runs, a cancellation is noticed only after it has returned: the work of a
        writer must not go on unattended.
        """
        ...


class ThreadOffload:
    """At most `threads` calls at once, each in a thread."""

    def __init__(self, threads: int) -> None:
        self._limiter = trio.CapacityLimiter(threads)

    async def run(self, function: Callable[[Unpack[Args]], T], *args: *Args) -> T:
        """See `Offload.run`."""
        return await trio.to_thread.run_sync(function, *args, limiter=self._limiter)


class OwnThread:
    """One call after the other, in a thread of its own that waits for the next: what the store's writer runs in.

    Trio's threads are looked for, limited and named for each call, and a task is woken at its end; a commit comes a
    thousand times a second, and all that is around it is added to the latency of every message. So the end of a call
    is told to a function, at the first moment at which the event loop has nothing else in hand.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._started = False

    def start(self, done: Callable[[Outcome[T]], None], function: Callable[[Unpack[Args]], T], *args: *Args) -> None:
        """Call the function with the arguments; `done` is called with what came of it, on the event loop.

        `done` must not raise. Calls run in the order in which they are started.
        """
        if not self._started:
            self._started = True
            Thread(target=self._work, name=self._name, daemon=True).start()
        token = trio.lowlevel.current_trio_token()
        self._calls.put(lambda: token.run_sync_soon(done, capture(function, *args)))

    def close(self) -> None:
        """Let the thread end when it has done what was started. Idempotent."""
        if self._started:
            self._started = False
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


class InlineOffload:
    """Calls inline, after the delay that `delay` chooses (seconds, virtual); one at a time if `serial`."""

    def __init__(self, delay: Callable[[], float] | None = None, *, serial: bool = False) -> None:
        self._delay = delay
        self._limiter = trio.CapacityLimiter(1) if serial else None

    async def run(self, function: Callable[[Unpack[Args]], T], *args: *Args) -> T:
        """See `Offload.run`."""
        if self._limiter is None:
            return await self._call(function, *args)
        async with self._limiter:
            return await self._call(function, *args)

    async def _call(self, function: Callable[[Unpack[Args]], T], *args: *Args) -> T:
        before = self._delay() if self._delay else 0.0
        await trio.sleep(before)
        result = function(*args)
        if self._delay:
            with trio.CancelScope(shield=True):  # as with a thread: what was done is not forgotten
                await trio.sleep(self._delay())
        return result


class Gathered(Generic[K, V]):
    """Calls a blocking function for many who ask at once, in one visit to a thread.

    Going to a thread and back costs ten times what a short read does; when thousands of devices reconnect in one
    moment, that is what they would wait for. Who asks while a visit is under way is served by the next.
    """

    def __init__(self, function: Callable[[K], V], offload: Offload, nursery: trio.Nursery) -> None:
        self._function = function
        self._offload = offload
        self._nursery = nursery
        self._asked: list[_Asked[K, V]] = []
        self._visiting = False

    async def run(self, key: K) -> V:
        """What the function returns for `key`, or raises. A checkpoint; safe to cancel."""
        asked: _Asked[K, V] = _Asked(key)
        self._asked.append(asked)
        if not self._visiting:
            self._visiting = True
            self._nursery.start_soon(self._visit)
        await asked.answered.wait()
        if asked.outcome is None:
            raise AssertionError(f"no outcome for {key!r}")
        return asked.outcome.unwrap()

    async def _visit(self) -> None:
        try:
            while self._asked:
                some, self._asked = self._asked, []
                for asked, result in zip(some, await self._offload.run(self._call, some), strict=True):
                    asked.outcome = result
                    asked.answered.set()
        finally:
            self._visiting = False

    def _call(self, some: "list[_Asked[K, V]]") -> list[Outcome[V]]:
        return [capture(self._function, asked.key) for asked in some]


class _Asked(Generic[K, V]):
    __slots__ = ("answered", "key", "outcome")

    def __init__(self, key: K) -> None:
        self.key = key
        self.answered = trio.Event()
        self.outcome: Outcome[V] | None = None


class OffloadFactory(Protocol):
    """Makes an `Offload` for so many calls at once."""

    def __call__(self, threads: int) -> Offload:
        """Make one."""
        ...
