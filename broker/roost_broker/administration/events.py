"""The journal: pages of it, and each record as it becomes durable."""

from collections.abc import AsyncIterator
from typing import Any

import trio
from msgspec.structs import replace

from roost_broker.administration.acts import Act, Acts
from roost_broker.administration.told import EventTeller
from roost_broker.store.journal import (
    BROKER,
    JournalPage,
    Subject,
    first_number_at,
    group_subject,
    number_time_ms,
    user_subject,
)
from roost_protocol.admin.events import EVENTS_FOLLOW, EVENTS_LIST, EventList, EventQuery, EventRow
from roost_protocol.admin.route import Route

EVERYTHING = EventQuery()

PAGES_MAX = 40
"""Pages of the journal looked through for one answer: a filter that fits little is continued by the next request."""

FOLLOW_S = 0.2
"""A follower reads at most so often: it shares the disk with the messages."""


class Events(Acts):
    """Acts on the journal."""

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {EVENTS_LIST: self.list, EVENTS_FOLLOW: self.follow}

    async def list(self, query: EventQuery = EVERYTHING) -> EventList:
        """A page of records. One that is not full may still have a `next`: not everything was looked through yet."""
        subject = await self._subject(query)
        teller = EventTeller(self._core)
        limit = self._page_size(query.limit)
        low, high = _bounds(query)
        found: list[EventRow] = []
        more = True
        pages = first = 0
        while more and pages < PAGES_MAX and len(found) < limit:
            page = await self._page(subject, low, high, newest=query.newest)
            pages, first, more = pages + 1, page.first, page.more
            for row in page.rows[::-1] if query.newest else page.rows:
                if len(found) == limit:
                    more = True
                    break
                low, high = (low, row.number) if query.newest else (row.number, high)
                told = await teller.told(row)
                if fits(told, query):
                    found.append(told)
        following = f"{high if query.newest else low:016x}" if more else None
        ordered = tuple(found[::-1] if query.newest else found)
        return EventList(events=ordered, next=following, since=number_time_ms(first))

    async def follow(self, query: EventQuery = EVERYTHING) -> AsyncIterator[EventRow]:
        """Records from `after` or `since` on, and without either from now on, for ever."""
        subject = await self._subject(query)
        low, _ = _bounds(query)
        if query.after is None and query.since is None:
            newest = await self._page(subject, 0, None, newest=True, limit=1)
            low = newest.rows[-1].number if newest.rows else 0
        return self._following(subject, low, replace(query, newest=False))

    async def _following(self, subject: Subject | None, low: int, query: EventQuery) -> AsyncIterator[EventRow]:
        teller = EventTeller(self._core)
        while True:
            page = await self._page(subject, low, None, newest=False)
            for row in page.rows:
                low = row.number
                told = await teller.told(row)
                if fits(told, query):
                    yield told
            if not page.more:
                await self._core.journal.wait_committed()
                await trio.sleep(FOLLOW_S)

    async def _subject(self, query: EventQuery) -> Subject | None:
        """Whom the records are about. Raises NotDone."""
        if query.user is not None:
            return user_subject((await self._account(query.user)).user)
        if query.group is not None:
            record = await self._core.readers.run(self._core.store.group, query.group)
            if record is None:
                raise await self._nobody("group", query.group)
            return group_subject(record.group)
        if query.kind and set(query.kind) <= {"broker started", "broker stopped", "records lost"}:
            return BROKER
        return None

    async def _page(
        self, subject: Subject | None, low: int, high: int | None, *, newest: bool, limit: int | None = None
    ) -> JournalPage:
        core = self._core
        return await core.readers.run(
            lambda: core.store.read_journal(
                subject, after=low, before=high, limit=limit or core.limits.page_entries_max, newest=newest
            )
        )


def _bounds(query: EventQuery) -> tuple[int, int | None]:
    """The numbers that the records lie between, both left out."""
    low = 0 if query.since is None else first_number_at(query.since) - 1
    low = max(low, 0 if query.after is None else int(query.after, 16))
    ends = [] if query.until is None else [first_number_at(query.until + 1)]
    if query.before is not None:
        ends.append(int(query.before, 16))
    return max(low, 0), min(ends, default=None)


def fits(event: EventRow, query: EventQuery) -> bool:
    """Whether a record is one of those asked for; the user and the group are looked up by the caller."""
    return (not query.kind or event.kind in query.kind) and query.terminal in (None, event.terminal)
