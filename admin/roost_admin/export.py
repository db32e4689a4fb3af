"""`roost export`: all that there is of a user."""

from typing import TYPE_CHECKING

import click

from roost_admin.options import asks_broker

if TYPE_CHECKING:
    from roost_admin.api import AdminApi


@click.command("export")
@click.argument("user")
@asks_broker
def export(api: "AdminApi", user: str, as_json: bool) -> None:
    """Print all that there is of USER: a JSON document in each line, with or without --json.

    The account (without password), devices, groups, contacts, blocked users, every entry of the inbox with its body,
    and a last line that says how many entries there were. docs/export.md describes each of them.

    \b
    Example:
        roost export alice | gzip > alice.ndjson.gz
    """
    from roost_admin.failures import EX_IOERR, EX_UNAVAILABLE, Failure
    from roost_admin.output import show_line
    from roost_protocol.admin.export import EXPORT

    del as_json
    whole, damaged = False, 0
    with api.follow(EXPORT, user) as records:
        for record in records:
            show_line(record)
            whole = record.kind == "end"
            damaged += record.kind == "damaged"
    if not whole:
        raise Failure(f"the export of {user} was cut short: its last line is missing", EX_UNAVAILABLE)
    if damaged:
        raise Failure(
            f"{damaged} entries of {user} are damaged, and not in the export: `roost fsck` says which",
            EX_IOERR,
        )
