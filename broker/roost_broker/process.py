"""What the process that a broker runs in does for its admins; `roost serve` does all of it."""

from collections.abc import Callable
from dataclasses import dataclass

from roost_broker.config import Config
from roost_broker.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Process:
    """Three things that a broker cannot do by itself."""

    reread: Callable[[], Settings]
    """Reads the configuration again from where it came from, in a thread. Raises ConfigurationError."""
    adopt: Callable[[Config], None]
    """Applies what of a new configuration is the process's own: from which level on it logs."""
    end: Callable[[], None]
    """Leaves the broker's block, so that it drains; idempotent."""
