"""Saying that the broker is ready: to systemd (sd_notify(3), by hand), and to whoever started it."""

import json
import os
import socket
from collections.abc import Sequence
from pathlib import Path


def notify_systemd(state: str) -> None:
    """Send `READY=1`, `STOPPING=1` and the like to the service manager, if there is one. Never fails the broker."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        try:
            manager.connect("\0" + path[1:] if path.startswith("@") else path)  # @: the abstract namespace
            manager.sendall(state.encode())
        except OSError:
            pass  # the manager went away: it will see for itself what becomes of this process


def tell_ready(
    ready_fd: int, listeners: Sequence[str], admin_socket: Path, admin_address: str = "", web_address: str = ""
) -> None:
    """Write one JSON line with the addresses to `ready_fd`, and close it. Raises OSError."""
    told = {
        "listeners": list(listeners),
        "admin_socket": str(admin_socket.absolute()),
        "admin_address": admin_address,
        "web_address": web_address,
    }
    line = json.dumps(told) + "\n"
    with open(ready_fd, "w", encoding="utf-8") as ready:
        ready.write(line)
