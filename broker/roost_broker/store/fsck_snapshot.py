"""What every check of the store works on: one read transaction, names by number, and how a finding is written down.

The tables do not change while they are checked: all reads are of one transaction. A long one keeps the pages that it
sees from being used again, so the file may grow by what is written meanwhile.
"""

from array import array
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import msgspec

from roost_broker.store.errors import RecordDamaged
from roost_broker.store.fsck_problems import Problem
from roost_broker.store.lmdb_seal import SealedLayout
from roost_broker.store.lmdb_tables import (
    COUNTERS,
    FLOOR,
    GAP_REASONS,
    META_LAST,
    NUMBER,
    NUMBER_END,
    PAIR,
    Tables,
    device_record,
    group_record,
    number_at_end,
    user_record,
)
from roost_protocol.admin.fsck import Finding

if TYPE_CHECKING:
    from roost_broker.store.lmdb_tables import Transaction

Row = tuple[bytes, bytes]

Step = Finding | int
"""What a check yields: a finding, or how many more rows were looked at. It may rest after each."""

Check = Callable[["Snapshot"], Iterator[Step]]

PAUSE_ROWS = 128
"""Rows between two steps of a check: far less than a millisecond."""

FIRST_ROWS = 16
"""Rows read of an inbox at first: most are short, and what is read beyond the end belongs to others."""

NAMES_REMEMBERED_MAX = 65_536
"""Names of each kind kept at hand: about 10 MB when full. Past it they are forgotten and read again."""

_KEY_BYTES_MAX = 511  # LMDB's own bound

T = TypeVar("T")


class _Named(Protocol):
    @property
    def name(self) -> str: ...


class Counters(NamedTuple):
    """Highest numbers: the last ones given, or those that are in use."""

    user: int
    device: int
    group: int
    epoch: int
    message: int


class Runs:
    """Where the checks of messages go on in each inbox: parts of it whose message ids rise, nearly always one.

    Four numbers each: 32 bytes, 3 MB for 100,000 inboxes.
    """

    def __init__(self) -> None:
        self.users = array("Q")
        self.seqs = array("Q")
        """The next entry to look at."""
        self.ids = array("Q")
        """Its message id; `NUMBER_END` at the end of the run."""
        self.ends = array("Q")
        """The last number that belongs to the run."""

    def add(self, user: int, seq: int, message_id: int) -> None:
        """A run begins, and the one before it ends."""
        if self.users and self.users[-1] == user:
            self.ends[-1] = seq - 1
        self.users.append(user)
        self.seqs.append(seq)
        self.ids.append(message_id)
        self.ends.append(NUMBER_END)


class Begins(NamedTuple):
    """Where an inbox begins by its row in `floors`; `reason` is the index of the rule that moved it there."""

    floor: int
    cumulative: int
    reason: int

    @property
    def valid(self) -> bool:
        """Whether roost may have written it."""
        return self.floor >= 1 and self.reason < len(GAP_REASONS)


class Snapshot:
    """The store within one read transaction."""

    def __init__(self, txn: "Transaction", tables: Tables) -> None:
        self.txn = txn
        self.tables = tables
        self.runs = Runs()
        """Filled by the check of inboxes, used up by that of messages."""
        self.in_use = dict.fromkeys(Counters._fields, 0)
        """The highest number found of each kind."""
        self._users = _Names(self, "users", user_record)
        self._groups = _Names(self, "groups", group_record)

    # --- reading ---

    def get(self, table: str, key: bytes) -> bytes | None:
        """A row as it is stored, with its seal; None if there is none, or can be none."""
        if not 0 < len(key) <= _KEY_BYTES_MAX:
            return None
        return self.txn.get(key, db=getattr(self.tables, table))

    def rows(self, table: str) -> int:
        """How many rows a table has."""
        return int(self.txn.stat(getattr(self.tables, table))["entries"])

    def chunks(self, table: str) -> Iterator[list[Row]]:
        """All rows of a table whose values are short, some at a time."""
        with self.txn.cursor(getattr(self.tables, table)) as cursor:
            walk = cursor.iternext()
            while chunk := list(islice(walk, PAUSE_ROWS)):
                yield chunk

    def first_from(self, table: str, key: bytes) -> bytes | None:
        """The first key of a table that is not before this one."""
        with self.txn.cursor(getattr(self.tables, table)) as cursor:
            return cursor.key() if cursor.set_range(key) else None

    def begins(self, user: int) -> Begins | None:
        """Where an inbox begins; None if its row makes no sense."""
        value = self.get("floors", NUMBER.pack(user))
        if value is None:
            return Begins(1, 0, 0)
        fields = unpacked(FLOOR, value)
        begins = None if fields is None else Begins(*fields)
        return begins if begins is not None and begins.valid else None

    def head(self, user: int) -> int:
        """The highest number in an inbox; just before its floor if there is none."""
        prefix = NUMBER.pack(user)
        with self.txn.cursor(self.tables.inbox) as cursor:
            end = PAIR.pack(user, NUMBER_END)
            if cursor.set_range(end) and cursor.key() == end:
                return NUMBER_END
            if cursor.prev() and cursor.key().startswith(prefix) and len(cursor.key()) == PAIR.size:
                return number_at_end(cursor.key())
        begins = self.begins(user)
        return 0 if begins is None else begins.floor - 1

    def counters(self) -> Counters | None:
        """The last numbers given; None if that row is not there or makes no sense."""
        value = self.get("meta", META_LAST)
        fields = None if value is None else unpacked(COUNTERS, value)
        return None if fields is None else Counters(*fields)

    def note(self, kind: str, number: int) -> None:
        """A number is in use."""
        self.in_use[kind] = max(self.in_use[kind], number)

    # --- names ---

    def user_name(self, number: int) -> str | None:
        """The name of a user; None if there is no such user, empty if his record cannot be read."""
        return self._users.of(number)

    def group_name(self, number: int) -> str | None:
        """The name of a group; None if there is no such group, empty if its record cannot be read."""
        return self._groups.of(number)

    def device_id(self, number: int) -> str | None:
        """The id of a device, as far as it is known."""
        value = self.get("devices", NUMBER.pack(number))
        record = None if value is None else decoded(device_record, value)
        return None if record is None else record.device_id

    # --- writing down ---

    def finding(
        self,
        problem: Problem,
        table: str,
        *,
        found: str,
        expected: str,
        user: int | None = None,
        device: int | None = None,
        group: int | None = None,
        seq: int | None = None,
        message: int | None = None,
    ) -> Finding:
        """A finding with the names of what it is about."""
        return Finding(
            severity=problem.severity,
            code=problem.code,
            table=table,
            found=found,
            expected=expected,
            advice=problem.advice,
            user=None if user is None else self.user_name(user) or None,
            user_number=user,
            device=None if device is None else self.device_id(device),
            device_number=device,
            group=None if group is None else self.group_name(group) or None,
            group_number=group,
            seq=seq,
            message=None if message is None else f"{message:016x}",
        )


class _Names:
    """Names by number, read when they are asked for."""

    def __init__(self, snapshot: Snapshot, table: str, decode: "Callable[[bytes], _Named]") -> None:
        self._snapshot = snapshot
        self._table = table
        self._decode = decode
        self._known: dict[int, str | None] = {}

    def of(self, number: int) -> str | None:
        """See `Snapshot.user_name`."""
        try:
            return self._known[number]
        except KeyError:
            pass
        value = self._snapshot.get(self._table, NUMBER.pack(number))
        record = None if value is None else decoded(self._decode, value)
        name = (None if value is None else "") if record is None else record.name
        if len(self._known) >= NAMES_REMEMBERED_MAX:
            self._known.clear()
        self._known[number] = name
        return name


def decoded(decode: Callable[[bytes], T], value: bytes) -> T | None:
    """What a value decodes to; None for one that does not."""
    try:
        return decode(value)
    except (RecordDamaged, msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def unpacked(layout: SealedLayout, value: bytes) -> tuple[Any, ...] | None:
    """The fields of a record of fixed layout; None for one that is damaged."""
    try:
        return layout.unpack(value)
    except RecordDamaged:
        return None


def text(name: bytes) -> str:
    """A name out of a key, for a person."""
    return repr(name.decode(errors="backslashreplace"))
