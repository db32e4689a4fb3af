"""`roost reload`: have the running broker read its configuration again."""

from typing import TYPE_CHECKING

import click

from roost_admin.options import asks_broker

if TYPE_CHECKING:
    from roost_admin.api import AdminApi


@click.command("reload")
@asks_broker
def reload(api: "AdminApi", as_json: bool) -> None:
    """Have the broker read its file and environment again, as SIGHUP does.

    What can change in a running broker changes; what cannot is listed, and waits for a restart. A configuration that
    cannot be used changes nothing: it is said why, and the exit status is 78.

    \b
    Example:
        roost config check /etc/roost.toml && roost reload
    """
    from roost_admin.columns import Column
    from roost_admin.config import shown
    from roost_admin.failures import EX_CONFIG, EX_DATAERR, Failure, say
    from roost_admin.output import show_document, show_table
    from roost_protocol.admin.config import CONFIG_RELOAD, Reload

    try:
        done = api.ask(CONFIG_RELOAD, body=Reload())
    except Failure as failure:
        if failure.exit_code == EX_DATAERR:  # it is the configuration that is not accepted
            raise Failure(failure.message, EX_CONFIG) from failure
        raise
    if as_json:
        show_document(done)
        return
    columns = [Column("KEY"), Column("WAS", right=True), Column("IS", right=True), Column("TAKES EFFECT", whole=True)]
    changes = [*done.applied, *done.needs_restart]
    rows = [
        [
            each.key,
            shown(each.before),
            shown(each.after),
            "after a restart" if each.effect == "restart" else each.effect,
        ]
        for each in changes
    ]
    show_table(columns, rows, "nothing has changed")
    if done.needs_restart:
        say(f"needs a restart: {', '.join(each.key for each in done.needs_restart)}")
