"""What commands print: one JSON document, or a table. Data goes to stdout, everything said to a person to stderr."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import click

from roost_admin.cells import cell_width, printable
from roost_admin.failures import say

if TYPE_CHECKING:
    from msgspec import Struct

GAP_CELLS = 2
"""Between two columns."""


FIRST_ROWS = 1_000
"""Rows of a listing that are looked at for how wide its columns are: what a broker gives at once."""

R = TypeVar("R")


class Column(NamedTuple):
    """A column of a table; numbers stand on the right."""

    title: str
    right: bool = False


def show_document(document: "Struct | dict[str, object]") -> None:
    """Print one JSON document on stdout."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def show_line(document: "Struct") -> None:
    """Print one JSON document on stdout in one line: of a stream."""
    import msgspec

    click.echo(msgspec.json.encode(document).decode())


def show_rows(name: str, rows: "Iterable[Struct]") -> None:
    """Print one JSON document on stdout that holds `rows` under `name`, each as it comes."""
    import msgspec

    before = f'{{\n  "{name}": ['
    for row in rows:
        document = msgspec.json.format(msgspec.json.encode(row), indent=2).decode()
        click.echo(before + "\n    " + document.replace("\n", "\n    "), nl=False)
        before = ","
    click.echo((before if before != "," else "\n  ") + "]\n}")


def show_listing(
    name: str,
    rows: "Iterable[R]",
    columns: Sequence[Column],
    cells: Callable[[R], Sequence[str]],
    when_empty: str,
    *,
    as_json: bool,
) -> None:
    """Print rows as they come: a JSON document that holds them under `name`, or a table."""
    if as_json:
        show_rows(name, rows)  # type: ignore[arg-type]  # what has cells is a struct of the admin API
    else:
        show_table(columns, map(cells, rows), when_empty)


def show_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], when_empty: str) -> None:
    """Print rows as a table: drawn on a terminal, aligned text on a pipe; say `when_empty` if there are none.

    A long table is aligned everywhere, by its first rows, and printed as they come.
    """
    shown = ([printable(cell) for cell in row] for row in rows)
    first = list(islice(shown, FIRST_ROWS))
    if not first:
        say(when_empty)
    elif len(first) < FIRST_ROWS and sys.stdout.isatty():
        _draw(columns, first)
    else:
        _align(columns, first, shown)


def show_facts(facts: Mapping[str, str]) -> None:
    """Print what there is to say about one thing: a name and a value on each line."""
    width = max(map(cell_width, facts))
    for name, value in facts.items():
        click.echo(f"{name}{' ' * (width - cell_width(name) + GAP_CELLS)}{printable(value)}".rstrip())


def local_time(time_ms: int) -> str:
    """Unix time in ms as the time of day here, with the date."""
    return datetime.fromtimestamp(time_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def exact_time(time_ms: int) -> str:
    """Unix time in ms as the time of day here, to the millisecond, with the date."""
    return datetime.fromtimestamp(time_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def clock_time(time_ms: int) -> str:
    """Unix time in ms as the time of day here."""
    return datetime.fromtimestamp(time_ms / 1000).astimezone().strftime("%H:%M:%S")


def time_span(milliseconds: int) -> str:
    """A length of time in the two largest units that fit: `3 d 4 h`, `12 s`."""
    seconds = max(0, milliseconds) // 1000
    parts: list[str] = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if seconds >= length or (unit == "s" and not parts):
            parts.append(f"{seconds // length} {unit}")
            seconds %= length
        elif parts:
            break
    return " ".join(parts[:2])


def counted(number: int, one: str, many: str) -> str:
    """So many of something: `1 entry`, `2 entries`."""
    return f"{number} {one if number == 1 else many}"


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


def _align(columns: Sequence[Column], first: Sequence[Sequence[str]], others: Iterable[Sequence[str]]) -> None:
    """Print `first`, as wide as its widest cells and the titles, and the others in the same columns."""
    lines = [[column.title for column in columns], *first]
    widths = [max(cell_width(line[index]) for line in lines) for index in range(len(columns))]
    for line in chain(lines, others):
        cells = []
        for column, cell, width in zip(columns, line, widths, strict=True):
            space = " " * (width - cell_width(cell))
            cells.append(space + cell if column.right else cell + space)
        click.echo((" " * GAP_CELLS).join(cells).rstrip())
