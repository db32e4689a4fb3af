"""`roost groups`: groups and their members."""

from typing import TYPE_CHECKING

import click

from roost_admin.options import asks_broker

if TYPE_CHECKING:
    from roost_admin.api import AdminApi
    from roost_protocol.admin.groups import GroupRow


@click.group("groups")
def groups() -> None:
    """Groups: create, add members, list."""


@groups.command("create")
@click.argument("name")
@click.argument("members", nargs=-1, metavar="[MEMBER]...")
@click.option("--owner", required=True, metavar="USER", help="Who may change it; a member too.")
@asks_broker
def create(api: "AdminApi", name: str, owner: str, members: tuple[str, ...], as_json: bool) -> None:
    """Create the group NAME with an owner and members.

    \b
    Example:
        roost groups create team --owner alice bob carol
    """
    from roost_protocol.admin.groups import GROUPS_CREATE, GroupCreate

    _show(api.ask(GROUPS_CREATE, body=GroupCreate(name=name, owner=owner, members=members)), as_json)


@groups.command("add")
@click.argument("name")
@click.argument("members", nargs=-1, required=True, metavar="MEMBER...")
@asks_broker
def add(api: "AdminApi", name: str, members: tuple[str, ...], as_json: bool) -> None:
    """Add members to the group NAME, all or none.

    \b
    Example:
        roost groups add team dave erin
    """
    from roost_protocol.admin.groups import GROUPS_CHANGE, GroupChange

    _show(api.ask(GROUPS_CHANGE, name, body=GroupChange(add=members)), as_json)


@groups.command("list")
@asks_broker
def list_(api: "AdminApi", as_json: bool) -> None:
    """List every group with its members.

    \b
    Example:
        roost groups list
    """
    from roost_admin.output import Column, show_document, show_table
    from roost_protocol.admin.groups import GROUPS_LIST

    rows = list(api.rows(GROUPS_LIST, lambda page: page.groups))
    if as_json:
        show_document({"groups": rows})
        return
    show_table(
        [Column("GROUP"), Column("OWNER"), Column("SIZE", right=True), Column("MEMBERS")],
        [[row.name, row.owner, str(len(row.members)), ", ".join(row.members)] for row in rows],
        "no groups yet; create one with `roost groups create NAME --owner USER`",
    )


def _show(row: "GroupRow", as_json: bool) -> None:
    from roost_admin.failures import say
    from roost_admin.output import show_document

    if as_json:
        show_document(row)
    else:
        say(f"group {row.name}: {', '.join(row.members)}")
