"""How much a user may publish: so many messages and bytes at once, and the same again in each window.

A token bucket for each user, whatever the number of his devices. It outlives their sessions for as long as it matters,
or connecting again would fill it.
"""

from math import ceil
from typing import NamedTuple

from roost_protocol.limits import Limits

SHORTEST_WAIT_S = 0.001
"""Less is not worth a timer; and what is left of a token by rounding must not be waited for without end."""

RETRY_MOST_S = 60
"""The longest that a device is told to wait, however long the window of a site is."""

LOOKED_AT_MAX = 64
"""Users looked at, the longest unused first, to find those whose rate does not matter any more."""


class Bounds(NamedTuple):
    """What holds for a user; 0: no bound."""

    messages_max: int
    bytes_max: int
    window_s: int

    @classmethod
    def of(cls, limits: Limits) -> "Bounds":
        """As the site has set them."""
        return cls(limits.user_messages_max, limits.user_bytes_max, limits.user_rate_window_s)


class Rate:
    """What one user may publish now. Pure: the caller says what time it is (seconds)."""

    __slots__ = ("_at", "_bytes", "_messages", "bounds")

    def __init__(self, bounds: Bounds, now: float) -> None:
        self.bounds = bounds
        self._messages = float(bounds.messages_max)
        self._bytes = float(bounds.bytes_max)
        self._at = now

    def wait_s(self, now: float) -> float:
        """How long it is until another message may be published; 0.0: it may be now."""
        self._refill(now)
        wait_s = self._until_s(1.0, 0.0)
        return max(wait_s, SHORTEST_WAIT_S) if wait_s > SHORTEST_WAIT_S / 2 else 0.0

    def take(self, size: int, now: float) -> None:
        """A message of `size` bytes is published. A large one may leave a debt: then the next waits for longer."""
        self._refill(now)
        self._messages -= 1
        self._bytes -= size

    def retry_after_s(self, now: float) -> int:
        """When half of the bucket is there again: a device that waits so long may then send some in a row."""
        self._refill(now)
        wait_s = self._until_s(max(1.0, self.bounds.messages_max / 2), self.bounds.bytes_max / 2)
        return min(max(1, ceil(wait_s)), RETRY_MOST_S)

    def is_full(self, now: float) -> bool:
        """Whether nothing has to be remembered of this user."""
        self._refill(now)
        messages_max, bytes_max, _ = self.bounds
        return not (messages_max and self._messages < messages_max) and not (bytes_max and self._bytes < bytes_max)

    def _until_s(self, messages: float, size: float) -> float:
        """How long it is until at least so much is there."""
        messages_max, bytes_max, window_s = self.bounds
        lacking_s = [0.0]
        if messages_max:
            lacking_s.append((messages - self._messages) * window_s / messages_max)
        if bytes_max:
            lacking_s.append((size - self._bytes) * window_s / bytes_max)
        return max(lacking_s)

    def _refill(self, now: float) -> None:
        messages_max, bytes_max, window_s = self.bounds
        share = (now - self._at) / window_s
        self._messages = min(messages_max, self._messages + share * messages_max)
        self._bytes = min(bytes_max, self._bytes + share * bytes_max)
        self._at = now


class Rates:
    """The rates of users who publish or did so lately: `Limits.user_rates_kept_max` at most."""

    def __init__(self) -> None:
        self._rates: dict[int, Rate] = {}  # in the order of the last log-in

    def __len__(self) -> int:
        return len(self._rates)

    def of(self, user: int, limits: Limits, now: float) -> Rate | None:
        """The rate of a user who logs in; None if the site bounds none."""
        bounds = Bounds.of(limits)
        rate = self._rates.pop(user, None)
        if not (bounds.messages_max or bounds.bytes_max):
            return None
        if rate is None or rate.bounds != bounds:
            rate = Rate(bounds, now)
        if len(self._rates) >= limits.user_rates_kept_max:
            self._drop_some(limits.user_rates_kept_max, now)
        self._rates[user] = rate
        return rate

    def _drop_some(self, kept_max: int, now: float) -> None:
        looked_at = [user for user, _ in zip(self._rates, range(LOOKED_AT_MAX), strict=False)]
        for user in looked_at:
            if self._rates[user].is_full(now):
                del self._rates[user]
        while len(self._rates) >= kept_max:
            del self._rates[next(iter(self._rates))]
