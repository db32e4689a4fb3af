"""The in-memory model: users who come with the inbox that they had elsewhere."""

from roost_broker.store import import_refusals, refusals
from roost_broker.store.ids import message_time_ms, new_incarnation
from roost_broker.store.import_operations import (
    AHEAD_MS,
    BeginImport,
    EndImport,
    EntriesImported,
    EntryOrigin,
    ImportBegun,
    ImportedEntry,
    ImportEntries,
    OpenImport,
)
from roost_broker.store.memory_operations import Batch, append
from roost_broker.store.memory_state import Conversation, Importing, InboxEntry, Start, State, replace
from roost_broker.store.noted import user_imported
from roost_broker.store.operations import Done, Refused
from roost_broker.store.readings import Account


def begin_import(state: State, op: BeginImport, batch: Batch) -> ImportBegun | Refused:
    """Create an account for an import, or find the one that it goes on with."""
    account = state.user_named(op.name)
    if account is not None:
        importing = state.importing.get(account.user)
        if importing is None:
            return import_refusals.name_taken(op.name)
        if importing.source != op.source:
            return import_refusals.another_export(op.name, importing.source, op.source)
        return _begun(state, account.user, fresh=False)
    if any(removed.account.name == op.name for removed in state.removed.values()):
        return import_refusals.still_clearing(op.name)
    user = state.new_user(op.name, state.returning.pop((op.source.incarnation, op.name), 0))
    state.last_device += 1
    state.users[user] = Account(
        user=user,
        name=op.name,
        password_hash=op.password_hash,
        password_version=1,
        disabled=True,
        incarnation=new_incarnation(batch.random),
        created=op.source.created,
        importing=True,
    )
    state.since_ids[user] = min(op.source.created << 20, state.last_message_id + 1)
    state.importing[user] = Importing(source=op.source, device=state.last_device)
    if op.source.floor > 1:
        state.starts[user] = Start(floor=op.source.floor, reason=op.source.floor_reason or "age")
        state.heads[user] = op.source.floor - 1
    state.note(user_imported(user, op.name, op.by, done=False, now_ms=batch.now_ms), batch.now_ms)
    return _begun(state, user, fresh=True)


def _begun(state: State, user: int, *, fresh: bool) -> ImportBegun:
    importing = state.importing[user]
    opened = importing.opened
    next_seq = importing.source.head + 1 if opened else state.head(user) + 1
    return ImportBegun(user=user, next_seq=next_seq, last_id=importing.last_id, opened=opened, fresh=fresh)


def import_entries(state: State, op: ImportEntries, batch: Batch) -> EntriesImported | Refused:
    """Add the next entries."""
    importing = state.importing.get(op.user)
    if importing is None or importing.opened:
        return import_refusals.no_import(op.user)
    if not batch.has_room:
        return refusals.no_room()
    head, last_id = state.head(op.user), importing.last_id
    for entry in op.entries:
        refused = _out_of_order(entry, head, last_id, importing, batch) or _at_odds(state, entry)
        if refused is not None:
            return refused
        head, last_id = entry.seq, entry.message_id
    told = EntriesImported()
    for entry in op.entries:
        told = _add(state, op.user, entry, told)
    state.importing[op.user] = replace(state.importing[op.user], last_id=last_id)
    state.last_message_id = max(state.last_message_id, last_id)
    batch.next_message_id = max(batch.next_message_id, last_id + 2)
    return told


def _out_of_order(entry: ImportedEntry, head: int, last_id: int, importing: Importing, batch: Batch) -> Refused | None:
    if entry.seq != head + 1:
        return import_refusals.out_of_step(entry, head + 1)
    if entry.seq > importing.source.head:
        return import_refusals.beyond(entry, importing.source.head)
    if entry.message_id <= last_id:
        return import_refusals.falling(entry, last_id)
    if message_time_ms(entry.message_id) > batch.now_ms + AHEAD_MS:
        return import_refusals.from_the_future(entry)
    return None


def _held(state: State, message_id: int) -> list[InboxEntry]:
    return [entry for entry in state.entries.values() if entry.message_id == message_id]


def _at_odds(state: State, entry: ImportedEntry) -> Refused | None:
    """What is against sharing the message with those who have it here."""
    held = _held(state, entry.message_id)
    if not held:
        return None
    here = held[0]
    if here.encoded is not None and entry.encoded is not None and here.encoded != entry.encoded:
        return import_refusals.another_message(entry, here.encoded, here.size)
    inboxes = state.inboxes[entry.message_id]
    if len(held) >= inboxes:
        return import_refusals.whole_already(entry)
    if here.size != entry.size:
        return import_refusals.another_message(entry, here.encoded, here.size)
    return None if inboxes == entry.inboxes else import_refusals.inboxes_differ(entry, inboxes)


def _add(state: State, user: int, entry: ImportedEntry, told: EntriesImported) -> EntriesImported:
    held = _held(state, entry.message_id)
    encoded = held[0].encoded if held else entry.encoded
    own = entry.kind == "own"
    added = InboxEntry(
        message_id=entry.message_id,
        conversation=_conversation(state, user, entry),
        encoded=encoded,
        size=entry.size,
        device=state.importing[user].device if own else None,
        n=entry.n if own else None,
    )
    append(state, user, added)
    if not held:
        state.inboxes[entry.message_id] = entry.inboxes
        return replace(told, stored=told.stored + 1)
    return replace(
        told,
        shared=told.shared + 1,
        erased=told.erased + (encoded is None and entry.encoded is not None),
        kept=told.kept + (encoded is not None and entry.encoded is None),
    )


def _conversation(state: State, user: int, entry: ImportedEntry) -> Conversation:
    """Whom the entry is with, by number: one that is there, that is awaited, or that stands for nobody."""
    kind, name = entry.conversation, entry.name
    if name is None:
        importing = state.importing[user]
        number = importing.nobody if kind == "user" else importing.no_group
        if not number:
            number = state.new_number(kind)
            field = "nobody" if kind == "user" else "no_group"
            state.importing[user] = replace(importing, **{field: number})
        return Conversation(kind, number)
    found = state.conversation(f"{kind}/{name}")
    if found is not None:
        return found
    if (kind, name) not in state.awaited:
        state.awaited[kind, name] = state.new_number(kind)
    return Conversation(kind, state.awaited[kind, name])


def open_import(state: State, op: OpenImport, batch: Batch) -> Done | Refused:
    """Let messages come."""
    del batch
    importing = state.importing.get(op.user)
    if importing is None:
        return import_refusals.no_import(op.user)
    if importing.opened:
        return Done()
    if state.head(op.user) != importing.source.head:
        return import_refusals.entries_missing(state.head(op.user) + 1, importing.source.head)
    state.importing[op.user] = replace(importing, opened=True)
    return Done()


def end_import(state: State, op: EndImport, batch: Batch) -> Done | Refused:
    """Make the account one like any other."""
    importing = state.importing.get(op.user)
    if importing is None or not importing.opened:
        return import_refusals.no_import(op.user)
    del state.importing[op.user]
    account = state.users[op.user] = replace(state.users[op.user], importing=False)
    state.note(user_imported(op.user, account.name, op.by, done=True, now_ms=batch.now_ms), batch.now_ms)
    return Done()


def entry_origins(state: State, user: int, after: int, entries_max: int) -> tuple[EntryOrigin, ...]:
    """See `Store.entry_origins`."""
    found = [(seq, entry) for seq, entry in state.inbox(user) if seq > after]
    return tuple(
        EntryOrigin(
            seq=seq,
            message_id=entry.message_id,
            own=entry.device is not None,
            conversation=entry.conversation.kind,
            name=state.name_of(entry.conversation.kind, entry.conversation.number),
            size=entry.size,
            inboxes=state.inboxes[entry.message_id],
        )
        for seq, entry in found[:entries_max]
    )
