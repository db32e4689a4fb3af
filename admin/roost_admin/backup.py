"""`roost backup`, `roost restore` and `roost compact`: the store as a whole, from outside."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from roost_admin.failures import (
    EX_DATAERR,
    EX_IOERR,
    EX_NOINPUT,
    EX_NOPERM,
    EX_SOFTWARE,
    EX_TEMPFAIL,
    EX_UNAVAILABLE,
    Failure,
    say,
)
from roost_admin.options import DEFAULT_DATA, Place, asks_broker, json_option, place
from roost_admin.progress import ProgressLine

if TYPE_CHECKING:
    from roost_admin.api import AdminApi
    from roost_protocol.admin.backup import BackupRecord

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Data folder of the broker, which does not run. [env: ROOST_DATA; default: roost-data]",
)


@click.command("backup")
@click.argument("folder", type=click.Path(path_type=Path))
@asks_broker
def backup(api: "AdminApi", folder: Path, as_json: bool) -> None:
    """Make a backup in FOLDER, which must not be there yet: of the running broker, or of a stopped data folder.

    The running broker writes it on its own machine, from one moment's state, while everything goes on. The backup is
    checked before FOLDER gets its name; until then it is FOLDER.partial-…, which is all that a kill leaves.

    \b
    Example:
        roost backup /var/backups/roost-monday
        roost --data /var/lib/roost backup /mnt/roost   of a stopped broker, too
    """
    from roost_admin.output import show_document

    context = click.get_current_context()
    where = place(context, Place(context.params["data"], context.params["socket"]))
    folder = folder.absolute()
    try:
        record = _backup_running(api, folder)
    except Failure as failure:
        data = where.data or DEFAULT_DATA
        if failure.exit_code != EX_UNAVAILABLE or where.socket is not None or not _has_store(data):
            raise
        say(f"no broker runs on {data}: this is a backup of the stopped folder")
        record = _backup_stopped(data, folder)
    if as_json:
        show_document(record)
    else:
        say(f"{folder}: {_content(record)}; checked")


@click.command("restore")
@click.argument("backup", metavar="BACKUP", type=click.Path(path_type=Path))
@data_option
@click.option("--replace", is_flag=True, help="Move a store that is there aside, and restore in its place.")
@json_option
@click.pass_context
def restore(context: click.Context, backup: Path, data: Path | None, replace: bool, as_json: bool) -> None:
    """Restore BACKUP into a data folder in which there is no store yet, or with --replace in place of the one there.

    The backup is checked first. What is replaced goes to DIR.before-restore-TIME. Devices that hold more than the
    backup has are told to start over when they connect.

    \b
    Example:
        roost restore /var/backups/roost-monday --data /var/lib/roost --replace
    """
    from roost_admin.output import show_document
    from roost_broker.store.replace import restore as restore_store

    into = _folder(context, data)
    with _told_failures():
        done = restore_store(backup.absolute(), into, replace=replace, now_ms=_now_ms())
    if as_json:
        aside = str(done.aside) if done.aside else None
        show_document({"folder": str(into), "record": done.record, "aside": aside, "counters_kept": done.counters_kept})
        return
    say(f"{into}: {_content(done.record)}, as of {_time(done.record)}")
    if done.aside is not None:
        say(f"what was there is in {done.aside}")
    if done.aside is not None and not done.counters_kept:
        say("which numbers it had given cannot be read any more: see that the clock is right before the broker starts")


@click.command("compact")
@data_option
@json_option
@click.pass_context
def compact(context: click.Context, data: Path | None, as_json: bool) -> None:
    """Make the data file of a stopped broker as small as what is in it.

    It needs as much space beside it as the result has. Whatever ends it, the folder holds the whole old file or the
    whole new one.

    \b
    Example:
        roost drain --wait && roost compact --data /var/lib/roost
    """
    from roost_admin.output import byte_size, show_document
    from roost_broker.store.replace import compact as compact_store

    folder = _folder(context, data)
    with _told_failures(), _progress() as watch:
        done = compact_store(folder, watch)
    if as_json:
        show_document({"folder": str(folder), "before_bytes": done.before_bytes, "after_bytes": done.after_bytes})
    else:
        say(f"{folder}: {byte_size(done.before_bytes)} before, {byte_size(done.after_bytes)} now")


def _backup_running(api: "AdminApi", folder: Path) -> "BackupRecord":
    from roost_protocol.admin.backup import BACKUP, BackupAsked

    with api.follow(BACKUP, body=BackupAsked(folder=str(folder))) as events, _progress() as watch:
        for told in events:
            if told.record is not None:
                return told.record
            if told.step == "failed":
                raise Failure(told.text, _statuses().get(told.reason, EX_SOFTWARE))
            watch(told.bytes)
    raise Failure("the broker ended before the backup was made", EX_UNAVAILABLE)


def _backup_stopped(data: Path, folder: Path) -> "BackupRecord":
    from importlib.metadata import version

    from roost_broker.store.backup import back_up_stopped

    with _told_failures(), _progress() as watch:
        return back_up_stopped(data.absolute(), folder, watch, now_ms=_now_ms(), version=version("roost"))


def _has_store(data: Path) -> bool:
    from roost_broker.store.lmdb_open import DATA_FILE

    return (data / DATA_FILE).exists()


def _folder(context: click.Context, data: Path | None) -> Path:
    return (place(context, Place(data)).data or DEFAULT_DATA).absolute()


@contextmanager
def _told_failures() -> Iterator[None]:
    """Make what the store raises a failure of the command."""
    from roost_broker.store import CopyFailed, StoreInUse, StoreUnusable

    try:
        yield
    except CopyFailed as error:
        raise Failure(str(error), _statuses().get(error.reason, EX_SOFTWARE)) from error
    except StoreInUse as error:
        raise Failure(f"{error}: stop it first, with `roost drain --wait`", error.exit_status) from error
    except StoreUnusable as error:
        raise Failure(str(error), error.exit_status) from error


def _statuses() -> dict[int, int]:
    """The exit status for each reason that a copy can fail for."""
    from roost_protocol.reasons import Reason

    return {
        Reason.ALREADY_EXISTS: EX_DATAERR,
        Reason.MALFORMED_PACKET: EX_DATAERR,
        Reason.QUOTA_EXCEEDED: EX_TEMPFAIL,
        Reason.NOT_AUTHORIZED: EX_NOPERM,
        Reason.NOT_FOUND: EX_NOINPUT,
        Reason.UNSPECIFIED_ERROR: EX_IOERR,
    }


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Shows on a terminal how many bytes are copied."""
    from roost_admin.output import byte_size

    with ProgressLine() as line:
        yield lambda done: line.show(f"{byte_size(done)} copied")


def _content(record: "BackupRecord") -> str:
    from roost_admin.output import byte_size

    return (
        f"{byte_size(record.data_bytes)}, {record.messages} messages, {record.users} users, {record.devices} devices, "
        f"{record.groups} groups"
    )


def _time(record: "BackupRecord") -> str:
    from roost_admin.output import local_time

    return local_time(record.made)


def _now_ms() -> int:
    import time

    return time.time_ns() // 1_000_000
