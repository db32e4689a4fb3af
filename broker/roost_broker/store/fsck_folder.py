"""Checking the folder of a store that no broker runs on: a stopped one, or a backup. Nothing in it is changed.

The file is first walked through byte by byte, without LMDB: only one whose pages are whole is then opened, since to
follow a page number that points outside of the file would end the process.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

import lmdb
import lmdb.verify

from roost_broker.store.errors import EX_CONFIG, EX_IOERR, StoreUnusable
from roost_broker.store.fsck import walk
from roost_broker.store.fsck_problems import PAGE, TABLE_MISSING, Problem
from roost_broker.store.lmdb_open import DATA_FILE, LOCK_FILE, metas_out_of_step
from roost_broker.store.lmdb_tables import META_SCHEMA, NUMBER, SCHEMA_VERSION, Tables, name_in_file
from roost_broker.store.port import CheckEvent
from roost_protocol.admin.fsck import Finding, FsckProgress, FsckVerdict
from roost_protocol.limits import FINDINGS_MAX

_TABLES_MAX = 64  # as in `lmdb_open`


def walk_folder(path: Path, *, pages: bool = True) -> Iterator[CheckEvent]:
    """Check the store in the folder `path`: findings and progress as they come, then the verdict.

    With `pages`, the pages of the file are checked first, which takes 4 s for 200 MB; leave it out only for a file that
    is known to be whole, such as a copy that LMDB has just made. The folder is kept from brokers meanwhile. Raises
    StoreUnusable if there is no store, a broker runs on it, or it is of another version; ReadFailed.
    """
    data_file = path / DATA_FILE
    with _kept_from_brokers(path):
        _must_be_readable(data_file)
        yield FsckProgress(stage="pages of the file", rows=0, of=1)
        problems = _page_problems(data_file) if pages else []
        if problems:
            for problem in problems:
                yield _file_finding(PAGE, problem, "whole pages")
            yield _file_verdict(len(problems))
            return
        with ExitStack() as stack:
            try:
                env = stack.enter_context(_open(path))
                tables = _tables(path, env)
            except lmdb.Error as error:
                raise StoreUnusable(f"{data_file} is damaged, or no store of roost: {error}", EX_IOERR) from error
            if isinstance(tables, Finding):
                yield tables
                yield _file_verdict(1)
            else:
                yield from walk(env, tables)


def check_folder(
    path: Path,
    *,
    pages: bool = True,
    found: Callable[[Finding], None] | None = None,
    progress: Callable[[FsckProgress], None] | None = None,
) -> FsckVerdict:
    """Check the store in the folder `path`, as `walk_folder`; the verdict. `found` is told every finding.

    Blocks. Raises StoreUnusable, ReadFailed.
    """
    for event in walk_folder(path, pages=pages):
        if isinstance(event, FsckVerdict):
            return event
        if isinstance(event, Finding):
            if found is not None:
                found(event)
        elif progress is not None:
            progress(event)
    raise AssertionError("a check that ends without a verdict")


# --- the folder ---------------------------------------------------------------------------------------------------


@contextmanager
def _kept_from_brokers(path: Path) -> Iterator[None]:
    """Hold the lock of the store; without a lock file, no broker was ever here. Raises StoreUnusable."""
    try:
        lock_fd = os.open(path / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield  # a backup: no broker has ever been here
        return
    except OSError as error:
        raise StoreUnusable(f"cannot check the store in {path}: {LOCK_FILE}: {error.strerror}", EX_CONFIG) from error
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        holder = os.pread(lock_fd, 32, 0).decode(errors="replace").strip() or "unknown"
        raise StoreUnusable(
            f"the store in {path} is in use (process {holder}); a running broker checks its store itself:"
            " `roost fsck` with its --data or --socket",
            EX_CONFIG,
        ) from error
    finally:
        os.close(lock_fd)


def _must_be_readable(data_file: Path) -> None:
    """Raise StoreUnusable if the file is not there, not to be read, or empty."""
    try:
        with data_file.open("rb") as file:
            first = file.read(1)
    except OSError as error:
        status: Literal[74, 78] = EX_IOERR if error.errno == errno.EIO else EX_CONFIG
        raise StoreUnusable(f"cannot read {data_file}: {error.strerror}", status) from error
    if not first:
        raise StoreUnusable(f"{data_file} is damaged: it is empty; restore a backup", EX_IOERR)


def _page_problems(data_file: Path) -> list[str]:
    """What is wrong with the pages of the file; bounded."""
    out_of_step = metas_out_of_step(data_file)
    if out_of_step:
        return [out_of_step]
    try:
        problems: list[str] = lmdb.verify.verify(os.fspath(data_file), subdir=False)  # type: ignore[no-untyped-call]
    except lmdb.verify.VerifyError as error:
        return [str(error)]
    return problems[:FINDINGS_MAX]


def _open(path: Path) -> lmdb.Environment:
    """Open the file to read it, without the lock file of LMDB: nobody writes."""
    return lmdb.open(os.fspath(path), max_dbs=_TABLES_MAX, readonly=True, lock=False, create=False, readahead=False)


def _tables(path: Path, env: lmdb.Environment) -> Tables | Finding:
    """The tables; a finding if one is not there. Raises StoreUnusable if this is no store of this version."""
    missing: list[str] = []
    handles = []
    for name in Tables._fields:
        try:
            handles.append(env.open_db(name_in_file(name), create=False))
        except lmdb.NotFoundError:
            missing.append(name)
            if name == "meta":
                raise StoreUnusable(f"the LMDB file in {path} is no store of roost", EX_CONFIG) from None
        if name == "meta":
            _check_version(path, env, handles[0])
    if missing:
        return _file_finding(TABLE_MISSING, f"no table {', '.join(missing)}", "all tables", table=missing[0])
    return Tables(*handles)


def _check_version(path: Path, env: lmdb.Environment, meta: "lmdb._Database") -> None:
    with env.begin() as txn:
        value = txn.get(META_SCHEMA, db=meta)
    version = 0 if value is None or len(value) != NUMBER.size else NUMBER.unpack(value)[0]
    if version != SCHEMA_VERSION and version:
        raise StoreUnusable(
            f"the store in {path} is of version {version}, this roost checks version {SCHEMA_VERSION};"
            " check it with the roost that wrote it, or start a broker of this one on it first",
            EX_CONFIG,
        )


def _file_finding(problem: Problem, found: str, expected: str, *, table: str = "file") -> Finding:
    return Finding(
        severity=problem.severity,
        code=problem.code,
        table=table,
        found=found,
        expected=expected,
        advice=problem.advice,
    )


def _file_verdict(damages: int) -> FsckVerdict:
    """The verdict on a store whose tables could not be looked at."""
    return FsckVerdict(damages=damages, warnings=0, complete=False, users=0, devices=0, groups=0, messages=0, entries=0)
