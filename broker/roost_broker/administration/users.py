"""Accounts."""

from typing import TYPE_CHECKING, Any

from roost_broker.administration.acts import Act, Acts, NotDone, check
from roost_broker.administration.devices import device_rows
from roost_broker.store import CommitRefused
from roost_broker.store.account_operations import SetDisabled
from roost_broker.store.operations import CreateUser, Done, Ended, EndSession, Refused, SetPassword, UserCreated
from roost_broker.store.readings import Account
from roost_protocol.admin.route import FIRST_PAGE, PROGRAM, Caller, Paging, Route
from roost_protocol.admin.users import (
    USERS_CREATE,
    USERS_DISABLE,
    USERS_ENABLE,
    USERS_LIST,
    USERS_PASSWORD,
    USERS_REMOVE,
    USERS_SHOW,
    PasswordSet,
    UserChanged,
    UserCreate,
    UserDetail,
    UserList,
    UserRemoved,
    UserRow,
)
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.core import Core


class Users(Acts):
    """Acts on accounts."""

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {
            USERS_LIST: self.list,
            USERS_CREATE: self.create,
            USERS_SHOW: self.show,
            USERS_REMOVE: self.remove,
            USERS_PASSWORD: self.set_password,
            USERS_DISABLE: self.disable,
            USERS_ENABLE: self.enable,
        }

    async def list(self, page: Paging = FIRST_PAGE) -> UserList:
        """A page of users by name."""
        core = self._core
        limit = self._page_size(page.limit)
        rows = await core.readers.run(core.store.list_users, page.after, limit + 1)
        users = tuple(
            UserRow(
                name=row.name,
                created=row.created,
                disabled=row.disabled,
                head=row.head,
                floor=row.floor,
                devices=row.devices,
                online=tuple(sorted(session.terminal for session in core.directory.of(row.user))),
                importing=row.importing,
            )
            for row in rows[:limit]
        )
        return UserList(users=users, next=users[-1].name if len(rows) > limit else None)

    async def create(self, new: UserCreate, caller: Caller = PROGRAM) -> UserRow:
        """Create an account."""
        del caller
        check(new.name)
        password_hash = await self._hash(new.password)
        await self._run(CreateUser(name=new.name, password_hash=password_hash), UserCreated)
        now_ms = self._core.now_ms()
        return UserRow(name=new.name, created=now_ms, disabled=False, head=0, floor=1, devices=0, online=())

    async def show(self, name: str) -> UserDetail:
        """A user with devices and inbox."""
        core = self._core
        account = await self._account(name)
        user = account.user
        devices = await device_rows(core, user)
        extent = await core.readers.run(core.store.inbox_size, user)
        groups = await core.readers.run(core.store.groups_of, user)
        contacts = await core.readers.run(core.store.relations, user, "contact")
        blocks = await core.readers.run(core.store.relations, user, "block")
        return UserDetail(
            name=account.name,
            created=account.created,
            disabled=account.disabled,
            online=self._online(user),
            floor=extent.floor,
            head=extent.head,
            bytes=extent.bytes,
            groups=len(groups),
            contacts=len(contacts),
            blocks=len(blocks),
            devices=devices,
            importing=account.importing,
        )

    async def set_password(self, name: str, new: PasswordSet, caller: Caller = PROGRAM) -> UserChanged:
        """Change a password, and revoke every device token; end the sessions too, if asked to."""
        account = await self._account(name)
        password_hash = await self._hash(new.password)
        await self._run(SetPassword(user=account.user, password_hash=password_hash), Done)
        logged_out = await self._end_sessions(account, caller, "the password was changed") if new.log_out else ()
        return UserChanged(name=name, disabled=account.disabled, logged_out=logged_out)

    async def disable(self, name: str, caller: Caller = PROGRAM) -> UserChanged:
        """Refuse log-ins from now on, and end the sessions."""
        account = await self._account(name)
        await self._run(SetDisabled(user=account.user, disabled=True), Done)
        logged_out = await self._end_sessions(account, caller, "the account is disabled")
        return UserChanged(name=name, disabled=True, logged_out=logged_out)

    async def enable(self, name: str, caller: Caller = PROGRAM) -> UserChanged:
        """Let log-ins in again."""
        del caller
        account = await self._account(name)
        await self._run(SetDisabled(user=account.user, disabled=False), Done)
        return UserChanged(name=name, disabled=False, logged_out=())

    async def remove(self, name: str, caller: Caller = PROGRAM) -> UserRemoved:
        """Remove an account."""
        account = await self._account(name)
        online = self._online(account.user)
        await remove_account(self._core, account, caller, erase=False)
        return UserRemoved(name=name, logged_out=online)

    async def _end_sessions(self, account: Account, caller: Caller, text: str) -> tuple[str, ...]:
        """End every session that is there; the terminal types it was on."""
        ended = []
        for terminal in self._online(account.user):
            operation = EndSession(
                user=account.user,
                terminal=terminal,
                reason=Reason.ADMINISTRATIVE_ACTION,
                by=caller.name,
                address=caller.address,
            )
            try:
                result = await self._core.end_session(operation, text)
            except CommitRefused as refused:
                raise NotDone(refused.reason, str(refused)) from refused
            if isinstance(result, Ended):
                ended.append(terminal)
        return tuple(ended)

    def _online(self, user: int) -> tuple[str, ...]:
        return tuple(sorted(session.terminal for session in self._core.directory.of(user)))


async def remove_account(core: "Core", account: Account, caller: Caller, *, erase: bool) -> None:
    """Remove an account, and tell whoever is logged in with it. Raises NotDone."""
    text = "the account was erased" if erase else "the account was removed"
    try:
        result = await core.removals.remove(
            account.user, erase=erase, by=caller.name, address=caller.address, text=text
        )
    except CommitRefused as refused:
        raise NotDone(refused.reason, str(refused)) from refused
    if isinstance(result, Refused):
        raise NotDone(result.reason, f"there is no user {account.name!r} any more")
