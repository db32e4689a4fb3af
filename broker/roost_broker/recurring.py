"""What happens again and again to somebody: when it happened lately, in a table that is bounded.

Two things are slowed down by how often they have happened in a while: takeovers of a session (`takeovers`) and failed
log-ins (`guesses`). Both remember the newest times for each key and forget what is older than a window.
"""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

K = TypeVar("K")


class _Row:
    __slots__ = ("refused", "times")

    def __init__(self, times: deque[float]) -> None:
        self.times = times
        self.refused = 0


class Recurring(Generic[K]):
    """The newest `times_max` times at which something happened to each of `keys_max` keys, in seconds.

    Pure: the caller says what time it is. Whoever it happened to longest ago is forgotten first.
    """

    def __init__(self, times_max: int, window_s: float, keys_max: int) -> None:
        self._times_max = times_max
        self._window_s = window_s
        self._keys_max = keys_max
        # The order of the dictionary is that of the latest time, so that the oldest is always the first.
        self._rows: dict[K, _Row] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def change(self, times_max: int, window_s: float, keys_max: int) -> None:
        """Go by other bounds from now on; what happened counts."""
        if times_max != self._times_max:
            for row in self._rows.values():
                row.times = deque(row.times, maxlen=times_max)
        self._times_max, self._window_s, self._keys_max = times_max, window_s, keys_max
        while len(self._rows) > keys_max:
            del self._rows[next(iter(self._rows))]

    def record(self, key: K, now: float) -> None:
        """It happened once more."""
        row = self._rows.pop(key, None)
        if row is None:
            if len(self._rows) >= self._keys_max:
                self._drop_old(now)
            row = _Row(deque(maxlen=self._times_max))
        elif row.times[-1] + self._window_s <= now:
            row.refused = 0
        row.times.append(now)
        self._rows[key] = row

    def within(self, key: K, now: float) -> list[float]:
        """The times within the window, the oldest first; no more than are remembered."""
        row = self._rows.get(key)
        return [] if row is None else [at for at in row.times if at + self._window_s > now]

    def note_refusal(self, key: K) -> None:
        """Somebody was told to wait because of that."""
        row = self._rows.get(key)
        if row is not None:
            row.refused += 1

    def refusals(self, key: K) -> int:
        """How often that was, since it began to happen: since it had not for a whole window."""
        row = self._rows.get(key)
        return 0 if row is None else row.refused

    def latest_first(self, now: float) -> Iterator[K]:
        """Those to whom it happened within the window. Nothing may be recorded meanwhile."""
        for key, row in reversed(self._rows.items()):
            if row.times[-1] + self._window_s <= now:  # nor has it to any that comes after
                return
            yield key

    def _drop_old(self, now: float) -> None:
        old = [key for key, row in self._rows.items() if row.times[-1] + self._window_s <= now]
        for key in old or [next(iter(self._rows))]:
            del self._rows[key]
