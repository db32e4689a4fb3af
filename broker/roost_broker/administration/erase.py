"""Erasing a user with all that he sent."""

from collections.abc import AsyncIterator
from typing import Any

import trio

from roost_broker.administration.acts import Act, Acts
from roost_broker.administration.users import remove_account
from roost_broker.removals import Erasure, RemovalStopped
from roost_broker.store.account_operations import Removal
from roost_protocol.admin.erase import ERASE, ErasureStep, Step
from roost_protocol.admin.route import PROGRAM, Caller, Route


class Erase(Acts):
    """The act of erasing."""

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {ERASE: self.erase}

    async def erase(self, name: str, caller: Caller = PROGRAM) -> AsyncIterator[ErasureStep]:
        """Remove an account, and erase what it sent; the steps, as they are done.

        When this returns, the account is gone, and the rest goes on in a task of the broker's own: it does not depend
        on anybody taking the steps. Whoever takes them slowly does not get every one, but always the last. An
        erasure that was begun earlier, of a user who had this name, is taken up. Raises NotDone.
        """
        core = self._core
        account = await core.readers.run(core.store.account, name)
        if account is not None:
            await remove_account(core, account, caller, erase=True)
        removal = await core.removals.pending(name)
        if removal is None:
            raise await self._nobody("user", name)
        # One place for the steps on the way, one for the last.
        source, steps = trio.open_memory_channel[ErasureStep](2)
        core.nursery.start_soon(self._finish, removal, source)
        return steps

    async def _finish(self, removal: Removal, source: trio.MemorySendChannel[ErasureStep]) -> None:
        def progress(step: Step, erasure: Erasure) -> None:
            if not source.statistics().current_buffer_used:
                _say(source, _step(step, erasure))

        with source:
            try:
                erasure = await self._core.removals.finish_one(removal, progress)
            except RemovalStopped as stopped:
                _say(source, _step("stopped", _begun(removal), f"{stopped}; it goes on by itself"))
            else:
                _say(source, _step("done", erasure))


def _say(source: trio.MemorySendChannel[ErasureStep], step: ErasureStep) -> None:
    try:
        source.send_nowait(step)
    except trio.BrokenResourceError:
        pass  # nobody listens any more


def _begun(removal: Removal) -> Erasure:
    return Erasure(
        name=removal.name, messages=removal.messages, bytes=removal.bytes, conversations=removal.conversations
    )


def _step(step: Step, erasure: Erasure, text: str = "") -> ErasureStep:
    return ErasureStep(
        user=erasure.name,
        step=step,
        messages=erasure.messages,
        bytes=erasure.bytes,
        conversations=erasure.conversations,
        inboxes=len(erasure.told),
        text=text,
    )
