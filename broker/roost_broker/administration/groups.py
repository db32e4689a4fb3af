"""Groups and their members."""

from typing import Any

from roost_broker.administration.acts import Act, Acts, check
from roost_broker.store.operations import ChangeMembers, CreateGroup, Done
from roost_protocol.admin.groups import (
    GROUPS_CHANGE,
    GROUPS_CREATE,
    GROUPS_LIST,
    GroupChange,
    GroupCreate,
    GroupList,
    GroupRow,
)
from roost_protocol.admin.route import FIRST_PAGE, PROGRAM, Caller, Paging, Route


class Groups(Acts):
    """Acts on groups."""

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {GROUPS_LIST: self.list, GROUPS_CREATE: self.create, GROUPS_CHANGE: self.change}

    async def list(self, page: Paging = FIRST_PAGE) -> GroupList:
        """A page of groups by name."""
        core = self._core
        limit = self._page_size(page.limit)
        rows = await core.readers.run(core.store.list_groups, page.after, limit + 1)
        groups = tuple(GroupRow(name=row.name, owner=row.owner, members=row.members) for row in rows[:limit])
        return GroupList(groups=groups, next=groups[-1].name if len(rows) > limit else None)

    async def create(self, new: GroupCreate, caller: Caller = PROGRAM) -> GroupRow:
        """Create a group."""
        del caller
        check(new.name)
        account = await self._account(new.owner)
        await self._run(CreateGroup(name=new.name, owner=account.user, members=new.members), Done)
        return await self._group(new.name)

    async def change(self, name: str, change: GroupChange, caller: Caller = PROGRAM) -> GroupRow:
        """Add and remove members of a group."""
        del caller
        await self._run(ChangeMembers(group=name, by=None, add=change.add, remove=change.remove), Done)
        return await self._group(name)

    async def _group(self, name: str) -> GroupRow:
        row = await self._core.readers.run(self._core.store.group, name)
        if row is None:  # its last member was removed
            return GroupRow(name=name, owner="", members=())
        return GroupRow(name=row.name, owner=row.owner, members=row.members)
