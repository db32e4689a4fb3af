"""A store that fails when it is told to, and that an observer looks at from outside.

What no device sees, but the oracle has to know, goes into the history here: who was in which group, who blocked whom,
how far retention has moved each floor. Nothing else can happen while a commit runs inline, so what was asked for and
what is certain are recorded side by side, right after it: the oracle has to leave nothing open.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from model.plan import FailCommit
from roost.oracle import (
    BlockAsked,
    BlockConfirmed,
    MembershipAsked,
    MembershipConfirmed,
    Recorder,
    TrimAsked,
    Trimmed,
)
from roost_broker.store import CommitRefused, OutcomeUnknown, Store
from roost_broker.store.operations import (
    ChangeMembers,
    CreateGroup,
    CreateUser,
    Done,
    MoveCursors,
    Operation,
    OperationResult,
    SetRelation,
    Trim,
    UserCreated,
)


class _Tie(NamedTuple):
    """Somebody belongs to a group, or has blocked somebody."""

    kind: str
    whose: str
    other: str


class WatchedStore:
    """Any filling of the port, watched. Reads go straight through."""

    def __init__(self, inner: Store, record: Recorder) -> None:
        self._inner = inner
        self._record = record.record
        self._names: dict[int, str] = {}
        self._floors: dict[int, int] = {}
        self._ties: set[_Tie] = set()
        self._fault: FailCommit | None = None
        self._to_come = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def reopened(self, inner: Store) -> None:
        """The same store, closed and opened again."""
        self._inner = inner

    def fail(self, fault: FailCommit | None) -> None:
        """Make one of the next commits fail; None: none any more."""
        self._fault = fault
        self._to_come = fault.after if fault is not None else 0

    def head(self, user: str) -> int:
        """The highest number in the inbox of this user."""
        account = self._inner.account(user)
        return 0 if account is None else self._inner.read_inbox(account.user, 0, 1, 1).head

    def commit(self, operations: Sequence[Operation], now_ms: int) -> list[OperationResult]:
        """See `Store.commit`."""
        fault = self._fault_now(operations)
        if fault == "refused":
            raise CommitRefused("this commit was made to fail")
        if fault == "unknown, not done":
            raise OutcomeUnknown("this commit was made to fail, and was not done")
        trim = next((operation for operation in operations if isinstance(operation, Trim)), None)
        held = self._held(trim, now_ms) if trim is not None and operations == [trim] else {}
        results = self._inner.commit(operations, now_ms)
        for operation, result in zip(operations, results, strict=True):
            self._note(operation, result)
        if trim is not None:
            self._note_floors()
        for user, first in held.items():
            if self._floor(user) > first:
                raise AssertionError(f"entries of user {user} from {first} on were held, and are trimmed")
        if fault == "unknown, done":
            raise OutcomeUnknown("this commit was made to fail, and was done")
        return results

    def _held(self, trim: Trim, now_ms: int) -> dict[int, int]:
        """From which number on each inbox is held by the rules of `Hold`, worked out by the plainest means."""
        hold = trim.hold
        found: dict[int, int] = {}
        if hold is None or hold.seen_since > now_ms:
            return found
        for user in self._names:
            devices = self._inner.devices(user)
            cursors = [each.cursor for each in devices if each.last_seen >= hold.seen_since or each.device in hold.live]
            if not cursors:
                continue
            page = self._inner.read_inbox(user, 0, 1_000_000, 1 << 40)
            kept = page.head + 1
            size = 0
            for entry in reversed(page.entries):
                size += len(entry.encoded or b"")
                if entry.seq <= min(cursors) or size > hold.bytes_max:
                    break
                kept = entry.seq
            if kept <= page.head:
                found[user] = kept
        return found

    def _floor(self, user: int) -> int:
        return self._inner.read_inbox(user, 0, 1, 1).floor

    def _fault_now(self, operations: Sequence[Operation]) -> str | None:
        if self._fault is None or all(isinstance(operation, MoveCursors) for operation in operations):
            return None
        if self._to_come:
            self._to_come -= 1
            return None
        fault, self._fault = self._fault, None
        return fault.how

    def _note(self, operation: Operation, result: OperationResult) -> None:
        """Record what came of an operation that the oracle has to know of."""
        match operation:
            case CreateUser(name=name) if isinstance(result, UserCreated):
                self._names[result.user] = name
            case CreateGroup(name=group, owner=owner, members=members):
                self._tie("member", group, (self._names[owner], *members), True, result)
            case ChangeMembers(group=group, add=add, remove=remove):
                self._tie("member", group, add, True, result)
                self._tie("member", group, remove, False, result)
            case SetRelation(user=user, kind="block", other=other, present=present):
                self._tie("block", self._names[user], (other,), present, result)
            case _:
                pass

    def _tie(self, kind: str, whose: str, others: Sequence[str], present: bool, result: OperationResult) -> None:
        for other in others:
            tie = _Tie(kind, whose, other)
            if isinstance(result, Done):
                (self._ties.add if present else self._ties.discard)(tie)
            if kind == "member":
                self._record(MembershipAsked(whose, other, present))
                self._record(MembershipConfirmed(whose, other, tie in self._ties))
            else:
                self._record(BlockAsked(whose, other, present))
                self._record(BlockConfirmed(whose, other, tie in self._ties))

    def _note_floors(self) -> None:
        for user, name in self._names.items():
            floor = self._floor(user)
            if floor != self._floors.get(user, 1):
                self._floors[user] = floor
                self._record(TrimAsked(name))
                self._record(Trimmed(name, floor))
