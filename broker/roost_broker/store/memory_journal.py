"""The in-memory model: the journal."""

from typing import cast

from roost_broker.store import refusals
from roost_broker.store.journal import AnyEvent, JournalPage, JournalRow, Subject, subjects
from roost_broker.store.memory_operations import Batch
from roost_broker.store.memory_state import State
from roost_broker.store.operations import Done, JournalTrimmed, Refused, TrimJournal, WriteJournal


def write_journal(state: State, op: WriteJournal, batch: Batch) -> Done | Refused:
    """Record events."""
    if not batch.has_room:
        return refusals.no_room()
    for event in op.events:
        state.note(cast("AnyEvent", event), batch.now_ms)
    return Done()


def trim_journal(state: State, op: TrimJournal, batch: Batch) -> JournalTrimmed:
    """Let go of the oldest records."""
    del batch
    surplus = len(state.journal) - op.count
    numbers = sorted(state.journal)[:-1]  # the newest stays
    must_go = [number for at, number in enumerate(numbers) if number < op.before or at < surplus]
    for number in must_go[: op.records_max]:
        del state.journal[number]
    return JournalTrimmed(records=len(must_go[: op.records_max]), more=len(must_go) > op.records_max)


def read_journal(
    state: State, subject: Subject | None, *, after: int, before: int | None, limit: int, newest: bool
) -> JournalPage:
    """See `Store.read_journal`."""
    found = [
        JournalRow(number, event)
        for number, event in sorted(state.journal.items())
        if number > after and (before is None or number < before) and (subject is None or subject in subjects(event))
    ]
    page = found[-limit:] if newest else found[:limit]
    return JournalPage(first=min(state.journal, default=0), rows=tuple(page), more=len(found) > limit)
