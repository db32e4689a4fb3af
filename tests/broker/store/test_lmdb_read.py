"""What is read of a store that is damaged: nothing, rather than something that stands in the wrong place."""

from pathlib import Path

import pytest

from broker.store.damaging import ALICE, BOB, PHONE, damaging, make_store
from broker.store.world import SMALL_LIMITS, World, seeded
from roost_broker.store import CommitRefused, ReadFailed
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.lmdb_tables import FLOOR, NUMBER, PAIR, SCROLL, WITH_USER
from roost_broker.store.operations import CreateUser, LogIn, Operation, Retention, Trim, UserCreated


def test_a_conversation_with_an_entry_missing_is_not_read_with_its_neighbours_in_its_place(tmp_path: Path) -> None:
    make_store(tmp_path)
    with damaging(tmp_path) as rows:
        keys = [SCROLL.unpack(key) for key in rows.keys("scroll")]
        seqs = [seq for user, kind, peer, seq in keys if (user, kind, peer) == (BOB, WITH_USER, ALICE)]
        assert len(seqs) > 1
        rows.delete("inbox", PAIR.pack(BOB, seqs[1]))
    store = LmdbStore(tmp_path, limits=SMALL_LIMITS, random=seeded())
    try:
        page = store.read_conversation(BOB, "user/alice", after=0, limit=10, bytes_max=100_000)
        assert [entry.seq for entry in page.entries] == seqs
        assert [entry.seq for entry in page.entries if entry.kind == "damaged"] == seqs[1:2]
        first = store.read_conversation(BOB, "user/alice", after=0, limit=1, bytes_max=100_000)
        assert [entry.seq for entry in first.entries] == seqs[:1], "what is before it can be read"
    finally:
        store.close()


DAMAGES = {
    "text that is no UTF-8": ("users", NUMBER.pack(ALICE), b"\x99\xa1\xff"),
    "a record that is too deep": ("users", NUMBER.pack(ALICE), b"\x99" + b"\x91" * 3_000),
    "a floor without a rule": ("floors", NUMBER.pack(ALICE), FLOOR.pack(2, 0, 200)),
    "a name that leads nowhere": ("names", b"alice", NUMBER.pack(99)),
    "a number that is none": ("names", b"alice", b"1"),
}


def read_names_and_inbox(store: LmdbStore) -> None:
    store.list_users("", 9)
    store.read_inbox(ALICE, 0, 9, 9_999)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_row_that_no_broker_wrote_fails_a_read_as_reads_may_fail(tmp_path: Path, damage: str) -> None:
    make_store(tmp_path)
    with damaging(tmp_path) as rows:
        rows.put(*DAMAGES[damage])
    store = LmdbStore(tmp_path, limits=SMALL_LIMITS, random=seeded(), sync=False)
    try:
        with pytest.raises(ReadFailed):
            read_names_and_inbox(store)
    finally:
        store.close()


LOG_IN = LogIn(user=ALICE, device_id="alice-phone", terminal="phone", password_version=1)
TRIM = Trim(retention=Retention(count=1), after=0, users_max=9, entries_max=99)


@pytest.mark.parametrize(
    ("table", "key", "value", "operation"),
    [
        ("users", NUMBER.pack(ALICE), b"\x99\xa1\xff", LOG_IN),
        ("users", NUMBER.pack(ALICE), b"\x99" + b"\x91" * 3_000, LOG_IN),
        ("cursors", NUMBER.pack(PHONE), b"short", LOG_IN),
        ("cursors", NUMBER.pack(PHONE), None, LOG_IN),
        ("floors", NUMBER.pack(ALICE), b"short", TRIM),
    ],
)
def test_a_row_that_no_broker_wrote_refuses_what_needs_it(  # and nothing else
    tmp_path: Path, table: str, key: bytes, value: bytes | None, operation: Operation
) -> None:
    make_store(tmp_path)
    with damaging(tmp_path) as rows:
        if value is None:
            rows.delete(table, key)
        else:
            rows.put(table, key, value)
    store = LmdbStore(tmp_path, limits=SMALL_LIMITS, random=seeded(), sync=False)
    try:
        refused, done = World(store).do(operation, CreateUser(name="erin", password_hash="hash"))
        assert isinstance(refused, CommitRefused)
        assert "damaged" in str(refused)
        assert isinstance(done, UserCreated)
    finally:
        store.close()
