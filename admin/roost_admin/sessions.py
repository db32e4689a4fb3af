"""`roost sessions`: who is logged in, and ending that."""

from typing import TYPE_CHECKING

import click

from roost_admin.options import asks_broker

if TYPE_CHECKING:
    from roost_admin.api import AdminApi
    from roost_protocol.admin.sessions import SessionRow


@click.group("sessions")
def sessions() -> None:
    """Live sessions: list, kick."""


@sessions.command("list")
@click.option("--user", metavar="NAME", help="Only those of this user.")
@asks_broker
def list_(api: "AdminApi", user: str | None, as_json: bool) -> None:
    """List the live sessions: one for each user and terminal type.

    BACKLOG are entries of the inbox not sent yet, UNACKED those sent and not acknowledged.

    \b
    Example:
        roost sessions list
        roost sessions list --user alice --json
    """
    from roost_admin.output import Column, show_listing
    from roost_protocol.admin.sessions import SESSIONS_LIST

    rows = (row for row in api.rows(SESSIONS_LIST, lambda page: page.sessions) if user in (None, row.user))
    columns = [Column("USER"), Column("TERMINAL"), Column("DEVICE"), Column("ADDRESS"), Column("SINCE")]
    columns += [Column(title, right=True) for title in ("POSITION", "HEAD", "BACKLOG", "UNACKED")]
    columns += [Column("CLIENT")]
    when_empty = "nobody is logged in" if user is None else f"{user} is not logged in"
    show_listing("sessions", rows, columns, _cells, when_empty, as_json=as_json)


@sessions.command("kick")
@click.argument("user")
@click.argument("terminal", required=False)
@click.option("--reason", "text", default="", metavar="TEXT", help="What the device is told.")
@asks_broker
def kick(api: "AdminApi", user: str, terminal: str | None, text: str, as_json: bool) -> None:
    """End the session of USER on a TERMINAL type, or on all.

    The device is told, and does not come back by itself; its user may log in again.

    \b
    Example:
        roost sessions kick alice pc --reason "lost laptop"
    """
    from roost_admin.failures import say
    from roost_admin.output import show_document
    from roost_protocol.admin.sessions import SESSIONS_KICK, Kick

    kicked = api.ask(SESSIONS_KICK, body=Kick(user=user, terminal=terminal, text=text))
    if as_json:
        show_document(kicked)
    else:
        say(f"{user} was logged out on {', '.join(kicked.terminals)}")


def _cells(row: "SessionRow") -> list[str]:
    from roost_admin.output import local_time

    numbers = (row.position, row.head, row.backlog, row.unacknowledged)
    return [row.user, row.terminal, row.device, row.address, local_time(row.since), *map(str, numbers), row.client]
