"""Where a chat is read and typed: a terminal with the typed line kept at the bottom, or a pipe, line by line.

Standard input stays a blocking descriptor (others share it: the shell, standard output on the same terminal), so it is
read when it is readable, and never set to non-blocking.
"""

import codecs
import os
import shutil
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol, Self

import trio

from roost_admin.cells import cell_width, fitted
from roost_admin.chat.line_editor import LineEditor

READ_BYTES = 4096
"""One read of what was typed or piped."""

LINE_CHARS_MAX = 200_000
"""Characters of a piped line that has no end yet, past which it is cut: more than any message may have."""

TYPING_CELLS_MIN = 10
"""Cells that the typed line has at least; the prompt gives way."""


class Screen(Protocol):
    """Shows lines, and gives those that were entered."""

    def show(self, line: str) -> None:
        """Show a line, which is printable but for colours."""
        ...

    def prompt(self, text: str) -> None:
        """What stands before the typed line."""
        ...

    async def entered(self) -> list[str] | None:
        """Wait for something to be typed; the lines finished with it, None at the end. A checkpoint; safe to cancel."""
        ...

    def again(self) -> None:
        """The process was stopped, or the window changed its size."""
        ...


class PipeScreen:
    """Lines in from standard input, lines out to standard output."""

    def __init__(self, fd: int) -> None:
        self._keyboard = _Keyboard(fd)
        self._rest: str | None = ""

    def show(self, line: str) -> None:
        """See `Screen.show`."""
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def prompt(self, text: str) -> None:
        """See `Screen.prompt`."""

    def again(self) -> None:
        """See `Screen.again`."""

    async def entered(self) -> list[str] | None:
        """See `Screen.entered`."""
        if self._rest is None:
            return None
        text = await self._keyboard.typed()
        if text is None:
            last, self._rest = self._rest, None
            return [last] if last else None
        *lines, rest = (self._rest + text).split("\n")
        if len(rest) > LINE_CHARS_MAX:
            lines, rest = [*lines, rest], ""
        self._rest = rest
        return [line.removesuffix("\r") for line in lines]


class TerminalScreen:
    """The typed line at the bottom, everything else scrolls above it. A context manager: it sets the terminal."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._keyboard = _Keyboard(fd)
        self._editor = LineEditor()
        self._prompt = ""
        self._before: list[Any] | None = None

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._fd)
        self._set_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._write("\r\x1b[K")
        termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before or [])

    def show(self, line: str) -> None:
        """See `Screen.show`."""
        self._write(f"\r\x1b[K{line}\n{self._line()}")

    def prompt(self, text: str) -> None:
        """See `Screen.prompt`."""
        self._prompt = text
        self._write(self._line())

    def again(self) -> None:
        """See `Screen.again`."""
        self._set_up()
        self._write(self._line())

    async def entered(self) -> list[str] | None:
        """See `Screen.entered`."""
        text = None if self._editor.left else await self._keyboard.typed()
        if text is None:
            return None
        lines = self._editor.feed(text)
        self._write(self._line())
        return lines

    def _set_up(self) -> None:
        """Keys one by one and unechoed, but for those that make signals."""
        modes = termios.tcgetattr(self._fd)
        modes[3] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)
        modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._fd, termios.TCSADRAIN, modes)

    def _line(self) -> str:
        """The bottom row: the prompt, what is typed, and the cursor where it belongs."""
        columns = max(2, shutil.get_terminal_size().columns)
        prompt = fitted(self._prompt, max(0, columns - TYPING_CELLS_MIN))
        shown = self._editor.shown(columns - cell_width(prompt))
        right = cell_width(prompt) + shown.cursor
        return f"\r\x1b[K{prompt}{shown.text}\r" + (f"\x1b[{right}C" if right else "")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


@contextmanager
def open_screen() -> Iterator[Screen]:
    """The screen that suits where standard input and output go."""
    fd = sys.stdin.fileno()
    if sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        with TerminalScreen(fd) as screen:
            yield screen
    else:
        yield PipeScreen(fd)


class _Keyboard:
    """Text out of a descriptor, as it comes in."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    async def typed(self) -> str | None:
        """The next piece of text, None at the end. A checkpoint; safe to cancel."""
        try:
            await trio.lowlevel.wait_readable(self._fd)
        except PermissionError:
            await trio.lowlevel.checkpoint()  # a regular file: epoll(7) has no use for those, they are always readable
        try:
            data = os.read(self._fd, READ_BYTES)
        except OSError:
            return None  # the terminal was hung up
        return self._decoder.decode(data) if data else None
