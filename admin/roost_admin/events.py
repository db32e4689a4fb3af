"""`roost events`: the journal, as it is and as it grows."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from roost_admin.moments import Moment
from roost_admin.options import asks_broker

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from roost_admin.api import AdminApi
    from roost_protocol.admin.events import EventQuery, EventRow

NEWEST = 50
"""Records shown when nothing else is asked for."""

KINDS = (
    "broker started",
    "broker stopped",
    "session opened",
    "session closed",
    "session ended",
    "log-in refused",
    "progress",
    "gap told",
    "inbox trimmed",
    "device forgotten",
    "user changed",
    "relation changed",
    "group changed",
    "records lost",
)


class Kind(click.Choice[str]):
    """A kind of record; hyphens are as good as spaces, and are what a shell completes: `session-opened`."""

    name = "kind"

    def __init__(self) -> None:
        super().__init__(KINDS)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See click."""
        known = {kind.replace(" ", "-"): kind for kind in KINDS}
        return super().convert(known.get(str(value).replace(" ", "-"), value), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list["CompletionItem"]:
        """See click."""
        from click.shell_completion import CompletionItem

        del ctx, param
        kinds = (kind.replace(" ", "-") for kind in KINDS)
        return [CompletionItem(kind) for kind in kinds if kind.startswith(incomplete)]


@click.command("events")
@click.option("--user", metavar="NAME", help="Only those about this user.")
@click.option("--group", metavar="NAME", help="Only those about this group.")
@click.option("--terminal", metavar="TYPE", help="Only those of sessions on this terminal type.")
@click.option("--kind", multiple=True, type=Kind(), metavar="KIND", help="Only these; several times.")
@click.option("--since", type=Moment(), metavar="TIME", help="From then on: 10m, 2h, 3d ago, or 2026-11-24T12:30.")
@click.option("--until", type=Moment(), metavar="TIME", help="Up to then.")
@click.option("--newest", type=click.IntRange(1, 10_000), metavar="N", help=f"The last so many. [{NEWEST}]")
@click.option("-f", "--follow", is_flag=True, help="Go on with each record as it becomes durable, until Ctrl-C.")
@asks_broker
def events(
    api: "AdminApi",
    user: str | None,
    group: str | None,
    terminal: str | None,
    kind: tuple[str, ...],
    since: int | None,
    until: int | None,
    newest: int | None,
    follow: bool,
    as_json: bool,
) -> None:
    """Show what happened: sessions, how far they got, gaps, trims, changes of accounts and groups.

    The records are those that `explain` answers from. With --json each is a document on a line of its own.

    \b
    KIND is one of:
        broker-started  broker-stopped  session-opened  session-closed
        session-ended  log-in-refused  progress  gap-told  inbox-trimmed
        device-forgotten  user-changed  relation-changed  group-changed
        records-lost

    \b
    Example:
        roost events --user alice --since 2h
        roost events --kind session-ended --kind log-in-refused --since 1d
        roost events --follow --json
    """
    import msgspec

    from roost_protocol.admin.events import EventQuery

    given = {"user": user, "group": group, "terminal": terminal, "kind": list(kind), "since": since, "until": until}
    query = msgspec.convert({key: value for key, value in given.items() if value is not None}, EventQuery)
    show_events(api, query, newest, follow=follow, as_json=as_json)


def show_events(api: "AdminApi", query: "EventQuery", newest: int | None, *, follow: bool, as_json: bool) -> None:
    """Print records, and with `follow` go on with those to come."""
    from msgspec.structs import replace

    from roost_admin.failures import say

    last = ""
    for row in stored_events(api, query, newest):
        print_event(row, as_json=as_json)
        last = row.id
    if not (last or follow or as_json):
        say("the journal has nothing like that")
    if follow:
        from roost_protocol.admin.events import EVENTS_FOLLOW

        with api.follow(EVENTS_FOLLOW, query=replace(query, after=last or None)) as coming:
            for row in coming:
                print_event(row, as_json=as_json)
        raise api.ended()


def stored_events(api: "AdminApi", query: "EventQuery", newest: int | None) -> "Iterator[EventRow]":
    """The records: all since a moment, in pages as they are taken, or the `newest` so many (0: none)."""
    from msgspec.structs import replace

    from roost_protocol.admin.events import EVENTS_LIST

    if newest is None and query.since is not None:
        while True:
            page = api.ask(EVENTS_LIST, query=query)
            yield from page.events
            if page.next is None:
                return
            query = replace(query, after=page.next)
    wanted = NEWEST if newest is None else newest
    found: list[EventRow] = []
    query = replace(query, newest=True)
    while len(found) < wanted:
        page = api.ask(EVENTS_LIST, query=replace(query, limit=wanted - len(found)))
        found = [*page.events, *found]
        if page.next is None:
            break
        query = replace(query, before=page.next)
    yield from found


def print_event(row: "EventRow", *, as_json: bool) -> None:
    """One record on one line, at once."""
    from roost_admin.cells import printable
    from roost_admin.output import exact_time, show_line

    if as_json:
        show_line(row)
        return
    who = "/".join(part for part in (row.user, row.terminal) if part)
    device = f" {row.device}" if row.device else ""
    address = f" from {row.address}" if row.address else ""
    subject = f"{who}{device}{address}: " if who else ""
    click.echo(printable(f"{exact_time(row.at)}  {row.kind:16}  {subject}{row.text}"))
