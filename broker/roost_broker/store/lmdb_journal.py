"""The journal in the LMDB store: records by number, and an index of whom they are about."""

from itertools import islice
from typing import TYPE_CHECKING

from roost_broker.store import refusals
from roost_broker.store.errors import ReadFailed, RecordDamaged
from roost_broker.store.journal import JournalPage, JournalRow, Subject, subjects
from roost_broker.store.lmdb_batch import Batch
from roost_broker.store.lmdb_tables import NUMBER, NUMBER_END, SUBJECT, Tables, event_record
from roost_broker.store.operations import Done, JournalTrimmed, Refused, TrimJournal, WriteJournal

if TYPE_CHECKING:
    from roost_broker.store.lmdb_tables import Cursor, Transaction


def write_journal(batch: Batch, op: WriteJournal) -> Done | Refused:
    """Record events."""
    if not batch.has_room():
        return refusals.no_room()
    for event in op.events:
        batch.note(event)
    return Done()


def trim_journal(batch: Batch, op: TrimJournal) -> JournalTrimmed:
    """Let go of the oldest records."""
    batch.flush()
    txn, tables = batch.txn, batch.tables
    surplus = txn.stat(tables.journal)["entries"] - max(op.count, 1)
    newest = NUMBER.pack(batch.memory.last_journal)
    gone = 0
    with txn.cursor(tables.journal) as cursor:
        found = cursor.first()
        while found and gone < op.records_max and _must_go(cursor, newest, op.before, surplus - gone):
            key, value = cursor.item()
            try:
                event = event_record(value)
            except RecordDamaged as error:  # nobody knows whom it is about: it stays, and the rest goes
                batch.damaged.append(error)
                found = cursor.next()
                continue
            for subject in subjects(event):
                txn.delete(SUBJECT.pack(*subject) + key, db=tables.journal_subjects)
            cursor.delete()  # and on to the next
            gone += 1
            found = bool(cursor.key())
        more = found and _must_go(cursor, newest, op.before, surplus - gone)
    return JournalTrimmed(records=gone, more=more)


def _must_go(cursor: "Cursor", newest: bytes, before: int, surplus: int) -> bool:
    key = cursor.key()
    return key != newest and (surplus > 0 or NUMBER.unpack(key)[0] < before)


def read_journal(
    txn: "Transaction",
    tables: Tables,
    subject: Subject | None,
    *,
    after: int,
    before: int | None,
    limit: int,
    newest: bool,
) -> JournalPage:
    """See `Store.read_journal`."""
    with txn.cursor(tables.journal) as cursor:
        first = NUMBER.unpack(cursor.key())[0] if cursor.first() else 0
    prefix = b"" if subject is None else SUBJECT.pack(*subject)
    table = tables.journal if subject is None else tables.journal_subjects
    low = prefix + NUMBER.pack(min(after + 1, NUMBER_END))
    high = prefix + NUMBER.pack(NUMBER_END if before is None else before)
    with txn.cursor(table) as cursor:
        keys = _last_keys(cursor, low, high, limit + 1) if newest else _first_keys(cursor, low, high, limit + 1)
    more = len(keys) > limit
    wanted = [key[len(prefix) :] for key in sorted(keys[:limit])]
    with txn.cursor(tables.journal) as cursor:
        found = cursor.getmulti(wanted)
    if len(found) != len(wanted):
        raise ReadFailed(f"the store is damaged: {len(wanted) - len(found)} records of the journal are not there")
    rows = tuple(JournalRow(NUMBER.unpack(key)[0], event_record(value)) for key, value in found)
    return JournalPage(first=first, rows=rows, more=more)


def _first_keys(cursor: "Cursor", low: bytes, high: bytes, count: int) -> list[bytes]:
    """The first keys from `low` on and below `high`."""
    if not cursor.set_range(low):
        return []
    return [key for key in islice(cursor.iternext(values=False), count) if key < high]


def _last_keys(cursor: "Cursor", low: bytes, high: bytes, count: int) -> list[bytes]:
    """The last keys below `high` and from `low` on, falling."""
    if not (cursor.prev() if cursor.set_range(high) else cursor.last()):
        return []
    return [key for key in islice(cursor.iterprev(values=False), count) if key >= low]
