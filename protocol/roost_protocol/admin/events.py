"""The journal: what happened, as it is recorded for good, and as it happens."""

from typing import Annotated, Literal

from msgspec import Meta

from roost_protocol.admin.route import Asked, Count, Limit, Route, Told
from roost_protocol.frames import Name

EventKind = Literal[
    "broker started",
    "broker stopped",
    "session opened",
    "session closed",
    "session ended",
    "log-in refused",
    "progress",
    "gap told",
    "inbox trimmed",
    "device forgotten",
    "user changed",
    "relation changed",
    "group changed",
    "records lost",
]

EventId = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
"""The number of a record: 16 hexadecimal digits, since JSON's numbers end before it does. Rises for ever."""


class EventRow(Told, frozen=True, kw_only=True):
    """One record. `at` is when it happened (Unix time, ms), `text` says it in words; the rest as far as it applies."""

    id: str
    at: int
    kind: EventKind
    text: str
    user: str | None = None
    terminal: str | None = None
    device: str | None = None
    session: int | None = None
    """The epoch."""
    by: str | None = None
    address: str | None = None
    reason: str | None = None
    first: int | None = None
    last: int | None = None
    """Numbers of an inbox: of a gap, a trim; `last` alone: pushed up to it."""
    acknowledged: int | None = None


class EventList(Told, frozen=True, kw_only=True):
    """Records in the order of their ids. `next`: the `after` (or with `newest`, the `before`) of the page that follows.

    `since`: before this moment (Unix time, ms) nothing is recorded.
    """

    events: tuple[EventRow, ...]
    next: str | None = None
    since: int


class EventQuery(Asked, frozen=True, kw_only=True):
    """Which records. `since` and `until` are Unix time in ms; `kind` may be given several times."""

    user: Name | None = None
    group: Name | None = None
    terminal: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    kind: tuple[EventKind, ...] = ()
    since: Count | None = None
    until: Count | None = None
    after: EventId | None = None
    before: EventId | None = None
    newest: bool = False
    """The last ones instead of the first."""
    limit: Limit | None = None


EVENTS_LIST = Route(
    method="GET", path="/v1/events", summary="What happened: records of the journal", query=EventQuery, gives=EventList
)
EVENTS_FOLLOW = Route(
    method="GET",
    path="/v1/events/follow",
    summary="What happens: each record of the journal once it is durable",
    query=EventQuery,
    gives=EventRow,
    streams=True,
)

ROUTES = (EVENTS_LIST, EVENTS_FOLLOW)
