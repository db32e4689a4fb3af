"""What commands print: one JSON document, or a table. Data goes to stdout, everything said to a person to stderr."""

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

import click

from roost_admin.cells import cell_width, printable
from roost_admin.columns import GAP_CELLS, Column, layout, natural
from roost_admin.failures import say

if TYPE_CHECKING:
    from msgspec import Struct

FIRST_ROWS = 1_000
"""Rows of a listing that are looked at for how wide its columns are: what a broker gives at once."""

R = TypeVar("R")


def show_document(document: "Struct | dict[str, object]") -> None:
    """Print one JSON document on stdout."""
    click.echo(_json(document, indent=2))


def show_line(document: "Struct") -> None:
    """Print one JSON document on stdout in one line: of a stream."""
    click.echo(_json(document))


def show_rows(name: str, rows: "Iterable[Struct]") -> None:
    """Print one JSON document on stdout that holds `rows` under `name`, each as it comes."""
    before = f'{{\n  "{name}": ['
    for row in rows:
        document = _json(row, indent=2)
        click.echo(before + "\n    " + document.replace("\n", "\n    "), nl=False)
        before = ","
    click.echo((before if before != "," else "\n  ") + "]\n}")


def _json(document: "Struct | dict[str, object]", indent: int = -1) -> str:
    import msgspec

    from roost_protocol.one_line import plain_json

    return plain_json(msgspec.json.format(msgspec.json.encode(document), indent=indent))


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
    """Print rows as a table; say `when_empty` if there are none.

    On a terminal it fits the width, and what was left out for that is said. On a pipe it is whole. A long table is
    aligned everywhere, by its first rows, and printed as they come.
    """
    shown = ([printable(cell) for cell in row] for row in rows)
    first = list(islice(shown, FIRST_ROWS))
    if not first:
        say(when_empty)
        return
    on_terminal = sys.stdout.isatty()
    laid = layout(columns, first, shutil.get_terminal_size().columns) if on_terminal else natural(columns, first)
    for line in laid.lines(columns, [column.title for column in columns]):
        click.secho(line, bold=on_terminal)
    for row in chain(first, shown):
        for line in laid.lines(columns, row):
            click.echo(line)
    if left_out := laid.left_out(columns):
        say(f"too narrow for {', '.join(left_out)}: widen the window, or use --json")


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
