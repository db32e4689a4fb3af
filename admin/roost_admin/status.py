"""`roost status`: the broker as a whole."""

from typing import TYPE_CHECKING

import click

from roost_admin.options import asks_broker

if TYPE_CHECKING:
    from roost_admin.api import AdminApi


@click.command("status")
@asks_broker
def status(api: "AdminApi", as_json: bool) -> None:
    """Show the broker as a whole: where it listens, who is there, how full its store is.

    \b
    Example:
        roost status
        roost --data /var/lib/roost status --json
    """
    from roost_admin.columns import Column
    from roost_admin.output import byte_size, local_time, show_document, show_table
    from roost_protocol.admin.status import STATUS

    now = api.ask(STATUS)
    if as_json:
        show_document(now)
        return
    used = f"{byte_size(now.store_used_bytes)} of {byte_size(now.store_map_bytes)}"
    rows = [
        ["broker", f"roost {now.version}, process {now.pid}{', draining' if now.draining else ''}"],
        ["started", local_time(now.started)],
        ["listening on", ", ".join(now.listeners)],
        ["connections", f"{now.connections} ({now.sessions} logged in)"],
        ["published", f"{now.published} since the start"],
        ["stored", f"{now.messages} messages, {now.users} users, {now.devices} devices, {now.groups} groups"],
        ["store", used],
    ]
    show_table([Column("WHAT"), Column("NOW", prose=True)], rows, "")
