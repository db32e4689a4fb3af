"""A command line run as a person would: in a shell, on pipes or on a terminal; and what is left of the terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from admin.running import ON_TERMINAL, WAIT_S

WIDTH, HEIGHT = 100, 50

_LINE_ANEW = re.compile(r"[^\n]*\r\x1b\[K")
"""A line that was cleared and begun again: progress."""
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z]|\r(?!\n)")
_HOME = "\x1b[H"
_ALTERNATE, _NORMAL = "\x1b[?1049h", "\x1b[?1049l"
_HIDDEN, _SHOWN = "\x1b[?25l", "\x1b[?25h"


def run(line: str, folder: Path, env: Mapping[str, str]) -> tuple[int, str]:
    """Run a line on pipes; its exit status, and what it said on either of them."""
    done = subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", line], cwd=folder, env=dict(env), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=4 * WAIT_S, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


class OnTerminal:
    """A line that runs on a terminal of its own."""

    def __init__(self, line: str, folder: Path, env: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
        self._modes = termios.tcgetattr(self._ours)
        self._theirs = theirs
        """Kept open, so that the modes can be looked at when the command has ended."""
        self._raw = ""
        self._process = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, "/bin/bash", "-c", f"exec {line}"], cwd=folder,
            env={**env, "TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        )  # fmt: skip

    @property
    def text(self) -> str:
        """What it has said so far, without what moves the cursor and colours."""
        return _CONTROL.sub("", _LINE_ANEW.sub("", self._raw.replace(_HOME, "\r\n"))).replace("\r\n", "\n")

    def answer(self, answers: Sequence[str]) -> None:
        """Type an answer to each question, which ends with a colon."""
        for number, answer in enumerate(answers, 1):
            self.wait(lambda text, number=number: text.count(": ") >= number)  # type: ignore[misc]
            self.type(answer + "\n")

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._ours, text.encode())

    def wait(self, enough: Callable[[str], bool], most_s: float = WAIT_S) -> bool:
        """Wait until what it has said is enough; whether it was, in the time there is."""
        end = time.monotonic() + most_s
        while not enough(self.text):
            left = end - time.monotonic()
            if left <= 0 or not self._read(left):
                return enough(self.text)
        return True

    def end(self, key: str = "") -> int:
        """Press a key, and wait for the end; the exit status. The terminal has to be left clean."""
        self.type(key)
        end = time.monotonic() + WAIT_S
        while self._process.poll() is None:
            assert time.monotonic() < end, f"it does not end; it has said {self.text!r}"
            self._read(0.05)
        while self._read(0):
            pass
        assert termios.tcgetattr(self._ours) == self._modes, "the terminal's modes are not what they were"
        assert self._raw.count(_ALTERNATE) == self._raw.count(_NORMAL), "the screen is not put back"
        assert self._raw.rfind(_HIDDEN) <= self._raw.rfind(_SHOWN), "the cursor is still hidden"
        return self._process.returncode

    def close(self) -> None:
        """End whatever is left."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(WAIT_S)
        os.close(self._ours)
        os.close(self._theirs)

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self._ours], [], [], timeout_s)[0]:
            return False
        self._raw += os.read(self._ours, 65_536).decode(errors="replace")
        return True
