"""Checks of inboxes, one after the other: numbers, bytes, kinds, own publishes; and the scroll index beside them.

An inbox is read once, in the order of its numbers. What the scroll index should hold for its entries is collected in
slices, put into the order of the index and compared with it there, so that no more than a slice is ever in memory.
Messages are not looked at here; but where each inbox begins is noted in `Snapshot.runs`, for `fsck_messages`.
"""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from roost_broker.store.fsck_accounts import odd_key
from roost_broker.store.fsck_devices import Publishes, publishes
from roost_broker.store.fsck_problems import (
    BELOW_FLOOR,
    BYTES_WRONG,
    CHECKSUM,
    ENTRY_INVALID,
    FLOOR_INVALID,
    HOLE,
    IDS_FALL,
    INBOX_ASTRAY,
    OUTCOME_LOST,
    OWN_ASTRAY,
    SCROLL_ASTRAY,
    SCROLL_LOST,
    Problem,
)
from roost_broker.store.fsck_snapshot import FIRST_ROWS, PAUSE_ROWS, Begins, Snapshot, Step, unpacked
from roost_broker.store.lmdb_seal import SEAL_BYTES, is_intact
from roost_broker.store.lmdb_tables import (
    CONVERSATION,
    ENTRY,
    FLOOR,
    GAP_REASONS,
    KIND_MESSAGE,
    KIND_OWN,
    NUMBER,
    NUMBER_END,
    OUTCOME,
    OWN_ENTRY,
    PAIR,
    SCROLL,
    SLOT,
    WITH_GROUP,
    WITH_USER,
    number_at_end,
)
from roost_broker.store.operations import NO_DEVICE
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.store.lmdb_tables import Cursor

ENTRY_BYTES = {KIND_MESSAGE: ENTRY.size + SEAL_BYTES, KIND_OWN: OWN_ENTRY.size + SEAL_BYTES}
"""How long an entry of each kind is, with its seal."""

KIND_AT = NUMBER.size
"""Where the kind stands in an entry."""

SLICE_ENTRIES = 8_192
"""Entries whose scroll keys are compared at a time: 1 MB, some ms. In an inbox of more, a slice costs one look at each
conversation."""

_AFTER_ALL = NUMBER.pack(NUMBER_END) + b"\0"  # after every number of a conversation
_UNKNOWN = -1


def check_inboxes(snapshot: Snapshot) -> Iterator[Step]:
    """Every inbox is dense from its floor to its head and adds up, and the scroll index mirrors it."""
    seen = dict.fromkeys(_SIZES, 0)
    owner: int | None = 0
    while owner is not None:
        owner = _next_owner(snapshot, owner)
        if owner is not None:
            inbox = _Inbox(snapshot, owner)
            yield from inbox.check()
            seen["inbox"] += inbox.rows
            seen["scroll"] += inbox.scroll_rows
            seen["floors"] += inbox.floor_rows
            yield inbox.floor_rows
            owner = owner + 1 if owner < NUMBER_END else None
    for table, size in _SIZES.items():
        if seen[table] != snapshot.rows(table):
            yield from _odd_keys(snapshot, table, size)


_SIZES = {"floors": NUMBER.size, "inbox": PAIR.size, "scroll": SCROLL.size}
"""The tables that are checked here, and the bytes of their keys."""


def _next_owner(snapshot: Snapshot, user: int) -> int | None:
    """The next user, from this one on, who has anything in these tables."""
    prefix = NUMBER.pack(user)
    keys = [snapshot.first_from(table, prefix) for table in _SIZES]
    return min(
        (int.from_bytes(key[: NUMBER.size].ljust(NUMBER.size, b"\0"), "big") for key in keys if key), default=None
    )


def _odd_keys(snapshot: Snapshot, table: str, size: int) -> Iterator[Step]:
    """Keys of another size, which a walk by user does not come across."""
    for chunk in snapshot.chunks(table):
        for key, _ in chunk:
            if len(key) != size:
                yield odd_key(snapshot, table, key, size)
        yield 0


class _Inbox:
    """The check of one inbox."""

    def __init__(self, snapshot: Snapshot, user: int) -> None:
        self.rows = 0
        self.scroll_rows = 0
        self.floor_rows = int(snapshot.get("floors", NUMBER.pack(user)) is not None)
        self._snapshot = snapshot
        self._user = user
        self._prefix = NUMBER.pack(user)
        self._floor = 1
        self._expected = 1
        self._cumulative = 0
        self._last_id = 0
        self._last_seq = 0
        self._below: list[int] = []
        """The first and the last number before the floor, if there are any."""
        self._conversations: set[tuple[int, int]] = set()
        self._devices: dict[int, Publishes | None] = {}
        self._keys: list[bytes] = []
        self._slice_from = 0

    def check(self) -> Iterator[Step]:
        """All of it."""
        yield from self._begin()
        with self._snapshot.txn.cursor(self._snapshot.tables.inbox) as cursor:
            walk = cursor.iternext() if cursor.set_range(self._prefix) else iter(())
            size, ended = FIRST_ROWS, False
            while not ended:
                chunk = list(islice(walk, size))
                ended = len(chunk) < size or not chunk[-1][0].startswith(self._prefix)
                rows = self.rows
                yield from self._entries(chunk)
                yield self.rows - rows
                if len(self._keys) >= SLICE_ENTRIES or ended:
                    rows = self.scroll_rows
                    yield from self._scroll(ended=ended)
                    yield self.scroll_rows - rows
                size = PAUSE_ROWS
        yield from self._end()

    def _begin(self) -> Iterator[Step]:
        snapshot, user = self._snapshot, self._user
        if snapshot.user_name(user) is None:
            yield snapshot.finding(
                INBOX_ASTRAY, "users", user=user, found="an inbox, but no such user", expected="a user who is there"
            )
        begins = snapshot.begins(user)
        if begins is None:
            yield snapshot.finding(
                FLOOR_INVALID,
                "floors",
                user=user,
                found=_floor_text(snapshot.get("floors", self._prefix)),
                expected=f"a number from 1 up, the bytes before it, and one of {len(GAP_REASONS)} rules",
            )
            begins = Begins(1, 0, 0)
        self._floor = self._expected = begins.floor
        self._cumulative = begins.cumulative

    def _end(self) -> Iterator[Step]:
        snapshot = self._snapshot
        snapshot.note("user", self._user)
        snapshot.note("message", self._last_id)
        for kind, peer in self._conversations:
            snapshot.note("group" if kind == WITH_GROUP else "user", peer)
        for device in self._devices:
            snapshot.note("device", device)
        if self._below:
            first, last = self._below
            yield snapshot.finding(
                BELOW_FLOOR,
                "inbox",
                user=self._user,
                seq=first,
                found=f"entries from {first} to {last}",
                expected=f"nothing before {self._floor}, the floor of the inbox",
            )

    # --- entries ---

    def _entries(self, chunk: list[tuple[bytes, bytes]]) -> Iterator[Step]:
        """Some entries, and perhaps those of others after them. What is as expected takes the short way."""
        unpack_key, unpack, pack_scroll, user = PAIR.unpack, ENTRY.unpack_from, SCROLL.pack, self._user
        sizes, conversations, collect = ENTRY_BYTES, self._conversations, self._keys.append
        for key, value in chunk:
            if len(key) != PAIR.size:
                continue  # of whatever user: it is found at the end
            owner, seq = unpack_key(key)
            if owner != user:
                return
            self.rows += 1
            self._last_seq = seq
            if not is_intact(value, key):
                yield self._broken(seq, value)
                yield from self._out_of_step(seq, 0, None)
                continue
            if len(value) <= KIND_AT or sizes.get(value[KIND_AT]) != len(value):
                yield self._invalid(seq, f"{len(value)} bytes that begin with {value[: KIND_AT + 1].hex()}")
                yield from self._out_of_step(seq, 0, None)
                continue
            message_id, kind, with_, peer, size, inboxes, cumulative = unpack(value)
            if seq == self._expected and cumulative == self._cumulative + size:
                self._expected = seq + 1
                self._cumulative = cumulative
            else:
                yield from self._out_of_step(seq, size, cumulative)
            if message_id <= self._last_id or not self._last_id:
                yield from self._begin_run(seq, message_id)
            self._last_id = message_id
            if (with_, peer) not in conversations:
                conversations.add((with_, peer))
                if with_ not in (WITH_USER, WITH_GROUP) or not peer:
                    yield self._invalid(seq, f"a conversation of kind {with_} with {peer}")
            own_to_self = kind == KIND_OWN and peer == user
            # One inbox alone has a notice, too: of a user whose messages were erased, and who has no inbox any more.
            if with_ == WITH_USER and inboxes != (1 if own_to_self else 2) and not (inboxes == 1 and kind != KIND_OWN):
                yield self._invalid(seq, f"a message of two users that {inboxes} inboxes got")
            if kind == KIND_OWN:
                yield from self._own(seq, message_id, value)
            collect(pack_scroll(user, with_, peer, seq))

    def _broken(self, seq: int, value: bytes) -> Step:
        return self._snapshot.finding(
            CHECKSUM, "inbox", user=self._user, seq=seq, found=f"{len(value)} bytes that do not fit their checksum",
            expected="the entry as it was written",
        )  # fmt: skip

    def _invalid(self, seq: int, found: str) -> Step:
        return self._snapshot.finding(
            ENTRY_INVALID, "inbox", user=self._user, seq=seq, found=found, expected="an entry as roost writes it"
        )

    def _out_of_step(self, seq: int, size: int, cumulative: int | None) -> Iterator[Step]:
        """An entry that does not follow from the one before; what follows is judged by it.

        Without `cumulative`, the bytes of the entry are not known, and so not those of the next.
        """
        snapshot, expected = self._snapshot, self._expected
        if seq < self._floor:
            self._below = [self._below[0] if self._below else seq, seq]
            return
        if seq != expected:
            last = seq - 1
            yield snapshot.finding(
                HOLE,
                "inbox",
                user=self._user,
                seq=expected,
                found=f"entry {expected} is not there" if expected == last else f"none of entries {expected} to {last}",
                expected="every number from the floor to the head",
            )
        elif cumulative is not None and self._cumulative != _UNKNOWN:
            yield snapshot.finding(
                BYTES_WRONG,
                "inbox",
                user=self._user,
                seq=seq,
                found=f"{cumulative} bytes up to this entry, which has {size}",
                expected=f"{self._cumulative + size}",
            )
        self._expected = seq + 1
        self._cumulative = _UNKNOWN if cumulative is None else cumulative

    def _begin_run(self, seq: int, message_id: int) -> Iterator[Step]:
        """The first entry, or one whose message is not later than that of the entry before."""
        if self._last_id:
            self._snapshot.note("message", self._last_id)
            yield self._snapshot.finding(
                IDS_FALL,
                "inbox",
                user=self._user,
                seq=seq,
                message=message_id,
                found=f"a message that is not later than {self._last_id:016x}, the one before",
                expected="message ids that rise; this entry or the one before is wrong",
            )
        self._snapshot.runs.add(self._user, seq, message_id)

    def _own(self, seq: int, message_id: int, value: bytes) -> Iterator[Step]:
        """A message of the user's own: its device, if that is still known, has settled it and will not repeat it."""
        device, n = OWN_ENTRY.unpack_from(value)[-2:]
        if device == NO_DEVICE:  # an admin sent it
            return
        if device not in self._devices:
            self._devices[device] = publishes(self._snapshot, device)
        facts = self._devices[device]
        if facts is None:
            return
        if facts.user != self._user or not 1 <= n <= facts.settled_n:
            yield self._snapshot.finding(
                OWN_ASTRAY,
                "inbox",
                user=self._user,
                device=device,
                seq=seq,
                message=message_id,
                found=f"n {n} of a device of user {facts.user} that has settled n up to {facts.settled_n}",
                expected="a publish that a device of the user has settled",
            )
        elif n > facts.outcomes_from:
            outcome = self._snapshot.get("outcomes", SLOT.pack(device, n % facts.slots))
            fields = None if outcome is None else unpacked(OUTCOME, outcome)
            told = None if fields is None else fields[:4]
            if told != (n, Reason.SUCCESS, seq, message_id):
                yield self._snapshot.finding(
                    OUTCOME_LOST,
                    "outcomes",
                    user=self._user,
                    device=device,
                    seq=seq,
                    message=message_id,
                    found="no outcome" if told is None else f"the outcome of n {told[0]}, which became entry {told[2]}",
                    expected=f"the outcome of n {n}: success, entry {seq}",
                )

    # --- the scroll index ---

    def _scroll(self, *, ended: bool) -> Iterator[Step]:
        """Compare the scroll keys of the entries since the last time with those in the index."""
        keys, self._keys = self._keys, []
        keys.sort()
        first, last = self._slice_from, NUMBER_END if ended else self._last_seq
        self._slice_from = self._last_seq + 1
        with self._snapshot.txn.cursor(self._snapshot.tables.scroll) as cursor:
            if (first, last) == (0, NUMBER_END) and self._is_all(cursor, keys):
                self.scroll_rows += len(keys)
                return
            yield from self._differences(keys, self._found(cursor, first, last))

    def _is_all(self, cursor: "Cursor", keys: list[bytes]) -> bool:
        """Whether these are all keys of the user in the index: what is nearly always so."""
        if not cursor.set_range(self._prefix):
            return not keys
        found = list(islice(cursor.iternext(values=False), len(keys) + 1))
        return found[: len(keys)] == keys and not (len(found) > len(keys) and found[-1].startswith(self._prefix))

    def _found(self, cursor: "Cursor", first: int, last: int) -> Iterator[bytes]:
        """The user's keys in the index whose numbers lie in a range; what does not is skipped by conversation."""
        found = cursor.set_range(self._prefix)
        while found and (key := cursor.key()).startswith(self._prefix):
            conversation, seq = key[: CONVERSATION.size], number_at_end(key)
            if len(key) == SCROLL.size and seq < first:
                found = cursor.set_range(conversation + NUMBER.pack(first))
            elif len(key) == SCROLL.size and seq > last:
                found = cursor.set_range(conversation + _AFTER_ALL)
            else:
                if len(key) == SCROLL.size:
                    self.scroll_rows += 1
                    yield key
                found = cursor.next()

    def _differences(self, expected: list[bytes], found: Iterator[bytes]) -> Iterator[Step]:
        """What is in one of two sorted rows of keys alone."""
        at = 0
        for looked_at, key in enumerate(found):
            while at < len(expected) and expected[at] < key:
                yield self._unlike(SCROLL_LOST, expected[at])
                at += 1
            if at < len(expected) and expected[at] == key:
                at += 1
            else:
                yield self._unlike(SCROLL_ASTRAY, key)
            if looked_at % PAUSE_ROWS == 0:
                yield 0
        for key in expected[at:]:
            yield self._unlike(SCROLL_LOST, key)

    def _unlike(self, problem: Problem, key: bytes) -> Step:
        _, kind, peer, seq = SCROLL.unpack(key)
        where = f"conversation with {'group' if kind == WITH_GROUP else 'user'} {peer}"
        row, none = f"a row for entry {seq} in the {where}", "no such row"
        lost = problem is SCROLL_LOST
        return self._snapshot.finding(
            problem,
            "scroll",
            user=self._user,
            group=peer if kind == WITH_GROUP else None,
            seq=seq,
            found=none if lost else row,
            expected=row if lost else f"{none}: the inbox has no such entry in it",
        )


def _floor_text(value: bytes | None) -> str:
    fields = None if value is None else unpacked(FLOOR, value)
    if value is None or fields is None:
        return "no row" if value is None else f"{len(value)} bytes"
    floor, cumulative, reason = fields
    return f"number {floor}, {cumulative} bytes, rule {reason}"
