"""Text on a terminal: what may be shown as it is, and how many cells it takes.

Names and bodies are written by others. A control character in one of them could move the cursor, change the title or
answer in the user's name, and a line break could forge a line of a log: none of them is ever shown raw.
"""

import unicodedata

_ZERO_WIDTH_JOINER = "\u200d"
"""Shows nothing, moves nothing, and holds most emoji together: the one format character that is let through."""


def printable(text: str) -> str:
    r"""`text` in one line, with everything that does not simply show itself as an escape: `\x1b`, `\n`, `\u202e`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == _ZERO_WIDTH_JOINER else _escaped(char) for char in text)


def printable_lines(text: str) -> list[str]:
    """The lines of `text`, each of them `printable`; at least one. Tabs become spaces."""
    return [printable(line.replace("\t", "    ")) for line in text.replace("\r\n", "\n").split("\n")]


def cell_width(text: str) -> int:
    """How many cells of a terminal `text`, which is printable, takes: wide letters two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(map(char_width, text))


def char_width(char: str) -> int:
    """Cells that one character takes (Unicode Standard Annex 11: W and F are wide)."""
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def fitted(text: str, width: int) -> str:
    """As much of the beginning of `text` as fits in `width` cells."""
    while cell_width(text) > width:
        text = text[:-1]
    return text


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
