"""The port between the suite and a broker: how it is started on a fresh folder with accounts, and stopped."""

import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol

from roost_benchmarks import machine
from roost_benchmarks.target import Target

PASSWORD: Final = "benchmark"  # noqa: S105 - of accounts that live for one run
START_S: Final = 30.0
STOP_S: Final = 30.0
LOOK_EVERY_S: Final = 0.05
FILES: Final = 65_536
"""File descriptors that a broker may have, as far as the machine allows it."""


class Broker(Protocol):
    """A kind of broker that can be started here."""

    name: str

    def start(self, folder: Path, users: Sequence[str]) -> AbstractContextManager[Target]:
        """Start it in a fresh folder, with these accounts, all with PASSWORD; it is stopped at the end.

        Raises RuntimeError when it does not come up, OSError when it cannot be started.
        """
        ...


def allow_files() -> None:
    """Raise the bound on file descriptors that a broker inherits which is started now."""
    machine.allow_files(FILES)


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(ready: Callable[[], bool], process: "subprocess.Popen[bytes]", what: str) -> None:
    """Wait until a broker is ready. Raises RuntimeError when it ends or takes longer than START_S."""
    end = time.monotonic() + START_S
    while not ready():
        if process.poll() is not None:
            raise RuntimeError(f"{what} ended with status {process.returncode}")
        if time.monotonic() > end:
            raise RuntimeError(f"{what} was not ready within {START_S:g} s")
        time.sleep(LOOK_EVERY_S)


def listens(port: int) -> bool:
    """Whether somebody accepts connections on this port of the loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask a process to end, and end it if it does not."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
