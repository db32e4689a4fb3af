"""What an admin may do: the acts behind the admin API, and behind the methods of an embedded broker.

Every act raises `NotDone` with the reason when it cannot be done. Safe to cancel: a change is then done or not, but
whole.
"""

import os
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, TypeVar

from roost_broker.accounts import PasswordsBusy, PasswordUnfit
from roost_broker.store import CommitRefused
from roost_broker.store.operations import (
    Account,
    ChangeMembers,
    CreateGroup,
    CreateUser,
    Done,
    Ended,
    EndSession,
    Operation,
    Refused,
    UserCreated,
)
from roost_protocol import admin
from roost_protocol.names import check_name
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.core import Core
    from roost_broker.server import Server
    from roost_broker.session import Session

T = TypeVar("T")

ADMIN = "admin"
"""Who ended a session, where it was no device."""


class NotDone(Exception):
    """An act of administration was not done; nothing was changed."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text or reason.phrase)
        self.reason = reason


class Administration:
    """Acts on one node. `listeners` are the addresses it listens on, for the status."""

    def __init__(self, core: "Core", server: "Server", listeners: list[str]) -> None:
        self._core = core
        self._server = server
        self._listeners = listeners

    @property
    def connections(self) -> int:
        """Connections now, with those that are not logged in."""
        return self._server.connections

    async def wait_no_connections(self) -> None:
        """Wait until every connection is closed. Safe to cancel."""
        await self._server.wait_no_connections()

    async def status(self) -> admin.BrokerStatus:
        """The broker as a whole."""
        core = self._core
        store = await core.readers.run(core.store.statistics)
        return admin.BrokerStatus(
            version=installed_version(),
            pid=os.getpid(),
            started=core.started_ms,
            listeners=tuple(self._listeners),
            draining=core.draining,
            connections=self.connections,
            sessions=len(core.directory),
            published=core.published,
            users=store.users,
            devices=store.devices,
            groups=store.groups,
            messages=store.messages,
            store_used_bytes=store.used_bytes,
            store_map_bytes=store.map_bytes,
        )

    async def create_user(self, name: str, password: str) -> admin.UserRow:
        """Create an account."""
        _check(name)
        core = self._core
        try:
            password_hash = await core.accounts.hash(password)
        except PasswordsBusy as error:
            raise NotDone(Reason.SERVER_BUSY, str(error)) from error
        except PasswordUnfit as error:
            raise NotDone(Reason.NOT_AUTHORIZED, str(error)) from error
        await self._run(CreateUser(name=name, password_hash=password_hash), UserCreated)
        return admin.UserRow(name=name, created=core.now_ms(), disabled=False, head=0, floor=1, devices=0, online=())

    async def users(self, after: str = "", limit: int | None = None) -> admin.UserList:
        """A page of users by name."""
        core = self._core
        limit = self._page_size(limit)
        rows = await core.readers.run(core.store.list_users, after, limit + 1)
        users = tuple(
            admin.UserRow(
                name=row.name,
                created=row.created,
                disabled=row.disabled,
                head=row.head,
                floor=row.floor,
                devices=row.devices,
                online=tuple(sorted(session.terminal for session in core.directory.of(row.user))),
            )
            for row in rows[:limit]
        )
        return admin.UserList(users=users, next=users[-1].name if len(rows) > limit else None)

    def sessions(self, after: str = "", limit: int | None = None) -> admin.SessionList:
        """A page of live sessions, by `user/terminal`."""
        limit = self._page_size(limit)
        keyed = ((f"{session.user_name}/{session.terminal}", session) for session in self._core.directory)
        rows = sorted((item for item in keyed if item[0] > after), key=lambda item: item[0])
        more = len(rows) > limit
        return admin.SessionList(
            sessions=tuple(_session_row(session) for _, session in rows[:limit]),
            next=rows[limit - 1][0] if more else None,
        )

    async def kick(self, user: str, terminal: str | None = None, text: str = "") -> admin.Kicked:
        """End the live session of a user on a terminal type, or all of them."""
        account = await self._account(user)
        live = sorted(session.terminal for session in self._core.directory.of(account.user))
        terminals = live if terminal is None else [terminal]
        kicked = []
        for each in terminals:
            operation = EndSession(user=account.user, terminal=each, reason=Reason.ADMINISTRATIVE_ACTION, by=ADMIN)
            try:
                result = await self._core.end_session(operation, text)
            except CommitRefused as refused:
                raise NotDone(refused.reason, str(refused)) from refused
            if isinstance(result, Ended):
                kicked.append(each)
        if not kicked:
            where = "anywhere" if terminal is None else f"on {terminal!r}"
            raise NotDone(Reason.NOT_FOUND, f"{user} has no session {where}")
        return admin.Kicked(terminals=tuple(kicked))

    async def groups(self, after: str = "", limit: int | None = None) -> admin.GroupList:
        """A page of groups by name."""
        core = self._core
        limit = self._page_size(limit)
        rows = await core.readers.run(core.store.list_groups, after, limit + 1)
        groups = tuple(admin.GroupRow(name=row.name, owner=row.owner, members=row.members) for row in rows[:limit])
        return admin.GroupList(groups=groups, next=groups[-1].name if len(rows) > limit else None)

    async def create_group(self, name: str, owner: str, members: tuple[str, ...] = ()) -> admin.GroupRow:
        """Create a group."""
        _check(name)
        account = await self._account(owner)
        await self._run(CreateGroup(name=name, owner=account.user, members=members), Done)
        return await self._group(name)

    async def change_group(self, name: str, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> admin.GroupRow:
        """Add and remove members of a group."""
        await self._run(ChangeMembers(group=name, by=None, add=add, remove=remove), Done)
        return await self._group(name)

    async def _group(self, name: str) -> admin.GroupRow:
        row = await self._core.readers.run(self._core.store.group, name)
        if row is None:  # its last member was removed
            return admin.GroupRow(name=name, owner="", members=())
        return admin.GroupRow(name=row.name, owner=row.owner, members=row.members)

    async def _account(self, name: str) -> Account:
        account = await self._core.readers.run(self._core.store.account, name)
        if account is None:
            raise NotDone(Reason.NOT_FOUND, f"there is no user {name!r}")
        return account

    async def _run(self, operation: Operation, expected: type[T]) -> T:
        try:
            result = await self._core.batcher.run(operation)
        except CommitRefused as refused:
            raise NotDone(refused.reason, str(refused)) from refused
        if isinstance(result, Refused):
            raise NotDone(result.reason, result.text)
        if not isinstance(result, expected):
            raise AssertionError(f"not the outcome of {operation!r}: {result!r}")
        return result

    def _page_size(self, limit: int | None) -> int:
        most = self._core.limits.listing_max
        return most if limit is None else max(1, min(limit, most))


def _session_row(session: "Session") -> admin.SessionRow:
    head = session.inbox.head
    return admin.SessionRow(
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


def _check(name: str) -> None:
    try:
        check_name(name)
    except ValueError as error:
        raise NotDone(Reason.MALFORMED_PACKET, str(error)) from error


def installed_version() -> str:
    """The version of roost that is installed."""
    try:
        return version("roost")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0"
