"""`roost admins`: who may administer the broker over the network."""

from typing import TYPE_CHECKING

import click

from roost_admin.options import asks_broker

if TYPE_CHECKING:
    from roost_admin.api import AdminApi

ROLES = ("read", "operate", "admin")


@click.group("admins")
def admins() -> None:
    """Who may administer the broker over the network, with a token: list, add, revoke, whoami."""


@admins.command("list")
@asks_broker
def list_(api: "AdminApi", as_json: bool) -> None:
    """List the admins. Whoever may open the admin socket needs no token, and is not among them.

    \b
    Example:
        roost admins list
    """
    from roost_admin.columns import Column
    from roost_admin.output import local_time, show_document, show_table
    from roost_protocol.admin.admins import ADMINS_LIST

    rows = list(api.rows(ADMINS_LIST, lambda page: page.admins))
    if as_json:
        show_document({"admins": rows})
        return
    columns = [Column("ADMIN"), Column("ROLE"), Column("SINCE", whole=True)]
    cells = [[row.name, row.role, local_time(row.created)] for row in rows]
    show_table(columns, cells, "no admins yet; add one with `roost admins add NAME --role ROLE`")


@admins.command("add")
@click.argument("name")
@click.option(
    "--role", type=click.Choice(ROLES), required=True, help="read: look; operate: and what can be undone; admin: all."
)
@asks_broker
def add(api: "AdminApi", name: str, role: str, as_json: bool) -> None:
    """Add the admin NAME, and print his token, this once: the broker does not keep it.

    \b
    Example:
        (umask 077; roost admins add zoe --role operate > zoe.token)
    """
    from msgspec import convert

    from roost_admin.failures import say
    from roost_admin.output import show_document
    from roost_protocol.admin.admins import ADMINS_ADD, AdminAdd

    added = api.ask(ADMINS_ADD, body=convert({"name": name, "role": role}, AdminAdd))
    if as_json:
        show_document(added)
        return
    say(f"{added.name} is an admin with the role {added.role}; the token follows, and is not said again")
    click.echo(added.token)


@admins.command("revoke")
@click.argument("name")
@asks_broker
def revoke(api: "AdminApi", name: str, as_json: bool) -> None:
    """Remove the admin NAME: his token does not count any more, and what he watches ends.

    \b
    Example:
        roost admins revoke zoe
    """
    from roost_admin.failures import say
    from roost_admin.output import show_document
    from roost_protocol.admin.admins import ADMINS_REVOKE

    revoked = api.ask(ADMINS_REVOKE, name)
    if as_json:
        show_document(revoked)
    else:
        say(f"{revoked.name} is no admin any more")


@admins.command("whoami")
@asks_broker
def whoami(api: "AdminApi", as_json: bool) -> None:
    """Show who the broker takes you for, and what you may do.

    \b
    Example:
        roost admins whoami
    """
    from roost_admin.columns import Column
    from roost_admin.output import show_document, show_table
    from roost_protocol.admin.admins import WHOAMI

    found = api.ask(WHOAMI)
    if as_json:
        show_document(found)
    else:
        show_table([Column("NAME"), Column("ROLE"), Column("FROM")], [[found.name, found.role, found.address]], "")
