"""Why a device has, or has not, a message: from the journal and the store, not from samples."""

from typing import Annotated, Literal

from msgspec import Meta

from roost_protocol.admin.route import Asked, Route, Told
from roost_protocol.frames import Name

Verdict = Literal["acknowledged", "passed over", "in window", "waiting", "offline", "lost", "unknown"]
"""How one device stands to one entry.

`acknowledged`: it has said that it holds it. `passed over`: at a log-in it said that it holds it already, or asked for
newer ones only. `in window`: pushed, not acknowledged yet. `waiting`: connected, and something is before it. `offline`:
not connected, it comes with the next log-in. `lost`: retention took it before the device had it. `unknown`: the device
or the journal does not go back so far.
"""


What = Literal["logged in", "passed over", "pushed", "acknowledged", "gap told", "closed", "cut off", "forgotten"]
"""What can happen on the way of an entry to a device."""


class Step(Told, frozen=True, kw_only=True):
    """Something that happened, by `at` (Unix time, ms) at the latest and after `since`, where that is not the same."""

    at: int
    since: int | None = None
    what: What
    session: int | None = None
    """The epoch of the session."""
    text: str


class DeviceExplained(Told, frozen=True, kw_only=True):
    """One device and one entry."""

    device: str
    terminal: str
    verdict: Verdict
    since: int | None = None
    """Unix time, ms: since when it is offline."""
    text: str
    steps: tuple[Step, ...]


class InboxExplained(Told, frozen=True, kw_only=True):
    """One inbox and one message. `text` says where the entry is, or why it is not there."""

    user: str
    seq: int | None
    state: Literal["kept", "erased", "damaged", "trimmed"]
    text: str
    devices: tuple[DeviceExplained, ...]


class MessageFacts(Told, frozen=True, kw_only=True):
    """A message as stored. It was committed as number `batch_place` of `batch_size` (of those that are kept still)."""

    id: str
    sender: str
    to: str
    time: int
    content_type: str
    body_bytes: int
    device: str | None
    """That published it, with its count `n`; None if the device is not known any more, or it was none."""
    n: int | None
    by_admin: bool
    """An admin sent it in the name of its sender; no device did."""
    inboxes: int
    """How many got it; `released` of them have let go of it since."""
    released: int
    batch_first: str
    batch_place: int
    batch_size: int


class Explanation(Told, frozen=True, kw_only=True):
    """What there is to say. `journal_since`: before this moment (Unix time, ms) nothing is recorded."""

    message: MessageFacts | None
    """None if the message is gone: trimmed or erased."""
    inboxes: tuple[InboxExplained, ...]
    more: int = 0
    """Inboxes that are not explained here: ask for them by user."""
    journal_since: int


class PublishExplained(Told, frozen=True, kw_only=True):
    """What came of publish `n` of a device.

    `stored`: it is entry `seq` of its user, the message `id`. `refused`: nobody got it, for `reason`. `not settled`: it
    has not come here, or was told to wait. `long ago`: it was settled, and what came of it is not kept any more.
    """

    user: str
    device: str
    n: int
    state: Literal["stored", "refused", "not settled", "long ago"]
    reason: str | None = None
    seq: int | None = None
    id: str | None = None
    time: int | None = None
    settled_n: int
    """The highest of its publishes that is settled."""


class ExplainEntry(Asked, frozen=True, kw_only=True):
    """Which devices."""

    terminal: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


class ExplainMessage(Asked, frozen=True, kw_only=True):
    """Which inboxes and devices."""

    user: Name | None = None
    terminal: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


EXPLAIN_ENTRY = Route(
    method="GET",
    path="/v1/users/{user}/inbox/{seq}/explain",
    summary="Why devices of a user have, or have not, an entry",
    query=ExplainEntry,
    gives=Explanation,
)
EXPLAIN_MESSAGE = Route(
    method="GET",
    path="/v1/messages/{id}/explain",
    summary="Where a message went, and what became of it on every device",
    query=ExplainMessage,
    gives=Explanation,
)

EXPLAIN_PUBLISH = Route(
    method="GET",
    path="/v1/users/{user}/devices/{device}/publishes/{n}/explain",
    summary="What came of a publish of a device, also if it was refused",
    gives=PublishExplained,
)

ROUTES = (EXPLAIN_ENTRY, EXPLAIN_MESSAGE, EXPLAIN_PUBLISH)
