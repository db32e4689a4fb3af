"""A record of the journal in words, and with the names of those it is about."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from roost_broker.store.journal import (
    AnyEvent,
    BrokerStarted,
    BrokerStopped,
    DeviceForgotten,
    GapTold,
    GroupChanged,
    InboxTrimmed,
    JournalRow,
    LoginRefused,
    Progress,
    RecordsLost,
    RelationChanged,
    SessionClosed,
    SessionEnded,
    SessionOpened,
    UserChanged,
    UserEvent,
)
from roost_protocol.admin.events import EventRow
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.core import Core

NAMES_MAX = 10_000
"""Names, and devices, remembered while records are told."""


class EventTeller:
    """Tells records, and remembers names and devices while it does."""

    def __init__(self, core: "Core") -> None:
        self._core = core
        self._names: dict[int, str] = {}
        self._devices: dict[int, tuple[str | None, str | None]] = {}

    async def told(self, row: JournalRow) -> EventRow:
        """The record as an admin reads it."""
        event = row.event
        user = await self._name(event.user) if isinstance(event, UserEvent) else None
        told = {"id": f"{row.number:016x}", "at": event.at, "user": user, **_fields(event)}
        if isinstance(event, Progress | GapTold):
            told["device"], told["terminal"] = await self._device(event)
        if isinstance(event, GroupChanged):
            told["text"] = await self._group_text(event)
        return EventRow(**told)

    async def _name(self, user: int) -> str:
        name = self._names.get(user)
        if name is None:
            if len(self._names) >= NAMES_MAX:
                self._names.clear()
            found = await self._core.readers.run(self._core.store.user_name, user)
            name = self._names[user] = found if found is not None else f"user number {user}, removed"
        return name

    async def _device(self, event: Progress | GapTold) -> tuple[str | None, str | None]:
        """Id and terminal type of a device; None if it is not known any more."""
        if event.device not in self._devices:
            if len(self._devices) >= NAMES_MAX:
                self._devices.clear()
            self._devices[event.device] = (None, None)
            for known in await self._core.readers.run(self._core.store.devices, event.user):
                self._devices[known.device] = (known.device_id, known.terminal)
        return self._devices[event.device]

    async def _group_text(self, event: GroupChanged) -> str:
        parts = [f"{await self._name(user)} came" for user in event.added]
        parts += [f"{await self._name(user)} went" for user in event.removed]
        by = "an admin" if event.by is None else await self._name(event.by)
        return f"group {event.name}: {', '.join(parts)}; by {by}"


def _fields(event: AnyEvent) -> dict[str, Any]:
    """What a record has besides its id, time and user."""
    return _TELLERS[type(event)](event)


def _started(event: BrokerStarted) -> dict[str, Any]:
    return {"kind": "broker started", "text": f"roost {event.version} started"}


def _stopped(event: BrokerStopped) -> dict[str, Any]:
    return {"kind": "broker stopped", "text": "the broker drained and stopped"}


def _opened(event: SessionOpened) -> dict[str, Any]:
    how = "started over" if event.start_over else "resumed" if event.resumed else "logged in"
    over = f", took over from {event.took_over}" if event.took_over else ""
    return {
        "kind": "session opened",
        "text": f"{how}, delivery after {event.position}, head {event.head}{over}",
        "terminal": event.terminal,
        "device": event.device_id,
        "session": event.epoch,
        "address": event.address,
        "last": event.position,
    }


def _closed(event: SessionClosed) -> dict[str, Any]:
    phrase = _closing_phrase(event.reason)
    by = f" by {event.by}" if event.by else ""
    text = f"{phrase}{by}{f' ({event.text})' if event.text else ''}; pushed up to {event.pushed}"
    return {
        "kind": "session closed",
        "text": f"{text}, acknowledged up to {event.acknowledged}",
        "terminal": event.terminal,
        "device": event.device_id,
        "session": event.epoch,
        "by": event.by or None,
        "address": event.address or None,
        "reason": None if event.reason is None else phrase,
        "last": event.pushed,
        "acknowledged": event.acknowledged,
    }


def _ended(event: SessionEnded) -> dict[str, Any]:
    by = f" by {event.by}" if event.by else ""
    why = f" ({event.text})" if event.text else ""
    return {
        "kind": "session ended",
        "text": f"ended for good: {_phrase(event.reason)}{by}{why}",
        "session": event.epoch,
        **_who(event),
    }


def _refused(event: LoginRefused) -> dict[str, Any]:
    by = f" by {event.by}" if event.by else ""
    guessed = event.reason == Reason.CONNECTION_RATE_EXCEEDED and not event.by
    why = "too many failed log-ins" if guessed else f"{_phrase(event.reason)}{by}"
    return {"kind": "log-in refused", "text": f"not let in: {why}", **_who(event)}


def _who(event: SessionEnded | LoginRefused) -> dict[str, Any]:
    return {
        "terminal": event.terminal,
        "device": event.device_id,
        "by": event.by or None,
        "address": event.address or None,
        "reason": _phrase(event.reason),
    }


def _progress(event: Progress) -> dict[str, Any]:
    text = f"pushed up to {event.pushed}, acknowledged up to {event.acknowledged}"
    numbers = {"last": event.pushed, "acknowledged": event.acknowledged}
    return {"kind": "progress", "text": text, "session": event.epoch, **numbers}


def _gap(event: GapTold) -> dict[str, Any]:
    text = f"told that {event.first} to {event.last} are gone by {event.reason}"
    return {"kind": "gap told", "text": text, "session": event.epoch, **_range(event)}


def _trimmed(event: InboxTrimmed) -> dict[str, Any]:
    text = f"{event.first} to {event.last} went by {event.reason}"
    return {"kind": "inbox trimmed", "text": text, **_range(event)}


def _range(event: GapTold | InboxTrimmed) -> dict[str, Any]:
    return {"first": event.first, "last": event.last, "reason": event.reason}


def _forgotten(event: DeviceForgotten) -> dict[str, Any]:
    return {"kind": "device forgotten", "text": "not seen for long", "device": event.device_id}


def _user(event: UserChanged) -> dict[str, Any]:
    told = {"kind": "user changed", "text": f"account {event.name}: {event.what}", "user": event.name}
    return {**told, "by": event.by} if event.by else told


def _relation(event: RelationChanged) -> dict[str, Any]:
    text = f"{event.relation} of {event.other_name} {'added' if event.present else 'removed'}"
    return {"kind": "relation changed", "text": text}


def _group(event: GroupChanged) -> dict[str, Any]:
    return {"kind": "group changed", "text": ""}


def _lost(event: RecordsLost) -> dict[str, Any]:
    return {"kind": "records lost", "text": f"{event.count} records were lost: the store had no room"}


def _closing_phrase(code: int | None) -> str:
    if code is None:
        return "the connection was lost"
    return _phrase(code) if code else "the device has left"


def _phrase(code: int) -> str:
    return Reason.of(code).phrase


_TELLERS: dict[type[AnyEvent], Callable[[Any], dict[str, Any]]] = {
    BrokerStarted: _started,
    BrokerStopped: _stopped,
    SessionOpened: _opened,
    SessionClosed: _closed,
    SessionEnded: _ended,
    LoginRefused: _refused,
    Progress: _progress,
    GapTold: _gap,
    InboxTrimmed: _trimmed,
    DeviceForgotten: _forgotten,
    UserChanged: _user,
    RelationChanged: _relation,
    GroupChanged: _group,
    RecordsLost: _lost,
}
