"""Damping of kick ping-pong: two devices that take the same terminal type from each other in turn, on and on.

Each takeover is legitimate; only their rate is not. Past `takeovers_max` in `takeover_window_s`, a log-in that would
take over again is told to wait until the window has room.
"""

from heapq import nlargest
from itertools import islice
from math import ceil
from typing import NamedTuple

from roost_broker.recurring import Recurring

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
        self._recent: Recurring[tuple[int, str]] = Recurring(takeovers_max, window_s, KEYS_MAX)
        self.damped = 0

    def change(self, takeovers_max: int, window_s: float) -> None:
        """Go by other bounds from now on; what happened counts."""
        self._takeovers_max = takeovers_max
        self._window_s = window_s
        self._recent.change(takeovers_max, window_s, KEYS_MAX)

    def record(self, user: int, terminal: str, now: float) -> None:
        """A takeover happened."""
        self._recent.record((user, terminal), now)

    def wait_s(self, user: int, terminal: str, now: float) -> int | None:
        """How many seconds the next takeover has to wait; None: it may happen now."""
        wait_s = self._left_s(self._recent.within((user, terminal), now), now)
        if wait_s is not None:
            self.damped += 1
            self._recent.note_refusal((user, terminal))
        return wait_s

    def flapping(self, now: float, limit: int) -> "list[Flapping]":
        """Who was taken over more than once in the window, or made to wait: the most takeovers first, `limit` at most.

        Looks at the pairs that were taken over last, `LOOKED_AT_MAX` at most. Changes nothing.
        """
        found = []
        for user, terminal in islice(self._recent.latest_first(now), LOOKED_AT_MAX):
            recent = self.recent(user, terminal, now)
            if recent is not None and (recent.takeovers > 1 or recent.damped):
                found.append(recent)
        return nlargest(limit, found, key=lambda each: (each.takeovers, each.damped))

    def recent(self, user: int, terminal: str, now: float) -> Flapping | None:
        """The takeovers of one pair within the window; None if there is none. Changes nothing."""
        times = self._recent.within((user, terminal), now)
        if not times:
            return None
        damped = self._recent.refusals((user, terminal))
        return Flapping(user, terminal, len(times), damped, self._left_s(times, now))

    def _left_s(self, times: list[float], now: float) -> int | None:
        """How long it is until there is room in the window again."""
        return ceil(times[0] + self._window_s - now) if len(times) >= self._takeovers_max else None
