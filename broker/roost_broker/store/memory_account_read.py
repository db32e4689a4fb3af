"""The in-memory model: what the administration of accounts reads."""

from roost_broker.store import memory_import
from roost_broker.store.account_operations import GroupHolders, Removal, TokenPage, TokenRow
from roost_broker.store.ids import message_time_ms
from roost_broker.store.import_operations import EntryOrigin
from roost_broker.store.memory_state import State
from roost_protocol.names import AddressKind


class AccountReads:
    """What `MemoryStore` reads for the administration of accounts."""

    _state: State

    def names_after(self, kind: AddressKind, after: str, limit: int) -> tuple[str, ...]:
        """See `Store.names_after`."""
        named = self._state.users if kind == "user" else self._state.groups
        names = (each.name for each in named.values())
        return tuple(sorted((name for name in names if name.encode() > after.encode()), key=str.encode)[:limit])

    def list_tokens(self, after: str, users_max: int) -> TokenPage:
        """See `Store.list_tokens`."""
        state = self._state
        names = self.names_after("user", after, users_max)
        accounts = [account for account in map(state.user_named, names) if account is not None]
        rows = [row for account in accounts for row in self.tokens_of(account.user)]
        return TokenPage(rows=tuple(rows), next_after=names[-1] if len(names) == users_max else None)

    def tokens_of(self, user: int) -> tuple[TokenRow, ...]:
        """See `Store.tokens_of`."""
        devices = sorted(self._state.devices_of(user).values(), key=lambda device: device.device_id)
        return tuple(
            TokenRow(
                user=user,
                name=self._state.users[user].name,
                device_id=device.device_id,
                terminal=device.terminal,
                last_seen=device.last_seen,
            )
            for device in devices
            if device.token_digest is not None
        )

    def time_of(self, user: int, seq: int) -> int | None:
        """See `Store.time_of`."""
        entry = self._state.entries.get((user, seq))
        return None if entry is None else message_time_ms(entry.message_id)

    def entry_origins(self, user: int, after: int, entries_max: int) -> tuple[EntryOrigin, ...]:
        """See `Store.entry_origins`."""
        return memory_import.entry_origins(self._state, user, after, entries_max)

    def removals(self, after: int, limit: int) -> tuple[Removal, ...]:
        """See `Store.removals`."""
        rows = [
            Removal(
                user=user,
                name=removed.account.name,
                at=removed.at,
                erasing=removed.erasing,
                messages=removed.messages,
                bytes=removed.bytes,
                conversations=removed.conversations,
            )
            for user, removed in sorted(self._state.removed.items())
            if user > after
        ]
        return tuple(rows[:limit])

    def erased_group_holders(self, user: int, after: int, users_max: int) -> GroupHolders:
        """See `Store.erased_group_holders`."""
        state = self._state
        removed = state.removed.get(user)
        groups = {where.number for where in removed.to_tell if where.kind == "group"} if removed else set()
        if not groups:
            return GroupHolders(groups=(), holders=(), next_after=None)
        users = sorted(each for each in (*state.users, *state.removed) if each > after)[:users_max]
        holders = [
            (group, each)
            for each in users
            if each != user
            for group in sorted(_groups_in(state, each))
            if group in groups
        ]
        return GroupHolders(
            groups=tuple(sorted(groups)),
            holders=tuple(holders),
            next_after=users[-1] if len(users) == users_max else None,
        )


def _groups_in(state: State, user: int) -> set[int]:
    return {entry.conversation.number for _, entry in state.inbox(user) if entry.conversation.kind == "group"}
