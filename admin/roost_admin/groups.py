"""`roost groups`: groups and their members."""

from typing import TYPE_CHECKING

import click

from roost_admin.options import asks_broker, yes_option

if TYPE_CHECKING:
    from roost_admin.api import AdminApi
    from roost_protocol.admin.groups import GroupRow


@click.group("groups")
def groups() -> None:
    """Groups: list, show, of, create, add and remove members, delete."""


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
    from roost_admin.columns import Column
    from roost_admin.output import show_listing
    from roost_protocol.admin.groups import GROUPS_LIST

    columns = [Column("GROUP"), Column("OWNER"), Column("SIZE", right=True), Column("MEMBERS")]
    when_empty = "no groups yet; create one with `roost groups create NAME --owner USER`"
    rows = api.rows(GROUPS_LIST, lambda page: page.groups)
    show_listing("groups", rows, columns, _cells, when_empty, as_json=as_json)


@groups.command("show")
@click.argument("name")
@asks_broker
def show(api: "AdminApi", name: str, as_json: bool) -> None:
    """Show the group NAME: its owner, and a line for each member.

    \b
    Example:
        roost groups show team
    """
    from roost_admin.columns import Column
    from roost_admin.output import show_document, show_table
    from roost_protocol.admin.groups import GROUPS_SHOW

    row = api.ask(GROUPS_SHOW, name)
    if as_json:
        show_document(row)
        return
    members = [[member, "owner" if member == row.owner else "member"] for member in row.members]
    show_table([Column("USER"), Column("ROLE")], members, f"{name} has no members")


@groups.command("of")
@click.argument("user")
@asks_broker
def of(api: "AdminApi", user: str, as_json: bool) -> None:
    """List the groups that USER is a member of.

    \b
    Example:
        roost groups of alice
    """
    from roost_admin.columns import Column
    from roost_admin.output import show_document, show_table
    from roost_protocol.admin.groups import GROUPS_OF

    found = api.ask(GROUPS_OF, user)
    if as_json:
        show_document(found)
        return
    show_table([Column("GROUP")], [[name] for name in found.groups], f"{user} is in no group")


@groups.command("remove")
@click.argument("name")
@click.argument("members", nargs=-1, required=True, metavar="MEMBER...")
@asks_broker
def remove(api: "AdminApi", name: str, members: tuple[str, ...], as_json: bool) -> None:
    """Remove members from the group NAME, all or none.

    When its owner goes, the member who has been a user for longest follows; the group goes with its last member.

    \b
    Example:
        roost groups remove team dave
    """
    from roost_protocol.admin.groups import GROUPS_CHANGE, GroupChange

    _show(api.ask(GROUPS_CHANGE, name, body=GroupChange(remove=members)), as_json)


@groups.command("delete")
@click.argument("name")
@yes_option
@asks_broker
def delete(api: "AdminApi", name: str, yes: bool, as_json: bool) -> None:
    """Delete the group NAME. What was written there stays in the inboxes of its members.

    \b
    Example:
        roost groups delete team --yes
    """
    from roost_admin.confirming import confirm_name
    from roost_admin.failures import say
    from roost_admin.output import show_document
    from roost_protocol.admin.groups import GROUPS_DELETE, GROUPS_SHOW

    if not yes:
        members = len(api.ask(GROUPS_SHOW, name).members)
        confirm_name(name, f"deletes the group for all of its {members} members")
    row = api.ask(GROUPS_DELETE, name)
    if as_json:
        show_document(row)
    else:
        say(f"group {row.name} is deleted; its members were {', '.join(row.members)}")


def _cells(row: "GroupRow") -> list[str]:
    return [row.name, row.owner, str(len(row.members)), ", ".join(row.members)]


def _show(row: "GroupRow", as_json: bool) -> None:
    from roost_admin.failures import say
    from roost_admin.output import show_document

    if as_json:
        show_document(row)
    elif row.members:
        say(f"group {row.name}: {', '.join(row.members)}")
    else:
        say(f"group {row.name} has no members any more, and is gone")
