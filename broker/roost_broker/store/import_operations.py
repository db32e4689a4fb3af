"""What an import does to a store: an account comes with the inbox that it had in another store, or in this one before.

A user who is imported is there from `BeginImport` on, disabled, with an inbox that begins where the export says. The
entries come in slices, as they are numbered in the export, and until they are all there nobody can write to him: a
message would take a number that the export gives to another. `OpenImport` lets messages come, memberships too, and
`EndImport` ends it. All that is known of how far it is stands in the record of the user, so that an import that was
cut goes on where it stopped; and removing the user undoes it.

A *message* may be here already: another user had it, who lives here or was imported before. Then it is shared: every
inbox that got it, here or elsewhere, counts once, and those that are not here count as having let go of it. So a
message is here as long as one inbox holds it, and importing another of its inboxes takes one release back. Two users
who are imported one after the other end up as they were, whoever is the first.

Whom an entry is with may not be here. Then a number is kept for him (`awaited`), which he gets if he comes later, so
that the conversation is the same one. The same for groups. A user who was removed here, and not erased, gets the number
back that he had, if the export is of that life of his inbox: others have entries of conversations with him.

Results here are kinds of `Done`.
"""

from typing import Literal

from msgspec import Struct

from roost_broker.store.operations import Done, Operation
from roost_protocol.frames import GapReason
from roost_protocol.names import AddressKind

AHEAD_MS = 300_000
"""By so much the clock of the store that gave the ids may have been ahead of this one's: five minutes. An id that is
higher would raise all that are given here, and with them the age that retention goes by."""


class ImportSource(Struct, frozen=True, kw_only=True):
    """Which export it is: of this life of an inbox, from `floor` to `head`. `created` is the account's own time."""

    created: int
    incarnation: str
    floor: int
    floor_reason: GapReason | None = None
    """The rule that moved the floor there; `age` if that is not known."""
    head: int


class BeginImport(Operation, frozen=True, kw_only=True):
    """Create an account for an import, or go on with one. It is disabled, and its incarnation is a new one.

    Refused: `already exists` (a user who is not being imported, or from another export); `server busy`, as long as
    entries of a removed user of this name are left: they still count as his.
    """

    name: str
    password_hash: str
    source: ImportSource
    by: str = ""


class ImportBegun(Done, frozen=True, kw_only=True):
    """How far the import is: the number that comes next, and the message id of the one before (0: there is none)."""

    user: int
    next_seq: int
    last_id: int
    opened: bool
    fresh: bool
    """It was begun just now."""


class ImportedEntry(Struct, frozen=True, kw_only=True):
    """An entry as the export has it. `name` and `conversation` say whom it is with; None if nobody knows that any more.

    `encoded` is None for an erased one; `size` are the bytes that were encoded, erased or not.
    """

    seq: int
    message_id: int
    kind: Literal["own", "message"]
    conversation: AddressKind
    name: str | None
    encoded: bytes | None
    size: int
    inboxes: int
    n: int = 0


class ImportEntries(Operation, frozen=True, kw_only=True):
    """Add entries to the inbox of a user who is being imported, all or none.

    The caller vouches for what an entry says of its own bytes. Refused: `not found` (no such import, or it is open
    already); `malformed packet` (numbers that do not follow, ids that do not rise, of a time to come, or that are not
    those of the messages that are here); `quota exceeded`.
    """

    user: int
    entries: tuple[ImportedEntry, ...]


class EntriesImported(Done, frozen=True, kw_only=True):
    """How many messages are new here, and how many were here. Of these, `erased` have a body in the export only, and
    stay erased; `kept` have one here only."""

    stored: int = 0
    shared: int = 0
    erased: int = 0
    kept: int = 0


class OpenImport(Operation, frozen=True, kw_only=True):
    """All entries are there: from now on the user gets messages. Again is no error.

    Refused: `not found` (no such import), `malformed packet` (entries are missing).
    """

    user: int


class EndImport(Operation, frozen=True, kw_only=True):
    """The import is done: the account is like any other that is disabled. Refused: `not found` (none that is open)."""

    user: int
    by: str = ""


# --- what reading gives -------------------------------------------------------------------------------------------


class EntryOrigin(Struct, frozen=True, kw_only=True, gc=False):
    """What an inbox says of an entry besides the message: what an import needs, and an erased message does not say."""

    seq: int
    message_id: int
    own: bool
    conversation: AddressKind
    name: str | None
    """Of the other user or the group; None if there is nobody of that number any more."""
    size: int
    inboxes: int
