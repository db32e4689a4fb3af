"""Retention in the LMDB store: the oldest entries of an inbox go, and a message with its last entry.

An inbox entry says by itself what trimming needs to know: its time (in its message id), its size, how much of the
inbox lies up to it, which conversation's scroll index it stands in, and how many inboxes got the message. So a slice
reads only the entries that it trims, and one more for each inbox.

An entry that is damaged says nothing, so it goes with the next after it that can be read, and with the number of its
own when only the count matters. What leads from it (its scroll key, its message) stays behind: `fsck` tells.

Whether an entry has to go is said by one function, `Rules.against`. Along an inbox its answer changes once, from a
rule to None: numbers, message ids and bytes all rise. So a trim walks until it says None, and whoever only asks how
far a trim would come (`would_trim`) finds that place by halving, however many entries lie before it.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from roost_broker.store.errors import RecordDamaged
from roost_broker.store.ids import message_time_ms
from roost_broker.store.journal import InboxTrimmed
from roost_broker.store.lmdb_batch import Batch
from roost_broker.store.lmdb_tables import (
    CURSOR,
    ENTRY,
    FLOOR,
    GAP_REASONS,
    NUMBER,
    NUMBER_END,
    PAIR,
    RELEASED,
    SCROLL,
    Head,
    Tables,
    is_entry,
    keys_with_prefix,
    read_head,
    read_released,
    read_start,
)
from roost_broker.store.operations import Floor, Hold, Retention, Trim, Trimmed
from roost_protocol.frames import GapReason

if TYPE_CHECKING:
    from roost_broker.store.lmdb_tables import Cursor, Transaction


class _Leaving(NamedTuple):
    """An entry that is to go: its number, its scroll key, its message and how many inboxes got that.

    Of a damaged one, nothing but its number is known: its keys are empty.
    """

    seq: int
    scroll_key: bytes
    message_key: bytes
    inboxes: int
    size: int
    cumulative: int
    reason: GapReason


class Rules(NamedTuple):
    """What retention says on one inbox at one moment."""

    head: Head
    oldest_ms: int
    """Older ones go, by age."""
    last_by_count: int
    bytes_max: int
    held_after: int
    """Entries above it are held ..."""
    hold_bytes_max: int
    """... if they and all after them have no more bytes than this."""

    def against(self, seq: int, value: bytes) -> GapReason | None:
        """The first rule by which the entry, of this number and value, has to go when all before it are gone."""
        message_id, _, _, _, size, _, cumulative = ENTRY.unpack_from(value)
        kept_bytes = self.head.cumulative - cumulative + size
        if seq > self.held_after and kept_bytes <= self.hold_bytes_max:
            return None
        if message_time_ms(message_id) < self.oldest_ms:
            return "age"
        if seq <= self.last_by_count:
            return "count"
        return "bytes" if kept_bytes > self.bytes_max else None


_NOTHING_HELD = NUMBER_END


def rules_for(
    txn: "Transaction", tables: Tables, user: int, head: Head, retention: Retention, hold: Hold | None, now_ms: int
) -> Rules:
    """What these rules say on the inbox of `user`, which ends at `head`."""
    return Rules(
        head=head,
        oldest_ms=now_ms - retention.age_ms if retention.age_ms is not None else 0,
        last_by_count=head.seq - retention.count if retention.count is not None else 0,
        bytes_max=retention.bytes if retention.bytes is not None else head.cumulative,
        held_after=_NOTHING_HELD if hold is None else _lowest_cursor(txn, tables, user, hold),
        hold_bytes_max=0 if hold is None else hold.bytes_max,
    )


def _lowest_cursor(txn: "Transaction", tables: Tables, user: int, hold: Hold) -> int:
    """The lowest cursor among the user's devices that were here lately."""
    lowest = _NOTHING_HELD
    for key in keys_with_prefix(txn, tables.device_ids, NUMBER.pack(user)):
        number = txn.get(key, db=tables.device_ids)
        value = None if number is None else txn.get(number, db=tables.cursors)
        if number is None or value is None:
            raise RecordDamaged("cursors", number or key, "it is not there, but its device is")
        acknowledged, _, last_seen, _, _ = CURSOR.unpack(value)
        if last_seen >= hold.seen_since or NUMBER.unpack(number)[0] in hold.live:
            lowest = min(lowest, acknowledged)
    return lowest


def would_trim(
    txn: "Transaction", tables: Tables, user: int, retention: Retention, hold: Hold | None, now_ms: int
) -> Floor | None:
    """See `Store.would_trim`: a read for each halving of the inbox."""
    head = read_head(txn, tables, user)
    floor = read_start(txn, tables, user).floor
    rules = rules_for(txn, tables, user, head, retention, hold, now_ms)

    def rule(seq: int) -> GapReason | None:
        return _rule(txn, tables, user, rules, seq)

    numbers = range(floor, head.seq + 1)
    going = bisect_left(numbers, True, key=lambda seq: rule(seq) is None)
    reason = rule(numbers[going - 1]) if going else None
    return None if reason is None else Floor(user=user, floor=floor + going, reason=reason)


def _rule(txn: "Transaction", tables: Tables, user: int, rules: Rules, seq: int) -> GapReason | None:
    """The rule against an entry, or against the next that can be read."""
    for each, value in _readable(txn, tables, user, seq, rules.head.seq):
        if value is not None:
            return rules.against(each, value)
    return "count" if seq <= rules.last_by_count else None


CHUNK_ENTRIES = 32
"""Entries read in one call, while it is not known how many of them have to go."""


def _readable(
    txn: "Transaction", tables: Tables, user: int, first: int, last: int
) -> Iterator[tuple[int, bytes | None]]:
    """Numbers and values of the entries from one to another; None for one that is damaged, or not there."""
    with txn.cursor(tables.inbox) as cursor:
        for begin in range(first, last + 1, CHUNK_ENTRIES):
            seqs = range(begin, min(begin + CHUNK_ENTRIES, last + 1))
            found = dict(cursor.getmulti([PAIR.pack(user, seq) for seq in seqs]))
            for seq in seqs:
                key = PAIR.pack(user, seq)
                value = found.get(key)
                yield seq, value if value is not None and is_entry(value, key) else None


def trim(batch: Batch, op: Trim) -> Trimmed:
    """Trim the next few inboxes, the oldest entries first."""
    batch.flush()
    left = op.entries_max
    floors: list[Floor] = []
    with batch.txn.cursor(batch.tables.users) as cursor:
        users, more = _next_users(cursor, op.after, op.users_max)
    next_after = users[-1] if more else None
    for user in users:
        leaving = _leaving(batch, user, op.retention, op.hold, left)
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


def _leaving(batch: Batch, user: int, retention: Retention, hold: Hold | None, entries_max: int) -> list[_Leaving]:
    """The oldest entries of the inbox, as far as a rule is against them."""
    txn, tables = batch.txn, batch.tables
    inbox = batch.inbox(user)
    head = Head(inbox.head, inbox.cumulative)
    start = read_start(txn, tables, user)
    floor = start.floor
    rules = rules_for(txn, tables, user, head, retention, None, batch.now_ms)
    leaving: list[_Leaving] = []
    if floor > head.seq or not _rule(txn, tables, user, rules, floor):
        return leaving
    if hold is not None and batch.has_room():  # looked up only when something would go
        rules = rules_for(txn, tables, user, head, retention, hold, batch.now_ms)
    cumulative = start.cumulative
    for seq, value in _readable(txn, tables, user, floor, min(head.seq, floor + entries_max - 1)):
        reason = _rule(txn, tables, user, rules, seq) if value is None else rules.against(seq, value)
        if reason is None:
            break
        if value is None:
            batch.damaged.append(RecordDamaged("inbox", PAIR.pack(user, seq)))
            leaving.append(_Leaving(seq, b"", b"", 0, 0, cumulative, reason))
            continue
        message_id, _, kind, peer, size, inboxes, cumulative = ENTRY.unpack_from(value)
        scroll_key = SCROLL.pack(user, kind, peer, seq)
        leaving.append(_Leaving(seq, scroll_key, NUMBER.pack(message_id), inboxes, size, cumulative, reason))
    return leaving


def _remove(batch: Batch, user: int, leaving: list[_Leaving]) -> None:
    txn, tables = batch.txn, batch.tables
    last = leaving[-1]
    txn.put(
        NUMBER.pack(user),
        FLOOR.pack(last.seq + 1, last.cumulative, GAP_REASONS.index(last.reason)),
        db=tables.floors,
    )
    for entry in leaving:
        txn.delete(PAIR.pack(user, entry.seq), db=tables.inbox)
        if entry.message_key:
            txn.delete(entry.scroll_key, db=tables.scroll)
            _release(batch, entry)


def _release(batch: Batch, entry: _Leaving) -> None:
    """One inbox lets go of the message; the last one takes it along."""
    txn, tables = batch.txn, batch.tables
    released = 1
    if entry.inboxes > 1:
        value = txn.get(entry.message_key, db=tables.released)
        released += read_released(value).times
    if released < entry.inboxes:
        txn.put(entry.message_key, RELEASED.pack(released, entry.inboxes, entry.size), db=tables.released)
        return
    txn.delete(entry.message_key, db=tables.messages)
    if released > 1:
        txn.delete(entry.message_key, db=tables.released)


def clear_entries(batch: Batch, user: int, entries_max: int) -> int:
    """Let the oldest entries of an inbox go, by no rule: its user was removed. How many went."""
    leaving = _leaving(batch, user, _NOTHING_KEPT, None, entries_max)
    if leaving:
        _remove(batch, user, leaving)
    return len(leaving)


_NOTHING_KEPT = Retention(count=0)
