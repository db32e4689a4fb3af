"""Copying an LMDB environment into a new file, page by page in order, without its free pages, while others write to it.

LMDB does it in C, from one read transaction, without the interpreter lock and without the writer's. What Python adds
is that one can watch it, and end it: LMDB writes to a descriptor, and when a read-only file is put under that, the
next write fails and the copy is over (measured: within a millisecond).
"""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from threading import Thread

import lmdb

from roost_broker.store.errors import CopyFailed
from roost_broker.store.port import Watch
from roost_protocol.reasons import Reason

WATCH_S = 0.1
"""From one look at how far it is to the next: the delay of a cancellation."""

_FILE_MODE = 0o600
_REASONS = {
    errno.ENOSPC: Reason.QUOTA_EXCEEDED,
    errno.EDQUOT: Reason.QUOTA_EXCEEDED,
    errno.EFBIG: Reason.QUOTA_EXCEEDED,
    errno.EACCES: Reason.NOT_AUTHORIZED,
    errno.EPERM: Reason.NOT_AUTHORIZED,
    errno.EROFS: Reason.NOT_AUTHORIZED,
    errno.ENOENT: Reason.NOT_FOUND,
    errno.ENOTDIR: Reason.NOT_FOUND,
    errno.EEXIST: Reason.ALREADY_EXISTS,
    errno.ENOTEMPTY: Reason.ALREADY_EXISTS,
    errno.ENAMETOOLONG: Reason.MALFORMED_PACKET,
}


def copy_environment(env: "lmdb.Environment", file: Path, watch: Watch) -> int:
    """See `port.Copier`."""
    try:
        file_fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
    except OSError as error:
        raise copy_failed(f"cannot write {file}", error) from error
    try:
        return _copy_to(env, file_fd, watch)
    except BaseException as error:
        file.unlink(missing_ok=True)
        if isinstance(error, OSError | lmdb.Error):
            raise copy_failed(f"cannot write {file}", error) from error
        raise
    finally:
        os.close(file_fd)


def copy_failed(what: str, error: "OSError | lmdb.Error") -> CopyFailed:
    """The error that says in one line what could not be done, and why the system would not."""
    code = (error.errno if isinstance(error, OSError) else getattr(error, "code", 0)) or 0
    why = os.strerror(code) if code > 0 else str(error)
    return CopyFailed(f"{what}: {why}", _REASONS.get(code, Reason.UNSPECIFIED_ERROR))


def _copy_to(env: "lmdb.Environment", file_fd: int, watch: Watch) -> int:
    os.fchmod(file_fd, _FILE_MODE)  # whatever the umask is
    _go_past_the_cache(file_fd)
    _copy_watched(env, file_fd, watch)
    os.fsync(file_fd)
    return os.fstat(file_fd).st_size


def _go_past_the_cache(file_fd: int) -> None:
    """Write without the system's page cache, where the file system can.

    A copy would drive out of memory what the broker reads, and the flush of gigabytes at its end would hold up the
    sync of every commit meanwhile. LMDB writes whole, aligned pages, and does the same when it opens the file itself.
    """
    with suppress(OSError):
        fcntl.fcntl(file_fd, fcntl.F_SETFL, fcntl.fcntl(file_fd, fcntl.F_GETFL) | os.O_DIRECT)


def _copy_watched(env: "lmdb.Environment", file_fd: int, watch: Watch) -> None:
    """Copy in a thread, and watch it. Raises what it raises, or what `watch` raises."""
    failures: list[Exception] = []

    def copy() -> None:
        try:
            env.copyfd(file_fd, compact=True)
        except Exception as error:  # noqa: BLE001 - raised by who waits for it
            failures.append(error)

    thread = Thread(target=copy, name="roost copy", daemon=True)
    thread.start()
    try:
        going_on = True
        while going_on:
            thread.join(WATCH_S)
            going_on = thread.is_alive()
            watch(os.fstat(file_fd).st_size)  # once at least, and of the whole copy at last
    except BaseException:
        _cut_off(file_fd)
        thread.join()
        raise
    if failures:
        raise failures[0]


def _cut_off(file_fd: int) -> None:
    """Let every further write to this descriptor fail."""
    nothing_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nothing_fd, file_fd, inheritable=False)
    os.close(nothing_fd)
