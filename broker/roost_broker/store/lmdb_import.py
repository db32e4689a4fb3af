"""Users who come with the inbox that they had elsewhere, in the LMDB store.

A slice is checked as a whole first, against the messages that are here, and then written: its messages in their places
among those of their time (not at the end, where new ones go), and the entries at the end of the inbox.

How many inboxes got a message stands in its entries, and beside the count of those that have let go of it (`released`):
a message that another inbox can be added to has that row, so an import need not look for the entries of others.
"""

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from roost_broker.store import import_refusals, refusals
from roost_broker.store.ids import message_time_ms, new_incarnation
from roost_broker.store.import_operations import (
    AHEAD_MS,
    BeginImport,
    EndImport,
    EntriesImported,
    EntryOrigin,
    ImportBegun,
    ImportedEntry,
    ImportEntries,
    ImportSource,
    OpenImport,
)
from roost_broker.store.lmdb_batch import Batch, Row, find_user
from roost_broker.store.lmdb_seal import sealed, unsealed
from roost_broker.store.lmdb_tables import (
    ENTRY,
    ERASED,
    FLOOR,
    GAP_REASONS,
    KIND_MESSAGE,
    KIND_OWN,
    NUMBER,
    OWN_ENTRY,
    PAIR,
    RELEASED,
    SCROLL,
    WITH_GROUP,
    WITH_USER,
    ImportRecord,
    Released,
    Tables,
    UserRecord,
    awaited_key,
    find_number,
    group_record,
    is_entry,
    pack_record,
    read_head,
    read_released,
    read_start,
    removal_record,
    returning_key,
    user_record,
)
from roost_broker.store.noted import user_imported
from roost_broker.store.operations import Done, Refused
from roost_protocol.names import AddressKind

if TYPE_CHECKING:
    from roost_broker.store.lmdb_tables import Transaction

_NOTHING = b""
_CREATED_BITS = 20  # below the time in a message id: what was sent later than that has a higher one


def begin_import(batch: Batch, op: BeginImport) -> ImportBegun | Refused:
    """Create an account for an import, or find the one that it goes on with."""
    key = find_number(batch.txn, batch.tables, "user", op.name)
    if key is not None:
        (number,) = NUMBER.unpack(key)
        user = find_user(batch, number)
        if user is None or user.importing is None:
            return import_refusals.name_taken(op.name)
        if _source(user) != op.source:
            return import_refusals.another_export(op.name, _source(user), op.source)
        return _begun(batch, number, user.importing, fresh=False)
    if _is_being_cleared(batch, op.name):
        return import_refusals.still_clearing(op.name)
    memory, source = batch.memory, op.source
    was = batch.txn.pop(returning_key(source.incarnation, op.name), db=batch.tables.awaited)
    number = take_number(batch, "user", op.name, was)
    memory.forget_routes()
    memory.last_device += 1
    importing = ImportRecord(
        incarnation=source.incarnation,
        floor=source.floor,
        floor_reason=source.floor_reason,
        head=source.head,
        device=memory.last_device,
    )
    user = UserRecord(
        name=op.name,
        password_hash=op.password_hash,
        password_version=1,
        disabled=True,
        incarnation=new_incarnation(batch.random),
        created=source.created,
        since_id=min(source.created << _CREATED_BITS, batch.memory.last_message_id + 1),
        importing=importing,
    )
    batch.txn.put(op.name.encode(), NUMBER.pack(number), db=batch.tables.names)
    batch.txn.put(NUMBER.pack(number), pack_record(user), db=batch.tables.users)
    if source.floor > 1:
        rule = GAP_REASONS.index(source.floor_reason or "age")
        batch.txn.put(NUMBER.pack(number), FLOOR.pack(source.floor, 0, rule), db=batch.tables.floors)
    memory.inboxes.pop(number, None)
    batch.note(user_imported(number, op.name, op.by, done=False, now_ms=batch.now_ms))
    return _begun(batch, number, importing, fresh=True)


def _source(user: UserRecord) -> ImportSource:
    importing = user.importing
    assert importing is not None  # noqa: S101  # the caller has looked
    return ImportSource(
        created=user.created,
        incarnation=importing.incarnation,
        floor=importing.floor,
        floor_reason=importing.floor_reason,
        head=importing.head,
    )


def _begun(batch: Batch, user: int, importing: ImportRecord, *, fresh: bool) -> ImportBegun:
    opened = importing.opened
    next_seq = importing.head + 1 if opened else batch.inbox(user).head + 1
    return ImportBegun(user=user, next_seq=next_seq, last_id=importing.last_id, opened=opened, fresh=fresh)


def _is_being_cleared(batch: Batch, name: str) -> bool:
    """Whether something is left of a removed user who had this name. As many reads as there are removals."""
    after = 0
    with batch.txn.cursor(batch.tables.removals) as cursor:
        while cursor.set_range(NUMBER.pack(after + 1)):
            key, value = cursor.item()
            (after,) = NUMBER.unpack(key[: NUMBER.size])
            if removal_record(value).name == name:
                return True
    return False


def take_number(batch: Batch, kind: AddressKind, name: str, was: bytes | None = None) -> int:
    """The number of a user or group that comes to be: the one that was kept for it, what it `was`, or a new one."""
    value = batch.txn.pop(awaited_key(kind, name), db=batch.tables.awaited) or was
    return _new_number(batch, kind) if value is None else int(NUMBER.unpack(value)[0])


def _new_number(batch: Batch, kind: AddressKind) -> int:
    memory = batch.memory
    if kind == "user":
        memory.last_user += 1
        return memory.last_user
    memory.last_group += 1
    return memory.last_group


# --- entries ------------------------------------------------------------------------------------------------------


class _Found(NamedTuple):
    """A message as it is here, and who has let go of it."""

    encoded: bytes
    released: Released


def import_entries(batch: Batch, op: ImportEntries) -> EntriesImported | Refused:
    """Add the next entries."""
    user = find_user(batch, op.user)
    if user is None or user.importing is None or user.importing.opened:
        return import_refusals.no_import(op.user)
    if not batch.has_room():
        return refusals.no_room()
    batch.flush()
    head, last_id = batch.inbox(op.user).head, user.importing.last_id
    found: list[_Found | None] = []
    for entry in op.entries:
        message = _find(batch, entry.message_id)
        refused = _out_of_order(entry, head, last_id, user.importing.head, batch.now_ms) or _at_odds(entry, message)
        if refused is not None:
            return refused
        found.append(message)
        head, last_id = entry.seq, entry.message_id
    slice_ = _Slice(batch, op.user, user.importing)
    for entry, message in zip(op.entries, found, strict=True):
        slice_.add(entry, message)
    slice_.put()
    importing = replace(slice_.importing, last_id=last_id)
    batch.txn.put(NUMBER.pack(op.user), pack_record(replace(user, importing=importing)), db=batch.tables.users)
    batch.memory.last_message_id = max(batch.memory.last_message_id, last_id)
    batch.next_message_id = max(batch.next_message_id, last_id + 2)
    return slice_.told


def _find(batch: Batch, message_id: int) -> _Found | None:
    key = NUMBER.pack(message_id)
    stored = batch.txn.get(key, db=batch.tables.messages)
    if stored is None:
        return None
    return _Found(unsealed(stored, "messages", key), read_released(batch.txn.get(key, db=batch.tables.released)))


def _out_of_order(entry: ImportedEntry, head: int, last_id: int, last: int, now_ms: int) -> Refused | None:
    if entry.seq != head + 1:
        return import_refusals.out_of_step(entry, head + 1)
    if entry.seq > last:
        return import_refusals.beyond(entry, last)
    if entry.message_id <= last_id:
        return import_refusals.falling(entry, last_id)
    if message_time_ms(entry.message_id) > now_ms + AHEAD_MS:
        return import_refusals.from_the_future(entry)
    return None


def _at_odds(entry: ImportedEntry, found: _Found | None) -> Refused | None:
    """What is against sharing the message with those who have it here."""
    if found is None:
        return None
    encoded, released = found
    here = None if encoded == ERASED else encoded
    size = released.size if here is None else len(here)
    if here is not None and entry.encoded is not None and here != entry.encoded:
        return import_refusals.another_message(entry, here, size)
    if not released.times:
        return import_refusals.whole_already(entry)
    if size not in (entry.size, 0):
        return import_refusals.another_message(entry, here, size)
    if released.inboxes not in (entry.inboxes, 0):
        return import_refusals.inboxes_differ(entry, released.inboxes)
    return None


class _Slice:
    """The rows of entries that may be added. `told` says what came of their messages."""

    def __init__(self, batch: Batch, user: int, importing: ImportRecord) -> None:
        self.importing = importing
        self.told = EntriesImported()
        self._batch = batch
        self._user = user
        self._inbox = batch.inbox(user)
        self._messages: list[Row] = []
        self._entries: list[Row] = []
        self._scroll: list[Row] = []
        self._peers: dict[tuple[AddressKind, str], int] = {}

    def add(self, entry: ImportedEntry, found: _Found | None) -> None:
        """Collect the rows of one entry, and count the message."""
        key = NUMBER.pack(entry.message_id)
        if found is None:
            self._messages.append((key, sealed(ERASED if entry.encoded is None else entry.encoded, key)))
            if entry.inboxes > 1:
                self._put_released(key, entry.inboxes - 1, entry)
            self.told = replace(self.told, stored=self.told.stored + 1)
        else:
            is_erased = found.encoded == ERASED
            self._put_released(key, found.released.times - 1, entry)
            self.told = replace(
                self.told,
                shared=self.told.shared + 1,
                erased=self.told.erased + (is_erased and entry.encoded is not None),
                kept=self.told.kept + (not is_erased and entry.encoded is None),
            )
        kind, peer = WITH_USER if entry.conversation == "user" else WITH_GROUP, self._peer(entry)
        inbox = self._inbox
        inbox.head = entry.seq
        inbox.cumulative += entry.size
        facts = (entry.message_id, _KINDS[entry.kind], kind, peer, entry.size, entry.inboxes, inbox.cumulative)
        own = OWN_ENTRY.pack(*facts, self.importing.device, entry.n) if entry.kind == "own" else ENTRY.pack(*facts)
        place = PAIR.pack(self._user, entry.seq)
        self._entries.append((place, sealed(own, place)))
        self._scroll.append((SCROLL.pack(self._user, kind, peer, entry.seq), _NOTHING))

    def _put_released(self, key: bytes, count: int, entry: ImportedEntry) -> None:
        txn, table = self._batch.txn, self._batch.tables.released
        if count:
            txn.put(key, RELEASED.pack(count, entry.inboxes, entry.size), db=table)
        else:
            txn.delete(key, db=table)

    def _peer(self, entry: ImportedEntry) -> int:
        """Whom the entry is with, by number: one that is there, that is awaited, or that stands for nobody."""
        kind, name = entry.conversation, entry.name
        if name is not None:
            if (kind, name) not in self._peers:
                self._peers[kind, name] = self._named(kind, name)
            return self._peers[kind, name]
        if kind == "user":
            if not self.importing.nobody:
                self.importing = replace(self.importing, nobody=_new_number(self._batch, kind))
            return self.importing.nobody
        if not self.importing.no_group:
            self.importing = replace(self.importing, no_group=_new_number(self._batch, kind))
        return self.importing.no_group

    def _named(self, kind: AddressKind, name: str) -> int:
        txn, tables = self._batch.txn, self._batch.tables
        value = find_number(txn, tables, kind, name)
        if value is None:
            value = txn.get(awaited_key(kind, name), db=tables.awaited)
        if value is None:
            value = NUMBER.pack(_new_number(self._batch, kind))
            txn.put(awaited_key(kind, name), value, db=tables.awaited)
        return int(NUMBER.unpack(value)[0])

    def put(self) -> None:
        """Write what was collected."""
        if self._messages:
            self._batch.put_messages(self._messages, append=False)
        self._scroll.sort()
        for table, rows in ((self._batch.tables.inbox, self._entries), (self._batch.tables.scroll, self._scroll)):
            self._batch.put_new(table, rows)


_KINDS = {"own": KIND_OWN, "message": KIND_MESSAGE}


# --- the end ------------------------------------------------------------------------------------------------------


def open_import(batch: Batch, op: OpenImport) -> Done | Refused:
    """Let messages come."""
    user = find_user(batch, op.user)
    if user is None or user.importing is None:
        return import_refusals.no_import(op.user)
    if user.importing.opened:
        return Done()
    head = batch.inbox(op.user).head
    if head != user.importing.head:
        return import_refusals.entries_missing(head + 1, user.importing.head)
    opened = replace(user, importing=replace(user.importing, opened=True))
    batch.txn.put(NUMBER.pack(op.user), pack_record(opened), db=batch.tables.users)
    batch.memory.forget_routes()
    return Done()


def end_import(batch: Batch, op: EndImport) -> Done | Refused:
    """Make the account one like any other."""
    user = find_user(batch, op.user)
    if user is None or user.importing is None or not user.importing.opened:
        return import_refusals.no_import(op.user)
    batch.txn.put(NUMBER.pack(op.user), pack_record(replace(user, importing=None)), db=batch.tables.users)
    batch.note(user_imported(op.user, user.name, op.by, done=True, now_ms=batch.now_ms))
    return Done()


# --- reading ------------------------------------------------------------------------------------------------------


def entry_origins(
    txn: "Transaction", tables: Tables, user: int, after: int, entries_max: int
) -> tuple[EntryOrigin, ...]:
    """See `Store.entry_origins`."""
    first = max(after + 1, read_start(txn, tables, user).floor)
    last = min(read_head(txn, tables, user).seq, first + entries_max - 1)
    names: dict[tuple[int, int], str | None] = {}
    origins: list[EntryOrigin] = []
    with txn.cursor(tables.inbox) as cursor:
        found = dict(cursor.getmulti([PAIR.pack(user, seq) for seq in range(first, last + 1)]))
        for seq in range(first, last + 1):
            key = PAIR.pack(user, seq)
            value = found.get(key, b"")
            if not is_entry(value, key):  # the entry itself says that it is damaged
                continue
            message_id, kind, with_, peer, size, inboxes, _ = ENTRY.unpack_from(value)
            if (with_, peer) not in names:
                names[with_, peer] = _name_of(txn, tables, with_, peer)
            origins.append(
                EntryOrigin(
                    seq=seq,
                    message_id=message_id,
                    own=kind == KIND_OWN,
                    conversation="user" if with_ == WITH_USER else "group",
                    name=names[with_, peer],
                    size=size,
                    inboxes=inboxes,
                )
            )
    return tuple(origins)


def _name_of(txn: "Transaction", tables: Tables, kind: int, number: int) -> str | None:
    value = txn.get(NUMBER.pack(number), db=tables.groups if kind == WITH_GROUP else tables.users)
    if value is None:
        return None
    if kind == WITH_GROUP:
        return group_record(value).name
    user = user_record(value)
    return None if user.removed else user.name
