"""One user's inbox: its entries, live or not, and what is in it. What a message says is a route of its own."""

from typing import Annotated, Literal

from msgspec import Meta, field

from roost_protocol.admin.route import Asked, Count, Limit, Route, Told
from roost_protocol.frames import AddressText, GapReason
from roost_protocol.limits import NUMBER_MAX
from roost_protocol.names import parse_address

Seq = Annotated[int, Meta(ge=1, le=NUMBER_MAX)]


class InboxQuery(Asked, frozen=True, kw_only=True):
    """Which entries: the numbers `from` to `to`, both included; of one conversation; the `newest` so many of those.

    A page ends where it is full; what follows is asked for with `next` of the answer as `from`, without `newest`.
    """

    first: Seq | None = field(default=None, name="from")
    last: Seq | None = field(default=None, name="to")
    newest: Limit | None = None
    conversation: AddressText | None = None
    limit: Limit | None = None

    def __post_init__(self) -> None:
        """Check the address, and that there is something between the numbers. Raises ValueError."""
        if self.conversation is not None:
            parse_address(self.conversation)
        if self.first is not None and self.last is not None and self.last < self.first:
            raise ValueError(f"from {self.first} to {self.last} there is nothing")


class InboxEntry(Told, frozen=True, kw_only=True, omit_defaults=True):
    """One entry. `bytes` are those of the entry as stored; `time` is Unix time in ms.

    `message` is from somebody else, `own` from this user, `erased` has only its number left, and so has
    `damaged`: the store cannot read it any more. A `gap` is no entry: the
    numbers `seq` to `last` are gone, by the rule `reason`. `text` and `data` (base64) are there only where bodies are
    asked for.
    """

    seq: int
    kind: Literal["message", "own", "erased", "damaged", "gap"]
    time: int = 0
    sender: str = field(default="", name="from")
    to: str = ""
    content_type: str = field(default="", name="type")
    entry_bytes: int = field(default=0, name="bytes")
    id: str = ""
    device: str | None = None
    n: int | None = None
    text: str | None = None
    data: bytes | None = None
    last: int | None = None
    reason: GapReason | None = None


class InboxEntries(Told, frozen=True, kw_only=True):
    """A page of entries in rising order; `next` is the number to go on from, None at the end."""

    head: int
    floor: int
    entries: tuple[InboxEntry, ...]
    next: int | None = None


class InboxFollow(Asked, frozen=True, kw_only=True):
    """From where to follow: what comes `after` a number, or what comes from now on."""

    after: Count | None = None


class StatQuery(Asked, frozen=True, kw_only=True):
    """How many conversations to tell of, those with the newest messages first."""

    conversations: Limit = 20


class Conversation(Told, frozen=True, kw_only=True):
    """What the inbox holds of one conversation."""

    address: str
    """Of the other user or the group; by number (`user/#7`) if there is no such name any more."""
    entries: int
    newest: int
    """The number of its newest entry."""


class InboxStat(Told, frozen=True, kw_only=True):
    """What one inbox holds. `oldest` is the time of the first entry (Unix time, ms)."""

    user: str
    head: int
    floor: int
    floor_reason: GapReason | None
    entries: int
    bytes: int
    oldest: int | None
    conversations: int
    """How many there are."""
    newest: tuple[Conversation, ...]
    """Of some of them, as many as were asked for."""


_PATH = "/v1/users/{user}/inbox"

INBOX_SHOW = Route(
    method="GET", path=_PATH, summary="Entries of an inbox, without their bodies", query=InboxQuery, gives=InboxEntries
)
INBOX_BODIES = Route(
    method="GET",
    path=f"{_PATH}/bodies",
    summary="Entries of an inbox, with their bodies",
    query=InboxQuery,
    gives=InboxEntries,
    role="admin",
    audited=True,
)
INBOX_TAIL = Route(
    method="GET",
    path=f"{_PATH}/tail",
    summary="Entries of an inbox as they come, without their bodies",
    query=InboxFollow,
    gives=InboxEntry,
    streams=True,
)
INBOX_TAIL_BODIES = Route(
    method="GET",
    path=f"{_PATH}/tail/bodies",
    summary="Entries of an inbox as they come, with their bodies",
    query=InboxFollow,
    gives=InboxEntry,
    streams=True,
    role="admin",
    audited=True,
)
INBOX_STAT = Route(
    method="GET", path=f"{_PATH}/stat", summary="What an inbox holds, by conversation", query=StatQuery, gives=InboxStat
)

ROUTES = (INBOX_SHOW, INBOX_BODIES, INBOX_TAIL, INBOX_TAIL_BODIES, INBOX_STAT)
