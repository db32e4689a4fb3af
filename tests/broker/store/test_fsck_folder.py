"""Checking a folder: nothing in it changes, no broker is there meanwhile, and what cannot be opened is said."""

import hashlib
import os
from pathlib import Path

import lmdb
import pytest

from broker.store.damaging import damaging, make_store
from broker.store.world import SMALL_LIMITS, seeded
from roost_broker.store import StoreUnusable
from roost_broker.store.fsck_folder import check_folder, walk_folder
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.lmdb_tables import META_SCHEMA, NUMBER, SCHEMA_VERSION
from roost_protocol.admin.fsck import Finding, FsckProgress


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    make_store(path)
    return path


def contents(folder: Path) -> dict[str, tuple[str, int, int]]:
    """Every file with its content, its mode and when it was last written to."""
    return {
        path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mode, path.stat().st_mtime_ns)
        for path in folder.iterdir()
    }


def why_not(folder: Path) -> StoreUnusable:
    with pytest.raises(StoreUnusable) as error:
        check_folder(folder)
    assert str(folder) in str(error.value)
    return error.value


def found_in(folder: Path) -> list[Finding]:
    found: list[Finding] = []
    verdict = check_folder(folder, found=found.append)
    assert verdict.damages == len(found) > 0
    return found


def test_nothing_changes(folder: Path) -> None:
    before = contents(folder)
    told: list[FsckProgress] = []
    assert check_folder(folder, progress=told.append).clean
    assert contents(folder) == before
    assert told


def test_a_copy_of_the_file_alone_is_enough(folder: Path) -> None:
    for name in ("lock.mdb", "roost.lock"):
        (folder / name).unlink()
    assert check_folder(folder).clean
    assert [path.name for path in folder.iterdir()] == ["data.mdb"]


def test_a_folder_that_is_in_use_is_left_alone(folder: Path) -> None:
    store = LmdbStore(folder, limits=SMALL_LIMITS, random=seeded(), sync=False)
    error = why_not(folder)
    assert error.exit_status == 78
    assert f"process {os.getpid()}" in str(error)
    store.close()
    assert check_folder(folder).clean


def test_no_broker_may_begin_meanwhile(folder: Path) -> None:
    steps = walk_folder(folder)
    next(steps)
    with pytest.raises(StoreUnusable, match="in use"):
        LmdbStore(folder, limits=SMALL_LIMITS, random=seeded(), sync=False)
    list(steps)
    LmdbStore(folder, limits=SMALL_LIMITS, random=seeded(), sync=False).close()


@pytest.mark.parametrize(("version", "status"), [(SCHEMA_VERSION + 1, 78), (SCHEMA_VERSION + 1_000, 78)])
def test_another_version_is_not_checked(folder: Path, version: int, status: int) -> None:
    with damaging(folder) as rows:
        rows.put("meta", META_SCHEMA, NUMBER.pack(version))
    error = why_not(folder)
    assert error.exit_status == status
    assert f"version {version}" in str(error)


def test_a_file_of_something_else(tmp_path: Path) -> None:
    with lmdb.open(os.fspath(tmp_path), max_dbs=4) as env:
        env.open_db(b"other")
    assert why_not(tmp_path).exit_status == 78


def test_no_file(tmp_path: Path) -> None:
    assert why_not(tmp_path).exit_status == 78


def test_an_empty_file(folder: Path) -> None:
    (folder / "data.mdb").write_bytes(b"")
    assert why_not(folder).exit_status == 74


def test_a_table_is_missing(folder: Path) -> None:
    with lmdb.open(os.fspath(folder), max_dbs=64) as env, env.begin(write=True) as txn:
        txn.drop(env.open_db(b"released", txn=txn))
    (finding,) = found_in(folder)
    assert (finding.code, finding.table) == ("table-missing", "released")


def test_no_lmdb_file(folder: Path) -> None:
    (folder / "data.mdb").write_bytes(b"not a store" * 10_000)
    (finding,) = found_in(folder)
    assert (finding.code, finding.table) == ("page", "file")


def test_a_file_cut_short(folder: Path) -> None:
    """LMDB would end the process by SIGBUS where a page is missing."""
    os.truncate(folder / "data.mdb", (folder / "data.mdb").stat().st_size // 2)
    assert {finding.code for finding in found_in(folder)} == {"page"}


def test_a_page_overwritten(folder: Path) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    data = (folder / "data.mdb").read_bytes()
    pages = [data[at : at + page] for at in range(0, len(data), page)]
    hit = [number for number, each in enumerate(pages) if b"to alice 2" in each]  # some may be free, from before
    (folder / "data.mdb").write_bytes(b"".join(b"\xff" * page if n in hit else each for n, each in enumerate(pages)))
    found = found_in(folder)
    assert {finding.code for finding in found} == {"page"}
    told = " ".join(finding.found for finding in found)
    assert any(str(number) in told for number in hit)
