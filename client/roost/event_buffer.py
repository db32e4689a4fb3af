"""Events that wait for the application, bounded whatever it does.

Three lanes, since they are bounded in three ways; a stamp on each event keeps the order between them.

- The entries of the inbox, with what belongs between them (gaps, the coming and going of the connection). Nothing of it
  may be lost: the broker sends at most a window of entries that are not acknowledged, and what waits at a reconnect is
  cut back to one window, since the broker will send again what comes after. Of connections that came and went
  with nothing in between only the last word stays; gaps that touch become one.
- Presence: only the newest state of each (user, terminal type).
- Ephemeral messages: the newest.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from msgspec import structs

from roost.bounds import EPHEMERAL_WAITING_MAX, PRESENCE_WAITING_MAX
from roost.events import (
    Body,
    Connected,
    Disconnected,
    EphemeralReceived,
    Event,
    Gap,
    Message,
    PresenceChanged,
    StartedOver,
)
from roost.publication import body_bytes


class Held(NamedTuple):
    """The last number that is held, and the id of the message there."""

    seq: int
    id: str | None


class EventBuffer:
    """Events in the order in which they came. `entries` is how many entries of the inbox are among them."""

    def __init__(self) -> None:
        self.entries = 0
        self.ephemeral_dropped = 0
        self._stamp = 0
        self._ordered: deque[tuple[int, Event]] = deque()
        self._presence: OrderedDict[tuple[str, str | None], tuple[int, PresenceChanged]] = OrderedDict()
        self._ephemeral: deque[tuple[int, EphemeralReceived]] = deque()

    def __len__(self) -> int:
        return len(self._ordered) + len(self._presence) + len(self._ephemeral)

    def push(self, event: Event) -> None:
        """Put an event at the end, within the bounds."""
        self._stamp += 1
        match event:
            case Message():
                self.entries += 1
                self._ordered.append((self._stamp, event))
            case PresenceChanged():
                self._push_presence(event)
            case EphemeralReceived():
                self._ephemeral.append((self._stamp, event))
                if len(self._ephemeral) > EPHEMERAL_WAITING_MAX:
                    self._ephemeral.popleft()
                    self.ephemeral_dropped += 1
            case Gap():
                self._push_gap(event)
            case Disconnected():
                self._push_disconnected(event)
            case StartedOver():
                self._keep_only(lambda waiting: not isinstance(waiting, Message | Gap | StartedOver))
                self._ordered.append((self._stamp, event))
            case _:
                self._ordered.append((self._stamp, event))

    def peek(self) -> Event | None:
        """The next event, which stays."""
        front = self._front()
        return front[1] if front else None

    def pop(self) -> Event:
        """Take the next event out. Raises IndexError if there is none."""
        front = self._front()
        if front is None:
            raise IndexError("no event is waiting")
        event = front[1]
        if isinstance(event, PresenceChanged):
            self._presence.popitem(last=False)
        elif isinstance(event, EphemeralReceived):
            self._ephemeral.popleft()
        else:
            self._ordered.popleft()
            self.entries -= isinstance(event, Message)
        return event

    def clear(self) -> None:
        """Drop everything."""
        self.entries = 0
        self._ordered.clear()
        self._presence.clear()
        self._ephemeral.clear()

    def cut(self, entries_max: int, bytes_max: int) -> Held | None:
        """Drop the newest entries past `entries_max` or `bytes_max` bytes of bodies, and every gap after the cut.

        At least one entry stays, if there is any. Returns the last number that is still held, None if nothing was
        dropped.
        """
        kept, total, last = 0, 0, None
        for _, event in self._ordered:
            if isinstance(event, Message):
                total += body_bytes(event.body or "")
                if kept and (kept == entries_max or total > bytes_max):
                    break
                kept, last = kept + 1, Held(event.seq, event.id or None)
            elif isinstance(event, Gap):
                last = Held(event.last, None)
        else:
            return None
        assert last is not None  # noqa: S101 - an entry was kept before one was too many
        upto = last.seq
        self._keep_only(lambda waiting: _last_of(waiting) <= upto)
        return last

    def fill(self, bodies: Mapping[int, Body | None]) -> None:
        """Give the entries that wait without a body that of their number."""
        for index, (stamp, event) in enumerate(self._ordered):
            if isinstance(event, Message) and event.body is None and event.seq in bodies:
                self._ordered[index] = (stamp, structs.replace(event, body=bodies[event.seq]))

    def _front(self) -> tuple[int, Event] | None:
        fronts: list[tuple[int, Event]] = []
        if self._ordered:
            fronts.append(self._ordered[0])
        if self._ephemeral:
            fronts.append(self._ephemeral[0])
        if self._presence:
            fronts.append(next(iter(self._presence.values())))
        if len(fronts) > 1:
            return min(fronts, key=_stamp_of)
        return fronts[0] if fronts else None

    def _push_gap(self, gap: Gap) -> None:
        if self._ordered:
            stamp, last = self._ordered[-1]
            if isinstance(last, Gap) and last.last + 1 == gap.first and last.reason == gap.reason:
                self._ordered[-1] = (stamp, structs.replace(last, last=gap.last))
                return
        self._ordered.append((self._stamp, gap))

    def _push_disconnected(self, event: Disconnected) -> None:
        if self._ordered and isinstance(self._ordered[-1][1], Disconnected):
            self._ordered.pop()
        elif self._last_two() == (Disconnected, Connected):
            self._ordered.pop()
            self._ordered.pop()
        self._ordered.append((self._stamp, event))

    def _last_two(self) -> tuple[type[Event], ...]:
        return tuple(type(self._ordered[index][1]) for index in (-2, -1)) if len(self._ordered) > 1 else ()

    def _push_presence(self, event: PresenceChanged) -> None:
        key = (event.user, event.terminal)
        if event.terminal is None:
            for older in [other for other in self._presence if other[0] == event.user]:
                del self._presence[older]
        stamp = self._presence[key][0] if key in self._presence else self._stamp
        self._presence[key] = (stamp, event)
        if len(self._presence) > PRESENCE_WAITING_MAX:
            self._presence.popitem(last=False)

    def _keep_only(self, wanted: Callable[[Event], bool]) -> None:
        """Drop what is not wanted, and join what then stands side by side."""
        waiting, self._ordered = self._ordered, deque()
        self.entries = 0
        stamp_now = self._stamp
        for stamp, event in waiting:
            if not wanted(event):
                continue
            self._stamp = stamp
            if isinstance(event, Disconnected):
                self._push_disconnected(event)
            else:
                self._ordered.append((stamp, event))
                self.entries += isinstance(event, Message)
        self._stamp = stamp_now


def _stamp_of(stamped: tuple[int, Event]) -> int:
    return stamped[0]


def _last_of(event: Event) -> int:
    """The last number an event covers; 0 if it is no entry."""
    if isinstance(event, Message):
        return event.seq
    return event.last if isinstance(event, Gap) else 0
