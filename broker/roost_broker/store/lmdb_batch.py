"""One write transaction of the LMDB store, and what the writer remembers from one to the next.

What is written for every message is collected in lists and put with few large calls, just before the commit or
before an operation that has to find it in the tables (`Batch.flush`). The binding releases the interpreter lock
around every single call, so calls are what a writer beside a busy event loop pays for.

**Invariant:** `WriterMemory` holds nothing that is not in the tables too, once the transaction is committed. It is
changed while a batch is applied, so it is thrown away as a whole when a transaction is not committed.
"""

import os
from collections.abc import Callable
from operator import attrgetter
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from roost_broker.store.errors import OutcomeUnknown, RecordDamaged
from roost_broker.store.ids import first_message_id
from roost_broker.store.journal import Event, next_number, subjects
from roost_broker.store.lmdb_tables import (
    COUNTERS,
    CURSOR,
    META_LAST,
    META_LOST,
    NUMBER,
    SUBJECT,
    Tables,
    UserRecord,
    pack_event,
    read_counters,
    read_head,
    unpack_lost,
    user_record,
)
from roost_protocol.limits import Limits
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    import lmdb

    from roost_broker.store.lmdb_tables import Transaction

REMEMBERED_MAX = 65_536
"""Rows of each kind that the writer remembers: about 20 MB in all when full. Past it the kind is forgotten."""

RECIPIENTS_REMEMBERED_MAX = 1_000_000
"""Recipients in all remembered routes, 8 bytes each: a group's members stand once in the route of each sender."""


class Route(NamedTuple):
    """Where a message goes: the conversation as its sender sees it, and the users who get it besides him."""

    kind: int
    peer: int
    others: tuple[int, ...]


class DeviceRow:
    """What changes with every batch of a device; see `lmdb_tables.CURSOR`. Changed in place by the writer."""

    __slots__ = ("cursor", "last_seen", "long_ago", "settled_n", "slots")

    def __init__(self, cursor: int, settled_n: int, last_seen: int, slots: int, long_ago: int) -> None:
        self.cursor = cursor
        self.settled_n = settled_n
        self.last_seen = last_seen
        self.slots = slots
        self.long_ago = long_ago

    def pack(self) -> bytes:
        """The row as stored."""
        return CURSOR.pack(self.cursor, self.settled_n, self.last_seen, self.slots, self.long_ago)


Row = tuple[bytes, bytes]


class Inbox:
    """The end of a user's inbox (`lmdb_tables.Head`), and the rows that this batch adds to it; changed in place.

    The rows are kept by user since they have to be put in the order of their keys, which is by user first: so most of
    it needs no sorting (measured: a twentieth of the time of a message).
    """

    __slots__ = ("cumulative", "entries", "head", "scroll", "user")

    def __init__(self, user: int, head: int, cumulative: int) -> None:
        self.user = user
        self.head = head
        self.cumulative = cumulative
        self.entries: list[Row] = _NONE
        self.scroll: list[Row] = _NONE


_NONE: list[Row] = []
"""The rows of an inbox that this batch has not touched. Never changed."""


class WriterMemory:
    """What the writer knows without reading; see the invariant above."""

    def __init__(self, txn: "Transaction", tables: Tables) -> None:
        counters = read_counters(txn.get(META_LAST, db=tables.meta))
        self.last_user, self.last_device, self.last_group, self.last_epoch, self.last_message_id = counters
        self.inboxes: dict[int, Inbox] = {}
        self.devices: dict[int, DeviceRow] = {}
        self.fences: dict[tuple[int, str], int] = {}
        """(User, terminal type) → epoch of the session, if it was not ended."""
        self.last_journal = _last_journal(txn, tables)
        self.routes: dict[tuple[int, str], Route | Reason] = {}
        self.recipients_remembered = 0
        self.lost = unpack_lost(txn.get(META_LOST, b"", db=tables.meta))

    def was_lost(self, message_id: int) -> bool:
        """Whether the message was one of those that a restoration has lost."""
        return any(after < message_id <= last for after, last in self.lost)

    def counters(self) -> bytes:
        """The last numbers given, as stored."""
        return COUNTERS.pack(self.last_user, self.last_device, self.last_group, self.last_epoch, self.last_message_id)

    def remember_route(self, sender: int, to: str, route: Route | Reason) -> None:
        """Remember a route until `forget_routes`."""
        self.routes[sender, to] = route
        if isinstance(route, Route):
            self.recipients_remembered += len(route.others)

    def forget_routes(self) -> None:
        """Forget every route: a user, group, membership or block has changed."""
        self.routes.clear()
        self.recipients_remembered = 0

    def forget_beyond_bounds(self) -> None:
        """Forget what has grown beyond its bound. Only between batches: rows not written yet live here."""
        remembered: tuple[dict[int, Inbox] | dict[int, DeviceRow] | dict[tuple[int, str], int], ...] = (
            self.inboxes,
            self.devices,
            self.fences,
        )
        for rows in remembered:
            if len(rows) > REMEMBERED_MAX:
                rows.clear()
        if len(self.routes) > REMEMBERED_MAX or self.recipients_remembered > RECIPIENTS_REMEMBERED_MAX:
            self.forget_routes()


def _last_journal(txn: "Transaction", tables: Tables) -> int:
    """The number of the newest record of the journal."""
    with txn.cursor(tables.journal) as cursor:
        return int(NUMBER.unpack(cursor.key())[0]) if cursor.last() else 0


class Batch:
    """One transaction being put together. `memory` is the writer's, changed as operations are applied."""

    __slots__ = (
        "_counters_before",
        "_has_room",
        "_room",
        "changed_devices",
        "damaged",
        "journal",
        "journal_subjects",
        "limits",
        "memory",
        "messages",
        "next_message_id",
        "now_ms",
        "outcomes",
        "random",
        "tables",
        "touched",
        "txn",
    )

    def __init__(
        self,
        txn: "Transaction",
        tables: Tables,
        memory: WriterMemory,
        *,
        now_ms: int,
        limits: Limits,
        random: Random,
        room: "Callable[[Transaction], bool]",
    ) -> None:
        self.txn = txn
        self.tables = tables
        self.memory = memory
        self.now_ms = now_ms
        self.limits = limits
        self.random = random
        self.next_message_id = first_message_id(memory.last_message_id, now_ms, random)
        self.messages: list[Row] = []
        self.touched: list[Inbox] = []
        self.outcomes: dict[bytes, bytes] = {}
        self.changed_devices: dict[int, DeviceRow] = {}
        self.journal: list[Row] = []
        self.journal_subjects: list[Row] = []
        self.damaged: list[RecordDamaged] = []
        """What was passed over, since it cannot be read."""
        self._counters_before = memory.counters()
        self._room = room
        self._has_room: bool | None = None

    def has_room(self) -> bool:
        """Whether there is room for messages outside the reserve: asked once for the whole batch."""
        if self._has_room is None:
            self._has_room = self._room(self.txn)
        return self._has_room

    def inbox(self, user: int) -> Inbox:
        """The end of the user's inbox, with what this batch has added."""
        inbox = self.memory.inboxes.get(user)
        if inbox is None:
            inbox = self.memory.inboxes[user] = Inbox(user, *read_head(self.txn, self.tables, user))
        return inbox

    def touch(self, inbox: Inbox) -> None:
        """The first rows of this batch are about to be added to an inbox."""
        inbox.entries, inbox.scroll = [], []
        self.touched.append(inbox)

    def device(self, number: int) -> DeviceRow | None:
        """The row of a device, as this batch has it; None if there is no such device."""
        row = self.memory.devices.get(number)
        if row is None:
            value = self.txn.get(NUMBER.pack(number), db=self.tables.cursors)
            if value is None:
                return None
            row = self.memory.devices[number] = DeviceRow(*CURSOR.unpack(value))
        return row

    def note(self, event: Event) -> None:
        """Add a record to the journal."""
        self.memory.last_journal = number = next_number(self.memory.last_journal, self.now_ms)
        key = NUMBER.pack(number)
        self.journal.append((key, pack_event(event)))
        self.journal_subjects += [(SUBJECT.pack(*subject) + key, b"") for subject in subjects(event)]

    def flush(self) -> None:
        """Put everything that was collected into the tables."""
        if self.messages:
            self.put_messages(self.messages, append=True)
            self.messages.clear()
            self._flush_inboxes()
        if self.outcomes:
            with self.txn.cursor(self.tables.outcomes) as cursor:
                cursor.putmulti(self.outcomes.items())
            self.outcomes.clear()
        if self.changed_devices:
            rows = [(NUMBER.pack(number), row.pack()) for number, row in self.changed_devices.items()]
            with self.txn.cursor(self.tables.cursors) as cursor:
                cursor.putmulti(rows)
            self.changed_devices.clear()
        if self.journal:
            self.put_new(self.tables.journal, self.journal, append=True)
            self.put_new(self.tables.journal_subjects, sorted(self.journal_subjects))
            self.journal.clear()
            self.journal_subjects.clear()

    def put_messages(self, messages: list[Row], *, append: bool) -> None:
        """Put messages, none of which leaves bytes of another one behind itself in the file.

        LMDB gives a value that is too large for a shared page one of its own, in memory that held another page before,
        and writes all of that. What is behind the value would stay in the file, in its copies too, for as long as
        this message does: also what was erased since. So such a page is first filled with zeros.
        """
        table = self.tables.messages
        page = range(*own_page(self.txn.stat(table)["psize"]))
        alone = [row for row in messages if len(row[1]) in page]
        if not alone:
            self.put_new(table, messages, append=append)
            return
        zeros = bytes(page[-1])
        self.put_new(table, [(key, zeros if len(it) in page else it) for key, it in messages], append=append)
        with self.txn.cursor(table) as cursor:
            cursor.putmulti(alone)  # in place: the page is this transaction's already

    def _flush_inboxes(self) -> None:
        self.touched.sort(key=_by_user)
        entries: list[Row] = []
        scroll: list[Row] = []
        for inbox in self.touched:
            entries += inbox.entries
            inbox.scroll.sort()
            scroll += inbox.scroll
            inbox.entries = inbox.scroll = _NONE
        self.touched.clear()
        self.put_new(self.tables.inbox, entries)
        self.put_new(self.tables.scroll, scroll)

    def finish(self) -> None:
        """Put everything, and the last numbers given, into the tables: the transaction is ready to be committed."""
        self.flush()
        counters = self.memory.counters()
        if counters != self._counters_before:
            self.txn.put(META_LAST, counters, db=self.tables.meta)

    def put_new(self, table: "lmdb._Database", rows: list[Row], *, append: bool = False) -> None:
        """Put rows, in the order of their keys, that must not be there yet: a number is given once."""
        with self.txn.cursor(table) as cursor:
            _, added = cursor.putmulti(rows, overwrite=False, append=append)
        if added != len(rows):
            raise OutcomeUnknown(
                f"the store is damaged: {len(rows) - added} of {len(rows)} new messages or entries have numbers that"
                " were given before; nothing of this batch was stored"
            )


_by_user = attrgetter("user")


def own_page(page_bytes: int) -> tuple[int, int]:
    """From which size on, and below which, a message has one page of its own.

    LMDB 0.9, mdb.c: a page has a header of 16 bytes and holds at least two nodes, with 2 bytes for the place of each
    and a header of 8 before its key; more pages than one come zeroed at their end.
    """
    node_bytes_max = (page_bytes - 16) // 2 // 2 * 2 - 2
    return node_bytes_max - 8 - NUMBER.size + 1, page_bytes - 16 + 1


def used_bytes(txn: "Transaction", tables: Tables) -> int:
    """Bytes of the pages that the tables use, within this transaction."""
    used = 0
    for table in tables:
        stat = txn.stat(table)
        used += (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) * stat["psize"]
    return used


class Room:
    """Whether there is room for messages: outside the reserve of the map, and of the disk.

    Pages that were freed stay in the file and are used again, so what the file can still take is what it has free
    inside and what the disk has free outside. `folder_fd` is a descriptor of any file on that disk.
    """

    def __init__(
        self, env: "lmdb.Environment", tables: Tables, *, map_bytes: int, reserve_bytes: int, folder_fd: int
    ) -> None:
        self._env = env
        self._tables = tables
        self._map_bytes = map_bytes
        self._reserve_bytes = reserve_bytes
        self._folder_fd = folder_fd
        self._page_bytes = env.stat()["psize"]

    def __call__(self, txn: "Transaction") -> bool:
        """Look. Tables are only asked (20 µs) once the file has come near its bound or the disk is nearly full."""
        disk = os.fstatvfs(self._folder_fd)
        disk_bytes = disk.f_bavail * disk.f_frsize
        file_bytes = (self._env.info()["last_pgno"] + 1) * self._page_bytes
        can_grow_by = min(self._map_bytes - file_bytes, disk_bytes)
        if can_grow_by >= self._reserve_bytes:
            return True
        free_inside = file_bytes - used_bytes(txn, self._tables)
        return can_grow_by + free_inside >= self._reserve_bytes


def is_closed(user: UserRecord) -> bool:
    """Whether nothing may come for a user yet: he is being imported, and not all of his entries are there."""
    return user.importing is not None and not user.importing.opened


def find_user(batch: Batch, number: int) -> UserRecord | None:
    """The record of a user; None if there is none of this number, or it was removed."""
    value = batch.txn.get(NUMBER.pack(number), db=batch.tables.users)
    user = None if value is None else user_record(value)
    return None if user is None or user.removed else user
