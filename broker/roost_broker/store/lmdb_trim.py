"""Retention in the LMDB store: the oldest entries of an inbox go, and a message with its last entry.

An inbox entry says by itself what trimming needs to know: its time (in its message id), its size, how much of the
inbox lies up to it, which conversation's scroll index it stands in, and how many inboxes got the message. So a slice
reads only the entries that it trims, and one more for each inbox.
"""

from typing import TYPE_CHECKING, NamedTuple

from roost_broker.store.ids import message_time_ms
from roost_broker.store.journal import InboxTrimmed
from roost_broker.store.lmdb_batch import Batch
from roost_broker.store.lmdb_tables import (
    ENTRY,
    FLOOR,
    GAP_REASONS,
    NUMBER,
    PAIR,
    RELEASED,
    SCROLL,
    read_start,
)
from roost_broker.store.operations import Floor, Retention, Trim, Trimmed
from roost_protocol.frames import GapReason

if TYPE_CHECKING:
    from roost_broker.store.lmdb_tables import Cursor


class _Leaving(NamedTuple):
    """An entry that is to go: its number, its scroll key, its message and how many inboxes got that."""

    seq: int
    scroll_key: bytes
    message_key: bytes
    inboxes: int
    cumulative: int
    reason: GapReason


def trim(batch: Batch, op: Trim) -> Trimmed:
    """Trim the next few inboxes, the oldest entries first."""
    batch.flush()
    left = op.entries_max
    floors: list[Floor] = []
    with batch.txn.cursor(batch.tables.users) as cursor:
        users, more = _next_users(cursor, op.after, op.users_max)
    next_after = users[-1] if more else None
    for user in users:
        leaving = _leaving(batch, user, op.retention, left)
        if leaving:
            _remove(batch, user, leaving)
            first, last = leaving[0], leaving[-1]
            floors.append(Floor(user=user, floor=last.seq + 1, reason=last.reason))
            batch.note(InboxTrimmed(at=batch.now_ms, user=user, first=first.seq, last=last.seq, reason=last.reason))
            left -= len(leaving)
        if left == 0:
            next_after = user - 1  # this inbox may have more to trim
            break
    return Trimmed(floors=tuple(floors), entries=op.entries_max - left, next_after=next_after)


def _next_users(cursor: "Cursor", after: int, users_max: int) -> tuple[list[int], bool]:
    """The next users by number, and whether there are more."""
    users: list[int] = []
    more = cursor.set_range(NUMBER.pack(after + 1))
    while more and len(users) < users_max:
        users.append(NUMBER.unpack(cursor.key())[0])
        more = cursor.next()
    return users, more and bool(users)


def _leaving(batch: Batch, user: int, retention: Retention, entries_max: int) -> list[_Leaving]:
    """The oldest entries of the inbox, as far as a rule is against them."""
    inbox = batch.inbox(user)
    head, total = inbox.head, inbox.cumulative
    floor, before, _ = read_start(batch.txn, batch.tables, user)
    last_by_count = head - retention.count if retention.count is not None else 0
    oldest_ms = batch.now_ms - retention.age_ms if retention.age_ms is not None else 0
    leaving: list[_Leaving] = []
    with batch.txn.cursor(batch.tables.inbox) as cursor:
        found = floor <= head and cursor.set_key(PAIR.pack(user, floor))
        for seq in range(floor, min(head, floor + entries_max - 1) + 1):
            if not found:
                break
            message_id, _, kind, peer, _, inboxes, cumulative = ENTRY.unpack_from(cursor.value())
            reason: GapReason
            if message_time_ms(message_id) < oldest_ms:
                reason = "age"
            elif seq <= last_by_count:
                reason = "count"
            elif retention.bytes is not None and total - before > retention.bytes:
                reason = "bytes"
            else:
                break
            scroll_key = SCROLL.pack(user, kind, peer, seq)
            leaving.append(_Leaving(seq, scroll_key, NUMBER.pack(message_id), inboxes, cumulative, reason))
            before = cumulative
            found = cursor.next()
    return leaving


def _remove(batch: Batch, user: int, leaving: list[_Leaving]) -> None:
    txn, tables = batch.txn, batch.tables
    last = leaving[-1]
    txn.put(
        NUMBER.pack(user),
        FLOOR.pack(last.seq + 1, last.cumulative, GAP_REASONS.index(last.reason)),
        db=tables.floors,
    )
    with txn.cursor(tables.inbox) as cursor:
        cursor.set_key(PAIR.pack(user, leaving[0].seq))
        for _ in leaving:
            cursor.delete()  # and on to the next
    for entry in leaving:
        txn.delete(entry.scroll_key, db=tables.scroll)
        _release(batch, entry)


def _release(batch: Batch, entry: _Leaving) -> None:
    """One inbox lets go of the message; the last one takes it along."""
    txn, tables = batch.txn, batch.tables
    released = 1
    if entry.inboxes > 1:
        value = txn.get(entry.message_key, db=tables.released)
        released += RELEASED.unpack(value)[0] if value is not None else 0
    if released < entry.inboxes:
        txn.put(entry.message_key, RELEASED.pack(released), db=tables.released)
        return
    txn.delete(entry.message_key, db=tables.messages)
    if released > 1:
        txn.delete(entry.message_key, db=tables.released)


def clear_entries(batch: Batch, user: int, entries_max: int) -> int:
    """Let the oldest entries of an inbox go, by no rule: its user was removed. How many went."""
    leaving = _leaving(batch, user, _NOTHING_KEPT, entries_max)
    if leaving:
        _remove(batch, user, leaving)
    return len(leaving)


_NOTHING_KEPT = Retention(count=0)
