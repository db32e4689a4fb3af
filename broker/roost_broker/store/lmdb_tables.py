"""How the LMDB store lays its data out: named databases, keys, values and records.

All keys are big-endian, so that the order of bytes is the order of numbers and everything that belongs to one user,
device or group lies side by side. What is written for every message has a fixed layout (`struct`); records that
change seldom are MessagePack arrays, so that a field can be added at the end.

Two choices keep the writer cheap. *Messages* are keyed by their ids, which rise: they are appended at the right edge
of one tree, however many conversations a batch belongs to. And an inbox entry carries everything that trimming it
needs (size, conversation, the number of inboxes that got the message), so that retention never reads a body; the
bytes of an inbox are *cumulative*, so that no counter runs beside it.
"""

import struct
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import Struct

from roost_protocol.admin.route import Role
from roost_protocol.frames import GapReason
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    import lmdb

    Transaction = lmdb.Transaction[bytes]
    Cursor = lmdb.Cursor[bytes]

SCHEMA_VERSION = 3
"""The layout that this file describes. 2: journal, admins, removals. 3: awaited; more in released."""

NUMBER_END = 2**64 - 1
"""Larger than every number in a key."""


class Tables(NamedTuple):
    """The named databases, as handles of one environment; the comments give key → value."""

    meta: "lmdb._Database"  # name → see META_…
    names: "lmdb._Database"  # name of a user → user
    users: "lmdb._Database"  # user → UserRecord
    floors: "lmdb._Database"  # user → FLOOR: where an inbox begins, if it was ever trimmed
    inbox: "lmdb._Database"  # user, seq → ENTRY or OWN_ENTRY
    scroll: "lmdb._Database"  # user, kind of conversation, peer, seq → nothing
    messages: "lmdb._Database"  # message id → the encoded entry
    released: "lmdb._Database"  # message id → in how many inboxes it was trimmed, as long as some are left
    outcomes: "lmdb._Database"  # device, slot → OUTCOME
    devices: "lmdb._Database"  # device → DeviceRecord
    device_ids: "lmdb._Database"  # user, device id → device
    cursors: "lmdb._Database"  # device → CURSOR
    tokens: "lmdb._Database"  # digest of a device token → device
    sessions: "lmdb._Database"  # user, terminal type → SessionRecord
    groups: "lmdb._Database"  # group → GroupRecord
    group_names: "lmdb._Database"  # name of a group → group
    members: "lmdb._Database"  # group, user → nothing
    memberships: "lmdb._Database"  # user, group → nothing
    relations: "lmdb._Database"  # user, kind, other user → nothing
    journal: "lmdb._Database"  # number → Event
    journal_subjects: "lmdb._Database"  # kind of subject, its number, number of the record → nothing
    admins: "lmdb._Database"  # name of an admin → AdminRecord
    removals: "lmdb._Database"  # removed user → RemovalRecord; user, kind of conversation, peer → ErasedRecord
    awaited: "lmdb._Database"  # kind, name of a user or group that is not here → the number that is kept; see below


META_SCHEMA = b"schema"
"""In `meta`: NUMBER, the schema version."""
META_LAST = b"last"
"""In `meta`: COUNTERS, the last numbers given."""
META_LOST = b"lost"
"""In `meta`, if backups were restored: LOST for each, the latest last; `LOST_MAX` at most."""
LOST_MAX = 64
"""Restorations remembered: a device that was away for so many is told of a gap at the worst."""

# --- keys ---------------------------------------------------------------------------------------------------------

NUMBER = struct.Struct(">Q")
"""A user, device, group or message by its number."""
PAIR = struct.Struct(">QQ")
"""(user, seq), (group, user) or (user, group)."""
SCROLL = struct.Struct(">QBQQ")
"""(user, kind of conversation, peer, seq)."""
CONVERSATION = struct.Struct(">QBQ")
"""What the scroll keys of one conversation begin with."""
SLOT = struct.Struct(">QH")
"""(device, n mod slots)."""
RELATION = struct.Struct(">QBQ")
"""(user, kind, other user)."""
RELATION_PREFIX = struct.Struct(">QB")
"""(user, kind)."""

SUBJECT = struct.Struct(">BQ")
"""What the journal's rows of one subject begin with; the number of the record follows."""

RELATION_KINDS = {"contact": 1, "block": 2}

# --- values -------------------------------------------------------------------------------------------------------

COUNTERS = struct.Struct(">QQQQQ")
"""The last user, device, group, epoch and message id."""
LOST = struct.Struct(">QQ")
"""Message ids that a restoration has lost: those after the first, up to the second."""


def pack_lost(lost: "tuple[tuple[int, int], ...]") -> bytes:
    """See `META_LOST`."""
    return b"".join(LOST.pack(*each) for each in lost[-LOST_MAX:])


def unpack_lost(value: bytes) -> "tuple[tuple[int, int], ...]":
    """See `META_LOST`."""
    return tuple(LOST.iter_unpack(value))


FLOOR = struct.Struct(">QQB")
"""The first number kept, bytes of all entries before it, rule that moved it there (index into GAP_REASONS)."""
GAP_REASONS: tuple[GapReason, ...] = ("age", "count", "bytes")

ENTRY = struct.Struct(">QBBQIIQ")
"""Message id, kind of entry, kind of conversation, peer, bytes of the encoded entry, number of inboxes that got the
message, bytes of this inbox up to and with this entry."""
OWN_ENTRY = struct.Struct(">QBBQIIQQQ")
"""The same, then device and n: of a message in its sender's inbox."""
ID_BYTES = 8
"""An entry begins with its message id, which is the key of the message as it is."""

KIND_MESSAGE = 0
KIND_OWN = 1

WITH_USER = 0
"""A conversation with a user: the peer is the other user, or the user himself if he writes to himself."""
WITH_GROUP = 1

RELEASED = struct.Struct(">III")
"""How many inboxes have let go of the message, of how many that got it, and the bytes of its encoded entry."""
RELEASED_COUNT = struct.Struct(">I")
"""What version 2 wrote of these."""

ERASED = b"\0"
"""In `messages`, in place of the encoded entry (a MessagePack map, whose first byte is another): it was erased. The row
goes like any other, with the last inbox that lets go of the message."""

CURSOR = struct.Struct(">QQQIQ")
"""What the device has acknowledged, its highest settled n, when it was last seen (ms), how many slots its outcomes
have, and the n up to which an outcome that is not there was settled long ago (see `lmdb_publish`)."""

OUTCOME = struct.Struct(">QBQQQ16s")
"""n, reason, seq, message id, time (ms), digest; seq, id and time are 0 if nothing was stored."""


class ImportRecord(Struct, frozen=True, array_like=True):
    """A user who is being imported: from which export, and how far that is. See `import_operations`."""

    incarnation: str
    floor: int
    floor_reason: GapReason | None
    head: int
    device: int
    """The number of no device: whatever published the user's own messages is not known here."""
    last_id: int = 0
    """Message id of the last entry that came."""
    nobody: int = 0
    """The number that stands for users whom nobody knows any more; 0: none yet."""
    no_group: int = 0
    opened: bool = False
    """All entries are there."""


class UserRecord(Struct, frozen=True, array_like=True):
    """A user."""

    name: str
    password_hash: str
    password_version: int
    disabled: bool
    incarnation: str
    created: int
    since_id: int = 0
    """Messages with lower ids were sent by others, who had the name before."""
    removed: bool = False
    """Nobody may log in any more, and the name may be that of another user; see `removals`."""
    importing: ImportRecord | None = None


class RemovalRecord(Struct, frozen=True, array_like=True):
    """What is left to be done about a removed user, and what was done."""

    name: str
    at: int
    since_id: int
    until_id: int
    """Messages that the user sent have an id from `since_id` on, and below this one."""
    erasing: bool
    devices: tuple[int, ...] = ()
    """Those whose outcomes are still there."""
    relations_to: bytes = b""
    """The relations of all users up to this key do not name him any more."""
    relations_done: bool = False
    messages: int = 0
    bytes: int = 0
    conversations: int = 0


class ErasedRecord(Struct, frozen=True, array_like=True):
    """A conversation of which messages were erased, as long as nobody was told."""

    address: str
    """As the sender wrote it."""
    messages: int
    bytes: int


class DeviceRecord(Struct, frozen=True, array_like=True):
    """A device, but for what changes with every batch."""

    user: int
    device_id: str
    terminal: str
    client: str
    token_digest: bytes | None


class EndRecord(Struct, frozen=True, array_like=True):
    """How a session was ended for good."""

    reason: Reason
    by: str
    at: int
    address: str


class SessionRecord(Struct, frozen=True, array_like=True):
    """The last session of a user on a terminal type: its epoch, its device and where that came from."""

    epoch: int
    device: int
    device_id: str
    at: int
    address: str
    ended: EndRecord | None = None


class GroupRecord(Struct, frozen=True, array_like=True):
    """A group, without its members."""

    name: str
    owner: int


class AdminRecord(Struct, frozen=True, array_like=True):
    """Somebody who may administer the broker over the network."""

    role: Role
    token_digest: bytes
    created: int


UNREADABLE = (msgspec.MsgspecError, UnicodeError, struct.error, RecursionError, IndexError, OverflowError)
"""What comes of decoding a key or a value that no broker wrote: the store is damaged."""

pack_record = msgspec.msgpack.Encoder().encode
"""A record as bytes."""
user_record = msgspec.msgpack.Decoder(UserRecord).decode
device_record = msgspec.msgpack.Decoder(DeviceRecord).decode
session_record = msgspec.msgpack.Decoder(SessionRecord).decode
group_record = msgspec.msgpack.Decoder(GroupRecord).decode
admin_record = msgspec.msgpack.Decoder(AdminRecord).decode
removal_record = msgspec.msgpack.Decoder(RemovalRecord).decode
erased_record = msgspec.msgpack.Decoder(ErasedRecord).decode


def name_key(number: int, name: str) -> bytes:
    """The key of something of a user that has a name: a device id, a terminal type."""
    return NUMBER.pack(number) + name.encode()


_AWAITED = {"user": b"\0", "group": b"\1"}
_RETURNING = b"\2"


def awaited_key(kind: str, name: str) -> bytes:
    """The key of somebody who is not here, but in a conversation with somebody who is."""
    return _AWAITED[kind] + name.encode()


def returning_key(incarnation: str, name: str) -> bytes:
    """The key of a user who was removed, and can be imported again: others have entries of conversations with him."""
    return _RETURNING + incarnation.encode() + name.encode()


class Released(NamedTuple):
    """How many inboxes have let go of a message. `inboxes` got it, and its entry has `size` bytes; 0 if not known."""

    times: int
    inboxes: int = 0
    size: int = 0


def read_released(value: bytes | None) -> Released:
    """What a row of `released` says; none: nobody has let go. Raises struct.error for one that is odd."""
    if value is None:
        return Released(0)
    return Released(*(RELEASED if len(value) == RELEASED.size else RELEASED_COUNT).unpack(value))


# --- walking over keys --------------------------------------------------------------------------------------------


def keys_with_prefix(txn: "Transaction", table: "lmdb._Database", prefix: bytes) -> list[bytes]:
    """Every key that begins with `prefix`, in order. For ranges with a small bound only."""
    keys: list[bytes] = []
    with txn.cursor(table) as cursor:
        if cursor.set_range(prefix):
            for key in cursor.iternext(values=False):
                if not key.startswith(prefix):
                    break
                keys.append(key)
    return keys


def number_at_end(key: bytes) -> int:
    """The last number of a key."""
    return int.from_bytes(key[-NUMBER.size :], "big")


class Head(NamedTuple):
    """The end of an inbox: its highest number, and the bytes of all that ever came."""

    seq: int
    cumulative: int


class Start(NamedTuple):
    """Where an inbox begins: the first number kept, the bytes of all before it, the rule that moved it there."""

    floor: int
    cumulative: int
    reason: GapReason | None


def read_start(txn: "Transaction", tables: Tables, user: int) -> Start:
    """Where the inbox begins."""
    value = txn.get(NUMBER.pack(user), db=tables.floors)
    if value is None:
        return Start(1, 0, None)
    floor, cumulative, reason = FLOOR.unpack(value)
    return Start(floor, cumulative, GAP_REASONS[reason])


def read_head(txn: "Transaction", tables: Tables, user: int) -> Head:
    """Where the inbox ends: at its last entry, or just before its floor if there is none."""
    with txn.cursor(tables.inbox) as cursor:
        found = cursor.prev() if cursor.set_range(PAIR.pack(user + 1, 0)) else cursor.last()
        if found:
            key, value = cursor.item()
            owner, seq = PAIR.unpack(key)
            if owner == user:
                return Head(seq, ENTRY.unpack_from(value)[-1])
    start = read_start(txn, tables, user)
    return Head(start.floor - 1, start.cumulative)
