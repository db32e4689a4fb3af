"""Damping of kick ping-pong: two devices that take the same terminal type from each other in turn, on and on.

Each takeover is legitimate; only their rate is not. Past `takeovers_max` in `takeover_window_s`, a log-in that would
take over again is told to wait until the window has room.
"""

from collections import Counter, deque
from heapq import nlargest
from itertools import islice
from math import ceil
from typing import NamedTuple

KEYS_MAX = 10_000
"""(user, terminal type) pairs remembered at once; only those that were taken over within a window count."""


LOOKED_AT_MAX = 1_000
"""Pairs looked at when somebody asks who flaps: about half a millisecond."""


class Flapping(NamedTuple):
    """A user's terminal type that devices take from each other."""

    user: int
    terminal: str
    takeovers: int
    """Within the window; no more than are counted before log-ins wait."""
    damped: int
    """Log-ins told to wait since this began."""
    wait_s: int | None
    """How long the next one has to wait."""


class TakeoverDamper:
    """Recent takeovers of each (user, terminal type). Pure: the caller says what time it is (seconds)."""

    def __init__(self, takeovers_max: int, window_s: float) -> None:
        self._takeovers_max = takeovers_max
        self._window_s = window_s
        self._recent: dict[tuple[int, str], deque[float]] = {}
        self._damped: Counter[tuple[int, str]] = Counter()
        """Log-ins told to wait, of the pairs that are remembered, since their latest row of takeovers began."""
        self.damped = 0

    def change(self, takeovers_max: int, window_s: float) -> None:
        """Go by other bounds from now on; what happened counts."""
        if takeovers_max != self._takeovers_max:
            self._recent = {key: deque(times, maxlen=takeovers_max) for key, times in self._recent.items()}
        self._takeovers_max = takeovers_max
        self._window_s = window_s

    def record(self, user: int, terminal: str, now: float) -> None:
        """A takeover happened."""
        key = (user, terminal)
        if key not in self._recent and len(self._recent) >= KEYS_MAX:
            self._drop_old(now)
        before = self._recent.get(key)
        if before is None or before[-1] + self._window_s <= now:
            self._damped.pop(key, None)
        # The order of the dictionary is that of the latest takeover, so that the oldest is always the first.
        times = self._recent.pop(key, None) or deque(maxlen=self._takeovers_max)
        times.append(now)
        self._recent[key] = times

    def wait_s(self, user: int, terminal: str, now: float) -> int | None:
        """How many seconds the next takeover has to wait; None: it may happen now."""
        times = self._recent.get((user, terminal))
        if times is None or len(times) < self._takeovers_max:
            return None
        wait = times[0] + self._window_s - now
        if wait <= 0:
            return None
        self.damped += 1
        self._damped[user, terminal] += 1
        return ceil(wait)

    def flapping(self, now: float, limit: int) -> "list[Flapping]":
        """Who was taken over more than once in the window, or made to wait: the most takeovers first, `limit` at most.

        Looks at the pairs that were taken over last, `LOOKED_AT_MAX` at most. Changes nothing.
        """
        found = []
        for user, terminal in islice(reversed(self._recent), LOOKED_AT_MAX):
            recent = self.recent(user, terminal, now)
            if recent is None:  # nor has any that comes after it: they are in the order of their latest
                break
            if recent.takeovers > 1 or recent.damped:
                found.append(recent)
        return nlargest(limit, found, key=lambda each: (each.takeovers, each.damped))

    def recent(self, user: int, terminal: str, now: float) -> Flapping | None:
        """The takeovers of one pair within the window; None if there is none. Changes nothing."""
        times = self._recent.get((user, terminal))
        takeovers = sum(at + self._window_s > now for at in times or ())
        if times is None or not takeovers:
            return None
        wait_s = times[0] + self._window_s - now if takeovers == self._takeovers_max else 0
        return Flapping(user, terminal, takeovers, self._damped[user, terminal], ceil(wait_s) or None)

    def _drop_old(self, now: float) -> None:
        old = [key for key, times in self._recent.items() if times[-1] + self._window_s <= now]
        for key in old or [next(iter(self._recent))]:
            del self._recent[key]
            self._damped.pop(key, None)
