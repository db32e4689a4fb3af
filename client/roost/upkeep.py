"""Keeping a session alive: log in, run the connection, wait, log in again; and the cases in which that must not be."""

from collections.abc import Awaitable, Callable
from random import Random

import msgspec
import trio
from msgspec import Struct, structs

from roost.backoff import Backoff
from roost.bounds import CLOSE_TIMEOUT_S, STEADY_S
from roost.core import SessionCore
from roost.errors import ConnectionFailed, LoginRefused, StateUnusable
from roost.events import Disconnected, Ended, TakenOver
from roost.link import Dial, Ending, Link, log_in
from roost.requests import checked
from roost_protocol.frames import Connect
from roost_protocol.reasons import Reason

STAY_AWAY = frozenset({Reason.SESSION_TAKEN_OVER, Reason.ADMINISTRATIVE_ACTION, Reason.LOGGED_OUT})
"""Reasons for which a session is over until a person acts (docs/protocol.md, "Takeover and reconnecting")."""
GiveJwt = Callable[[], Awaitable[str]]
"""Gives a JWT that holds now. Raises ConnectionFailed if there is none to be had at the moment."""


class LoginTerms(Struct, frozen=True, kw_only=True):
    """What every log-in of a session says in the same way. `newest` is for the very first."""

    password: str | None
    token: str | None
    jwt: GiveJwt | None = None
    by_certificate: bool = False
    """Neither a password nor a token is sent: the connection's certificate says who this is."""
    newest: int | None
    receive_max: int
    receive_bytes_max: int
    keepalive_s: int
    want_token: bool
    client: str


class Upkeep:
    """Owns the connection of a session: at most one at a time, and the attempts between two."""

    def __init__(
        self, core: SessionCore, dial: Dial, terms: LoginTerms, backoff: Backoff, random: Random, reconnect: bool
    ) -> None:
        self._core = core
        self._dial = dial
        self._terms = terms
        self._backoff = backoff
        self._random = random
        self._reconnect = reconnect
        self._first = True
        self._attempts = 0
        self._link: Link | None = None
        # Shielded: a cancelled application still says goodbye. `leave` gives the shield its deadline.
        self._scope = trio.CancelScope(shield=True)
        self._finished = trio.Event()

    async def log_in(self, *, resume: bool) -> None:
        """Log in and note what was told. `resume`: as an automatic reconnect, which takes over from nobody.

        A checkpoint; cancelling closes the connection. Raises ConnectionFailed, LoginRefused (without a connection if
        the broker has said before that this device must not come back by itself), StateUnusable.
        """
        if resume and self._core.stay_away is not None:
            raise _refusal_again(self._core.stay_away)
        await self._core.writer.flush()  # the device's own id must not be made anew at the next start
        connect = await self._connect_frame(resume)
        try:
            link = await log_in(self._dial, connect)
        except LoginRefused as refused:
            if refused.reason is Reason.BAD_USER_NAME_OR_PASSWORD and connect.token is not None:
                self._core.token_refused(connect.token)
            self._note_ended(_ending_of_refusal(refused))
            raise
        try:
            self._core.logged_in(link.connack, link.granted)
            await self._core.writer.flush()  # before anything else is taken from the connection
        except BaseException:
            await link.close()
            raise
        self._first = False
        self._link = link

    def password_changed(self, password: str) -> None:
        """Later log-ins go by this one."""
        if self._terms.password is not None:
            self._terms = structs.replace(self._terms, password=password)

    async def run(self) -> None:
        """Run the connection that `log_in` made, and those after it, until the session is over."""
        try:
            with self._scope:
                await self._keep()
        finally:
            self._finished.set()

    async def save(self) -> None:
        """Save in the background what nobody waits for; a state that cannot be written ends the session."""
        try:
            await self._core.writer.run()
        except StateUnusable as error:
            self._fail(error)

    async def leave(self) -> None:
        """End the session from this side, with a goodbye; within `CLOSE_TIMEOUT_S`, also when this is cancelled."""
        self._core.close()
        if self._link is not None:
            self._link.leave()
        else:
            self._scope.cancel()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 2 * CLOSE_TIMEOUT_S):
            await self._finished.wait()
        self._scope.cancel()

    async def _keep(self) -> None:
        while self._link is not None:
            link, core = self._link, self._core
            try:
                ending = await link.run(core)
            except StateUnusable as error:
                core.lost()
                self._fail(error)
                return
            finally:
                self._link = None
            final = not self._may_retry(ending)
            core.lost()
            if final:
                return
            if trio.current_time() - link.began >= STEADY_S:
                self._attempts = 0
            await self._come_back(ending)

    async def _come_back(self, ending: Ending) -> None:
        """Try to log in until it works, or until it must not be tried any more."""
        while True:
            retry_in_s = ending.after_s + self._backoff.delay_s(self._attempts, self._random)
            self._attempts += 1
            self._core.tell(Disconnected(reason=ending.reason, text=ending.text, retry_in_s=retry_in_s))
            await trio.sleep(retry_in_s)
            try:
                await self.log_in(resume=True)
            except ConnectionFailed as error:
                ending = Ending(Reason.SERVER_UNAVAILABLE, str(error))
            except LoginRefused as refused:
                ending = _ending_of_refusal(refused)
                if not self._may_retry(ending):
                    return
            except StateUnusable as error:
                self._fail(error)
                return
            else:
                return

    def _may_retry(self, ending: Ending) -> bool:
        """Whether to come back after this ending; if not, the session is over, and says why."""
        core = self._core
        if core.ended is not None:
            return False
        self._note_ended(ending)
        if ending.reason is Reason.SESSION_TAKEN_OVER:
            origin = ending.origin
            core.end(
                TakenOver(
                    by=origin.by if origin else "",
                    at_ms=origin.at if origin else 0,
                    address=origin.address if origin else "",
                    text=ending.text,
                )
            )
            return False
        if not (ending.reconnect and self._reconnect):
            core.end(Ended(reason=ending.reason, text=ending.text, origin=ending.origin))
            return False
        return True

    def _note_ended(self, ending: Ending) -> None:
        """If the broker has ended the session, this holds after a restart of the software, too."""
        if ending.reason is Reason.SESSION_TAKEN_OVER or (ending.reason in STAY_AWAY and not ending.reconnect):
            self._core.writer.note_ended(msgspec.json.encode(ending).decode())

    def _fail(self, error: StateUnusable) -> None:
        """Without its state a session can keep no promise."""
        self._core.end(Ended(reason=Reason.UNSPECIFIED_ERROR, text=str(error)), error)
        self._scope.cancel()

    async def _connect_frame(self, resume: bool) -> Connect:
        """The CONNECT of the next log-in. Raises ValueError for terms that no broker would take, ConnectionFailed."""
        core, terms = self._core, self._terms
        token = terms.token
        by_person = terms.password is not None or terms.jwt is not None
        if token is None and not terms.by_certificate and not (by_person and self._first):
            token = core.token
        password = None if token is not None else terms.password
        jwt = None if token is not None or terms.jwt is None else await terms.jwt()
        held = core.resume_after()
        return checked(
            Connect(
                user=core.user,
                password=password,
                token=token,
                jwt=jwt,
                terminal=core.terminal,
                device=core.device,
                last_seq=held.seq,
                last_id=held.id,
                incarnation=core.incarnation,
                newest=terms.newest if core.fresh else None,
                epoch=core.epoch if resume else None,
                receive_max=terms.receive_max,
                receive_bytes_max=terms.receive_bytes_max,
                keepalive_s=terms.keepalive_s,
                want_token=terms.want_token and token is None,
                client=terms.client,
            )
        )


def _refusal_again(ended: str) -> LoginRefused:
    """What the broker has said, for a log-in that is not tried."""
    ending = msgspec.json.decode(ended, type=Ending)
    return LoginRefused(ending.reason, ending.text, origin=ending.origin)


def _ending_of_refusal(refused: LoginRefused) -> Ending:
    return Ending(
        refused.reason,
        refused.text,
        reconnect=refused.retry_after_s is not None,
        after_s=refused.retry_after_s or 0.0,
        origin=refused.origin,
    )
