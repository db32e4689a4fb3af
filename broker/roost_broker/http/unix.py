"""The admin socket: a Unix socket that only its owner can open, and members of a group if there is one."""

import errno
import logging
import os
import socket
import stat
import struct
from pathlib import Path

import trio
from msgspec import Struct

_log = logging.getLogger(__name__)

SOCKET_MODE = 0o600
GROUP_SOCKET_MODE = 0o660
BACKLOG = 64
PATH_BYTES_MAX = 107
"""Linux, unix(7): 108 bytes with the final zero."""


_CREDENTIALS = struct.Struct("iII")
"""Linux, unix(7): struct ucred."""


class Credentials(Struct, frozen=True):
    """Whose process is at the other end of a Unix socket: as the kernel has it, not as the peer says."""

    pid: int
    uid: int
    gid: int


def peer_credentials(stream: trio.abc.Stream) -> Credentials | None:
    """Who is at the other end; None if that is no Unix socket."""
    if not isinstance(stream, trio.SocketStream) or stream.socket.family != socket.AF_UNIX:
        return None
    return Credentials(
        *_CREDENTIALS.unpack(stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    )


class AdminSocketUnusable(Exception):
    """The admin socket cannot be made; the message says why."""


def path_unfit(path: Path) -> str | None:
    """Why no socket can be at this path, wherever it is."""
    if len(os.fsencode(path)) <= PATH_BYTES_MAX:
        return None
    return f"admin socket {path}: the path of a Unix socket has at most {PATH_BYTES_MAX} bytes; set admin_socket"


def open_admin_socket(path: Path, group: int | None = None) -> trio.SocketListener:
    """Listen on a Unix socket at `path`, mode 0600; with the number of a `group`, mode 0660 and of that group.

    A stale socket of a dead process is replaced.

    Raises AdminSocketUnusable.
    """
    why_not = path_unfit(path)
    if why_not is not None:
        raise AdminSocketUnusable(why_not)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        # The mode must hold from the first moment: nobody may connect between bind and chmod.
        before = os.umask(0o777 & ~SOCKET_MODE)
        try:
            listening.bind(str(path))
        finally:
            os.umask(before)
        if group is not None:
            _open_to(path, group)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise AdminSocketUnusable(f"admin socket {path}: {error.strerror or error}") from error
    return trio.SocketListener(trio.socket.from_stdlib_socket(listening))


def _open_to(path: Path, group: int) -> None:
    """Let the members of a group in. Raises OSError."""
    os.chown(path, -1, group)
    path.chmod(GROUP_SOCKET_MODE)
    folder = path.parent.stat()
    by_group = folder.st_gid == group and folder.st_mode & stat.S_IXGRP
    if not (by_group or folder.st_mode & stat.S_IXOTH):
        _log.warning("members of admin_group cannot get into %s, where the admin socket is", path.parent)


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on. Raises OSError (address in use) when somebody does."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, "another process listens on it")
