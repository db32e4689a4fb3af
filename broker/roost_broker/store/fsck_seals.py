"""The check of checksums, where a row says by itself whose it is: every table but inboxes and messages.

Those two are sealed with their keys, and `fsck_inboxes` and `fsck_messages` look at them as they go.
"""

from collections.abc import Iterator

from roost_broker.store.fsck_problems import CHECKSUM
from roost_broker.store.fsck_snapshot import Snapshot, Step
from roost_broker.store.lmdb_seal import is_intact
from roost_broker.store.lmdb_seal_all import SEALED
from roost_broker.store.lmdb_tables import META_LAST, NUMBER

_OF_USERS = ("users", "floors", "sessions", "removals")
_OF_DEVICES = ("devices", "cursors", "outcomes")


def check_seals(snapshot: Snapshot) -> Iterator[Step]:
    """Every record is what was written."""
    counters = snapshot.get("meta", META_LAST)
    if counters is not None and not is_intact(counters):
        yield _broken(snapshot, "meta", META_LAST, counters)
    for table in SEALED:
        for chunk in snapshot.chunks(table):
            for key, value in chunk:
                if not is_intact(value):
                    yield _broken(snapshot, table, key, value)
            yield len(chunk)


def _broken(snapshot: Snapshot, table: str, key: bytes, value: bytes) -> Step:
    """A record that is not what was written, and whose it is as far as its key says."""
    number = int.from_bytes(key[: NUMBER.size], "big") if len(key) >= NUMBER.size else None
    return snapshot.finding(
        CHECKSUM,
        table,
        user=number if table in _OF_USERS else None,
        device=number if table in _OF_DEVICES else None,
        group=number if table == "groups" else None,
        message=number if table == "released" else None,
        found=f"{len(value)} bytes at {key.hex()} that do not fit their checksum",
        expected="the record as it was written",
    )
