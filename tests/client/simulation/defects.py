"""Deliberate defects of the broker, one at a time: what `test_defects` shows the simulation to find.

The first are those of the stateful model (`model.defects`). The others are in how the broker stands crashes and
faults, which is what a simulation is for. Each is put in by replacing one function of the broker, or of its model of a
store in memory, with one that is wrong in one point. A defect returns how its store is opened, if not as always.
"""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple

import pytest
import trio
from outcome import Error, Outcome, Value

from model import defects as modelled
from roost.simulation.stores import OpenStore, WatchedStore
from roost_broker.batcher import Batcher
from roost_broker.core import Core
from roost_broker.delivery import Delivery, LiveInbox
from roost_broker.session import Session
from roost_broker.store import CommitRefused, OutcomeUnknown, Store, memory, memory_operations
from roost_broker.store.memory import MemoryStore
from roost_broker.store.memory_state import InboxEntry, State
from roost_broker.store.operations import OperationResult, PublishMessage
from roost_broker.store.readings import InboxPage
from roost_protocol.limits import Limits

Patch = pytest.MonkeyPatch
Defect = Callable[[Patch], OpenStore | None]

SYNCED_AFTER_S = 0.02
"""How long a commit takes to be durable, where nobody waits for it."""


class Known(NamedTuple):
    """A defect, and how it shows."""

    defect: Defect
    sign: str
    """The promise it breaks, or how the complaint begins."""


def settled_before_it_is_durable(patch: Patch) -> OpenStore:
    """The results of a commit are settled while it is still on its way to the disk."""
    states: list[tuple[float, State]] = []
    commit = MemoryStore.commit
    opened: list[MemoryStore] = []
    closed_at = [0.0]

    async def not_waited_for(
        self: Batcher, writer: Any, done: Callable[[Outcome[list[OperationResult]]], None], operations: Any
    ) -> None:
        del writer
        await trio.lowlevel.cancel_shielded_checkpoint()
        outcome: Outcome[list[OperationResult]]
        try:
            outcome = Value(self._store.commit(operations, self._now_ms()))
        except Exception as error:  # noqa: BLE001 - it is looked at where the outcome is
            outcome = Error(error)
        done(outcome)

    def remembered(self: MemoryStore, operations: Any, now_ms: int) -> list[OperationResult]:
        states.append((trio.current_time(), self._state))
        return commit(self, operations, now_ms)

    def closed(self: MemoryStore) -> None:
        del self
        closed_at[0] = trio.current_time()

    def open_store(limits: Limits, random: Random) -> Store:
        if not opened:
            opened.append(MemoryStore(limits=limits, random=random))
        else:
            lost = [state for at, state in states if at > closed_at[0] - SYNCED_AFTER_S]
            opened[0]._state = lost[0] if lost else opened[0]._state
        states.clear()
        return opened[0]

    patch.setattr(Batcher, "_commit", not_waited_for)
    patch.setattr(MemoryStore, "commit", remembered)
    patch.setattr(MemoryStore, "close", closed)
    return open_store


def unknown_outcome_taken_for_refused(patch: Patch) -> None:
    """When the store does not know what is durable, the broker goes on as if nothing was."""
    committed = Batcher._committed

    def goes_on(self: Batcher, batch: Any, outcome: Outcome[list[OperationResult]]) -> None:
        if isinstance(outcome, Error) and isinstance(outcome.error, OutcomeUnknown):
            outcome = Error(CommitRefused(str(outcome.error)))
        committed(self, batch, outcome)

    patch.setattr(Batcher, "_committed", goes_on)


def number_used_up_by_a_refused_commit(patch: Patch) -> None:
    """A commit that is refused uses up the numbers that it would have given."""
    commit, append = WatchedStore.commit, LiveInbox.append

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

    def passes_over(self: LiveInbox, seq: int, frame: bytes) -> bool:
        while self.head + 1 < seq:
            append(self, self.head + 1, frame)
        return append(self, seq, frame)

    patch.setattr(WatchedStore, "commit", leaves_a_hole)
    patch.setattr(State, "inbox", what_there_is)
    patch.setattr(LiveInbox, "append", passes_over)


def fence_forgotten_at_a_restart(patch: Patch) -> OpenStore:
    """Who has which session was kept in memory only: after a restart, whoever was taken over is let in again."""
    del patch

    def forget(store: MemoryStore) -> None:
        store._state = store._state.copy()
        store._state.sessions.clear()

    return modelled._reopened_with(forget)


def cursors_lost_with_a_refused_commit(patch: Patch) -> None:
    """What was acknowledged is forgotten when the commit that carried it is refused."""
    patch.setattr(Core, "_cursors_settled", lambda *_: None)


def erased_served_from_memory(patch: Patch) -> None:
    """What is erased in the store is still in the tails in memory, and goes out from there."""
    patch.setattr(Delivery, "forget_tails", lambda self: None)


def last_entry_again_at_the_seam(patch: Patch) -> None:
    """A session that has caught up from the store is sent the last entry again when it goes on from memory."""
    take_page = Delivery._take_page
    once: set[int] = set()

    def short_by_one(self: Delivery, session: Session, page: InboxPage) -> None:
        take_page(self, session, page)
        if page.entries and session.position == session.inbox.head and session.epoch not in once:
            once.add(session.epoch)
            session.position -= 1

    patch.setattr(Delivery, "_take_page", short_by_one)


def half_open_never_closed(patch: Patch) -> None:
    """Nobody looks after those who have fallen silent."""
    patch.setattr(Core, "_close_silent", lambda self: None)


def epochs_by_the_clock(patch: Patch) -> None:
    """Epochs are the time, and go back with the clock."""
    patch.setattr(memory_operations, "next_epoch", lambda _, now_ms: now_ms)


def ids_by_the_clock(patch: Patch) -> None:
    """Message ids are the time, and go back with the clock."""

    def first_message_id(last: int, now_ms: int, random: Random) -> int:
        del last
        return (now_ms << 20) + random.getrandbits(20)

    patch.setattr(memory, "first_message_id", first_message_id)


MODELLED = (
    Known(modelled.no_copy_for_the_senders_other_devices, "G1"),
    Known(modelled.acknowledged_before_it_is_durable, "G1"),
    Known(modelled.one_member_left_out, "G1"),
    Known(modelled.log_in_starts_at_the_head, "G4"),
    Known(modelled.live_before_caught_up, "G4"),
    Known(modelled.lost_when_the_window_is_full, "G4"),
    Known(modelled.not_woken_by_room, "G1"),
    Known(modelled.gap_not_told, "G4"),
    Known(modelled.gap_too_wide, "G7"),
    Known(modelled.blocks_ignored, "G2"),
    Known(modelled.stored_once_more, "G5"),
    Known(modelled.outcomes_forgotten_at_restart, "G5"),
    Known(modelled.no_fence, "G6"),
    Known(modelled.no_fence_in_the_store, "G6"),
    Known(modelled.kicked_device_kicks_back, "G6"),
    Known(modelled.wrong_session_kicked, "G6"),
)
"""Those of the stateful model."""

OF_FAULTS = (
    Known(settled_before_it_is_durable, "G1"),
    Known(unknown_outcome_taken_for_refused, "the broker crashed"),
    Known(number_used_up_by_a_refused_commit, "G3"),
    Known(fence_forgotten_at_a_restart, "G6"),
    Known(cursors_lost_with_a_refused_commit, "acknowledged"),
    Known(erased_served_from_memory, "G7"),
    Known(last_entry_again_at_the_seam, "G4"),
    Known(half_open_never_closed, "the broker still"),
    Known(epochs_by_the_clock, "G6"),
    Known(ids_by_the_clock, "G2"),
)
"""Those of crashes and faults."""

DEFECTS = (*MODELLED, *OF_FAULTS)
