"""Erasing what a removed user sent, in the LMDB store.

The body of a message stands in one place, so erasing it is one small write, however many inboxes hold it: `ERASED`
takes the place of the encoded entry, and every entry that refers to it is an erased one from this commit on. The
entries themselves stay as they are, so that no number, size or count has to be put right, and the row goes with the
last of them as any message does.

Whose message it is, only the message says, by name; a name may have been that of another user before, so ids tell
them apart (`UserRecord.since_id`). To which conversation it belongs, the sender's own entry says; if that was trimmed,
the address does, as far as it still stands for somebody.
"""

from itertools import islice

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from roost_broker.store import refusals
from roost_broker.store.account_operations import (
    ERASED_TYPE,
    EraseMessages,
    MessagesErased,
    Notice,
    TellErased,
    Told,
    erased_text,
)
from roost_broker.store.errors import RecordDamaged
from roost_broker.store.lmdb_batch import Batch, find_user
from roost_broker.store.lmdb_removal import find_removal, put_removal
from roost_broker.store.lmdb_seal import SEAL_BYTES, is_intact, sealed
from roost_broker.store.lmdb_tables import (
    CONVERSATION,
    ENTRY,
    ERASED,
    ID_BYTES,
    KIND_MESSAGE,
    NUMBER,
    PAIR,
    SCROLL,
    WITH_GROUP,
    WITH_USER,
    ErasedRecord,
    RemovalRecord,
    erased_record,
    find_number,
    keys_with_prefix,
    must_be_entry,
    number_at_end,
    pack_record,
    read_start,
)
from roost_broker.store.operations import Refused
from roost_protocol.codec import encode_entry
from roost_protocol.frames import Entry
from roost_protocol.names import parse_address

_NOTHING = b""


class _Envelope(Struct, frozen=True, gc=False):
    """Of an encoded entry: from whom, and where to."""

    sender: str = field(name="from")
    to: str


_envelope = msgspec.msgpack.Decoder(_Envelope).decode


class _Found(Struct, frozen=True, gc=False):
    """A message of the user, still whole."""

    key: bytes
    to: str
    bytes: int


def erase_messages(batch: Batch, op: EraseMessages) -> MessagesErased | Refused:
    """Erase the next messages that the user sent."""
    removal = find_removal(batch, op.user)
    if removal is None or not removal.erasing:
        return refusals.no_such_user(op.user)
    batch.flush()
    found, next_after = _next_messages(batch, removal, op)
    told = _Conversations(batch, op.user)
    for message in found:
        told.add(message)
        batch.txn.delete(message.key, db=batch.tables.messages)  # or a page of its own would keep what is behind
        batch.txn.put(message.key, sealed(ERASED, message.key), db=batch.tables.messages)
    told.put()
    size = sum(message.bytes for message in found)
    if found:
        removal = replace(removal, messages=removal.messages + len(found), bytes=removal.bytes + size)
        put_removal(batch, op.user, removal)
    return MessagesErased(messages=len(found), bytes=size, next_after=next_after)


def _next_messages(batch: Batch, removal: RemovalRecord, op: EraseMessages) -> tuple[list[_Found], int | None]:
    """The next messages of the user, and after which id to go on."""
    found: list[_Found] = []
    with batch.txn.cursor(batch.tables.messages) as cursor:
        if not cursor.set_range(NUMBER.pack(max(op.after + 1, removal.since_id))):
            return found, None
        for looked_at, (key, stored) in enumerate(cursor, 1):
            (message_id,) = NUMBER.unpack(key)
            if message_id >= removal.until_id:
                return found, None
            encoded = stored[:-SEAL_BYTES]
            if not is_intact(stored, key):  # nobody can read it, nor say whose it was
                batch.damaged.append(RecordDamaged("messages", key))
            elif encoded != ERASED:
                envelope = _envelope(encoded)
                if envelope.sender == removal.name:
                    found.append(_Found(key, envelope.to, len(encoded)))
            if looked_at == op.looked_at_max or len(found) == op.erased_max:
                return found, message_id
    return found, None


class _Conversations:
    """What a slice erases, by the conversations that have to be told."""

    def __init__(self, batch: Batch, user: int) -> None:
        self._batch = batch
        self._user = user
        self._rows: dict[bytes, ErasedRecord] = {}
        start = read_start(batch.txn, batch.tables, user)
        self._seq = start.floor
        """Where the user's own inbox is looked through: messages come in rising order."""
        self._head = batch.inbox(user).head

    def add(self, message: _Found) -> None:
        """A message is erased."""
        peer = self._peer(message)
        if peer is None or peer == (WITH_USER, self._user):
            return
        key = CONVERSATION.pack(self._user, *peer)
        row = self._rows.get(key) or self._stored(key) or ErasedRecord(message.to, 0, 0)
        self._rows[key] = ErasedRecord(row.address, row.messages + 1, row.bytes + message.bytes)

    def put(self) -> None:
        """Write what was added."""
        for key, row in self._rows.items():
            self._batch.txn.put(key, pack_record(row), db=self._batch.tables.removals)

    def _stored(self, key: bytes) -> ErasedRecord | None:
        value = self._batch.txn.get(key, db=self._batch.tables.removals)
        return None if value is None else erased_record(value)

    def _peer(self, message: _Found) -> tuple[int, int] | None:
        """Kind and peer of the conversation; None if nothing says it any more."""
        entry = self._own_entry(message.key)
        if entry is not None:
            _, _, kind, peer, *_ = ENTRY.unpack_from(entry)
            return kind, peer
        batch = self._batch
        kind_word, name = parse_address(message.to)
        key = find_number(batch.txn, batch.tables, kind_word, name)
        if key is None:
            return None
        (number,) = NUMBER.unpack(key)
        if kind_word == "group":
            return WITH_GROUP, number
        user = find_user(batch, number)
        had_the_name = user is not None and NUMBER.unpack(message.key)[0] >= user.since_id
        return (WITH_USER, number) if had_the_name else None

    def _own_entry(self, message_key: bytes) -> bytes | None:
        """The sender's entry of the message: ids rise with the numbers of an inbox, mostly it is one of the next."""
        low, high, step = self._seq, self._seq, 1
        while high < self._head and self._entry(high)[:ID_BYTES] < message_key:
            low, high, step = high + 1, min(high + step, self._head), step * 2
        while low < high:
            middle = (low + high) // 2
            if self._entry(middle)[:ID_BYTES] < message_key:
                low = middle + 1
            else:
                high = middle
        self._seq = low
        entry = self._entry(low) if low <= self._head else b""
        return entry if entry[:ID_BYTES] == message_key else None

    def _entry(self, seq: int) -> bytes:
        key = PAIR.pack(self._user, seq)
        return must_be_entry(self._batch.txn.get(key, db=self._batch.tables.inbox), key)


# --- telling ------------------------------------------------------------------------------------------------------


def tell_erased(batch: Batch, op: TellErased) -> Told | Refused:
    """Store the next notices."""
    removal = find_removal(batch, op.user)
    if removal is None:
        return refusals.no_such_user(op.user)
    if not removal.erasing:
        return Told(notices=(), more=False)
    batch.flush()
    if op.group is not None:
        notices, more = _tell_group(batch, op, op.group, removal), True
    else:
        notices, more = _tell_users(batch, op, removal)
    told = removal.conversations + (len(notices) if op.last else 0)
    put_removal(batch, op.user, replace(removal, conversations=told, erasing=more))
    return Told(notices=notices, more=more)


def _tell_group(batch: Batch, op: TellErased, group: int, removal: RemovalRecord) -> tuple[Notice, ...]:
    key = CONVERSATION.pack(op.user, WITH_GROUP, group)
    value = batch.txn.get(key, db=batch.tables.removals)
    if value is None:
        return ()
    if op.last:
        batch.txn.delete(key, db=batch.tables.removals)
    members = {number_at_end(key) for key in keys_with_prefix(batch.txn, batch.tables.members, NUMBER.pack(group))}
    users = members.union(op.holders) if op.last else set(op.holders) - members
    present = tuple(user for user in sorted(users) if find_user(batch, user) is not None)
    return (_store_notice(batch, removal, erased_record(value), WITH_GROUP, group, present),) if present else ()


def _tell_users(batch: Batch, op: TellErased, removal: RemovalRecord) -> tuple[tuple[Notice, ...], bool]:
    """Tell the next users that the removed one wrote to; whether there are more."""
    txn, tables = batch.txn, batch.tables
    prefix = CONVERSATION.pack(op.user, WITH_USER, 0)
    with txn.cursor(tables.removals) as cursor:
        found = cursor.set_range(prefix)
        rows = list(islice(cursor, op.conversations_max + 1)) if found else []
    rows = [(key, value) for key, value in rows if key.startswith(prefix[: NUMBER.size + 1])]
    notices = []
    for key, value in rows[: op.conversations_max]:
        _, _, peer = CONVERSATION.unpack(key)
        txn.delete(key, db=tables.removals)
        if find_user(batch, peer) is not None:
            notices.append(_store_notice(batch, removal, erased_record(value), WITH_USER, op.user, (peer,)))
    return tuple(notices), len(rows) > op.conversations_max


def _store_notice(
    batch: Batch, removal: RemovalRecord, erased: ErasedRecord, kind: int, peer: int, users: tuple[int, ...]
) -> Notice:
    """A message like any other, but that its sender has no inbox any more."""
    inboxes = [(user, batch.inbox(user)) for user in users]
    message_id = batch.next_message_id
    batch.next_message_id = message_id + 1
    batch.memory.last_message_id = message_id
    key = NUMBER.pack(message_id)
    encoded = encode_entry(
        Entry(
            id=key.hex(),
            sender=removal.name,
            to=erased.address,
            time=batch.now_ms,
            content_type=ERASED_TYPE,
            text=erased_text(removal.name, erased.messages),
        )
    )
    batch.messages.append((key, sealed(encoded, key)))
    entries = []
    for user, inbox in inboxes:
        if not inbox.entries:
            batch.touch(inbox)
        inbox.head += 1
        inbox.cumulative += len(encoded)
        value = ENTRY.pack(message_id, KIND_MESSAGE, kind, peer, len(encoded), len(users), inbox.cumulative)
        place = PAIR.pack(user, inbox.head)
        inbox.entries.append((place, sealed(value, place)))
        inbox.scroll.append((SCROLL.pack(user, kind, peer, inbox.head), _NOTHING))
        entries.append((user, inbox.head))
    return Notice(entries=tuple(entries), encoded=encoded)
