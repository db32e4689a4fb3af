"""Importing a user: the records of an export, given to a broker in steps.

`begin` creates the account, or says how far an import is that was cut; `entries` come in slices as large as the broker
says, in their order; `relations` in any number of parts; `open` when all entries are there, since nobody can write to
the user before; `end`. Memberships come between the last two. With `check`, nothing is changed, and the answer says
what would be done.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from roost_protocol.admin.export import ExportedEntry
from roost_protocol.admin.route import Asked, Count, Route, Told
from roost_protocol.frames import GapReason, Id, Names, Seq


class ImportBegin(Asked, frozen=True, kw_only=True):
    """Which export it is: what its record of the account says.

    `floor` is the number of its first entry, or one more than `head` if there is none.
    """

    created: Count
    incarnation: Id
    floor: Seq
    floor_reason: GapReason | None = None
    head: Count
    check: bool = False


class ImportState(Told, frozen=True, kw_only=True):
    """How far an import is: `next` is the number that comes next, `last_id` the message id of the entry before it.

    `again`: it was begun before. `opened`: all entries are there. A slice may have so many entries and bytes.
    """

    user: str
    next: int
    last_id: str | None
    again: bool
    opened: bool
    slice_entries: int
    slice_bytes: int


class ImportedLine(Struct, frozen=True, kw_only=True, gc=False):
    """An entry of an export, and the line of the file that it stands in, for whoever is told what is wrong with it."""

    line: int
    entry: ExportedEntry


class ImportSlice(Asked, frozen=True, kw_only=True):
    """Entries that follow one another. They are added all or none."""

    entries: Annotated[bytes, Meta(max_length=64 * 1024 * 1024)]
    """MessagePack, an array of `ImportedLine`: JSON of bodies in JSON would be twice as long."""
    check: bool = False


class SliceImported(Told, frozen=True, kw_only=True):
    """What came of a slice: messages that were `stored`, or are `shared` with others who have them here.

    Of those shared, `erased` stay erased here, though the export has their bodies, and `kept` have one here alone.
    """

    entries: int
    stored: int
    shared: int
    erased: int
    kept: int


class ImportRelations(Asked, frozen=True, kw_only=True):
    """Names of contacts, blocked users, and groups that the user was a member of."""

    contacts: Names = ()
    blocks: Names = ()
    groups: Names = ()
    check: bool = False


class LeftOut(Told, frozen=True, kw_only=True):
    """A contact, block or membership (`kind`: `contact`, `block`, `group`) that was not taken, and why."""

    kind: str
    name: str
    text: str


class RelationsImported(Told, frozen=True, kw_only=True):
    """How many were taken, and which were not."""

    taken: int
    left_out: tuple[LeftOut, ...]


class ImportStep(Told, frozen=True, kw_only=True):
    """The user whose import has come further."""

    user: str


pack_lines = msgspec.msgpack.Encoder().encode
"""Entries as they stand in `ImportSlice`."""
unpack_lines = msgspec.msgpack.Decoder(tuple[ImportedLine, ...]).decode
"""And back. Raises msgspec.MsgspecError and UnicodeError."""

IMPORT_BEGIN = Route(
    method="POST",
    path="/v1/users/{user}/import",
    summary="Begin to import a user, or go on with it",
    takes=ImportBegin,
    gives=ImportState,
    role="admin",
)
IMPORT_ENTRIES = Route(
    method="POST",
    path="/v1/users/{user}/import/entries",
    summary="Add entries to the inbox of a user who is being imported",
    takes=ImportSlice,
    gives=SliceImported,
    role="admin",
)
IMPORT_RELATIONS = Route(
    method="POST",
    path="/v1/users/{user}/import/relations",
    summary="Give a user who is being imported contacts, blocked users and memberships",
    takes=ImportRelations,
    gives=RelationsImported,
    role="admin",
)
IMPORT_OPEN = Route(
    method="POST",
    path="/v1/users/{user}/import/open",
    summary="All entries are there: messages may come for the user who is being imported",
    gives=ImportStep,
    role="admin",
)
IMPORT_END = Route(
    method="POST",
    path="/v1/users/{user}/import/end",
    summary="The import is done: the account is like any other that is disabled",
    gives=ImportStep,
    role="admin",
)

ROUTES = (IMPORT_BEGIN, IMPORT_ENTRIES, IMPORT_RELATIONS, IMPORT_OPEN, IMPORT_END)
