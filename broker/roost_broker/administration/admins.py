"""Admins: who may administer this broker over the network."""

from typing import Any

from roost_broker.administration.acts import Act, Acts, check
from roost_broker.store.operations import AddAdmin, Done, RemoveAdmin
from roost_protocol.admin.admins import (
    ADMINS_ADD,
    ADMINS_LIST,
    ADMINS_REVOKE,
    WHOAMI,
    AdminAdd,
    AdminAdded,
    AdminList,
    AdminRevoked,
    AdminRow,
    Whoami,
)
from roost_protocol.admin.route import FIRST_PAGE, PROGRAM, Caller, Paging, Route


class Admins(Acts):
    """Acts on admins."""

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {ADMINS_LIST: self.list, ADMINS_ADD: self.add, ADMINS_REVOKE: self.revoke, WHOAMI: self.whoami}

    async def list(self, page: Paging = FIRST_PAGE) -> AdminList:
        """A page of admins by name."""
        core = self._core
        limit = self._page_size(page.limit)
        rows = await core.readers.run(core.store.list_admins, page.after, limit + 1)
        admins = tuple(AdminRow(name=row.name, role=row.role, created=row.created) for row in rows[:limit])
        return AdminList(admins=admins, next=admins[-1].name if len(rows) > limit else None)

    async def add(self, new: AdminAdd, caller: Caller = PROGRAM) -> AdminAdded:
        """Add an admin; the answer holds his token, of which only a digest is kept."""
        del caller
        check(new.name)
        token = self._core.accounts.new_token()
        await self._run(AddAdmin(name=new.name, role=new.role, token_digest=token.digest), Done)
        return AdminAdded(name=new.name, role=new.role, token=token.token)

    async def revoke(self, name: str, caller: Caller = PROGRAM) -> AdminRevoked:
        """Remove an admin: from the next request on his token does not count."""
        del caller
        await self._run(RemoveAdmin(name=name), Done)
        return AdminRevoked(name=name)

    async def whoami(self, caller: Caller = PROGRAM) -> Whoami:
        """Who asks, and what he may do."""
        return Whoami(name=caller.name, role=caller.role, address=caller.address)
