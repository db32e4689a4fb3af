"""`roost retention`: what inboxes keep, who would lose what, and a walk now."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from roost_admin.options import asks_broker

if TYPE_CHECKING:
    from roost_admin.api import AdminApi
    from roost_protocol.admin.retention import PlannedTrim, PlanStep, RetentionStatus, RetentionWalk


@click.group("retention")
def retention() -> None:
    """Retention: what inboxes keep, who would lose what, trim now."""


@retention.command("show")
@asks_broker
def show(api: "AdminApi", as_json: bool) -> None:
    """Show the rules, the hold, the last walk, and what is kept.

    \b
    Example:
        roost retention show
    """
    from roost_admin.columns import Column
    from roost_admin.output import show_document, show_table
    from roost_protocol.admin.retention import RETENTION_SHOW

    status = api.ask(RETENTION_SHOW)
    if as_json:
        show_document(status)
    else:
        show_table([Column("WHAT"), Column("NOW", prose=True)], list(_rows(status)), "")


@retention.command("plan")
@click.option("--user", metavar="NAME", help="Only the inbox of this user.")
@asks_broker
def plan(api: "AdminApi", user: str | None, as_json: bool) -> None:
    """List what a walk now would trim, and which devices would lose what they have not acknowledged.

    Nothing is trimmed. With --json, each inbox is one line, and the last line is the summary.

    \b
    Example:
        roost retention plan
        roost retention plan --user alice
        roost retention plan --json | jq -c 'select(.inbox.losses != [])'
    """
    from roost_admin.output import show_line
    from roost_protocol.admin.retention import RETENTION_PLAN, PlanQuery

    with api.follow(RETENTION_PLAN, query=PlanQuery(user=user)) as steps:
        for step in steps:
            if as_json:
                show_line(step)
            else:
                for line in _lines(step):
                    click.echo(line)


@retention.command("run")
@asks_broker
def run(api: "AdminApi", as_json: bool) -> None:
    """Trim every inbox now, as the rules and the hold say; `roost retention plan` shows what would go.

    The clock is believed, also when it has just been set.

    \b
    Example:
        roost retention run
    """
    from roost_admin.failures import say
    from roost_admin.output import show_document
    from roost_protocol.admin.retention import RETENTION_RUN

    walk = api.ask(RETENTION_RUN)
    if as_json:
        show_document(walk)
    else:
        say(f"{_trimmed(walk)} in {(walk.ended - walk.began) / 1000:.1f} s")


def _trimmed(walk: "RetentionWalk") -> str:
    from roost_admin.output import counted

    entries, inboxes = counted(walk.entries, "entry", "entries"), counted(walk.inboxes, "inbox", "inboxes")
    return f"trimmed {entries} of {inboxes}"


def _rows(status: "RetentionStatus") -> Iterator[list[str]]:
    from roost_admin.output import byte_size, local_time

    yield ["by age", f"{status.age_days:g} days" if status.age_days else "no bound"]
    yield ["by count", f"{status.count} entries of an inbox" if status.count else "no bound"]
    yield ["by bytes", f"{byte_size(status.bytes)} of an inbox" if status.bytes else "no bound"]
    held = f"what devices seen within {status.hold_days:g} days lack, up to {byte_size(status.hold_bytes_max)} an inbox"
    yield ["hold", held if status.hold_days else "off"]
    forgotten = f"after {status.forget_devices_days:g} days" if status.forget_devices_days else "never"
    yield ["devices forgotten", forgotten]
    if status.last is None:
        yield ["last walk", f"none yet; every {status.interval_s:g} s"]
    else:
        without = "" if status.last.by_age else "; the clock had jumped, so age did not count"
        yield ["last walk", f"{local_time(status.last.ended)}: {_trimmed(status.last)}{without}"]
    behind = f"{status.lag_s:.0f} s" if status.lag_s else "not behind"
    yield ["lag", f"{behind}: {status.failure}" if status.failure else behind]
    yield ["kept", f"{status.entries} entries of {status.users} users, {status.messages} messages"]
    yield ["store", f"{byte_size(status.store_used_bytes)} of {byte_size(status.store_map_bytes)}"]


def _lines(step: "PlanStep") -> Iterator[str]:
    from roost_admin.output import counted

    if step.inbox is not None:
        yield from _inbox_lines(step.inbox)
    if step.summary is not None:
        found = step.summary
        entries, inboxes = counted(found.entries, "entry", "entries"), counted(found.inboxes, "inbox", "inboxes")
        devices = counted(found.devices, "device", "devices")
        lost = counted(found.lost, "entry", "entries")
        yield (
            f"{entries} of {inboxes} would go (looked at: {found.users}); {devices} would lose {lost} not acknowledged"
        )


def _inbox_lines(planned: "PlannedTrim") -> Iterator[str]:
    from roost_admin.cells import printable
    from roost_admin.output import counted, local_time

    kept = "nothing stays"
    if planned.new_floor <= planned.head:
        kept = f"{_span(planned.new_floor, planned.head)} {'stays' if planned.new_floor == planned.head else 'stay'}"
    going = f"{_span(planned.floor, planned.new_floor - 1)} would go by {planned.reason}; {kept}"
    yield f"{printable(planned.user)}: {going}"
    for loss in planned.losses:
        seen = "online" if loss.online else f"last seen {local_time(loss.last_seen)}"
        whose = printable(f"{loss.device} ({loss.terminal}, {seen})")
        yield f"  {whose} would lose {_span(loss.first, loss.last)}: {counted(loss.entries, 'entry', 'entries')}"


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"
