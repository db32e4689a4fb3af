"""What every noun's acts are made of."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

import trio

from roost_broker.accounts import PasswordsBusy, PasswordUnfit
from roost_broker.administration.near import near_names, nobody
from roost_broker.batcher import Settle, settle_nothing
from roost_broker.store import CommitRefused
from roost_broker.store.operations import Operation, Refused
from roost_broker.store.readings import Account
from roost_protocol.admin.route import Route
from roost_protocol.names import AddressKind, check_name
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.core import Core

Args = TypeVarTuple("Args")
T = TypeVar("T")

Act = Callable[..., Awaitable[Any]]
"""What answers a route; see the package."""


class NotDone(Exception):
    """An act of administration was not done; nothing was changed."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text or reason.phrase)
        self.reason = reason


class Acts:
    """The acts of one noun, on one node."""

    def __init__(self, core: "Core") -> None:
        self._core = core

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        raise NotImplementedError

    async def _account(self, name: str) -> Account:
        """The account of this name. Raises NotDone."""
        account = await self._core.readers.run(self._core.store.account, name)
        if account is None:
            raise await self._nobody("user", name)
        return account

    async def _nobody(self, kind: AddressKind, name: str) -> NotDone:
        """That there is nobody of this name, with those who may have been meant."""
        near = await self._core.readers.run(near_names, self._core.store, kind, name)
        return NotDone(Reason.NOT_FOUND, nobody(kind, name, near))

    async def _hash(self, password: str) -> str:
        """The hash of a new password. Raises NotDone."""
        try:
            return await self._core.accounts.hash(password)
        except PasswordsBusy as error:
            raise NotDone(Reason.SERVER_BUSY, str(error)) from error
        except PasswordUnfit as error:
            raise NotDone(Reason.NOT_AUTHORIZED, str(error)) from error

    async def _run(self, operation: Operation, expected: type[T], settle: Settle = settle_nothing) -> T:
        """Have an operation committed; `settle` is told at its place in commit order. Raises NotDone."""
        try:
            result = await self._core.batcher.run(operation, settle)
        except CommitRefused as refused:
            raise NotDone(refused.reason, str(refused)) from refused
        if isinstance(result, Refused):
            raise NotDone(result.reason, result.text)
        if not isinstance(result, expected):
            raise AssertionError(f"not the outcome of {operation!r}: {result!r}")
        return result

    async def _in_turns(self, function: Callable[[*Args], T], *args: *Args) -> T:
        """One of many reads in a row: then the rest of the broker has its turn, for as long as this took.

        A thread that works keeps the interpreter from the event loop, for 5 ms at a time if it works that long. So a
        walk over much is made of reads of less than a millisecond, and takes half of the time at most.
        """
        begun = trio.current_time()
        result = await self._core.readers.run(function, *args)
        await trio.sleep(trio.current_time() - begun)
        return result

    def _page_size(self, limit: int | None) -> int:
        """How many rows a page has, when so many are asked for."""
        most = self._core.limits.listing_max
        return most if limit is None else max(1, min(limit, most))


def check(name: str) -> None:
    """Raise NotDone if nobody, and no group, can have this name."""
    try:
        check_name(name)
    except ValueError as error:
        raise NotDone(Reason.MALFORMED_PACKET, str(error)) from error
