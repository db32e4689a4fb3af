"""Removing users, and erasing what they sent: the steps in their order, in slices between the publishes.

What a slice has done is durable with it, and what is left to be done the store knows. So whoever comes next goes on
where the last one stopped: the admin's own request, or the walk of retention, also after a restart.

**Invariant:** one walk at a time; whoever comes second waits, and finds less to do.
"""

import logging
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import trio
from msgspec import Struct

from roost_broker.batcher import Settle, Settlement
from roost_broker.store import CommitRefused, ReadFailed
from roost_broker.store.account_operations import (
    Cleared,
    ClearRemoved,
    EraseMessages,
    MessagesErased,
    Removal,
    RemoveUser,
    TellErased,
    Told,
    UserRemoved,
)
from roost_broker.store.operations import Operation, Refused
from roost_protocol.admin.erase import Step
from roost_protocol.frames import Origin
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.core import Core

_log = logging.getLogger(__name__)

LOOKED_AT_A_SLICE = 4_096
"""Messages looked at in one commit for who sent them: about 5 ms of the writer."""

ERASED_A_SLICE = 256
"""Messages erased in one commit: about 5 ms of the writer."""

CONVERSATIONS_A_SLICE = 256
"""Notices to single users in one commit."""

USERS_A_READ = 1_024
"""Users looked at in one read for whether they were in a group: a few reads each."""

REMOVALS_A_READ = 64
"""Removed users that are read of at once."""

T = TypeVar("T")


class Erasure(Struct, kw_only=True):
    """How far an erasure is. `messages`, `bytes` and `conversations` count from its beginning, whoever did it."""

    name: str
    messages: int = 0
    bytes: int = 0
    conversations: int = 0
    told: set[int] = set()
    """Users in whose inbox a notice was stored by this walk."""


Progress = Callable[[Step, Erasure], None]
"""Told after each slice: what is being done, and how far it is."""


def _no_progress(step: Step, erasure: Erasure) -> None:
    """For the walk of retention."""


class RemovalStopped(Exception):
    """A step could not be done now; the walk of retention tries again."""


class Removals:
    """Removed users of one node."""

    def __init__(self, core: "Core") -> None:
        self._core = core
        self._lock = trio.Lock()

    async def remove(self, user: int, *, erase: bool, by: str, address: str, text: str) -> UserRemoved | Refused:
        """Remove an account; whoever is logged in with it is told `text`. Raises CommitRefused.

        When cancelled, it is done all the same.
        """

        def settled(_: Operation, result: Settlement) -> None:
            if isinstance(result, UserRemoved):
                origin = Origin(by=by, at=self._core.now_ms(), address=address)
                for session in self._core.directory.of(user):
                    session.fence(Reason.ADMINISTRATIVE_ACTION, text, origin)
                self._core.delivery.removed(user)

        result = await self._core.batcher.run(RemoveUser(user=user, erase=erase), settled)
        if not isinstance(result, UserRemoved | Refused):
            raise AssertionError(f"not the outcome of removing a user: {result!r}")
        return result

    async def pending(self, name: str) -> Removal | None:
        """The latest erasure, of a user who had this name, that is not at its end."""
        found = None
        after = 0
        while removals := await self._read(after):
            after = removals[-1].user
            found = next((each for each in reversed(removals) if each.name == name and each.erasing), found)
        return found

    async def finish(self) -> None:
        """Do what is left to be done, for everybody who was removed. Safe to cancel between slices.

        What cannot be done now is logged, and left to the next call. Raises ReadFailed.
        """
        after = 0
        while removals := await self._read(after):
            after = removals[-1].user
            for removal in removals:
                if removal.erasing:
                    _log.info("the erasure of %r goes on", removal.name)
                try:
                    await self.finish_one(removal)
                except RemovalStopped as stopped:
                    _log.error("what is left of the removed user %r stays for now: %s", removal.name, stopped)

    async def finish_one(self, removal: Removal, progress: Progress = _no_progress) -> Erasure:
        """Do what is left to be done about one removed user. Raises RemovalStopped. Safe to cancel between slices."""
        erasure = Erasure(
            name=removal.name,
            messages=removal.messages,
            bytes=removal.bytes,
            conversations=removal.conversations,
        )
        async with self._lock:
            try:
                if removal.erasing:
                    await self._erase(removal.user, erasure, progress)
                    await self._tell_groups(removal.user, erasure, progress)
                    await self._tell_users(removal.user, erasure, progress)
                progress("clearing", erasure)
                await self._clear(removal.user)
            except (CommitRefused, ReadFailed) as error:
                raise RemovalStopped(str(error)) from error
        return erasure

    async def _read(self, after: int) -> tuple[Removal, ...]:
        return await self._core.readers.run(self._core.store.removals, after, REMOVALS_A_READ)

    # --- the steps ---

    async def _erase(self, user: int, erasure: Erasure, progress: Progress) -> None:
        after: int | None = 0
        while after is not None:
            step = EraseMessages(
                user=user,
                after=after,
                looked_at_max=LOOKED_AT_A_SLICE,
                erased_max=min(ERASED_A_SLICE, self._core.limits.trim_slice_max),
            )
            erased = await self._step(step, MessagesErased, self._erased)
            if erased is None:
                return
            erasure.messages += erased.messages
            erasure.bytes += erased.bytes
            after = erased.next_after
            progress("erasing", erasure)

    async def _tell_groups(self, user: int, erasure: Erasure, progress: Progress) -> None:
        holders = await self._group_holders(user)
        most = self._core.limits.group_members_max
        for group, who in sorted(holders.items()):
            for start in range(0, max(1, len(who)), most):
                some = tuple(who[start : start + most])
                step = TellErased(user=user, group=group, holders=some, last=start + most >= len(who))
                told = await self._step(step, Told, self._told)
                if told is not None:
                    _count(erasure, told, conversations=step.last)
                    progress("telling", erasure)

    async def _group_holders(self, user: int) -> dict[int, "array[int]"]:
        """Who holds entries of each group to be told: at most all users for each, 8 bytes a time."""
        holders: dict[int, array[int]] = {}
        after: int | None = 0
        while after is not None:
            page = await self._core.readers.run(self._core.store.erased_group_holders, user, after, USERS_A_READ)
            for group in page.groups:
                holders.setdefault(group, array("Q"))
            for group, holder in page.holders:
                holders[group].append(holder)
            after = page.next_after
        return holders

    async def _tell_users(self, user: int, erasure: Erasure, progress: Progress) -> None:
        more = True
        while more:
            step = TellErased(user=user, conversations_max=CONVERSATIONS_A_SLICE)
            told = await self._step(step, Told, self._told)
            if told is None:
                return
            more = told.more
            _count(erasure, told, conversations=True)
            progress("telling", erasure)

    async def _clear(self, user: int) -> None:
        step = ClearRemoved(user=user, rows_max=self._core.limits.trim_slice_max)
        cleared: Cleared | None = Cleared(done=False)
        while cleared is not None and not cleared.done:
            cleared = await self._step(step, Cleared)

    async def _step(self, operation: Operation, expected: type[T], settle: Settle | None = None) -> T | None:
        """Do one slice; None if there is nothing to do any more. Raises CommitRefused."""
        if settle is None:
            result = await self._core.batcher.run(operation)
        else:
            result = await self._core.batcher.run(operation, settle)
        if isinstance(result, Refused):
            return None
        if not isinstance(result, expected):
            raise AssertionError(f"not the outcome of {operation!r}: {result!r}")
        return result

    # --- what is in memory ---

    def _erased(self, _: Operation, result: Settlement) -> None:
        if isinstance(result, MessagesErased) and result.messages:
            self._core.delivery.forget_tails()

    def _told(self, _: Operation, result: Settlement) -> None:
        if isinstance(result, Told):
            for notice in result.notices:
                self._core.delivery.noticed(notice)


def _count(erasure: Erasure, told: Told, *, conversations: bool) -> None:
    erasure.told.update(user for notice in told.notices for user, _ in notice.entries)
    if conversations:
        erasure.conversations += len(told.notices)
