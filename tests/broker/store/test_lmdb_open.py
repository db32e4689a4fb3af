"""The folder of a store: who may open it, what it must be, and what is said when it is not."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import lmdb.verify
import pytest

from broker.store.damaging import make_store
from broker.store.tables import check_tables, read_tables
from broker.store.world import SMALL_LIMITS, World, seeded
from roost_broker.store import StoreUnusable
from roost_broker.store.fsck_folder import walk_folder
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.lmdb_open import DATA_FILE, ENGINE_LOCK_FILE, LOCK_FILE, opened_to_read
from roost_broker.store.lmdb_seal import SEAL_BYTES
from roost_broker.store.lmdb_seal_all import SEALED
from roost_broker.store.lmdb_tables import META_LAST, META_SCHEMA, SCHEMA_VERSION, Tables, name_in_file
from roost_protocol.admin.fsck import Finding

FILES = (DATA_FILE, ENGINE_LOCK_FILE, LOCK_FILE)


def open_store(path: Path, **more: Any) -> LmdbStore:
    return LmdbStore(path, limits=SMALL_LIMITS, random=seeded(), **more)


def filled(path: Path, messages: int = 200) -> None:
    """A store with some messages, closed."""
    store = open_store(path)
    world = World(store)
    world.users("alice", "bob")
    phone = world.login("alice")
    world.do(*(world.message(phone, "user/bob", "x" * 500) for _ in range(messages)))
    store.close()


def refused(path: Path) -> StoreUnusable:
    """What opening the store says, in one line."""
    with pytest.raises(StoreUnusable) as caught:
        open_store(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return caught.value


def problems(path: Path) -> list[str]:
    """What is wrong with the structure of the file, page by page."""
    found: list[str] = lmdb.verify.verify(os.fspath(path))  # type: ignore[no-untyped-call]
    return found


# --- a good folder ------------------------------------------------------------------------------------------------


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
def test_nobody_else_may_look_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "store"
    with umask(mask):
        open_store(path).close()
    assert path.stat().st_mode & 0o777 == 0o700
    assert {(path / name).stat().st_mode & 0o777 for name in FILES} == {0o600}
    assert sorted(os.listdir(path)) == sorted(FILES)


def test_files_that_were_copied_with_other_modes_are_closed_again(tmp_path: Path) -> None:
    filled(tmp_path)
    for name in FILES:
        (tmp_path / name).chmod(0o644)
    open_store(tmp_path).close()
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in FILES} == {0o600}


def test_folders_above_are_made_and_one_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    open_store(tmp_path / "a" / "b" / "store").close()
    there = tmp_path / "there"
    there.mkdir(mode=0o750)
    there.chmod(0o750)
    open_store(there).close()
    assert there.stat().st_mode & 0o777 == 0o750


def test_what_was_committed_is_there_after_opening_again(tmp_path: Path) -> None:
    filled(tmp_path)
    store = open_store(tmp_path)
    assert store.read_inbox(2, 0, 1, 1).head == 200
    store.close()
    assert problems(tmp_path) == []


def test_the_bound_may_change(tmp_path: Path) -> None:
    filled(tmp_path)
    for map_bytes in (1 << 20, 1 << 44):
        store = LmdbStore(tmp_path, limits=SMALL_LIMITS, random=seeded(), map_bytes=map_bytes)
        assert store.read_inbox(2, 0, 1, 1).head == 200
        assert store.statistics().map_bytes == map_bytes
        store.close()


# --- in use -------------------------------------------------------------------------------------------------------


def test_in_use_in_this_process(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    error = refused(tmp_path)
    assert f"in use by another broker (process {os.getpid()})" in str(error)
    assert error.exit_status == 78
    store.close()
    open_store(tmp_path).close()


OPEN_AND_WAIT = """
import random, sys
from roost_broker.store.lmdb import LmdbStore
from roost_protocol.limits import Limits
store = LmdbStore(sys.argv[1], limits=Limits(), random=random.Random())
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.process
def test_in_use_by_another_process_until_it_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPEN_AND_WAIT, os.fspath(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        assert f"process {other.pid}" in str(refused(tmp_path))
        other.kill()
    open_store(tmp_path).close()


# --- no right to it -----------------------------------------------------------------------------------------------


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.write_text("not a folder")
    assert refused(path).exit_status == 78


def test_a_file_in_place_of_a_folder_above(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert refused(tmp_path / "file" / "store").exit_status == 78


OPEN_AS_NOBODY = """
import os, random, sys
from roost_broker.store import StoreUnusable
from roost_broker.store.lmdb import LmdbStore
from roost_protocol.limits import Limits
if os.getuid() == 0:
    os.setuid(65534)
try:
    LmdbStore(sys.argv[1], limits=Limits(), random=random.Random())
except StoreUnusable as error:
    print(error)
    sys.exit(error.exit_status)
"""


@pytest.mark.process
def test_a_folder_of_somebody_else(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    command = [sys.executable, "-c", OPEN_AS_NOBODY, os.fspath(tmp_path / "store")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    tmp_path.chmod(0o700)
    assert (result.returncode, result.stderr) == (78, "")
    assert "Permission denied" in result.stdout


# --- of another version, or no store at all -----------------------------------------------------------------------


def with_schema(path: Path, value: bytes | None) -> None:
    """Put another schema version into the file."""
    with lmdb.open(os.fspath(path), max_dbs=64) as env:
        meta = env.open_db(b"meta")
        with env.begin(meta, write=True) as txn:
            if value is None:
                txn.delete(b"schema")
            else:
                txn.put(b"schema", value)


def test_a_newer_version(tmp_path: Path) -> None:
    filled(tmp_path)
    with_schema(tmp_path, (SCHEMA_VERSION + 1).to_bytes(8, "big"))
    error = refused(tmp_path)
    assert f"is of version {SCHEMA_VERSION + 1}, this roost knows versions up to {SCHEMA_VERSION}" in str(error)
    assert error.exit_status == 78
    with_schema(tmp_path, SCHEMA_VERSION.to_bytes(8, "big"))
    open_store(tmp_path).close()


TABLES_OF_VERSION_1 = {
    "meta", "names", "users", "floors", "inbox", "scroll", "messages", "released", "outcomes", "devices", "device_ids",
    "cursors", "tokens", "sessions", "groups", "group_names", "members", "memberships", "relations",
}  # fmt: skip


def take_seals_off(path: Path) -> None:
    """Make the tables of a store as version 3 had them."""
    with lmdb.open(os.fspath(path), max_dbs=64, map_size=1 << 30) as env:
        for name in Tables._fields:
            there = env.begin().get(name_in_file(name)) is not None
            if not there:
                continue
            table = env.open_db(name_in_file(name))
            older = env.open_db(name.encode()) if name_in_file(name) != name.encode() else table
            with env.begin(write=True) as txn:
                rows = list(txn.cursor(table))
                txn.drop(table, delete=older is not table)
                for key, value in rows:
                    is_sealed = name in (*SEALED, "inbox", "messages") or (name, key) == ("meta", META_LAST)
                    txn.put(key, value[:-SEAL_BYTES] if is_sealed else value, db=older)


def test_an_unsealed_version_is_migrated_and_is_what_it_was(tmp_path: Path) -> None:
    make_store(tmp_path)
    before = {name: dict(rows) for name, rows in read_tables(tmp_path).items()}
    take_seals_off(tmp_path)
    with_schema(tmp_path, (3).to_bytes(8, "big"))
    with opened_to_read(tmp_path) as stopped:
        assert stopped.version == 3
        assert set(stopped.tables) == set(Tables._fields)
    open_store(tmp_path).close()
    assert read_tables(tmp_path) == before
    check_tables(tmp_path)
    assert not [event for event in walk_folder(tmp_path) if isinstance(event, Finding)]


def test_an_upgrade_without_room_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    filled(tmp_path, messages=2_000)
    take_seals_off(tmp_path)
    with_schema(tmp_path, (3).to_bytes(8, "big"))
    with pytest.raises(StoreUnusable, match=r"cannot upgrade the store .* raise store.map_bytes") as error:
        open_store(tmp_path, map_bytes=(tmp_path / DATA_FILE).stat().st_size)
    assert error.value.exit_status == 78
    open_store(tmp_path).close()
    assert problems(tmp_path) == []


def test_an_older_version_is_migrated_and_keeps_everything(tmp_path: Path) -> None:
    filled(tmp_path)
    with lmdb.open(os.fspath(tmp_path), max_dbs=64) as env:
        for name in set(Tables._fields) - TABLES_OF_VERSION_1:
            table = env.open_db(name_in_file(name), create=False)
            with env.begin(write=True) as txn:
                txn.drop(table)
    take_seals_off(tmp_path)
    with_schema(tmp_path, (1).to_bytes(8, "big"))
    for _ in range(2):
        store = open_store(tmp_path)
        assert store.read_inbox(2, 0, 1, 1).head == 200
        assert store.list_admins("", 9) == ()
        store.close()
    assert read_tables(tmp_path)["meta"][META_SCHEMA] == SCHEMA_VERSION.to_bytes(8, "big")
    assert problems(tmp_path) == []


@pytest.mark.parametrize(("value", "status"), [(None, 78), (b"", 74), (b"nonsense and more", 74)])
def test_a_version_that_is_none(tmp_path: Path, value: bytes | None, status: int) -> None:
    filled(tmp_path)
    with_schema(tmp_path, value)
    assert refused(tmp_path).exit_status == status


def test_an_lmdb_file_of_something_else(tmp_path: Path) -> None:
    with lmdb.open(os.fspath(tmp_path), max_dbs=4) as env:
        env.open_db(b"of something else")
    error = refused(tmp_path)
    assert "is no store of roost" in str(error)
    assert error.exit_status == 78


def test_a_file_of_another_engine(tmp_path: Path) -> None:
    with lmdb.open(os.fspath(tmp_path), max_dbs=4, lib_version=1) as env:
        env.open_db(b"meta")
    assert refused(tmp_path).exit_status == 74


def test_a_store_that_was_not_finished_is_finished(tmp_path: Path) -> None:
    lmdb.open(os.fspath(tmp_path), max_dbs=4).close()
    open_store(tmp_path).close()


# --- damaged ------------------------------------------------------------------------------------------------------


def _garbage(data: Path) -> None:
    data.write_bytes(os.urandom(data.stat().st_size))


def _zeroes(data: Path) -> None:
    data.write_bytes(bytes(data.stat().st_size))


def _empty(data: Path) -> None:
    data.write_bytes(b"")


def _cut_to(keep: float) -> Callable[[Path], None]:
    def cut(data: Path) -> None:
        os.truncate(data, int(data.stat().st_size * keep))

    return cut


def _wrong_magic(data: Path) -> None:
    content = bytearray(data.read_bytes())
    for page in (0, 4096):
        content[page + 16] ^= 0xFF
    data.write_bytes(content)


def _all_but_the_head(data: Path) -> None:
    content = data.read_bytes()
    data.write_bytes(content[:8192] + os.urandom(len(content) - 8192))


DAMAGES = {
    "garbage": _garbage,
    "zeroes": _zeroes,
    "empty": _empty,
    "a few bytes": _cut_to(0.0001),
    "one page short": _cut_to(0.99),
    "half": _cut_to(0.5),
    "wrong magic": _wrong_magic,
    "garbage behind the head": _all_but_the_head,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_file(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    filled(tmp_path)
    damage(tmp_path / DATA_FILE)
    error = refused(tmp_path)
    assert "damaged" in str(error)
    assert error.exit_status == 74


def test_a_table_is_missing(tmp_path: Path) -> None:
    filled(tmp_path)
    with lmdb.open(os.fspath(tmp_path), max_dbs=64) as env:
        inbox = env.open_db(name_in_file("inbox"))
        with env.begin(write=True) as txn:
            txn.drop(inbox)
    assert refused(tmp_path).exit_status == 74


def test_a_refused_folder_is_let_go(tmp_path: Path) -> None:
    filled(tmp_path)
    whole = (tmp_path / DATA_FILE).read_bytes()
    _garbage(tmp_path / DATA_FILE)
    for _ in range(3):
        refused(tmp_path)
    (tmp_path / DATA_FILE).write_bytes(whole)
    open_store(tmp_path).close()


def test_a_file_that_is_short_of_free_pages_only_is_whole(tmp_path: Path) -> None:
    """The last pages of a file may have been freed; then nothing is lost with them."""
    filled(tmp_path, messages=2_000)
    data = tmp_path / DATA_FILE
    with lmdb.open(os.fspath(tmp_path), max_dbs=64) as env:
        # What came last lies at the end; the second transaction moves the roots back into pages freed before.
        other = env.open_db(b"other")
        for _ in range(2):
            with env.begin(other, write=True) as txn:
                txn.put(b"large", b"x" * 400_000)
        for _ in range(4):
            with env.begin(other, write=True) as txn:
                txn.delete(b"large") or txn.put(b"small", b"x")
    size = data.stat().st_size
    os.truncate(data, size - 100 * 4096)
    assert problems(tmp_path) == []
    open_store(tmp_path).close()
    assert data.stat().st_size == size
