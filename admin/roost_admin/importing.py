"""Giving a broker an export, step by step; see `roost_protocol.admin.imports`."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import chain
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from roost_admin.failures import EX_DATAERR, Failure
from roost_admin.import_file import ExportReader, Line, message_id_of
from roost_protocol.admin.imports import (
    IMPORT_BEGIN,
    IMPORT_END,
    IMPORT_ENTRIES,
    IMPORT_OPEN,
    IMPORT_RELATIONS,
    ImportBegin,
    ImportedLine,
    ImportRelations,
    ImportSlice,
    ImportState,
    LeftOut,
    pack_lines,
)
from roost_protocol.limits import LIST_MAX

if TYPE_CHECKING:
    from roost_admin.api import AdminApi
    from roost_protocol.admin.export import ExportedAccount

Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Shows that something of so many parts is done; what it gives is told how many more are done."""

ARRAY_BYTES = 5
"""What MessagePack puts before the parts of an array, at most."""


class ImportReport(Struct, frozen=True, kw_only=True):
    """What was done, or with `dry_run` would be.

    `entries` from `first` to `last`, of which `before` were here from a run that was cut; this run `stored` messages
    and `shared` others, of which `erased` stay erased, and `kept` are erased in the file alone.
    """

    user: str
    dry_run: bool
    first: int
    last: int
    entries: int
    before: int
    stored: int
    shared: int
    erased: int
    kept: int
    taken: int
    left_out: tuple[LeftOut, ...]
    devices: int
    passed_over: int


class Importing:
    """One run of an import."""

    def __init__(self, api: "AdminApi", reader: ExportReader, *, dry_run: bool, progress: Progress) -> None:
        self._api = api
        self._reader = reader
        self._dry_run = dry_run
        self._progress = progress
        self._names: dict[str, list[str]] = {"contact": [], "block": [], "group": []}
        self._user = ""
        self._begun = False
        self._before = 0
        self._counts = {"stored": 0, "shared": 0, "erased": 0, "kept": 0}
        self._taken = 0
        self._left_out: list[LeftOut] = []

    def run(self) -> ImportReport:
        """To the end. Raises Failure; what is done by then stays."""
        try:
            return self._run()
        except Failure as failure:
            if not self._begun:
                raise
            hint = f"go on with the same command, or undo it with `roost users remove {self._user}`"
            raise Failure(
                f"{failure.message}; the import of {self._user} is not done: {hint}", failure.exit_code
            ) from failure

    def _run(self) -> ImportReport:
        records = self._reader.records()
        account = self._account(next(records))
        first = self._read_names(records)
        floor = account.head + 1 if first is None or first.record.entry is None else first.record.entry.seq
        state = self._begin(account, floor)
        if first is not None:
            with self._progress(f"importing {account.name}", account.head - floor + 1) as moved:
                self._give(state, chain((first,), records), moved)
        else:
            for _ in records:
                pass
        self._finish()
        return ImportReport(
            user=account.name,
            dry_run=self._dry_run,
            first=floor,
            last=account.head,
            entries=self._reader.entries,
            before=self._before,
            **self._counts,
            taken=self._taken,
            left_out=tuple(self._left_out),
            devices=self._reader.devices,
            passed_over=self._reader.passed_over,
        )

    @staticmethod
    def _account(line: Line) -> "ExportedAccount":
        account = line.record.account
        assert account is not None  # noqa: S101  # the reader has checked it
        return account

    def _read_names(self, records: Iterator[Line]) -> Line | None:
        """Keep the names that come before the entries; the line with the first entry, None if there is none."""
        for line in records:
            kind = line.record.kind
            if kind == "entry":
                return line
            if kind in self._names:
                self._names[kind].append(getattr(line.record, kind))
        return None

    def _begin(self, account: "ExportedAccount", floor: int) -> ImportState:
        export = ImportBegin(
            created=account.created,
            incarnation=account.incarnation,
            floor=floor,
            floor_reason=account.floor_reason,
            head=account.head,
            check=self._dry_run,
        )
        self._user = account.name
        state = self._api.ask(IMPORT_BEGIN, account.name, body=export)
        self._begun = not self._dry_run
        self._before = state.next - floor
        return state

    # --- entries ---

    def _give(self, state: ImportState, records: Iterator[Line], moved: Callable[[int], None]) -> None:
        """Give the entries that are not there yet, in slices."""
        part: list[ImportedLine] = []
        size = ARRAY_BYTES
        for number, record in records:
            entry = record.entry
            if entry is None:
                continue
            if entry.seq < state.next:
                self._compare(state, number, entry.seq, message_id_of(entry))
                moved(1)
                continue
            line = ImportedLine(line=number, entry=entry)
            bytes_ = len(pack_lines(line))
            if bytes_ + ARRAY_BYTES > state.slice_bytes:
                text = f"line {number}: entry {entry.seq} has {bytes_} bytes, and the broker takes {state.slice_bytes}"
                raise Failure(f"{text} at once; raise its limit http_body_bytes_max", EX_DATAERR)
            if part and (len(part) >= state.slice_entries or size + bytes_ > state.slice_bytes):
                self._send(part, moved)
                part, size = [], ARRAY_BYTES
            part.append(line)
            size += bytes_
        if part:
            self._send(part, moved)

    def _compare(self, state: ImportState, number: int, seq: int, message_id: str) -> None:
        """Whether the entry that was the last to come is the same in this file."""
        if seq == state.next - 1 and state.last_id is not None and message_id != state.last_id:
            raise Failure(
                f"line {number}: entry {seq} is message {message_id}; the import that this would go on with has "
                f"{state.last_id} there: it was begun with another file",
                EX_DATAERR,
            )

    def _send(self, part: list[ImportedLine], moved: Callable[[int], None]) -> None:
        body = ImportSlice(entries=pack_lines(part), check=self._dry_run)
        result = self._api.ask(IMPORT_ENTRIES, self._user, body=body)
        for name in self._counts:
            self._counts[name] += getattr(result, name)
        moved(len(part))

    # --- what comes after them ---

    def _finish(self) -> None:
        self._relate("contacts", self._names["contact"])
        self._relate("blocks", self._names["block"])
        if not self._dry_run:
            self._api.ask(IMPORT_OPEN, self._user)
        self._relate("groups", self._names["group"])
        if not self._dry_run:
            self._api.ask(IMPORT_END, self._user)

    def _relate(self, kind: str, names: list[str]) -> None:
        for first in range(0, len(names), LIST_MAX):
            some = tuple(names[first : first + LIST_MAX])
            body = msgspec.convert({kind: some, "check": self._dry_run}, ImportRelations)
            told = self._api.ask(IMPORT_RELATIONS, self._user, body=body)
            self._taken += told.taken
            self._left_out += told.left_out
