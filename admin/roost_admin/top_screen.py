"""`roost top` on a terminal: drawn over and over on the screen's other page, which is gone when the view ends."""

import os
import select
import signal
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Literal

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table as RichTable
from rich.text import Text

from roost_admin.cells import printable
from roost_admin.columns import CELLS_MIN, GAP_CELLS, natural, shrunk
from roost_admin.top_view import Item, Table, items, tables

if TYPE_CHECKING:
    from roost_protocol.admin.top import Top, TopQuery

WIDE_CELLS = 150
"""From here on two tables stand side by side."""

ROWS_MIN = 2
"""Rows that a table has at least, however low the window is."""

AROUND_TABLE_LINES = 3
"""Title, head, and the empty line below."""

REFRESHES_A_SECOND = 4
"""A window that changes its size is drawn anew so soon."""

_LOCAL_MODES, _SPECIAL_CHARACTERS = 3, 6
"""Places in what `termios.tcgetattr` gives."""


class View:
    """The whole screen, drawn for whatever size the terminal has at the moment."""

    def __init__(self, query: "TopQuery") -> None:
        self._query = query
        self.now: Top | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = console.size
        if self.now is None:
            yield Text(f"roost top: the first view is there in {self._query.interval_s} s; q quits", no_wrap=True)
            return
        head = packed(items(self.now, self._query), width)
        yield from head
        yield Text()
        yield from self._tables(self.now, width, height - len(head) - 1)

    def _tables(self, now: "Top", width: int, lines: int) -> Iterator[RichTable | Text]:
        shown = tables(now, self._query)
        if width < WIDE_CELLS:
            for table, rows in zip(shown, room(shown, lines), strict=True):
                yield drawn(table, rows, width)
            return
        half = (width - GAP_CELLS) // 2
        pairs = [shown[at : at + 2] for at in range(0, len(shown), 2)]
        longer = [max(pair, key=lambda each: len(each.rows)) for pair in pairs]
        for pair, rows in zip(pairs, room(longer, lines), strict=True):
            grid = RichTable.grid(padding=(0, GAP_CELLS, 0, 0))
            for _ in pair:
                grid.add_column(width=half)
            grid.add_row(*(drawn(table, rows, half) for table in pair))
            yield grid


def packed(told: list[Item], width: int) -> list[Text]:
    """The items in as few lines as hold them in their order."""
    lines = [Text(no_wrap=True, overflow="ellipsis")]
    for what, now in told:
        piece = Text.assemble((what, "dim"), " ", (printable(now), "bold"))
        if lines[-1].cell_len and lines[-1].cell_len + 3 + piece.cell_len > width:
            lines.append(Text(no_wrap=True, overflow="ellipsis"))
        if lines[-1].cell_len:
            lines[-1].append("   ")
        lines[-1].append_text(piece)
    return lines


def room(shown: list[Table], lines: int) -> list[int]:
    """How many rows each table may have so that all fit: what one does not need, the others have."""
    wanted = [len(table.rows) for table in shown]
    left = lines - AROUND_TABLE_LINES * len(shown)
    rows = [min(want, ROWS_MIN) for want in wanted]
    while sum(rows) < left and rows != wanted:
        fewest = min((have, at) for at, (have, want) in enumerate(zip(rows, wanted, strict=True)) if have < want)
        rows[fewest[1]] += 1
    return rows


def drawn(table: Table, rows: int, width: int) -> RichTable:
    """A table with at most so many rows; names give way to numbers where it is too narrow."""
    lines = [[printable(cell) for cell in row] for row in table.rows[:rows]]
    whole = RichTable.grid()
    whole.add_column(width=width, no_wrap=True, overflow="ellipsis")
    if not lines:
        whole.add_row(Text.assemble((table.title, "bold underline"), f"  {table.when_empty}"))
        whole.add_row("")
        return whole
    inner = RichTable(box=None, header_style="dim", pad_edge=False, padding=(0, GAP_CELLS, 0, 0))
    widths = shrunk(table.columns, natural(table.columns, lines).widths, width, CELLS_MIN)
    for column, cells in zip(table.columns, widths, strict=True):
        side: Literal["left", "right"] = "right" if column.right else "left"
        inner.add_column(column.title, justify=side, width=cells, no_wrap=True, overflow="ellipsis")
    for line in lines:
        inner.add_row(*map(Text, line))
    whole.add_row(Text(table.title, "bold underline"))
    whole.add_row(inner)
    whole.add_row("")
    return whole


@contextmanager
def screen(query: "TopQuery") -> Iterator[Callable[["Top"], None]]:
    """A screen to show one view after the other on. However it is left, the terminal is as it was before.

    The block ends without a word when q is typed. Raises KeyboardInterrupt for Ctrl-C.
    """
    view = View(query)
    with _ended_by_signals(), _quit_by_key():
        live = Live(view, console=Console(), screen=True, refresh_per_second=REFRESHES_A_SECOND)

        def show(now: "Top") -> None:
            view.now = now
            live.refresh()

        with live:
            yield show


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """A signal that would end the process at once unwinds it instead, so that the terminal is put right."""

    def leave(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _quit_by_key() -> Iterator[None]:
    """Keys are taken one by one and not shown; q ends the block. Nothing happens without a keyboard."""
    if not sys.stdin.isatty():
        yield
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    raw = termios.tcgetattr(fd)
    raw[_LOCAL_MODES] &= ~(termios.ICANON | termios.ECHO)
    # A view that is stopped would leave its page and these modes to the shell.
    raw[_SPECIAL_CHARACTERS][termios.VSUSP] = b"\0"
    reading, ending = os.pipe()
    quitting = threading.Event()
    thread = threading.Thread(target=_watch_keys, args=(fd, reading, quitting), name="keys", daemon=True)
    termios.tcsetattr(fd, termios.TCSADRAIN, raw)
    thread.start()
    try:
        yield
    except KeyboardInterrupt:
        if not quitting.is_set():
            raise
    finally:
        os.close(ending)
        thread.join()
        os.close(reading)
        termios.tcsetattr(fd, termios.TCSAFLUSH, before)


def _watch_keys(keyboard: int, ending: int, quitting: threading.Event) -> None:
    """Set `quitting`, and interrupt the process, when q is typed; until the other end of `ending` is closed."""
    while True:
        readable, _, _ = select.select([keyboard, ending], [], [])
        if ending in readable:
            return
        keys = os.read(keyboard, 64)
        if not keys:  # the terminal is gone
            return
        if b"q" in keys.lower():
            quitting.set()
            os.kill(os.getpid(), signal.SIGINT)
            return
