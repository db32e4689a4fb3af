"""`roost check`: the command."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from roost_admin.options import asks_broker, password_fd_option
from roost_admin.own_certificate import OwnCertificate, certificate_options, own_certificate

if TYPE_CHECKING:
    from roost_admin.api import AdminApi
    from roost_admin.check.echo import Credentials
    from roost_admin.check.report import Report, Stage

EX_CRITICAL = 1
"""Something is critical; the broker answers."""


@click.command("check")
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "nagios"]), default="text", show_default=True, help="How."
)
@click.option("--user", metavar="NAME", help="Log in as this user; by default as a service user made for it.")
@password_fd_option
@certificate_options
@click.option("--terminal", metavar="TYPE", default="bot", show_default=True, help="On this terminal type.")
@asks_broker
@click.pass_context
def check(
    context: click.Context,
    api: "AdminApi",
    form: str,
    user: str | None,
    password_fd: int | None,
    cert: Path | None,
    key: Path | None,
    terminal: str,
    as_json: bool,
) -> None:
    """Check that the broker is well: process, listeners, log-in and echo, writer, disk, clock, certificates.

    Each stage is ok, warning, critical or skipped. Exit status 0: nothing is critical; 1: something is; 69: there is
    no broker. As a monitoring plugin (nagios): one line with figures, and 0 ok, 1 warning, 2 critical, 3 unknown.

    The log-in goes over the wire, and publishes one message to itself. A session of the user that is there already is
    left alone, and the stage skipped. Where the broker asks devices for certificates, give it one with --cert; with
    --user and without --password-fd, the certificate is all that is shown.

    \b
    Example:
        roost check
        roost check --format nagios --user monitor --password-fd 3 3<password
    """
    from roost_admin.failures import Failure
    from roost_admin.output import show_document

    own = own_certificate(cert, key)
    credentials = _credentials(user, password_fd, own, terminal)
    if as_json:
        form = "json"
    try:
        report = _run(api, credentials, own, terminal)
    except Failure as failure:
        if form == "nagios":
            context.exit(_unknown(failure))
        raise
    if form == "nagios":
        from roost_admin.check.report import nagios_line, nagios_status

        click.echo(nagios_line(report))
        context.exit(nagios_status(report))
    if form == "json":
        show_document(report)
    else:
        _show(report)
    context.exit(EX_CRITICAL if report.state == "critical" else 0)


def _credentials(
    user: str | None, password_fd: int | None, own: OwnCertificate | None, terminal: str
) -> "Credentials | None":
    from roost_admin.failures import EX_USAGE, Failure
    from roost_admin.passwords import password_for

    if user is None:
        if password_fd is not None:
            raise Failure("--password-fd goes with --user", EX_USAGE)
        return None
    from roost_admin.check.echo import Credentials

    by_certificate = own is not None and password_fd is None
    return Credentials(user, None if by_certificate else password_for(user, password_fd), terminal)


def _run(api: "AdminApi", credentials: "Credentials | None", own: OwnCertificate | None, terminal: str) -> "Report":
    """Every stage, in order. Raises Failure if the broker does not answer at all."""
    from roost_admin.check import stages
    from roost_admin.check.echo import echo
    from roost_admin.check.report import report_on
    from roost_protocol.admin.health import HEALTH
    from roost_protocol.admin.status import STATUS

    status = api.ask(STATUS)
    return report_on(
        [
            stages.process(status),
            stages.listeners(status),
            _guarded(
                "echo", lambda: echo(api, status.listeners, credentials, terminal, own, encrypted=_encrypted(api))
            ),
            _guarded("writer", lambda: stages.writer(api.ask(HEALTH))),
            _guarded("disk", lambda: stages.disk(api.ask(HEALTH))),
            _guarded("clock", lambda: stages.clock(api)),
            _guarded("certificates", lambda: stages.certificates(api.ask(HEALTH))),
        ]
    )


def _encrypted(api: "AdminApi") -> bool:
    from roost_protocol.admin.health import HEALTH

    return api.ask(HEALTH).certificate_expires is not None


def _guarded(name: str, stage: "Callable[[], Stage]") -> "Stage":
    """A stage whose question may go without an answer."""
    from roost_admin.check.report import Stage
    from roost_admin.failures import Failure

    try:
        return stage()
    except Failure as failure:
        return Stage(name, "critical", failure.format_message())


def _unknown(failure: click.ClickException) -> int:
    """Say for a monitor that nothing was found out; the exit status."""
    from roost_admin.check.report import NAGIOS_CRITICAL, NAGIOS_UNKNOWN, nagios_unknown
    from roost_admin.failures import EX_TEMPFAIL, EX_UNAVAILABLE

    down = failure.exit_code in (EX_UNAVAILABLE, EX_TEMPFAIL)
    click.echo(nagios_unknown(failure.format_message(), down=down))
    return NAGIOS_CRITICAL if down else NAGIOS_UNKNOWN


def _show(report: "Report") -> None:
    from roost_admin.columns import Column
    from roost_admin.output import show_table

    columns = [Column("STAGE", whole=True), Column("STATE", whole=True), Column("WHAT", prose=True)]
    show_table(columns, [[stage.name, stage.state, stage.text] for stage in report.stages], "")
