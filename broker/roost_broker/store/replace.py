"""Putting another data file in the place of a stopped store's: a backup (restore), or a copy of itself (compact).

The new file is made beside the old one, under another name, and gets the name in one rename when it is durable. So at
whatever point this is killed, the folder holds the whole old store or the whole new one; a `data.mdb.new-…` that is
left is removed by the next that comes here. The folder is held all the time, so that no broker starts in between.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import lmdb

from roost_broker.store.backup import check_backup
from roost_broker.store.backup_check import check_pages
from roost_broker.store.errors import CopyFailed, RecordDamaged, StoreUnusable
from roost_broker.store.ids import last_message_id
from roost_broker.store.lmdb_copy import copy_environment, copy_failed
from roost_broker.store.lmdb_open import DATA_FILE, fsync_folder, held, opened_to_read
from roost_broker.store.lmdb_tables import META_LAST, META_LOST, pack_counters, pack_lost, read_counters, unpack_lost
from roost_broker.store.port import Watch
from roost_protocol.admin.backup import BackupRecord
from roost_protocol.limits import MIB
from roost_protocol.reasons import Reason

Counters = tuple[int, ...]
"""See `lmdb_tables.COUNTERS`."""

_NEW = f"{DATA_FILE}.new-"
_ROOM_BYTES = 16 * MIB
"""The map is so much larger than the file while one record of it is changed: a few pages are copied for that."""


class Compacted(NamedTuple):
    """Sizes of the data file in bytes."""

    before_bytes: int
    after_bytes: int


class Restored(NamedTuple):
    """What was restored, and where the store is that was there before."""

    record: BackupRecord
    aside: Path | None
    counters_kept: bool
    """The numbers that the store before had given (epochs, ids of messages) are not given again."""


def compact(data: Path, watch: Watch) -> Compacted:
    """Make the data file of a stopped store as small as what is in it.

    Raises StoreUnusable, CopyFailed, and what `watch` raises; then the store is as it was.
    """
    data_file = data / DATA_FILE
    if not data_file.exists():
        raise CopyFailed(f"there is no store in {data}: it has no {DATA_FILE}", Reason.NOT_FOUND)
    with held(data), _new_file(data) as new:
        with opened_to_read(data) as store:
            before = data_file.stat().st_size
            after = copy_environment(store.env, new, watch)
        check_pages(new)
        _take_place(new, data_file)
    return Compacted(before, after)


def restore(backup: Path, data: Path, *, replace: bool, now_ms: int) -> Restored:
    """Put what a backup holds, which is checked first, into the data folder, which is made if it is not there.

    With `replace`, a store that is there is moved aside: out of the folder, or within it where the folder is a file
    system of its own. Otherwise it is left alone. Raises StoreUnusable and CopyFailed; then the folder is as it was.
    """
    record = check_backup(backup)
    data = data.absolute()
    data_file = data / DATA_FILE
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise copy_failed(f"cannot make {data}", error) from error
    with held(data), _new_file(data) as new:
        there = data_file.exists()
        if there and not replace:
            text = f"there is a store in {data} already; to move it aside and restore in its place, say --replace"
            raise CopyFailed(text, Reason.ALREADY_EXISTS)
        _copy_file(backup / DATA_FILE, new, record)
        given = _counters(data) if there else None
        _begin_after(new, given or _by_clock(now_ms))
        aside = _put_aside(data, now_ms) if there else None
        _take_place(new, data_file)
    return Restored(record, aside, counters_kept=given is not None)


@contextmanager
def _new_file(data: Path) -> Iterator[Path]:
    """The name of the new file; whatever has such a name is gone at the end, and what was left of others before."""
    for left in data.glob(f"{_NEW}*"):
        left.unlink(missing_ok=True)
    new = data / f"{_NEW}{secrets.token_hex(4)}"
    try:
        yield new
    finally:
        new.unlink(missing_ok=True)


def _take_place(new: Path, data_file: Path) -> None:
    """Make the new file the data file, for good. Raises CopyFailed."""
    try:
        new.rename(data_file)
        fsync_folder(data_file.parent)
    except OSError as error:
        raise copy_failed(f"cannot replace {data_file}", error) from error


def _copy_file(source: Path, new: Path, record: BackupRecord) -> None:
    """Copy the data file of a backup. Raises CopyFailed."""
    try:
        shutil.copyfile(source, new)
        new_fd = os.open(new, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fchmod(new_fd, 0o600)
            os.fsync(new_fd)
            size = os.fstat(new_fd).st_size
        finally:
            os.close(new_fd)
    except OSError as error:
        raise copy_failed(f"cannot write {new}", error) from error
    if size != record.data_bytes:
        raise CopyFailed(f"{source} changed while it was copied", Reason.UNSPECIFIED_ERROR)


def _counters(data: Path) -> Counters | None:
    """The last numbers that the store in this folder has given; None if that cannot be read any more."""
    with suppress(StoreUnusable, RecordDamaged, lmdb.Error), opened_to_read(data) as store, store.env.begin() as txn:
        return read_counters(txn.get(META_LAST, db=store.tables["meta"]))
    return None


def _by_clock(now_ms: int) -> Counters:
    """What a store that cannot be read, or is not there, may have given until now."""
    return (0, 0, 0, 0, last_message_id(now_ms))


def _begin_after(file: Path, at_least: Counters) -> None:
    """Let a store begin after these numbers, and know that those after its own were lost. Raises CopyFailed.

    New numbers go by the clock as well (see `ids`): this is for a clock that was set back.
    """
    try:
        with lmdb.open(
            os.fspath(file), subdir=False, lock=False, max_dbs=1, lib_version=0,
            map_size=file.stat().st_size + _ROOM_BYTES,
        ) as env:  # fmt: skip
            meta = env.open_db(b"meta", create=False)
            with env.begin(write=True) as txn:
                stored = txn.get(META_LAST, db=meta)
                own = read_counters(stored)
                begin = tuple(map(max, own, at_least))
                txn.put(META_LAST, pack_counters(begin, like=stored), db=meta)
                if begin[-1] > own[-1]:
                    lost = unpack_lost(txn.get(META_LOST, b"", db=meta))
                    txn.put(META_LOST, pack_lost((*lost, (own[-1], begin[-1]))), db=meta)
    except (OSError, lmdb.Error) as error:
        raise copy_failed(f"cannot write {file}", error) from error
    except RecordDamaged as error:
        raise CopyFailed(f"{file} is damaged: {error}", Reason.UNSPECIFIED_ERROR) from error


def _put_aside(data: Path, now_ms: int) -> Path:
    """Give the store a second place, so that nothing is lost when another takes its own. Raises CopyFailed."""
    at = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = data.with_name(f"{data.name}.before-restore-{at}")
    try:
        if data.stat().st_dev != data.resolve().parent.stat().st_dev:  # a link cannot leave a file system
            aside = data / f"before-restore-{at}"
        aside.mkdir(mode=0o700)
        os.link(data / DATA_FILE, aside / DATA_FILE)
        fsync_folder(aside)
        fsync_folder(aside.parent)
    except OSError as error:
        raise copy_failed(f"cannot move the store in {data} aside to {aside}", error) from error
    return aside
