"""One user's inbox: its entries, live or not, and what is in it.

Everything is read and decoded in the threads of the readers, a page at a time; a look at a large inbox costs the
event loop nothing but the answers.
"""

from collections.abc import AsyncIterator
from heapq import nlargest
from typing import Any

from roost_broker.administration.acts import Act, Acts, NotDone
from roost_broker.store.readings import ConversationCount, ConversationMark, InboxPage, StoredEntry
from roost_protocol.admin.inbox import (
    INBOX_BODIES,
    INBOX_SHOW,
    INBOX_STAT,
    INBOX_TAIL,
    INBOX_TAIL_BODIES,
    Conversation,
    InboxEntries,
    InboxEntry,
    InboxFollow,
    InboxQuery,
    InboxStat,
    StatQuery,
)
from roost_protocol.admin.route import PROGRAM, Caller, Route
from roost_protocol.codec import decode_entry
from roost_protocol.names import parse_address
from roost_protocol.reasons import Reason

COUNTED_A_SLICE = 500
"""Entries counted in one read: 0.5 ms (see `Acts._in_turns`)."""

WHOLE = InboxQuery()
FROM_NOW = InboxFollow()
SOME_CONVERSATIONS = StatQuery()


class Inboxes(Acts):
    """Acts on inboxes."""

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {
            INBOX_SHOW: self.show,
            INBOX_BODIES: self.show_bodies,
            INBOX_TAIL: self.tail,
            INBOX_TAIL_BODIES: self.tail_bodies,
            INBOX_STAT: self.stat,
        }

    async def show(self, user: str, query: InboxQuery = WHOLE) -> InboxEntries:
        """A page of entries, without their bodies."""
        return await self._show(user, query, bodies=False)

    async def show_bodies(self, user: str, query: InboxQuery = WHOLE, caller: Caller = PROGRAM) -> InboxEntries:
        """A page of entries, with their bodies."""
        del caller
        return await self._show(user, query, bodies=True)

    async def tail(self, user: str, query: InboxFollow = FROM_NOW) -> AsyncIterator[InboxEntry]:
        """Entries as they come, and gaps where retention was faster than whoever looks; without bodies.

        It ends when the user is removed.
        """
        return await self._tail(user, query, bodies=False)

    async def tail_bodies(
        self, user: str, query: InboxFollow = FROM_NOW, caller: Caller = PROGRAM
    ) -> AsyncIterator[InboxEntry]:
        """The same with bodies."""
        del caller
        return await self._tail(user, query, bodies=True)

    async def stat(self, user: str, query: StatQuery = SOME_CONVERSATIONS) -> InboxStat:
        """What an inbox holds, and the conversations with the newest messages. Counted while it may change."""
        core = self._core
        number = (await self._account(user)).user
        size = await core.readers.run(core.store.inbox_size, number)
        start = await core.readers.run(core.store.read_inbox, number, size.head, 1, 1)
        count = 0
        newest: list[ConversationCount] = []
        unfinished: ConversationCount | None = None
        mark: ConversationMark | None = ConversationMark()
        while mark is not None:
            part = await self._in_turns(core.store.conversations, number, mark, COUNTED_A_SLICE)
            mark = part.next_after
            rows = _joined(unfinished, part.conversations)
            unfinished = rows.pop() if rows and mark is not None else None
            count += len(rows)
            newest = nlargest(query.conversations, [*newest, *rows], key=lambda row: row.newest)
        return InboxStat(
            user=user,
            head=size.head,
            floor=size.floor,
            floor_reason=start.floor_reason,
            entries=size.entries,
            bytes=size.bytes,
            oldest=size.oldest,
            conversations=count,
            newest=tuple(Conversation(address=_address(row), entries=row.entries, newest=row.newest) for row in newest),
        )

    # --- pages ---

    async def _show(self, user: str, query: InboxQuery, *, bodies: bool) -> InboxEntries:
        number = (await self._account(user)).user
        if query.conversation is not None:
            await self._check_conversation(query.conversation)
        return await self._core.readers.run(self._page, number, query, bodies)

    async def _check_conversation(self, address: str) -> None:
        """Raise NotDone if there is no such user or group."""
        kind, name = parse_address(address)
        if kind == "user":
            await self._account(name)
        elif await self._core.readers.run(self._core.store.group, name) is None:
            raise await self._nobody("group", name)

    def _page(self, user: int, query: InboxQuery, bodies: bool) -> InboxEntries:
        """Runs in a reader's thread."""
        store, limits = self._core.store, self._core.limits
        size = store.inbox_size(user)
        first = max(query.first or 1, size.floor)
        last = size.head if query.last is None else min(query.last, size.head)
        if query.newest is not None:
            start = store.first_of_newest(user, query.conversation, upto=last, newest=query.newest)
            first = max(first, start)
        if first > last:
            return InboxEntries(head=size.head, floor=size.floor, entries=())
        page = store.read_conversation(
            user,
            query.conversation,
            after=first - 1,
            limit=min(self._page_size(query.limit), limits.page_entries_max),
            bytes_max=limits.page_bytes_max,
        )
        entries = tuple(_shown(entry, bodies=bodies) for entry in page.entries if entry.seq <= last)
        more = page.more and page.entries[-1].seq < last
        return InboxEntries(
            head=page.head, floor=page.floor, entries=entries, next=page.entries[-1].seq + 1 if more else None
        )

    # --- live ---

    async def _tail(self, user: str, query: InboxFollow, *, bodies: bool) -> AsyncIterator[InboxEntry]:
        core = self._core
        number = (await self._account(user)).user
        head = (await core.readers.run(core.store.inbox_size, number)).head
        after = head if query.after is None else query.after
        if after > head:
            raise NotDone(Reason.NOT_FOUND, f"the inbox of {user} ends at {head}: there is no number {after}")
        return self._follow(number, after, bodies=bodies)

    async def _follow(self, user: int, position: int, *, bodies: bool) -> AsyncIterator[InboxEntry]:
        core = self._core
        with core.delivery.follow(user) as growth:
            while await core.readers.run(core.store.user_name, user) is not None:
                page, entries = await core.readers.run(self._read_on, user, position, bodies)
                if page.floor > position + 1 and page.floor_reason is not None:
                    gap = InboxEntry(seq=position + 1, kind="gap", last=page.floor - 1, reason=page.floor_reason)
                    position = page.floor - 1
                    yield gap
                for entry in entries:
                    position = entry.seq
                    yield entry
                if position >= page.head:
                    await growth.wait()

    def _read_on(self, user: int, position: int, bodies: bool) -> tuple[InboxPage, list[InboxEntry]]:
        """Runs in a reader's thread."""
        limits = self._core.limits
        page = self._core.store.read_inbox(user, position, limits.page_entries_max, limits.page_bytes_max)
        return page, [_shown(entry, bodies=bodies) for entry in page.entries]


def _shown(stored: StoredEntry, *, bodies: bool) -> InboxEntry:
    if stored.encoded is None:
        return InboxEntry(seq=stored.seq, kind=stored.kind)
    entry = decode_entry(stored.encoded)
    return InboxEntry(
        seq=stored.seq,
        kind=stored.kind,
        time=entry.time,
        sender=entry.sender,
        to=entry.to,
        content_type=entry.content_type,
        entry_bytes=len(stored.encoded),
        id=entry.id,
        device=stored.device_id,
        n=stored.n,
        text=entry.text if bodies else None,
        data=entry.data if bodies else None,
    )


def _joined(unfinished: ConversationCount | None, rows: tuple[ConversationCount, ...]) -> list[ConversationCount]:
    """The rows of a part, after the conversation that the part before broke off in."""
    if unfinished is None:
        return list(rows)
    if rows and (rows[0].kind, rows[0].peer) == (unfinished.kind, unfinished.peer):
        first, *others = rows
        whole = ConversationCount(
            kind=first.kind,
            peer=first.peer,
            name=first.name,
            entries=unfinished.entries + first.entries,
            newest=first.newest,
        )
        return [whole, *others]
    return [unfinished, *rows]


def _address(row: ConversationCount) -> str:
    return f"{row.kind}/{row.name}" if row.name is not None else f"{row.kind}/#{row.peer}"
