"""Refusals of imports that every filling of the port gives in the same words."""

from roost_broker.store.import_operations import AHEAD_MS, ImportedEntry, ImportSource
from roost_broker.store.operations import Refused
from roost_protocol.codec import decode_entry
from roost_protocol.reasons import Reason


def name_taken(name: str) -> Refused:
    """There is a user of this name, who is not being imported."""
    return Refused(reason=Reason.ALREADY_EXISTS, text=f"there is a user {name!r} already; the name has to be free")


def another_export(name: str, begun: ImportSource, found: ImportSource) -> Refused:
    """An import of this name was begun from another export."""
    return Refused(
        reason=Reason.ALREADY_EXISTS,
        text=f"an import of {name!r} was begun from another export: {_source(begun)}; this one is {_source(found)}; go "
        f"on with that one, or undo it with `roost users remove {name}`",
    )


def _source(source: ImportSource) -> str:
    return f"inbox {source.incarnation}, entries {source.floor} to {source.head}"


def still_clearing(name: str) -> Refused:
    """Entries of a removed user of this name are still here."""
    return Refused(
        reason=Reason.SERVER_BUSY, text=f"a user {name!r} was removed, and is not cleared away yet; try again later"
    )


def being_imported(name: str) -> Refused:
    """Something has to wait until all entries are there."""
    return Refused(
        reason=Reason.SERVER_BUSY,
        text=f"{name!r} is being imported; bring that to its end with `roost import`, or undo it with `roost users "
        f"remove {name}`",
    )


def no_import(user: int) -> Refused:
    """There is no import that this could belong to."""
    return Refused(
        reason=Reason.NOT_FOUND, text=f"no user number {user} is being imported, or his entries are all here"
    )


def out_of_step(entry: ImportedEntry, expected: int) -> Refused:
    """A number that does not come next."""
    return _unfit(entry, f"its number is not the next, which is {expected}")


def beyond(entry: ImportedEntry, head: int) -> Refused:
    """A number above the head that the export told."""
    return _unfit(entry, f"the export ends at {head}")


def falling(entry: ImportedEntry, last_id: int) -> Refused:
    """An id that does not rise."""
    return _unfit(entry, f"its message id {entry.message_id:016x} does not come after {last_id:016x}, the one before")


def from_the_future(entry: ImportedEntry) -> Refused:
    """An id of a time to come."""
    return _unfit(
        entry,
        f"its message id {entry.message_id:016x} is of a time that is more than {AHEAD_MS // 60_000} minutes ahead of "
        "the clock here",
    )


def another_message(entry: ImportedEntry, here: bytes | None, size: int) -> Refused:
    """Under this id there is another message. `here`: its bytes, None if it is erased; `size`: how many they were."""
    return _unfit(
        entry,
        f"under the id {entry.message_id:016x} there is another message here: {_what(here, size)}; the export has "
        f"{_what(entry.encoded, entry.size)}",
    )


def _what(encoded: bytes | None, size: int) -> str:
    if encoded is None:
        return f"an erased one of {size} bytes"
    entry = decode_entry(encoded)
    return f"one from {entry.sender!r} to {entry.to!r} of {entry.time}, with {size} bytes"


def whole_already(entry: ImportedEntry) -> Refused:
    """Every inbox that got the message has it here."""
    return _unfit(entry, f"every inbox that got its message {entry.message_id:016x} has it here already")


def inboxes_differ(entry: ImportedEntry, here: int) -> Refused:
    """Another number of inboxes got the message."""
    return _unfit(
        entry, f"its message {entry.message_id:016x} went to {entry.inboxes} inboxes; by those here it went to {here}"
    )


def entries_missing(next_seq: int, head: int) -> Refused:
    """Not all entries are there."""
    return Refused(reason=Reason.MALFORMED_PACKET, text=f"entries {next_seq} to {head} of the export are missing")


def _unfit(entry: ImportedEntry, text: str) -> Refused:
    return Refused(reason=Reason.MALFORMED_PACKET, text=f"entry {entry.seq}: {text}")
