"""Log-in: from a stranger's CONNECT to a live session.

Who it is, a certificate or the site's own sign-on may say (`vouching`); else it is a password or a device token. The
credential is checked off the event loop; everything else is decided in one operation in commit order (is the
account still there, does the credential still hold, may this device resume, which epoch), so that two log-ins at once
end with one session, and the other told.
"""

import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import trio

from roost_broker.accounts import PasswordsBusy, Token, token_digest
from roost_broker.batcher import Settlement
from roost_broker.delivery import UNREADABLE_RETRY_S
from roost_broker.guesses import Source, of_login
from roost_broker.link import Link
from roost_broker.metrics import LOGIN_REFUSED
from roost_broker.session import Session
from roost_broker.store import CommitRefused, ReadFailed, Store
from roost_broker.store.operations import LoggedIn, LogIn, Operation, Refused
from roost_broker.store.readings import Account
from roost_broker.vouching import NotVouched, Vouched, vouched_for
from roost_protocol.errors import RemoteProtocolError
from roost_protocol.frames import PROTOCOL_VERSION, Connack, Connect, Disconnect, Granted, Origin
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.core import Core

_log = logging.getLogger(__name__)

BUSY_RETRY_AFTER_S = 2


_WHY_NOT = {
    Reason.UNSPECIFIED_ERROR: ("the store cannot be read; the broker's log says more", UNREADABLE_RETRY_S),
    Reason.SERVER_UNAVAILABLE: ("the store's disk takes no writes", BUSY_RETRY_AFTER_S),
}
"""What is told, and when to try again, when the store did not take a log-in; otherwise it has no room."""


class LoginRefused(Exception):
    """The log-in ends here, with this CONNACK."""

    def __init__(self, reason: Reason, text: str = "", retry_after_s: int | None = None) -> None:
        super().__init__(text or reason.phrase)
        self.connack = Connack(reason=reason, text=text, retry_after_s=retry_after_s)


async def log_in(core: "Core", link: Link) -> Session | None:
    """Read CONNECT from a new connection and answer it; the live session, or None when there is none.

    What is to be said is on the wire when this returns. Safe to cancel: no session is left behind. Raises
    ConnectionLost.
    """
    session: Session | None = None
    with trio.move_on_after(core.limits.login_timeout_s) as scope:
        connect = await _read_connect(core, link)
        if connect is not None:
            core.strangers.introduced(link)
            session = await _answer(core, link, connect)
    if scope.cancelled_caught:
        core.metrics.logins[Reason.LOGIN_TIMEOUT] += 1
        text = f"not logged in within {core.limits.login_timeout_s} s"
        link.disconnect(Disconnect(reason=Reason.LOGIN_TIMEOUT, text=text, reconnect=True))
    return session


async def _read_connect(core: "Core", link: Link) -> Connect | None:
    events = await link.read()
    match events:
        case [Connect() as connect]:
            return connect
        case [*_, RemoteProtocolError() as violation]:
            core.strangers.log(
                _log.warning, "%s: before log-in: %s: connection closed", link.transport.address, violation
            )
            link.disconnect(Disconnect(reason=violation.reason, text=violation.text))
        case _:
            link.end()
    return None


async def _answer(core: "Core", link: Link, connect: Connect) -> Session | None:
    attempt = _Attempt(core, link, connect)
    try:
        await attempt.run_or_refuse()
    except LoginRefused as refused:
        core.strangers.log(
            _log.info, "%s: log-in of %r on %s refused: %s",
            link.transport.address, connect.user, connect.terminal, refused,
        )  # fmt: skip
        core.metrics.logins[Reason.of(refused.connack.reason)] += 1
        link.ending = LOGIN_REFUSED
        link.transport.explain_end(refused.connack.reason, refused.connack.text)
        link.say(refused.connack)
        link.end()
    except BaseException:
        if attempt.session is not None:  # it began, but nobody is left to run it
            core.end(attempt.session)
        raise
    return attempt.session


def _account_and_device(store: Store, connect: Connect) -> tuple[Account | None, str | None]:
    """The account that is asked for, and the device's id if this user has used that before."""
    account = store.account(connect.user)
    if account is None or all(device.device_id != connect.device for device in store.devices(account.user)):
        return account, None
    return account, connect.device


class _Attempt:
    """One log-in under way."""

    def __init__(self, core: "Core", link: Link, connect: Connect) -> None:
        self.core = core
        self.link = link
        self.connect = connect
        self.token: Token | None = None
        self.vouched: Vouched | None = None
        self.session: Session | None = None

    async def run_or_refuse(self) -> None:
        """Log in. Raises LoginRefused, also when the store cannot read what it needs for it."""
        try:
            await self.run()
        except ReadFailed as error:
            _log.error("%s: log-in of %r: %s", self.link.transport.address, self.connect.user, error)
            text = "the store cannot be read; the broker's log says more"
            raise LoginRefused(Reason.UNSPECIFIED_ERROR, text, UNREADABLE_RETRY_S) from error

    async def run(self) -> None:
        """Log in. Raises LoginRefused and ReadFailed."""
        core, connect = self.core, self.connect
        if connect.version != PROTOCOL_VERSION:
            text = f"protocol version {connect.version}; this broker speaks {PROTOCOL_VERSION}"
            raise LoginRefused(Reason.UNSUPPORTED_PROTOCOL_VERSION, text)
        if connect.terminal not in core.config.terminal_types:
            text = f"terminal type {connect.terminal}; configured are {', '.join(core.config.terminal_types)}"
            raise LoginRefused(Reason.UNKNOWN_TERMINAL_TYPE, text)
        account = await self._authenticate()
        self._refuse_ping_pong(account)
        if connect.want_token and self._ends_ms is None:
            self.token = core.accounts.new_token()
        result = await self._commit(account)
        if isinstance(result, Refused):
            self._refuse(account, result)

    async def _authenticate(self) -> Account:
        """The account that the credential belongs to. The same answer, and time, for a wrong one and no such user."""
        core, connect = self.core, self.connect
        try:
            self.vouched = await vouched_for(core, connect, self.link.transport.certificate)
        except NotVouched as refused:
            raise LoginRefused(refused.reason, str(refused)) from refused
        except CommitRefused as refused:
            raise LoginRefused(refused.reason, "the store has no room", BUSY_RETRY_AFTER_S) from refused
        if self.vouched is not None:
            return self.vouched.account
        if connect.token is not None:
            owner = await core.token_owners.run(token_digest(connect.token))
            if owner and owner.account.name == connect.user and owner.device_id == connect.device:
                return owner.account
            raise LoginRefused(Reason.BAD_USER_NAME_OR_PASSWORD, "the token is not valid for this user and device")
        account, known_device = await core.readers.run(_account_and_device, core.store, connect)
        sources = of_login(self.link.transport.host, connect.user, known_device)
        self._refuse_guesses(sources)
        known = account if account is not None and not account.disabled else None
        # Looked at once more when it is its turn: many guesses at once must not all come before the first has failed.
        may_go_on = partial(self._refuse_guesses, sources)
        try:
            right = await core.accounts.check(known.password_hash if known else None, connect.password or "", may_go_on)
        except PasswordsBusy as busy:
            raise LoginRefused(Reason.SERVER_BUSY, str(busy), BUSY_RETRY_AFTER_S) from busy
        if known is None or not right:
            self._guessed_wrong(sources, account)
            raise LoginRefused(Reason.BAD_USER_NAME_OR_PASSWORD, "user name or password is wrong")
        return known

    def _refuse_guesses(self, sources: Sequence[Source]) -> None:
        """After too many failed log-ins, the next waits; it costs no hash. Raises LoginRefused."""
        throttled = self.core.guesses.refuse(sources, trio.current_time())
        if throttled is not None:
            raise LoginRefused(Reason.CONNECTION_RATE_EXCEEDED, throttled.text, throttled.wait_s)

    def _guessed_wrong(self, sources: Sequence[Source], account: Account | None) -> None:
        """Count a wrong password; say so once when that makes others wait."""
        for source in self.core.guesses.failed(sources, trio.current_time()):
            address, limits = self.link.transport.address, self.core.limits
            text = "%s: so many log-ins failed within %d s that the next ones wait: %s %r"
            _log.warning(text, address, limits.login_failures_window_s, source.kind, source.key)
            if account is not None and source.kind != "address":
                self._note(account, Reason.CONNECTION_RATE_EXCEEDED, "")

    @property
    def _ends_ms(self) -> int | None:
        """When the session is over at the latest, if that is known."""
        return self.vouched.ends_ms if self.vouched is not None else None

    def _refuse_ping_pong(self, account: Account) -> None:
        """A log-in that would take over once more, after too many takeovers in a short time, waits."""
        live = self.core.directory.get(account.user, self.connect.terminal)
        if live is None or live.device_id == self.connect.device:
            return
        wait_s = self.core.damper.wait_s(account.user, self.connect.terminal, trio.current_time())
        if wait_s is not None:
            self._note(account, Reason.CONNECTION_RATE_EXCEEDED, live.device_id)
            text = f"{self.connect.terminal} was taken over too often; last by {live.device_id}"
            raise LoginRefused(Reason.CONNECTION_RATE_EXCEEDED, text, wait_s)

    async def _commit(self, account: Account) -> object:
        connect = self.connect
        by_password = connect.token is None and self.vouched is None
        operation = LogIn(
            user=account.user,
            password_version=account.password_version if by_password else None,
            token_digest=token_digest(connect.token) if connect.token is not None else None,
            vouched=self.vouched is not None,
            device_id=connect.device,
            terminal=connect.terminal,
            epoch=connect.epoch,
            last_seq=connect.last_seq,
            last_id=connect.last_id,
            incarnation=connect.incarnation,
            newest=connect.newest,
            client=connect.client,
            address=self.link.transport.address,
            new_token_digest=self.token.digest if self.token else None,
        )
        try:
            return await self.core.batcher.run(operation, self._settled)
        except CommitRefused as refused:
            text, retry_s = _WHY_NOT.get(refused.reason, ("the store has no room", BUSY_RETRY_AFTER_S))
            raise LoginRefused(refused.reason, text, retry_s) from refused

    def _settled(self, operation: Operation, result: Settlement) -> None:
        """The log-in is committed: at this very place in commit order the session begins."""
        if not isinstance(operation, LogIn) or not isinstance(result, LoggedIn):
            return
        core, link = self.core, self.link
        session = Session(core, link, self.connect, operation.user, result)
        session.ends_ms = self._ends_ms
        core.begin(session, result)
        if link.ended:  # the device has gone meanwhile, there is no time left for it, or the broker drains
            core.end(session)
            return
        self.session = session
        core.metrics.logins[Reason.SUCCESS] += 1
        link.say(self._connack(session, result))
        core.delivery.pump(session)
        _log.info(
            "%s/%s logged in on %s from %s, epoch %d, at %d of %d%s",
            session.user_name, session.device_id, session.terminal, session.address, session.epoch,
            result.position, result.head, f", took over from {result.took_over.device_id}" if result.took_over else "",
        )  # fmt: skip

    def _connack(self, session: Session, result: LoggedIn) -> Connack:
        limits = self.core.limits
        owner = result.took_over
        return Connack(
            epoch=result.epoch,
            head=result.head,
            floor=result.floor,
            position=result.position,
            incarnation=result.incarnation,
            start_over=result.start_over,
            settled_n=result.settled_n,
            granted=Granted(
                frame_bytes_max=limits.frame_bytes_max,
                body_bytes_max=limits.body_bytes_max,
                publish_max=limits.publish_max,
                receive_max=session.receive_max,
                receive_bytes_max=session.receive_bytes_max,
                keepalive_s=session.keepalive_s,
            ),
            token=self.token.token if self.token else None,
            took_over=Origin(by=owner.device_id, at=owner.at, address=owner.address) if owner else None,
            resumed=result.resumed,
        )

    def _refuse(self, account: Account, refused: Refused) -> None:
        error = LoginRefused(refused.reason, refused.text)
        if refused.by is not None:
            origin = Origin(by=refused.by, at=refused.at or 0, address=refused.address)
            error.connack = Connack(reason=refused.reason, text=refused.text, origin=origin)
            self._note(account, refused.reason, refused.by)
        raise error

    def _note(self, account: Account, reason: Reason, by: str) -> None:
        """Record in the journal that a device was not let in."""
        connect, address = self.connect, self.link.transport.address
        self.core.journal.refused(account.user, connect.terminal, connect.device, reason=reason, by=by, address=address)
