"""Explain: where a message went, and what became of it on every device.

Reads the store and the journal in pages, off the event loop; what is said about now is looked up last.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from msgspec.structs import replace

from roost_broker.administration.acts import Act, Acts, NotDone
from roost_broker.administration.devices import known_device
from roost_broker.explain import DeviceStory, Now
from roost_broker.store.ids import message_id_text
from roost_broker.store.journal import (
    BROKER,
    AnyEvent,
    BrokerStarted,
    GroupChanged,
    JournalPage,
    JournalRow,
    SessionOpened,
    Subject,
    first_number_at,
    group_subject,
    number_time_ms,
    user_subject,
)
from roost_broker.store.readings import Account, FoundEntry, FoundMessage, InboxPage
from roost_protocol.admin.explain import (
    EXPLAIN_ENTRY,
    EXPLAIN_MESSAGE,
    EXPLAIN_PUBLISH,
    DeviceExplained,
    ExplainEntry,
    ExplainMessage,
    Explanation,
    InboxExplained,
    MessageFacts,
    PublishExplained,
)
from roost_protocol.admin.route import Route
from roost_protocol.codec import decode_entry
from roost_protocol.frames import Entry
from roost_protocol.limits import NUMBER_MAX
from roost_protocol.names import parse_address
from roost_protocol.reasons import Reason

BACK_PAGES_MAX = 20
"""Pages of the journal read back from an entry, for the sessions that were open when it came."""

RECORDS_MAX = 200_000
"""Records of a user read on from there: a session that moves all the time makes 86,400 a day."""

INBOXES_MAX = 50
"""Inboxes explained in one answer; those of a large group are asked for by user."""


EVERY_DEVICE = ExplainEntry()
EVERYWHERE = ExplainMessage()


class Explain(Acts):
    """Acts that explain."""

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {EXPLAIN_ENTRY: self.entry, EXPLAIN_MESSAGE: self.message, EXPLAIN_PUBLISH: self.publish}

    async def entry(self, user: str, seq: str, which: ExplainEntry = EVERY_DEVICE) -> Explanation:
        """One entry of one inbox."""
        account = await self._account(user)
        number = _number(seq)
        page = await self._read(account.user, number)
        if number > page.head:
            raise NotDone(Reason.NOT_FOUND, f"{user} has no entry {number}: the newest is {page.head}")
        entry = _entry_at(page, number)
        facts = None if entry is None else await self._facts(int(entry.id, 16), entry, account.user)
        inbox = await self._inbox(account, number, page, entry, which.terminal)
        return Explanation(message=facts, inboxes=(inbox,), journal_since=await self._journal_since())

    async def message(self, message_id: str, which: ExplainMessage = EVERYWHERE) -> Explanation:
        """One message, wherever it went."""
        number = _message_number(message_id)
        found = await self._core.readers.run(self._core.store.find_message, number)
        if found is None:
            raise NotDone(Reason.NOT_FOUND, f"no inbox holds a message {message_id} (any more)")
        entry = decode_entry(found.encoded)
        accounts = await self._participants(entry)
        if which.user is not None:
            accounts = [account for account in accounts if account.name == which.user]
        inboxes = []
        for account in accounts[:INBOXES_MAX]:
            inbox = await self._inbox_of_message(account, number, entry, which.terminal)
            if inbox is not None:
                inboxes.append(inbox)
        if which.user is not None and not inboxes:
            raise NotDone(Reason.NOT_FOUND, f"{which.user} did not get the message {message_id}")
        sender = await self._core.readers.run(self._core.store.account, entry.sender)
        facts = await self._facts(number, entry, sender.user if sender else 0, found)
        more = max(0, len(accounts) - INBOXES_MAX)
        return Explanation(message=facts, inboxes=tuple(inboxes), more=more, journal_since=await self._journal_since())

    async def publish(self, user: str, device: str, n: str) -> PublishExplained:
        """One publish of a device, of which there may be no entry: it was refused, or never came."""
        account = await self._account(user)
        number = _number(n)
        known = await known_device(self._core, account, device)
        outcome = await self._core.readers.run(self._core.store.publish_outcome, known.device, number)
        told = PublishExplained(
            user=user,
            device=device,
            n=number,
            state="not settled",
            settled_n=max(known.settled_n, number if outcome else 0),
        )
        if outcome is None:
            return told
        if outcome.reason == Reason.SETTLED_LONG_AGO:
            return replace(told, state="long ago")
        if outcome.reason != Reason.SUCCESS:
            return replace(told, state="refused", reason=outcome.reason.phrase)
        return replace(told, state="stored", seq=outcome.seq, id=outcome.id, time=outcome.time)

    # --- the message ---

    async def _facts(
        self, message_id: int, entry: Entry, holder: int, found: FoundMessage | None = None
    ) -> MessageFacts | None:
        core = self._core
        found = found or await core.readers.run(core.store.find_message, message_id)
        sender = await core.readers.run(core.store.account, entry.sender)
        own: FoundEntry | None = None
        for user in ([sender.user] if sender else []) + [holder]:
            own = own or await core.readers.run(core.store.find_entry, user, message_id)
        if found is None:
            return None
        return MessageFacts(
            id=entry.id,
            sender=entry.sender,
            to=entry.to,
            time=entry.time,
            content_type=entry.content_type,
            body_bytes=len(entry.text.encode() if entry.text is not None else entry.data or b""),
            device=own.device_id if own else None,
            n=own.n if own else None,
            by_admin=own is not None and own.by_admin,
            inboxes=own.inboxes if own else 0,
            released=found.released,
            batch_first=message_id_text(found.batch_first),
            batch_place=message_id - found.batch_first + 1,
            batch_size=found.batch_last - found.batch_first + 1,
        )

    async def _participants(self, entry: Entry) -> list[Account]:
        """The users whose inboxes may hold the message, the sender first."""
        kind, name = parse_address(entry.to)
        names = [entry.sender, name] if kind == "user" else [entry.sender, *await self._members(name, entry.time)]
        return [
            account
            for each in dict.fromkeys(names)
            if (account := await self._core.readers.run(self._core.store.account, each)) is not None
        ]

    async def _members(self, group: str, time: int) -> list[str]:
        """Who is, or was at that time or since, a member of the group."""
        core = self._core
        record = await core.readers.run(core.store.group, group)
        if record is None:
            return []
        removed: list[int] = []

        def take(row: JournalRow) -> bool:
            if isinstance(row.event, GroupChanged):
                removed.extend(row.event.removed)
            return True

        await self._each(group_subject(record.group), first_number_at(time) - 1, take)
        since = [await core.readers.run(core.store.user_name, user) for user in removed]
        return [*record.members, *(name for name in since if name is not None)]

    # --- one inbox ---

    async def _inbox_of_message(
        self, account: Account, message_id: int, entry: Entry, terminal: str | None
    ) -> InboxExplained | None:
        """The inbox of one who may have got the message; None if there is no trace of it and it went to a group."""
        core = self._core
        found = await core.readers.run(core.store.find_entry, account.user, message_id)
        if found is not None:
            page = await self._read(account.user, found.seq)
            return await self._inbox(account, found.seq, page, entry, terminal)
        if parse_address(entry.to)[0] == "group":
            return None
        page = await self._read(account.user, 1)
        text = f"retention took it (by {page.floor_reason}): the inbox begins at {page.floor} now"
        return InboxExplained(user=account.name, seq=None, state="trimmed", text=text, devices=())

    async def _inbox(
        self, account: Account, seq: int, page: InboxPage, entry: Entry | None, terminal: str | None
    ) -> InboxExplained:
        devices = await self._devices(account, seq, entry.time if entry else 0, terminal)
        if seq < page.floor:
            text = f"retention took it (by {page.floor_reason}): the inbox begins at {page.floor} now"
            return InboxExplained(user=account.name, seq=seq, state="trimmed", text=text, devices=devices)
        if entry is None:
            if any(each.seq == seq and each.kind == "damaged" for each in page.entries):
                text = "the store is damaged there: devices are told so, `roost fsck` says more"
                return InboxExplained(user=account.name, seq=seq, state="damaged", text=text, devices=devices)
            text = "it was erased: the number is all that is left"
            return InboxExplained(user=account.name, seq=seq, state="erased", text=text, devices=devices)
        barred = "; the account is disabled: none of its devices can log in" if account.disabled else ""
        text = f"it is number {seq} of {page.head}{barred}"
        return InboxExplained(user=account.name, seq=seq, state="kept", text=text, devices=devices)

    async def _devices(
        self, account: Account, seq: int, stored: int, terminal: str | None
    ) -> tuple[DeviceExplained, ...]:
        """Every device of the user, or of one terminal type: those that are known, and those in the records."""
        core = self._core
        known = await core.readers.run(core.store.devices, account.user)
        stories = {
            device.device: DeviceStory(device.device, device.device_id, device.terminal, seq=seq, stored=stored)
            for device in known
            if terminal in (None, device.terminal)
        }
        stops = await self._stops()
        taken = 0

        def take(row: JournalRow) -> bool:
            nonlocal taken
            event = row.event
            while stops and stops[0].number < row.number:
                _tell(stories.values(), stops.pop(0))
            if isinstance(event, SessionOpened) and terminal in (None, event.terminal) and event.device not in stories:
                stories[event.device] = DeviceStory(
                    event.device, event.device_id, event.terminal, seq=seq, stored=stored
                )
            for story in stories.values():
                story.take(event)
            taken += 1
            return taken < RECORDS_MAX and not all(story.settled for story in stories.values())

        if await self._each_around(account.user, stored, set(stories), take):
            for stop in stops:
                _tell(stories.values(), stop)
        return await self._explained(account, stories.values())

    async def _explained(self, account: Account, stories: Iterable[DeviceStory]) -> tuple[DeviceExplained, ...]:
        core = self._core
        cursors = {device.device: device for device in await core.readers.run(core.store.devices, account.user)}
        page = await core.readers.run(core.store.read_inbox, account.user, 0, 1, 1)
        live = {session.device: session for session in core.directory.of(account.user)}
        explained = []
        for story in stories:
            session, record = live.get(story.device), cursors.get(story.device)
            explained.append(
                story.explained(
                    Now(
                        cursor=record.cursor if record else None,
                        last_seen=record.last_seen if record else 0,
                        position=session.position if session else None,
                        acknowledged=session.acknowledged if session else None,
                        window_full=session is not None and not session.may_deliver(),
                        floor=page.floor,
                        floor_reason=page.floor_reason,
                    )
                )
            )
        return tuple(sorted(explained, key=lambda each: (each.terminal, each.device)))

    async def _read(self, user: int, seq: int) -> InboxPage:
        """The inbox with the one entry, if it is kept."""
        return await self._core.readers.run(self._core.store.read_inbox, user, seq - 1, 1, 1)

    # --- the journal ---

    async def _journal_since(self) -> int:
        return number_time_ms((await self._page(None, limit=1)).first)

    async def _stops(self) -> "list[_Stop]":
        """Every start of a broker that is recorded."""
        starts: list[JournalRow] = []

        def take(row: JournalRow) -> bool:
            if isinstance(row.event, BrokerStarted):
                starts.append(row)
            return True

        await self._each(BROKER, 0, take)
        stops: list[_Stop] = []
        for row in starts:
            before = await self._page(None, before=row.number, limit=1, newest=True)
            stops.append(_Stop(row.number, row.event, before.rows[-1].event.at if before.rows else row.event.at))
        return stops

    async def _each(self, subject: Subject, after: int, take: Callable[[JournalRow], bool]) -> bool:
        """Give `take` the records of a subject after a number, page by page, as long as it says so; whether it did."""
        more = True
        while more:
            page = await self._page(subject, after=after, limit=self._core.limits.page_entries_max)
            for row in page.rows:
                if not take(row):
                    return False
                after = row.number
            more = page.more
        return True

    async def _each_around(self, user: int, stored: int, devices: set[int], take: Callable[[JournalRow], bool]) -> bool:
        """As `_each`: the records of a user, from the sessions on that were open when an entry came, to the newest."""
        subject = user_subject(user)
        start = first_number_at(stored)
        before: list[JournalRow] = []
        waited_for = set(devices)
        for _ in range(BACK_PAGES_MAX if stored else 0):
            upper = before[0].number if before else start
            page = await self._page(subject, before=upper, limit=self._core.limits.page_entries_max, newest=True)
            before = [*page.rows, *before]
            waited_for -= {row.event.device for row in page.rows if isinstance(row.event, SessionOpened)}
            if not page.more or not waited_for:
                break
        for row in before:
            if not take(row):
                return False
        return await self._each(subject, start - 1, take)

    async def _page(self, subject: Subject | None, **which: Any) -> JournalPage:
        """See `Store.read_journal`."""
        return await self._core.readers.run(lambda: self._core.store.read_journal(subject, **which))


class _Stop(NamedTuple):
    """A broker started: the number of the record, the record, and when the one before it was last heard of."""

    number: int
    event: AnyEvent
    stopped: int


def _tell(stories: Iterable[DeviceStory], stop: _Stop) -> None:
    for story in stories:
        story.take(stop.event, stop.stopped)


def _entry_at(page: InboxPage, seq: int) -> Entry | None:
    """The message of the entry with this number, if it is kept and not erased."""
    for entry in page.entries:
        if entry.seq == seq and entry.encoded is not None:
            return decode_entry(entry.encoded)
    return None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 16 and 1 <= int(text) <= NUMBER_MAX):
        raise NotDone(Reason.MALFORMED_PACKET, f"a number is 1 to {NUMBER_MAX}, not {text[:32]!r}")
    return int(text)


def _message_number(text: str) -> int:
    if len(text) != 16 or not all(char in "0123456789abcdef" for char in text):
        raise NotDone(Reason.MALFORMED_PACKET, f"a message id has 16 hexadecimal digits, not {text[:32]!r}")
    return int(text, 16)
