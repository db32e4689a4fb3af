"""A broker to measure: a real process on a fresh folder, with accounts."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

START_S = 30
PASSWORD = "benchmark"  # noqa: S105 - of accounts that live for one run

CONFIG = """
[passwords]
# The cost of a password is not what is measured here.
memory_kib = 64
passes = 1
"""


class RunningBroker(NamedTuple):
    """Where it listens, and its process."""

    address: tuple[str, int]
    pid: int
    admin: Path


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=START_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self._path))


def ask(admin: Path, method: str, path: str, body: object = None) -> dict[str, object]:
    """One request to the admin API. Raises RuntimeError for anything but success."""
    connection = _UnixConnection(admin)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"content-type": "application/json"})
        response = connection.getresponse()
        answer: dict[str, object] = json.loads(response.read())
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise RuntimeError(f"{method} {path}: {answer}")
    return answer


@contextmanager
def running(folder: Path | None = None) -> Iterator[RunningBroker]:
    """Start a broker on a fresh folder under `folder` (default: that for temporary files); stop it at the end."""
    with tempfile.TemporaryDirectory(prefix="roost-bench-", dir=folder) as name:
        data = Path(name)
        config = data / "roost.toml"
        config.write_text(CONFIG)
        command = [sys.executable, "-m", "roost_admin.main", "serve", "--data", name, "--config", str(config)]
        command += ["--listen", "127.0.0.1:0", "--log-level", "WARNING"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            admin = data / "admin.sock"
            listener = _wait_ready(process, admin)
            host, _, port = listener.rpartition(":")
            yield RunningBroker((host, int(port)), process.pid, admin)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(START_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_ready(process: subprocess.Popen[bytes], admin: Path) -> str:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the broker ended with status {process.returncode}")
        try:
            listeners = ask(admin, "GET", "/v1/status")["listeners"]
        except OSError:
            time.sleep(0.05)
            continue
        if isinstance(listeners, list):
            return str(listeners[0])
    raise RuntimeError(f"the broker was not ready within {START_S} s")


def create_users(broker: RunningBroker, names: list[str]) -> None:
    """Accounts, all with the same password."""
    for name in names:
        ask(broker.admin, "POST", "/v1/users", {"name": name, "password": PASSWORD})
