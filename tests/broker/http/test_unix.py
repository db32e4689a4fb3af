"""The admin socket: its owner's alone, a stale one replaced, one in use left alone."""

import os
import socket
import stat
from pathlib import Path

import pytest
import trio

from roost_broker.http.unix import PATH_BYTES_MAX, AdminSocketUnusable, open_admin_socket


async def test_only_its_owner_may_use_it(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    umask = os.umask(0)
    try:
        listener = open_admin_socket(path)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with listener, await trio.open_unix_socket(str(path)) as client, await listener.accept() as served:
        await client.send_all(b"x")
        assert await served.receive_some() == b"x"


async def test_members_of_a_group_may_as_well(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "admin.sock"
    os.chmod(tmp_path, 0o711)  # noqa: S103
    async with open_admin_socket(path, os.getgid()):
        there = path.stat()
        assert (stat.S_IMODE(there.st_mode), there.st_gid) == (0o660, os.getgid())
    assert not caplog.records


async def test_a_folder_that_they_cannot_get_into_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.chmod(tmp_path, 0o700)
    await open_admin_socket(tmp_path / "admin.sock", os.getgid()).aclose()
    assert f"cannot get into {tmp_path}" in caplog.text


@pytest.mark.skipif(os.getuid() == 0, reason="root may give a file to any group")
def test_a_group_that_the_socket_cannot_be_given_to(tmp_path: Path) -> None:
    with pytest.raises(AdminSocketUnusable, match="not permitted"):
        open_admin_socket(tmp_path / "admin.sock", 0)


async def test_the_mask_of_the_process_is_as_before(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        await open_admin_socket(tmp_path / "admin.sock").aclose()
        with pytest.raises(AdminSocketUnusable):
            open_admin_socket(tmp_path / "no" / "admin.sock")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


async def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    assert path.is_socket()
    async with open_admin_socket(path) as listener, await trio.open_unix_socket(str(path)):
        await (await listener.accept()).aclose()


async def test_a_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    async with open_admin_socket(path) as listener:
        with pytest.raises(AdminSocketUnusable, match="another process listens on it") as error:
            open_admin_socket(path)
        assert str(path) in str(error.value)
        assert path.is_socket()
        async with await trio.open_unix_socket(str(path)):
            await (await listener.accept()).aclose()  # that of the one that looked whether somebody listens
            await (await listener.accept()).aclose()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    path.write_text("precious")
    with pytest.raises(AdminSocketUnusable, match="in use"):
        open_admin_socket(path)
    assert path.read_text() == "precious"


def test_a_path_that_is_too_long_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / ("x" * PATH_BYTES_MAX)
    with pytest.raises(AdminSocketUnusable, match="set admin_socket"):
        open_admin_socket(path)


def test_a_folder_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(AdminSocketUnusable, match="No such file"):
        open_admin_socket(tmp_path / "no" / "admin.sock")
