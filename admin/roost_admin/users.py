"""`roost users`: accounts."""

from typing import TYPE_CHECKING

import click

from roost_admin.options import asks_broker, password_fd_option, yes_option

if TYPE_CHECKING:
    from roost_admin.api import AdminApi
    from roost_protocol.admin.users import UserChanged, UserRemoved, UserRow


@click.group("users")
def users() -> None:
    """Accounts: add, list, show; change the password; disable, enable, remove."""


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
    from roost_admin.columns import Column
    from roost_admin.output import show_listing
    from roost_protocol.admin.users import USERS_LIST

    columns = [Column("USER"), Column("ONLINE"), Column("DEVICES", right=True), Column("HEAD", right=True)]
    columns += [Column("FLOOR", right=True), Column("CREATED", whole=True, spare=1), Column("STATE")]
    when_empty = "no users yet; create one with `roost users add NAME`"
    rows = api.rows(USERS_LIST, lambda page: page.users)
    show_listing("users", rows, columns, _cells, when_empty, as_json=as_json)


@users.command("show")
@click.argument("name")
@asks_broker
def show(api: "AdminApi", name: str, as_json: bool) -> None:
    """Show the user NAME: account, inbox and devices.

    \b
    Example:
        roost users show alice
    """
    from roost_admin.devices import show_devices
    from roost_admin.output import byte_size, local_time, show_document, show_facts
    from roost_protocol.admin.users import USERS_SHOW

    user = api.ask(USERS_SHOW, name)
    if as_json:
        show_document(user)
        return
    kept = max(0, user.head - user.floor + 1)
    show_facts(
        {
            "User": user.name,
            "State": "being imported" if user.importing else "disabled" if user.disabled else "active",
            "Created": local_time(user.created),
            "Online": ", ".join(user.online) or "-",
            "Inbox": f"{user.floor} to {user.head}, {byte_size(user.bytes)}" if kept else f"empty, head {user.head}",
            "Groups": str(user.groups),
            "Contacts": str(user.contacts),
            "Blocked": str(user.blocks),
        }
    )
    if user.devices:
        click.echo()
        show_devices(user.devices)


@users.command("passwd")
@click.argument("name")
@click.option("--log-out", is_flag=True, help="End the sessions that are there, too.")
@password_fd_option
@asks_broker
def passwd(api: "AdminApi", name: str, log_out: bool, password_fd: int | None, as_json: bool) -> None:
    """Give the user NAME a new password, and revoke every device token.

    The password is asked for twice, or read from a file descriptor; it is never an argument. Sessions go on unless
    --log-out ends them.

    \b
    Example:
        roost users passwd alice
        roost users passwd alice --log-out
    """
    from roost_admin.passwords import password_for
    from roost_protocol.admin.users import USERS_PASSWORD, USERS_SHOW, PasswordSet

    if password_fd is None:
        api.ask(USERS_SHOW, name)  # before anybody types a password for nobody
    password = password_for(name, password_fd, twice=True)
    changed = api.ask(USERS_PASSWORD, name, body=PasswordSet(password=password, log_out=log_out))
    _say_changed(changed, f"{name} has a new password", as_json)


@users.command("disable")
@click.argument("name")
@asks_broker
def disable(api: "AdminApi", name: str, as_json: bool) -> None:
    """Let the user NAME not log in any more, and end his sessions.

    Messages to him are stored all the same. Tokens stay, and work again after `roost users enable`.

    \b
    Example:
        roost users disable alice
    """
    from roost_protocol.admin.users import USERS_DISABLE

    _say_changed(api.ask(USERS_DISABLE, name), f"{name} is disabled", as_json)


@users.command("enable")
@click.argument("name")
@asks_broker
def enable(api: "AdminApi", name: str, as_json: bool) -> None:
    """Let the user NAME log in again.

    \b
    Example:
        roost users enable alice
    """
    from roost_protocol.admin.users import USERS_ENABLE

    _say_changed(api.ask(USERS_ENABLE, name), f"{name} is enabled", as_json)


@users.command("remove")
@click.argument("name")
@yes_option
@asks_broker
def remove(api: "AdminApi", name: str, yes: bool, as_json: bool) -> None:
    """Remove the account NAME; the name is free at once.

    What the user wrote stays in the inboxes of others; `roost erase` takes that too, and must come first: afterwards
    nobody knows any more what to erase.

    \b
    Example:
        roost users remove alice
        roost users remove alice --yes
    """
    from roost_admin.confirming import confirm_name
    from roost_protocol.admin.users import USERS_REMOVE, USERS_SHOW

    if not yes:
        api.ask(USERS_SHOW, name)  # nobody is asked about a user who is not there
        confirm_name(name, "removes the account with its inbox and devices, for good")
    _say_changed(api.ask(USERS_REMOVE, name), f"{name} is removed", as_json)


def _say_changed(changed: "UserChanged | UserRemoved", text: str, as_json: bool) -> None:
    from roost_admin.failures import say
    from roost_admin.output import show_document

    if as_json:
        show_document(changed)
    elif changed.logged_out:
        say(f"{text}, and was logged out on {', '.join(changed.logged_out)}")
    else:
        say(text)


def _cells(row: "UserRow") -> list[str]:
    from roost_admin.output import local_time

    online = ", ".join(row.online) or "-"
    state = "importing" if row.importing else "disabled" if row.disabled else "active"
    return [row.name, online, str(row.devices), str(row.head), str(row.floor), local_time(row.created), state]
