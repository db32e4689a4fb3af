"""The store in memory: the reference model of the port, and what the simulation runs on.

A commit works on a copy of the state and puts it in place of the state when every operation is done. So a commit
that fails on the way changes nothing, and a reader in another thread, which looks at the state once, sees what some
whole commit left. The copy makes a commit take time in proportion to all that is stored; this is the
specification, not a store for many messages.
"""

import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from itertools import groupby
from random import Random
from types import MappingProxyType
from typing import Any

from roost_broker.store import (
    memory_accounts,
    memory_admins,
    memory_import,
    memory_journal,
    memory_operations,
    memory_removal,
)
from roost_broker.store.account_operations import (
    ClearRemoved,
    DeleteGroup,
    EraseMessages,
    ForgetDevice,
    RemoveUser,
    SetDisabled,
    TellErased,
)
from roost_broker.store.ids import first_message_id, message_time_ms
from roost_broker.store.import_operations import BeginImport, EndImport, ImportEntries, OpenImport
from roost_broker.store.journal import JournalPage, Subject
from roost_broker.store.memory_account_read import AccountReads
from roost_broker.store.memory_check import check_state
from roost_broker.store.memory_operations import Batch, outcome_of
from roost_broker.store.memory_state import InboxEntry, State
from roost_broker.store.operations import (
    NO_DEVICE,
    AddAdmin,
    ChangeMembers,
    CreateGroup,
    CreateUser,
    EndSession,
    Floor,
    ForgetDevices,
    Hold,
    LogIn,
    MoveCursors,
    Operation,
    OperationResult,
    Published,
    PublishMessage,
    RemoveAdmin,
    Retention,
    SendMessage,
    SetPassword,
    SetRelation,
    Trim,
    TrimJournal,
    WriteJournal,
)
from roost_broker.store.port import CheckEvent, Copier
from roost_broker.store.readings import (
    Account,
    AdminRecord,
    ConversationCount,
    ConversationCounts,
    ConversationMark,
    DeviceRecord,
    FoundEntry,
    FoundMessage,
    GroupRecord,
    InboxPage,
    InboxSize,
    ScrollPage,
    StoredEntry,
    StoreStatistics,
    TokenOwner,
    UserRow,
)
from roost_protocol.limits import Limits
from roost_protocol.names import AddressKind
from roost_protocol.reasons import Reason

_Apply = Callable[[State, Any, Batch], OperationResult]

_APPLY: Mapping[type[Operation], _Apply] = MappingProxyType(
    {
        PublishMessage: memory_operations.publish,
        SendMessage: memory_operations.send,
        MoveCursors: memory_operations.move_cursors,
        LogIn: memory_operations.log_in,
        EndSession: memory_operations.end_session,
        ForgetDevices: memory_operations.forget_devices,
        Trim: memory_operations.trim,
        WriteJournal: memory_journal.write_journal,
        TrimJournal: memory_journal.trim_journal,
        CreateUser: memory_accounts.create_user,
        SetPassword: memory_accounts.set_password,
        CreateGroup: memory_accounts.create_group,
        ChangeMembers: memory_accounts.change_members,
        SetRelation: memory_accounts.set_relation,
        AddAdmin: memory_admins.add_admin,
        RemoveAdmin: memory_admins.remove_admin,
        SetDisabled: memory_removal.set_disabled,
        ForgetDevice: memory_removal.forget_one_device,
        DeleteGroup: memory_removal.delete_group,
        RemoveUser: memory_removal.remove_user,
        ClearRemoved: memory_removal.clear_removed,
        EraseMessages: memory_removal.erase_messages,
        TellErased: memory_removal.tell_erased,
        BeginImport: memory_import.begin_import,
        ImportEntries: memory_import.import_entries,
        OpenImport: memory_import.open_import,
        EndImport: memory_import.end_import,
    }
)


class MemoryStore(AccountReads):
    """A `Store` that lives as long as the object.

    `limits` are the bounds to keep, `random` makes ids and incarnations. Publishes are refused when the messages
    kept have more than `map_bytes - reserve_bytes` bytes; by default there is no bound. `commit` never fails.
    """

    def __init__(self, *, limits: Limits, random: Random, map_bytes: int = sys.maxsize, reserve_bytes: int = 0) -> None:
        self._limits = limits
        self._random = random
        self._map_bytes = map_bytes
        self._reserve_bytes = reserve_bytes
        self._state = State()

    def commit(self, operations: Sequence[Operation], now_ms: int) -> list[OperationResult]:
        """See `Store.commit`."""
        state = self._state.copy()
        batch = Batch(
            now_ms=now_ms,
            limits=self._limits,
            random=self._random,
            next_message_id=first_message_id(state.last_message_id, now_ms, self._random),
            has_room=self._has_room(state),
        )
        results = [_APPLY[type(operation)](state, operation, batch) for operation in operations]
        self._state = state
        return results

    def _has_room(self, state: State) -> bool:
        return self._map_bytes == sys.maxsize or state.message_bytes() + self._reserve_bytes <= self._map_bytes

    def read_inbox(self, user: int, after: int, entries_max: int, bytes_max: int) -> InboxPage:
        """See `Store.read_inbox`."""
        state = self._state
        found = [(seq, entry) for seq, entry in state.inbox(user) if seq > after]
        page = _within(found[:entries_max], bytes_max)
        start = state.start(user)
        return InboxPage(
            head=state.head(user),
            floor=start.floor,
            floor_reason=start.reason,
            entries=tuple(_stored(state, seq, entry) for seq, entry in page),
        )

    def read_conversation(
        self,
        user: int,
        conversation: str | None,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int,
        bytes_max: int,
    ) -> ScrollPage:
        """See `Store.read_conversation`."""
        state = self._state
        found = list(state.inbox(user))
        if conversation is not None:
            wanted = state.conversation(conversation)
            found = [(seq, entry) for seq, entry in found if entry.conversation == wanted]
        if after is not None:
            found = [(seq, entry) for seq, entry in found if seq > after]
        else:
            found = [(seq, entry) for seq, entry in reversed(found) if before is None or seq < before]
        page = _within(found[:limit], bytes_max)
        return ScrollPage(
            head=state.head(user),
            floor=state.start(user).floor,
            entries=tuple(_stored(state, seq, entry) for seq, entry in sorted(page, key=lambda row: row[0])),
            more=len(found) > len(page),
        )

    def first_of_newest(self, user: int, conversation: str | None, *, upto: int | None = None, newest: int) -> int:
        """See `Store.first_of_newest`."""
        state = self._state
        wanted = None if conversation is None else state.conversation(conversation)
        found = [
            seq
            for seq, entry in state.inbox(user)
            if (upto is None or seq <= upto) and (conversation is None or entry.conversation == wanted)
        ]
        return found[-newest:][0] if found else state.head(user) + 1

    def conversations(self, user: int, after: ConversationMark, entries_max: int) -> ConversationCounts:
        """See `Store.conversations`."""
        state = self._state
        marks = sorted(
            ((entry.conversation.kind, entry.conversation.number, seq) for seq, entry in state.inbox(user)),
            key=_mark_order,
        )
        ahead = [mark for mark in marks if _mark_order(mark) > _mark_order((after.kind, after.peer, after.seq))]
        looked_at = ahead[:entries_max]
        rows = []
        for (kind, peer), some in groupby(looked_at, key=lambda mark: mark[:2]):
            seqs = [seq for _, _, seq in some]
            name = state.name_of(kind, peer)
            rows.append(ConversationCount(kind=kind, peer=peer, name=name, entries=len(seqs), newest=seqs[-1]))
        return ConversationCounts(
            conversations=tuple(rows),
            next_after=ConversationMark(*looked_at[-1]) if len(ahead) > len(looked_at) else None,
        )

    def inbox_size(self, user: int) -> InboxSize:
        """See `Store.inbox_size`; here it takes time in proportion to the entries."""
        state = self._state
        held = list(state.inbox(user))
        return InboxSize(
            head=state.head(user),
            floor=state.start(user).floor,
            entries=len(held),
            bytes=state.inbox_bytes(user),
            oldest=message_time_ms(held[0][1].message_id) if held else None,
        )

    def would_trim(self, user: int, retention: Retention, now_ms: int, hold: Hold | None = None) -> Floor | None:
        """See `Store.would_trim`."""
        state = self._state
        return memory_operations.would_trim(state, user, retention, hold if self._has_room(state) else None, now_ms)

    def account(self, name: str) -> Account | None:
        """See `Store.account`."""
        return self._state.user_named(name)

    def token_owner(self, digest: bytes) -> TokenOwner | None:
        """See `Store.token_owner`."""
        state = self._state
        number = state.device_with_token(digest)
        if number is None:
            return None
        device = state.devices[number]
        return TokenOwner(account=state.users[device.user], device_id=device.device_id)

    def route(self, sender: int, to: str) -> tuple[int, ...] | Reason:
        """See `Store.route`."""
        return self._state.recipients(sender, to)

    def is_blocked(self, user: int, by: int) -> bool:
        """See `Store.is_blocked`."""
        return any(relation.kind == "block" and relation.other == user for relation in self._state.relations_of(by))

    def devices(self, user: int) -> tuple[DeviceRecord, ...]:
        """See `Store.devices`."""
        records = [
            DeviceRecord(
                device=number,
                device_id=device.device_id,
                terminal=device.terminal,
                client=device.client,
                cursor=device.cursor,
                settled_n=device.settled_n,
                last_seen=device.last_seen,
            )
            for number, device in self._state.devices_of(user).items()
        ]
        return tuple(sorted(records, key=lambda record: record.device_id))

    def relations(self, user: int, kind: str) -> tuple[str, ...]:
        """See `Store.relations`."""
        state = self._state
        return _sorted(
            state.users[relation.other].name for relation in state.relations_of(user) if relation.kind == kind
        )

    def group(self, name: str) -> GroupRecord | None:
        """See `Store.group`."""
        state = self._state
        number = state.group_named(name)
        return None if number is None else _group_record(state, number)

    def groups_of(self, user: int) -> tuple[str, ...]:
        """See `Store.groups_of`."""
        return _sorted(group.name for group in self._state.groups_of(user))

    def list_users(self, after: str, limit: int) -> tuple[UserRow, ...]:
        """See `Store.list_users`."""
        state = self._state
        rows = [
            UserRow(
                user=account.user,
                name=account.name,
                created=account.created,
                disabled=account.disabled,
                importing=account.importing,
                head=state.head(account.user),
                floor=state.start(account.user).floor,
                devices=len(state.devices_of(account.user)),
            )
            for account in state.users.values()
            if account.name.encode() > after.encode()
        ]
        return tuple(sorted(rows, key=lambda row: row.name.encode())[:limit])

    def list_groups(self, after: str, limit: int) -> tuple[GroupRecord, ...]:
        """See `Store.list_groups`."""
        state = self._state
        groups = [(group.name.encode(), number) for number, group in state.groups.items()]
        ahead = sorted(row for row in groups if row[0] > after.encode())
        return tuple(_group_record(state, number) for _, number in ahead[:limit])

    def publish_outcome(self, device: int, n: int) -> Published | None:
        """See `Store.publish_outcome`."""
        return outcome_of(self._state, device, n, self._limits.publish_max)

    def find_entry(self, user: int, message_id: int) -> FoundEntry | None:
        """See `Store.find_entry`."""
        state = self._state
        for seq, entry in state.inbox(user):
            if entry.message_id == message_id:
                stored = _stored(state, seq, entry)
                inboxes = state.inboxes[message_id]
                return FoundEntry(
                    seq=seq,
                    kind=stored.kind,
                    inboxes=inboxes,
                    device_id=stored.device_id,
                    n=stored.n,
                    by_admin=stored.kind == "own" and entry.device == NO_DEVICE,
                )
        return None

    def find_message(self, message_id: int) -> FoundMessage | None:
        """See `Store.find_message`."""
        state = self._state
        held = [entry for entry in state.entries.values() if entry.message_id == message_id]
        encoded = held[0].encoded if held else None
        if encoded is None:
            return None
        kept = {entry.message_id for entry in state.entries.values()}
        first = last = message_id
        while first - 1 in kept:
            first -= 1
        while last + 1 in kept:
            last += 1
        return FoundMessage(
            encoded=encoded,
            released=state.inboxes[message_id] - len(held),
            batch_first=first,
            batch_last=last,
        )

    def user_name(self, user: int) -> str | None:
        """See `Store.user_name`."""
        account = self._state.users.get(user)
        return None if account is None else account.name

    def read_journal(
        self, subject: Subject | None, *, after: int = 0, before: int | None = None, limit: int, newest: bool = False
    ) -> JournalPage:
        """See `Store.read_journal`."""
        return memory_journal.read_journal(self._state, subject, after=after, before=before, limit=limit, newest=newest)

    def list_admins(self, after: str, limit: int) -> tuple[AdminRecord, ...]:
        """See `Store.list_admins`."""
        return memory_admins.list_admins(self._state, after, limit)

    def admin_by_digest(self, digest: bytes) -> AdminRecord | None:
        """See `Store.admin_by_digest`."""
        return memory_admins.admin_by_digest(self._state, digest)

    def statistics(self) -> StoreStatistics:
        """See `Store.statistics`; here it takes time in proportion to the entries."""
        state = self._state
        return StoreStatistics(
            used_bytes=state.message_bytes(),
            map_bytes=self._map_bytes,
            reserve_bytes=self._reserve_bytes,
            has_room=self._has_room(state),
            users=len(state.users) + len(state.removed),
            devices=len(state.devices),
            groups=len(state.groups),
            messages=len({entry.message_id for entry in state.entries.values()}),
            entries=len(state.entries),
            journal=len(state.journal),
        )

    def copier(self) -> Copier | None:
        """See `Store.copier`."""
        return None

    def check(self) -> Generator[CheckEvent, None, None]:
        """See `Store.check`."""
        return check_state(self._state)

    def close(self) -> None:
        """See `Store.close`; here there is nothing to let go of."""


def _mark_order(mark: tuple[AddressKind, int, int]) -> tuple[bool, int, int]:
    """With users first, then groups."""
    kind, peer, seq = mark
    return kind == "group", peer, seq


def _within(found: list[tuple[int, InboxEntry]], bytes_max: int) -> list[tuple[int, InboxEntry]]:
    """As many of the first as fit into `bytes_max`, but at least one."""
    page: list[tuple[int, InboxEntry]] = []
    size = 0
    for seq, entry in found:
        size += entry.size
        if page and size > bytes_max:
            break
        page.append((seq, entry))
    return page


def _stored(state: State, seq: int, entry: InboxEntry) -> StoredEntry:
    if entry.encoded is None:
        return StoredEntry(seq=seq, kind="erased", encoded=None)
    if entry.device is None:
        return StoredEntry(seq=seq, kind="message", encoded=entry.encoded)
    device = state.devices.get(entry.device)
    if device is None:  # it was forgotten since
        return StoredEntry(seq=seq, kind="own", encoded=entry.encoded)
    return StoredEntry(seq=seq, kind="own", encoded=entry.encoded, device_id=device.device_id, n=entry.n)


def _group_record(state: State, number: int) -> GroupRecord:
    group = state.groups[number]
    return GroupRecord(
        group=number,
        name=group.name,
        owner=state.users[group.owner].name,
        members=tuple(state.users[user].name for user in sorted(group.members)),
    )


def _sorted(names: "Sequence[str] | Any") -> tuple[str, ...]:
    return tuple(sorted(names, key=str.encode))
