"""Backups on the disk: a folder with a store's data file, copied and checked, and `backup.json`, which describes it.

A backup is made in a folder beside its own, which gets its name when everything in it is durable. So whatever ends it
(a kill, a power cut) leaves either a whole backup, or a `.partial-…` that nobody takes for one.
"""

import os
import secrets
import shutil
from functools import partial
from pathlib import Path

import msgspec

from roost_broker.store.backup_check import checked, measured, sha256
from roost_broker.store.errors import CopyFailed
from roost_broker.store.lmdb_copy import copy_environment, copy_failed
from roost_broker.store.lmdb_open import DATA_FILE, fsync_folder, held, opened_to_read
from roost_broker.store.lmdb_tables import SCHEMA_VERSION
from roost_broker.store.port import Copier, Watch
from roost_protocol.admin.backup import BackupRecord
from roost_protocol.reasons import Reason

RECORD_FILE = "backup.json"
RECORD_BYTES_MAX = 64 * 1024
"""Far more than a record has: what is larger is something else."""

_FOLDER_MODE = 0o700
_FILE_MODE = 0o600


class Backup:
    """One backup on its way to `folder`: `copy`, check what is in `partial`, `finish`; or `give_up` at any point.

    Raises CopyFailed when it cannot go there.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_absolute():
            raise CopyFailed(f"a backup goes to an absolute path, not to {folder}", Reason.MALFORMED_PACKET)
        if folder.name in ("", "..") or "\0" in str(folder):
            raise CopyFailed(f"{str(folder)!r} is no name for a new folder", Reason.MALFORMED_PACKET)
        self.folder = folder
        self.partial = folder.with_name(f"{folder.name}.partial-{secrets.token_hex(4)}")
        """Where it is until it is whole."""
        self._refuse_existing()

    def copy(self, copier: Copier, watch: Watch) -> int:
        """Write the data file; its size. Raises CopyFailed, and what `watch` raises."""
        try:
            self.partial.mkdir(mode=_FOLDER_MODE)
            self.partial.chmod(_FOLDER_MODE)  # whatever the umask is
        except OSError as error:
            raise copy_failed(f"cannot make {self.partial}", error) from error
        return copier(self.partial / DATA_FILE, watch)

    def finish(self, record: BackupRecord) -> None:
        """Write the record, and give the backup its name. When this returns, it is durable. Raises CopyFailed."""
        try:
            _write_record(self.partial / RECORD_FILE, record)
            fsync_folder(self.partial)
            fsync_folder(self.partial.parent)
            self._refuse_existing()
            self.partial.rename(self.folder)  # onto an empty folder at the worst: any other stands in the way
            fsync_folder(self.folder.parent)
        except OSError as error:
            raise copy_failed(f"cannot make {self.folder}", error) from error

    def give_up(self) -> None:
        """Remove what is there of it. Never raises; harmless when it is finished."""
        shutil.rmtree(self.partial, ignore_errors=True)

    def _refuse_existing(self) -> None:
        if os.path.lexists(self.folder):
            raise CopyFailed(f"{self.folder} is there already; a backup goes to a new folder", Reason.ALREADY_EXISTS)


def back_up_stopped(data: Path, folder: Path, watch: Watch, *, now_ms: int, version: str) -> BackupRecord:
    """Make a backup of a store that no broker uses, and keep them from it meanwhile.

    Raises StoreUnusable, CopyFailed, and what `watch` raises; then nothing is left of it.
    """
    if not (data / DATA_FILE).exists():
        raise CopyFailed(f"there is no store in {data}: it has no {DATA_FILE}", Reason.NOT_FOUND)
    with held(data):
        backup = Backup(folder)
        try:
            with opened_to_read(data) as store:
                backup.copy(partial(copy_environment, store.env), watch)
            checked(backup.partial)
            record = measured(backup.partial, now_ms, version)
            backup.finish(record)
        except BaseException:
            backup.give_up()
            raise
    return record


def check_backup(folder: Path) -> BackupRecord:
    """Whether a backup is what it was when it was made; its record. Raises CopyFailed."""
    record = _read_record(folder)
    if record.schema > SCHEMA_VERSION:
        raise CopyFailed(
            f"{folder} is of store version {record.schema}, this roost knows versions up to {SCHEMA_VERSION};"
            f" use roost {record.version} or newer",
            Reason.MALFORMED_PACKET,
        )
    data_file = folder / DATA_FILE
    try:
        size = data_file.stat().st_size
    except OSError as error:
        raise copy_failed(f"{folder} is damaged: cannot read {data_file}", error) from error
    if size != record.data_bytes:
        text = f"{data_file} is damaged: it has {size} bytes, and had {record.data_bytes}"
        raise CopyFailed(text, Reason.UNSPECIFIED_ERROR)
    if sha256(data_file) != record.data_sha256:
        text = f"{data_file} is damaged: its content is not what it was (SHA-256)"
        raise CopyFailed(text, Reason.UNSPECIFIED_ERROR)
    checked(folder)
    return record


def _write_record(file: Path, record: BackupRecord) -> None:
    file_fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
    with open(file_fd, "wb") as written:
        os.fchmod(file_fd, _FILE_MODE)
        written.write(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
        written.flush()
        os.fsync(file_fd)


def _read_record(folder: Path) -> BackupRecord:
    file = folder / RECORD_FILE
    try:
        with file.open("rb") as content:
            text = content.read(RECORD_BYTES_MAX)
    except FileNotFoundError as error:
        raise CopyFailed(
            f"{folder} is no backup: it has no {RECORD_FILE} (a data folder that was copied while its broker stood"
            " still is used as it is, with --data)",
            Reason.NOT_FOUND,
        ) from error
    except OSError as error:
        raise copy_failed(f"cannot read {file}", error) from error
    try:
        return msgspec.json.decode(text, type=BackupRecord)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CopyFailed(f"{file} is damaged: {error}", Reason.UNSPECIFIED_ERROR) from error
