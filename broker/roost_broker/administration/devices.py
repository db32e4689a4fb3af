"""Devices of users, and their tokens."""

from typing import TYPE_CHECKING, Any

from roost_broker.administration.acts import Act, Acts, NotDone
from roost_broker.store import CommitRefused, Store
from roost_broker.store.account_operations import ForgetDevice
from roost_broker.store.account_operations import TokenRow as Token
from roost_broker.store.operations import Done, Ended, EndSession, Floor
from roost_broker.store.readings import Account, DeviceRecord
from roost_protocol.admin.devices import (
    DEVICES_FORGET,
    DEVICES_LIST,
    TOKENS_LIST,
    TOKENS_REVOKE,
    DeviceChanged,
    DeviceList,
    DeviceRow,
    TokenList,
    TokenQuery,
    TokenRow,
)
from roost_protocol.admin.route import PROGRAM, Caller, Route
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.core import Core
    from roost_broker.session import Session

USERS_A_PAGE = 256
"""Users whose devices are looked at for one page of tokens, each with up to `limits.devices_per_user_max` of them."""

FIRST_TOKENS = TokenQuery()


class Devices(Acts):
    """Acts on devices and tokens."""

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {
            DEVICES_LIST: self.list,
            DEVICES_FORGET: self.forget,
            TOKENS_LIST: self.list_tokens,
            TOKENS_REVOKE: self.revoke_token,
        }

    async def list(self, user: str) -> DeviceList:
        """Every device of a user."""
        core = self._core
        account = await self._account(user)
        rows = await device_rows(core, account.user)
        extent = await core.readers.run(core.store.inbox_size, account.user)
        return DeviceList(user=user, floor=extent.floor, head=extent.head, devices=rows)

    async def forget(self, user: str, device: str, caller: Caller = PROGRAM) -> DeviceChanged:
        """Forget a device; its session, if it has one, is ended before."""
        account = await self._account(user)
        ended = await self._end(account, device, caller, "this device was forgotten", revoke=True)
        await self._run(ForgetDevice(user=account.user, device_id=device), Done)
        return DeviceChanged(user=user, device=device, logged_out=ended)

    async def list_tokens(self, query: TokenQuery = FIRST_TOKENS) -> TokenList:
        """A page of the devices that have tokens."""
        core = self._core
        if query.user is not None:
            account = await self._account(query.user)
            tokens = await core.readers.run(core.store.tokens_of, account.user)
            return TokenList(tokens=tuple(map(self._token, tokens)))
        users_max = min(self._page_size(query.limit), USERS_A_PAGE)
        page = await core.readers.run(core.store.list_tokens, query.after, users_max)
        return TokenList(tokens=tuple(map(self._token, page.rows)), next=page.next_after)

    async def revoke_token(self, user: str, device: str, caller: Caller = PROGRAM) -> DeviceChanged:
        """Revoke the token of a device; it has to log in with a password again."""
        account = await self._account(user)
        ended = await self._end(account, device, caller, "the token of this device was revoked", revoke=True)
        return DeviceChanged(user=user, device=device, logged_out=ended)

    async def _end(self, account: Account, device: str, caller: Caller, text: str, *, revoke: bool) -> bool:
        """End the session of a device if it owns one; whether it was there. Raises NotDone: no such device."""
        live = any(session.device_id == device for session in self._core.directory.of(account.user))
        operation = EndSession(
            user=account.user,
            device_id=device,
            reason=Reason.ADMINISTRATIVE_ACTION,
            by=caller.name,
            address=caller.address,
            revoke=revoke,
        )
        try:
            result = await self._core.end_session(operation, text)
        except CommitRefused as refused:
            raise NotDone(refused.reason, str(refused)) from refused
        if not isinstance(result, Ended):
            known = await self._core.readers.run(self._core.store.devices, account.user)
            raise _no_device(account, device, known)
        return live

    def _token(self, token: Token) -> TokenRow:
        online = any(session.device_id == token.device_id for session in self._core.directory.of(token.user))
        return TokenRow(
            user=token.name,
            device=token.device_id,
            terminal=token.terminal,
            last_seen=token.last_seen,
            online=online,
        )


async def known_device(core: "Core", account: Account, device: str) -> DeviceRecord:
    """A device of a user by its id. Raises NotDone."""
    known = await core.readers.run(core.store.devices, account.user)
    found = next((each for each in known if each.device_id == device), None)
    if found is None:
        raise _no_device(account, device, known)
    return found


def _no_device(account: Account, device: str, known: tuple[DeviceRecord, ...]) -> NotDone:
    which = ", ".join(each.device_id for each in known) or "none"
    return NotDone(Reason.NOT_FOUND, f"{account.name} has no device {device!r}; there are: {which}")


async def device_rows(core: "Core", user: int) -> tuple[DeviceRow, ...]:
    """Every device of a user, by id. Raises ReadFailed."""
    live = {session.device: session for session in core.directory.of(user)}
    cursors = {device: session.acknowledged for device, session in live.items()}
    policy, hold, now_ms = core.config.retention.policy(), core.retention.hold(), core.now_ms()

    def read(store: Store) -> tuple[DeviceRow, ...]:
        would = store.would_trim(user, policy, now_ms, hold)
        return tuple(
            _row(store, user, record, cursors.get(record.device, record.cursor), would, live.get(record.device))
            for record in store.devices(user)
        )

    return await core.readers.run(read, core.store)


def _row(
    store: Store, user: int, record: DeviceRecord, cursor: int, would: Floor | None, session: "Session | None"
) -> DeviceRow:
    extent = store.inbox_size(user)
    first = max(cursor + 1, extent.floor)
    loses = max(0, would.floor - first) if would is not None else 0
    return DeviceRow(
        device=record.device_id,
        terminal=record.terminal,
        client=record.client,
        online=session is not None,
        address=session.address if session is not None else "",
        since=session.since_ms if session is not None else None,
        epoch=session.epoch if session is not None else None,
        cursor=cursor,
        head=extent.head,
        lag=max(0, extent.head - cursor),
        oldest_at=store.time_of(user, first),
        last_seen=record.last_seen,
        loses=loses,
        loses_from=first if loses else None,
        loses_by=would.reason if loses and would is not None else None,
    )
