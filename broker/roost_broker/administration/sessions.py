"""Live sessions."""

from typing import TYPE_CHECKING, Any

from roost_broker.administration.acts import Act, Acts, NotDone
from roost_broker.store import CommitRefused
from roost_broker.store.operations import Ended, EndSession
from roost_protocol.admin.route import FIRST_PAGE, PROGRAM, Caller, Paging, Route
from roost_protocol.admin.sessions import SESSIONS_KICK, SESSIONS_LIST, Kick, Kicked, SessionList, SessionRow
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.session import Session


class Sessions(Acts):
    """Acts on live sessions."""

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {SESSIONS_LIST: self.list, SESSIONS_KICK: self.kick}

    async def list(self, page: Paging = FIRST_PAGE) -> SessionList:
        """A page of live sessions, by `user/terminal`."""
        limit = self._page_size(page.limit)
        keyed = ((f"{session.user_name}/{session.terminal}", session) for session in self._core.directory)
        rows = sorted((item for item in keyed if item[0] > page.after), key=lambda item: item[0])
        more = len(rows) > limit
        return SessionList(
            sessions=tuple(session_row(session) for _, session in rows[:limit]),
            next=rows[limit - 1][0] if more else None,
        )

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


def session_row(session: "Session") -> SessionRow:
    """A live session in a listing."""
    head = session.inbox.head
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
    )
