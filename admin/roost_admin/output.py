"""What commands print: one JSON document, or a table. Data goes to stdout, everything said to a person to stderr."""

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import click

from roost_admin.cells import cell_width, printable
from roost_admin.failures import say

if TYPE_CHECKING:
    from msgspec import Struct

GAP_CELLS = 2
"""Between two columns."""


class Column(NamedTuple):
    """A column of a table; numbers stand on the right."""

    title: str
    right: bool = False


def show_document(document: "Struct | dict[str, object]") -> None:
    """Print one JSON document on stdout."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def show_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], when_empty: str) -> None:
    """Print rows as a table: drawn on a terminal, aligned text on a pipe; say `when_empty` if there are none."""
    if not rows:
        say(when_empty)
        return
    shown = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _draw(columns, shown)
    else:
        _align(columns, shown)


def local_time(time_ms: int) -> str:
    """Unix time in ms as the time of day here, with the date."""
    return datetime.fromtimestamp(time_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def exact_time(time_ms: int) -> str:
    """Unix time in ms as the time of day here, to the millisecond, with the date."""
    return datetime.fromtimestamp(time_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def clock_time(time_ms: int) -> str:
    """Unix time in ms as the time of day here."""
    return datetime.fromtimestamp(time_ms / 1000).astimezone().strftime("%H:%M:%S")


def byte_size(size: int) -> str:
    """Bytes in the largest binary unit that leaves at least 1 of it."""
    amount, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def _draw(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, GAP_CELLS, 0, 0))
    for column in columns:
        table.add_column(column.title, justify="right" if column.right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def _align(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    lines = [[column.title for column in columns], *rows]
    widths = [max(cell_width(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        cells = []
        for column, cell, width in zip(columns, line, widths, strict=True):
            space = " " * (width - cell_width(cell))
            cells.append(space + cell if column.right else cell + space)
        click.echo((" " * GAP_CELLS).join(cells).rstrip())
