"""`roost fsck`: is everything in the store as it was promised, in a running broker, a stopped one, or a backup?"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from roost_admin.failures import EX_DATAERR, EX_IOERR, EX_NOINPUT, EX_TEMPFAIL, EX_UNAVAILABLE, Failure, say
from roost_admin.options import (
    DEFAULT_DATA,
    Place,
    context_option,
    endpoint,
    json_option,
    place,
    place_options,
    socket_path,
)
from roost_admin.progress import ProgressLine

if TYPE_CHECKING:
    from roost_admin.endpoints import Endpoint
    from roost_protocol.admin.fsck import Finding, FsckEvent, FsckVerdict

DATA_FILE = "data.mdb"
"""What makes a folder a store."""


@click.command("fsck")
@click.option(
    "--backup",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Check this folder, which no broker runs on, instead of a broker's store.",
)
@click.option("--fast", is_flag=True, help="On a running broker: use a whole core, not a third of one.")
@context_option
@place_options
@json_option
@click.pass_context
def fsck(
    context: click.Context,
    data: Path | None,
    socket: Path | None,
    context_name: str | None,
    backup: Path | None,
    fast: bool,
    as_json: bool,
) -> None:
    """Check the whole store: no number missing, both sides of every message there, everything counted right.

    A running broker checks a snapshot of its store while it goes on working. When none runs, the data folder is
    checked here. Nothing is changed, nothing is repaired. Exit status 1 if anything is damaged; warnings do not count.

    \b
    Example:
        roost fsck
        roost fsck --data /var/lib/roost --json
        roost fsck --backup /backups/monday
    """
    from roost_admin.output import show_document

    findings: list[Finding] = []
    with _events(context, Place(data, socket, context_name), backup, fast=fast) as events:
        verdict = _follow(events, findings.append if as_json else _Shown())
    if verdict is None:
        raise Failure("the check ended before there was a verdict: the broker stopped, or see its log", EX_UNAVAILABLE)
    if as_json:
        show_document({"verdict": verdict, "findings": findings})
    else:
        click.echo(verdict_line(verdict))
    context.exit(0 if verdict.clean else 1)


def _follow(events: "Iterator[FsckEvent]", found: "Callable[[Finding], None]") -> "FsckVerdict | None":
    """Take the events of a check to the verdict; None if there is none. Raises Failure."""
    with ProgressLine() as line:
        for event in events:
            if event.progress is not None:
                part = event.progress.rows / max(event.progress.of, 1)
                line.show(f"{part:4.0%} {event.progress.stage}")
            elif event.finding is not None:
                line.clear()
                found(event.finding)
            else:
                return event.verdict
    return None


# --- where it is checked ------------------------------------------------------------------------------------------


@contextmanager
def _events(
    context: click.Context, given: Place, backup: Path | None, *, fast: bool
) -> "Iterator[Iterator[FsckEvent]]":
    """The events of a check: of a backup, by the broker that is meant or, if none runs on this machine, of its folder.

    Raises Failure and UsageError.
    """
    with ExitStack() as stack:
        if backup is not None:
            _must_have_store(backup)
            yield _of_folder(backup)
            return
        broker = endpoint(context, given)
        if not isinstance(broker, Path):
            yield _by_broker(stack, broker, fast=fast)
            return
        where = place(context, given)
        if (events := _here(stack, where, fast=fast)) is not None:
            yield events
        else:
            folder = where.data or DEFAULT_DATA
            say(f"no broker runs here; checking the folder {folder} itself")
            yield _of_folder(folder)


def _by_broker(stack: ExitStack, broker: "Path | Endpoint", *, fast: bool) -> "Iterator[FsckEvent]":
    """The events of a running broker. Raises Failure."""
    from roost_admin.api import AdminApi
    from roost_protocol.admin.fsck import FSCK, FsckHow

    try:
        return stack.enter_context(AdminApi(broker).follow(FSCK, query=FsckHow(fast=fast)))
    except Failure as failure:
        if failure.exit_code == EX_DATAERR:  # 409: somebody else is at it
            raise Failure(failure.message, EX_TEMPFAIL) from failure
        raise


def _here(stack: ExitStack, where: Place, *, fast: bool) -> "Iterator[FsckEvent] | None":
    """The events of a broker that runs on this machine; None if there is none, but its folder. Raises Failure."""
    try:
        return _by_broker(stack, socket_path(where), fast=fast)
    except Failure as failure:
        if failure.exit_code != EX_UNAVAILABLE or (where.socket is not None and where.data is None):
            raise
        folder = where.data or DEFAULT_DATA
        if not _has_store(folder):
            if where.data is None or folder.is_dir():
                raise
            raise Failure(f"{folder}: there is no such folder", EX_NOINPUT) from failure
    return None


def _must_have_store(folder: Path) -> None:
    """Raise Failure if there is no store in the folder."""
    if not _has_store(folder):
        what = f"there is no store in it (no {DATA_FILE})" if folder.is_dir() else "there is no such folder"
        raise Failure(f"{folder}: {what}", EX_NOINPUT)


def _has_store(folder: Path) -> bool:
    """Whether there is a store in the folder. Raises Failure if that cannot be told."""
    try:
        return (folder / DATA_FILE).exists()
    except OSError as error:
        raise Failure(f"{folder}: {error.strerror or error}", EX_NOINPUT) from error


def _of_folder(folder: Path) -> "Iterator[FsckEvent]":
    """Check a folder in this process. Raises Failure."""
    from roost_broker.store import ReadFailed, StoreUnusable
    from roost_broker.store.fsck_folder import walk_folder
    from roost_protocol.admin.fsck import Finding, FsckEvent, FsckProgress

    try:
        for event in walk_folder(folder):
            if isinstance(event, Finding):
                yield FsckEvent(finding=event)
            elif isinstance(event, FsckProgress):
                yield FsckEvent(progress=event)
            else:
                yield FsckEvent(verdict=event)
    except StoreUnusable as error:
        raise Failure(str(error), error.exit_status) from error
    except ReadFailed as error:
        raise Failure(str(error), EX_IOERR) from error


# --- what is shown ------------------------------------------------------------------------------------------------


class _Shown:
    """Prints findings; what to do, with the first of each kind."""

    def __init__(self) -> None:
        self._advised: set[str] = set()

    def __call__(self, finding: "Finding") -> None:
        """Print one."""
        lines = finding_lines(finding)
        click.echo("\n".join(lines[:-1] if finding.code in self._advised else lines))
        self._advised.add(finding.code)


def finding_lines(finding: "Finding") -> list[str]:
    """A finding for a person: what and where, what was expected, what it means and what to do."""
    from roost_admin.cells import printable

    found = printable(f"{where_text(finding)}: {finding.found}")
    return [
        f"{finding.severity} ({finding.code}): {found}",
        f"    expected: {printable(finding.expected)}",
        f"    {printable(finding.advice)}",
    ]


def where_text(finding: "Finding") -> str:
    """Where a finding is: `inbox of alice (user 1), entry 5`."""
    parts = [f"table {finding.table}" if finding.table != "file" else "the data file"]
    for kind, name, number in (
        ("user", finding.user, finding.user_number),
        ("device", finding.device, finding.device_number),
        ("group", finding.group, finding.group_number),
    ):
        if number is not None:
            parts.append(f"{kind} {number}" + (f" ({name})" if name else ""))
    if finding.seq is not None:
        parts.append(f"entry {finding.seq}")
    if finding.message is not None:
        parts.append(f"message {finding.message}")
    return ", ".join(parts)


def verdict_line(verdict: "FsckVerdict") -> str:
    """The verdict for a person."""
    looked_at = (
        f"{verdict.users:,} users, {verdict.devices:,} devices, {verdict.groups:,} groups, "
        f"{verdict.messages:,} messages, {verdict.entries:,} entries"
    )
    counts = [f"{count} {word}" for count, word in _counts(verdict) if count]
    word = "clean" if verdict.clean else "DAMAGED"
    found = f"; found: {', '.join(counts)}" if counts else ""
    cut = "" if verdict.complete else "; not everything was looked at"
    return f"verdict: {word}{found}{cut} ({looked_at})"


def _counts(verdict: "FsckVerdict") -> Iterator[tuple[int, str]]:
    yield verdict.damages, "damage" if verdict.damages == 1 else "damages"
    yield verdict.warnings, "warning" if verdict.warnings == 1 else "warnings"
