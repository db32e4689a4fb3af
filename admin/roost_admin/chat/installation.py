"""What a chat keeps between two starts: the state file of the client library, one for each installation.

By default that is `$XDG_STATE_HOME/roost/NAME-TERMINAL.db`. A second chat of the same user on the same terminal type,
while the first is open, is another device (`NAME-TERMINAL-2.db`), as a second PC would be; so it takes over, and the
first one is told.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from roost_admin.failures import EX_CONFIG, Failure

INSTALLATIONS_MAX = 9
"""Chats of one user on one terminal type, open at once on this machine."""


class Installation(NamedTuple):
    """A device on this machine: where its state is, its id, and whether it can log in without a password."""

    path: Path
    device: str
    has_token: bool


@contextmanager
def open_installation(user: str, terminal: str, path: Path | None) -> Iterator[Installation]:
    """The installation whose state is at `path`, by default the first that no other chat has open. Raises Failure."""
    if path is not None:
        yield _installation(path, user, terminal)
        return
    for number in range(1, INSTALLATIONS_MAX + 1):
        suffix = f"-{number}" if number > 1 else ""
        candidate = _state_folder() / f"{user}-{terminal}{suffix}.db"
        lock_fd = _lock(candidate.with_suffix(".lock"))
        if lock_fd is not None:
            try:
                yield _installation(candidate, user, terminal)
            finally:
                os.close(lock_fd)
            return
    raise Failure(f"{INSTALLATIONS_MAX} chats of {user} on {terminal} are open here; give --state PATH", EX_CONFIG)


def _state_folder() -> Path:
    base = os.environ.get("XDG_STATE_HOME", "")  # a relative path is to be ignored (XDG Base Directory, 0.8)
    folder = (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "roost"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"cannot keep a state in {folder}: {error.strerror}; give --state PATH", EX_CONFIG) from error
    return folder


def _lock(path: Path) -> int | None:
    """A descriptor that holds the lock, None if another process has it. Goes with the process, however it ends."""
    try:
        lock_fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Failure(
            f"cannot keep a state in {path.parent}: {error.strerror}; give --state PATH", EX_CONFIG
        ) from error
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock_fd)
        return None
    return lock_fd


def _installation(path: Path, user: str, terminal: str) -> Installation:
    from roost import FileState, StateUnusable

    state = FileState(path)
    try:
        saved = state.open(user, terminal)
    except StateUnusable as error:
        raise Failure(str(error), EX_CONFIG) from error
    state.close()
    return Installation(path, saved.device or f"{terminal}-{secrets.token_hex(4)}", saved.token is not None)
