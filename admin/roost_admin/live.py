"""Commands that print as they go on: each line at once, and a closed pipe is no failure."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def ended_by_reader() -> Iterator[None]:
    """Nobody reading any more ends the command quietly with status 0; Ctrl-C ends it as it ends every command."""
    try:
        yield
    except BrokenPipeError:
        # What is still in the buffer must not fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(0) from None


def show_line(line: str) -> None:
    """Print one line on stdout, now: whoever waits for it may be a pipe."""
    click.echo(line)
    sys.stdout.flush()
