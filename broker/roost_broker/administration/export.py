"""Exporting a user."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from roost_broker.administration.acts import Act, Acts
from roost_broker.administration.devices import device_rows
from roost_broker.store import Store
from roost_broker.store.ids import message_id_text
from roost_broker.store.import_operations import EntryOrigin
from roost_broker.store.readings import Account, InboxPage, StoredEntry
from roost_protocol.admin.export import EXPORT, ErasedEntry, Exported, ExportedAccount, ExportedEntry
from roost_protocol.admin.route import PROGRAM, Caller, Route
from roost_protocol.codec import decode_entry


class _Page(NamedTuple):
    """A page of an inbox, and what it says of each entry besides the message, by number."""

    page: InboxPage
    origins: dict[int, EntryOrigin]


class Export(Acts):
    """The act of exporting."""

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {EXPORT: self.export}

    async def export(self, user: str, caller: Caller = PROGRAM) -> AsyncIterator[Exported]:
        """All that there is of a user, read page by page as it is taken. Raises NotDone."""
        del caller
        return self._records(await self._account(user))

    async def _records(self, account: Account) -> AsyncIterator[Exported]:
        """What comes while it is read is not in it; what retention trims meanwhile is missing.

        The last one is the end, unless the user was removed meanwhile.
        """
        core = self._core
        user = account.user
        page, origins = await self._page(user, 0)
        yield Exported(
            kind="account",
            account=ExportedAccount(
                name=account.name,
                created=account.created,
                disabled=account.disabled,
                incarnation=account.incarnation,
                floor=page.floor,
                head=page.head,
                floor_reason=page.floor_reason,
            ),
        )
        for device in await device_rows(core, user):
            yield Exported(kind="device", device=device)
        for group in await core.readers.run(core.store.groups_of, user):
            yield Exported(kind="group", group=group)
        for contact in await core.readers.run(core.store.relations, user, "contact"):
            yield Exported(kind="contact", contact=contact)
        for blocked in await core.readers.run(core.store.relations, user, "block"):
            yield Exported(kind="block", block=blocked)
        entries, head = 0, page.head
        while page.entries:
            for entry in page.entries:
                origin = origins.get(entry.seq)
                if entry.seq <= head and entry.kind == "damaged":
                    entries += 1
                    yield Exported(kind="damaged", damaged=entry.seq)
                elif entry.seq <= head and origin is not None:
                    entries += 1
                    yield Exported(kind="entry", entry=_entry(entry, origin))
            if page.entries[-1].seq >= head:
                break
            page, origins = await self._page(user, page.entries[-1].seq)
        # What was removed meanwhile may have been read in part: then there is no end.
        if await core.readers.run(core.store.user_name, user) is not None:
            yield Exported(kind="end", end=entries)

    async def _page(self, user: int, after: int) -> _Page:
        limits = self._core.limits
        return await self._core.readers.run(
            _read, self._core.store, user, after, limits.page_entries_max, limits.page_bytes_max
        )


def _read(store: Store, user: int, after: int, entries_max: int, bytes_max: int) -> _Page:
    """A page with the origins of its entries. What is trimmed between the two reads has none, and is passed over."""
    page = store.read_inbox(user, after, entries_max, bytes_max)
    if not page.entries:
        return _Page(page, {})
    origins = store.entry_origins(user, page.entries[0].seq - 1, len(page.entries))
    return _Page(page, {origin.seq: origin for origin in origins})


def _entry(stored: StoredEntry, origin: EntryOrigin) -> ExportedEntry:
    return ExportedEntry(
        seq=stored.seq,
        kind=stored.kind,
        device=stored.device_id,
        n=stored.n,
        entry=None if stored.encoded is None else decode_entry(stored.encoded),
        inboxes=origin.inboxes,
        erased=_erased(origin) if stored.encoded is None else None,
    )


def _erased(origin: EntryOrigin) -> ErasedEntry:
    return ErasedEntry(
        id=message_id_text(origin.message_id),
        bytes=origin.size,
        own=origin.own,
        conversation=None if origin.name is None else f"{origin.conversation}/{origin.name}",
        kind=origin.conversation,
    )
