"""How a workload says how far it is; `screen` shows it, tests and scripts need not."""

from typing import Protocol


class Progress(Protocol):
    """One run as it is shown."""

    def update(self, done: float, text: str) -> None:
        """`done` from 0 to 1, and what is known now."""
        ...


class Unseen:
    """For a run that nobody looks at."""

    def update(self, done: float, text: str) -> None:
        """See `Progress.update`."""
