"""Options that several commands share, and how they find the broker.

`--data DIR` and `--socket PATH` may stand at the command or right after `roost`; the nearest one counts, and either
goes over the environment (ROOST_SOCKET, ROOST_DATA). Without any of them it is `roost-data` in the current folder, as
for `roost serve`.
"""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click

DEFAULT_DATA = Path("roost-data")
SOCKET_NAME = "admin.sock"

Function = Callable[..., None]


class Place(NamedTuple):
    """Where a broker keeps its data, or has its admin socket, as far as it was said."""

    data: Path | None = None
    socket: Path | None = None

    def __bool__(self) -> bool:
        return self.data is not None or self.socket is not None


def place_options(function: Function) -> Function:
    """Add `--data` and `--socket`."""
    for name, metavar, text in (
        ("--socket", "PATH", "Admin socket of the broker. [env: ROOST_SOCKET; default: admin.sock in the data folder]"),
        ("--data", "DIR", "Data folder of the broker. [env: ROOST_DATA; default: roost-data]"),
    ):
        function = click.option(name, type=click.Path(path_type=Path), metavar=metavar, help=text)(function)
    return function


def json_option(function: Function) -> Function:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(function)


def password_fd_option(function: Function) -> Function:
    """Add `--password-fd`."""
    text = "Read the password, one line, from this file descriptor instead of asking for it."
    return click.option("--password-fd", type=click.IntRange(min=0), metavar="N", help=text)(function)


def asks_broker(function: Function) -> Function:
    """Make a command of a function that takes the admin API first, and `as_json`."""

    def run(context: click.Context, data: Path | None, socket: Path | None, **values: object) -> None:
        from roost_admin.api import AdminApi

        function(AdminApi(socket_path(place(context, Place(data, socket)))), **values)

    functools.update_wrapper(run, function)
    return json_option(place_options(click.pass_context(run)))


def place(context: click.Context, given: Place) -> Place:
    """The nearest of what was said: at the command, right after `roost`, or in the environment."""
    outer = context.find_object(Place)
    return given or outer or environment_place()


def environment_place() -> Place:
    """What the environment says."""
    return Place(_from_environment("ROOST_DATA"), _from_environment("ROOST_SOCKET"))


def socket_path(where: Place) -> Path:
    """The admin socket of the broker at this place."""
    return where.socket or (where.data or DEFAULT_DATA) / SOCKET_NAME


def _from_environment(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value) if value else None
