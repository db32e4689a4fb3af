"""Deliberate defects of the broker, one at a time: what `test_bites` shows the search to find.

Each is put in by replacing one function of the broker or the store with one that is wrong in one point (those of the
store: in its model in memory). A defect returns how its store is opened, if not as always.
"""

from collections.abc import Callable, Iterator
from random import Random
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from model.watched_store import WatchedStore
from model.world import OpenStore, in_memory
from roost_broker.core import Core
from roost_broker.delivery import Delivery, LiveInbox
from roost_broker.session import Session
from roost_broker.store import CommitRefused, Store, memory, memory_operations
from roost_broker.store.memory import MemoryStore
from roost_broker.store.memory_operations import Batch
from roost_broker.store.memory_state import InboxEntry, State
from roost_broker.store.operations import LogIn, Operation, OperationResult, Published, PublishMessage
from roost_broker.store.readings import InboxPage
from roost_protocol.frames import Gap, Origin
from roost_protocol.limits import Limits
from roost_protocol.reasons import Reason

Patch = pytest.MonkeyPatch
Defect = Callable[[Patch], OpenStore | None]


def _replace_operation(patch: Patch, kind: type[Operation], wrong: Callable[[State, Any, Batch], Any]) -> None:
    patch.setattr(memory, "_APPLY", MappingProxyType({**memory._APPLY, kind: wrong}))


def _reopened_with(spoil: Callable[[MemoryStore], None]) -> OpenStore:
    """A store that is spoilt each time it is opened again."""
    open_right = in_memory()
    opened: list[Store] = []

    def open_store(limits: Limits, random: Random) -> Store:
        store = open_right(limits, random)
        if opened and isinstance(store, MemoryStore):
            spoil(store)
        opened.append(store)
        return store

    return open_store


# --- the store ----------------------------------------------------------------------------------------------------


def acknowledged_before_it_is_durable(patch: Patch) -> OpenStore:
    """What was committed last is gone when the broker stops."""
    before: dict[int, State] = {}
    commit = MemoryStore.commit

    def not_synced(self: MemoryStore, operations: Any, now_ms: int) -> list[OperationResult]:
        before[id(self)] = self._state
        return commit(self, operations, now_ms)

    def lose_the_last(store: MemoryStore) -> None:
        store._state = before[id(store)]

    patch.setattr(MemoryStore, "commit", not_synced)
    return _reopened_with(lose_the_last)


def outcomes_forgotten_at_restart(patch: Patch) -> OpenStore:
    """The outcomes of publishes were kept in memory only, so that a retransmission after a restart is stored twice."""

    def forget(store: MemoryStore) -> None:
        store._state = store._state.copy()
        store._state.outcomes.clear()

    return _reopened_with(forget)


def stored_once_more(patch: Patch) -> None:
    """A retransmission is stored like a new message."""

    def publish(state: State, op: PublishMessage, batch: Batch) -> Any:
        state.outcomes.pop((op.device, op.n), None)
        return memory_operations.publish(state, op, batch)

    _replace_operation(patch, PublishMessage, publish)


def no_fence_in_the_store(patch: Patch) -> None:
    """A publish is not checked against the epoch of its session."""

    def publish(state: State, op: PublishMessage, batch: Batch) -> Any:
        session = state.sessions.get((op.sender, op.terminal))
        if session is not None:
            op = msgspec.structs.replace(op, epoch=session.epoch)
        return memory_operations.publish(state, op, batch)

    _replace_operation(patch, PublishMessage, publish)


def one_member_left_out(patch: Patch) -> None:
    """The last member of a group gets nothing."""
    recipients = State.recipients

    def but_the_last(self: State, sender: int, to: str) -> tuple[int, ...] | Reason:
        found = recipients(self, sender, to)
        return found if isinstance(found, Reason) or not to.startswith("group/") else found[:-1]

    patch.setattr(State, "recipients", but_the_last)


def blocks_ignored(patch: Patch) -> None:
    """Whoever is blocked can write all the same."""
    recipients = State.recipients

    def unblocked(self: State, sender: int, to: str) -> tuple[int, ...] | Reason:
        found = recipients(self, sender, to)
        conversation = self.conversation(to)
        return (conversation.number,) if found is Reason.BLOCKED and conversation is not None else found

    patch.setattr(State, "recipients", unblocked)


def number_skipped_after_a_failed_commit(patch: Patch) -> None:
    """A commit that is refused uses up the numbers that it would have given."""
    commit = WatchedStore.commit

    def leaves_a_hole(self: WatchedStore, operations: Any, now_ms: int) -> list[OperationResult]:
        try:
            return commit(self, operations, now_ms)
        except CommitRefused:
            state = self._state
            for operation in operations:
                if isinstance(operation, PublishMessage):
                    state.heads[operation.sender] = state.head(operation.sender) + 1
            raise

    def what_there_is(self: State, user: int) -> Iterator[tuple[int, InboxEntry]]:
        for seq in range(self.start(user).floor, self.head(user) + 1):
            if (user, seq) in self.entries:
                yield seq, self.entries[user, seq]

    def append(self: LiveInbox, seq: int, frame: bytes) -> None:
        while self.head + 1 < seq:
            right(self, self.head + 1, frame)
        right(self, seq, frame)

    right = LiveInbox.append
    patch.setattr(WatchedStore, "commit", leaves_a_hole)
    patch.setattr(State, "inbox", what_there_is)
    patch.setattr(LiveInbox, "append", append)


def kicked_device_kicks_back(patch: Patch) -> None:
    """An automatic reconnect is let in, whoever has the session now."""
    patch.setattr(memory_operations, "_resumption_refused", lambda *_: None)


def log_in_starts_at_the_head(patch: Patch) -> None:
    """Whoever logs in gets what is new from then on, and not what it missed."""

    def position(state: State, op: LogIn) -> int:
        return state.head(op.user)

    patch.setattr(memory_operations, "_position", position)


def gap_too_wide(patch: Patch) -> None:
    """Trimming takes one entry more than it says why: the reader's page begins one number too late."""
    read = MemoryStore.read_inbox

    def one_late(self: MemoryStore, user: int, after: int, entries_max: int, bytes_max: int) -> InboxPage:
        page = read(self, user, after, entries_max, bytes_max)
        if page.floor <= after + 1 or page.floor > page.head:
            return page
        kept = tuple(entry for entry in page.entries if entry.seq > page.floor)
        return msgspec.structs.replace(page, floor=page.floor + 1, entries=kept)

    patch.setattr(MemoryStore, "read_inbox", one_late)


# --- the broker ---------------------------------------------------------------------------------------------------


def no_copy_for_the_senders_other_devices(patch: Patch) -> None:
    """A message goes to the recipients, and of the sender's sessions only to the one that published it."""
    stored = Delivery.stored

    def only_here(self: Delivery, by: Session, operation: PublishMessage, published: Published) -> None:
        user, seq = published.entries[0]
        inbox = self._inboxes.get(user)
        for session in inbox.sessions if inbox else ():
            if session is not by and session.position == seq - 1:
                session.position = seq
        stored(self, by, operation, published)

    patch.setattr(Delivery, "stored", only_here)


def live_before_caught_up(patch: Patch) -> None:
    """A new message goes to every session at once, also to one that has not caught up."""
    take_fresh = LiveInbox.take_fresh

    def for_everybody(self: LiveInbox) -> list[bytes]:
        fresh = take_fresh(self)
        for session in self.sessions:
            session.position = self.head - len(fresh)
        return fresh

    patch.setattr(LiveInbox, "take_fresh", for_everybody)


def lost_when_the_window_is_full(patch: Patch) -> None:
    """What finds no room in the window counts as sent."""
    offer = Session.offer

    def dropped(self: Session, seq: int, frames: bytes, entries: int = 1) -> bool:
        if not offer(self, seq, frames, entries):
            self.position = seq
        return True

    patch.setattr(Session, "offer", dropped)


def not_woken_by_room(patch: Patch) -> None:
    """An acknowledgement makes room in the window, and nobody pumps."""
    acknowledge = Session._acknowledge

    def silent(self: Session, seq: int) -> None:
        with patch.context() as deaf:
            deaf.setattr(Delivery, "pump", lambda *_: None)
            acknowledge(self, seq)

    patch.setattr(Session, "_acknowledge", silent)


def gap_not_told(patch: Patch) -> None:
    """The position moves past what was trimmed, and the device is not told."""

    def silent(self: Session, gap: Gap) -> None:
        self.position = gap.last

    patch.setattr(Session, "tell_gap", silent)


def no_fence(patch: Patch) -> None:
    """The earlier session on a terminal type lives on beside the later one."""
    begin = Core.begin

    def beside(self: Core, session: Session, logged_in: Any) -> None:
        before = self.directory.get(session.user, session.terminal)
        if before is not None and before.device != session.device:
            self.directory.remove(before)
        begin(self, session, logged_in)

    patch.setattr(Core, "begin", beside)


def wrong_session_kicked(patch: Patch) -> None:
    """A takeover ends the sessions of the user on all terminal types."""
    begin = Core.begin

    def every_one(self: Core, session: Session, logged_in: Any) -> None:
        for other in self.directory.of(session.user):
            origin = Origin(by=session.device_id, at=session.since_ms)
            if other.terminal != session.terminal:
                other.fence(Reason.SESSION_TAKEN_OVER, "logged in elsewhere", origin)
        begin(self, session, logged_in)

    patch.setattr(Core, "begin", every_one)
