"""The audit log: who did what, when, and what came of it; one JSON line for each act, in a file that only grows.

An act that changes something is answered when its line is on the disk. While lines cannot be written nothing that has
to be audited is begun; what was under way at that moment is kept, and written as soon as that is possible again.
Rotation is left to others: when the file has been renamed or removed, the next line goes to a new one.

**Invariant:** a line is written whole or not at all, and lines are in the order in which their acts ended. Only where
a file may not be cut again (`chattr +a`) can half a line stay; it then stands on a line of its own.
"""

import errno
import logging
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import Struct

from roost_broker.offload import Offload
from roost_protocol.admin.route import Problem
from roost_protocol.frames import Secret
from roost_protocol.one_line import plain_json

_log = logging.getLogger(__name__)

FILE_NAME = "audit.log"
FILE_MODE = 0o600
FOLDER_MODE = 0o700
"""Of the data folder, if there is none yet; the store in it has the same."""

TEXT_CHARS_MAX = 256
"""Characters of one text that are written: a reason or a name is shorter, a message need not be here whole."""
ITEMS_MAX = 256
"""Items of one list that are written: as many names as one request may have."""

_SECRET_WORDS = ("password", "token", "secret")
_HIDDEN = "…"


class AuditLogUnusable(Exception):
    """The audit log cannot be opened; the message says why."""


class NotAudited(Exception):
    """The audit log cannot be written now; the message says why. What was to be written is kept."""


class AuditLine(Struct, frozen=True, kw_only=True):
    """An act. `route` is method and path with `{word}`s, for which `names` stand; `time` as in RFC 3339, UTC."""

    time: str
    who: str
    role: str
    address: str
    route: str
    names: tuple[str, ...]
    query: Any = None
    body: Any = None
    """As it was sent, without secrets; None if there was none, or none that could be read."""
    result: Problem | str
    """`done`, `begun` (of events that follow), the problem, or what is not known."""


class AuditLog:
    """The file at `path`, open from the first moment on; lines are written by `offload`, one at a time.

    Raises AuditLogUnusable.
    """

    def __init__(self, path: Path, offload: Offload, now_ms: Callable[[], int]) -> None:
        self._path = path
        self._offload = offload
        self._now_ms = now_ms
        self._kept: list[bytes] = []
        self._torn = False
        self.failure = ""
        """Why the last line could not be written; empty if it could."""
        try:
            path.parent.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
            self._fd = _open(path)
        except OSError as error:
            raise AuditLogUnusable(f"audit log {path}: {error.strerror}") from error

    def time(self) -> str:
        """Now, as it stands in a line."""
        return datetime.fromtimestamp(self._now_ms() / 1000, UTC).isoformat(timespec="milliseconds")

    async def write(self, line: AuditLine) -> None:
        """Write a line; it is on the disk then. Raises NotAudited.

        A checkpoint; when cancelled, the line is written all the same, now or with the next.
        """
        await self._write(plain_json(msgspec.json.encode(line)).encode() + b"\n")

    async def recover(self) -> None:
        """If lines could not be written, try again. Raises NotAudited. Safe to cancel."""
        if self._kept:
            await self._write()

    def close(self) -> None:
        """Let go of the file. What could not be written is told to the log."""
        for line in self._kept:
            _log.error("not in the audit log: %s", line.decode().strip())
        os.close(self._fd)

    async def _write(self, *lines: bytes) -> None:
        self._kept += lines  # taken out by whoever writes them: the order stays
        try:
            await self._offload.run(self._append)
        except OSError as error:
            self.failure = error.strerror or str(error)
            _log.error("cannot write the audit log %s: %s", self._path, self.failure)
            raise NotAudited(f"the audit log cannot be written: {self.failure}") from error
        self.failure = ""

    def _append(self) -> None:
        """Write what is kept. Raises OSError, and nothing is written then."""
        lines = list(self._kept)
        if not lines:
            return  # another call has written them along with its own
        self._reopen_if_renamed()
        data = b"\n" * self._torn + b"".join(lines)
        size = os.fstat(self._fd).st_size
        try:
            written = os.write(self._fd, data)
            if written < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._fd)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._fd, size)
            self._torn = os.fstat(self._fd).st_size != size
            raise
        self._torn = False
        del self._kept[: len(lines)]

    def _reopen_if_renamed(self) -> None:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            there = None
        mine = os.fstat(self._fd)
        if there is None or (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
            fd = _open(self._path)
            os.close(self._fd)
            self._fd, self._torn = fd, False


def _open(path: Path) -> int:
    """Open the file, made if it is not there, and make its name durable. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        if stat.S_IMODE(os.fstat(fd).st_mode) != FILE_MODE:
            os.fchmod(fd, FILE_MODE)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:
        os.close(fd)
        raise
    return fd


def without_secrets(value: Any) -> Any:
    """A message as it may be written down: secrets are hidden, long texts and lists cut short."""
    if isinstance(value, Struct):
        shown = {}
        for field in msgspec.structs.fields(type(value)):
            content = getattr(value, field.name)
            hidden = content is not None and (_is_secret_name(field.encode_name) or _is_secret(field.type))
            shown[field.encode_name] = _HIDDEN if hidden else without_secrets(content)
        return shown
    if isinstance(value, dict):
        return {key: _HIDDEN if _is_secret_name(str(key)) else without_secrets(each) for key, each in value.items()}
    if isinstance(value, str):
        return value if len(value) <= TEXT_CHARS_MAX else f"{value[:TEXT_CHARS_MAX]}… ({len(value)} characters)"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"({len(value)} bytes)"
    if isinstance(value, tuple | list | set | frozenset):
        shown_items = [without_secrets(each) for each in list(value)[:ITEMS_MAX]]
        return shown_items if len(value) <= ITEMS_MAX else [*shown_items, f"… ({len(value)} in all)"]
    return value


def _is_secret_name(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET_WORDS)


def _is_secret(wanted: Any) -> bool:
    return bool(wanted == Secret) or any(_is_secret(each) for each in get_args(wanted))
