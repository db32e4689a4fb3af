"""The disk of a run, and the store on it: it fails when it is told to, and an observer looks at it from outside.

What no device sees, but the oracle has to know, goes into the history here: who was in which group, who blocked whom,
how far retention has moved each floor. Nothing else can happen while a commit runs inline, so what was asked for and
what is certain are recorded side by side, right after it: the oracle has to leave nothing open.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import trio

from roost.oracle import (
    BlockAsked,
    BlockConfirmed,
    MembershipAsked,
    MembershipConfirmed,
    TrimAsked,
    Trimmed,
)
from roost.simulation.plan import FailCommit
from roost.simulation.trace import Trace
from roost_broker.store import CommitRefused, OutcomeUnknown, Store
from roost_broker.store.account_operations import RemoveUser
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.memory import MemoryStore
from roost_broker.store.memory_state import State
from roost_broker.store.operations import (
    CreateUser,
    MoveCursors,
    Operation,
    OperationResult,
    Trim,
    UserCreated,
    WriteJournal,
)
from roost_protocol.limits import MIB, Limits

ON_PURPOSE = "on purpose, in a simulation"
"""In every error that is made here."""

OpenStore = Callable[[Limits, Random], Store]

MEMORY_DISK = Path("/dev/shm")  # noqa: S108 - a folder in memory where there is one; what is made there has a name of its own

MAP_BYTES = 256 * MIB


class BrokerGone(Exception):
    """The broker's process is dead: what it still asks for does not happen."""


class _Tie(NamedTuple):
    """Somebody belongs to a group, or has blocked somebody."""

    kind: str
    whose: str
    other: str


class Disk:
    """What is kept from one life of the broker to the next, and what is wrong with it."""

    def __init__(self, kind: str, open_store: OpenStore | None, limits: Limits, random: Random) -> None:
        self.full = False
        """Every commit is refused."""
        self.no_room = False
        """Only the reserve is left."""
        self.failed_at = 0.0
        """When a commit failed last, by Trio's clock."""
        self._kind = kind
        self._open_store = open_store
        self._limits = limits
        self._random = random
        self._memory: Store | None = None
        self._folder: Path | None = None
        self._fault: FailCommit | None = None
        self._to_come = 0

    def open(self) -> Store:
        """Open the store, as the next life of the broker finds it."""
        if self._open_store is not None:
            return self._open_store(self._limits, self._random)
        if self._kind == "lmdb":
            if self._folder is None:
                place = MEMORY_DISK if MEMORY_DISK.is_dir() else None
                self._folder = Path(tempfile.mkdtemp(prefix="roost-sim-", dir=place))
            return _LmdbWithRoom(self, self._folder / "store", self._limits, self._random)
        if self._memory is None:
            self._memory = _MemoryWithRoom(self, self._limits, self._random)
        return self._memory

    def fail(self, fault: FailCommit) -> None:
        """Make one of the next commits fail."""
        self._fault, self._to_come = fault, fault.after

    def mend(self) -> None:
        """From now on nothing fails."""
        self._fault = None
        self.full = self.no_room = False

    def remove(self) -> None:
        """Remove what is on a real disk."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def fault_now(self, operations: Sequence[Operation]) -> str | None:
        """What befalls a commit of these."""
        if self.full:
            return "refused"
        if self._fault is None:
            return None
        nobody_waits = all(isinstance(each, MoveCursors | WriteJournal) for each in operations)
        if nobody_waits and (self._fault.how != "refused" or self._fault.after):
            return None
        if self._to_come:
            self._to_come -= 1
            return None
        fault, self._fault = self._fault, None
        return fault.how


class _MemoryWithRoom(MemoryStore):
    def __init__(self, disk: Disk, limits: Limits, random: Random) -> None:
        super().__init__(limits=limits, random=random)
        self._disk = disk

    def _has_room(self, state: State) -> bool:
        return not self._disk.no_room and super()._has_room(state)


class _LmdbWithRoom(LmdbStore):
    def __init__(self, disk: Disk, path: Path, limits: Limits, random: Random) -> None:
        super().__init__(path, limits=limits, random=random, map_bytes=MAP_BYTES, reserve_bytes=MIB, sync=False)
        self._disk = disk
        room = self._room
        vars(self)["_room"] = lambda txn: not disk.no_room and room(txn)


class Watch:
    """What is known of the store from its operations, over all lives of the broker."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.names: dict[int, str] = {}
        self.groups: tuple[str, ...] = ()
        self._floors: dict[int, int] = {}
        self._ties: frozenset[_Tie] = frozenset()

    def note(self, store: Store, operations: Sequence[Operation], results: Sequence[OperationResult]) -> None:
        """Record what the oracle has to know of a commit."""
        for operation, result in zip(operations, results, strict=True):
            if isinstance(operation, CreateUser) and isinstance(result, UserCreated):
                self.names[result.user] = operation.name
        kinds = {type(operation).__name__ for operation in operations}
        if kinds & {"CreateGroup", "ChangeMembers", "DeleteGroup", "SetRelation", "RemoveUser"}:
            self._note_ties(store)
        if any(isinstance(operation, RemoveUser | Trim) for operation in operations):
            self._note_floors(store)

    def _note_ties(self, store: Store) -> None:
        ties: set[_Tie] = set()
        for group in self.groups:
            record = store.group(group)
            ties.update(_Tie("member", group, member) for member in (record.members if record else ()))
        for user, name in self.names.items():
            if store.account(name) is not None:
                ties.update(_Tie("block", name, other) for other in store.relations(user, "block"))
        for tie in sorted(ties ^ self._ties):
            now = tie in ties
            if tie.kind == "member":
                self.trace.record(MembershipAsked(tie.whose, tie.other, now))
                self.trace.record(MembershipConfirmed(tie.whose, tie.other, now))
            else:
                self.trace.record(BlockAsked(tie.whose, tie.other, now))
                self.trace.record(BlockConfirmed(tie.whose, tie.other, now))
        self._ties = frozenset(ties)

    def _note_floors(self, store: Store) -> None:
        for user, name in self.names.items():
            floor = store.read_inbox(user, 0, 1, 1).floor
            if floor != self._floors.get(user, 1):
                self._floors[user] = floor
                self.trace.record(TrimAsked(name))
                self.trace.record(Trimmed(name, floor))


class WatchedStore:
    """The store of one life of the broker. Reads go straight through; when `dead`, nothing is written any more."""

    def __init__(self, inner: Store, disk: Disk, watch: Watch) -> None:
        self._inner = inner
        self._disk = disk
        self._watch = watch
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def commit(self, operations: Sequence[Operation], now_ms: int) -> list[OperationResult]:
        """See `Store.commit`. Raises BrokerGone."""
        if self.dead:
            raise BrokerGone
        fault = self._disk.fault_now(operations)
        kinds = " ".join(type(operation).__name__ for operation in operations)
        self._watch.trace.note("store", f"commits {kinds}{f', {fault}' if fault else ''}")
        if fault is not None:
            self._disk.failed_at = trio.current_time()
        if fault == "refused":
            raise CommitRefused(f"this commit is refused {ON_PURPOSE}")
        if fault == "unknown, not done":
            raise OutcomeUnknown(f"this commit failed {ON_PURPOSE}, and was not done")
        results = self._inner.commit(operations, now_ms)
        self._watch.note(self._inner, operations, results)
        if fault == "unknown, done":
            raise OutcomeUnknown(f"this commit failed {ON_PURPOSE}, and was done")
        return results
