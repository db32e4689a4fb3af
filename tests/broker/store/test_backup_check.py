"""The check of a copy, by itself and as a program."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from broker.store.filled import make_filled
from broker.store.world import START_MS
from roost_broker.store import CopyFailed, backup_check
from roost_broker.store.backup_check import checked, measured, sha256
from roost_protocol.admin.backup import BackupRecord
from roost_protocol.reasons import Reason


def run(folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-P", "-m", backup_check.__name__, str(folder), str(START_MS), "1.2.3"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.process
def test_as_a_program_it_gives_the_record(tmp_path: Path) -> None:
    make_filled(tmp_path)
    done = run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    record = msgspec.json.decode(done.stdout, type=BackupRecord)
    assert record == measured(tmp_path, START_MS, "1.2.3")
    assert record.data_sha256 == sha256(tmp_path / "data.mdb")
    assert record.messages == 60


@pytest.mark.process
def test_as_a_program_it_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    make_filled(tmp_path)
    spoil(tmp_path / "data.mdb")
    done = run(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is damaged" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_page_that_points_nowhere_is_found(tmp_path: Path) -> None:
    make_filled(tmp_path)
    checked(tmp_path)
    spoil(tmp_path / "data.mdb")
    with pytest.raises(CopyFailed, match="is damaged") as error:
        checked(tmp_path)
    assert error.value.reason == Reason.UNSPECIFIED_ERROR


@pytest.mark.parametrize("content", [b"", b"this is no database" * 1000])
def test_a_file_of_something_else_is_found(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(CopyFailed, match="is damaged"):
        checked(tmp_path)
    with pytest.raises(CopyFailed, match="damaged"):
        measured(tmp_path, START_MS, "1")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CopyFailed, match="No such file"):
        checked(tmp_path)
    with pytest.raises(CopyFailed, match="there is no store"):
        measured(tmp_path, START_MS, "1")
    with pytest.raises(CopyFailed, match="No such file"):
        sha256(tmp_path / "data.mdb")


def spoil(file: Path) -> None:
    """Write over the heads of all pages but the first two."""
    content = bytearray(file.read_bytes())
    for page in range(2 * 4096, len(content), 4096):
        content[page : page + 16] = b"\xff" * 16
    file.write_bytes(content)
