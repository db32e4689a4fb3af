"""`roost users`: accounts."""

from typing import TYPE_CHECKING

import click

from roost_admin.options import asks_broker, password_fd_option

if TYPE_CHECKING:
    from roost_admin.api import AdminApi
    from roost_protocol.admin.users import UserRow


@click.group("users")
def users() -> None:
    """Accounts: add, list."""


@users.command("add")
@click.argument("name")
@password_fd_option
@asks_broker
def add(api: "AdminApi", name: str, password_fd: int | None, as_json: bool) -> None:
    """Create the account NAME.

    The password is asked for twice, or read from a file descriptor; it is never an argument.

    \b
    Example:
        roost users add alice
        roost users add bot --password-fd 3 3</run/secrets/bot
    """
    from roost_admin.failures import say
    from roost_admin.output import show_document
    from roost_admin.passwords import password_for
    from roost_protocol.admin.users import USERS_CREATE, UserCreate

    password = password_for(name, password_fd, twice=True)
    row = api.ask(USERS_CREATE, body=UserCreate(name=name, password=password))
    if as_json:
        show_document(row)
    else:
        say(f"user {row.name} created")


@users.command("list")
@asks_broker
def list_(api: "AdminApi", as_json: bool) -> None:
    """List every user.

    HEAD is the newest number of the inbox, FLOOR the first that retention has kept.

    \b
    Example:
        roost users list
        roost users list --json | jq '.users[].name'
    """
    from roost_admin.output import Column, show_document, show_table
    from roost_protocol.admin.users import USERS_LIST

    rows = list(api.rows(USERS_LIST, lambda page: page.users))
    if as_json:
        show_document({"users": rows})
        return
    columns = [Column("USER"), Column("ONLINE"), Column("DEVICES", right=True), Column("HEAD", right=True)]
    columns += [Column("FLOOR", right=True), Column("CREATED"), Column("STATE")]
    show_table(columns, [_cells(row) for row in rows], "no users yet; create one with `roost users add NAME`")


def _cells(row: "UserRow") -> list[str]:
    from roost_admin.output import local_time

    online = ", ".join(row.online) or "-"
    state = "disabled" if row.disabled else "active"
    return [row.name, online, str(row.devices), str(row.head), str(row.floor), local_time(row.created), state]
