"""Checks of messages against all inboxes at once: every message whole, every side there, every reference counted.

Messages are taken in slices, in the order of their ids. What a slice needs is in memory: a few facts of each message,
not its body. Ids rise within an inbox, so that the entries of a slice are those at which the walk through each inbox
had stopped: every entry is read once, and of an inbox that has none in a slice only one number is looked at.

Memory: about 30 MB for a slice, and 32 bytes for each inbox (`Runs`), however many entries and messages there are.
"""

from collections.abc import Iterator
from itertools import islice
from sys import intern
from typing import NamedTuple

import msgspec

from roost_broker.store.account_operations import ERASED_TYPE
from roost_broker.store.fsck_accounts import odd_key
from roost_broker.store.fsck_inboxes import ENTRY_BYTES, KIND_AT
from roost_broker.store.fsck_problems import (
    CHECKSUM,
    INBOXES_DIFFER,
    MESSAGE_DAMAGED,
    MESSAGE_INVALID,
    MESSAGE_LOST,
    ORPHAN,
    REFERENCES_WRONG,
    RELEASED_INVALID,
    RELEASED_LEFT,
    SIDE_MISSING,
    SIDES_WRONG,
    SIZE_WRONG,
)
from roost_broker.store.fsck_snapshot import FIRST_ROWS, PAUSE_ROWS, Row, Snapshot, Step, decoded
from roost_broker.store.ids import message_time_ms
from roost_broker.store.lmdb_seal import SEAL_BYTES, is_intact
from roost_broker.store.lmdb_tables import (
    ENTRY,
    ERASED,
    KIND_OWN,
    NUMBER,
    NUMBER_END,
    PAIR,
    WITH_GROUP,
    Released,
    read_released,
)
from roost_protocol.codec import decode_entry
from roost_protocol.limits import FINDINGS_MAX
from roost_protocol.names import group_address, parse_address, user_address

SLICE_MESSAGES = 65_536
"""Messages in memory at a time, 450 bytes each."""

SIZE_UNKNOWN = -1
"""Of a message that was erased."""

LEFT_MAX = 4 * FINDINGS_MAX
"""Counts in `released` without a message, in memory at a time. With more, there are more findings than are told."""

IDS_END = 2**64
"""Above every message id."""


class _Facts:
    """What is known of one message: what it says, and what the inboxes have said of it so far."""

    __slots__ = (
        "damaged",
        "differs",
        "inboxes",
        "own",
        "own_missing",
        "references",
        "released",
        "sender",
        "size",
        "to",
    )

    def __init__(self, size: int, sender: str, to: str) -> None:
        self.size = size
        self.sender = sender
        self.to = to
        self.inboxes = 0
        """How many got it; 0 until an entry says so."""
        self.references = 0
        self.own = 0
        self.own_missing = False
        """Its sender never had an entry of it."""
        self.released = 0
        self.differs = False
        self.damaged = False


class _Slice:
    """The messages of a slice by their ids, and the counts in `released` whose message is not there."""

    def __init__(self) -> None:
        self.facts: dict[int, _Facts] = {}
        self.left: set[int] = set()
        self.high = IDS_END
        """What comes with the next slice begins here."""


class Sides(NamedTuple):
    """Who wrote a message and to whom, as far as it is known from where it stands; empty where it is not."""

    sender: str
    to: str


def check_messages(snapshot: Snapshot) -> Iterator[Step]:
    """Every message can be read, and as many inboxes have it as should; every entry has its message."""
    messages, released = _Table(snapshot, "messages"), _Table(snapshot, "released")
    while messages.next_id < IDS_END:
        part = _Slice()
        yield from _load(snapshot, messages, part)
        yield from _load_released(snapshot, released, part)
        yield from _walk_inboxes(snapshot, part)
        yield from _judge(snapshot, part)


class _Table:
    """A walk through a table by message id. `next_id` is that of the row to come, `IDS_END` at the end."""

    def __init__(self, snapshot: Snapshot, table: str) -> None:
        self.table = table
        self._snapshot = snapshot
        self._after: bytes | None = None
        self.next_id = 0

    def rows(self, count: int, before: int) -> Iterator[Row]:
        """At most so many rows, with ids below `before`; and where it goes on. Odd keys are among them."""
        with self._snapshot.txn.cursor(getattr(self._snapshot.tables, self.table)) as cursor:
            found = cursor.first() if self._after is None else cursor.set_range(self._after)
            while found and count:
                key, value = cursor.item()
                if len(key) == NUMBER.size and int.from_bytes(key, "big") >= before:
                    break
                yield key, value
                found, count = cursor.next(), count - 1
            while found and len(cursor.key()) != NUMBER.size:
                yield cursor.item()
                found = cursor.next()
            self._after = cursor.key() if found else _PAST_ALL
            self.next_id = int.from_bytes(cursor.key(), "big") if found else IDS_END


_PAST_ALL = b"\xff" * (NUMBER.size + 1)


# --- the messages of a slice --------------------------------------------------------------------------------------


def _load(snapshot: Snapshot, messages: _Table, part: _Slice) -> Iterator[Step]:
    rows, facts = 0, part.facts
    for key, stored in messages.rows(SLICE_MESSAGES, IDS_END):
        rows += 1
        if rows % PAUSE_ROWS == 0:
            yield PAUSE_ROWS
        if len(key) != NUMBER.size:
            yield odd_key(snapshot, "messages", key, NUMBER.size)
            continue
        (message_id,) = NUMBER.unpack(key)
        if not is_intact(stored, key):
            facts[message_id] = message = _Facts(SIZE_UNKNOWN, "", "")
            message.damaged = True
            yield snapshot.finding(
                CHECKSUM, "messages", message=message_id,
                found=f"{len(stored)} bytes that do not fit their checksum", expected="the message as it was written",
            )  # fmt: skip
            continue
        encoded = stored[:-SEAL_BYTES]
        if encoded == ERASED:  # what is left says neither who wrote it nor how long it was
            facts[message_id] = _Facts(SIZE_UNKNOWN, "", "")
            continue
        try:
            entry = decode_entry(encoded)
        except msgspec.MsgspecError as error:
            facts[message_id] = _Facts(len(encoded), "", "")
            yield snapshot.finding(
                MESSAGE_INVALID,
                "messages",
                message=message_id,
                found=f"{len(encoded)} bytes that cannot be read: {error}",
                expected="a message",
            )
            continue
        facts[message_id] = message = _Facts(len(encoded), intern(entry.sender), intern(entry.to))
        if entry.content_type == ERASED_TYPE:  # it comes from a user who is removed, and has no inbox
            message.own_missing = True
        if entry.id != key.hex() or entry.time > message_time_ms(message_id) or not _is_address(entry.to):
            yield snapshot.finding(
                MESSAGE_INVALID,
                "messages",
                message=message_id,
                found=f"a message with the id {entry.id} of {entry.time} to {entry.to!r}",
                expected=f"the id {key.hex()}, a time up to {message_time_ms(message_id)}, and an address",
            )
    part.high = messages.next_id
    snapshot.note("message", max(facts, default=0))
    yield rows % PAUSE_ROWS


def _is_address(to: str) -> bool:
    try:
        parse_address(to)
    except ValueError:
        return False
    return True


def _load_released(snapshot: Snapshot, released: _Table, part: _Slice) -> Iterator[Step]:
    rows = 0
    for key, value in released.rows(IDS_END, part.high):
        rows += 1
        if rows % PAUSE_ROWS == 0:
            yield PAUSE_ROWS
        if len(key) != NUMBER.size:
            yield odd_key(snapshot, "released", key, NUMBER.size)
            continue
        (message_id,) = NUMBER.unpack(key)
        message = part.facts.get(message_id)
        if message is None:
            if len(part.left) < LEFT_MAX:
                part.left.add(message_id)
        elif (row := _released(value)) is None or not row.times:
            yield snapshot.finding(
                RELEASED_INVALID, "released", message=message_id, found=f"the bytes {value[:16].hex()}",
                expected="how many inboxes have let go of the message, 1 at least",
            )  # fmt: skip
        else:
            message.released = row.times
            message.inboxes = row.inboxes
            if row.size and message.size not in (row.size, SIZE_UNKNOWN):
                yield snapshot.finding(
                    SIZE_WRONG, "released", message=message_id, found=f"a message of {message.size} bytes",
                    expected=f"{row.size} bytes, as the count of its inboxes says",
                )  # fmt: skip
    yield rows % PAUSE_ROWS


def _released(value: bytes) -> Released | None:
    """What a row says; None if it makes no sense."""
    return decoded(read_released, value)


# --- the entries of a slice ---------------------------------------------------------------------------------------


def _walk_inboxes(snapshot: Snapshot, part: _Slice) -> Iterator[Step]:
    """Look at every entry whose message is of the slice, or would be if it were there."""
    ids = snapshot.runs.ids
    for first in range(0, len(ids), PAUSE_ROWS):
        for run in range(first, min(first + PAUSE_ROWS, len(ids))):
            if ids[run] < min(part.high, NUMBER_END):
                yield from _walk_run(snapshot, run, part)
        yield 0


def _walk_run(snapshot: Snapshot, run: int, part: _Slice) -> Iterator[Step]:
    runs, facts, high = snapshot.runs, part.facts, part.high
    user, last = runs.users[run], runs.ends[run]
    name = snapshot.user_name(user) or ""
    sides: dict[tuple[int, int, int], Sides] = {}
    unpack_key, unpack = PAIR.unpack, ENTRY.unpack_from
    with snapshot.txn.cursor(snapshot.tables.inbox) as cursor:
        walk = cursor.iternext() if cursor.set_range(PAIR.pack(user, runs.seqs[run])) else iter(())
        size = FIRST_ROWS
        while chunk := list(islice(walk, size)):
            size, rows = PAUSE_ROWS, 0
            for key, value in chunk:
                if len(key) != PAIR.size:
                    continue
                owner, seq = unpack_key(key)
                if owner != user or seq > last:
                    runs.ids[run] = NUMBER_END
                    yield rows
                    return
                if len(value) <= KIND_AT or ENTRY_BYTES.get(value[KIND_AT]) != len(value) or not is_intact(value, key):
                    continue
                message_id, kind, with_, peer, bytes_, inboxes, _ = unpack(value)
                if message_id >= high:
                    runs.ids[run], runs.seqs[run] = message_id, seq
                    yield rows
                    return
                rows += 1
                message = facts.get(message_id)
                if message is None:
                    part.left.discard(message_id)
                    yield snapshot.finding(
                        MESSAGE_LOST, "messages", user=user, seq=seq, message=message_id,
                        found="an entry, but no such message", expected="the message",
                    )  # fmt: skip
                    continue
                message.references += 1
                if kind == KIND_OWN:
                    message.own += 1
                if message.inboxes != inboxes:
                    message.differs = message.inboxes != 0
                    message.inboxes = max(message.inboxes, inboxes)
                if message.damaged or message.size not in (bytes_, SIZE_UNKNOWN):
                    yield _spoilt(snapshot, user, seq, message_id, bytes_, message)
                conversation = (kind, with_, peer)
                expected = sides.get(conversation)
                if expected is None:
                    expected = sides[conversation] = _sides(snapshot, name, *conversation)
                if (expected.sender and expected.sender != message.sender) or (
                    expected.to and expected.to != message.to
                ):
                    yield from _sides_wrong(snapshot, user, seq, message_id, expected, message)
            yield rows
    runs.ids[run] = NUMBER_END


def _sides(snapshot: Snapshot, owner: str, kind: int, with_: int, peer: int) -> Sides:
    """Whose message an entry says that it is, by who has it and with whom. A removed user's name is not known."""
    if with_ == WITH_GROUP:
        group = snapshot.group_name(peer)
        return Sides(owner if kind == KIND_OWN else "", group_address(group) if group else "")
    other = snapshot.user_name(peer) or ""
    sender, to = (owner, other) if kind == KIND_OWN else (other, owner)
    return Sides(sender, user_address(to) if to else "")


def _spoilt(snapshot: Snapshot, user: int, seq: int, message_id: int, size: int, message: _Facts) -> Step:
    """An entry whose message is damaged, or has another size."""
    if message.damaged:
        return snapshot.finding(
            MESSAGE_DAMAGED,
            "inbox",
            user=user,
            seq=seq,
            message=message_id,
            found="an entry of a message that is damaged",
            expected="the message as it was written",
        )
    return snapshot.finding(
        SIZE_WRONG,
        "messages",
        user=user,
        seq=seq,
        message=message_id,
        found=f"a message of {message.size} bytes",
        expected=f"{size} bytes, as the entry says",
    )


def _sides_wrong(
    snapshot: Snapshot, user: int, seq: int, message_id: int, expected: Sides, message: _Facts
) -> Iterator[Step]:
    if not message.sender:
        return  # it could not be read, which is said already
    yield snapshot.finding(
        SIDES_WRONG,
        "inbox",
        user=user,
        seq=seq,
        message=message_id,
        found=f"a message from {message.sender!r} to {message.to!r}",
        expected=f"one from {expected.sender or 'a member'!r} to {expected.to or 'a conversation that is gone'!r}",
    )


# --- the verdict on a slice ---------------------------------------------------------------------------------------


def _judge(snapshot: Snapshot, part: _Slice) -> Iterator[Step]:
    """Whether every message of a slice is where it should be, and nowhere else."""
    for number, (message_id, message) in enumerate(part.facts.items()):
        if number % PAUSE_ROWS == 0:
            yield 0
        kept = message.inboxes - message.released
        if message.references == kept and message.own == (0 if message.own_missing else 1) and not message.differs:
            continue  # as nearly always
        yield from _not_in_order(snapshot, message_id, message, kept)
    for message_id in sorted(part.left):
        yield snapshot.finding(
            RELEASED_LEFT, "released", message=message_id, found="a count, but no such message", expected="no such row"
        )


def _not_in_order(snapshot: Snapshot, message_id: int, message: _Facts, kept: int) -> Iterator[Step]:
    what = f"from {message.sender!r} to {message.to!r}"
    if not message.references:
        yield snapshot.finding(
            ORPHAN, "messages", message=message_id, found=f"a message {what} in no inbox", expected="no such message"
        )
        return
    if message.differs:
        yield snapshot.finding(
            INBOXES_DIFFER,
            "inbox",
            message=message_id,
            found=f"entries of the message {what} disagree on how many inboxes got it",
            expected="the same in each",
        )
    elif message.released >= message.inboxes:
        yield snapshot.finding(
            RELEASED_INVALID,
            "released",
            message=message_id,
            found=f"{message.released} inboxes have let go of the message {what}",
            expected=f"less than {message.inboxes}, of which {message.references} have it",
        )
    elif message.references != kept:
        yield snapshot.finding(
            REFERENCES_WRONG,
            "inbox",
            message=message_id,
            found=f"inboxes that have the message {what}: {message.references}{_missing(message)}",
            expected=f"{kept}, for {message.inboxes} got it and {message.released} have trimmed it",
        )
    elif message.own > 1 or not (message.released or message.own_missing):
        yield snapshot.finding(
            SIDE_MISSING,
            "inbox",
            message=message_id,
            found=f"{message.own} entries of its sender for the message {what}",
            expected="one",
        )


def _missing(message: _Facts) -> str:
    """Which side of a message has lost it, if that can be told."""
    if message.released or message.references >= message.inboxes:
        return ""
    if not message.own:
        return f"; {message.sender!r}, who wrote it, has not"
    return f"; {message.to} has not" if message.references == 1 and message.inboxes == 2 else ""
