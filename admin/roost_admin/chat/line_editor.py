"""The line being typed: keys in, a line out. Pure, so that what a key does can be tested without a terminal.

Only what shows itself gets into the line; a control character is a key or nothing. The line is shown on one row and
scrolls sideways, so that whatever is printed above it never has to know how many rows it takes.
"""

from typing import NamedTuple

from roost_admin.cells import char_width, printable

HISTORY_MAX = 100
"""Lines that the arrow keys bring back."""

SEQUENCE_CHARS_MAX = 16
"""Characters of an escape sequence; a longer one is no key of any keyboard, and is dropped."""

_ESCAPE = "\x1b"
_SEQUENCES = {
    "[A": "up", "OA": "up", "[B": "down", "OB": "down", "[C": "right", "OC": "right", "[D": "left", "OD": "left",
    "[H": "home", "OH": "home", "[1~": "home", "[7~": "home", "[F": "end", "OF": "end", "[4~": "end", "[8~": "end",
    "[3~": "delete",
}  # fmt: skip
_KEYS = {
    "\r": "enter", "\n": "enter", "\x7f": "backspace", "\x08": "backspace", "\x01": "home", "\x05": "end",
    "\x02": "left", "\x06": "right", "\x10": "up", "\x0e": "down", "\x0b": "kill_right", "\x15": "kill_left",
    "\x17": "kill_word", "\x04": "end_of_file",
}  # fmt: skip


class Shown(NamedTuple):
    """The part of the line that fits, and the cell in it that the cursor is on."""

    text: str
    cursor: int


class LineEditor:
    """One line with a cursor, and the lines before it."""

    def __init__(self) -> None:
        self._left: list[str] = []
        self._right: list[str] = []  # after the cursor, the nearest last
        self._escape: str | None = None
        self._history: list[str] = []
        self._back = 0
        self._draft = ""
        self.left = False
        """Whether the end of the conversation was asked for, with Ctrl-D on an empty line."""

    @property
    def text(self) -> str:
        """What is typed so far."""
        return "".join(self._left) + "".join(reversed(self._right))

    def feed(self, typed: str) -> list[str]:
        """Take in what was typed; the lines that were finished with it."""
        lines: list[str] = []
        for char in typed:
            if self._escape is not None:
                self._in_sequence(char)
            elif char == _ESCAPE:
                self._escape = ""
            elif char in _KEYS:
                self._press(_KEYS[char], lines)
            elif printable(char) == char:
                self._left.append(char)
        return lines

    def shown(self, width: int) -> Shown:
        """What to show in `width` cells, so that the cursor is among them."""
        first = len(self._left)
        before = 0
        while first and before + char_width(self._left[first - 1]) < width:
            first -= 1
            before += char_width(self._left[first])
        text, cells = "".join(self._left[first:]), before
        for char in reversed(self._right):
            cells += char_width(char)
            if cells >= width:
                break
            text += char
        return Shown(text, before)

    def _in_sequence(self, char: str) -> None:
        assert self._escape is not None  # noqa: S101 - only called in one
        sequence = self._escape + char
        begins = sequence in ("[", "O")
        if char == _ESCAPE:
            self._escape = ""
        elif begins or (sequence[0] == "[" and not "@" <= char <= "~" and len(sequence) < SEQUENCE_CHARS_MAX):
            self._escape = sequence
        else:
            self._escape = None
            if sequence in _SEQUENCES:
                self._press(_SEQUENCES[sequence], [])

    def _press(self, key: str, lines: list[str]) -> None:  # noqa: PLR0912 - one branch for each key
        left, right = self._left, self._right
        match key:
            case "enter":
                lines.append(self._taken())
            case "backspace" if left:
                left.pop()
            case "delete" if right:
                right.pop()
            case "left" if left:
                right.append(left.pop())
            case "right" if right:
                left.append(right.pop())
            case "home":
                right += reversed(left)
                left.clear()
            case "end":
                left += reversed(right)
                right.clear()
            case "kill_right":
                right.clear()
            case "kill_left":
                left.clear()
            case "kill_word":
                self._kill_word()
            case "up":
                self._recall(self._back + 1)
            case "down":
                self._recall(self._back - 1)
            case "end_of_file":
                if right:
                    right.pop()
                elif not left:
                    self.left = True
            case _:
                pass  # a key that has nothing to do here

    def _taken(self) -> str:
        line = self.text
        if line and line not in self._history[-1:]:
            self._history = [*self._history, line][-HISTORY_MAX:]
        self._replace("")
        self._back = 0
        return line

    def _replace(self, text: str) -> None:
        self._left, self._right = list(text), []

    def _recall(self, back: int) -> None:
        """Show the line so many before this one; 0 is what was being typed."""
        if not 0 <= back <= len(self._history) or back == self._back:
            return
        if self._back == 0:
            self._draft = self.text
        self._back = back
        self._replace(self._history[-back] if back else self._draft)

    def _kill_word(self) -> None:
        while self._left and self._left[-1] == " ":
            self._left.pop()
        while self._left and self._left[-1] != " ":
            self._left.pop()
