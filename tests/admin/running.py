"""Real processes for tests: a broker, and chats on pipes or on a terminal."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from click.testing import CliRunner, Result

from roost_admin.api import AdminApi
from roost_admin.main import root
from roost_protocol.admin.users import USERS_CREATE, UserCreate

WAIT_S = 30.0
"""Far more than anything takes, even on a busy machine."""

PASSWORD = "correct horse"

CHEAP = """
[passwords]
memory_kib = 64
passes = 1
"""
"""The cost of a password is not what these tests are about."""

COMMAND = (sys.executable, "-m", "roost_admin.main")

ON_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
"""Make standard input the terminal that signals of keys come from, and become the command."""


def command(*args: str, env: dict[str, str] | None = None, input_: str | None = None) -> Result:
    """Run a command in this process, as a shell would: no terminal, nothing of ours in the environment."""
    clean = {"ROOST_DATA": None, "ROOST_SOCKET": None, "ROOST_CONTEXT": None, "NOTIFY_SOCKET": None}
    return CliRunner().invoke(root, args, env={**clean, **(env or {})}, input=input_)


@contextmanager
def password_fd(password: str = PASSWORD) -> Iterator[int]:
    """A file descriptor to read the password from."""
    reading, writing = os.pipe()
    try:
        os.write(writing, password.encode() + b"\n")
        os.close(writing)
        yield reading
    finally:
        os.close(reading)


def environment(home: Path) -> dict[str, str]:
    """What processes of a test see: a home of their own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ROOST_", "NOTIFY_", "XDG_"))}
    return {**kept, "XDG_STATE_HOME": str(home / "state"), "PYTHONUNBUFFERED": "1"}


class RunningBroker:
    """`roost serve` in a process, on a free port."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        listen: str = "127.0.0.1:0",
        config: str = CHEAP,
        command: tuple[str, ...] = COMMAND,
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "broker.log"
        (folder / "roost.toml").write_text(config)
        reading, writing = os.pipe()
        args = ["serve", "--data", str(self.data), "--config", str(folder / "roost.toml"), "--listen", listen]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *args, "--ready-fd", str(writing), *options],
                pass_fds=(writing,), stdout=subprocess.PIPE, stderr=log, env=environment(folder), text=True,
            )  # fmt: skip
        os.close(writing)
        with os.fdopen(reading) as ready:
            if not select.select([ready], [], [], WAIT_S)[0]:
                raise AssertionError("the broker is not ready")
            line = ready.readline()
        if not line:
            with self:
                self.process.wait(WAIT_S)
            raise AssertionError(f"the broker did not start: {self.log.read_text()}")
        said = json.loads(line)
        self.address: str = said["listeners"][0]
        self.socket = Path(said["admin_socket"])
        self.admin_address: str = said["admin_address"]
        """Where admins with a token come in, if the configuration says so."""
        self.web_address: str = said["web_address"]
        """Where browsers find it, likewise."""
        self.api = AdminApi(self.socket)

    def create_users(self, *names: str) -> None:
        """Accounts, all with the same password."""
        for name in names:
            self.api.ask(USERS_CREATE, body=UserCreate(name=name, password=PASSWORD))

    def ask(self, *args: str) -> Result:
        """A command that talks to this broker."""
        return command("--socket", str(self.socket), *args)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(WAIT_S)
        if self.process.stdout is not None:
            self.process.stdout.close()


class Chat:
    """`roost chat` (or another command) in a process: on pipes, or on a terminal of its own."""

    def __init__(
        self,
        folder: Path,
        *args: str,
        verb: str = "chat",
        terminal: bool = False,
        password: str | None = PASSWORD,
        **variables: str,
    ) -> None:
        self._seen = ""
        passwords, given = os.pipe()
        os.write(given, (password or "").encode() + b"\n")
        os.close(given)
        args = (verb, *args)
        if password is not None:
            args += ("--password-fd", str(passwords))
        env = {**environment(folder), **variables}
        if terminal:
            self._out, theirs = pty.openpty()
            self._in = self._out
            self.process = subprocess.Popen(
                [sys.executable, "-c", ON_TERMINAL, *COMMAND, *args], stdin=theirs, stdout=theirs, stderr=theirs,
                pass_fds=(passwords,), env=env, start_new_session=True,
            )  # fmt: skip
            os.close(theirs)
        else:
            their_in, self._in = os.pipe()
            self._out, their_out = os.pipe()
            self.process = subprocess.Popen(
                [*COMMAND, *args], stdin=their_in, stdout=their_out, stderr=their_out, pass_fds=(passwords,), env=env
            )
            os.close(their_in)
            os.close(their_out)
        os.close(passwords)

    def type(self, text: str) -> None:
        """Enter something."""
        os.write(self._in, text.encode())

    def expect(self, pattern: str) -> str:
        """Wait for output that matches, and take it out; all of it up to the end of the match."""
        end = time.monotonic() + WAIT_S
        while not (found := re.search(pattern, self._seen)):
            left = end - time.monotonic()
            more = self._read(left) if left > 0 else ""
            if not more:
                raise AssertionError(f"waited in vain for {pattern!r}; there is {self._seen!r}")
            self._seen += more
        taken, self._seen = self._seen[: found.end()], self._seen[found.end() :]
        return taken

    def rest(self) -> str:
        """Everything until the process ends."""
        while more := self._read(WAIT_S):
            self._seen += more
        taken, self._seen = self._seen, ""
        return taken

    def close_input(self) -> None:
        """There is no more to read for it. On pipes only."""
        os.close(self._in)
        self._in = -1

    def close_output(self) -> None:
        """Nobody reads what it says any more. On pipes only."""
        os.close(self._out)
        self._out = -1

    def _read(self, timeout_s: float) -> str:
        if not select.select([self._out], [], [], timeout_s)[0]:
            return ""
        try:
            return os.read(self._out, 65_536).decode(errors="replace")
        except OSError:
            return ""  # the other end of a terminal is closed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WAIT_S)
        for fd in {self._in, self._out} - {-1}:
            os.close(fd)
