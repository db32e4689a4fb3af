"""Contacts and blocked users."""

from typing import Any

from roost_broker.administration.acts import Act, Acts
from roost_broker.store.operations import Done, SetRelation
from roost_protocol.admin.relations import (
    BLOCKS_ADD,
    BLOCKS_LIST,
    BLOCKS_REMOVE,
    CONTACTS_ADD,
    CONTACTS_LIST,
    CONTACTS_REMOVE,
    Related,
)
from roost_protocol.admin.route import PROGRAM, Caller, Route


class Relations(Acts):
    """Acts on relations. `kind` is `contact` or `block`."""

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {
            CONTACTS_LIST: self._listing("contact"),
            CONTACTS_ADD: self._changing("contact", present=True),
            CONTACTS_REMOVE: self._changing("contact", present=False),
            BLOCKS_LIST: self._listing("block"),
            BLOCKS_ADD: self._changing("block", present=True),
            BLOCKS_REMOVE: self._changing("block", present=False),
        }

    async def list(self, kind: str, user: str) -> Related:
        """The user's contacts, or whom he has blocked."""
        account = await self._account(user)
        return Related(user=user, others=await self._core.readers.run(self._core.store.relations, account.user, kind))

    async def change(self, kind: str, user: str, other: str, *, present: bool, caller: Caller = PROGRAM) -> Related:
        """Add somebody, or take him out. Doing so again changes nothing."""
        del caller
        account = await self._account(user)
        await self._account(other)
        await self._run(SetRelation(user=account.user, kind=kind, other=other, present=present), Done)
        if kind == "block" and present:
            self._core.hide_presence(account.user, other)
        return await self.list(kind, user)

    def _listing(self, kind: str) -> Act:
        async def act(user: str) -> Related:
            return await self.list(kind, user)

        return act

    def _changing(self, kind: str, *, present: bool) -> Act:
        async def act(user: str, other: str, caller: Caller = PROGRAM) -> Related:
            return await self.change(kind, user, other, present=present, caller=caller)

        return act
