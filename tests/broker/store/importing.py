"""Plans of imports for the comparison of stores: users who come back, and entries that somebody made up."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from hypothesis import strategies as st

from roost_broker.store.import_operations import (
    BeginImport,
    EndImport,
    EntryOrigin,
    ImportedEntry,
    ImportEntries,
    ImportSource,
    OpenImport,
)
from roost_broker.store.memory import MemoryStore
from roost_broker.store.operations import Operation
from roost_broker.store.readings import Account, StoredEntry
from roost_protocol.codec import encode_entry
from roost_protocol.frames import Entry

Plan = tuple[Any, ...]

_USERS = st.integers(1, 4)
PLANS: tuple[st.SearchStrategy[Plan], ...] = (
    st.tuples(st.just("begin import"), st.sampled_from("abcd"), st.integers(1, 3), st.integers(0, 5)),
    st.tuples(
        st.just("give"),
        _USERS,
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), max_size=4),
        st.integers(0, 9),
    ),
    st.tuples(st.just("open import"), _USERS),
    st.tuples(st.just("end import"), _USERS),
)


class Export(NamedTuple):
    """What an import takes of an export."""

    source: ImportSource
    entries: tuple[ImportedEntry, ...]


def export(store: MemoryStore, account: Account) -> Export:
    """All that there is of a user's inbox."""
    page = store.read_inbox(account.user, 0, 1_000, 1_000_000)
    source = ImportSource(
        created=account.created,
        incarnation=account.incarnation,
        floor=page.floor,
        floor_reason=page.floor_reason,
        head=page.head,
    )
    pairs = zip(page.entries, store.entry_origins(account.user, 0, 1_000), strict=True)
    return Export(source, tuple(_imported(stored, origin) for stored, origin in pairs))


def _imported(stored: StoredEntry, origin: EntryOrigin) -> ImportedEntry:
    return ImportedEntry(
        seq=stored.seq,
        message_id=origin.message_id,
        kind="own" if origin.own else "message",
        conversation=origin.conversation,
        name=origin.name,
        encoded=stored.encoded,
        size=origin.size,
        inboxes=origin.inboxes,
        n=stored.n or 0,
    )


def way_back(store: MemoryStore, name: str, moved: Export, limit: int) -> Iterator[Operation]:
    """The steps of an import, up to where it could be opened."""
    yield BeginImport(name=name, password_hash="secret", source=moved.source, by="somebody")
    account = store.account(name)
    if account is not None:
        for first in range(0, len(moved.entries), limit):
            yield ImportEntries(user=account.user, entries=moved.entries[first : first + limit])


def operation_of(store: MemoryStore, number: Callable[[int], int], now_ms: int, plan: Plan) -> Operation:
    """The operation that a plan stands for."""
    match plan:
        case ("begin import", name, floor, more):
            source = ImportSource(created=now_ms - 90, incarnation=f"{more:016x}", floor=floor, head=floor + more - 1)
            return BeginImport(name=name, password_hash="x", source=source, by="somebody")
        case ("open import", user):
            return OpenImport(user=number(user))
        case ("end import", user):
            return EndImport(user=number(user), by="somebody")
        case ("give", user, entries, chance):
            return _give(store, number(user), entries, now_ms, chance)
    raise AssertionError(plan)


def _give(store: MemoryStore, user: int, entries: list[tuple[int, int]], now_ms: int, chance: int) -> ImportEntries:
    """Entries after the last, most of them as they should be: made up, or messages that somebody has here."""
    name = store.user_name(user) or "a"
    head = store.read_inbox(user, 0, 1, 1).head
    there = store.entry_origins(user, head - 1, 1)
    last_id = there[0].message_id if there else 0
    made = []
    for seq, (whose, what) in enumerate(entries, head + 1 + (chance == 9)):
        others = [origin for origin in store.entry_origins(whose, 0, 99) if origin.message_id > last_id]
        if what < 3 and others:
            origin = others[what % len(others)]
            found = store.find_message(origin.message_id)
            imported = ImportedEntry(
                seq=seq,
                message_id=origin.message_id,
                kind="message" if origin.own else "own",
                conversation=origin.conversation,
                name=origin.name if origin.conversation == "group" else store.user_name(whose),
                encoded=None if found is None or what == 2 else found.encoded,
                size=origin.size + (chance == 8),
                inboxes=origin.inboxes,
            )
        else:
            imported = _made_up(name, seq, max(last_id + 7, (now_ms - 80 << 20) + seq), what, chance)
        last_id = imported.message_id
        made.append(imported)
    return ImportEntries(user=user, entries=tuple(made))


def _made_up(name: str, seq: int, message_id: int, what: int, chance: int) -> ImportedEntry:
    in_group = what in (4, 7)
    other = None if what == 5 else "g" if in_group else "b" if name == "a" else "nobody"
    to = f"{'group' if in_group else 'user'}/{other or 'x'}"
    encoded = encode_entry(Entry(id=f"{message_id:016x}", sender=name, to=to, time=1, text="x" * chance * 40))
    return ImportedEntry(
        seq=seq,
        message_id=message_id,
        kind="own",
        conversation="group" if in_group else "user",
        name=other,
        encoded=None if what in (5, 7) else encoded,
        size=len(encoded),
        inboxes=3 if in_group else 2,
    )
