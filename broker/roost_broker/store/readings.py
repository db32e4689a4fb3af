"""What reads of a store give: entries and pages of them, accounts, devices, groups, counts.

Users, devices and groups go by number, as in `operations`; times are Unix time in milliseconds.
"""

from msgspec import Struct

from roost_protocol.admin.route import Role
from roost_protocol.frames import EntryKind, GapReason
from roost_protocol.hiding import shown_without_secrets
from roost_protocol.names import AddressKind


class StoredEntry(Struct, frozen=True, kw_only=True, gc=False):
    """One entry of an inbox as stored. `device_id` and `n` are there for the user's own messages.

    They go when the device is forgotten: a device that comes back with the same id counts from 1 again, and must not
    take an old count for its own.
    """

    seq: int
    kind: EntryKind
    encoded: bytes | None
    """As `codec.encode_entry` made it; None for an erased entry."""
    device_id: str | None = None
    n: int | None = None


class ConversationCount(Struct, frozen=True, kw_only=True):
    """What an inbox holds of one conversation: how many entries, and the number of the newest."""

    kind: AddressKind
    peer: int
    """The other user, or the group, by number."""
    name: str | None
    """None if there is nobody of that number any more."""
    entries: int
    newest: int


class ConversationMark(Struct, frozen=True):
    """A place in the walk over the conversations of an inbox: what comes after this entry of this conversation."""

    kind: AddressKind = "user"
    peer: int = 0
    seq: int = 0


class ConversationCounts(Struct, frozen=True, kw_only=True):
    """A part of that walk. A conversation that it ends in goes on in the next part; `next_after` is None at the end."""

    conversations: tuple[ConversationCount, ...]
    next_after: ConversationMark | None


class InboxSize(Struct, frozen=True, kw_only=True):
    """How much an inbox holds. `bytes` are those of its encoded entries, `oldest` the time of the first (ms)."""

    head: int
    floor: int
    entries: int
    bytes: int
    oldest: int | None


class InboxPage(Struct, frozen=True, kw_only=True):
    """Consecutive entries from the first kept one after the number asked for, with the bounds as of the same moment."""

    head: int
    floor: int
    """The first number still kept; head + 1 if there is none."""
    floor_reason: GapReason | None
    """The rule that moved the floor last; None if it never moved."""
    entries: tuple[StoredEntry, ...]


class FoundEntry(Struct, frozen=True, kw_only=True):
    """Where a message stands in one inbox. `inboxes`: how many got it; `device_id` and `n` as in `StoredEntry`."""

    seq: int
    kind: EntryKind
    inboxes: int
    device_id: str | None = None
    n: int | None = None
    by_admin: bool = False
    """An `own` entry that no device published: see `SendMessage`."""


class FoundMessage(Struct, frozen=True, kw_only=True):
    """A message as long as an inbox holds it. `released`: how many inboxes have let go of it.

    It was committed together with those that have the ids `batch_first` to `batch_last`; those of the batch that are
    gone from the store may be missing at either end.
    """

    encoded: bytes
    released: int
    batch_first: int
    batch_last: int


class ScrollPage(Struct, frozen=True, kw_only=True):
    """Entries of one conversation (or of all) in rising order; `more`: there are more in the direction asked for."""

    head: int
    floor: int
    entries: tuple[StoredEntry, ...]
    more: bool


class Account(Struct, frozen=True, kw_only=True):
    """A user as stored."""

    __repr__ = shown_without_secrets

    user: int
    name: str
    password_hash: str
    password_version: int
    disabled: bool
    incarnation: str
    created: int
    importing: bool = False
    """Not all of an import is here yet; see `import_operations`."""


class TokenOwner(Struct, frozen=True, kw_only=True):
    """Whose device token it is."""

    account: Account
    device_id: str


class DeviceRecord(Struct, frozen=True, kw_only=True):
    """A device as stored."""

    device: int
    device_id: str
    terminal: str
    client: str
    cursor: int
    settled_n: int
    last_seen: int


class GroupRecord(Struct, frozen=True, kw_only=True):
    """A group as stored: its owner and members (with the owner) by name, in order of user number."""

    group: int
    name: str
    owner: str
    members: tuple[str, ...]


class AdminRecord(Struct, frozen=True, kw_only=True):
    """Somebody who may administer the broker over the network, as stored."""

    name: str
    role: Role
    token_digest: bytes
    created: int


class UserRow(Struct, frozen=True, kw_only=True):
    """A user in a listing."""

    user: int
    name: str
    created: int
    disabled: bool
    head: int
    floor: int
    devices: int
    importing: bool = False


class StoreStatistics(Struct, frozen=True, kw_only=True):
    """Sizes, in bytes and counts."""

    used_bytes: int
    """Pages in use."""
    map_bytes: int
    """The bound: publishes are refused when what is used comes within the reserve of it."""
    reserve_bytes: int
    has_room: bool
    """Whether messages are taken: there is more room left than the reserve, in the store and on its disk."""
    users: int
    devices: int
    groups: int
    messages: int
    entries: int
    journal: int
    """Records."""
    damaged: int = 0
    """Records that were found damaged when they were read, since the store was opened, each counted once."""
