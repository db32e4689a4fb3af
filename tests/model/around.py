"""What all devices of a run share, and the messages they say to each other."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

import trio

from roost.oracle import Recorder
from roost_broker.transport.memory import MemoryStream
from roost_protocol.frames import Entry, Publish

PASSWORD = "the same for everybody"


@dataclass(kw_only=True)
class Around:
    """What devices share: the network, the observer, chance."""

    dial: Callable[[str], Awaitable[MemoryStream]]
    record: Recorder
    random: Random
    nursery: trio.Nursery
    wire_delay_s: float
    publish_max: int
    tokens: bool
    complaints: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Body:
    """What one publish says. `padding` dots follow the text, so that a history stays short."""

    to: str
    content: str
    padding: int = 0
    data: bool = False

    @property
    def in_history(self) -> str:
        """As the history has it."""
        return f"{self.content}+{self.padding}"

    def frame(self, n: int) -> Publish:
        """The PUBLISH that says it."""
        text = self.content + "." * self.padding
        if self.data:
            return Publish(n=n, to=self.to, data=text.encode())
        return Publish(n=n, to=self.to, text=text)


def content_of(entry: Entry) -> str | None:
    """What an entry says, as `Body.in_history`; None without body."""
    text = entry.data.decode() if entry.data is not None else entry.text
    if text is None:
        return None
    content = text.rstrip(".")
    return f"{content}+{len(text) - len(content)}"
