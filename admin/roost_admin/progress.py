"""How far something is, on a line of its own that is overwritten; only where a person looks at it."""

import shutil
import sys
import time
from typing import Self

import click

from roost_admin.cells import printable
from roost_admin.columns import cut

SAID_EVERY_S = 0.2
"""Shown so often at most: a person reads no faster, and a slow terminal must not hold up what is done."""


class ProgressLine:
    """The line. However the block is left, it is gone then."""

    def __init__(self) -> None:
        self._wanted = sys.stderr.isatty()
        self._due = time.monotonic()
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def show(self, text: str) -> None:
        """Show it, if it is time, and as much as stands in one line."""
        if self._wanted and time.monotonic() >= self._due:
            self._due = time.monotonic() + SAID_EVERY_S
            line = cut(printable(text), shutil.get_terminal_size().columns - 1)
            click.echo(f"\r\x1b[K{line}", nl=False, err=True)
            self._shown = True

    def clear(self) -> None:
        """Make room for other lines."""
        if self._shown:
            click.echo("\r\x1b[K", nl=False, err=True)
            self._shown = False
