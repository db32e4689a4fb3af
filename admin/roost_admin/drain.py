"""`roost drain`: let the running broker come to its end."""

import os
import select
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from roost_admin.options import asks_broker

if TYPE_CHECKING:
    from roost_admin.api import AdminApi

_CREDENTIALS = struct.Struct("iII")
"""Linux, unix(7): struct ucred."""


@click.command("drain")
@click.option("--wait", is_flag=True, help="Wait until the broker's process is gone.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0), default=60.0, show_default=True, metavar="S",
    help="With --wait: how long; past it the exit status is 75.",
)  # fmt: skip
@asks_broker
def drain(api: "AdminApi", wait: bool, timeout_s: float, as_json: bool) -> None:
    """Drain the broker and let it end, as SIGTERM does.

    It accepts no more, finishes what is under way, tells every device to come back later, and exits with 0.

    \b
    Example:
        roost drain --wait && roost compact
    """
    from roost_admin.endpoints import UnixEndpoint
    from roost_admin.failures import EX_TEMPFAIL, Failure, say
    from roost_admin.output import counted, show_document
    from roost_protocol.admin.drain import DRAIN, Drain

    process_fd = _process_behind(api.endpoint.path) if wait and isinstance(api.endpoint, UnixEndpoint) else None
    try:
        draining = api.ask(DRAIN, body=Drain())
        ended = wait and _wait_end(api, process_fd, timeout_s)
    finally:
        if process_fd is not None:
            os.close(process_fd)
    if as_json:
        document = {"sessions": draining.sessions, "connections": draining.connections, "grace_s": draining.grace_s}
        show_document({**document, "ended": ended})
    else:
        told = counted(draining.sessions, "session is", "sessions are")
        say(f"the broker drains: {told} told; it takes {draining.grace_s:g} s at the most")
    if wait and not ended:
        raise Failure(f"the broker has not ended within {timeout_s:g} s", EX_TEMPFAIL)


def _process_behind(path: Path) -> int | None:
    """A descriptor of the process at the other end of the socket, readable when it ends; None if it is not to be had.

    By what the kernel says of the peer, so that no other process can be meant, whatever its number.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer, suppress(OSError):
        peer.connect(str(path))
        pid, _, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        return os.pidfd_open(pid) if pid > 0 else None  # 0: it is in a namespace that we do not see
    return None


def _wait_end(api: "AdminApi", process_fd: int | None, timeout_s: float) -> bool:
    """Wait for the end of the process, or of whatever answers on the socket; whether it came in time."""
    if process_fd is not None:
        return bool(select.select([process_fd], [], [], timeout_s)[0])
    return _wait_no_answer(api, timeout_s)


def _wait_no_answer(api: "AdminApi", timeout_s: float) -> bool:
    import time

    from roost_admin.failures import EX_UNAVAILABLE, Failure
    from roost_protocol.admin.status import STATUS

    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        try:
            api.ask(STATUS)
        except Failure as failure:
            if failure.exit_code == EX_UNAVAILABLE:
                return True
        time.sleep(ASK_EVERY_S)
    return False


ASK_EVERY_S = 0.1
"""From one look whether the broker is still there to the next, where there is nothing to wait on."""
