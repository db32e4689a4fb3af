"""Where blocking work runs: in threads of their own, or (in a simulation) inline under virtual time.

The store's writer, its readers and the password hashes are each given one `Offload`. The app takes them as
parameters, since a thread would make a simulation's order of events depend on the machine.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar, TypeVarTuple, Unpack

import trio

Args = TypeVarTuple("Args")
T = TypeVar("T")


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


class OffloadFactory(Protocol):
    """Makes an `Offload` for so many calls at once."""

    def __call__(self, threads: int) -> Offload:
        """Make one."""
        ...
