"""Backups as folders: made whole or not at all, never over anything, and found out when they are damaged."""

import json
import os
import stat
from functools import partial
from pathlib import Path

import pytest

from broker.store.filled import make_filled
from broker.store.killed import kills
from broker.store.tables import read_tables
from broker.store.test_lmdb_space import small_disk
from broker.store.world import START_MS
from roost_broker.store import CopyFailed, StoreInUse
from roost_broker.store.backup import Backup, back_up_stopped, check_backup
from roost_broker.store.lmdb_open import held
from roost_broker.store.lmdb_tables import SCHEMA_VERSION
from roost_protocol.admin.backup import BackupRecord
from roost_protocol.limits import MIB
from roost_protocol.reasons import Reason


def ignore(_: int) -> None:
    """Nobody watches."""


def back_up(data: Path, folder: Path) -> BackupRecord:
    return back_up_stopped(data, folder, ignore, now_ms=START_MS, version="1.2.3")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder that no broker uses."""
    make_filled(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def backup(data: Path) -> Path:
    """A backup of it."""
    back_up(data, data.parent / "backup")
    return data.parent / "backup"


def test_a_backup_says_what_it_holds(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    before = os.umask(0)
    try:
        record = back_up(data, folder)
    finally:
        os.umask(before)
    assert (record.made, record.version, record.schema) == (START_MS, "1.2.3", SCHEMA_VERSION)
    assert (record.users, record.devices, record.groups, record.messages) == (3, 2, 1, 60)
    assert record.entries == 60 * 2 + 9
    assert record.last_epoch >= START_MS
    assert int(record.last_message, 16) >> 20 >= START_MS
    assert check_backup(folder) == record
    assert record.data_bytes == (folder / "data.mdb").stat().st_size
    assert read_tables(folder) == read_tables(data)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (folder / "lock.mdb").unlink(missing_ok=True)  # of read_tables
    assert {(each.name, stat.S_IMODE(each.stat().st_mode)) for each in folder.iterdir()} == {
        ("data.mdb", 0o600),
        ("backup.json", 0o600),
    }
    assert list(tmp_path.glob("*partial*")) == []


@pytest.mark.parametrize("there", ["folder", "empty folder", "file", "dangling link"])
def test_nothing_is_overwritten(data: Path, tmp_path: Path, there: str) -> None:
    folder = tmp_path / "backup"
    match there:
        case "folder":
            folder.mkdir()
            (folder / "mine").touch()
        case "empty folder":
            folder.mkdir()
        case "file":
            folder.touch()
        case _:
            folder.symlink_to("nowhere")
    with pytest.raises(CopyFailed, match="is there already") as error:
        back_up(data, folder)
    assert error.value.reason == Reason.ALREADY_EXISTS
    assert os.path.lexists(folder)
    assert list(tmp_path.glob("*partial*")) == []


def test_what_came_into_its_place_meanwhile_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    made = Backup(tmp_path / "late")
    record = back_up(data, tmp_path / "backup")
    made.partial.mkdir()
    (tmp_path / "late").touch()
    with pytest.raises(CopyFailed, match="is there already"):
        made.finish(record)
    made.give_up()
    assert list(tmp_path.glob("*partial*")) == []
    assert (tmp_path / "late").is_file()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("relative/backup", Reason.MALFORMED_PACKET),
        ("/", Reason.MALFORMED_PACKET),
        ("/tmp/..", Reason.MALFORMED_PACKET),  # noqa: S108
        ("/no/such/folder/backup", Reason.NOT_FOUND),
        (f"/{'x' * 255}", Reason.MALFORMED_PACKET),
        ("/dev/null/backup", Reason.NOT_FOUND),
        ("/tmp/nul\0byte", Reason.MALFORMED_PACKET),  # noqa: S108
    ],
)
def test_where_a_backup_cannot_go(data: Path, path: str, reason: Reason) -> None:
    with pytest.raises(CopyFailed) as error:
        back_up(data, Path(path))
    assert error.value.reason == reason
    assert "\n" not in str(error.value)


def test_a_folder_without_a_store(tmp_path: Path) -> None:
    with pytest.raises(CopyFailed, match="there is no store in") as error:
        back_up(tmp_path, tmp_path / "backup")
    assert error.value.reason == Reason.NOT_FOUND
    assert list(tmp_path.iterdir()) == []


def test_a_store_in_use(data: Path, tmp_path: Path) -> None:
    with held(data), pytest.raises(StoreInUse, match="in use by another broker"):
        back_up(data, tmp_path / "backup")
    assert list(tmp_path.glob("backup*")) == []


@pytest.mark.process
def test_a_full_disk_leaves_nothing_and_says_so(tmp_path: Path) -> None:
    make_filled(tmp_path / "data", messages=3_000)
    with small_disk(tmp_path / "disk", 1 * MIB) as disk:
        with pytest.raises(CopyFailed, match="No space left on device") as error:
            back_up(tmp_path / "data", disk / "backup")
        assert error.value.reason == Reason.QUOTA_EXCEEDED
        assert list(disk.iterdir()) == []


def test_killed_at_any_point_there_is_a_whole_backup_or_none(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    whole = points = 0

    def prepare() -> None:
        assert not folder.exists()

    for points in kills(partial(back_up, data, folder), prepare):  # noqa: B007
        if folder.exists():
            check_backup(folder)
            whole += 1
            folder.rename(tmp_path / f"kept-{whole}")
    assert points > 15
    assert whole < points
    check_backup(folder)


# --- damage -------------------------------------------------------------------------------------------------------


def test_a_page_that_was_changed_is_found(backup: Path) -> None:
    with (backup / "data.mdb").open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    check_damaged(backup, "its content is not what it was")


def test_a_file_that_was_cut_short_is_found(backup: Path) -> None:
    size = (backup / "data.mdb").stat().st_size
    os.truncate(backup / "data.mdb", size - 4096)
    check_damaged(backup, f"it has {size - 4096} bytes, and had {size}")


def test_a_file_that_is_missing_is_found(backup: Path) -> None:
    (backup / "data.mdb").unlink()
    with pytest.raises(CopyFailed, match="cannot read"):
        check_backup(backup)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"made": 1}', "\xff", "9" * 100_000, '{"more": ' + "[" * 50_000])
def test_a_record_that_is_none_is_found(backup: Path, text: str) -> None:
    (backup / "backup.json").write_text(text, "latin-1")
    check_damaged(backup, "is damaged")


def test_a_folder_without_a_record_is_no_backup(data: Path) -> None:
    with pytest.raises(CopyFailed, match=r"is no backup: it has no backup\.json") as error:
        check_backup(data)
    assert error.value.reason == Reason.NOT_FOUND


def test_a_backup_of_a_newer_version_is_said_to_be_one(backup: Path) -> None:
    record = json.loads((backup / "backup.json").read_text())
    (backup / "backup.json").write_text(json.dumps({**record, "schema": SCHEMA_VERSION + 1}))
    with pytest.raises(CopyFailed, match=r"use roost 1\.2\.3 or newer"):
        check_backup(backup)


def test_what_a_later_version_adds_to_the_record_is_no_harm(backup: Path) -> None:
    record = json.loads((backup / "backup.json").read_text())
    (backup / "backup.json").write_text(json.dumps({**record, "more": 1}))
    check_backup(backup)


def check_damaged(backup: Path, says: str) -> None:
    with pytest.raises(CopyFailed, match=says) as error:
        check_backup(backup)
    assert error.value.reason == Reason.UNSPECIFIED_ERROR
    assert "\n" not in str(error.value)
