"""The audit log: on the disk before anything is answered, without secrets, and never lost without a word."""

import errno
import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from msgspec import field

from broker.house import START_MS
from roost_broker.audit import (
    ITEMS_MAX,
    TEXT_CHARS_MAX,
    AuditLine,
    AuditLog,
    AuditLogUnusable,
    NotAudited,
    without_secrets,
)
from roost_broker.offload import InlineOffload, ThreadOffload
from roost_protocol.admin.admins import AdminAdded
from roost_protocol.admin.groups import GroupChange
from roost_protocol.admin.route import Asked, Problem
from roost_protocol.admin.users import UserCreate
from roost_protocol.frames import Secret


def audit_log(folder: Path, **other: Any) -> AuditLog:
    return AuditLog(folder / "audit.log", other.get("offload", InlineOffload()), lambda: START_MS)


def line(log: AuditLog, who: str = "ann", **other: Any) -> AuditLine:
    fields: dict[str, Any] = {
        "time": log.time(), "who": who, "role": "admin", "address": "unix", "route": "POST /v1/x/{y}", "names": ("z",),
        "result": "done",
    }  # fmt: skip
    return AuditLine(**(fields | other))


def lines(path: Path) -> list[Any]:
    text = path.read_bytes()
    assert text.endswith(b"\n") or not text
    return [msgspec.json.decode(each) for each in text.splitlines()]


async def test_a_line_is_what_it_should_be(tmp_path: Path) -> None:
    log = audit_log(tmp_path)
    refused = Problem(status=404, title="Not Found", detail="there is\nnothing")
    await log.write(line(log, body={"a": 1}, result=refused))
    assert lines(tmp_path / "audit.log") == [
        {
            "time": "2023-11-14T22:13:20.000+00:00",
            "who": "ann",
            "role": "admin",
            "address": "unix",
            "route": "POST /v1/x/{y}",
            "names": ["z"],
            "query": None,
            "body": {"a": 1},
            "result": {"status": 404, "title": "Not Found", "detail": "there is\nnothing"},
        }
    ]
    log.close()


async def test_it_only_grows_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "audit.log"
    before = os.umask(0)
    try:
        log = AuditLog(path, InlineOffload(), lambda: START_MS)
    finally:
        os.umask(before)
    await log.write(line(log, "ann"))
    log.close()
    path.chmod(0o644)
    log = AuditLog(path, InlineOffload(), lambda: START_MS)
    await log.write(line(log, "bob"))
    log.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each["who"] for each in lines(path)] == ["ann", "bob"]


async def test_it_is_synced_before_write_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = audit_log(tmp_path)
    synced: list[int] = []
    real_fsync = os.fsync

    def fsync(fd: int) -> None:
        real_fsync(fd)
        synced.append(os.fstat(fd).st_size)

    monkeypatch.setattr(os, "fsync", fsync)
    await log.write(line(log))
    assert synced == [(tmp_path / "audit.log").stat().st_size]
    log.close()


async def test_a_renamed_file_is_left_and_a_new_one_begun(tmp_path: Path) -> None:
    log = audit_log(tmp_path)
    path, rotated = tmp_path / "audit.log", tmp_path / "audit.log.1"
    await log.write(line(log, "ann"))
    path.rename(rotated)
    await log.write(line(log, "bob"))
    path.unlink()
    await log.write(line(log, "cid"))
    assert [each["who"] for each in lines(rotated)] == ["ann"]
    assert [each["who"] for each in lines(path)] == ["cid"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    log.close()


async def test_many_at_once_are_all_there(tmp_path: Path) -> None:
    log = audit_log(tmp_path, offload=ThreadOffload(1))
    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(log.write, line(log, str(number)))
    log.close()
    assert sorted(int(each["who"]) for each in lines(tmp_path / "audit.log")) == list(range(50))


class Disk:
    """A disk that is full for a while, in the middle of a line."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = True
        self.can_be_cut = True
        self._write, self._ftruncate = os.write, os.ftruncate
        monkeypatch.setattr(os, "write", self.write)
        monkeypatch.setattr(os, "ftruncate", self.ftruncate)

    def write(self, fd: int, data: bytes) -> int:
        return self._write(fd, data[: len(data) // 2] if self.full else data)

    def ftruncate(self, fd: int, size: int) -> None:
        if not self.can_be_cut:
            raise OSError(errno.EPERM, "Operation not permitted")
        self._ftruncate(fd, size)


async def test_what_cannot_be_written_is_kept_and_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = audit_log(tmp_path)
    await log.write(line(log, "ann"))
    disk = Disk(monkeypatch)
    for who in ("bob", "cid"):
        with pytest.raises(NotAudited, match="No space left"):
            await log.write(line(log, who))
    assert [each["who"] for each in lines(tmp_path / "audit.log")] == ["ann"], "no half of a line"
    with pytest.raises(NotAudited):
        await log.recover()
    assert "No space left" in log.failure
    disk.full = False
    await log.recover()
    assert not log.failure
    assert [each["who"] for each in lines(tmp_path / "audit.log")] == ["ann", "bob", "cid"]
    await log.write(line(log, "dan"))
    assert [each["who"] for each in lines(tmp_path / "audit.log")] == ["ann", "bob", "cid", "dan"]
    log.close()
    assert "not in the audit log" not in caplog.text


async def test_half_a_line_in_a_file_that_cannot_be_cut_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = audit_log(tmp_path)
    await log.write(line(log, "ann"))
    disk = Disk(monkeypatch)
    disk.can_be_cut = False
    with pytest.raises(NotAudited):
        await log.write(line(log, "bob"))
    disk.full = False
    await log.write(line(log, "cid"))
    first, torn, *rest = (tmp_path / "audit.log").read_bytes().splitlines()
    assert msgspec.json.decode(first)["who"] == "ann"
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(torn)
    assert [msgspec.json.decode(each)["who"] for each in rest] == ["bob", "cid"]
    log.close()


async def test_what_was_never_written_is_told_to_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = audit_log(tmp_path)
    Disk(monkeypatch)
    with pytest.raises(NotAudited):
        await log.write(line(log, "bob"))
    log.close()
    assert 'not in the audit log: {"time":' in caplog.text
    assert '"who":"bob"' in caplog.text


def test_one_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "audit.log").mkdir()
    with pytest.raises(AuditLogUnusable, match=r"audit log .*audit\.log: Is a directory"):
        audit_log(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(AuditLogUnusable, match="Not a directory"):
        audit_log(tmp_path / "file" / "folder")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "audit.log").symlink_to("/dev/null")
    with pytest.raises(AuditLogUnusable, match="symbolic link"):
        audit_log(tmp_path / "elsewhere")


class Nested(Asked, frozen=True, kw_only=True):
    """Secrets by type, by name, and deep inside."""

    code: Secret
    maybe: Secret | None = None
    device_token: str = ""
    users: tuple[UserCreate, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)
    data: bytes = b""


def test_secrets_are_hidden_wherever_they_are() -> None:
    assert without_secrets(UserCreate(name="ann", password="correct horse")) == {"name": "ann", "password": "…"}
    assert without_secrets(AdminAdded(name="ann", role="read", token="abc"))["token"] == "…"
    nested = Nested(
        code="secret 1",
        maybe="secret 2",
        device_token="secret 3",
        users=(UserCreate(name="bob", password="secret 4"),),
        notes={"Password": "secret 5", "color": "red"},
        data=b"secret 6",
    )
    shown = without_secrets(nested)
    assert b"secret" not in msgspec.json.encode(shown)
    assert shown["users"] == [{"name": "bob", "password": "…"}]
    assert shown["notes"] == {"Password": "…", "color": "red"}
    assert shown["data"] == "(8 bytes)"
    assert without_secrets(Nested(code="x"))["maybe"] is None


def test_what_is_long_is_cut_short() -> None:
    names = tuple(f"user {number}" for number in range(ITEMS_MAX))
    assert without_secrets(GroupChange(add=names))["add"] == list(names)
    assert without_secrets((*names, "x"))[-1] == f"… ({ITEMS_MAX + 1} in all)"
    assert without_secrets("x" * TEXT_CHARS_MAX) == "x" * TEXT_CHARS_MAX
    assert without_secrets("x" * 100_000) == "x" * TEXT_CHARS_MAX + "… (100000 characters)"
    assert [without_secrets(each) for each in (None, 5, True, 1.5)] == [None, 5, True, 1.5]
