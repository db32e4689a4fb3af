"""Tables where the width is given: which columns stand there, how wide, and in which lines their cells go.

Numbers and times are never cut. Where all of it does not fit, in this order: prose goes on in lines of its own; names
are cut at their end, the longest first, down to `NAME_CELLS_MIN`, and `…` says so; columns that are marked to be
spared are left out, and the caller says which; and at last names are cut down to `CELLS_MIN`.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from roost_admin.cells import cell_width, fitted

GAP_CELLS = 2
"""Between two columns."""

NAME_CELLS_MIN = 16
"""Of a name so much is shown, if need be at the cost of columns that can be spared: `phone-5f2c…` can be told apart."""

CELLS_MIN = 4
"""Cells that a name has at least, however narrow it is."""

PROSE_CELLS_MIN = 24
"""Prose in a column that is narrower is no pleasure."""

CUT = "…"


class Column(NamedTuple):
    """A column of a table; numbers stand on the right."""

    title: str
    right: bool = False
    whole: bool = False
    """Never cut, as a time is. So is what stands on the right."""
    prose: bool = False
    """Goes on in lines of its own."""
    spare: int = 0
    """What is left out where there is no room for all: 1 first, then 2; 0: never."""


class Layout(NamedTuple):
    """The columns that are shown, by their place, and the cells of each."""

    shown: tuple[int, ...]
    widths: tuple[int, ...]
    exact: bool = False
    """Nothing may stand out of its column."""

    def lines(self, columns: Sequence[Column], row: Sequence[str]) -> Iterator[str]:
        """The lines of a row, without spaces at their ends."""
        cells = []
        for at, width in zip(self.shown, self.widths, strict=True):
            cells.append(self._cell(columns[at], row[at], width))
        for parts in zip_longest(*cells, fillvalue=""):
            padded = []
            for at, width, part in zip(self.shown, self.widths, parts, strict=True):
                space = " " * (width - cell_width(part))
                padded.append(space + part if columns[at].right else part + space)
            yield (" " * GAP_CELLS).join(padded).rstrip()

    def _cell(self, column: Column, text: str, width: int) -> list[str]:
        if not self.exact:
            return [text]
        return wrapped(text, width) if column.prose else [cut(text, width)]

    def left_out(self, columns: Sequence[Column]) -> list[str]:
        """The titles of the columns that are not shown."""
        return [column.title for at, column in enumerate(columns) if at not in self.shown]


def natural(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Layout:
    """Every column, as wide as its widest cell and its title."""
    lines = [[column.title for column in columns], *rows]
    widths = tuple(max(cell_width(line[at]) for line in lines) for at in range(len(columns)))
    return Layout(tuple(range(len(columns))), widths)


def layout(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> Layout:
    """The best layout for so many cells. Where nothing helps, it is wider."""
    found = whole = natural(columns, rows)
    for found in _tried(columns, whole, width):
        if total(found.widths) <= width:
            break
    return found


def _tried(columns: Sequence[Column], whole: Layout, width: int) -> Iterator[Layout]:
    """What is tried, from the best to what is left at last."""
    by_spare = sorted((at for at in whole.shown if columns[at].spare), key=lambda at: columns[at].spare)
    for going in range(len(by_spare) + 1):
        staying = tuple(at for at in whole.shown if at not in by_spare[:going])
        least = NAME_CELLS_MIN if going < len(by_spare) else CELLS_MIN
        cells = shrunk([columns[at] for at in staying], [whole.widths[at] for at in staying], width, least)
        yield Layout(staying, tuple(cells), exact=True)


def shrunk(columns: Sequence[Column], widths: Sequence[int], width: int, least: int) -> list[int]:
    """`widths`, with less for prose and for the widest names, so that the sum is `width` if that can be."""
    cells = list(widths)
    for at, column in enumerate(columns):
        if column.prose:
            over = max(0, total(cells) - width)
            cells[at] = max(min(cells[at], PROSE_CELLS_MIN), cells[at] - over)
    names = [at for at, column in enumerate(columns) if not (column.right or column.whole or column.prose)]
    while total(cells) > width:
        widest = max(names, key=lambda at: cells[at], default=None)
        if widest is None or cells[widest] <= least:
            break
        cells[widest] -= 1
    return cells


def total(widths: Sequence[int]) -> int:
    """Cells of a line."""
    return sum(widths) + GAP_CELLS * (len(widths) - 1)


def cut(text: str, width: int) -> str:
    """`text`, or as much of its beginning as fits, with `…` in place of the rest."""
    return text if cell_width(text) <= width else fitted(text, width - 1) + CUT


def wrapped(text: str, width: int) -> list[str]:
    """The lines of `text`, none wider than `width`: broken between words, or else within one."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if cell_width(longer) <= width:
            lines[-1] = longer
            continue
        if not lines[-1]:
            lines.pop()
        lines += _pieces(word, width)
    return lines


def _pieces(word: str, width: int) -> Iterator[str]:
    left = word
    while cell_width(left) > width:
        piece = fitted(left, width) or left[0]
        yield piece
        left = left[len(piece) :]
    yield left
