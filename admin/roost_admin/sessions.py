"""`roost sessions`: who is logged in, and ending that."""

from typing import TYPE_CHECKING

import click

from roost_admin.failures import EX_USAGE, Failure
from roost_admin.moments import Moment
from roost_admin.options import COUNT, asks_broker

if TYPE_CHECKING:
    from roost_admin.api import AdminApi
    from roost_admin.columns import Column
    from roost_protocol.admin.events import EventKind
    from roost_protocol.admin.sessions import SessionRow


@click.group("sessions")
def sessions() -> None:
    """Live sessions, and those that were."""


@sessions.command("list")
@click.option("--user", metavar="NAME", help="Only those of this user.")
@click.option("--terminal", metavar="TYPE", help="Only those on this terminal type.")
@click.option("--address", metavar="TEXT", help="Only those from an address that begins so.")
@click.option("--backlog", type=COUNT, metavar="N", help="Only those with so many unacknowledged entries or more.")
@click.option(
    "--older-than", type=Moment(), metavar="TIME", help="Only those that began before 10m, 2h, 3d, or a time."
)
@asks_broker
def list_(
    api: "AdminApi",
    user: str | None,
    terminal: str | None,
    address: str | None,
    backlog: int | None,
    older_than: int | None,
    as_json: bool,
) -> None:
    """List the live sessions: one for each user and terminal type.

    BACKLOG are entries of the inbox not sent yet, UNACKED those sent and not acknowledged, DAMPED the log-ins of other
    devices that were told to wait, for the session was taken over too often.

    \b
    Example:
        roost sessions list
        roost sessions list --user alice --json
        roost sessions list --terminal phone --backlog 100 --older-than 1h
    """
    from roost_admin.output import show_listing
    from roost_protocol.admin.sessions import SESSIONS_LIST, SessionQuery

    query = SessionQuery(user=user, terminal=terminal, address=address, backlog_min=backlog, since_before=older_than)
    rows = api.rows(SESSIONS_LIST, lambda page: page.sessions, query=query)
    when_empty = _nobody(user, more=query != SessionQuery(user=user))
    show_listing("sessions", rows, _columns(), _cells, when_empty, as_json=as_json)


@sessions.command("show")
@click.argument("session", metavar="USER/TERMINAL")
@asks_broker
def show(api: "AdminApi", session: str, as_json: bool) -> None:
    """Show one live session.

    \b
    Example:
        roost sessions show alice/pc
    """
    from roost_admin.columns import Column
    from roost_admin.output import local_time, show_document, show_table
    from roost_protocol.admin.sessions import SESSIONS_SHOW

    user, slash, terminal = session.partition("/")
    if not (user and slash and terminal):
        raise Failure(f"{session!r} is no session: give USER/TERMINAL, as in alice/pc", EX_USAGE)
    row = api.ask(SESSIONS_SHOW, user, terminal)
    if as_json:
        show_document(row)
        return
    rows = [
        ["session", f"{row.user}/{row.terminal}, epoch {row.epoch}"],
        ["device", f"{row.device}{f' ({row.client})' if row.client else ''}"],
        ["connected", f"from {row.address} since {local_time(row.since)}"],
        ["inbox", f"head {row.head}; sent up to {row.position}, acknowledged up to {row.acknowledged}"],
        ["to come", f"{row.backlog} to be sent, {row.unacknowledged} sent and not acknowledged"],
    ]
    if row.takeovers:
        rows.append(["takeovers", _takeovers(row)])
    show_table([Column("WHAT"), Column("NOW", prose=True)], rows, "")


@sessions.command("history")
@click.argument("user")
@click.option("--kicks", is_flag=True, help="Only how sessions were taken over, ended by somebody, or not let in.")
@click.option("--since", type=Moment(), metavar="TIME", help="From then on: 10m, 2h, 3d ago, or 2026-11-24T12:30.")
@click.option("--newest", type=click.IntRange(1, 10_000), metavar="N", help="The last so many. [50]")
@asks_broker
def history(api: "AdminApi", user: str, kicks: bool, since: int | None, newest: int | None, as_json: bool) -> None:
    """Show the sessions that USER had: each begin and end, with who ended it, from where and why.

    \b
    Example:
        roost sessions history alice
        roost sessions history alice --kicks --since 7d
    """
    from roost_admin.events import print_event, stored_events
    from roost_admin.failures import say
    from roost_protocol.admin.events import EventQuery

    ends: list[EventKind] = ["session closed", "session ended", "log-in refused"]
    query = EventQuery(user=user, since=since, kind=tuple(ends if kicks else ["session opened", *ends]))
    nothing = True
    for row in stored_events(api, query, newest):
        if not kicks or row.by:
            print_event(row, as_json=as_json)
            nothing = False
    if nothing and not as_json:
        say(f"the journal has no {'kicks' if kicks else 'sessions'} of {user}")


@sessions.command("watch")
@click.option("--user", metavar="NAME", help="Only those of this user.")
@click.option("--terminal", metavar="TYPE", help="Only those on this terminal type.")
@asks_broker
def watch(api: "AdminApi", user: str | None, terminal: str | None, as_json: bool) -> None:
    """Show each session as it begins or ends, until Ctrl-C.

    \b
    Example:
        roost sessions watch --user alice
    """
    from roost_admin.events import show_events
    from roost_protocol.admin.events import EventQuery

    query = EventQuery(
        user=user, terminal=terminal, kind=("session opened", "session closed", "session ended", "log-in refused")
    )
    show_events(api, query, 0, follow=True, as_json=as_json)


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


def _takeovers(row: "SessionRow") -> str:
    waits = "" if row.wait_s is None else f"; the next log-in of another device has to wait for {row.wait_s} s"
    return f"{row.takeovers} just now, {row.damped} log-ins told to wait{waits}"


def _nobody(user: str | None, *, more: bool) -> str:
    if more:
        return "nobody like that is logged in"
    return "nobody is logged in" if user is None else f"{user} is not logged in"


def _columns() -> "list[Column]":
    from roost_admin.columns import Column

    columns = [Column("USER"), Column("TERMINAL"), Column("DEVICE"), Column("ADDRESS")]
    columns += [Column("SINCE", whole=True, spare=4), Column("POSITION", right=True, spare=3)]
    columns += [Column("HEAD", right=True, spare=2), Column("BACKLOG", right=True)]
    columns += [Column("UNACKED", right=True, spare=5), Column("DAMPED", right=True)]
    return [*columns, Column("CLIENT", spare=1)]


def _cells(row: "SessionRow") -> list[str]:
    from roost_admin.output import local_time

    numbers = (row.position, row.head, row.backlog, row.unacknowledged)
    what = [row.user, row.terminal, row.device, row.address, local_time(row.since), *map(str, numbers)]
    return [*what, str(row.damped or "-"), row.client]
