"""A history replayed: devices and what they hold, connections, inboxes, publishes and messages.

Nothing is judged here. `read` goes through the events once; then `_fence` finds for each connection when another
device had taken its place, and `_trace` finds for each message the publishes it can have come from.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from roost.oracle.history import (
    SUCCESS,
    TAKEN_OVER,
    Acked,
    Acknowledged,
    AnyEvent,
    BlockAsked,
    BlockConfirmed,
    BrokerRestarted,
    CaughtUp,
    Connected,
    Delivered,
    Disconnected,
    Enrolled,
    Erased,
    ErasedTold,
    ErasureAsked,
    GapTold,
    History,
    Kicked,
    LoginAsked,
    MembershipAsked,
    MembershipConfirmed,
    Sent,
    StartedOver,
    TrimAsked,
    Trimmed,
    reason_word,
)

UNSETTLED = frozenset(
    {
        TAKEN_OVER, "packet_identifier_in_use", "settled_long_ago", "quota_exceeded", "message_rate_too_high",
        "server_busy", "server_unavailable", "server_shutting_down", "unspecified_error",
    }
)  # fmt: skip
"""Refusals that do not say for good that (device, n) is not stored: it may be already, or may be tried again."""

END = 1 << 62
"""After every event, above every number."""


class Rising:
    """The largest number known as of each moment; moments are noted in order."""

    def __init__(self) -> None:
        self._at: list[int] = []
        self._top: list[int] = []

    def note(self, index: int, number: int) -> None:
        """From this moment on, at least `number`."""
        self._at.append(index)
        self._top.append(max(number, self._top[-1] if self._top else 0))

    def before(self, index: int) -> int:
        """The largest number noted before this moment; 0 if none was."""
        known = bisect_left(self._at, index)
        return self._top[known - 1] if known else 0


class Change(NamedTuple):
    """A membership or a block, asked for or confirmed."""

    at: int
    asked: bool
    value: bool


def value_over(changes: Iterable[Change], start: int, end: int) -> bool | None:
    """The value during the whole of `start` to `end`; None if it may have been the other one for a part of it."""
    value, pending = False, 0
    for change in changes:
        if change.at > end:
            break
        if change.at > start:
            return None
        if change.asked:
            pending += 1
        else:
            value, pending = change.value, max(0, pending - 1)
    return None if pending else value


class Lost(NamedTuple):
    """Numbers a device need not hold: told as a gap or erased, or passed over because it asked for the newest n."""

    first: int
    last: int
    at: int


@dataclass
class Holding:
    """What a device holds: the message at each number, what it need not hold, and its last number."""

    last: int = 0
    ids: dict[int, str] = field(default_factory=dict)
    lost: list[Lost] = field(default_factory=list)

    def rewind(self, position: int) -> None:
        """Go on from `position`, and hold nothing after it."""
        self.last = position
        self.ids = {seq: id_ for seq, id_ in self.ids.items() if seq <= position}
        self.lost = [lost._replace(last=min(lost.last, position)) for lost in self.lost if lost.first <= position]

    def lacks(self, until: int) -> list[int]:
        """The numbers from 1 to `until` that are neither held nor known to be lost."""
        lost = {seq for gap in self.lost for seq in range(gap.first, min(gap.last, until) + 1)}
        return [seq for seq in range(1, until + 1) if seq not in self.ids and seq not in lost]

    def copy(self) -> "Holding":
        """The same, as of now."""
        return Holding(self.last, dict(self.ids), list(self.lost))


@dataclass(eq=False)
class Inbox:
    """What is known of one incarnation of a user's inbox."""

    user: str
    head: Rising = field(default_factory=Rising)
    floor: Rising = field(default_factory=Rising)
    """From `Trimmed`, and from the gaps that devices were told."""
    trims: list[tuple[int, int | None]] = field(default_factory=list)
    """(index, floor), or None for the floor where a trim is only asked for."""
    delivered: dict[int, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    """For each number the ids that were delivered under it, and when first."""
    acknowledged: list[tuple[int, str, int, str]] = field(default_factory=list)
    """(index, device, number, id) for each success told to a device of the user."""

    @cached_property
    def places(self) -> dict[str, set[int]]:
        """The numbers at which each message is known to be. For use when the history has been read."""
        places: dict[str, set[int]] = defaultdict(set)
        for seq, ids in self.delivered.items():
            for id_ in ids:
                places[id_].add(seq)
        for _, _, seq, id_ in self.acknowledged:
            places[id_].add(seq)
        return places

    def floor_allowed(self, index: int) -> int:
        """The highest floor that retention may have reached at this moment."""
        floors = [floor for at, floor in self.trims if at < index]
        if floors and floors[-1] is None:
            floors += [floor for at, floor in self.trims if at > index and floor is not None][:1]
        return max((floor for floor in floors if floor is not None), default=0)


@dataclass(eq=False)
class Connection:
    """From CONNACK to the end of a connection."""

    device: "Device"
    opened: Connected
    at: int
    asked_at: int
    inbox: Inbox
    life: int
    """How often the store had been put back to a backup before."""
    expected: int
    """The number the device held when it asked."""
    wanted: bool
    """A person logged in; where the asking was not seen, if CONNACK did not call it a resumption."""
    kicked: bool
    """The device had been told of a takeover, and no person had logged in since."""
    told: list[tuple[int, Delivered | GapTold | ErasedTold]] = field(default_factory=list)
    closed_at: int | None = None
    fenced_at: int | None = None
    """When another device was seen to be logged in in its place."""

    def fenced(self, index: int) -> bool:
        """Whether another device had certainly taken over before this moment."""
        return self.fenced_at is not None and self.fenced_at < index


@dataclass(eq=False)
class Device:
    """A device as of the moment that the replay has reached."""

    name: str
    user: str
    terminal: str
    inbox: Inbox | None = None
    holding: Holding = field(default_factory=Holding)
    connections: list[Connection] = field(default_factory=list)
    online: Connection | None = None
    asked_at: int | None = None
    wanted: bool = False
    kicked: bool = False
    seen: bool = False
    """It has tried to log in."""
    dropped: tuple[int, Inbox | None] | None = None
    """When it was told to start over, and from which inbox."""


@dataclass(eq=False)
class Publish:
    """One count of one device: each time it was sent, and each answer."""

    device: str
    user: str
    n: int
    sent: list[tuple[int, Sent, Connection | None]] = field(default_factory=list)
    """With the connection, where it is known."""
    answers: list[tuple[int, Acknowledged, Connection | None]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"n={self.n} of {self.device}"

    def words(self, before: int) -> set[tuple[str, str]]:
        """What it may say, from what was sent before this moment: (to, content)."""
        return {(sent.to, sent.content) for index, sent, _ in self.sent if index < before}

    def settled_refusal(self) -> str | None:
        """The reason it was refused for once and for all; None where another content was sent as well."""
        reasons = [reason_word(answer.reason) for _, answer, _ in self.answers]
        settled = [reason for reason in reasons if reason != SUCCESS and reason not in UNSETTLED]
        return settled[0] if settled and len(self.words(before=END)) == 1 else None

    def refusal(self) -> str | None:
        """The reason for which it is certainly not stored; None if it may be."""
        reasons = [reason_word(answer.reason) for _, answer, _ in self.answers]
        if SUCCESS in reasons or not reasons:
            return None
        every_one = len(reasons) >= len(self.sent)
        return self.settled_refusal() or (reasons[-1] if every_one else None)


@dataclass(eq=False)
class Message:
    """One message id: where it was seen, and which publishes it can have come from."""

    id: str
    seen_at: int
    """When first, by an acknowledgement or a delivery."""
    told: list[tuple[int, Delivered, Connection]] = field(default_factory=list)
    keys: set[tuple[str, int]] = field(default_factory=set)
    """The (device, n) by which it was acknowledged or came back to its sender."""
    acknowledged: bool = False
    sources: list[Publish] = field(default_factory=list)
    second_copy: bool = False
    """There are more messages like it than publishes that it can have come from."""
    sent_at: int = 0
    sender: str = ""
    to: str | None = None

    def __str__(self) -> str:
        source = " or ".join(map(str, self.sources)) or f"said to be from {self.sender}"
        return f"message {self.id} ({source}, {'acknowledged' if self.acknowledged else 'not acknowledged'})"

    @property
    def conversation(self) -> tuple[str, ...]:
        """What its order is kept in: the group, or the two users."""
        kind, _, name = (self.to or "").partition("/")
        return tuple(sorted((self.sender, name))) if kind == "user" else (self.to or "",)


class Standing(NamedTuple):
    """A device that had caught up, and what it held then."""

    at: int
    device: Device
    inbox: Inbox
    holding: Holding


class Facts:
    """The history so far. The methods take one event each; `index` is its place in the history."""

    def __init__(self, trims_known: bool) -> None:
        self.trims_known = trims_known
        self.life = 0
        self.devices: dict[str, Device] = {}
        self.terminals: dict[tuple[str, str], list[Connection]] = defaultdict(list)
        self.publishes: dict[tuple[str, int], Publish] = {}
        self.messages: dict[str, Message] = {}
        # For each (device, n) and inbox of its user: the message ids it is known to have got, and when first.
        self.outcomes: dict[tuple[str, int, Inbox], dict[str, int]] = defaultdict(dict)
        self.members: dict[tuple[str, str], list[Change]] = defaultdict(list)
        self.blocks: dict[tuple[str, str], list[Change]] = defaultdict(list)
        self.standings: list[Standing] = []
        self.kicks: list[tuple[int, Kicked]] = []
        self.strays: list[
            tuple[int, Delivered | GapTold | ErasedTold | Acknowledged]
        ] = []  # told to a device not connected
        self.needless: list[tuple[int, Device]] = []  # told to start over, in the inbox it had
        self.reborn = Rising()  # the moments from which an inbox, or all, are others than before
        self.erasing: dict[str, int] = {}  # users whose messages may be erased, from which moment on
        self.erased: dict[str, int] = {}  # and those whose messages are
        self.inboxes: dict[tuple[str, str, int], Inbox] = {}  # by user, incarnation, life
        self._current: dict[str, Inbox] = {}

    @property
    def connections(self) -> Iterator[Connection]:
        """Those of every device."""
        return (connection for device in self.devices.values() for connection in device.connections)

    def device(self, index: int, name: str) -> Device:
        """The device of this name; ValueError if there is none."""
        if name not in self.devices:
            raise ValueError(f"event {index} is about the device {name!r}, which was not enrolled before")
        return self.devices[name]

    def takes_part(self, message: Message, user: str) -> bool | None:
        """Whether the message is for this user; None if that cannot be told."""
        if user == message.sender:
            return True
        if message.to is None:
            return None
        kind, _, name = message.to.partition("/")
        if kind == "user":
            return user == name
        return value_over(self.members[name, user], message.sent_at, message.seen_at)

    def ask(self, index: int, event: LoginAsked) -> None:
        """A log-in by a person makes up for a kick; a reconnect does not."""
        device = self.device(index, event.device)
        device.seen, device.asked_at = True, index
        if not event.resume:
            device.wanted, device.kicked = True, False

    def connect(self, index: int, event: Connected) -> None:
        """A connection begins, in the inbox that CONNACK names."""
        device = self.device(index, event.device)
        wanted = device.wanted or (device.asked_at is None and not event.resumed)
        device.kicked = device.kicked and not wanted
        inbox = self._inbox_named(index, device.user, event.incarnation)
        if device.dropped and device.dropped[1] is inbox:
            self.needless.append((device.dropped[0], device))
        holding = device.holding
        connection = Connection(
            device=device,
            opened=event,
            at=index,
            asked_at=index if device.asked_at is None else device.asked_at,
            inbox=inbox,
            life=self.life,
            expected=holding.last if event.asked is None else min(holding.last, event.asked),
            wanted=wanted,
            kicked=device.kicked,
        )
        self.close(index, device)
        if event.asked is None and event.position > holding.last:
            holding.lost.append(Lost(holding.last + 1, event.position, index))
        holding.rewind(event.position)
        inbox.head.note(index, event.head)
        device.inbox, device.online, device.seen = inbox, connection, True
        device.dropped, device.wanted = None, False
        device.connections.append(connection)
        self.terminals[device.user, device.terminal].append(connection)

    def close(self, index: int, device: Device) -> None:
        """The device has no connection any more."""
        if device.online:
            device.online.closed_at = index
        device.online, device.asked_at = None, None

    def kick(self, index: int, event: Kicked) -> None:
        """Being told ends the connection, if there is one."""
        device = self.device(index, event.device)
        device.kicked = device.kicked or reason_word(event.reason) == TAKEN_OVER
        self.close(index, device)
        self.kicks.append((index, event))

    def send(self, index: int, event: Sent) -> None:
        """A transmission belongs to the newest connection of its device; to none yet if CONNACK is awaited."""
        device = self.device(index, event.device)
        connection = device.online
        if connection is None and device.asked_at is None and device.connections:
            connection = device.connections[-1]
        self._publish(device, event.n).sent.append((index, event, connection))

    def acknowledge(self, index: int, event: Acknowledged) -> None:
        """An answer; a success also says what is in the sender's inbox."""
        device = self.device(index, event.device)
        if device.online is None:
            self.strays.append((index, event))
        self._publish(device, event.n).answers.append((index, event, device.online))
        if reason_word(event.reason) == SUCCESS and event.id and event.seq and device.inbox:
            device.inbox.acknowledged.append((index, device.name, event.seq, event.id))
            device.inbox.head.note(index, event.seq)
            message = self.messages.setdefault(event.id, Message(event.id, index))
            message.acknowledged = True
            self._know(index, message, (device.name, event.n), device.inbox)

    def tell(self, index: int, event: Delivered | GapTold | ErasedTold) -> None:
        """The next number, or the next gap, on a connection."""
        device = self.device(index, event.device)
        if device.online is None or device.inbox is None:
            self.strays.append((index, event))
            return
        device.online.told.append((index, event))
        if isinstance(event, GapTold):
            device.holding.last = event.last
            device.holding.lost.append(Lost(event.first, event.last, index))
            device.inbox.floor.note(index, event.last + 1)
            return
        device.holding.last = event.seq
        device.inbox.head.note(index, event.seq)
        if isinstance(event, ErasedTold):
            device.holding.lost.append(Lost(event.seq, event.seq, index))
            return
        device.holding.ids[event.seq] = event.id
        device.inbox.delivered[event.seq].setdefault(event.id, index)
        message = self.messages.setdefault(event.id, Message(event.id, index))
        message.told.append((index, event, device.online))
        if event.own_device is not None and event.n is not None:
            self._know(index, message, (event.own_device, event.n), device.inbox)

    def start_over(self, index: int, event: StartedOver) -> None:
        """The device drops everything."""
        device = self.device(index, event.device)
        device.dropped = (index, device.inbox) if device.holding.last else None
        device.holding.rewind(0)

    def catch_up(self, index: int, event: CaughtUp) -> None:
        """What the device holds now is to be judged."""
        device = self.device(index, event.device)
        inbox = device.inbox or self._inbox_of(device.user)
        self.standings.append(Standing(index, device, inbox, device.holding.copy()))

    def trim(self, index: int, user: str, floor: int | None) -> None:
        """The floor has moved, or may be moving (None)."""
        inbox = self._inbox_of(user)
        inbox.trims.append((index, floor))
        if floor is not None:
            inbox.floor.note(index, floor)

    def restart(self, index: int, event: BrokerRestarted) -> None:
        """With the store put back, all inboxes are others, though trims of before may be in them, and kicks may not."""
        if event.restored:
            self.life += 1
            self.reborn.note(index, index)
            self._current = {user: Inbox(user, trims=list(old.trims)) for user, old in self._current.items()}
            for device in self.devices.values():
                device.kicked = False

    def _inbox_of(self, user: str) -> Inbox:
        return self._current.setdefault(user, Inbox(user))

    def _inbox_named(self, index: int, user: str, incarnation: str) -> Inbox:
        key = (user, incarnation, self.life)
        if key not in self.inboxes:
            if self._inbox_of(user) in self.inboxes.values():
                self._current[user] = Inbox(user)
                self.reborn.note(index, index)
            self.inboxes[key] = self._current[user]
        return self.inboxes[key]

    def _publish(self, device: Device, n: int) -> Publish:
        return self.publishes.setdefault((device.name, n), Publish(device.name, device.user, n))

    def _know(self, index: int, message: Message, key: tuple[str, int], inbox: Inbox) -> None:
        message.keys.add(key)
        self.outcomes[(*key, inbox)].setdefault(message.id, index)


def read(history: History) -> Facts:
    """Replay the history. Raises ValueError if it speaks of a device that was not enrolled."""
    facts = Facts(history.trims_known)
    for index, event in enumerate(history.events):
        _take(facts, index, event)
    _fence(facts)
    _trace(facts)
    return facts


def _take(facts: Facts, index: int, event: AnyEvent) -> None:  # noqa: PLR0912 - one branch for each kind of event
    match event:
        case Enrolled(name, user, terminal):
            facts.devices[name] = Device(name, user, terminal)
        case LoginAsked():
            facts.ask(index, event)
        case Connected():
            facts.connect(index, event)
        case Disconnected(name):
            facts.close(index, facts.device(index, name))
        case Kicked():
            facts.kick(index, event)
        case Sent():
            facts.send(index, event)
        case Acknowledged():
            facts.acknowledge(index, event)
        case Delivered() | GapTold() | ErasedTold():
            facts.tell(index, event)
        case ErasureAsked(user):
            facts.erasing.setdefault(user, index)
        case Erased(user):
            facts.erased.setdefault(user, index)
        case StartedOver():
            facts.start_over(index, event)
        case CaughtUp():
            facts.catch_up(index, event)
        case TrimAsked(user):
            facts.trim(index, user, None)
        case Trimmed(user, floor):
            facts.trim(index, user, floor)
        case MembershipAsked(group, user, value) | MembershipConfirmed(group, user, value):
            facts.members[group, user].append(Change(index, isinstance(event, MembershipAsked), value))
        case BlockAsked(user, other, value) | BlockConfirmed(user, other, value):
            facts.blocks[user, other].append(Change(index, isinstance(event, BlockAsked), value))
        case BrokerRestarted():
            facts.restart(index, event)
        case Acked():
            pass  # what a device says it has is its own word, not the broker's


def rivals(connection: Connection, on_terminal: Iterable[Connection]) -> Iterator[Connection]:
    """The connections of other devices on the same terminal type, in the same life of the store."""
    return (other for other in on_terminal if other.device is not connection.device and other.life == connection.life)


def _fence(facts: Facts) -> None:
    """A later epoch of another device fences a connection, at the latest when it is seen."""
    for on_terminal in facts.terminals.values():
        for connection in on_terminal:
            later = (r.at for r in rivals(connection, on_terminal) if r.opened.epoch > connection.opened.epoch)
            connection.fenced_at = min(later, default=None)


def _trace(facts: Facts) -> None:
    """Find where each message came from: by (device, n) where that is known, else by what it says."""
    known = {key for message in facts.messages.values() for key in message.keys}
    saying: dict[tuple[str, str, str | None], list[Publish]] = defaultdict(list)
    for publish in facts.publishes.values():
        for to, content in sorted(publish.words(before=END)):
            saying[publish.user, to, content].append(publish)
    copies: dict[tuple[str, str, str | None], int] = defaultdict(int)
    for message in facts.messages.values():
        if message.keys:
            keyed = (facts.publishes.get(key) for key in sorted(message.keys))
            message.sources = [publish for publish in keyed if publish and publish.sent]
        else:
            first = next((event for _, event, _ in message.told if event.content), message.told[0][1])
            words = (first.sender, first.to, first.content)
            possible = [publish for publish in saying[words] if publish.refusal() is None]
            free = [publish for publish in possible if (publish.device, publish.n) not in known]
            copies[words] += 1
            message.sources = free or possible
            message.second_copy = bool(possible) and copies[words] > len(free)
        _describe(message)


def _describe(message: Message) -> None:
    words = {words for publish in message.sources for words in publish.words(before=message.seen_at)}
    recipients = {to for to, _ in words} or {event.to for _, event, _ in message.told}
    message.to = recipients.pop() if len(recipients) == 1 else None
    message.sender = message.sources[0].user if message.sources else ""
    message.sent_at = min((publish.sent[0][0] for publish in message.sources), default=message.seen_at)
    if message.told:
        message.sender = message.sender or message.told[0][1].sender
        message.to = message.to or message.told[0][1].to
