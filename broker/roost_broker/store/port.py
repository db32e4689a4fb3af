"""The port: what the broker asks of a store. One interface, one conformance suite, several fillings."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Protocol

from roost_broker.store.account_operations import GroupHolders, Removal, TokenPage, TokenRow
from roost_broker.store.import_operations import EntryOrigin
from roost_broker.store.journal import JournalPage, Subject
from roost_broker.store.operations import Floor, Hold, Operation, OperationResult, Published, Retention
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
from roost_protocol.admin.fsck import Finding, FsckProgress, FsckVerdict
from roost_protocol.names import AddressKind
from roost_protocol.reasons import Reason

Watch = Callable[[int], None]
"""Told now and then how many bytes are written, from the thread that writes. What it raises ends the copy."""

Copier = Callable[[Path, Watch], int]
"""Writes a copy of the whole store, as of one commit, to a new file, durable; how many bytes. Commits go on meanwhile,
but what they free is not used again until the copy is done. Raises CopyFailed, and then leaves no file."""

CheckEvent = Finding | FsckProgress | FsckVerdict
"""What a check of a store says as it goes. The verdict is the last."""


class Store(Protocol):
    """Inboxes, messages, outcomes, cursors, sessions, accounts, groups and relations, all transactional.

    Synchronous: `commit` is called by one writer at a time (in a thread), the reads by any thread, also while a
    commit is under way; each sees the state after some whole commit. Nothing here waits for anything but the disk.
    Every read may raise ReadFailed. An entry that is damaged is read as such (kind `damaged`), and what else is damaged
    raises RecordDamaged: nothing is ever given out that is not what was stored.

    **Invariant:** within one incarnation of an inbox, the numbers are 1..head without a hole, and head never goes back.
    **Invariant:** when `commit` returns, everything that it returned is durable.
    **Invariant:** an entry once in an inbox keeps its number and its bytes until it is trimmed or erased.
    """

    def commit(self, operations: Sequence[Operation], now_ms: int) -> list[OperationResult]:
        """Apply the operations in order, in one durable transaction; return one result for each.

        `now_ms` is the time that messages and sessions get; message ids rise even if it goes back. Raises
        CommitRefused (nothing changed) or OutcomeUnknown. An operation that needs a record which is damaged is refused
        alone: its result is a CommitRefused (of a message, an unsettled UNSPECIFIED_ERROR); the others are done, then
        perhaps in several transactions.
        """
        ...

    def read_inbox(self, user: int, after: int, entries_max: int, bytes_max: int) -> InboxPage:
        """The entries after the number `after`, at least one if there is any, within both bounds.

        The page starts at `max(after + 1, floor)`. An unknown user has an empty inbox.
        """
        ...

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
        """What the user's own inbox still holds of a conversation (an address; None: of everything).

        The newest `limit` entries with a number below `before` (default: below infinity), or the oldest above
        `after`; in rising order. At least one entry if there is any, however large.
        """
        ...

    def first_of_newest(self, user: int, conversation: str | None, *, upto: int | None = None, newest: int) -> int:
        """The number at which the newest `newest` (at least 1) entries of a conversation begin, up to a number.

        As for `read_conversation`, but no entry is read. Above the head if there is none.
        """
        ...

    def conversations(self, user: int, after: ConversationMark, entries_max: int) -> ConversationCounts:
        """Count an inbox by conversations: with users first, then groups, each by number; after a mark.

        Looks at no more than `entries_max` entries.
        """
        ...

    def inbox_size(self, user: int) -> InboxSize:
        """How much an inbox holds, without a look at its entries. An unknown user has an empty inbox."""
        ...

    def would_trim(self, user: int, retention: Retention, now_ms: int, hold: Hold | None = None) -> Floor | None:
        """Where the inbox would begin, and by which rule, after a `Trim` with these rules; None if nothing would go."""
        ...

    def account(self, name: str) -> Account | None:
        """The account of this name."""
        ...

    def token_owner(self, digest: bytes) -> TokenOwner | None:
        """Whose device token has this digest."""
        ...

    def route(self, sender: int, to: str) -> tuple[int, ...] | Reason:
        """The users that a message from `sender` to `to` would reach now (without the sender), or why not."""
        ...

    def is_blocked(self, user: int, by: int) -> bool:
        """Whether `by` has blocked `user`."""
        ...

    def devices(self, user: int) -> tuple[DeviceRecord, ...]:
        """The devices of a user, in order of their ids."""
        ...

    def relations(self, user: int, kind: str) -> tuple[str, ...]:
        """Names of the user's contacts (`contact`) or blocked users (`block`), sorted."""
        ...

    def group(self, name: str) -> GroupRecord | None:
        """The group of this name."""
        ...

    def groups_of(self, user: int) -> tuple[str, ...]:
        """Names of the groups the user is a member of, sorted."""
        ...

    def list_users(self, after: str, limit: int) -> tuple[UserRow, ...]:
        """Users with a name after `after`, in order of UTF-8 bytes, at most `limit`."""
        ...

    def list_groups(self, after: str, limit: int) -> tuple[GroupRecord, ...]:
        """Groups with a name after `after`, in order of UTF-8 bytes, at most `limit`."""
        ...

    def find_entry(self, user: int, message_id: int) -> FoundEntry | None:
        """Where the message stands in the user's inbox; None if it is not, or not any more, in there."""
        ...

    def find_message(self, message_id: int) -> FoundMessage | None:
        """The message, if an inbox still holds it."""
        ...

    def publish_outcome(self, device: int, n: int) -> Published | None:
        """What a device would be told if it published `n` again, as it was; None if that was never settled."""
        ...

    def user_name(self, user: int) -> str | None:
        """The name of the user with this number; None if there is no such user, or not any more."""
        ...

    def read_journal(
        self, subject: Subject | None, *, after: int = 0, before: int | None = None, limit: int, newest: bool = False
    ) -> JournalPage:
        """Records about `subject` (None: all) with numbers above `after` and below `before`.

        The first `limit` of them, or with `newest` the last; in rising order.
        """

    def list_admins(self, after: str, limit: int) -> tuple[AdminRecord, ...]:
        """Admins with a name after `after`, in order of UTF-8 bytes, at most `limit`."""
        ...

    def admin_by_digest(self, digest: bytes) -> AdminRecord | None:
        """The admin whose token has this digest. How long it takes says nothing of whose it nearly is."""
        ...

    def names_after(self, kind: AddressKind, after: str, limit: int) -> tuple[str, ...]:
        """Names of users or groups after `after`, in order of UTF-8 bytes, at most `limit`: nothing else is read."""
        ...

    def list_tokens(self, after: str, users_max: int) -> TokenPage:
        """The devices with tokens of the next `users_max` users with a name after `after`, in order of UTF-8 bytes."""
        ...

    def tokens_of(self, user: int) -> tuple[TokenRow, ...]:
        """The devices with tokens of one user."""
        ...

    def time_of(self, user: int, seq: int) -> int | None:
        """When the entry with this number was stored (Unix time, ms); None if the inbox does not hold it."""
        ...

    def entry_origins(self, user: int, after: int, entries_max: int) -> tuple[EntryOrigin, ...]:
        """What the inbox says of the entries after the number `after`, at most `entries_max`, besides the messages."""
        ...

    def removals(self, after: int, limit: int) -> tuple[Removal, ...]:
        """Removed users of whom something is left, in order of their numbers, which are above `after`."""
        ...

    def erased_group_holders(self, user: int, after: int, users_max: int) -> GroupHolders:
        """Who holds entries of the groups in which messages of a removed user were erased, until they are told.

        Looks at the next `users_max` users with a number above `after`.
        """
        ...

    def statistics(self) -> StoreStatistics:
        """Sizes and counts as of now. May take time proportional to nothing but the number of tables."""
        ...

    def copier(self) -> Copier | None:
        """What copies the store while it is in use; None if it keeps nothing on a disk."""
        ...

    def check(self) -> Generator[CheckEvent, None, None]:
        """Check everything that was promised of what is stored, on one snapshot; nothing is changed.

        A generator: it may rest after each event, and any thread may go on with it, one at a time, also while commits
        are under way. It keeps hold of its snapshot until it ends or is closed.
        """
        ...

    def close(self) -> None:
        """Let go of files and locks. Idempotent; nothing else may be called after it."""
        ...
