"""`roost demo`: the command line of the demo, its folder, and its end, whatever happens."""

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from roost_admin.failures import EX_USAGE, Failure
from roost_admin.options import json_option

if TYPE_CHECKING:
    from typing import TextIO

    from roost_admin.demo.document import Document
    from roost_admin.demo.story import Story

SIGNALLED = 128
"""A shell's exit status for a process that a signal ended is this and the signal's number."""

HISTORY = "history.ndjson"

BROWSER = (
    "`roost demo --stay` ends with a chat page for your browser, at http://127.0.0.1:7380, and two users to try it"
)


@click.command("demo")
@json_option
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep everything in DIR, which must be new or empty: store, logs, journals of the devices, history.",
)
@click.option(
    "--stay/--no-stay",
    default=None,
    help="At the end, serve the chat page and the console, with two users, until Ctrl-C. [on a terminal]",
)
@click.pass_context
def demo(context: click.Context, as_json: bool, keep: Path | None, stay: bool | None) -> None:
    """Play a story on real processes, and let the oracle judge it: a broker, and seven devices of three users.

    Devices go off and come back, a second PC kicks the first, the broker is killed with -9 and restarted, an answer
    is lost, retention is faster than a device. Exit status 0 only if no promise was broken.

    \b
    Example:
        roost demo
        roost demo --stay
        roost demo --json | jq .verdict
        roost demo --keep run && roost verify-history run/history.ndjson
    """
    # All of it now: from the moment the folder is there, a signal must find somebody who removes it.
    from roost_admin.demo.play import DEVICES
    from roost_admin.demo.story import Story
    from roost_admin.output import show_document

    if stay and as_json:
        raise click.UsageError("--json is for the story alone; it does not go with --stay")
    if stay is None:
        stay = not as_json and sys.stdin.isatty() and sys.stdout.isatty()
    story = Story(quiet=as_json)
    with _folder(keep) as folder:
        outcome = _play(folder, story)
    if isinstance(outcome, int):
        context.exit(SIGNALLED + outcome)
    if as_json:
        show_document(outcome)
    else:
        story.ending(outcome, DEVICES)
        if keep is not None:
            click.echo(f"everything is kept in {keep}; check it again with: roost verify-history {keep / HISTORY}")
        if stay and outcome.passed:
            _stay()
        else:
            click.echo(BROWSER)
    context.exit(0 if outcome.passed else 1)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """The folder to play in: one that goes away again, or the one to keep. Raises Failure."""
    if keep is None:
        folder = Path(tempfile.mkdtemp(prefix="roost-demo-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        keep.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise Failure(f"{keep} is not empty: the demo needs a new folder to keep", EX_USAGE)
    except OSError as error:
        raise Failure(f"{keep}: {error.strerror}", EX_USAGE) from error
    yield keep


def _play(folder: Path, story: "Story") -> "Document | int":
    """Play it; the document, or the signal that ended it. Raises Failure."""
    import trio

    from roost_admin.failures import only_exception

    with (folder / HISTORY).open("w", encoding="utf-8") as history:
        try:
            return trio.run(_until_signal, folder, story, history)
        except BaseExceptionGroup as group:
            error = only_exception(group)
            if isinstance(error, Failure | SystemExit):  # SystemExit: nobody reads the story any more
                raise error from None
            raise


def _stay() -> None:
    """Serve the pages to the end. Raises Failure."""
    import trio

    from roost_admin.demo.open_site import stay
    from roost_admin.failures import EX_UNAVAILABLE
    from roost_broker.config import ListenerUnusable

    with _folder(None) as folder:
        try:
            trio.run(stay, folder)
        except ListenerUnusable as error:
            raise Failure(str(error), EX_UNAVAILABLE) from error


async def _until_signal(folder: Path, story: "Story", history: "TextIO") -> "Document | int":
    """Play to the end, or until a signal; every process has ended when this returns."""
    import trio

    from roost_admin.demo.play import play

    outcome: Document | int = 0

    async def watch(cancel: trio.CancelScope) -> None:
        nonlocal outcome
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async for number in signals:
                outcome = number
                cancel.cancel()
                return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, nursery.cancel_scope)
        outcome = await play(folder, story, history)
        nursery.cancel_scope.cancel()
    return outcome
