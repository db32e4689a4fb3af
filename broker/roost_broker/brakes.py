"""What keeps the publishes of a session back: its user's rate, and a writer that has more to do than it can.

First by not reading on, which costs nobody anything: the device finds its window full. Behind a publish that waits,
though, wait its acknowledgements and its requests; so when that has lasted for a bounded time, publishes are refused
for now, and the device is told when to try again. It is told the same of all that it sends before that time, so that
they stay in order, and if it goes on and on all the same, it is not read until then.

**Invariant:** what is refused here was given to nobody: it is unsettled, and may be sent again with the same count.
"""

from collections.abc import Callable
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

import trio

from roost_broker.rates import Rate
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.core import Core

BUSY_RETRY_MOST_S = 10
"""The longest that a device is told to wait because the broker is busy: whatever it is, by then more is known."""


class NotNow(NamedTuple):
    """A publish is refused for now."""

    reason: Reason
    text: str
    retry_after_s: int


class Brake:
    """The brake of one session; `rate` is that of its user, if there is one."""

    __slots__ = ("_core", "_held_since", "_rate", "_reason", "_refused", "_text", "_until")

    def __init__(self, core: "Core", rate: Rate | None = None) -> None:
        self._core = core
        self._rate = rate
        self._held_since: float | None = None
        """Since when every publish had to wait for the rate."""
        self._until = trio.current_time()
        """Before this moment everything is refused."""
        self._reason = Reason.SERVER_BUSY
        self._text = ""
        self._refused = 0

    @property
    def is_off(self) -> bool:
        """Whether it can be forgotten: without it the next publish would be treated in the same way."""
        return self._rate is None and trio.current_time() >= self._until

    async def admit(self, size: int, flush: Callable[[], None], *, queued: bool = True) -> NotNow | None:
        """Wait until a message of `size` bytes may go on, for a bounded time; why it may not, if it may not.

        `flush` is called before anything is waited for; `queued`: the message goes to the writer. Not always a
        checkpoint; safe to cancel.
        """
        now = trio.current_time()
        if now < self._until:
            self._refused += 1
            if self._refused <= self._core.limits.publish_max:
                return NotNow(self._reason, self._text, ceil(self._until - now))
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
                return self._refuse(Reason.MESSAGE_RATE_TOO_HIGH, text, rate.retry_after_s(now))
            flush()
            await trio.sleep(wait_s)
            now = trio.current_time()
        return None

    async def _wait_for_room(self, flush: Callable[[], None]) -> NotNow | None:
        batcher = self._core.batcher
        self._core.metrics.held["queue"] += 1
        flush()
        with trio.move_on_after(self._core.limits.queue_wait_max_s):
            await batcher.wait_room()
        if not batcher.full:
            return None
        retry_after_s = min(max(1, ceil(batcher.lag().oldest_s)), BUSY_RETRY_MOST_S)
        text = f"{batcher.queued_operations} operations wait to be written"
        return self._refuse(Reason.SERVER_BUSY, text, retry_after_s)

    def _refuse(self, reason: Reason, text: str, retry_after_s: int) -> NotNow:
        self._until = trio.current_time() + retry_after_s
        self._reason, self._text, self._refused = reason, text, 1
        return NotNow(reason, text, retry_after_s)


def _words(rate: Rate) -> str:
    messages_max, bytes_max, window_s = rate.bounds
    amounts = [f"{messages_max} messages"] * bool(messages_max) + [f"{bytes_max} bytes"] * bool(bytes_max)
    return f"{' and '.join(amounts)} in {window_s} s"
