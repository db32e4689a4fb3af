"""`roost import`: a user, from the file that `roost export` wrote."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from roost_admin.failures import EX_NOINPUT, Failure, say
from roost_admin.options import asks_broker

if TYPE_CHECKING:
    from roost_admin.api import AdminApi
    from roost_admin.importing import ImportReport

Moved = Callable[[int], None]


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--dry-run", is_flag=True, help="Check the file, and say what would be done; change nothing.")
@asks_broker
def import_(api: "AdminApi", file: Path, dry_run: bool, as_json: bool) -> None:
    """Bring a user in from FILE, which `roost export` wrote, here or at another broker; - reads standard input.

    The name has to be free. Entries keep their numbers, times and message ids; messages that others have here already
    are shared with them. Nobody is sent anything. The account is disabled at first, with a password that nobody knows.
    An import that was cut goes on when the same command is run again; `roost users remove` undoes it.

    \b
    Example:
        roost import alice.ndjson --dry-run
        roost import alice.ndjson
        gunzip -c alice.ndjson.gz | roost import -
    """
    from roost_admin.import_file import ExportReader
    from roost_admin.importing import Importing
    from roost_admin.output import show_document

    with _opened(file) as stream:
        name = "standard input" if str(file) == "-" else str(file)
        if stream.seekable() and str(file) != "-":
            with _progress("checking", None) as moved:
                for _ in ExportReader(stream, name).records():
                    moved(1)
            stream.seek(0)
        report = Importing(api, ExportReader(stream, name), dry_run=dry_run, progress=_progress).run()
    if as_json:
        show_document(report)
    else:
        _show(report)


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    """The file, open to be read. Raises Failure."""
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = file.open("rb")
    except OSError as error:
        raise Failure(f"{file}: {error.strerror or error}", EX_NOINPUT) from error
    with stream:
        yield stream


@contextmanager
def _progress(what: str, length: int | None) -> Iterator[Moved]:
    """A bar on a terminal; what it gives is told how many lines or entries were done. Elsewhere there is none."""
    if not sys.stderr.isatty():
        yield lambda _: None
    elif length is None:
        done = 0

        def count(more: int) -> None:
            nonlocal done
            done += more
            if done % COUNTED == 0:
                click.echo(f"\r\x1b[K{what}: {done:,} lines", nl=False, err=True)

        try:
            yield count
        finally:
            click.echo("\r\x1b[K", nl=False, err=True)
    else:
        with click.progressbar(length=length, label=what, file=sys.stderr, show_pos=True) as bar:
            yield bar.update


COUNTED = 1_000
"""Lines between two looks at how many there were."""

SHOWN_LEFT_OUT = 1_000


def _show(report: "ImportReport") -> None:
    from roost_admin.columns import Column
    from roost_admin.output import show_table

    done = "would be imported" if report.dry_run else "is imported"
    begun = f", {report.before} of them before" if report.before else ""
    say(
        f"{report.user} {done}: {_count(report.entries, 'entry', 'entries')}{begun}; "
        f"{_count(report.stored, 'message')} new here, {report.shared} shared with others here"
    )
    if report.erased:
        say(f"{_count(report.erased, 'message')} of the file stay erased, as they are here")
    if report.kept:
        say(f"{_count(report.kept, 'message')} that the file has as erased are here with their bodies, and stay so")
    if report.devices:
        say(f"{_count(report.devices, 'device')} left out: each starts over when it logs in")
    if report.passed_over:
        say(f"{_count(report.passed_over, 'line')} of a kind that this roost does not know passed over")
    say(f"contacts, blocks and memberships taken: {report.taken}, left out: {len(report.left_out)}")
    if report.left_out:
        columns = [Column("LEFT OUT"), Column("NAME"), Column("WHY")]
        shown = islice(report.left_out, SHOWN_LEFT_OUT)
        show_table(columns, ([each.kind, each.name, each.text] for each in shown), "")
        if len(report.left_out) > SHOWN_LEFT_OUT:
            say(f"and {len(report.left_out) - SHOWN_LEFT_OUT} more; --json has all")
    if not report.dry_run:
        name = report.user
        say(f"the account is disabled: `roost users passwd {name}`, then `roost users enable {name}`")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
