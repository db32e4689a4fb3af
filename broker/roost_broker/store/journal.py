"""What the journal records: who was here, how far each session was, what was lost, what changed.

The journal is what `explain`, `events` and the history of a user's kicks answer from, so it is exact and not sampled:
what a store operation does is recorded in its own transaction, and what only the broker knows (how far a session was
pushed and has acknowledged, gaps, ends) comes in `WriteJournal` with the batches. A delivery is no record of its own:
`Progress` says how far a session was at a moment, at most once a second, so a number was pushed after the last moment
at which the session was before it and up to the first at which it was not.

A record has a *number* that rises for ever and begins with its time, so that a moment can be found: milliseconds above,
20 bits below. It stands in the order in which records became durable; `at` is when the thing happened. Users, devices
and groups go by number, as everywhere in a store; names are what they were at the time.
"""

from typing import NamedTuple

import msgspec
from msgspec import Struct

from roost_protocol.frames import GapReason

_COUNTER_BITS = 20


class Event(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One record. `at`: Unix time, ms."""

    at: int


class BrokerStarted(Event, frozen=True, kw_only=True, tag=1):
    """A broker opened the store. Whatever was open before and has no end was cut off when the one before stopped."""

    version: str


class BrokerStopped(Event, frozen=True, kw_only=True, tag=2):
    """The broker drained: every session before this has its end in the journal."""


class UserEvent(Event, frozen=True, kw_only=True):
    """Something of a user."""

    user: int


class SessionOpened(UserEvent, frozen=True, kw_only=True, tag=3):
    """A log-in was committed. `position`: delivery begins after it; what the device held before, it says, it has."""

    device: int
    device_id: str
    terminal: str
    epoch: int
    last_seq: int
    newest: int | None
    position: int
    head: int
    floor: int
    client: str
    address: str
    resumed: bool
    start_over: bool
    took_over: str | None


class SessionClosed(UserEvent, frozen=True, kw_only=True, tag=4):
    """A live session ended. `reason` is None if the connection was lost without a word.

    `pushed` and `acknowledged` are the last numbers that were, `by` and `address` say who did it, if somebody did.
    """

    device: int
    device_id: str
    terminal: str
    epoch: int
    pushed: int
    acknowledged: int
    reason: int | None
    text: str
    by: str
    address: str


class Progress(UserEvent, frozen=True, kw_only=True, tag=5):
    """How far a session was at this moment."""

    device: int
    epoch: int
    pushed: int
    acknowledged: int


class GapTold(UserEvent, frozen=True, kw_only=True, tag=6):
    """A session was told that these numbers are gone."""

    device: int
    epoch: int
    first: int
    last: int
    reason: GapReason


class SessionEnded(UserEvent, frozen=True, kw_only=True, tag=7):
    """A session was ended for good, whether or not its device was connected."""

    terminal: str
    device_id: str
    epoch: int
    reason: int
    by: str
    address: str
    text: str = ""
    """Why, as whoever ended it said."""


class LoginRefused(UserEvent, frozen=True, kw_only=True, tag=8):
    """A device with a right credential was not let in: its session was taken over or ended, or it has to wait.

    The first such refusal of a device in a while; one that tries on and on is not recorded each time.
    """

    device_id: str
    terminal: str
    reason: int
    by: str
    address: str


class InboxTrimmed(UserEvent, frozen=True, kw_only=True, tag=9):
    """Retention took these numbers."""

    first: int
    last: int
    reason: GapReason


class DeviceForgotten(UserEvent, frozen=True, kw_only=True, tag=10):
    """A device long unseen is not known any more."""

    device: int
    device_id: str


class UserChanged(UserEvent, frozen=True, kw_only=True, tag=11):
    """An account changed: `created`, `password`, and what else `what` may come to say."""

    name: str
    what: str
    by: str = ""
    """The admin who did it, where that is recorded."""


class RelationChanged(UserEvent, frozen=True, kw_only=True, tag=12):
    """A contact or block was added or removed."""

    relation: str
    other: int
    other_name: str
    present: bool


class GroupChanged(Event, frozen=True, kw_only=True, tag=13):
    """Members came or went. `by` is the user who did it, None for an admin."""

    group: int
    name: str
    by: int | None
    added: tuple[int, ...]
    removed: tuple[int, ...]


class RecordsLost(Event, frozen=True, kw_only=True, tag=14):
    """So many records could not be kept: the store had no room for too long."""

    count: int


AnyEvent = (
    BrokerStarted
    | BrokerStopped
    | SessionOpened
    | SessionClosed
    | Progress
    | GapTold
    | SessionEnded
    | LoginRefused
    | InboxTrimmed
    | DeviceForgotten
    | UserChanged
    | RelationChanged
    | GroupChanged
    | RecordsLost
)

encode_event = msgspec.msgpack.Encoder().encode
"""A record as bytes."""
decode_event = msgspec.msgpack.Decoder(AnyEvent).decode


class Subject(NamedTuple):
    """Whom a record is about: what it can be looked up by."""

    kind: int
    number: int


_BROKER, _USER, _GROUP = range(3)
BROKER = Subject(_BROKER, 0)
"""The broker itself: when it started, stopped, lost records."""


def user_subject(user: int) -> Subject:
    """Everything of a user."""
    return Subject(_USER, user)


def group_subject(group: int) -> Subject:
    """Everything of a group."""
    return Subject(_GROUP, group)


def subjects(event: Event) -> tuple[Subject, ...]:
    """All that a record is about."""
    if isinstance(event, UserEvent):
        return (user_subject(event.user),)
    if isinstance(event, GroupChanged):
        return (group_subject(event.group), *(user_subject(user) for user in (*event.added, *event.removed)))
    return (BROKER,)


class JournalRow(NamedTuple):
    """A record with its number."""

    number: int
    event: AnyEvent


class JournalPage(Struct, frozen=True, kw_only=True):
    """Records in rising order of their numbers. `first` is the oldest number kept at all, 0 if there is none.

    `more`: there are more in the direction asked for.
    """

    first: int
    rows: tuple[JournalRow, ...]
    more: bool


def next_number(last: int, now_ms: int) -> int:
    """The number of the record after the one with number `last`."""
    return max(last + 1, first_number_at(now_ms))


def first_number_at(time_ms: int) -> int:
    """The lowest number that a record of this moment can have."""
    return time_ms << _COUNTER_BITS


def number_time_ms(number: int) -> int:
    """When the record became durable."""
    return number >> _COUNTER_BITS
