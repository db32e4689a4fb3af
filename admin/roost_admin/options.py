"""Options that several commands share, and how they find the broker.

`--data DIR`, `--socket PATH` and `--context NAME` may stand at the command or right after `roost`; the nearest one
counts, and any of them goes over the environment (ROOST_CONTEXT, ROOST_SOCKET, ROOST_DATA, in this order). Without any
of them it is `roost-data` in the current folder, as for `roost serve`.
"""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from roost_admin.endpoints import Endpoint

DEFAULT_DATA = Path("roost-data")
SOCKET_NAME = "admin.sock"

NUMBER_MAX = 2**53 - 1
"""That of `roost_protocol.limits`, which takes time to import."""

COUNT = click.IntRange(0, NUMBER_MAX)
"""A number of things that the admin API takes."""

SEQ = click.IntRange(1, NUMBER_MAX)
"""A number of an inbox that the admin API takes."""

Function = Callable[..., None]


class Place(NamedTuple):
    """Where a broker keeps its data, or has its admin socket, or the context that says so, as far as it was said."""

    data: Path | None = None
    socket: Path | None = None
    context: str | None = None

    def __bool__(self) -> bool:
        return self != Place()


def place_options(function: Function) -> Function:
    """Add `--data` and `--socket`."""
    for name, metavar, text in (
        ("--socket", "PATH", "Admin socket of the broker. [env: ROOST_SOCKET; default: admin.sock in the data folder]"),
        ("--data", "DIR", "Data folder of the broker. [env: ROOST_DATA; default: roost-data]"),
    ):
        function = click.option(name, type=click.Path(path_type=Path), metavar=metavar, help=text)(function)
    return function


def context_option(function: Function) -> Function:
    """Add `--context`."""
    text = "The broker of this context; see `roost contexts`. [env: ROOST_CONTEXT]"
    return click.option("--context", "context_name", metavar="NAME", help=text)(function)


def json_option(function: Function) -> Function:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(function)


def password_fd_option(function: Function) -> Function:
    """Add `--password-fd`."""
    text = "Read the password, one line, from this file descriptor instead of asking for it."
    return click.option("--password-fd", type=click.IntRange(min=0), metavar="N", help=text)(function)


def yes_option(function: Function) -> Function:
    """Add `--yes`."""
    return click.option("--yes", is_flag=True, help="Do it without asking for the name again.")(function)


def asks_broker(function: Function) -> Function:
    """Make a command of a function that takes the admin API first, and `as_json`."""

    def run(
        context: click.Context, data: Path | None, socket: Path | None, context_name: str | None, **values: object
    ) -> None:
        from roost_admin.api import AdminApi

        function(AdminApi(endpoint(context, Place(data, socket, context_name))), **values)

    functools.update_wrapper(run, function)
    return json_option(place_options(context_option(click.pass_context(run))))


def endpoint(context: click.Context, given: Place) -> "Path | Endpoint":
    """Where the broker that is meant has its admin API. Raises Failure and UsageError."""
    named = _nearest(context, given) or Place(context=os.environ.get("ROOST_CONTEXT") or None)
    if named.context is None:
        return socket_path(place(context, given))
    if named.data is not None or named.socket is not None:
        raise click.UsageError("give either --context, or --data or --socket")
    from roost_admin.contexts_file import endpoint_of

    return endpoint_of(named.context)


def place(context: click.Context, given: Place) -> Place:
    """The nearest of what was said: at the command, right after `roost`, or in the environment.

    For commands that have to be on the machine of the broker. Raises UsageError for a context.
    """
    return flagged_place(context, given) or Place(_from_environment("ROOST_DATA"), _from_environment("ROOST_SOCKET"))


def flagged_place(context: click.Context, given: Place) -> Place:
    """The nearest of what was said on the command line, which may be nothing. Raises UsageError for a context."""
    found = _nearest(context, given)
    if found.context is not None:
        raise click.UsageError("this command takes no --context: it is for a broker on this machine")
    return found


def _nearest(context: click.Context, given: Place) -> Place:
    return given or context.find_object(Place) or Place()


def socket_path(where: Place) -> Path:
    """The admin socket of the broker at this place."""
    return where.socket or (where.data or DEFAULT_DATA) / SOCKET_NAME


def _from_environment(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value) if value else None
