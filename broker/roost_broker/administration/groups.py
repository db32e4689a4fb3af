"""Groups and their members."""

from typing import Any

from roost_broker.administration.acts import Act, Acts, NotDone, check
from roost_broker.store.account_operations import DeleteGroup
from roost_broker.store.operations import ChangeMembers, CreateGroup, Done, Operation
from roost_protocol.admin.groups import (
    GROUPS_CHANGE,
    GROUPS_CREATE,
    GROUPS_DELETE,
    GROUPS_LIST,
    GROUPS_OF,
    GROUPS_SHOW,
    GroupChange,
    GroupCreate,
    GroupList,
    GroupRow,
    UserGroups,
)
from roost_protocol.admin.route import FIRST_PAGE, PROGRAM, Caller, Paging, Route
from roost_protocol.reasons import Reason


class Groups(Acts):
    """Acts on groups."""

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {
            GROUPS_LIST: self.list,
            GROUPS_CREATE: self.create,
            GROUPS_CHANGE: self.change,
            GROUPS_SHOW: self.show,
            GROUPS_DELETE: self.delete,
            GROUPS_OF: self.of,
        }

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
        operation = CreateGroup(name=new.name, owner=account.user, members=new.members)
        await self._run_naming(operation, None, new.members)
        return await self._group(new.name)

    async def change(self, name: str, change: GroupChange, caller: Caller = PROGRAM) -> GroupRow:
        """Add and remove members of a group."""
        del caller
        operation = ChangeMembers(group=name, by=None, add=change.add, remove=change.remove)
        await self._run_naming(operation, name, (*change.add, *change.remove))
        return await self._group(name)

    async def show(self, name: str) -> GroupRow:
        """A group with its members."""
        row = await self._core.readers.run(self._core.store.group, name)
        if row is None:
            raise await self._nobody("group", name)
        return GroupRow(name=row.name, owner=row.owner, members=row.members)

    async def delete(self, name: str, caller: Caller = PROGRAM) -> GroupRow:
        """Delete a group; what it was."""
        del caller
        row = await self.show(name)
        await self._run_naming(DeleteGroup(name=name), name, ())
        return row

    async def of(self, user: str) -> UserGroups:
        """The groups that a user is a member of."""
        core = self._core
        account = await self._account(user)
        return UserGroups(user=user, groups=await core.readers.run(core.store.groups_of, account.user))

    async def _run_naming(self, operation: Operation, group: str | None, users: tuple[str, ...]) -> None:
        """Have an operation committed; if it names nobody, say who may have been meant. Raises NotDone."""
        try:
            await self._run(operation, Done)
        except NotDone as error:
            if error.reason is Reason.NOT_FOUND:
                if group is not None:
                    await self.show(group)
                for user in users:
                    await self._account(user)
            raise

    async def _group(self, name: str) -> GroupRow:
        row = await self._core.readers.run(self._core.store.group, name)
        if row is None:  # its last member was removed
            return GroupRow(name=name, owner="", members=())
        return GroupRow(name=row.name, owner=row.owner, members=row.members)
