"""Check of the numbers that are kept for those who are not here yet."""

from collections.abc import Iterator

from roost_broker.store.fsck_problems import AWAITED_ASTRAY
from roost_broker.store.fsck_snapshot import Snapshot, Step, decoded, text
from roost_broker.store.lmdb_tables import NUMBER, user_record

_TABLES = {0: ("user", "users", "names"), 1: ("group", "groups", "group_names"), 2: ("user", "users", "")}
"""By how a key begins: what sort of number it is, and where the number and the name must not be.

2: a user who was removed, whose name may be another's, and of whom something may be left.
"""


def check_awaited(snapshot: Snapshot) -> Iterator[Step]:
    """A number that is kept for a name is nobody's, and nobody has the name."""
    for chunk in snapshot.chunks("awaited"):
        for key, value in chunk:
            kind, table, names = _TABLES.get(key[0], ("", "", ""))
            if not kind or len(value) != NUMBER.size:
                yield _astray(snapshot, f"{len(value)} bytes at {text(key)}", "a number for the name of somebody")
                continue
            (number,) = NUMBER.unpack(value)
            snapshot.note(kind, number)
            record = snapshot.get(table, value)
            if record is not None and (names or not _is_removed(record)):
                found = f"{text(key[1:])} → {kind} {number}, who is there"
                yield _astray(snapshot, found, "the number of nobody")
            elif names and snapshot.get(names, key[1:]) is not None:
                yield _astray(snapshot, f"{text(key[1:])} → {kind} {number}, but there is such a name", "no such row")
        yield len(chunk)


def _is_removed(value: bytes) -> bool:
    record = decoded(user_record, value)
    return record is not None and record.removed


def _astray(snapshot: Snapshot, found: str, expected: str) -> Step:
    return snapshot.finding(AWAITED_ASTRAY, "awaited", found=found, expected=expected)
