"""How long to wait before the next attempt: longer each time, bounded, and jittered against herds of devices."""

from random import Random

from msgspec import Struct


class Backoff(Struct, frozen=True, kw_only=True):
    """Delays of `first_s`, then `factor` times the one before, up to `most_s`; each shortened by a random part.

    `jitter` is the largest part (0 to 1) that is taken off: with 0.5 a delay of 8 s becomes 4 to 8 s, with 1 it
    becomes 0 to 8 s. A thousand devices that lost the same broker at the same moment so come back spread out. The
    defaults are those of `docs/protocol.md`, "Takeover and reconnecting". Raises ValueError for values that make no
    sense.
    """

    first_s: float = 1.0
    factor: float = 2.0
    most_s: float = 60.0
    jitter: float = 1.0

    def __post_init__(self) -> None:
        """Check the values against each other."""
        if not 0 < self.first_s <= self.most_s:
            raise ValueError(f"a back-off has 0 < first_s <= most_s, found {self.first_s} and {self.most_s}")
        if self.factor < 1:
            raise ValueError(f"a back-off has a factor of at least 1, found {self.factor}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"a back-off has a jitter of 0 to 1, found {self.jitter}")

    def delay_s(self, attempt: int, random: Random) -> float:
        """Seconds before attempt number `attempt` (from 0)."""
        try:
            full = min(self.most_s, self.first_s * self.factor**attempt)
        except OverflowError:
            full = self.most_s
        return full * random.uniform(1 - self.jitter, 1)
