"""The port: what the broker asks of a store. One interface, one conformance suite, several fillings."""

from collections.abc import Sequence
from typing import Protocol

from roost_broker.store.operations import (
    Account,
    ConversationCounts,
    ConversationMark,
    DeviceRecord,
    Floor,
    GroupRecord,
    Hold,
    InboxPage,
    InboxSize,
    Operation,
    OperationResult,
    Retention,
    ScrollPage,
    StoreStatistics,
    TokenOwner,
    UserRow,
)
from roost_protocol.reasons import Reason


class Store(Protocol):
    """Inboxes, messages, outcomes, cursors, sessions, accounts, groups and relations, all transactional.

    Synchronous: `commit` is called by one writer at a time (in a thread), the reads by any thread, also while a
    commit is under way; each sees the state after some whole commit. Nothing here waits for anything but the disk.
    Every read may raise ReadFailed.

    **Invariant:** within one incarnation of an inbox, the numbers are 1..head without a hole, and head never goes back.
    **Invariant:** when `commit` returns, everything that it returned is durable.
    **Invariant:** an entry once in an inbox keeps its number and its bytes until it is trimmed or erased.
    """

    def commit(self, operations: Sequence[Operation], now_ms: int) -> list[OperationResult]:
        """Apply the operations in order, in one durable transaction; return one result for each.

        `now_ms` is the time that messages and sessions get; message ids rise even if it goes back. Raises
        CommitRefused (nothing changed) or OutcomeUnknown.
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
        """How much an inbox holds. May take time proportional to nothing."""
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

    def statistics(self) -> StoreStatistics:
        """Sizes and counts as of now. May take time proportional to nothing but the number of tables."""
        ...

    def close(self) -> None:
        """Let go of files and locks. Idempotent; nothing else may be called after it."""
        ...
