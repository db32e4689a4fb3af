"""The store on disk: LMDB, one environment in one folder, one writer.

A commit is one LMDB write transaction, made durable before it returns: LMDB writes the pages, fdatasync's, and writes
the page that points to them with O_DSYNC. Reads each use a short transaction of their own and see the last commit.

What a failed commit means is known exactly. Until the last page, the one that points to all others, nothing that was
written counts; and if writing that page fails, LMDB refuses every later transaction. So a commit that failed for
want of space, or because the disk takes no writes, after which another transaction can begin, changed nothing. After
any other failure of the disk the process stops (see `OutcomeUnknown`), whether or not it would be known what became of
the transaction.

`data.mdb`, `lock.mdb` (LMDB's) and `roost.lock` (keeps a second broker out) have mode 0600, the folder 0700.
"""

import errno
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

import lmdb

from roost_broker.store import (
    lmdb_accounts,
    lmdb_admins,
    lmdb_erasure,
    lmdb_import,
    lmdb_journal,
    lmdb_publish,
    lmdb_removal,
    lmdb_sessions,
    lmdb_trim,
)
from roost_broker.store.account_operations import (
    ClearRemoved,
    DeleteGroup,
    EraseMessages,
    ForgetDevice,
    GroupHolders,
    Removal,
    RemoveUser,
    SetDisabled,
    TellErased,
    TokenPage,
    TokenRow,
)
from roost_broker.store.damages import Damages
from roost_broker.store.errors import CommitRefused, OutcomeUnknown, ReadFailed, RecordDamaged, StoreError
from roost_broker.store.fsck import walk
from roost_broker.store.import_operations import BeginImport, EndImport, EntryOrigin, ImportEntries, OpenImport
from roost_broker.store.journal import JournalPage, Subject
from roost_broker.store.lmdb_account_read import AccountReader
from roost_broker.store.lmdb_batch import Batch, Room, WriterMemory
from roost_broker.store.lmdb_copy import copy_environment
from roost_broker.store.lmdb_open import DATA_FILE, open_folder
from roost_broker.store.lmdb_tables import DECODE_ERRORS
from roost_broker.store.operations import (
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
    ConversationCounts,
    ConversationMark,
    DeviceRecord,
    FoundEntry,
    FoundMessage,
    GroupRecord,
    InboxPage,
    InboxSize,
    ScrollPage,
    StoreStatistics,
    TokenOwner,
    UserRow,
)
from roost_protocol.limits import MIB, Limits
from roost_protocol.names import AddressKind
from roost_protocol.reasons import Reason

MAP_BYTES = 1024 * 1024 * MIB
"""The default bound of the file: 1 TiB of address space, which costs nothing until it is used. The map is made as
large as its bound from the start, since an open map must never be resized."""

RESERVE_BYTES = 64 * MIB
"""The default reserve: room for the pages that trims and deletions copy before they free any. A slice of 1,000
entries touches at most about 4,000 pages of 4 KiB."""

_SPACE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_Apply = Callable[[Batch, Any], OperationResult]

_APPLY: Mapping[type[Operation], _Apply] = MappingProxyType(
    {
        PublishMessage: lmdb_publish.publish,
        SendMessage: lmdb_publish.send,
        MoveCursors: lmdb_sessions.move_cursors,
        LogIn: lmdb_sessions.log_in,
        EndSession: lmdb_sessions.end_session,
        ForgetDevices: lmdb_sessions.forget_devices,
        Trim: lmdb_trim.trim,
        WriteJournal: lmdb_journal.write_journal,
        TrimJournal: lmdb_journal.trim_journal,
        CreateUser: lmdb_accounts.create_user,
        SetPassword: lmdb_accounts.set_password,
        CreateGroup: lmdb_accounts.create_group,
        ChangeMembers: lmdb_accounts.change_members,
        SetRelation: lmdb_accounts.set_relation,
        AddAdmin: lmdb_admins.add_admin,
        RemoveAdmin: lmdb_admins.remove_admin,
        SetDisabled: lmdb_removal.set_disabled,
        ForgetDevice: lmdb_removal.forget_one_device,
        DeleteGroup: lmdb_removal.delete_group,
        RemoveUser: lmdb_removal.remove_user,
        ClearRemoved: lmdb_removal.clear_removed,
        EraseMessages: lmdb_erasure.erase_messages,
        TellErased: lmdb_erasure.tell_erased,
        BeginImport: lmdb_import.begin_import,
        ImportEntries: lmdb_import.import_entries,
        OpenImport: lmdb_import.open_import,
        EndImport: lmdb_import.end_import,
    }
)


_DAMAGE = (ReadFailed, *DECODE_ERRORS)
"""What reading a damaged record raises: its checksum says so, or a key that makes no sense."""


def _applied(batch: Batch, operations: Sequence[Operation]) -> list[OperationResult]:
    """Apply the operations in order. Raises what is in `_DAMAGE`; then nothing of it may be committed."""
    apply = _APPLY
    results: list[OperationResult] = []
    for operation in operations:
        try:
            results.append(apply[type(operation)](batch, operation))
        except RecordDamaged as error:
            if not isinstance(operation, PublishMessage):
                raise
            batch.damaged.append(error)  # a message changes nothing before all is read that it needs
            results.append(lmdb_publish.unreadable(operation))
    return results


class LmdbStore:
    """A `Store` in the folder `path`, which is made if it is not there. Raises StoreUnusable.

    The file grows to at most `map_bytes`; publishes are refused when less than `reserve_bytes` are left, in it or
    on its disk. `limits` are the bounds to keep, `random` makes ids and incarnations. Without `sync`, a commit does
    not wait for the disk, and what is committed may be lost with the machine (not with the process).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        limits: Limits,
        random: Random,
        map_bytes: int = MAP_BYTES,
        reserve_bytes: int = RESERVE_BYTES,
        sync: bool = True,
    ) -> None:
        self._path = Path(path)
        self._limits = limits
        self._random = random
        self._map_bytes = map_bytes
        self._reserve_bytes = reserve_bytes
        self._memory: WriterMemory | None = None
        self._closed = False
        self._damages = Damages(self._path)
        self._env, self._tables, self._lock_fd = open_folder(self._path, map_bytes=map_bytes, sync=sync)
        self._room = Room(
            self._env, self._tables, map_bytes=map_bytes, reserve_bytes=reserve_bytes, folder_fd=self._lock_fd
        )

    # --- writing ---

    def commit(self, operations: Sequence[Operation], now_ms: int) -> list[OperationResult]:
        """See `Store.commit`. Any thread may call it, one at a time."""
        try:
            return self._commit(operations, now_ms)
        except _DAMAGE as error:
            return self._commit_in_halves(operations, now_ms, error)

    def _commit_in_halves(
        self, operations: Sequence[Operation], now_ms: int, error: Exception
    ) -> list[OperationResult]:
        """Commit operations one of which needs a record that is damaged: that one is refused, the others are done."""
        if len(operations) == 1:
            return [self._refused(error)]
        results: list[OperationResult] = []
        middle = len(operations) // 2
        for half in (operations[:middle], operations[middle:]):
            try:
                results += self.commit(half, now_ms)
            except CommitRefused as refused:
                results += [refused] * len(half)
        return results

    def _refused(self, error: Exception) -> CommitRefused:
        """What is told to whoever asked for what cannot be done."""
        if isinstance(error, RecordDamaged):
            self._damages.note(error)
        refused = CommitRefused(f"the store in {self._path} cannot do it: {error}", Reason.UNSPECIFIED_ERROR)
        refused.__cause__ = error
        return refused

    def _commit(self, operations: Sequence[Operation], now_ms: int) -> list[OperationResult]:
        memory, self._memory = self._memory, None  # until it is committed
        try:
            with self._env.begin(write=True) as txn:
                memory = memory or WriterMemory(txn, self._tables)
                batch = Batch(
                    txn,
                    self._tables,
                    memory,
                    now_ms=now_ms,
                    limits=self._limits,
                    random=self._random,
                    room=self._room,
                )
                results = _applied(batch, operations)
                batch.finish()
        except lmdb.Error as error:
            raise self._failure(error) from error
        for damaged in batch.damaged:
            self._damages.note(damaged)
        memory.forget_beyond_bounds()
        self._memory = memory
        return results

    def _failure(self, error: lmdb.Error) -> StoreError:
        """What a transaction that failed with `error` has come to."""
        if isinstance(error, lmdb.BadValsizeError):  # said before anything is written
            return CommitRefused(f"a name is empty, or too long to be a key: {error}", Reason.MALFORMED_PACKET)
        if isinstance(error, lmdb.MapFullError | lmdb.TxnFullError):
            return CommitRefused(f"the store in {self._path} is full (its bound is {self._map_bytes} bytes): {error}")
        if self._for_want_of_space(error.code) and not self._is_stopped():
            return CommitRefused(f"no space is left for the store in {self._path}: {error}")
        if error.code == errno.EROFS and not self._is_stopped():
            text = f"the disk of the store in {self._path} takes no writes: {error}"
            return CommitRefused(text, Reason.SERVER_UNAVAILABLE)
        return OutcomeUnknown(f"the store in {self._path} failed: {error}")

    def _for_want_of_space(self, code: int) -> bool:
        """Whether the disk is full. LMDB says EIO when a write came out short, which is how a full disk begins."""
        return code in _SPACE_ERRORS or (code == errno.EIO and self._disk_is_full())

    def _disk_is_full(self) -> bool:
        """Try to make the data file larger, by as much as one batch may need."""
        data_fd = os.open(self._path / DATA_FILE, os.O_RDWR | os.O_CLOEXEC)
        try:
            size = os.fstat(data_fd).st_size
            os.posix_fallocate(data_fd, size, self._limits.batch_bytes_max)
            os.ftruncate(data_fd, size)
        except OSError as error:
            return error.errno in _SPACE_ERRORS
        finally:
            os.close(data_fd)
        return False

    def _is_stopped(self) -> bool:
        """Whether LMDB failed at the last page of a commit, and so refuses everything since."""
        try:
            self._env.begin(write=True).abort()
        except lmdb.Error:
            return True
        return False

    # --- reading ---

    @contextmanager
    def _reading(self) -> Iterator[AccountReader]:
        try:
            with self._env.begin() as txn:
                reader = AccountReader(txn, self._tables)
                yield reader
        except RecordDamaged as error:
            self._damages.note(error)
            raise
        except (lmdb.Error, *DECODE_ERRORS) as error:
            raise ReadFailed(f"cannot read from the store in {self._path}: {error}") from error
        for damaged in reader.damaged:
            self._damages.note(damaged)

    def read_inbox(self, user: int, after: int, entries_max: int, bytes_max: int) -> InboxPage:
        """See `Store.read_inbox`."""
        with self._reading() as reader:
            return reader.inbox(user, after, entries_max, bytes_max)

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
        with self._reading() as reader:
            return reader.conversation(user, conversation, before, after, limit, bytes_max)

    def first_of_newest(self, user: int, conversation: str | None, *, upto: int | None = None, newest: int) -> int:
        """See `Store.first_of_newest`."""
        with self._reading() as reader:
            return reader.first_of_newest(user, conversation, upto, newest)

    def conversations(self, user: int, after: ConversationMark, entries_max: int) -> ConversationCounts:
        """See `Store.conversations`."""
        with self._reading() as reader:
            return reader.conversations(user, after, entries_max)

    def inbox_size(self, user: int) -> InboxSize:
        """See `Store.inbox_size`."""
        with self._reading() as reader:
            return reader.inbox_size(user)

    def would_trim(self, user: int, retention: Retention, now_ms: int, hold: Hold | None = None) -> Floor | None:
        """See `Store.would_trim`."""
        with self._reading() as reader:
            return reader.would_trim(user, retention, hold if hold and self._room(reader.txn) else None, now_ms)

    def account(self, name: str) -> Account | None:
        """See `Store.account`."""
        with self._reading() as reader:
            return reader.account(name)

    def token_owner(self, digest: bytes) -> TokenOwner | None:
        """See `Store.token_owner`."""
        with self._reading() as reader:
            return reader.token_owner(digest)

    def route(self, sender: int, to: str) -> tuple[int, ...] | Reason:
        """See `Store.route`."""
        with self._reading() as reader:
            return reader.route(sender, to)

    def is_blocked(self, user: int, by: int) -> bool:
        """See `Store.is_blocked`."""
        with self._reading() as reader:
            return reader.is_blocked(user, by)

    def devices(self, user: int) -> tuple[DeviceRecord, ...]:
        """See `Store.devices`."""
        with self._reading() as reader:
            return reader.devices(user)

    def relations(self, user: int, kind: str) -> tuple[str, ...]:
        """See `Store.relations`."""
        with self._reading() as reader:
            return reader.relations(user, kind)

    def group(self, name: str) -> GroupRecord | None:
        """See `Store.group`."""
        with self._reading() as reader:
            return reader.group(name)

    def groups_of(self, user: int) -> tuple[str, ...]:
        """See `Store.groups_of`."""
        with self._reading() as reader:
            return reader.groups_of(user)

    def list_users(self, after: str, limit: int) -> tuple[UserRow, ...]:
        """See `Store.list_users`."""
        with self._reading() as reader:
            return reader.users_after(after, limit)

    def list_groups(self, after: str, limit: int) -> tuple[GroupRecord, ...]:
        """See `Store.list_groups`."""
        with self._reading() as reader:
            return reader.groups_after(after, limit)

    def find_entry(self, user: int, message_id: int) -> FoundEntry | None:
        """See `Store.find_entry`."""
        with self._reading() as reader:
            return reader.find_entry(user, message_id)

    def publish_outcome(self, device: int, n: int) -> Published | None:
        """See `Store.publish_outcome`."""
        with self._reading() as reader:
            return reader.publish_outcome(device, n)

    def find_message(self, message_id: int) -> FoundMessage | None:
        """See `Store.find_message`."""
        with self._reading() as reader:
            return reader.find_message(message_id)

    def user_name(self, user: int) -> str | None:
        """See `Store.user_name`."""
        with self._reading() as reader:
            return reader.user_name(user)

    def read_journal(
        self, subject: Subject | None, *, after: int = 0, before: int | None = None, limit: int, newest: bool = False
    ) -> JournalPage:
        """See `Store.read_journal`."""
        with self._reading() as reader:
            return reader.journal(subject, after=after, before=before, limit=limit, newest=newest)

    def list_admins(self, after: str, limit: int) -> tuple[AdminRecord, ...]:
        """See `Store.list_admins`."""
        with self._reading() as reader:
            return reader.admins_after(after, limit)

    def admin_by_digest(self, digest: bytes) -> AdminRecord | None:
        """See `Store.admin_by_digest`."""
        with self._reading() as reader:
            return reader.admin_by_digest(digest)

    def names_after(self, kind: AddressKind, after: str, limit: int) -> tuple[str, ...]:
        """See `Store.names_after`."""
        with self._reading() as reader:
            return reader.names_after(kind, after, limit)

    def list_tokens(self, after: str, users_max: int) -> TokenPage:
        """See `Store.list_tokens`."""
        with self._reading() as reader:
            return reader.tokens_after(after, users_max)

    def tokens_of(self, user: int) -> tuple[TokenRow, ...]:
        """See `Store.tokens_of`."""
        with self._reading() as reader:
            return reader.tokens_of(user)

    def time_of(self, user: int, seq: int) -> int | None:
        """See `Store.time_of`."""
        with self._reading() as reader:
            return reader.time_of(user, seq)

    def entry_origins(self, user: int, after: int, entries_max: int) -> tuple[EntryOrigin, ...]:
        """See `Store.entry_origins`."""
        with self._reading() as reader:
            return lmdb_import.entry_origins(reader.txn, self._tables, user, after, entries_max)

    def removals(self, after: int, limit: int) -> tuple[Removal, ...]:
        """See `Store.removals`."""
        with self._reading() as reader:
            return reader.removals(after, limit)

    def erased_group_holders(self, user: int, after: int, users_max: int) -> GroupHolders:
        """See `Store.erased_group_holders`."""
        with self._reading() as reader:
            return reader.erased_group_holders(user, after, users_max)

    def statistics(self) -> StoreStatistics:
        """See `Store.statistics`."""
        with self._reading() as reader:
            used, counts = reader.sizes()
            has_room = reader.has_room(self._room)
        return StoreStatistics(
            used_bytes=used,
            map_bytes=self._map_bytes,
            reserve_bytes=self._reserve_bytes,
            has_room=has_room,
            users=counts["users"],
            devices=counts["devices"],
            groups=counts["groups"],
            messages=counts["messages"],
            entries=counts["inbox"],
            journal=counts["journal"],
            damaged=self._damages.count,
        )

    def copier(self) -> Copier | None:
        """See `Store.copier`."""
        return partial(copy_environment, self._env)

    def check(self) -> Generator[CheckEvent, None, None]:
        """See `Store.check`."""
        return walk(self._env, self._tables)

    def close(self) -> None:
        """See `Store.close`."""
        if not self._closed:
            self._closed = True
            self._env.close()
            os.close(self._lock_fd)
