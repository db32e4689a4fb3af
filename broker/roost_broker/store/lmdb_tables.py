"""How the LMDB store lays its data out: named databases, keys, values and records.

Every record carries a checksum (`lmdb_seal`).

All keys are big-endian, so that the order of bytes is the order of numbers and everything that belongs to one user,
device or group lies side by side. What is written for every message has a fixed layout (`struct`); records that
change seldom are MessagePack arrays, so that a field can be added at the end.

Two choices keep the writer cheap. *Messages* are keyed by their ids, which rise: they are appended at the right edge
of one tree, however many conversations a batch belongs to. And an inbox entry carries everything that trimming it
needs (size, conversation, the number of inboxes that got the message), so that retention never reads a body; the
bytes of an inbox are *cumulative*, so that no counter runs beside it.
"""

import struct
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import Struct

from roost_broker.store.errors import RecordDamaged
from roost_broker.store.journal import decode_event, encode_event
from roost_broker.store.lmdb_seal import SEAL_BYTES, SealedLayout, is_intact, record_decoder, record_encoder, sealed
from roost_protocol.admin.route import Role
from roost_protocol.frames import GapReason
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    import lmdb

    Transaction = lmdb.Transaction[bytes]
    Cursor = lmdb.Cursor[bytes]

SCHEMA_VERSION = 4
"""The layout that this file describes. 2: journal, admins, removals. 3: awaited; more in released. 4: checksums."""

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


STORED_AS = MappingProxyType({"inbox": "inbox.4", "messages": "messages.4"})
"""Tables that have another name in the file, since version 4: those that were written anew to be sealed."""


def name_in_file(table: str, version: int = SCHEMA_VERSION) -> bytes:
    """The name of the named database of a table in a store of this version."""
    return (STORED_AS.get(table, table) if version >= _SEALED_SINCE else table).encode()


_SEALED_SINCE = 4

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

COUNTERS = SealedLayout(">QQQQQ", "meta")
"""The last user, device, group, epoch and message id."""
LOST = struct.Struct(">QQ")
"""Message ids that a restoration has lost: those after the first, up to the second."""


def read_counters(value: bytes | None) -> tuple[int, int, int, int, int]:
    """The last numbers given, also out of a store before version 4, which did not seal them. Raises RecordDamaged."""
    if value is None:
        return (0, 0, 0, 0, 0)
    if len(value) == COUNTERS.size - SEAL_BYTES:
        value = sealed(value)
    user, device, group, epoch, message_id = COUNTERS.unpack(value)
    return user, device, group, epoch, message_id


def pack_counters(counters: "tuple[int, ...]", *, like: bytes | None) -> bytes:
    """The last numbers given, sealed unless those that were there (`like`) were not: of an older version."""
    packed = COUNTERS.pack(*counters)
    unsealed_before = like is not None and len(like) == COUNTERS.size - SEAL_BYTES
    return packed[:-SEAL_BYTES] if unsealed_before else packed


def pack_lost(lost: "tuple[tuple[int, int], ...]") -> bytes:
    """See `META_LOST`."""
    return b"".join(LOST.pack(*each) for each in lost[-LOST_MAX:])


def unpack_lost(value: bytes) -> "tuple[tuple[int, int], ...]":
    """See `META_LOST`."""
    return tuple(LOST.iter_unpack(value))


FLOOR = SealedLayout(">QQB", "floors")
"""The first number kept, bytes of all entries before it, rule that moved it there (index into GAP_REASONS)."""
GAP_REASONS: tuple[GapReason, ...] = ("age", "count", "bytes")

ENTRY = struct.Struct(">QBBQIIQ")
"""Message id, kind of entry, kind of conversation, peer, bytes of the encoded entry, number of inboxes that got the
message, bytes of this inbox up to and with this entry. Sealed with its key (`lmdb_seal`), like the next."""
OWN_ENTRY = struct.Struct(">QBBQIIQQQ")
"""The same, then device and n: of a message in its sender's inbox."""
ID_BYTES = 8
"""An entry begins with its message id, which is the key of the message as it is."""

KIND_MESSAGE = 0
KIND_OWN = 1

WITH_USER = 0
"""A conversation with a user: the peer is the other user, or the user himself if he writes to himself."""
WITH_GROUP = 1

RELEASED = SealedLayout(">III", "released")
"""How many inboxes have let go of the message, of how many that got it, and the bytes of its encoded entry."""
RELEASED_COUNT = SealedLayout(">I", "released")
"""What version 2 wrote of these."""

ERASED = b"\0"
"""In `messages`, in place of the encoded entry (a MessagePack map, whose first byte is another): it was erased. The row
goes like any other, with the last inbox that lets go of the message. Sealed with its key, as an encoded entry is."""

CURSOR = SealedLayout(">QQQIQ", "cursors")
"""What the device has acknowledged, its highest settled n, when it was last seen (ms), how many slots its outcomes
have, and the n up to which an outcome that is not there was settled long ago (see `lmdb_publish`)."""

OUTCOME = SealedLayout(">QBQQQ16s", "outcomes")
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


DECODE_ERRORS = (msgspec.MsgspecError, UnicodeError, struct.error, RecursionError, IndexError, OverflowError)
"""What comes of decoding a key or a value that no broker wrote: the store is damaged."""

pack_record = record_encoder(msgspec.msgpack.Encoder().encode)
"""A record as bytes. Those below raise RecordDamaged."""
pack_event = record_encoder(encode_event)
user_record = record_decoder(msgspec.msgpack.Decoder(UserRecord).decode, "users")
device_record = record_decoder(msgspec.msgpack.Decoder(DeviceRecord).decode, "devices")
session_record = record_decoder(msgspec.msgpack.Decoder(SessionRecord).decode, "sessions")
group_record = record_decoder(msgspec.msgpack.Decoder(GroupRecord).decode, "groups")
event_record = record_decoder(decode_event, "journal")
admin_record = record_decoder(msgspec.msgpack.Decoder(AdminRecord).decode, "admins")
removal_record = record_decoder(msgspec.msgpack.Decoder(RemovalRecord).decode, "removals")
erased_record = record_decoder(msgspec.msgpack.Decoder(ErasedRecord).decode, "removals")


def name_key(number: int, name: str) -> bytes:
    """The key of something of a user that has a name: a device id, a terminal type."""
    return NUMBER.pack(number) + name.encode()


def find_number(txn: "Transaction", tables: Tables, kind: str, name: str) -> bytes | None:
    """The number, as a key, of the user or group of this name; None if there is none. Raises RecordDamaged.

    The number itself has no checksum: whoever it leads to must have the name.
    """
    is_user = kind == "user"
    key = txn.get(name.encode(), db=tables.names if is_user else tables.group_names)
    if key is None:
        return None
    stored = txn.get(key, db=tables.users if is_user else tables.groups)
    found = None if stored is None else user_record(stored).name if is_user else group_record(stored).name
    if found != name:
        raise RecordDamaged("names" if is_user else "group_names", name.encode(), "it leads to another, or to nobody")
    return key


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
    """What a row of `released` says; none: nobody has let go. Raises RecordDamaged."""
    if value is None:
        return Released(0)
    return Released(*(RELEASED if len(value) == RELEASED.size else RELEASED_COUNT).unpack(value))


def is_entry(stored: bytes, key: bytes) -> bool:
    """Whether this is an inbox entry as it was written under this key."""
    return is_intact(stored, key)


def must_be_entry(stored: bytes | None, key: bytes) -> bytes:
    """The inbox entry under this key. Raises RecordDamaged."""
    if stored is None:
        raise RecordDamaged("inbox", key, "it is not there")
    if not is_entry(stored, key):
        raise RecordDamaged("inbox", key)
    return stored[:-SEAL_BYTES]


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
        if not found or not cursor.key().startswith(NUMBER.pack(user)):
            start = read_start(txn, tables, user)
            return Head(start.floor - 1, start.cumulative)
        key, value = cursor.item()
        if is_entry(value, key):
            return Head(number_at_end(key), ENTRY.unpack_from(value)[-1])
        return _head_at_damage(txn, tables, user, cursor)


DAMAGED_AT_HEAD_MAX = 64
"""Entries at the end of an inbox that may be damaged one after the other, and its head still be known."""


def _head_at_damage(txn: "Transaction", tables: Tables, user: int, cursor: "Cursor") -> Head:
    """The head of an inbox whose last entry is damaged.

    It is known if that entry has the number which follows the one before: then its key is as it was. If it does not,
    then the last entry has lost its number, and to go on from the one before would give that a second time. Raises
    RecordDamaged.
    """
    last_key = cursor.key()
    start = read_start(txn, tables, user)
    seqs: list[int] = []
    cumulative = start.cumulative
    expected = start.floor
    while len(seqs) <= DAMAGED_AT_HEAD_MAX and cursor.key().startswith(NUMBER.pack(user)):
        key, value = cursor.item()
        if is_entry(value, key):
            expected, cumulative = number_at_end(key) + 1, ENTRY.unpack_from(value)[-1]
            break
        seqs.append(number_at_end(key))
        if not cursor.prev():
            break
    if seqs[::-1] != list(range(expected, expected + len(seqs))):
        raise RecordDamaged(
            "inbox", last_key, "it has a number that does not follow, so the end of the inbox is unknown"
        )
    return Head(seqs[0], cumulative)
