"""What the administration of accounts reads from the LMDB store; see `lmdb_read`."""

from collections.abc import Iterator
from itertools import islice

from roost_broker.store.account_operations import GroupHolders, Removal, TokenPage, TokenRow
from roost_broker.store.ids import message_time_ms
from roost_broker.store.lmdb_read import Reader
from roost_broker.store.lmdb_tables import (
    CONVERSATION,
    CURSOR,
    ID_BYTES,
    NUMBER,
    PAIR,
    WITH_GROUP,
    device_record,
    keys_with_prefix,
    must_be_entry,
    number_at_end,
    removal_record,
    user_record,
)
from roost_protocol.names import AddressKind

_CUMULATIVE_FIELD = 6  # of ENTRY


class AccountReader(Reader):
    """Reads of administration, within one transaction. Raises what the binding raises."""

    def names_after(self, kind: AddressKind, after: str, limit: int) -> tuple[str, ...]:
        """See `Store.names_after`."""
        table = self._tables.names if kind == "user" else self._tables.group_names
        name = after.encode()
        with self._txn.cursor(table) as cursor:
            found = cursor.set_range(name) if name else cursor.first()
            if found and cursor.key() == name:
                found = cursor.next()
            return tuple(key.decode() for key in islice(cursor.iternext(values=False), limit)) if found else ()

    def tokens_after(self, after: str, users_max: int) -> TokenPage:
        """See `Store.list_tokens`."""
        users = self._named_after(self._tables.names, after, users_max)
        names = [user_record(self._must_have(user, self._tables.users)).name for user in users]
        rows = [row for user, name in zip(users, names, strict=True) for row in self._tokens(user, name)]
        return TokenPage(rows=tuple(rows), next_after=names[-1] if len(users) == users_max else None)

    def tokens_of(self, user: int) -> tuple[TokenRow, ...]:
        """See `Store.tokens_of`."""
        value = self._txn.get(NUMBER.pack(user), db=self._tables.users)
        return () if value is None else tuple(self._tokens(NUMBER.pack(user), user_record(value).name))

    def _tokens(self, user: bytes, name: str) -> Iterator[TokenRow]:
        for key in keys_with_prefix(self._txn, self._tables.device_ids, user):
            number = self._must_have(key, self._tables.device_ids)
            device = device_record(self._must_have(number, self._tables.devices))
            if device.token_digest is not None:
                last_seen = CURSOR.unpack(self._must_have(number, self._tables.cursors))[2]
                yield TokenRow(
                    user=device.user,
                    name=name,
                    device_id=device.device_id,
                    terminal=device.terminal,
                    last_seen=last_seen,
                )

    # --- inboxes ---

    def time_of(self, user: int, seq: int) -> int | None:
        """See `Store.time_of`."""
        key = PAIR.pack(user, seq)
        value = self._txn.get(key, db=self._tables.inbox)
        return None if value is None else message_time_ms(NUMBER.unpack(must_be_entry(value, key)[:ID_BYTES])[0])

    # --- removed users ---

    def removals(self, after: int, limit: int) -> tuple[Removal, ...]:
        """See `Store.removals`."""
        found: list[Removal] = []
        with self._txn.cursor(self._tables.removals) as cursor:
            while len(found) < limit and cursor.set_range(NUMBER.pack(after + 1)):
                key, value = cursor.item()
                (after,) = NUMBER.unpack(key)
                record = removal_record(value)
                found.append(
                    Removal(
                        user=after,
                        name=record.name,
                        at=record.at,
                        erasing=record.erasing,
                        messages=record.messages,
                        bytes=record.bytes,
                        conversations=record.conversations,
                    )
                )
        return tuple(found)

    def erased_group_holders(self, user: int, after: int, users_max: int) -> GroupHolders:
        """See `Store.erased_group_holders`."""
        prefix = CONVERSATION.pack(user, WITH_GROUP, 0)[: -NUMBER.size]
        groups = tuple(number_at_end(key) for key in keys_with_prefix(self._txn, self._tables.removals, prefix))
        if not groups:
            return GroupHolders(groups=(), holders=(), next_after=None)
        with self._txn.cursor(self._tables.users) as cursor:
            found = cursor.set_range(NUMBER.pack(after + 1))
            users = [NUMBER.unpack(key)[0] for key in islice(cursor.iternext(values=False), users_max)] if found else []
        wanted = frozenset(groups)
        holders = [
            (group, each) for each in users if each != user for group in self._groups_in(each) if group in wanted
        ]
        return GroupHolders(
            groups=groups, holders=tuple(holders), next_after=users[-1] if len(users) == users_max else None
        )

    def _groups_in(self, user: int) -> Iterator[int]:
        """The groups of which the inbox has entries, one jump for each."""
        prefix = CONVERSATION.pack(user, WITH_GROUP, 0)[: -NUMBER.size]
        group = 0
        with self._txn.cursor(self._tables.scroll) as cursor:
            while cursor.set_range(prefix + NUMBER.pack(group)) and cursor.key().startswith(prefix):
                group = CONVERSATION.unpack_from(cursor.key())[-1]
                yield group
                group += 1
