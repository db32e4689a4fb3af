"""`roost chat`: the command line of a chat."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from roost_admin.failures import (
    EX_CONFIG,
    EX_DATAERR,
    EX_NOPERM,
    EX_TEMPFAIL,
    EX_UNAVAILABLE,
    EX_USAGE,
    Failure,
    only_exception,
    say,
)
from roost_admin.options import password_fd_option
from roost_admin.own_certificate import OwnCertificate, certificate_options, own_certificate

if TYPE_CHECKING:
    import ssl

    from roost.errors import LoginRefused
    from roost_admin.chat.installation import Installation

DEFAULT_SERVER = "127.0.0.1:7300"

MOST_S = 10.0
"""Seconds between two attempts to reconnect, at most: a person is waiting."""


@click.command("chat")
@click.argument("name")
@click.option("--terminal", default="pc", show_default=True, metavar="TYPE", help="Terminal type: phone, pc, pad, …")
@click.option("--to", metavar="USER", help="Talk with this user.")
@click.option("--group", metavar="GROUP", help="Talk in this group.")
@click.option("--server", default=DEFAULT_SERVER, show_default=True, metavar="HOST:PORT", help="The broker.")
@click.option("--tls", is_flag=True, help="Over TLS, as the broker has it where it has a certificate.")
@click.option(
    "--ca",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Trust the authorities in this PEM file, not those of the system; with --tls.",
)
@certificate_options
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="State file of this device. [default: NAME-TERMINAL.db in $XDG_STATE_HOME/roost]",
)
@password_fd_option
@click.pass_context
def chat(
    context: click.Context,
    name: str,
    terminal: str,
    to: str | None,
    group: str | None,
    server: str,
    tls: bool,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    state: Path | None,
    password_fd: int | None,
) -> None:
    """Chat as the user NAME, on one of his devices.

    The password is needed once: this device then has a token, in its state file. A line that is entered is sent; it
    shows up with a ✓ when it is stored for everybody. Ctrl-D or Ctrl-C leaves. What is not stored by then is kept,
    and sent at the next start. With --cert there is no password, if the broker takes the user from the certificate.

    Exit status: 0 when you leave; 77 when the log-in was refused or somebody else ended the session (another device
    logged in on this terminal type, an admin); 69 when there is no broker.

    \b
    Example:
        roost chat alice --terminal phone --to bob
        roost chat alice --terminal pc --group team
        date | roost chat bot --terminal bot --to ann --password-fd 3 3<FILE
    """
    from roost_admin.chat.installation import open_installation
    from roost_protocol.names import check_name, check_terminal

    if (to is None) == (group is None):
        raise click.UsageError("give either --to USER or --group GROUP")
    try:
        check_name(name)
        check_terminal(terminal)
        check_name(to if to is not None else group or "")
    except ValueError as error:
        raise Failure(str(error), EX_DATAERR) from error
    conversation = f"user/{to}" if to is not None else f"group/{group}"
    where = Server(server, _tls(tls, ca, own_certificate(cert, key)), certified=cert is not None)
    with open_installation(name, terminal, state) as installation:
        context.exit(_chat(name, terminal, conversation, where, installation, password_fd))


class Server(NamedTuple):
    """Where the broker is, how to trust it, and whether it is shown a certificate."""

    address: str
    tls: "bool | ssl.SSLContext"
    certified: bool


def _tls(wanted: bool, authorities: Path | None, own: OwnCertificate | None) -> "bool | ssl.SSLContext":
    if not wanted:
        if authorities is not None or own is not None:
            raise click.UsageError(f"{'--ca' if own is None else '--cert'} goes with --tls")
        return False
    if authorities is None and own is None:
        return True
    from roost_admin.authorities import trusting

    context = trusting("--ca", authorities)
    if own is not None:
        own.load_into(context)
    return context


def _chat(
    name: str, terminal: str, conversation: str, server: Server, installation: "Installation", password_fd: int | None
) -> int:
    """Chat to the end, with certificate or token if there is one, else with a password. Raises Failure."""
    from roost import LoginRefused, Reason
    from roost_admin.passwords import password_for

    password: str | None = None
    had_token = installation.has_token
    if password_fd is not None or not (server.certified or installation.has_token):
        password = password_for(name, password_fd)
    try:
        return _run(name, terminal, conversation, server, installation, password)
    except LoginRefused as refused:
        if password is not None or refused.reason is not Reason.BAD_USER_NAME_OR_PASSWORD:
            raise _refusal(name, refused) from refused
    if server.certified and not had_token:
        say("the broker asks for a password as well")
    else:
        say("the token of this device is not valid any more")
    try:
        return _run(name, terminal, conversation, server, installation, password_for(name, None))
    except LoginRefused as refused:
        raise _refusal(name, refused) from refused


def _refusal(name: str, refused: "LoginRefused") -> Failure:
    status = EX_NOPERM if refused.retry_after_s is None else EX_TEMPFAIL
    later = "" if refused.retry_after_s is None else f"; try again in {refused.retry_after_s:g} s"
    return Failure(f"{name} cannot log in: {refused}{later}", status)


def _run(
    name: str, terminal: str, conversation: str, server: Server, installation: "Installation", password: str | None
) -> int:
    """One chat, from log-in to end. Raises LoginRefused, Failure."""
    import os
    import sys

    import trio

    import roost
    from roost_admin.chat.screen import open_screen
    from roost_admin.chat.talk import talk
    from roost_admin.chat.view import Colours, View

    colours = Colours(sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    by_certificate = server.certified and password is None and not installation.has_token
    view = View(name, installation.device, conversation, colours)
    try:
        connecting = roost.connect(
            server.address,
            user=name,
            terminal=terminal,
            password=password,
            by_certificate=by_certificate,
            device=installation.device,
            state=installation.path,
            newest=0,
            want_token=not by_certificate,
            tls=server.tls,
            client=f"roost-chat/{roost.__version__}",
            backoff=roost.Backoff(first_s=0.5, most_s=MOST_S),
        )
        with open_screen() as screen:
            return trio.run(talk, connecting, screen, view)
    except ValueError as error:
        raise Failure(str(error), EX_USAGE) from error
    except BaseExceptionGroup as group:
        cause = only_exception(group)
        match cause:
            case roost.LoginRefused():
                raise cause from None
            case roost.ConnectionFailed():
                raise Failure(f"no broker at {server.address}: {cause}", EX_UNAVAILABLE) from cause
            case roost.StateUnusable():
                raise Failure(str(cause), EX_CONFIG) from cause
            case BrokenPipeError():  # nobody reads any more: as good as leaving
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return 0
        raise
