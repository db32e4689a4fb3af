"""Live sessions."""

from heapq import nsmallest
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import trio

from roost_broker.administration.acts import Act, Acts, NotDone
from roost_broker.store import CommitRefused
from roost_broker.store.operations import Ended, EndSession
from roost_broker.survey import slices
from roost_protocol.admin.route import PROGRAM, Caller, Route
from roost_protocol.admin.sessions import (
    SESSIONS_KICK,
    SESSIONS_LIST,
    SESSIONS_SHOW,
    Kick,
    Kicked,
    SessionList,
    SessionQuery,
    SessionRow,
)
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.session import Session


EVERY_SESSION = SessionQuery()


class Sessions(Acts):
    """Acts on live sessions."""

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {SESSIONS_LIST: self.list, SESSIONS_SHOW: self.show, SESSIONS_KICK: self.kick}

    async def list(self, query: SessionQuery = EVERY_SESSION) -> SessionList:
        """A page of live sessions, by `user/terminal`."""
        limit = self._page_size(query.limit)
        user = None if query.user is None else (await self._account(query.user)).user
        found = list(self._core.directory) if user is None else self._core.directory.of(user)
        keyed: list[tuple[str, Session]] = []
        for some in slices(found):
            for session in some:
                key = f"{session.user_name}/{session.terminal}"
                if key > query.after and _fits(session, query):
                    keyed.append((key, session))
            await trio.lowlevel.checkpoint()
        page = nsmallest(limit + 1, keyed, key=itemgetter(0))
        return SessionList(
            sessions=tuple(self._row(session) for _, session in page[:limit]),
            next=page[limit - 1][0] if len(page) > limit else None,
        )

    async def show(self, user: str, terminal: str) -> SessionRow:
        """One live session."""
        account = await self._account(user)
        session = self._core.directory.get(account.user, terminal)
        if session is None:
            raise NotDone(Reason.NOT_FOUND, f"{user} has no session on {terminal!r}")
        return self._row(session)

    async def kick(self, kick: Kick, caller: Caller = PROGRAM) -> Kicked:
        """End the live session of a user on a terminal type, or all of them."""
        account = await self._account(kick.user)
        live = sorted(session.terminal for session in self._core.directory.of(account.user))
        terminals = live if kick.terminal is None else [kick.terminal]
        kicked = []
        for each in terminals:
            operation = EndSession(
                user=account.user,
                terminal=each,
                reason=Reason.ADMINISTRATIVE_ACTION,
                by=caller.name,
                address=caller.address,
                text=kick.text,
            )
            try:
                result = await self._core.end_session(operation, kick.text)
            except CommitRefused as refused:
                raise NotDone(refused.reason, str(refused)) from refused
            if isinstance(result, Ended):
                kicked.append(each)
        if not kicked:
            where = "anywhere" if kick.terminal is None else f"on {kick.terminal!r}"
            raise NotDone(Reason.NOT_FOUND, f"{kick.user} has no session {where}")
        return Kicked(terminals=tuple(kicked))

    def _row(self, session: "Session") -> SessionRow:
        head = session.inbox.head
        flapping = self._core.damper.recent(session.user, session.terminal, trio.current_time())
        return SessionRow(
            user=session.user_name,
            terminal=session.terminal,
            device=session.device_id,
            client=session.client,
            address=session.address,
            since=session.since_ms,
            epoch=session.epoch,
            position=session.position,
            acknowledged=session.acknowledged,
            head=head,
            backlog=max(0, head - session.position),
            unacknowledged=session.position - session.acknowledged,
            takeovers=flapping.takeovers if flapping else 0,
            damped=flapping.damped if flapping else 0,
            wait_s=flapping.wait_s if flapping else None,
        )


def _fits(session: "Session", query: SessionQuery) -> bool:
    """Whether the session is one of those asked for; the user is looked up by the caller."""
    return (
        query.terminal in (None, session.terminal)
        and (query.address is None or session.address.startswith(query.address))
        and (query.backlog_min is None or session.inbox.head - session.acknowledged >= query.backlog_min)
        and (query.since_before is None or session.since_ms < query.since_before)
    )
