"""Reading an export, line by line, and checking that it is one: what it holds of a line is all that is in memory.

What a broker has to judge (whether bodies are within its limits, whether messages are here already) is not looked at.
"""

from collections.abc import Iterator
from typing import IO, NamedTuple

import msgspec
from msgspec import Struct

from roost_admin.cells import printable
from roost_admin.failures import EX_DATAERR, Failure
from roost_protocol.admin.export import EXPORT_VERSION, ExportedAccount, ExportedEntry
from roost_protocol.limits import EXPORT_LINE_BYTES_MAX, EXPORT_NAMES_MAX
from roost_protocol.names import check_name

KINDS = ("account", "device", "group", "contact", "block", "entry", "end")
"""In the order in which they stand in an export; docs/export.md."""

_SHOWN_CHARS = 60

_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What comes of decoding any line."""


class _Kind(Struct):
    kind: str


class Record(Struct, frozen=True, kw_only=True):
    """What an import takes of a line; see `roost_protocol.admin.export.Exported`. Devices are not taken."""

    kind: str
    account: ExportedAccount | None = None
    group: str | None = None
    contact: str | None = None
    block: str | None = None
    entry: ExportedEntry | None = None
    end: int | None = None


class Line(NamedTuple):
    """A record, and which line of the file it is, from 1."""

    number: int
    record: Record


_kind_of = msgspec.json.Decoder(_Kind).decode
_record_of = msgspec.json.Decoder(Record).decode


class ExportReader:
    """The records of an export that is open at its beginning. `name` is what the file is called when it is not one."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self._number = 0
        self._rank = -1
        self._account: ExportedAccount | None = None
        self._last_seq = 0
        self._last_id = ""
        self._names = 0
        self.entries = 0
        self.devices = 0
        self.passed_over = 0
        """Lines of a kind that is not known: of a later version."""

    def records(self) -> Iterator[Line]:
        """All of them but devices. Raises Failure for the first line that does not belong into an export."""
        while line := self._read():
            if not line.strip():
                continue
            record = self._decoded(line)
            if record is None:
                self.passed_over += 1
                continue
            self._check(record)
            if record.kind != "device":
                yield Line(self._number, record)
        if self._account is None:
            raise self._unfit("nothing in it", "an export begins with the account")
        if KINDS[self._rank] != "end":
            what = f"after {self.entries} entries" if self.entries else "before its entries"
            raise Failure(f"{self._name} was cut short: it ends {what}, without the line `end`", EX_DATAERR)

    def _read(self) -> bytes:
        self._number += 1
        try:
            line = self._file.readline(EXPORT_LINE_BYTES_MAX + 1)
        except OSError as error:
            raise Failure(f"{self._name}, line {self._number}: {error.strerror or error}", EX_DATAERR) from error
        if len(line) > EXPORT_LINE_BYTES_MAX:
            raise self._unfit("a longer line", f"a line has at most {EXPORT_LINE_BYTES_MAX} bytes")
        return line

    def _decoded(self, line: bytes) -> Record | None:
        """What stands in a line; None if it is of a kind that is not known."""
        try:
            kind = _kind_of(line).kind
            if kind == "damaged":
                raise self._unfit(
                    "an entry that was damaged", "what is imported is whole: export it from a backup that is"
                )
            return _record_of(line) if kind in KINDS else None
        except _UNREADABLE as error:
            found = printable(line[: 4 * _SHOWN_CHARS].decode(errors="backslashreplace").strip()[:_SHOWN_CHARS])
            raise self._unfit(found, f"not a record of an export: {error}") from error

    def _unfit(self, found: str, allowed: str) -> Failure:
        return Failure(f"{self._name}, line {self._number}: {allowed}; found: {found}", EX_DATAERR)

    # --- what may follow what ---

    def _check(self, record: Record) -> None:
        rank = KINDS.index(record.kind)
        if self._rank == KINDS.index("end"):
            raise self._unfit(f"a record `{record.kind}`", "after `end` there is nothing")
        if self._account is None and record.kind != "account":
            raise self._unfit(f"a record `{record.kind}`", "an export begins with the account")
        if rank < self._rank or rank == self._rank == 0:
            raise self._unfit(f"`{record.kind}` after `{KINDS[self._rank]}`", f"the order is {', '.join(KINDS)}")
        self._rank = rank
        if record.kind != "device" and getattr(record, record.kind) is None:
            raise self._unfit("nothing there", f"what a record is about stands under `{record.kind}`")
        if record.account is not None and record.kind == "account":
            self._check_account(record.account)
        elif record.entry is not None and record.kind == "entry":
            self._check_entry(record.entry)
        elif record.end is not None and record.kind == "end":
            self._check_end(record.end)
        elif record.kind == "device":
            self.devices += 1
        else:
            self._names += 1
            if self._names > EXPORT_NAMES_MAX:
                raise self._unfit("one more", f"at most {EXPORT_NAMES_MAX} groups, contacts and blocks")
            self._check_name(str(getattr(record, record.kind)))

    def _check_account(self, account: ExportedAccount) -> None:
        if account.version != EXPORT_VERSION:
            allowed = f"this roost reads exports of version {EXPORT_VERSION}"
            raise self._unfit(f"version {account.version}", allowed)
        if not 1 <= account.floor <= account.head + 1:
            allowed = "the floor of an inbox is 1 at least, and at most one more than its head"
            raise self._unfit(f"floor {account.floor}, head {account.head}", allowed)
        self._check_name(account.name)
        self._account = account
        self._last_seq = account.floor - 1

    def _check_name(self, name: str) -> None:
        try:
            check_name(name)
        except ValueError as error:
            raise self._unfit(printable(repr(name)[:_SHOWN_CHARS]), str(error)) from error

    def _check_entry(self, entry: ExportedEntry) -> None:
        expected = self._last_seq + 1
        if entry.seq < expected or (entry.seq > expected and self.entries):
            hint = ", as retention had trimmed them when they were to be read: export again" if self.entries else ""
            allowed = f"numbers follow one another, the next is {expected}"
            if entry.seq > expected:
                allowed += f"; {expected} to {entry.seq - 1} are missing{hint}"
            raise self._unfit(f"entry {entry.seq}", allowed)
        message_id = message_id_of(entry)
        if not message_id:
            raise self._unfit(f"entry {entry.seq} without", "an entry has its message, or says what was erased")
        if message_id <= self._last_id:
            allowed = f"message ids rise, the one before is {self._last_id}"
            raise self._unfit(f"entry {entry.seq} with message {message_id}", allowed)
        if self._account is not None and entry.seq > self._account.head:
            raise self._unfit(f"entry {entry.seq}", f"the account's head is {self._account.head}")
        self._last_seq, self._last_id = entry.seq, message_id
        self.entries += 1

    def _check_end(self, end: int) -> None:
        if end != self.entries:
            raise self._unfit(f"{self.entries} entries before it", f"by its last line there are {end}")
        if self._account is not None and self.entries and self._last_seq != self._account.head:
            raise self._unfit(f"{self._last_seq} as the last entry", f"the account's head is {self._account.head}")


def message_id_of(entry: ExportedEntry) -> str:
    """The id of the entry's message; empty if the export does not say it."""
    if entry.entry is not None:
        return entry.entry.id
    return "" if entry.erased is None else entry.erased.id
