"""Importing a user: each step an act, so that what is cut in between goes on with the next."""

import secrets
from collections.abc import Iterator
from typing import Any

import msgspec
import trio

from roost_broker.administration.acts import Act, Acts, NotDone, check
from roost_broker.removals import RemovalStopped
from roost_broker.store import CommitRefused, Store, import_refusals
from roost_broker.store.account_operations import ERASED_TYPE
from roost_broker.store.import_operations import (
    AHEAD_MS,
    BeginImport,
    EndImport,
    EntriesImported,
    ImportBegun,
    ImportedEntry,
    ImportEntries,
    ImportSource,
    OpenImport,
)
from roost_broker.store.operations import ChangeMembers, Done, Operation, Refused, SetRelation
from roost_broker.store.readings import Account
from roost_protocol.admin.export import ExportedEntry
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
    ImportStep,
    LeftOut,
    RelationsImported,
    SliceImported,
    unpack_lines,
)
from roost_protocol.admin.route import PROGRAM, Caller, Route
from roost_protocol.codec import encode_entry
from roost_protocol.frames import Entry
from roost_protocol.limits import Limits
from roost_protocol.names import AddressKind, check_content_type, check_name, parse_address, user_address
from roost_protocol.reasons import Reason

SLICE_ENTRIES = 256
"""Entries in one commit: about 5 ms of the writer."""

LOOKED_AT = 32
"""Messages that are looked up in one read, when it is only asked what would be done."""

REMOVALS_A_READ = 64

INBOXES_MOST = 1_000_000
"""Inboxes that one message can have gone to: as many entries as one commit can have (`Limits.batch_entries_max`)."""

_SECRET_BYTES = 32


class _Unfit(Exception):
    """An entry that cannot be; the message says what was found, and what is allowed."""


class Imports(Acts):
    """The steps of an import."""

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {
            IMPORT_BEGIN: self.begin,
            IMPORT_ENTRIES: self.entries,
            IMPORT_RELATIONS: self.relations,
            IMPORT_OPEN: self.open,
            IMPORT_END: self.end,
        }

    async def begin(self, name: str, export: ImportBegin, caller: Caller = PROGRAM) -> ImportState:
        """Create the account, disabled and with a password that nobody knows, or find the one that it goes on with."""
        check(name)
        self._check_source(export)
        account = await self._core.readers.run(self._core.store.account, name)
        if export.check and account is not None and not account.importing:
            refused = import_refusals.name_taken(name)
            raise NotDone(refused.reason, refused.text)
        if export.check:
            begun = ImportBegun(user=0, next_seq=export.floor, last_id=0, opened=False, fresh=account is None)
        else:
            begun = await self._begin(name, export, caller, is_new=account is None)
        limits = self._core.limits
        return ImportState(
            user=name,
            next=begun.next_seq,
            last_id=f"{begun.last_id:016x}" if begun.last_id else None,
            again=not begun.fresh,
            opened=begun.opened,
            slice_entries=min(SLICE_ENTRIES, limits.trim_slice_max),
            slice_bytes=limits.http_body_bytes_max * 3 // 4 - 512,  # it comes as base64, in a few words of JSON
        )

    def _check_source(self, export: ImportBegin) -> None:
        if export.floor > export.head + 1:
            text = f"an inbox from {export.floor} to {export.head}: its floor is at most one more than its head"
            raise NotDone(Reason.MALFORMED_PACKET, text)
        if export.created > self._core.now_ms() + AHEAD_MS:
            text = f"the account was created at {export.created}, which is a time to come; now is {self._core.now_ms()}"
            raise NotDone(Reason.MALFORMED_PACKET, text)

    async def _begin(self, name: str, export: ImportBegin, caller: Caller, *, is_new: bool) -> ImportBegun:
        if is_new:
            await self._clear_removed(name)
        source = ImportSource(
            created=export.created,
            incarnation=export.incarnation,
            floor=export.floor,
            floor_reason=export.floor_reason,
            head=export.head,
        )
        password_hash = await self._hash(secrets.token_urlsafe(_SECRET_BYTES))
        operation = BeginImport(name=name, password_hash=password_hash, source=source, by=caller.name)
        return await self._run(operation, ImportBegun)

    async def _clear_removed(self, name: str) -> None:
        """Do away with what is left of a removed user of this name: his entries would still count."""
        core, after = self._core, 0
        while removals := await core.readers.run(core.store.removals, after, REMOVALS_A_READ):
            after = removals[-1].user
            for removal in removals:
                if removal.name == name and not removal.erasing:
                    try:
                        await core.removals.finish_one(removal)
                    except RemovalStopped as stopped:
                        raise NotDone(Reason.SERVER_BUSY, str(stopped)) from stopped

    async def entries(self, name: str, part: ImportSlice, caller: Caller = PROGRAM) -> SliceImported:
        """Add the entries of a slice, which is checked as a whole first."""
        del caller
        core = self._core
        try:
            entries = await core.readers.run(read_slice, part.entries, name, core.limits)
        except _Unfit as error:
            raise NotDone(Reason.MALFORMED_PACKET, str(error)) from error
        if part.check:
            result = await self._would_import(entries)
        else:
            account = await self._importing(name)
            result = await self._run(ImportEntries(user=account.user, entries=entries), EntriesImported)
        return SliceImported(
            entries=len(entries),
            stored=result.stored,
            shared=result.shared,
            erased=result.erased,
            kept=result.kept,
        )

    async def _would_import(self, entries: tuple[ImportedEntry, ...]) -> EntriesImported:
        shared = kept = 0
        for first in range(0, len(entries), LOOKED_AT):
            part = entries[first : first + LOOKED_AT]
            for here in await self._in_turns(_messages_here, self._core.store, part):
                if isinstance(here, Refused):
                    raise NotDone(here.reason, here.text)
                shared += here is not None
                kept += here is True
        return EntriesImported(stored=len(entries) - shared, shared=shared, kept=kept)

    async def relations(self, name: str, given: ImportRelations, caller: Caller = PROGRAM) -> RelationsImported:
        """Take contacts, blocked users and memberships whose other party is here. Again is no error."""
        del caller
        wanted: list[tuple[str, str]] = [("contact", other) for other in given.contacts]
        wanted += [("block", other) for other in given.blocks]
        wanted += [("group", group) for group in given.groups]
        left_out: list[LeftOut] = []
        if given.check:
            for kind, other in wanted:
                if not await self._is_here("group" if kind == "group" else "user", other):
                    left_out.append(LeftOut(kind=kind, name=other, text=f"there is no such {_party(kind)} here"))
            return RelationsImported(taken=len(wanted) - len(left_out), left_out=tuple(left_out))
        account = await self._importing(name)
        texts: dict[tuple[str, str], str] = {}
        failures: list[CommitRefused] = []
        async with trio.open_nursery() as nursery:
            for kind, other in wanted:
                nursery.start_soon(self._take, account, kind, other, texts, failures)
        if failures:
            raise NotDone(failures[0].reason, str(failures[0])) from failures[0]
        left_out = [
            LeftOut(kind=kind, name=other, text=texts[kind, other]) for kind, other in wanted if (kind, other) in texts
        ]
        return RelationsImported(taken=len(wanted) - len(left_out), left_out=tuple(left_out))

    async def _take(
        self, account: Account, kind: str, other: str, texts: dict[tuple[str, str], str], failures: list[CommitRefused]
    ) -> None:
        """Have one relation committed, and note why if it may not be, or cannot be now (`CommitRefused`)."""
        operation: Operation = SetRelation(user=account.user, kind=kind, other=other, present=True)
        if kind == "group":
            operation = ChangeMembers(group=other, by=None, add=(account.name,))
        try:
            result = await self._core.batcher.run(operation)
        except CommitRefused as refused:
            failures.append(refused)
            return
        if isinstance(result, Refused):
            texts[kind, other] = result.text or result.reason.phrase
        elif kind == "block":
            self._core.hide_presence(account.user, other)

    async def _is_here(self, kind: AddressKind, name: str) -> bool:
        core = self._core
        read = core.store.account if kind == "user" else core.store.group
        return await core.readers.run(read, name) is not None

    async def open(self, name: str, caller: Caller = PROGRAM) -> ImportStep:
        """From now on messages come for the user. Again is no error."""
        del caller
        account = await self._importing(name)
        await self._run(OpenImport(user=account.user), Done)
        return ImportStep(user=name)

    async def end(self, name: str, caller: Caller = PROGRAM) -> ImportStep:
        """The import is done."""
        account = await self._importing(name)
        await self._run(EndImport(user=account.user, by=caller.name), Done)
        return ImportStep(user=name)

    async def _importing(self, name: str) -> Account:
        account = await self._account(name)
        if not account.importing:
            raise NotDone(Reason.ALREADY_EXISTS, f"the user {name!r} is not being imported")
        return account


def _party(kind: str) -> str:
    return "group" if kind == "group" else "user"


def _messages_here(store: Store, entries: tuple[ImportedEntry, ...]) -> list[bool | Refused | None]:
    """What there is of each message here: None: nothing; False or True: the same, True if the export has it erased."""
    told: list[bool | Refused | None] = []
    for entry in entries:
        found = store.find_message(entry.message_id)
        if found is None:
            told.append(None)
        elif entry.encoded not in (None, found.encoded):
            told.append(import_refusals.another_message(entry, found.encoded, len(found.encoded)))
        else:
            told.append(entry.encoded is None)
    return told


# --- reading a slice ----------------------------------------------------------------------------------------------


def read_slice(packed: bytes, user: str, limits: Limits) -> tuple[ImportedEntry, ...]:
    """The entries of a slice, each within the limits of this broker. Raises _Unfit."""
    try:
        lines = unpack_lines(packed)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise _Unfit(f"the entries cannot be read: {error}") from error
    most = min(SLICE_ENTRIES, limits.trim_slice_max)
    if len(lines) > most:
        raise _Unfit(f"a slice has at most {most} entries here, this one has {len(lines)}")
    return tuple(_read_lines(lines, user, limits))


def _read_lines(lines: tuple[ImportedLine, ...], user: str, limits: Limits) -> Iterator[ImportedEntry]:
    for line in lines:
        entry = line.entry
        try:
            if not 1 <= entry.inboxes <= INBOXES_MOST:
                raise ValueError(f"its message went to {entry.inboxes} inboxes; 1 to {INBOXES_MOST} are possible")
            yield _erased(entry, user) if entry.kind == "erased" else _whole(entry, user, limits)
        except ValueError as error:
            raise _Unfit(f"line {line.line}: entry {entry.seq}: {error}") from error


def _whole(exported: ExportedEntry, user: str, limits: Limits) -> ImportedEntry:
    """An entry with its message. Raises ValueError."""
    entry = exported.entry
    if entry is None:
        raise ValueError("it has no message, and is not erased")
    _check_message(entry, limits)
    kind, name = parse_address(entry.to)
    own = exported.kind == "own"
    if own and entry.sender != user:
        raise ValueError(f"it is the user's own, but from {entry.sender!r} and not from {user!r}")
    if not own and kind == "user" and name != user:
        raise ValueError(f"it is from {entry.sender!r} to {entry.to!r}, and so in no inbox of {user!r}")
    if not own and entry.sender == user and entry.content_type != ERASED_TYPE:
        raise ValueError(f"it is from {user!r}, but not the user's own")
    if kind == "user" and not own:
        name = entry.sender
    encoded = encode_entry(entry)
    imported = ImportedEntry(
        seq=exported.seq,
        message_id=int(entry.id, 16),
        kind="own" if own else "message",
        conversation=kind,
        name=name,
        encoded=encoded,
        size=len(encoded),
        inboxes=exported.inboxes,
        n=exported.n or 0,
    )
    _check_inboxes(imported, user, is_notice=entry.content_type == ERASED_TYPE)
    return imported


def _check_message(entry: Entry, limits: Limits) -> None:
    check_name(entry.sender)
    check_content_type(entry.content_type)
    if (entry.text is None) == (entry.data is None):
        raise ValueError("a message has either text or data")
    size = len(entry.data or b"") if entry.text is None else len(entry.text.encode())
    if size > limits.body_bytes_max:
        raise ValueError(
            f"its body has {size} bytes; at most {limits.body_bytes_max} are allowed here (limits.body_bytes_max)"
        )
    if entry.time > int(entry.id, 16) >> 20:
        raise ValueError(f"its time {entry.time} is after that of its id {entry.id}")


def _erased(exported: ExportedEntry, user: str) -> ImportedEntry:
    """An entry whose message was erased. Raises ValueError."""
    erased = exported.erased
    if erased is None or exported.entry is not None:
        raise ValueError("of an erased entry the export says what it was (`erased`), and has no message")
    kind, name = parse_address(erased.conversation) if erased.conversation is not None else (erased.kind, None)
    imported = ImportedEntry(
        seq=exported.seq,
        message_id=int(erased.id, 16),
        kind="own" if erased.own else "message",
        conversation=kind,
        name=name,
        encoded=None,
        size=erased.bytes,
        inboxes=exported.inboxes,
    )
    _check_inboxes(imported, user, is_notice=True)
    return imported


def _check_inboxes(entry: ImportedEntry, user: str, *, is_notice: bool) -> None:
    """Two users have a message between them, one has a message to himself, or a notice of an erasure."""
    own = entry.kind == "own"
    if entry.conversation == "group":
        if entry.inboxes == 1 and not own and not is_notice:
            raise ValueError("its message, from another to a group, went to 1 inbox; it went to two at least")
        return
    expected = 1 if own and entry.name == user else 2
    if entry.inboxes != expected and not (entry.inboxes == 1 and not own and is_notice):
        where = user_address(entry.name) if entry.name else "nobody who is known"
        raise ValueError(
            f"its message, in a conversation with {where}, went to {entry.inboxes} inboxes, not {expected}"
        )
