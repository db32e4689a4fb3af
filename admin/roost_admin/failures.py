"""How a command fails: one line on stderr, and an exit status of sysexits.h."""

import sys
from typing import Final

import click

EX_USAGE: Final = 64
"""The command line makes no sense."""
EX_DATAERR: Final = 65
"""What was given is not accepted: a name that cannot be one, a user that is there already, a bad history."""
EX_NOINPUT: Final = 66
"""A file that was named cannot be read."""
EX_NOUSER: Final = 67
"""There is no such user, session or group."""
EX_UNAVAILABLE: Final = 69
"""No broker can be reached."""
EX_SOFTWARE: Final = 70
"""A defect of the broker: its log says more."""
EX_IOERR: Final = 74
"""The store is damaged, or the disk failed and what became of a commit is unknown."""
EX_TEMPFAIL: Final = 75
"""Not now: busy, or no room. Try again."""
EX_NOPERM: Final = 77
"""Not allowed: no right to the admin socket, a log-in refused, a session that somebody else ended."""
EX_CONFIG: Final = 78
"""The configuration cannot be used."""


class Failure(click.ClickException):
    """The command ends here, with one line for a person and an exit status for a program."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_code = exit_status  # type: ignore[misc]  # click declares it for the class, and asks the instance

    def show(self, file: object = None) -> None:
        """Say it on stderr, in one line."""
        say(self.format_message())


def say(text: str) -> None:
    """Tell the person at the command something; what a program reads goes to stdout instead."""
    from roost_admin.cells import printable

    click.echo(f"roost: {printable(text)}", file=sys.stderr)


def only_exception(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception in nested groups that hold nothing but it; else the group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
