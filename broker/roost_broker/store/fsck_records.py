"""Checks of the journal and of admins."""

from collections.abc import Iterator

from roost_broker.store.fsck_accounts import odd_key
from roost_broker.store.fsck_problems import RECORD_ASTRAY, RECORD_LOST, UNREADABLE
from roost_broker.store.fsck_snapshot import Snapshot, Step, decoded
from roost_broker.store.journal import subjects
from roost_broker.store.lmdb_tables import NUMBER, SUBJECT, admin_record, event_record, number_at_end

_SUBJECT_KEY_BYTES = SUBJECT.size + NUMBER.size


def check_journal(snapshot: Snapshot) -> Iterator[Step]:
    """Every record can be read, and be found by everybody whom it is about."""
    for chunk in snapshot.chunks("journal"):
        for key, value in chunk:
            if len(key) != NUMBER.size:
                yield odd_key(snapshot, "journal", key, NUMBER.size)
                continue
            event = decoded(event_record, value)
            if event is None:
                found = f"{len(value)} bytes at {key.hex()}"
                yield snapshot.finding(UNREADABLE, "journal", found=found, expected="a record of the journal")
                continue
            for subject in subjects(event):
                if snapshot.get("journal_subjects", SUBJECT.pack(*subject) + key) is None:
                    yield snapshot.finding(
                        RECORD_LOST,
                        "journal_subjects",
                        found=f"no row for the record {key.hex()} and {subject}",
                        expected="a row for each whom a record is about",
                    )
        yield len(chunk)


def check_journal_subjects(snapshot: Snapshot) -> Iterator[Step]:
    """Nothing can be looked up in the journal that is not there, or is about somebody else."""
    for chunk in snapshot.chunks("journal_subjects"):
        for key, _ in chunk:
            if len(key) != _SUBJECT_KEY_BYTES:
                yield odd_key(snapshot, "journal_subjects", key, _SUBJECT_KEY_BYTES)
                continue
            value = snapshot.get("journal", key[SUBJECT.size :])
            event = None if value is None else decoded(event_record, value)
            if value is not None and event is None:
                continue  # that record is a finding of its own
            if event is None or SUBJECT.unpack(key[: SUBJECT.size]) not in subjects(event):
                yield snapshot.finding(
                    RECORD_ASTRAY,
                    "journal_subjects",
                    found=f"a row for the record {number_at_end(key):016x}, which is about others, or not there",
                    expected="no such row",
                )
        yield len(chunk)


def check_admins(snapshot: Snapshot) -> Iterator[Step]:
    """Every admin has a record."""
    for chunk in snapshot.chunks("admins"):
        for key, value in chunk:
            if decoded(admin_record, value) is None:
                found = f"{len(value)} bytes of {key.decode(errors='backslashreplace')!r}"
                yield snapshot.finding(UNREADABLE, "admins", found=found, expected="the record of an admin")
        yield len(chunk)
