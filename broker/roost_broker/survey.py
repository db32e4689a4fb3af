"""A look at all live sessions: how many, how far they are, and what they have counted, in slices.

Sessions count for themselves, since nothing else is as cheap; so their sums are made when somebody asks. With ten
thousand sessions that takes some 15 ms, and nobody else waits for more than one slice of it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import trio

from roost_broker.metrics import BACKLOG_BOUNDS, ENTRIES_BOUNDS, Histogram

if TYPE_CHECKING:
    from roost_broker.core import Core
    from roost_broker.session import Session

Row = TypeVar("Row")

SLICE_SESSIONS = 128
"""Sessions looked at without letting anybody else go on: about 0.3 ms, and twice that when each is noted for `top`."""


class Survey:
    """What was seen. Counts of entries are those since the start of the node, so they only rise."""

    def __init__(self, core: "Core") -> None:
        self.terminals: Counter[str] = Counter(dict.fromkeys(core.config.terminal_types, 0))
        """Live sessions by terminal type."""
        self.backlog = Histogram(BACKLOG_BOUNDS)
        """Of each session, entries of its inbox that it was not sent yet."""
        self.window = Histogram(ENTRIES_BOUNDS)
        """Of each session, entries that it was sent and has not acknowledged."""
        self.slow = 0
        """Sessions that have a backlog and rest: their window or their outlet is full."""
        # Before anything else: a session that ends from here on is in the list of those to be looked at.
        self.sent_entries = core.metrics.ended_sent_entries
        self.freed_entries = core.metrics.ended_freed_entries

    def add(self, session: "Session") -> None:
        """Look at a session."""
        sent, freed = session.sent_entries, session.freed_entries
        self.sent_entries += sent
        self.freed_entries += freed
        if session.closed:  # since the list was made: what it has counted is all that counts
            return
        self.terminals[session.terminal] += 1
        backlog = max(0, session.inbox.head - session.position)
        self.backlog.observe(backlog)
        self.window.observe(sent - freed)
        if backlog and not session.may_deliver():
            self.slow += 1


def slices(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """The rows of something long, as many at once as may be looked at without a pause."""
    return (rows[start : start + SLICE_SESSIONS] for start in range(0, len(rows), SLICE_SESSIONS))


async def survey(core: "Core", also: "Callable[[Session], None] | None" = None) -> Survey:
    """Look at every live session; `also` is called for each that is still live. A checkpoint; safe to cancel."""
    seen = Survey(core)
    for some in slices(list(core.directory)):
        for session in some:
            seen.add(session)
            if also is not None and not session.closed:
                also(session)
        await trio.lowlevel.checkpoint()
    return seen
