"""Progress as a person sees it: a bar on a terminal, plain lines in a log, or nothing. Always on stderr.

What a run has to say goes through `update(done, text)`; how it is shown is decided here and nowhere else.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from roost_benchmarks.progress import Progress, Unseen

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

TITLE_WIDTH = 34
"""Columns for what runs: the bars stand under each other."""


@contextmanager
def shown(title: str) -> Iterator[Progress]:
    """One run with its live figures: on a terminal a bar, that goes when it is done; else nothing."""
    if not sys.stderr.isatty():
        yield Unseen()
        return
    with Bars(persist=False) as bars, bars.run(title) as one:
        yield one


class Bars:
    """The bars of several runs, one after the other, and one for all of them; on no terminal a line for each run."""

    def __init__(self, whole: int = 0, *, persist: bool = True) -> None:
        self._whole_count = whole
        self._done = 0
        self._persist = persist
        self._progress = _bars() if sys.stderr.isatty() else None
        self._whole: TaskID | None = None
        if self._progress is not None and whole:
            self._whole = self._progress.add_task("all", total=whole, text="")

    def __enter__(self) -> "Bars":
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._progress is not None:
            self._progress.console.print(text, markup=False, highlight=False)
        else:
            click.echo(text, err=True)

    @contextmanager
    def run(self, title: str) -> Iterator[Progress]:
        """Show one run while it lasts; its last text stays as a line."""
        progress = self._progress
        if progress is None:
            line = _Line(title)
            yield line
            self._ended(title, line.text)
            return
        bar = progress.add_task(title, total=1.0, text="")
        one = _Bar(lambda done, text: progress.update(bar, completed=done, text=text))
        try:
            yield one
        finally:
            progress.remove_task(bar)
        self._ended(title, one.text)

    def _ended(self, title: str, text: str) -> None:
        self._done += 1
        if self._progress is not None and self._whole is not None:
            self._progress.update(self._whole, completed=self._done)
        if self._persist:
            count = f"[{self._done}/{self._whole_count}] " if self._whole_count else ""
            self.say(f"{count}{title:<{TITLE_WIDTH}} {text}".rstrip())


class _Line:
    def __init__(self, title: str) -> None:
        self.title = title
        self.text = ""

    def update(self, done: float, text: str) -> None:
        """Keep the last word."""
        self.text = text


class _Bar:
    def __init__(self, draw: Callable[[float, str], None]) -> None:
        self._draw = draw
        self.text = ""

    def update(self, done: float, text: str) -> None:
        """Draw it, and keep the last word."""
        self.text = text
        self._draw(done, text)


def _bars() -> "RichProgress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    return Progress(
        TextColumn("{task.description}", markup=False, table_column=Column(min_width=TITLE_WIDTH, no_wrap=True)),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.fields[text]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        console=Console(stderr=True),
    )
