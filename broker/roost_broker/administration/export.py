"""Exporting a user."""

from collections.abc import AsyncIterator
from typing import Any

from roost_broker.administration.acts import Act, Acts
from roost_broker.administration.devices import device_rows
from roost_broker.store.operations import Account, StoredEntry
from roost_protocol.admin.export import EXPORT, Exported, ExportedAccount, ExportedEntry
from roost_protocol.admin.route import PROGRAM, Caller, Route
from roost_protocol.codec import decode_entry


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
        extent = await core.readers.run(core.store.inbox_size, user)
        yield Exported(
            kind="account",
            account=ExportedAccount(
                name=account.name,
                created=account.created,
                disabled=account.disabled,
                incarnation=account.incarnation,
                floor=extent.floor,
                head=extent.head,
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
        entries = 0
        position = extent.floor - 1
        limits = core.limits
        while position < extent.head:
            page = await core.readers.run(
                core.store.read_inbox, user, position, limits.page_entries_max, limits.page_bytes_max
            )
            for entry in page.entries:
                if entry.seq <= extent.head:
                    entries += 1
                    yield Exported(kind="entry", entry=_entry(entry))
            position = page.entries[-1].seq if page.entries else extent.head
        # What was removed meanwhile may have been read in part: then there is no end.
        if await core.readers.run(core.store.user_name, user) is not None:
            yield Exported(kind="end", end=entries)


def _entry(stored: StoredEntry) -> ExportedEntry:
    return ExportedEntry(
        seq=stored.seq,
        kind=stored.kind,
        device=stored.device_id,
        n=stored.n,
        entry=None if stored.encoded is None else decode_entry(stored.encoded),
    )
