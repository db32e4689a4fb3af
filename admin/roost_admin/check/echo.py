"""The stage that does what devices do: log in over the wire, publish to itself, and get that delivered."""

import secrets
import ssl
from collections.abc import Iterator
from typing import NamedTuple

import trio

import roost
from roost_admin.api import AdminApi
from roost_admin.check.report import Figure, Stage, judged, worst
from roost_admin.check.stages import dialled
from roost_admin.failures import EX_NOUSER, Failure, only_exception
from roost_admin.own_certificate import OwnCertificate
from roost_protocol.admin.route import Paging
from roost_protocol.admin.sessions import SESSIONS_LIST, SessionRow
from roost_protocol.admin.users import USERS_CREATE, USERS_PASSWORD, PasswordSet, UserCreate
from roost_protocol.hosts import is_loopback

SERVICE_USER = "roost-check"
"""The account that a check makes for itself, if it is given none. It gets a new password each time."""

ECHO_S = 10.0
"""Patience for log-in and echo together."""

ECHO_WARNING_MS = 1_000.0
"""People notice."""


class Credentials(NamedTuple):
    """Who logs in, and on which terminal type."""

    user: str
    password: str | None
    """None: the certificate that is shown is enough."""
    terminal: str


class Echoed(NamedTuple):
    """How long the log-in took, and from the publish to its delivery, in ms."""

    login_ms: float
    echo_ms: float


def echo(
    api: AdminApi,
    addresses: tuple[str, ...],
    given: Credentials | None,
    terminal: str,
    own: OwnCertificate | None = None,
    *,
    encrypted: bool,
) -> Stage:
    """Log in and publish over the first listener; as a service user, if nobody is given.

    Raises Failure when the admin API does not answer.
    """
    if not addresses:
        return Stage("echo", "skipped", "the broker listens nowhere")
    if given is None:
        given = _service_user(api, terminal)
    device = f"roost-check-{given.terminal}"
    other = _other_session(api, given, device)
    if other is not None:
        return Stage("echo", "skipped", f"{given.user} is logged in on {given.terminal} with {other}: it is left alone")
    return _result(addresses[0], given, device, _tls(addresses[0], own) if encrypted else False)


def _service_user(api: AdminApi, terminal: str) -> Credentials:
    """The account that is there for this, with a password that is made for this one time; made if it is not there."""
    password = secrets.token_urlsafe(24)
    try:
        api.ask(USERS_PASSWORD, SERVICE_USER, body=PasswordSet(password=password))
    except Failure as failure:
        if failure.exit_code != EX_NOUSER:
            raise
        api.ask(USERS_CREATE, body=UserCreate(name=SERVICE_USER, password=password))
    return Credentials(SERVICE_USER, password, terminal)


def _other_session(api: AdminApi, who: Credentials, device: str) -> str | None:
    """The device that this log-in would take the session from."""
    sessions: Iterator[SessionRow] = api.rows(
        SESSIONS_LIST, lambda page: page.sessions, query=Paging(after=f"{who.user}/")
    )
    for row in sessions:
        if row.user != who.user:
            break
        if row.terminal == who.terminal and row.device != device:
            return row.device
    return None


def _result(address: str, who: Credentials, device: str, tls: bool | ssl.SSLContext) -> Stage:
    try:
        echoed = trio.run(_log_in_and_echo, address, who, device, tls)
    except BaseExceptionGroup as group:
        cause = only_exception(group)
        if not isinstance(cause, roost.RoostError | trio.TooSlowError | ValueError | OSError):
            raise
        return _failed(who, cause)
    except (roost.RoostError, trio.TooSlowError, ValueError, OSError) as error:
        return _failed(who, error)
    figures = (
        Figure("echo", echoed.echo_ms, "ms", ECHO_WARNING_MS, ECHO_S * 1000),
        Figure("login", echoed.login_ms, "ms", ECHO_S * 1000 / 2, ECHO_S * 1000),
    )
    text = f"{who.user} logged in in {echoed.login_ms:.1f} ms; publish to delivery in {echoed.echo_ms:.1f} ms"
    return Stage("echo", worst(judged(each) for each in figures), text, figures)


def _tls(address: str, own: OwnCertificate | None) -> ssl.SSLContext:
    """What the broker's certificate is checked with: not at all on this machine, where it is for another name."""
    context = ssl.create_default_context()
    if own is not None:
        own.load_into(context)
    if is_loopback(dialled(address)[0]):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _failed(who: Credentials, error: BaseException) -> Stage:
    text = f"no answer within {ECHO_S:g} s" if isinstance(error, trio.TooSlowError) else str(error)
    return Stage("echo", "critical", f"{who.user} on {who.terminal}: {text}")


async def _log_in_and_echo(address: str, who: Credentials, device: str, tls: bool | ssl.SSLContext) -> Echoed:
    with trio.fail_after(ECHO_S):
        begun = trio.current_time()
        async with roost.connect(
            dialled(address),
            user=who.user,
            terminal=who.terminal,
            password=who.password,
            by_certificate=who.password is None,
            device=device,
            newest=0,
            reconnect=False,
            tls=tls,
            client="roost-check",
        ) as session:
            logged_in = trio.current_time()
            receipt = await session.publish(f"user/{who.user}", "roost check")
            async for event in session:
                if isinstance(event, roost.Message) and event.id == receipt.id:
                    return Echoed((logged_in - begun) * 1000, (trio.current_time() - logged_in) * 1000)
    raise roost.ConnectionFailed("the connection ended before the message came back")
