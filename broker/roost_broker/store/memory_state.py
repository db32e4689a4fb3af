"""What the in-memory model of a store knows, and what can be read off it.

A `State` is a few dicts of frozen records, keyed by the numbers that the port speaks of. Everything else is worked
out from them when it is asked for, by the plainest means: this is the specification that the other fillings of the
port are compared with, so nothing is counted, cached or indexed here.
"""

import hmac
from collections.abc import Iterator
from copy import copy
from typing import TypeVar

import msgspec
from msgspec import Struct, field

from roost_broker.store.ids import message_time_ms
from roost_broker.store.import_operations import ImportSource
from roost_broker.store.journal import AnyEvent, next_number
from roost_broker.store.operations import Hold, Owner, Retention
from roost_broker.store.readings import Account, AdminRecord
from roost_protocol.frames import GapReason
from roost_protocol.names import AddressKind, parse_address
from roost_protocol.reasons import Reason


class Conversation(Struct, frozen=True):
    """A conversation from one user's point of view: the other user (himself, if he writes to himself) or the group."""

    kind: AddressKind
    number: int


class InboxEntry(Struct, frozen=True, kw_only=True):
    """One entry of one inbox. `device` and `n` are there for the user's own messages."""

    message_id: int
    conversation: Conversation
    encoded: bytes | None
    """None if it was erased."""
    size: int
    """Bytes that were encoded, erased or not."""
    device: int | None = None
    n: int | None = None


class Start(Struct, frozen=True, kw_only=True):
    """Where an inbox begins, and the rule that moved it there last."""

    floor: int = 1
    reason: GapReason | None = None


class Device(Struct, frozen=True, kw_only=True):
    """A device of a user, its cursor and its token."""

    user: int
    device_id: str
    terminal: str
    client: str
    token_digest: bytes | None = None
    cursor: int = 0
    settled_n: int = 0
    last_seen: int


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of one publish of a device."""

    digest: bytes
    reason: Reason
    seq: int | None = None
    message_id: int | None = None
    time: int | None = None


class End(Struct, frozen=True, kw_only=True):
    """How a session was ended for good."""

    reason: Reason
    by: str
    at: int
    address: str


class Session(Struct, frozen=True, kw_only=True):
    """The last session of a user on a terminal type."""

    epoch: int
    owner: Owner
    ended: End | None = None


class Group(Struct, frozen=True, kw_only=True):
    """A group: its members are user numbers, the owner among them."""

    name: str
    owner: int
    members: frozenset[int]


class Relation(Struct, frozen=True):
    """`user` has `other` as `kind` (`contact` or `block`)."""

    user: int
    kind: str
    other: int


class Erased(Struct, frozen=True, kw_only=True):
    """What was erased in one conversation, and where that is, as the sender wrote it."""

    address: str
    messages: int = 0
    bytes: int = 0


class Removed(Struct, frozen=True, kw_only=True):
    """A removed user, of whose inbox something is left."""

    account: Account
    at: int
    until_id: int
    """Messages that he sent have lower ids."""
    erasing: bool
    to_tell: dict[Conversation, Erased] = field(default_factory=dict)
    """Never changed: another is put in its place."""
    messages: int = 0
    bytes: int = 0
    conversations: int = 0


class Importing(Struct, frozen=True, kw_only=True):
    """A user who is being imported, and how far that is."""

    source: ImportSource
    device: int
    last_id: int = 0
    nobody: int = 0
    no_group: int = 0
    opened: bool = False


class State(Struct, kw_only=True):
    """Everything a store knows. Records are frozen; a change puts another record in place of one."""

    last_user: int = 0
    last_device: int = 0
    last_group: int = 0
    last_epoch: int = 0
    last_message_id: int = 0
    last_journal: int = 0
    users: dict[int, Account] = field(default_factory=dict)
    since_ids: dict[int, int] = field(default_factory=dict)
    """User → what was sent in his name with a lower id, somebody sent who had it before."""
    removed: dict[int, Removed] = field(default_factory=dict)
    importing: dict[int, Importing] = field(default_factory=dict)
    awaited: dict[tuple[AddressKind, str], int] = field(default_factory=dict)
    """Users and groups that are not here → the number that is kept for them."""
    returning: dict[tuple[str, str], int] = field(default_factory=dict)
    """(Incarnation, name) of removed users → what their number was, if they are imported again."""
    heads: dict[int, int] = field(default_factory=dict)
    """User → the highest number in his inbox; none: 0."""
    starts: dict[int, Start] = field(default_factory=dict)
    """User → where his inbox begins; none: at 1, it was never trimmed."""
    entries: dict[tuple[int, int], InboxEntry] = field(default_factory=dict)
    """(User, seq) → entry: one for each number from the floor to the head."""
    inboxes: dict[int, int] = field(default_factory=dict)
    """Message id → how many inboxes got the message; kept for ever here."""
    devices: dict[int, Device] = field(default_factory=dict)
    outcomes: dict[tuple[int, int], Outcome] = field(default_factory=dict)
    """(Device, n) → outcome. The model forgets none as long as the device is there; a real store forgets those older
    than the newest `publish_max`, which are not looked at here."""
    sessions: dict[tuple[int, str], Session] = field(default_factory=dict)
    """(User, terminal type) → session."""
    groups: dict[int, Group] = field(default_factory=dict)
    relations: set[Relation] = field(default_factory=set)
    journal: dict[int, AnyEvent] = field(default_factory=dict)
    """Number → record."""
    admins: dict[str, AdminRecord] = field(default_factory=dict)

    def copy(self) -> "State":
        """Another state with the same records: a change to one of them does not show in the other."""
        return State(**{name: copy(getattr(self, name)) for name in self.__struct_fields__})

    def note(self, event: AnyEvent, now_ms: int) -> None:
        """Add a record to the journal."""
        self.last_journal = next_number(self.last_journal, now_ms)
        self.journal[self.last_journal] = event

    # --- numbers ---

    def new_number(self, kind: AddressKind) -> int:
        """The next number of a user or a group."""
        if kind == "user":
            self.last_user += 1
            return self.last_user
        self.last_group += 1
        return self.last_group

    def new_user(self, name: str, was: int = 0) -> int:
        """The number of a user who comes to be: the one that was kept for him, what it `was`, or a new one."""
        return self.awaited.pop(("user", name), 0) or was or self.new_number("user")

    def new_group(self, name: str) -> int:
        """The same for a group."""
        return self.awaited.pop(("group", name), 0) or self.new_number("group")

    def is_closed(self, user: int) -> bool:
        """Whether nothing may come for a user yet: he is being imported, and not all of his entries are there."""
        return user in self.importing and not self.importing[user].opened

    # --- inboxes ---

    def head(self, user: int) -> int:
        """The highest number in the inbox; 0 if nothing ever came."""
        return self.heads.get(user, 0)

    def start(self, user: int) -> Start:
        """Where the inbox begins."""
        return self.starts.get(user, Start())

    def inbox(self, user: int) -> Iterator[tuple[int, InboxEntry]]:
        """(seq, entry) of all that the inbox still holds, in order."""
        for seq in range(self.start(user).floor, self.head(user) + 1):
            yield seq, self.entries[user, seq]

    def message_bytes(self) -> int:
        """Bytes of all messages that are still in an inbox, each counted once."""
        return sum({entry.message_id: len(entry.encoded or b"") for entry in self.entries.values()}.values())

    # --- who is who ---

    def user_named(self, name: str) -> Account | None:
        """The account of this name."""
        return first(account for account in self.users.values() if account.name == name)

    def group_named(self, name: str) -> int | None:
        """The number of the group of this name."""
        return first(number for number, group in self.groups.items() if group.name == name)

    def devices_of(self, user: int) -> dict[int, Device]:
        """The devices of the user by number."""
        return {number: device for number, device in self.devices.items() if device.user == user}

    def device_of(self, user: int, device_id: str) -> int | None:
        """The number of the user's device with this id."""
        return first(number for number, device in self.devices_of(user).items() if device.device_id == device_id)

    def device_with_token(self, digest: bytes) -> int | None:
        """The number of the device whose token has this digest."""
        kept = ((number, device.token_digest) for number, device in self.devices.items())
        return first(number for number, each in kept if each is not None and hmac.compare_digest(each, digest))

    def groups_of(self, user: int) -> list[Group]:
        """The groups that the user is a member of."""
        return [group for group in self.groups.values() if user in group.members]

    def relations_of(self, user: int) -> list[Relation]:
        """The user's contacts and blocked users."""
        return [relation for relation in self.relations if relation.user == user]

    def name_of(self, kind: AddressKind, number: int) -> str | None:
        """The name of a user or a group; None if there is none of this number."""
        named = self.users.get(number) if kind == "user" else self.groups.get(number)
        return None if named is None else named.name

    def conversation(self, address: str) -> Conversation | None:
        """The conversation that an address stands for; None if there is nobody of that name."""
        kind, name = parse_address(address)
        if kind == "group":
            group = self.group_named(name)
            return None if group is None else Conversation(kind, group)
        account = self.user_named(name)
        return None if account is None else Conversation(kind, account.user)

    def recipients(self, sender: int, to: str) -> tuple[int, ...] | Reason:
        """The users that a message would reach, without its sender, in order of their numbers; or why it may not."""
        conversation = self.conversation(to)
        if conversation is None:
            return Reason.UNKNOWN_RECIPIENT
        if conversation.kind == "group":
            members = self.groups[conversation.number].members
            return tuple(sorted(members - {sender})) if sender in members else Reason.NOT_A_MEMBER
        if self.is_closed(conversation.number):
            return Reason.UNKNOWN_RECIPIENT
        if Relation(conversation.number, "block", sender) in self.relations:
            return Reason.BLOCKED
        return () if conversation.number == sender else (conversation.number,)

    # --- retention ---

    def inbox_bytes(self, user: int) -> int:
        """Bytes of all entries that the inbox holds."""
        return sum(entry.size for _, entry in self.inbox(user))

    def rule_against(
        self, user: int, seq: int, retention: Retention, hold: Hold | None, now_ms: int, kept_bytes: int
    ) -> GapReason | None:
        """The first rule by which an entry has to go when all before it are gone; None if it may stay.

        `kept_bytes` are those of it and all after it.
        """
        if seq > self.head(user):
            return None
        rule = self._rule(user, seq, retention, now_ms, kept_bytes)
        if rule is not None and hold is not None and kept_bytes <= hold.bytes_max and self._is_held(user, seq, hold):
            return None
        return rule

    def _rule(self, user: int, seq: int, retention: Retention, now_ms: int, kept_bytes: int) -> GapReason | None:
        age_ms = now_ms - message_time_ms(self.entries[user, seq].message_id)
        if retention.age_ms is not None and age_ms > retention.age_ms:
            return "age"
        if retention.count is not None and self.head(user) - seq + 1 > retention.count:
            return "count"
        if retention.bytes is not None and kept_bytes > retention.bytes:
            return "bytes"
        return None

    def _is_held(self, user: int, seq: int, hold: Hold) -> bool:
        return any(
            device.cursor < seq and (device.last_seen >= hold.seen_since or number in hold.live)
            for number, device in self.devices_of(user).items()
        )


replace = msgspec.structs.replace

T = TypeVar("T")


def first(found: Iterator[T]) -> T | None:
    """The first of what was found, if anything was."""
    return next(found, None)
