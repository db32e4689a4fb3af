"""Passwords come from a descriptor or a terminal."""

import os
import sys

import pytest

from admin.running import password_fd
from roost_admin.failures import EX_DATAERR, EX_USAGE, Failure
from roost_admin.passwords import READ_BYTES_MAX, password_for


def from_pipe(data: bytes) -> str:
    reading, writing = os.pipe()
    try:
        os.write(writing, data)
        os.close(writing)
        return password_for("alice", reading)
    finally:
        os.close(reading)


@pytest.mark.parametrize(
    ("data", "password"),
    [(b"secret\n", "secret"), (b"secret", "secret"), (b"a b \r\nrest", "a b "), ("zażółć".encode(), "zażółć")],
)
def test_one_line_is_read(data: bytes, password: str) -> None:
    assert from_pipe(data) == password


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n", b"\xff\xfe\n"])
def test_what_is_no_password(data: bytes) -> None:
    with pytest.raises(Failure) as caught:
        from_pipe(data)
    assert caught.value.exit_code == EX_DATAERR


def test_no_more_is_read_than_a_password_may_have() -> None:
    assert READ_BYTES_MAX <= len(from_pipe(b"x" * 10_000)) <= 2 * READ_BYTES_MAX


def test_a_closed_descriptor() -> None:
    with password_fd() as fd:
        pass
    with pytest.raises(Failure, match=f"--password-fd {fd}") as caught:
        password_for("alice", fd)
    assert caught.value.exit_code == EX_USAGE


def test_without_a_terminal_it_says_what_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        with pytest.raises(Failure, match="--password-fd") as caught:
            password_for("alice", None)
    assert caught.value.exit_code == EX_USAGE
