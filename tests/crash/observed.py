"""All that a store says of what it holds, read by read: `DAMAGED` where it says that it cannot."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from roost_broker.store import Store
from roost_broker.store.errors import ReadFailed
from roost_broker.store.readings import ConversationMark, GroupRecord, InboxSize, ScrollPage, StoredEntry, UserRow
from roost_protocol.limits import MIB

DAMAGED: Final = "damaged"

Observed = dict[tuple[Any, ...], Any]

ADDRESSES = ("user/ann", "user/bob", "user/cem", "user/dag", "group/team")
USERS_MAX = 12
PAGE = 7


def observe(store: Store) -> Observed:
    """Every entry of every inbox, as a device and as somebody who scrolls would be told; accounts; the journal."""
    seen: Observed = {}

    def note(read: Callable[..., Any], *args: Any, **how: Any) -> Any:
        key = (read.__name__, *args, *how.values())
        try:
            seen[key] = read(*args, **how)
        except ReadFailed:
            seen[key] = DAMAGED
        return seen[key]

    for user in range(1, USERS_MAX):
        _observe_inbox(store, user, seen)
        for address in ADDRESSES:
            note(store.read_conversation, user, address, before=None, limit=500, bytes_max=MIB)
        for read in (store.devices, store.groups_of, store.user_name, store.inbox_size):
            note(read, user)
        for kind in ("contact", "block"):
            note(store.relations, user, kind)
        note(store.conversations, user, ConversationMark("user", 0, 0), 1_000)
        for device in range(1, 10):
            for n in range(1, 9):
                note(store.publish_outcome, device, n)
    for name in ("ann", "bob", "cem", "dag", "extra1", "extra2"):
        note(store.account, name)
    note(store.group, "team")
    note(store.list_users, "", 100)
    note(store.list_groups, "", 100)
    note(store.list_admins, "", 100)
    note(store.removals, 0, 100)
    note(store.read_journal, None, limit=10_000)
    return seen


def _observe_inbox(store: Store, user: int, seen: Observed) -> None:
    """Page by page, as a device would get it."""
    after, head = 0, 1
    while after < head:
        try:
            page = store.read_inbox(user, after, PAGE, MIB)
        except ReadFailed:
            seen["inbox", user, after] = DAMAGED
            return
        seen["head", user], seen["floor", user] = (page.head,), (page.floor, page.floor_reason)
        for entry in page.entries:
            seen["entry", user, entry.seq] = DAMAGED if entry.kind == "damaged" else entry
        if not page.entries:
            return
        after, head = page.entries[-1].seq, page.head


class Differences(NamedTuple):
    """How what a store says differs from what it said when it was whole, but for saying that something is damaged."""

    wrong: list[str]
    """It says what was never so."""
    missing: list[str]
    """It leaves out what was there, or counts it elsewhere: what is found by its key alone, or not at all."""


LISTS = ("read_conversation", "relations", "groups_of", "group", "list_groups", "list_users", "devices", "read_journal")
"""Reads of what is found by its key."""
COUNTED_BY_KEYS = ("conversations", "inbox_size")
"""Reads that count keys, and may count one elsewhere."""


def differences(before: Observed, after: Observed) -> Differences:
    """See `Differences`."""
    found = Differences([], [])
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        if new in (DAMAGED, old) or (new is None and _is_after_damage(key, after)):
            continue
        if _is_less(key, old, new):
            found.missing.append(f"{key}: {_short(new)} instead of {_short(old)}")
        elif not _differs_in_damage_alone(old, new):
            found.wrong.append(f"{key}: {_short(new)} instead of {_short(old)}")
    return found


def _is_less(key: tuple[Any, ...], old: Any, new: Any) -> bool:
    """Whether nothing is said that was never so, but something is left out."""
    if new is None or key[0] in COUNTED_BY_KEYS:
        return True
    if isinstance(new, StoredEntry):
        return isinstance(old, StoredEntry) and _item(new) == _item(old)
    if key[0] in ("head", "floor"):
        return bool(new[0] < old[0])
    return key[0] in LISTS and _items(new) <= _items(old)


def _short(value: Any) -> str:
    return repr(value)[:300]


def _items(said: Any) -> set[str]:
    """What is in a list, page or record, as far as it can be compared."""
    for field in ("entries", "members", "rows"):
        said = getattr(said, field, said)
    return {_item(each) for each in said} if isinstance(said, tuple) else set()


def _item(each: Any) -> str:
    """One of a list, without what is looked up elsewhere for it."""
    if isinstance(each, StoredEntry):
        each = replace(each, device_id=None, n=None, kind="damaged" if each.kind == "damaged" else "kept")
    elif isinstance(each, UserRow):
        each = (each.user, each.name)
    elif isinstance(each, GroupRecord):
        each = (each.group, each.name)
    return repr(each)


def _is_after_damage(key: tuple[Any, ...], after: Observed) -> bool:
    """Whether it is of an inbox that could not be read to its end, which was said."""
    return key[0] in ("entry", "head", "floor") and any(
        each[:2] == ("inbox", key[1]) and value == DAMAGED for each, value in after.items()
    )


def _differs_in_damage_alone(before: Any, after: Any) -> bool:
    """Whether entries are said to be damaged, and the rest is as it was."""
    if isinstance(after, ScrollPage) and isinstance(before, ScrollPage):
        told = {entry.seq: _item(entry) for entry in before.entries}
        return all(entry.kind == "damaged" or told.get(entry.seq) == _item(entry) for entry in after.entries)
    return isinstance(after, InboxSize) and isinstance(before, InboxSize) and after == replace(before, oldest=None)
