"""Opening the folder of an LMDB store: who may, whether it is what it should be, and making it if it is not there.

Everything that can be wrong with a folder ends in `StoreUnusable` with one line for a person. A file that was cut
short has to be found before LMDB maps it: touching what is missing would end the process by SIGBUS.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

import lmdb
import lmdb.verify

from roost_broker.store.errors import EX_CONFIG, EX_IOERR, RecordDamaged, StoreInUse, StoreUnusable
from roost_broker.store.lmdb_seal_all import seal_all
from roost_broker.store.lmdb_tables import META_SCHEMA, NUMBER, SCHEMA_VERSION, Tables, name_in_file

if TYPE_CHECKING:
    from roost_broker.store.lmdb_tables import Transaction

LOCK_FILE = "roost.lock"
DATA_FILE = "data.mdb"
ENGINE_LOCK_FILE = "lock.mdb"

READERS_MAX = 126
"""Read transactions at once: LMDB's default, 8 KiB of lock file, far above the few threads that read."""

SPARE_READERS = 8
"""Ended read transactions kept for the next: makes beginning one cheap. As many as threads may read at once."""

_TABLES_MAX = 64  # room for the tables of later versions
_ENGINE = 0  # LMDB 0.9: its format is the one that every LMDB tool reads
_FOLDER_MODE = 0o700
_FILE_MODE = 0o600
_ENGINE_LOCK_BYTES = 8192
"""LMDB 0.9, mdb.c: 64 bytes for each of `READERS_MAX`, and as much as two of them at the beginning. In a file that is
larger it would take more readers."""
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG)


def _add_tables(env: lmdb.Environment, txn: "Transaction", tables: Tables) -> None:
    """The next version only has tables more, which were made when they were opened."""


Migration = Callable[[lmdb.Environment, "Transaction", Tables], None]

MIGRATIONS: Mapping[int, Migration] = MappingProxyType({1: _add_tables, 2: _add_tables, 3: seal_all})
"""Schema version → what makes the next version of it, within the transaction that opens the store."""


class Opened(NamedTuple):
    """An open store. `lock_fd` keeps others out for as long as it is open."""

    env: lmdb.Environment
    tables: Tables
    lock_fd: int


class Stopped(NamedTuple):
    """A store that nobody writes to. Of an older version it has the tables of that version."""

    env: lmdb.Environment
    version: int
    tables: Mapping[str, "lmdb._Database"]


def open_folder(path: Path, *, map_bytes: int, sync: bool) -> Opened:
    """Open the store in the folder `path`, and make both if they are not there. Raises StoreUnusable."""
    try:
        _make_folder(path)
        lock_fd = _lock(path)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        return _open_locked(path, lock_fd, map_bytes=map_bytes, sync=sync)
    except BaseException as error:
        os.close(lock_fd)
        if isinstance(error, OSError):
            raise _unusable(path, error) from error
        raise


def _unusable(path: Path, error: OSError) -> StoreUnusable:
    status: Literal[74, 78] = EX_CONFIG if error.errno in _NOT_ALLOWED else EX_IOERR
    where = error.filename or path
    return StoreUnusable(f"cannot open the store in {path}: {where}: {error.strerror}", status)


# --- a folder that no broker uses ---------------------------------------------------------------------------------


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep every broker out of a folder, which must be there. Raises StoreUnusable: one uses it, or it is no folder."""
    try:
        lock_fd = _lock(path)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        yield
    finally:
        os.close(lock_fd)


@contextmanager
def opened_to_read(path: Path) -> Iterator[Stopped]:
    """The store in a folder that nobody writes to meanwhile: a backup, or one that is `held`. Nothing is migrated.

    Raises StoreUnusable, also in place of what LMDB raises in the block: then the file is damaged.
    """
    if not (path / DATA_FILE).exists():
        raise StoreUnusable(f"there is no store in {path}: it has no {DATA_FILE}", EX_CONFIG)
    try:
        _check_whole(path / DATA_FILE)
        env = lmdb.open(
            os.fspath(path), max_dbs=_TABLES_MAX, readonly=True, lock=False, create=False, readahead=False,
            lib_version=_ENGINE,
        )  # fmt: skip
    except OSError as error:
        raise _unusable(path, error) from error
    except lmdb.Error as error:
        raise _damaged(path, error) from error
    try:
        with env.begin() as txn:
            version = _schema_version(path, env, txn)
            names = {name: name_in_file(name, version) for name in Tables._fields}
            there = {name: in_file for name, in_file in names.items() if txn.get(in_file) is not None}
        # Not within that transaction: it is kept for the next, not committed, and its handles with it.
        tables = {name: env.open_db(in_file, create=False) for name, in_file in there.items()}
        yield Stopped(env, version, tables)
    except (lmdb.Error, struct.error, RecordDamaged) as error:
        raise _damaged(path, error) from error
    finally:
        env.close()


# --- the folder ---------------------------------------------------------------------------------------------------


def _make_folder(path: Path) -> None:
    """Make the folder, with mode 0700 whatever the umask is; one that is there already keeps the mode it has."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
    except FileExistsError:
        if not path.is_dir():
            raise
        return
    path.chmod(_FOLDER_MODE)
    fsync_folder(path.parent)


def fsync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    folder_fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder_fd)
    finally:
        os.close(folder_fd)


def _lock(path: Path) -> int:
    """Take the folder for this store alone. The lock goes with the process, however it ends.

    LMDB's own lock would let a second broker in as well, and then both would give the same numbers.
    """
    lock_fd = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    try:
        os.fchmod(lock_fd, _FILE_MODE)
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _say_who(lock_fd)
    except BlockingIOError as error:
        holder = os.pread(lock_fd, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(lock_fd)
        raise StoreInUse(
            f"the store in {path} is in use by another broker (process {holder}); a store is open in one at a time"
        ) from error
    except BaseException:
        os.close(lock_fd)
        raise
    return lock_fd


def _say_who(lock_fd: int) -> None:
    """Write down which process has the lock. It is held without that, too: a broker starts on a full disk."""
    who = f"{os.getpid()}\n".encode()
    try:
        os.pwrite(lock_fd, who, 0)
        os.ftruncate(lock_fd, len(who))
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise


# --- the file -----------------------------------------------------------------------------------------------------


def _open_locked(path: Path, lock_fd: int, *, map_bytes: int, sync: bool) -> Opened:
    is_new = not (path / DATA_FILE).exists()
    if not is_new:
        _check_whole(path / DATA_FILE)
    try:
        return _open_checked(path, lock_fd, map_bytes=map_bytes, sync=sync, is_new=is_new)
    except BaseException:
        if is_new:  # what is half made would be taken for a damaged store
            for name in (DATA_FILE, ENGINE_LOCK_FILE):
                (path / name).unlink(missing_ok=True)
        raise


def _open_checked(path: Path, lock_fd: int, *, map_bytes: int, sync: bool, is_new: bool) -> Opened:
    for name in (DATA_FILE, ENGINE_LOCK_FILE):
        _make_private(path / name)
    _keep_room(path / ENGINE_LOCK_FILE)
    try:
        env = _environment(path, map_bytes=map_bytes, sync=sync)
    except lmdb.Error as error:
        raise _damaged(path, error) from error
    try:
        env.reader_check()
        tables = _tables(path, env)
        if is_new and sync:
            fsync_folder(path)
    except (lmdb.Error, struct.error) as error:
        env.close()
        raise _damaged(path, error) from error
    except BaseException:
        env.close()
        raise
    return Opened(env, tables, lock_fd)


def _make_private(file: Path) -> None:
    """Give a file mode 0600 whatever the umask is, and make it if it is not there (LMDB fills an empty one)."""
    file_fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    try:
        os.fchmod(file_fd, _FILE_MODE)
    finally:
        os.close(file_fd)


def _keep_room(lock_file: Path) -> None:
    """Have the disk give all of LMDB's lock file. It is written through a map: without a page, the process ends."""
    lock_fd = os.open(lock_file, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.posix_fallocate(lock_fd, 0, _ENGINE_LOCK_BYTES)
    finally:
        os.close(lock_fd)


def _damaged(path: Path, error: Exception) -> StoreUnusable:
    code = getattr(error, "code", 0)
    if code in _NOT_ALLOWED:
        return StoreUnusable(f"cannot open the store in {path}: {error}", EX_CONFIG)
    if code in _NO_SPACE:
        return StoreUnusable(f"cannot open the store in {path}: {error}; no space is left for it", EX_IOERR)
    if isinstance(error, lmdb.MapFullError):
        return StoreUnusable(
            f"cannot upgrade the store in {path}: it is of an older version, and within its bound there is no room to"
            " write its messages a second time, with checksums; raise store.map_bytes for this start, or trim with the"
            " roost that wrote it",
            EX_CONFIG,
        )
    if isinstance(error, lmdb.MemoryError):
        return StoreUnusable(
            f"cannot open the store in {path}: its bound does not fit into the address space ({error});"
            " choose a smaller one",
            EX_CONFIG,
        )
    return StoreUnusable(f"the store in {path} is damaged, or no store of roost: {error}", EX_IOERR)


def _environment(path: Path, *, map_bytes: int, sync: bool) -> lmdb.Environment:
    """Open the LMDB environment.

    No read-ahead: the pages of one inbox lie scattered over the file, so what the system would read along with a
    page is mostly of others, and on a file larger than memory it drives out what is needed. Measured on a cold file
    of 268 MB with 400 inboxes, of which three were read: 22 MB read without it, all 268 MB with it (in half the time
    here, where all of it fitted into memory and the disk was fast).
    """
    page = os.sysconf("SC_PAGE_SIZE")
    return lmdb.open(
        os.fspath(path),
        map_size=max(map_bytes // page, 1) * page,
        max_dbs=_TABLES_MAX,
        max_readers=READERS_MAX,
        max_spare_txns=SPARE_READERS,
        mode=_FOLDER_MODE,  # files get it without the x bits
        create=False,
        readahead=False,
        sync=sync,
        lib_version=_ENGINE,
    )


_META_MAGIC = struct.Struct("=16xI")  # after the header of a page
_META_PAGE_BYTES = struct.Struct("=40xI")
_META_END = struct.Struct("=136xQQ")  # last page, transaction
_META_MAGIC_NUMBER = 0xBEEFC0DE


def _check_whole(data_file: Path) -> None:
    """Raise StoreUnusable if pages that are in use are missing at the end of the file, or the file is empty.

    A file may be a little short of its last page, if that page was freed before it was ever written; so only one
    that is short is walked through. Anything else that is wrong with the beginning of the file, LMDB says itself.
    """
    size = data_file.stat().st_size
    if size == 0:
        raise StoreUnusable(f"{data_file} is damaged: it is empty; remove it to begin with an empty store", EX_IOERR)
    out_of_step = metas_out_of_step(data_file)
    if out_of_step:
        raise StoreUnusable(f"{data_file} is damaged: {out_of_step}; restore a backup", EX_IOERR)
    whole = _whole_bytes(data_file)
    if size >= whole:
        return
    try:
        problems: list[str] = lmdb.verify.verify(os.fspath(data_file), subdir=False)  # type: ignore[no-untyped-call]
    except lmdb.verify.VerifyError as error:
        problems = [str(error)]
    if problems:
        raise StoreUnusable(
            f"{data_file} is damaged: it has {size} bytes of at least {whole} ({problems[0]}); restore a backup",
            EX_IOERR,
        )
    with suppress(OSError):  # so that the next start need not walk; if there is no space, it will
        os.truncate(data_file, whole)


def metas_out_of_step(data_file: Path) -> str:
    """What is wrong with the numbers of the last two transactions; empty if nothing.

    A transaction writes the meta page that the one before it did not, by whether its number is odd. LMDB takes the page
    with the higher number and asks no more: with a bit changed there, it would silently go back by one commit.
    """
    numbers = [transaction for _, transaction in _metas(data_file)]
    if len(numbers) != 2 or numbers == [0, 0]:
        return ""
    even, odd = numbers
    if even % 2 or not odd % 2 or abs(even - odd) != 1:
        return f"its last transactions have the numbers {even} and {odd}, which do not follow one another"
    return ""


def _whole_bytes(data_file: Path) -> int:
    """Bytes that the file should have by its own account; 0 if it gives none."""
    metas = _metas(data_file)
    if not metas:
        return 0
    last_page, _ = max(metas, key=lambda meta: meta[1])
    return int((last_page + 1) * _page_bytes(data_file))


def _page_bytes(data_file: Path) -> int:
    with data_file.open("rb") as file:
        first = file.read(_META_END.size)
    if len(first) < _META_END.size or _META_MAGIC.unpack_from(first)[0] != _META_MAGIC_NUMBER:
        return 0
    return int(_META_PAGE_BYTES.unpack_from(first)[0])


def _metas(data_file: Path) -> list[tuple[int, int]]:
    """The last page and the transaction by each of the two meta pages, as far as they are there."""
    page_bytes = _page_bytes(data_file)
    if not page_bytes:
        return []
    with data_file.open("rb") as file:
        pages = [os.pread(file.fileno(), _META_END.size, at) for at in (0, page_bytes)]
    return [_META_END.unpack(page) for page in pages if len(page) == _META_END.size]


# --- the tables ---------------------------------------------------------------------------------------------------


def _tables(path: Path, env: lmdb.Environment) -> Tables:
    """Open the tables; make them in a new store, migrate those of an older version."""
    is_new = env.stat()["entries"] == 0
    with env.begin(write=True) as txn:
        if is_new:
            tables = _open_tables(env, txn, create=True)
            txn.put(META_SCHEMA, NUMBER.pack(SCHEMA_VERSION), db=tables.meta)
            return tables
        version = _schema_version(path, env, txn)
        tables = _open_tables(env, txn, create=version < SCHEMA_VERSION)
        for older in range(version, SCHEMA_VERSION):
            MIGRATIONS[older](env, txn, tables)
        if version < SCHEMA_VERSION:
            txn.put(META_SCHEMA, NUMBER.pack(SCHEMA_VERSION), db=tables.meta)
        return tables


def _schema_version(path: Path, env: lmdb.Environment, txn: "Transaction") -> int:
    try:
        value = txn.get(META_SCHEMA, db=env.open_db(b"meta", txn=txn, create=False))
    except lmdb.NotFoundError:
        value = None
    version = NUMBER.unpack(value)[0] if value is not None else 0
    if version > SCHEMA_VERSION:
        raise StoreUnusable(
            f"the store in {path} is of version {version}, this roost knows versions up to {SCHEMA_VERSION};"
            " use a newer roost, or a backup from before the upgrade",
            EX_CONFIG,
        )
    if version == 0:
        raise StoreUnusable(f"the LMDB file in {path} is no store of roost; choose another folder", EX_CONFIG)
    return int(version)


def _open_tables(env: lmdb.Environment, txn: "Transaction", *, create: bool) -> Tables:
    return Tables(*(env.open_db(name_in_file(name), txn=txn, create=create) for name in Tables._fields))
