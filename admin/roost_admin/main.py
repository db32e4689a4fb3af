"""The command as a whole: the tree of verbs, and how usage errors end."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from roost_admin.admins import admins
from roost_admin.backup import backup, compact, restore
from roost_admin.chat.command import chat
from roost_admin.check.command import check
from roost_admin.completion import complete_names, completion
from roost_admin.config import config
from roost_admin.contexts import contexts
from roost_admin.demo.command import demo
from roost_admin.devices import devices, tokens
from roost_admin.drain import drain
from roost_admin.erase import erase
from roost_admin.events import events
from roost_admin.explain import explain
from roost_admin.export import export
from roost_admin.failures import EX_USAGE
from roost_admin.fsck import fsck
from roost_admin.groups import groups
from roost_admin.imports import import_
from roost_admin.inbox import inbox
from roost_admin.options import Place, context_option, place_options
from roost_admin.relations import blocks, contacts
from roost_admin.reload import reload
from roost_admin.retention import retention
from roost_admin.send import send
from roost_admin.serve import serve
from roost_admin.sessions import sessions
from roost_admin.sim import sim
from roost_admin.status import status
from roost_admin.top import top
from roost_admin.users import users
from roost_admin.verify_history import verify_history

INTERRUPTED = 130
"""A shell's exit status for a command that Ctrl-C ended: 128 and the number of the signal."""

PIPE_CLOSED = 141
"""Likewise, when nobody reads what it prints any more (SIGPIPE): it may not have printed, or checked, all of it."""


class Tree(click.Group):
    """The root of the command: wrong usage ends with status 64, as sysexits.h has it, not with click's 2."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """See click. Raises UsageError with our status."""
        try:
            with _usage_status():
                return super().make_context(info_name, args, parent, **extra)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None

    def invoke(self, ctx: click.Context) -> Any:
        """See click. Raises UsageError with our status.

        Ctrl-C and a closed pipe end every command without a word, with the status that a shell has for them.
        """
        try:
            with _usage_status():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except click.Abort as aborted:
            if not isinstance(aborted.__context__, KeyboardInterrupt):
                raise
            click.echo(err=True)  # the line of the question
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            # What is still in the buffer must not fail once more when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(PIPE_CLOSED)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a newcomer needs them."""
        return list(self.commands)


class Bench(click.Group):
    """`roost bench`: its verbs are loaded when one is asked for, so that no other command waits for them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the workloads."""
        return list(self._verbs())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See click."""
        return self._verbs().get(cmd_name)

    @staticmethod
    def _verbs() -> dict[str, click.Command]:
        from roost_benchmarks.command import VERBS

        return VERBS


@click.group("bench", cls=Bench)
def bench() -> None:
    """Measure a broker, or a disk before anything runs on it.

    Every verb but `disk` loads a running broker with devices of its own and checks each entry that they are
    delivered; a run with a missing or doubled entry fails. Needs: pip install 'roost[bench]'.

    \b
    Example:
        roost bench disk /var/lib/roost              what this folder allows
        roost bench pairs --temporary                a broker of its own
        roost bench pairs --rate 2000 --duration 30  the one that runs
    """


@contextmanager
def _usage_status() -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        error.exit_code = EX_USAGE  # type: ignore[misc]  # as in `Failure`
        raise


def _show_version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        click.echo(f"roost {version('roost')}")
        context.exit()


@click.group(
    "roost",
    cls=Tree,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 done, 1 something is wrong (check, fsck), 64 wrong usage, 65 bad data, 66 no such file, "
    "67 no such user, 69 no broker, 74 store damaged, 75 try again, 77 not allowed, 78 bad configuration, "
    "130 Ctrl-C, 141 a closed pipe.",
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show it.")
@context_option
@place_options
@click.pass_context
def root(context: click.Context, data: Path | None, socket: Path | None, context_name: str | None) -> None:
    """A message broker for users with several devices: no device ever misses either side of a conversation.

    \b
    Example:
        roost serve                           a broker, no configuration needed
        roost users add alice                 in another terminal
        roost chat alice --terminal phone --to bob
        roost demo                            all of it, on real processes
    """
    context.obj = Place(data, socket, context_name)


_COMMANDS: tuple[click.Command, ...] = (
    serve,
    status,
    check,
    top,
    users,
    sessions,
    devices,
    tokens,
    groups,
    blocks,
    contacts,
    inbox,
    send,
    events,
    explain,
    retention,
    fsck,
    backup,
    restore,
    compact,
    export,
    import_,
    erase,
    config,
    reload,
    drain,
    admins,
    contexts,
    chat,
    demo,
    bench,
    sim,
    verify_history,
    completion,
)
"""In the order in which a newcomer needs them."""

for _command in _COMMANDS:
    root.add_command(_command)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command, and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a letter shows its code instead; a name never ends the command.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    complete_names(root)
    root.main(args=args, prog_name="roost")


if __name__ == "__main__":
    main()
