"""Copies of an environment: whole and of one moment, watched, ended, and refused."""

import os
import resource
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import lmdb.verify
import pytest

from broker.store.filled import fill, publish_many
from broker.store.tables import check_tables, read_tables
from broker.store.world import World, seeded
from roost_broker.store import CopyFailed
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.lmdb_copy import copy_failed
from roost_protocol.limits import KIB, Limits
from roost_protocol.reasons import Reason


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbStore]:
    opened = LmdbStore(tmp_path / "store", limits=Limits(), random=seeded())
    yield opened
    opened.close()


def copy(store: LmdbStore, file: Path, watch: list[int] | None = None) -> int:
    copier = store.copier()
    assert copier is not None
    return copier(file, (watch if watch is not None else []).append)


def test_a_copy_holds_everything_and_nobody_else_may_read_it(store: LmdbStore, tmp_path: Path) -> None:
    fill(World(store))
    (tmp_path / "copy").mkdir()
    file = tmp_path / "copy/data.mdb"
    before = os.umask(0)
    try:
        seen: list[int] = []
        size = copy(store, file, seen)
    finally:
        os.umask(before)
    assert size == file.stat().st_size == seen[-1]
    assert size < (tmp_path / "store/data.mdb").stat().st_size
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert lmdb.verify.verify(str(file), subdir=False) == []  # type: ignore[no-untyped-call]
    store.close()
    assert read_tables(tmp_path / "copy") == read_tables(tmp_path / "store")


def test_a_copy_is_of_one_moment_whatever_is_committed_meanwhile(store: LmdbStore, tmp_path: Path) -> None:
    world = World(store)
    phone = fill(world, 1_000)
    enough = threading.Event()

    def publish() -> None:
        while not enough.is_set():
            publish_many(world, phone, 7)

    writer = threading.Thread(target=publish)
    writer.start()
    heads = []
    try:
        for each in range(10):
            (tmp_path / f"copy{each}").mkdir()
            before = world.head("alice")
            copy(store, tmp_path / f"copy{each}/data.mdb")
            heads.append((before, world.head("alice")))
    finally:
        enough.set()
        writer.join()
    for each, (before, after) in enumerate(heads):
        check_tables(tmp_path / f"copy{each}")
        assert before <= len(read_tables(tmp_path / f"copy{each}")["messages"]) <= after
    assert heads[0] < heads[-1], "something was committed meanwhile"


def test_what_the_watch_raises_ends_the_copy_and_nothing_is_left(store: LmdbStore, tmp_path: Path) -> None:
    fill(World(store))
    copier = store.copier()
    assert copier is not None

    class Enough(Exception):
        pass

    def watch(_: int) -> None:
        raise Enough

    with pytest.raises(Enough):
        copier(tmp_path / "copy", watch)
    assert not (tmp_path / "copy").exists()
    World(store).users("dave")  # the store goes on
    assert copy(store, tmp_path / "copy")


def test_a_file_that_is_there_is_left_alone(store: LmdbStore, tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("mine")
    with pytest.raises(CopyFailed, match="File exists") as error:
        copy(store, tmp_path / "copy")
    assert error.value.reason == Reason.ALREADY_EXISTS
    assert (tmp_path / "copy").read_text() == "mine"


def test_a_file_that_cannot_grow_leaves_nothing(store: LmdbStore, tmp_path: Path) -> None:
    fill(World(store), 200)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40 * KIB, limits[1]))
    try:
        with pytest.raises(CopyFailed, match="File too large") as error:
            copy(store, tmp_path / "copy")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.value.reason == Reason.QUOTA_EXCEEDED
    assert not (tmp_path / "copy").exists()


def test_a_folder_that_is_not_there(store: LmdbStore, tmp_path: Path) -> None:
    with pytest.raises(CopyFailed, match="No such file") as error:
        copy(store, tmp_path / "no/copy")
    assert error.value.reason == Reason.NOT_FOUND


@pytest.mark.parametrize(
    ("error", "text", "reason"),
    [
        (OSError(28, "x"), "w: No space left on device", Reason.QUOTA_EXCEEDED),
        (OSError(13, "x"), "w: Permission denied", Reason.NOT_AUTHORIZED),
        (OSError(5, "x"), "w: Input/output error", Reason.UNSPECIFIED_ERROR),
        (OSError("odd"), "w: odd", Reason.UNSPECIFIED_ERROR),
        (lmdb.Error("odd"), "w: odd", Reason.UNSPECIFIED_ERROR),
    ],
)
def test_what_the_system_says_has_a_reason(error: OSError | lmdb.Error, text: str, reason: Reason) -> None:
    failed = copy_failed("w", error)
    assert (str(failed), failed.reason) == (text, reason)
