"""What is read from the LMDB store, each within one read transaction that its caller opens and closes at once.

Inboxes are dense, so a page is one walk over as many values as there are numbers, with no look at the keys; the
messages it refers to are then fetched in one call, in the order of their ids, which is the order of the page.
"""

import hmac
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from roost_broker.store import lmdb_admins
from roost_broker.store.errors import RecordDamaged
from roost_broker.store.ids import message_time_ms
from roost_broker.store.journal import JournalPage, Subject
from roost_broker.store.lmdb_batch import Room, used_bytes
from roost_broker.store.lmdb_journal import read_journal
from roost_broker.store.lmdb_publish import find_route, kept_outcome
from roost_broker.store.lmdb_seal import SEAL_BYTES, checksum, unsealed
from roost_broker.store.lmdb_tables import (
    CONVERSATION,
    CURSOR,
    ENTRY,
    ERASED,
    ID_BYTES,
    KIND_OWN,
    NUMBER,
    OWN_ENTRY,
    PAIR,
    RELATION,
    RELATION_KINDS,
    RELATION_PREFIX,
    SCROLL,
    SLOT,
    WITH_GROUP,
    WITH_USER,
    Tables,
    device_record,
    find_number,
    group_record,
    is_entry,
    keys_with_prefix,
    must_be_entry,
    number_at_end,
    read_head,
    read_released,
    read_start,
    user_record,
)
from roost_broker.store.lmdb_trim import would_trim
from roost_broker.store.operations import NO_DEVICE, Floor, Hold, Published, Retention
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
    TokenOwner,
    UserRow,
)
from roost_protocol.names import parse_address
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    import lmdb

    from roost_broker.store.lmdb_tables import Transaction

_SIZE_FIELD = 4  # of ENTRY
_INBOXES_FIELD = 5
_NO_KEY = b"\xff"  # of no message


class Reader:
    """Reads within one transaction. Raises what the binding raises, and RecordDamaged."""

    def __init__(self, txn: "Transaction", tables: Tables) -> None:
        self._txn = txn
        self._tables = tables
        self.damaged: list[RecordDamaged] = []
        """What was found damaged, and told as such in the place of what was there."""

    @property
    def txn(self) -> "Transaction":
        """The transaction, for whoever has to look further in it."""
        return self._txn

    # --- entries ---

    def inbox(self, user: int, after: int, entries_max: int, bytes_max: int) -> InboxPage:
        """See `Store.read_inbox`."""
        head = read_head(self._txn, self._tables, user).seq
        floor, _, reason = read_start(self._txn, self._tables, user)
        first = max(after + 1, floor)
        values = self._values(user, first, min(head, first + entries_max - 1))
        values = values[: _within(values, bytes_max)]
        entries = self._entries(user, range(first, first + len(values)), values)
        return InboxPage(head=head, floor=floor, floor_reason=reason, entries=entries)

    def conversation(
        self, user: int, conversation: str | None, before: int | None, after: int | None, limit: int, bytes_max: int
    ) -> ScrollPage:
        """See `Store.read_conversation`."""
        head = read_head(self._txn, self._tables, user).seq
        floor = read_start(self._txn, self._tables, user).floor
        first = floor if after is None else max(floor, after + 1)
        last = head if before is None or after is not None else min(head, before - 1)
        if conversation is None:
            seqs = _nearest(range(first, last + 1), limit + 1, rising=after is not None)
        else:
            seqs = self._numbers(user, conversation, first, last, limit + 1, rising=after is not None)
        values = self._rows(self._tables.inbox, [PAIR.pack(user, seq) for seq in seqs[:limit]])
        kept = _within(values, bytes_max)
        page = sorted(zip(seqs[:kept], values[:kept], strict=True))
        entries = self._entries(user, [seq for seq, _ in page], [value for _, value in page])
        if conversation is not None:
            self._must_be_of(user, conversation, page)
        return ScrollPage(head=head, floor=floor, entries=entries, more=len(seqs) > kept)

    def first_of_newest(self, user: int, conversation: str | None, upto: int | None, newest: int) -> int:
        """See `Store.first_of_newest`."""
        head = read_head(self._txn, self._tables, user).seq
        floor = read_start(self._txn, self._tables, user).floor
        last = head if upto is None else min(head, upto)
        if conversation is None:
            seqs = _nearest(range(floor, last + 1), newest, rising=False)
        else:
            seqs = self._numbers(user, conversation, floor, last, newest, rising=False)
        return seqs[-1] if seqs else head + 1

    def conversations(self, user: int, after: ConversationMark, entries_max: int) -> ConversationCounts:
        """See `Store.conversations`."""
        kind = WITH_USER if after.kind == "user" else WITH_GROUP
        prefix = NUMBER.pack(user)
        counts: dict[tuple[int, int], list[int]] = {}
        key, more = b"", False
        with self._txn.cursor(self._tables.scroll) as cursor:
            if cursor.set_range(SCROLL.pack(user, kind, after.peer, after.seq + 1)):
                walk = cursor.iternext(values=False)
                for key in islice(walk, entries_max):
                    if not key.startswith(prefix):
                        break
                    _, kind, peer, seq = SCROLL.unpack(key)
                    count = counts.setdefault((kind, peer), [0, 0])
                    count[0] += 1
                    count[1] = seq
                else:
                    more = next(walk, b"").startswith(prefix)
        rows = tuple(self._conversation_count(*where, *count) for where, count in counts.items())
        mark = ConversationMark(rows[-1].kind, rows[-1].peer, rows[-1].newest) if more else None
        return ConversationCounts(conversations=rows, next_after=mark)

    def _conversation_count(self, kind: int, peer: int, entries: int, newest: int) -> ConversationCount:
        table = self._tables.users if kind == WITH_USER else self._tables.groups
        value = self._txn.get(NUMBER.pack(peer), db=table)
        name: str | None = None
        if value is not None and kind == WITH_USER:
            user = user_record(value)
            name = None if user.removed else user.name
        elif value is not None:
            name = group_record(value).name
        return ConversationCount(
            kind="user" if kind == WITH_USER else "group",
            peer=peer,
            name=name,
            entries=entries,
            newest=newest,
        )

    def inbox_size(self, user: int) -> InboxSize:
        """See `Store.inbox_size`."""
        head = read_head(self._txn, self._tables, user)
        start = read_start(self._txn, self._tables, user)
        first = self._txn.get(PAIR.pack(user, start.floor), db=self._tables.inbox)
        return InboxSize(
            head=head.seq,
            floor=start.floor,
            entries=head.seq - start.floor + 1,
            bytes=head.cumulative - start.cumulative,
            oldest=message_time_ms(ENTRY.unpack_from(first)[0])
            if first is not None and is_entry(first, PAIR.pack(user, start.floor))
            else None,
        )

    def would_trim(self, user: int, retention: Retention, hold: Hold | None, now_ms: int) -> Floor | None:
        """See `Store.would_trim`."""
        return would_trim(self._txn, self._tables, user, retention, hold, now_ms)

    def _values(self, user: int, first: int, last: int) -> list[bytes]:
        """The values of the inbox from one number to another, every one of which is there unless the store is damaged.

        With a number missing, the walk would end beyond `last`, among the entries of another user. Then each is looked
        for by itself, and what is not there is empty.
        """
        if last < first:
            return []
        with self._txn.cursor(self._tables.inbox) as cursor:
            values: list[bytes] = []
            if cursor.set_key(PAIR.pack(user, first)):
                values = list(islice(cursor.iternext(keys=False), last - first + 1))
            if cursor.key() == PAIR.pack(user, last):
                return values
        return self._rows(self._tables.inbox, [PAIR.pack(user, seq) for seq in range(first, last + 1)])

    def _rows(self, table: "lmdb._Database", keys: list[bytes]) -> list[bytes]:
        """The values of these keys, in their order; empty for what is not there."""
        with self._txn.cursor(table) as cursor:
            found = cursor.getmulti(keys)
        if len(found) == len(keys):
            return [value for _, value in found]
        values = dict(found)
        return [values.get(key, b"") for key in keys]

    def _must_be_of(self, user: int, conversation: str, page: list[tuple[int, bytes]]) -> None:
        """Raise RecordDamaged if the index has led to an entry of another conversation."""
        prefix = self._conversation_prefix(user, conversation)
        for seq, value in page:
            if value and is_entry(value, PAIR.pack(user, seq)):
                _, _, kind, peer, *_ = ENTRY.unpack_from(value)
                if CONVERSATION.pack(user, kind, peer) != prefix:
                    key = SCROLL.pack(*CONVERSATION.unpack(prefix or b""), seq)
                    raise RecordDamaged("scroll", key, "the entry is of another conversation")

    def _numbers(self, user: int, conversation: str, first: int, last: int, count: int, *, rising: bool) -> list[int]:
        """At most `count` numbers of a conversation from `first` up or from `last` down."""
        prefix = self._conversation_prefix(user, conversation)
        if prefix is None or last < first:
            return []
        numbers: list[int] = []
        with self._txn.cursor(self._tables.scroll) as cursor:
            if rising:
                found = cursor.set_range(prefix + NUMBER.pack(first))
            else:
                found = cursor.prev() if cursor.set_range(prefix + NUMBER.pack(last + 1)) else cursor.last()
            if not found:
                return []
            walk = cursor.iternext(values=False) if rising else cursor.iterprev(values=False)
            for key in islice(walk, count):
                if not key.startswith(prefix):
                    break
                numbers.append(SCROLL.unpack(key)[-1])
        return [seq for seq in numbers if first <= seq <= last]

    def _conversation_prefix(self, user: int, conversation: str) -> bytes | None:
        kind, name = parse_address(conversation)
        peer = find_number(self._txn, self._tables, kind, name)
        if peer is None:
            return None
        return CONVERSATION.pack(user, WITH_USER if kind == "user" else WITH_GROUP, NUMBER.unpack(peer)[0])

    def _entries(self, user: int, seqs: "range | list[int]", values: list[bytes]) -> tuple[StoredEntry, ...]:
        """Entries by their numbers and values, with the messages they refer to. What is damaged says so."""
        messages = self._rows(self._tables.messages, [value[:ID_BYTES] or _NO_KEY for value in values])
        device_ids: dict[int, str | None] = {}
        entries: list[StoredEntry] = []
        for seq, value, stored in zip(seqs, values, messages, strict=True):
            key = PAIR.pack(user, seq)
            if checksum(key + value[:-SEAL_BYTES]) != value[-SEAL_BYTES:]:
                entries.append(self._damaged_entry(seq, "inbox", key, value))
                continue
            encoded = stored[:-SEAL_BYTES]
            if checksum(value[:ID_BYTES] + encoded) != stored[-SEAL_BYTES:]:
                entries.append(self._damaged_entry(seq, "messages", value[:ID_BYTES], stored))
                continue
            if encoded == ERASED:
                entries.append(StoredEntry(seq=seq, kind="erased", encoded=None))
                continue
            if value[ID_BYTES] != KIND_OWN:
                entries.append(StoredEntry(seq=seq, kind="message", encoded=encoded))
                continue
            device, n = OWN_ENTRY.unpack_from(value)[-2:]
            if device not in device_ids:
                device_ids[device] = self._device_id(device)
            device_id = device_ids[device]  # None: it was forgotten since, and its count with it
            n = None if device_id is None else n
            entries.append(StoredEntry(seq=seq, kind="own", encoded=encoded, device_id=device_id, n=n))
        return tuple(entries)

    def _damaged_entry(self, seq: int, table: str, key: bytes, stored: bytes) -> StoredEntry:
        self.damaged.append(RecordDamaged(table, key) if stored else RecordDamaged(table, key, "it is not there"))
        return StoredEntry(seq=seq, kind="damaged", encoded=None)

    def _device_id(self, device: int) -> str | None:
        value = self._txn.get(NUMBER.pack(device), db=self._tables.devices)
        return None if value is None else device_record(value).device_id

    # --- one message ---

    def find_entry(self, user: int, message_id: int) -> FoundEntry | None:
        """See `Store.find_entry`: ids rise with the numbers of an inbox, so halves tell."""
        low, high = read_start(self._txn, self._tables, user).floor, read_head(self._txn, self._tables, user).seq
        wanted = NUMBER.pack(message_id)
        while low <= high:
            seq = (low + high) // 2
            key = PAIR.pack(user, seq)
            value = must_be_entry(self._txn.get(key, db=self._tables.inbox), key)
            if value[:ID_BYTES] == wanted:
                return self._found(seq, value)
            if value[:ID_BYTES] < wanted:
                low = seq + 1
            else:
                high = seq - 1
        return None

    def _found(self, seq: int, value: bytes) -> FoundEntry:
        inboxes = ENTRY.unpack_from(value)[_INBOXES_FIELD]
        stored = self._txn.get(value[:ID_BYTES], db=self._tables.messages)
        if stored is not None and unsealed(stored, "messages", value[:ID_BYTES]) == ERASED:
            return FoundEntry(seq=seq, kind="erased", inboxes=inboxes)
        if value[ID_BYTES] != KIND_OWN:
            return FoundEntry(seq=seq, kind="message", inboxes=inboxes)
        device, n = OWN_ENTRY.unpack(value)[-2:]
        device_id = self._device_id(device)
        return FoundEntry(
            seq=seq,
            kind="own",
            inboxes=inboxes,
            device_id=device_id,
            n=None if device_id is None else n,
            by_admin=device == NO_DEVICE,
        )

    def publish_outcome(self, device: int, n: int) -> Published | None:
        """See `Store.publish_outcome`."""
        row = self._txn.get(NUMBER.pack(device), db=self._tables.cursors)
        if row is None:
            return None
        _, settled_n, _, slots, long_ago = CURSOR.unpack(row)
        if n <= max(settled_n - slots, long_ago):
            return Published(n=n, reason=Reason.SETTLED_LONG_AGO)
        return kept_outcome(self._txn.get(SLOT.pack(device, n % slots), db=self._tables.outcomes), n)

    def find_message(self, message_id: int) -> FoundMessage | None:
        """See `Store.find_message`."""
        key = NUMBER.pack(message_id)
        stored = self._txn.get(key, db=self._tables.messages)
        encoded = ERASED if stored is None else unsealed(stored, "messages", key)
        if encoded == ERASED:
            return None
        value = self._txn.get(key, db=self._tables.released)
        with self._txn.cursor(self._tables.messages) as cursor:
            cursor.set_key(key)
            first = _end_of_run(cursor.iterprev(values=False), message_id, -1)
            cursor.set_key(key)
            last = _end_of_run(cursor.iternext(values=False), message_id, 1)
        released = read_released(value).times
        return FoundMessage(encoded=encoded, released=released, batch_first=first, batch_last=last)

    # --- the journal ---

    def journal(
        self, subject: Subject | None, *, after: int, before: int | None, limit: int, newest: bool
    ) -> JournalPage:
        """See `Store.read_journal`."""
        return read_journal(self._txn, self._tables, subject, after=after, before=before, limit=limit, newest=newest)

    # --- sizes ---

    def sizes(self) -> tuple[int, dict[str, int]]:
        """Bytes of the pages in use, and the rows of each table by its name."""
        counts = {name: self._txn.stat(table)["entries"] for name, table in self._tables._asdict().items()}
        return used_bytes(self._txn, self._tables), counts

    def has_room(self, room: Room) -> bool:
        """Whether there is room for messages; see `Room`."""
        return room(self._txn)

    # --- users and devices ---

    def account(self, name: str) -> Account | None:
        """See `Store.account`."""
        key = self._number(self._tables.names, name)
        account = None if key is None else self._account(key)
        if account is not None and account.name != name:
            raise RecordDamaged("names", name.encode(), "it leads to another user")
        return account

    def _number(self, table: "lmdb._Database", name: str) -> bytes | None:
        """The number, as a key, of somebody or something with a name; nobody has the empty one, which is no key."""
        return self._txn.get(name.encode(), db=table) if name else None

    def _account(self, key: bytes) -> Account:
        user = user_record(self._must_have(key, self._tables.users))
        return Account(
            user=NUMBER.unpack(key)[0],
            name=user.name,
            password_hash=user.password_hash,
            password_version=user.password_version,
            disabled=user.disabled,
            incarnation=user.incarnation,
            created=user.created,
            importing=user.importing is not None,
        )

    def token_owner(self, digest: bytes) -> TokenOwner | None:
        """See `Store.token_owner`."""
        key = self._txn.get(digest, db=self._tables.tokens)
        if key is None:
            return None
        device = device_record(self._must_have(key, self._tables.devices))
        if not hmac.compare_digest(device.token_digest or b"", digest):
            raise RecordDamaged("tokens", digest, "it leads to another device")
        return TokenOwner(account=self._account(NUMBER.pack(device.user)), device_id=device.device_id)

    def devices(self, user: int) -> tuple[DeviceRecord, ...]:
        """See `Store.devices`."""
        keys = keys_with_prefix(self._txn, self._tables.device_ids, NUMBER.pack(user))
        return tuple(self._device(self._must_have(key, self._tables.device_ids)) for key in keys)

    def _device(self, key: bytes) -> DeviceRecord:
        device = device_record(self._must_have(key, self._tables.devices))
        cursor, settled_n, last_seen, _, _ = CURSOR.unpack(self._must_have(key, self._tables.cursors))
        return DeviceRecord(
            device=NUMBER.unpack(key)[0],
            device_id=device.device_id,
            terminal=device.terminal,
            client=device.client,
            cursor=cursor,
            settled_n=settled_n,
            last_seen=last_seen,
        )

    def users_after(self, after: str, limit: int) -> tuple[UserRow, ...]:
        """See `Store.list_users`."""
        return tuple(self._user_row(key) for key in self._named_after(self._tables.names, after, limit))

    def _user_row(self, key: bytes) -> UserRow:
        (number,) = NUMBER.unpack(key)
        user = user_record(self._must_have(key, self._tables.users))
        return UserRow(
            user=number,
            name=user.name,
            created=user.created,
            disabled=user.disabled,
            importing=user.importing is not None,
            head=read_head(self._txn, self._tables, number).seq,
            floor=read_start(self._txn, self._tables, number).floor,
            devices=len(keys_with_prefix(self._txn, self._tables.device_ids, key)),
        )

    def route(self, sender: int, to: str) -> tuple[int, ...] | Reason:
        """See `Store.route`."""
        route = find_route(self._txn, self._tables, sender, to)
        return route if isinstance(route, Reason) else route.others

    def is_blocked(self, user: int, by: int) -> bool:
        """See `Store.is_blocked`."""
        key = RELATION.pack(by, RELATION_KINDS["block"], user)
        return self._txn.get(key, db=self._tables.relations) is not None

    def relations(self, user: int, kind: str) -> tuple[str, ...]:
        """See `Store.relations`."""
        prefix = RELATION_PREFIX.pack(user, RELATION_KINDS[kind])
        others = keys_with_prefix(self._txn, self._tables.relations, prefix)
        users = (user_record(self._must_have(key[-NUMBER.size :], self._tables.users)) for key in others)
        return tuple(sorted(user.name for user in users if not user.removed))

    def user_name(self, user: int) -> str | None:
        """See `Store.user_name`."""
        value = self._txn.get(NUMBER.pack(user), db=self._tables.users)
        record = None if value is None else user_record(value)
        return None if record is None or record.removed else record.name

    def _user_name(self, number: int) -> str:
        return user_record(self._must_have(NUMBER.pack(number), self._tables.users)).name

    # --- groups ---

    def group(self, name: str) -> GroupRecord | None:
        """See `Store.group`."""
        key = self._number(self._tables.group_names, name)
        group = None if key is None else self._group(key)
        if group is not None and group.name != name:
            raise RecordDamaged("group_names", name.encode(), "it leads to another group")
        return group

    def _group(self, key: bytes) -> GroupRecord:
        group = group_record(self._must_have(key, self._tables.groups))
        members = keys_with_prefix(self._txn, self._tables.members, key)
        return GroupRecord(
            group=NUMBER.unpack(key)[0],
            name=group.name,
            owner=self._user_name(group.owner),
            members=tuple(self._user_name(number_at_end(member)) for member in members),
        )

    def groups_of(self, user: int) -> tuple[str, ...]:
        """See `Store.groups_of`."""
        keys = keys_with_prefix(self._txn, self._tables.memberships, NUMBER.pack(user))
        groups = [self._must_have(NUMBER.pack(number_at_end(key)), self._tables.groups) for key in keys]
        return tuple(sorted(group_record(group).name for group in groups))

    def groups_after(self, after: str, limit: int) -> tuple[GroupRecord, ...]:
        """See `Store.list_groups`."""
        return tuple(self._group(key) for key in self._named_after(self._tables.group_names, after, limit))

    # --- admins ---

    def admins_after(self, after: str, limit: int) -> tuple[AdminRecord, ...]:
        """See `Store.list_admins`."""
        return lmdb_admins.list_admins(self._txn, self._tables, after, limit)

    def admin_by_digest(self, digest: bytes) -> AdminRecord | None:
        """See `Store.admin_by_digest`."""
        return lmdb_admins.admin_by_digest(self._txn, self._tables, digest)

    def _named_after(self, table: "lmdb._Database", after: str, limit: int) -> list[bytes]:
        """Numbers, as keys, of the next names after one."""
        name = after.encode()
        with self._txn.cursor(table) as cursor:
            found = cursor.set_range(name) if name else cursor.first()
            if found and cursor.key() == name:
                found = cursor.next()
            return list(islice(cursor.iternext(keys=False), limit)) if found else []

    def _must_have(self, key: bytes, table: "lmdb._Database") -> bytes:
        value = self._txn.get(key, db=table)
        if value is None:
            raise RecordDamaged("another table", key, "it is not there, but a row that leads to it is")
        return value


def _end_of_run(keys: Iterator[bytes], number: int, step: int) -> int:
    """The last of the numbers that follow one another, step by step, from `number` on, which comes first."""
    for key in keys:
        if NUMBER.unpack(key)[0] not in (number, number + step):
            break
        number = NUMBER.unpack(key)[0]
    return number


def _nearest(numbers: range, count: int, *, rising: bool) -> list[int]:
    """The first or, going down, the last of the numbers."""
    return list(numbers[:count]) if rising else list(reversed(numbers[-count:]))


def _within(values: list[bytes], bytes_max: int) -> int:
    """How many of the first entries fit into `bytes_max`: at least one, if there is any."""
    size = 0
    for index, value in enumerate(values):
        if len(value) >= ENTRY.size:
            size += ENTRY.unpack_from(value)[_SIZE_FIELD]
        if size > bytes_max and index:
            return index
    return len(values)
