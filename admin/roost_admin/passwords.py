"""Passwords come from a terminal or a file descriptor, never from an argument: those are in `ps` and in histories."""

import os
import sys

import click

from roost_admin.failures import EX_DATAERR, EX_USAGE, Failure

READ_BYTES_MAX = 1024
"""Bytes of a line looked at; more than any password may have."""


def password_for(user: str, fd: int | None, *, twice: bool = False) -> str:
    """The password of `user`: a line from `fd`, or else asked for on the terminal. Raises Failure."""
    if fd is not None:
        return _read(fd)
    if not sys.stdin.isatty():
        raise Failure(
            "a password is needed, and standard input is no terminal to ask on: give --password-fd N, "
            "for example --password-fd 3 3<FILE",
            EX_USAGE,
        )
    password: str = click.prompt(f"Password of {user}", hide_input=True, confirmation_prompt=twice, err=True)
    return password


def _read(fd: int) -> str:
    line = b""
    try:
        while b"\n" not in line and len(line) <= READ_BYTES_MAX and (more := os.read(fd, READ_BYTES_MAX)):
            line += more
    except OSError as error:
        raise Failure(f"--password-fd {fd}: {error.strerror}", EX_USAGE) from error
    try:
        password = line.partition(b"\n")[0].removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise Failure(f"--password-fd {fd}: the password is not UTF-8", EX_DATAERR) from error
    if not password:
        raise Failure(f"--password-fd {fd}: there is no password to read", EX_DATAERR)
    return password
