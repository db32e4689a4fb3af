"""What keeps the publishes of a session back: its user's rate, and a writer that has more to do than it can.

First by not reading on, which costs nobody anything: the device finds its window full. Behind a publish that waits,
though, wait its acknowledgements and its requests; so when that lasts, publishes are refused for now, and the device is
told when to try again. It is told the same of all that it sends before that time, so that they stay in order, and if it
goes on and on all the same, it is not read until then.

To refuse a publish costs half of what it costs to store it. A broker that refused all that it cannot do would end up
doing nothing else (measured: of 12,000 messages a second, 2,000 were left at three times the load). So "busy" is said
only so often, to those who come last; whoever is not told waits in line, unread.

**Invariant:** what is refused here was given to nobody: it is unsettled, and may be sent again with the same count.
"""

from collections.abc import Callable
from math import ceil, inf
from typing import TYPE_CHECKING, NamedTuple

import trio

from roost_broker.batcher import Batcher
from roost_broker.rates import Rate
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.core import Core

BUSY_REFUSALS_PER_S = 4_096
"""Publishes refused because the writer is busy: some 9 µs each, so a twenty-fifth of a core."""

BUSY_RETRY_MOST_S = 3
"""The longest that a device is told to wait because the broker is busy: with a quarter more and the time to be served,
an overload that is over is over for everybody within five seconds."""


class NotNow(NamedTuple):
    """A publish is refused for now."""

    reason: Reason
    text: str
    retry_after_s: int


class BusyBudget:
    """How many publishes may still be refused because the writer is busy. Pure: the caller says what time it is."""

    def __init__(self) -> None:
        self._left = float(BUSY_REFUSALS_PER_S)
        self._at = -inf

    def allows(self, now: float) -> bool:
        """Whether a session may begin to be refused: then it may be refused all it sends."""
        self._left = min(BUSY_REFUSALS_PER_S, self._left + (now - self._at) * BUSY_REFUSALS_PER_S)
        self._at = now
        return self._left > 0

    def spend(self) -> None:
        """One was refused. It may leave a debt."""
        self._left -= 1


class Brake:
    """The brake of one session; `rate` is that of its user, if there is one."""

    __slots__ = ("_core", "_held_since", "_rate", "_reason", "_refused", "_until")

    def __init__(self, core: "Core", rate: Rate | None = None) -> None:
        self._core = core
        self._rate = rate
        self._held_since: float | None = None
        """Since when every publish had to wait for the rate."""
        self._until = trio.current_time()
        """Before this moment everything is refused."""
        self._reason = Reason.SERVER_BUSY
        self._refused = 0

    @property
    def is_off(self) -> bool:
        """Whether it can be forgotten: without it the next publish would be treated in the same way."""
        return self._rate is None and trio.current_time() >= self._until

    async def admit(self, size: int, flush: Callable[[], None], *, queued: bool = True) -> NotNow | None:
        """Wait until a message of `size` bytes may go on; why it may not now, if it may not.

        `flush` is called before anything is waited for; `queued`: the message goes to the writer. Not always a
        checkpoint; safe to cancel.
        """
        now = trio.current_time()
        if now < self._until:
            self._refused += 1
            if self._refused <= self._core.limits.publish_max:
                return self._not_now(ceil(self._until - now))
            flush()
            await trio.sleep_until(self._until)
        refused = await self._wait_for_rate(flush) if self._rate is not None else None
        if refused is None and queued and self._core.batcher.full:
            refused = await self._wait_for_room(flush)
        if refused is None and self._rate is not None:
            self._rate.take(size, trio.current_time())
        return refused

    async def _wait_for_rate(self, flush: Callable[[], None]) -> NotNow | None:
        rate, now = self._rate, trio.current_time()
        if rate is None or not rate.wait_s(now):
            self._held_since = None
            return None
        if self._held_since is None:
            self._held_since = now
        self._core.metrics.held["rate"] += 1
        last_s = self._held_since + self._core.limits.rate_wait_max_s
        while wait_s := rate.wait_s(now):
            if now + wait_s > last_s:
                self._held_since = None
                text = f"more than this user may publish: {_words(rate)}"
                return self._refuse(Reason.MESSAGE_RATE_TOO_HIGH, rate.retry_after_s(now), text)
            flush()
            await trio.sleep(wait_s)
            now = trio.current_time()
        return None

    async def _wait_for_room(self, flush: Callable[[], None]) -> NotNow | None:
        """Wait in line; or be refused, if that would take long and others need not pay for it.

        It would take long if the first in line has waited for long; or if the writer does not get on at all.
        """
        core, batcher = self._core, self._core.batcher
        wait_max_s = core.limits.queue_wait_max_s
        if batcher.first_waits_s >= wait_max_s and core.busy.allows(trio.current_time()):
            return self._say_busy(batcher)
        core.metrics.held["queue"] += 1
        flush()
        async with trio.open_nursery() as nursery:
            stuck = trio.Event()
            nursery.start_soon(self._watch, batcher, wait_max_s, stuck, nursery.cancel_scope)
            await batcher.wait_room()
            nursery.cancel_scope.cancel()
        return self._say_busy(batcher) if stuck.is_set() and batcher.full else None

    async def _watch(self, batcher: Batcher, wait_max_s: float, stuck: trio.Event, waiting: trio.CancelScope) -> None:
        """End the waiting when the writer has not got on for too long."""
        while True:
            await trio.sleep(wait_max_s)
            if batcher.rests_s >= wait_max_s and self._core.busy.allows(trio.current_time()):
                stuck.set()
                waiting.cancel()
                return

    def _say_busy(self, batcher: Batcher) -> NotNow:
        wait_s = max(batcher.first_waits_s, batcher.lag().oldest_s)
        text = f"{batcher.queued_operations} operations wait to be written"
        return self._refuse(Reason.SERVER_BUSY, min(max(1, ceil(wait_s)), BUSY_RETRY_MOST_S), text)

    def _refuse(self, reason: Reason, retry_after_s: int, text: str) -> NotNow:
        """Refuse this one and what comes within that time. In words it is said once."""
        self._until = trio.current_time() + retry_after_s
        self._reason, self._refused = reason, 1
        return self._not_now(retry_after_s, text)

    def _not_now(self, retry_after_s: int, text: str = "") -> NotNow:
        if self._reason is Reason.SERVER_BUSY:
            self._core.busy.spend()
        return NotNow(self._reason, text, retry_after_s)


def _words(rate: Rate) -> str:
    messages_max, bytes_max, window_s = rate.bounds
    amounts = [f"{messages_max} messages"] * bool(messages_max) + [f"{bytes_max} bytes"] * bool(bytes_max)
    return f"{' and '.join(amounts)} in {window_s} s"
