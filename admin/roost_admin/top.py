"""`roost top`: what a broker is busy with, as it goes on."""

import os
import sys
from typing import TYPE_CHECKING

import click

from roost_admin.options import asks_broker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from roost_admin.api import AdminApi
    from roost_protocol.admin.top import Top, TopQuery

SORTS = ("publishes", "deliveries", "acknowledgements", "backlog")
"""As `roost_protocol.admin.top` has them, which help does not wait for."""


@click.command("top")
@click.option(
    "--interval",
    "interval_s",
    type=click.IntRange(1, 60),
    default=2,
    show_default=True,
    metavar="SECONDS",
    help="From one view to the next, 1 to 60.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 100),
    default=10,
    show_default=True,
    metavar="N",
    help="Rows of a table, 1 to 100.",
)
@click.option(
    "--sort",
    type=click.Choice(SORTS),
    default=SORTS[0],
    show_default=True,
    help="What the busiest users and devices have most of.",
)
@click.option("--once", is_flag=True, help="One interval, as plain tables, and no more.")
@asks_broker
def top(api: "AdminApi", interval_s: int, limit: int, sort: str, once: bool, as_json: bool) -> None:
    """Show what the broker is busy with: rates, latency, the busiest and the slowest.

    Live on a terminal, until q or Ctrl-C; elsewhere one interval, as with --once. With --json one document with
    --once, else one line for each interval.

    BACKLOG are entries of the inbox not sent yet, UNACKED those sent and not acknowledged, OLDEST the age of the first
    of them. A device is slow that has a backlog, or acknowledged nothing for a whole interval. Those that flap take a
    terminal type from each other.

    \b
    Example:
        roost top
        roost top --once --sort backlog
        roost top --interval 10 --json | jq --unbuffered .rates.publishes
    """
    from roost_protocol.admin.top import SORTS as KNOWN
    from roost_protocol.admin.top import TOP, TopQuery

    query = TopQuery(interval_s=interval_s, limit=limit, sort=next(each for each in KNOWN if each == sort))
    with api.follow(TOP, query=query) as intervals:
        if once or not (as_json or _is_screen()):
            _show_one(api, intervals, query, as_json=as_json)
        elif as_json:
            _print_all(api, intervals)
        else:
            _show_live(api, intervals, query)


def _is_screen() -> bool:
    """Whether a view can be drawn over and over."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def _show_one(api: "AdminApi", intervals: "Iterator[Top]", query: "TopQuery", *, as_json: bool) -> None:
    from roost_admin.output import show_document, show_table
    from roost_admin.top_view import summary, tables

    now = next(intervals, None)
    if now is None:
        raise api.ended()
    if as_json:
        show_document(now)
        return
    for number, table in enumerate((summary(now, query), *tables(now, query))):
        if number:
            click.echo()
            click.echo(table.title)
        if table.rows:
            show_table(table.columns, table.rows, "")
        else:
            click.echo(table.when_empty)


def _print_all(api: "AdminApi", intervals: "Iterator[Top]") -> None:
    from roost_admin.output import show_line

    for now in intervals:
        show_line(now)
    raise api.ended()


def _show_live(api: "AdminApi", intervals: "Iterator[Top]", query: "TopQuery") -> None:
    from roost_admin.top_screen import screen

    with screen(query) as show:
        for now in intervals:
            show(now)
        raise api.ended()
