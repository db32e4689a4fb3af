"""Whether a copy of a store is whole, and what is in it. As a program, so that a broker is not held up by it:

    python -m roost_broker.store.backup_check FOLDER MADE_MS VERSION

prints the record of the backup as JSON, or says in one line on stderr what is wrong with it and ends with status 1.
Checking walks through every page in Python; in a thread of the broker it would take the interpreter from it.
"""

import hashlib
import os
import sys
from pathlib import Path

import lmdb.verify
import msgspec

from roost_broker.store.errors import CopyFailed, ReadFailed, StoreUnusable
from roost_broker.store.fsck_folder import check_folder
from roost_broker.store.ids import message_id_text
from roost_broker.store.lmdb_copy import copy_failed
from roost_broker.store.lmdb_open import DATA_FILE, opened_to_read
from roost_broker.store.lmdb_tables import META_LAST, read_counters
from roost_protocol.admin.backup import BackupRecord
from roost_protocol.admin.fsck import Finding
from roost_protocol.reasons import Reason

LEAST_NICE = 19
"""The check of a running broker's backup takes what others leave of the processor."""


def checked(folder: Path) -> None:
    """Check a store that nobody writes to, whole: its pages, and all that was promised of its tables.

    Raises CopyFailed: it is damaged, or no store of this version.
    """
    first: list[Finding] = []

    def found(finding: Finding) -> None:
        if finding.severity == "damage" and not first:
            first.append(finding)

    if not (folder / DATA_FILE).exists():
        raise CopyFailed(f"there is no store in {folder}: No such file {DATA_FILE}", Reason.UNSPECIFIED_ERROR)
    try:
        verdict = check_folder(folder, found=found)
    except (StoreUnusable, ReadFailed) as error:
        raise CopyFailed(str(error), Reason.UNSPECIFIED_ERROR) from error
    if first:
        what = f"{first[0].code} in {first[0].table}: {first[0].found}, expected {first[0].expected}"
        more = f" (and {verdict.damages - 1} more)" if verdict.damages > 1 else ""
        raise CopyFailed(f"the store in {folder} is damaged: {what}{more}", Reason.UNSPECIFIED_ERROR)


def check_pages(file: Path) -> None:
    """Check that every page of a data file is in its place, and no other. Raises CopyFailed."""
    try:
        problems: list[str] = lmdb.verify.verify(os.fspath(file), subdir=False)  # type: ignore[no-untyped-call]
    except lmdb.verify.VerifyError as error:
        problems = [str(error)]
    except OSError as error:
        raise copy_failed(f"cannot read {file}", error) from error
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise CopyFailed(f"{file} is damaged: {problems[0]}{more}", Reason.UNSPECIFIED_ERROR)


def measured(folder: Path, made_ms: int, version: str) -> BackupRecord:
    """The record of a copy that was `checked`. Raises CopyFailed."""
    try:
        with opened_to_read(folder) as store, store.env.begin() as txn:
            counts = {name: int(txn.stat(table)["entries"]) for name, table in store.tables.items()}
            last = read_counters(txn.get(META_LAST, db=store.tables["meta"]))
            schema = store.version
    except StoreUnusable as error:
        raise CopyFailed(str(error), Reason.UNSPECIFIED_ERROR) from error
    return BackupRecord(
        made=made_ms,
        version=version,
        schema=schema,
        data_bytes=(folder / DATA_FILE).stat().st_size,
        data_sha256=sha256(folder / DATA_FILE),
        users=counts["users"],
        devices=counts["devices"],
        groups=counts["groups"],
        messages=counts["messages"],
        entries=counts["inbox"],
        last_epoch=last[3],
        last_message=message_id_text(last[4]),
    )


def sha256(file: Path) -> str:
    """The digest of a whole file, in hexadecimal. Raises CopyFailed."""
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise copy_failed(f"cannot read {file}", error) from error


def main(folder: str, made_ms: str, version: str) -> int:
    """See the module; the exit status."""
    os.nice(LEAST_NICE)
    try:
        checked(Path(folder))
        record = measured(Path(folder), int(made_ms), version)
    except CopyFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(msgspec.json.encode(record).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
