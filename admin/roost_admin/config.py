"""`roost config`: what a broker would go by, or goes by, and where each value comes from."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from roost_admin.failures import EX_CONFIG, Failure, say
from roost_admin.options import Place, asks_broker, flagged_place, json_option

if TYPE_CHECKING:
    from roost_admin.api import AdminApi
    from roost_protocol.admin.config import ConfigRow

CONFIG_VARIABLE = "ROOST_CONFIG"
"""Names the file when `--config` does not."""

PLACE_VARIABLES = ("ROOST_DATA", "ROOST_SOCKET", "ROOST_ADMIN_SOCKET")
"""Where the broker is, which is one thing: a flag that says where goes over all of them."""


def reader(
    context: click.Context,
    given: Place,
    config: Path | None,
    *,
    listen: str | None = None,
    web_listen: str | None = None,
    log_level: str | None = None,
) -> Callable[[], Any]:
    """What reads file, environment and flags into `Settings`, as `roost serve` does. It raises ConfigurationError."""
    where = flagged_place(context, given)
    file = config or _file_of_environment()
    said = {
        "data": ("--data", str(where.data) if where.data else None),
        "admin_socket": ("--socket", str(where.socket) if where.socket else None),
        "listen": ("--listen", listen),
        "web_listen": ("--web", web_listen),
        "log_level": ("--log-level", log_level),
    }

    def read() -> Any:
        from roost_broker.settings import Source, resolve

        flags: dict[str, tuple[Source, Any]] = {
            key: (Source("flag", flag), value) for key, (flag, value) in said.items() if value is not None
        }
        left_out = PLACE_VARIABLES if where else ()
        environ = {name: value for name, value in os.environ.items() if name not in left_out}
        return resolve(file, environ, flags)

    return read


@click.group("config")
def config() -> None:
    """The configuration: check a file, show every value and where it comes from."""


@config.command("check")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@json_option
@click.pass_context
def check(context: click.Context, file: Path | None, as_json: bool) -> None:
    """Check FILE (or that of ROOST_CONFIG) and the environment over it: every problem, not just the first.

    Nothing is opened or started. Exit status 78 when there is a problem.

    \b
    Example:
        roost config check /etc/roost.toml && systemctl reload roost
    """
    from roost_admin.output import show_document
    from roost_broker.app import problems_of_use
    from roost_broker.config import ConfigurationError

    file = file or _file_of_environment()
    problems: list[str] = []
    try:
        settings = reader(context, Place(), file)()
    except ConfigurationError as error:
        problems += error.problems
    else:
        problems += problems_of_use(settings.config)
    if as_json:
        show_document({"problems": problems})
    for problem in [] if as_json else problems:
        say(problem)
    if problems:
        context.exit(EX_CONFIG)
    if not as_json:
        click.echo(f"{file or 'no file, the environment alone'}: nothing is wrong with it")


@config.command("show")
@click.option("--effective", is_flag=True, help="Ask the running broker what it goes by.")
@click.option(
    "--config", "file", type=click.Path(path_type=Path), metavar="FILE", help="TOML file. [env: ROOST_CONFIG]"
)
@click.option("--long", is_flag=True, help="With unit, range, default, when a change takes effect, and why.")
@asks_broker
def show(api: "AdminApi", effective: bool, file: Path | None, long: bool, as_json: bool) -> None:
    """Show every value, and where it comes from: default, file, environment or flag.

    Without --effective it is what `roost serve` would go by if it were started here and now. With it, the running
    broker is asked; what was read since and waits for a restart is shown with it.

    \b
    Example:
        roost config show --config /etc/roost.toml --long
        roost config show --effective --json | jq '.values[].key'
    """
    from roost_admin.output import show_document
    from roost_protocol.admin.config import CONFIG_SHOW

    if effective and file is not None:
        raise click.UsageError("--effective asks the running broker, --config says what another would go by")
    rows = list(api.ask(CONFIG_SHOW).values) if effective else _rows_here(file)
    if as_json:
        show_document({"values": rows})
    else:
        _show_rows(rows, long=long)


def _rows_here(file: Path | None) -> "list[ConfigRow]":
    from roost_broker.config import ConfigurationError
    from roost_broker.reload import config_rows

    context = click.get_current_context()
    try:
        settings = reader(context, Place(context.params["data"], context.params["socket"]), file)()
    except ConfigurationError as error:
        raise Failure(str(error), EX_CONFIG) from error
    return list(config_rows(settings, settings))


def _show_rows(rows: "Iterable[ConfigRow]", *, long: bool) -> None:
    from roost_admin.output import Column, show_table

    columns = [Column("KEY"), Column("VALUE", right=True), Column("FROM")]
    if long:
        columns += [Column("DEFAULT", right=True), Column("UNIT"), Column("RANGE"), Column("CHANGES"), Column("WHY")]
    show_table(columns, [_cells(row, long=long) for row in rows], "")


def _cells(row: "ConfigRow", *, long: bool) -> list[str]:
    value = shown(row.value)
    if row.pending is not None:
        value += f" ({shown(row.pending)} after a restart)"
    cells = [row.key, value, f"{row.origin} {row.source}".strip()]
    if long:
        allowed = "" if row.at_least is None else f"{row.at_least} to {row.at_most}"
        cells += [shown(row.default), row.unit, allowed, row.effect, row.reason]
    return cells


def shown(value: object) -> str:
    """A value as a person reads it, near to how the file has it."""
    match value:
        case bool():
            return str(value).lower()
        case tuple() | list():
            return ", ".join(map(str, value))
        case "":
            return "-"
        case _:
            return str(value)


def _file_of_environment() -> Path | None:
    name = os.environ.get(CONFIG_VARIABLE)
    return Path(name) if name else None
