"""`roost blocks` and `roost contacts`: whom users have blocked, and whom they know."""

from typing import TYPE_CHECKING

import click

from roost_admin.options import asks_broker

if TYPE_CHECKING:
    from roost_admin.api import AdminApi
    from roost_protocol.admin.relations import Related
    from roost_protocol.admin.route import Route


@click.group("blocks")
def blocks() -> None:
    """Blocked users: list, add, remove."""


@blocks.command("list")
@click.argument("user")
@asks_broker
def list_blocks(api: "AdminApi", user: str, as_json: bool) -> None:
    """List whom USER has blocked.

    \b
    Example:
        roost blocks list alice
    """
    from roost_protocol.admin.relations import BLOCKS_LIST

    _show(api, BLOCKS_LIST, (user,), f"{user} has blocked nobody", as_json)


@blocks.command("add")
@click.argument("user")
@click.argument("other")
@asks_broker
def add_block(api: "AdminApi", user: str, other: str, as_json: bool) -> None:
    """Block OTHER for USER: messages of OTHER are refused, and his view of USER is that of somebody offline.

    \b
    Example:
        roost blocks add alice mallory
    """
    from roost_protocol.admin.relations import BLOCKS_ADD

    _change(api, BLOCKS_ADD, (user, other), f"{user} has blocked {other}", as_json)


@blocks.command("remove")
@click.argument("user")
@click.argument("other")
@asks_broker
def remove_block(api: "AdminApi", user: str, other: str, as_json: bool) -> None:
    """Take OTHER off the list of those whom USER has blocked.

    \b
    Example:
        roost blocks remove alice mallory
    """
    from roost_protocol.admin.relations import BLOCKS_REMOVE

    _change(api, BLOCKS_REMOVE, (user, other), f"{other} is not blocked by {user}", as_json)


@click.group("contacts")
def contacts() -> None:
    """Contacts: list, add, remove."""


@contacts.command("list")
@click.argument("user")
@asks_broker
def list_contacts(api: "AdminApi", user: str, as_json: bool) -> None:
    """List the contacts of USER.

    \b
    Example:
        roost contacts list alice
    """
    from roost_protocol.admin.relations import CONTACTS_LIST

    _show(api, CONTACTS_LIST, (user,), f"{user} has no contacts", as_json)


@contacts.command("add")
@click.argument("user")
@click.argument("other")
@asks_broker
def add_contact(api: "AdminApi", user: str, other: str, as_json: bool) -> None:
    """Make OTHER a contact of USER.

    \b
    Example:
        roost contacts add alice bob
    """
    from roost_protocol.admin.relations import CONTACTS_ADD

    _change(api, CONTACTS_ADD, (user, other), f"{other} is a contact of {user}", as_json)


@contacts.command("remove")
@click.argument("user")
@click.argument("other")
@asks_broker
def remove_contact(api: "AdminApi", user: str, other: str, as_json: bool) -> None:
    """Take OTHER off the contacts of USER.

    \b
    Example:
        roost contacts remove alice bob
    """
    from roost_protocol.admin.relations import CONTACTS_REMOVE

    _change(api, CONTACTS_REMOVE, (user, other), f"{other} is no contact of {user}", as_json)


def _show(api: "AdminApi", route: "Route[Related]", names: tuple[str, ...], when_empty: str, as_json: bool) -> None:
    from roost_admin.columns import Column
    from roost_admin.output import show_document, show_table

    related = api.ask(route, *names)
    if as_json:
        show_document(related)
    else:
        show_table([Column("USER")], [[other] for other in related.others], when_empty)


def _change(api: "AdminApi", route: "Route[Related]", names: tuple[str, ...], text: str, as_json: bool) -> None:
    from roost_admin.failures import say
    from roost_admin.output import show_document

    related = api.ask(route, *names)
    if as_json:
        show_document(related)
    else:
        say(text)
