"""Accounts."""

from typing import Any

from roost_broker.administration.acts import Act, Acts, check
from roost_broker.store.operations import CreateUser, UserCreated
from roost_protocol.admin.route import FIRST_PAGE, PROGRAM, Caller, Paging, Route
from roost_protocol.admin.users import USERS_CREATE, USERS_LIST, UserCreate, UserList, UserRow


class Users(Acts):
    """Acts on accounts."""

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {USERS_LIST: self.list, USERS_CREATE: self.create}

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
