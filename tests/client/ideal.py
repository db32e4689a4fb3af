"""A tiny broker that keeps every promise, and makes histories for the oracle.

Its devices' wires lag both ways, and what is asked for happens later and is confirmed later still, so that the
histories have the races of real ones. One step at a time: what arrives when is up to the caller.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from roost.oracle import (
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
    GapTold,
    History,
    Kicked,
    LoginAsked,
    MembershipAsked,
    MembershipConfirmed,
    Recorder,
    Sent,
    TrimAsked,
    Trimmed,
)

TAKEN_OVER = "session taken over"


@dataclass
class Line:
    """One connection: what is on its way up and down, and the session at the broker's end."""

    up: deque[LoginAsked | Sent] = field(default_factory=deque)
    down: deque[AnyEvent] = field(default_factory=deque)
    position: int = 0
    open: bool = False
    published: set[int] = field(default_factory=set)


@dataclass
class Device:
    """A device: what it would keep in its state file, and its line."""

    name: str
    user: str
    terminal: str
    last: int = 0
    sent: list[Sent] = field(default_factory=list)
    may_resume: bool = False
    newest: int | None = None
    line: Line | None = None


@dataclass
class Entry:
    id: str
    source: Sent


class Ideal:
    """The broker, its devices, and the observer."""

    def __init__(self) -> None:
        self.seen = Recorder(trims_known=True)
        self.devices: dict[str, Device] = {}
        self.inboxes: dict[str, list[Entry]] = {}
        self.floors: dict[str, int] = {}
        self.owners: dict[tuple[str, str], str] = {}
        self.epoch = 0
        self.commits = 0
        self.outcomes: dict[tuple[str, int], Acknowledged] = {}
        self.decided: dict[tuple[str, int], Sent] = {}
        self.flags: dict[tuple[str, ...], bool] = {}  # ("member", group, user) or ("block", user, other)
        self.changes: dict[tuple[str, ...], tuple[AnyEvent, Callable[[], None] | None]] = {}
        """Under way: how each will be confirmed, and what is still to be done before."""

    def enroll(self, *names: str) -> None:
        for name in names:
            user, _, device = name.partition("/")
            self.devices[name] = Device(name, user, device.partition("-")[0])
            self.inboxes.setdefault(user, [])
            self.floors.setdefault(user, 1)
            self.seen.record(Enrolled(name, user, device.partition("-")[0]))

    # What devices do.

    def log_in(self, name: str, resume: bool = False, newest: int | None = None) -> None:
        device = self.devices[name]
        if device.line is None:
            device.line = Line()
            device.newest = newest if device.last == 0 else None
            ask = LoginAsked(name, resume=resume and device.may_resume)
            self.seen.record(ask)
            device.line.up.append(ask)

    def send(self, name: str, to: str, content: str, n: int | None = None) -> None:
        device = self.devices[name]
        if device.line is not None:
            publish = Sent(name, n or len(device.sent) + 1, to, content)
            if n is None:
                device.sent.append(publish)
            self.seen.record(publish)
            device.line.up.append(publish)

    def read(self, name: str) -> bool:
        """The device takes in what came; False if there was nothing."""
        device = self.devices[name]
        if device.line is None or not device.line.down:
            return False
        event = device.line.down.popleft()
        self.seen.record(event)
        match event:
            case Connected(position=position):
                device.last, device.may_resume = position, True
            case Delivered(seq=seq) | GapTold(last=seq):
                device.last = seq
            case Kicked():
                device.line, device.may_resume = None, False
        return True

    def hang_up(self, name: str) -> None:
        device = self.devices[name]
        if device.line is not None:
            device.line = None
            self.seen.record(Disconnected(name))

    # What the broker does.

    def serve(self, name: str) -> None:
        line = self.devices[name].line
        if line is not None and line.up:
            event = line.up.popleft()
            if isinstance(event, LoginAsked):
                self.admit(self.devices[name], line, event.resume)
            elif line.open:
                line.down.append(self.outcome(line, event))

    def pump(self, name: str, most: int = 1000) -> None:
        device = self.devices[name]
        line, inbox = device.line, self.inboxes[device.user]
        if line is None or not line.open:
            return
        floor = self.floors[device.user]
        if line.position + 1 < floor:
            line.down.append(GapTold(name, line.position + 1, floor - 1, "count"))
            line.position = floor - 1
        for entry in inbox[line.position : line.position + most]:
            line.position += 1
            line.down.append(self.delivery(device, line, entry))

    def trim(self, user: str, keep: int) -> None:
        floor = max(self.floors[user], len(self.inboxes[user]) + 1 - keep)
        self._begin(("trim", user), TrimAsked(user), Trimmed(user, floor), lambda: self.floors.update({user: floor}))

    def change_member(self, group: str, user: str, value: bool) -> None:
        asked, confirmed = MembershipAsked(group, user, value), MembershipConfirmed(group, user, value)
        what = ("member", group, user)
        self._begin(what, asked, confirmed, lambda: self.flags.update({what: value}))

    def change_block(self, user: str, other: str, value: bool) -> None:
        asked, confirmed = BlockAsked(user, other, value), BlockConfirmed(user, other, value)
        what = ("block", user, other)
        self._begin(what, asked, confirmed, lambda: self.flags.update({what: value}))

    def _begin(self, what: tuple[str, ...], asked: AnyEvent, confirmed: AnyEvent, happen: Callable[[], None]) -> None:
        if what not in self.changes:
            self.seen.record(asked)
            self.changes[what] = (confirmed, happen)

    def go_on(self) -> None:
        """The oldest change under way goes one step further: it happens, or is confirmed."""
        for what in list(self.changes)[:1]:
            confirmed, happen = self.changes.pop(what)
            if happen is None:
                self.seen.record(confirmed)
            else:
                happen()
                self.changes[what] = (confirmed, None)

    def restart(self) -> None:
        self.seen.record(BrokerRestarted())
        for name in self.devices:
            self.hang_up(name)

    def admit(self, device: Device, line: Line, resume: bool) -> None:
        terminal = (device.user, device.terminal)
        owner = self.owners.get(terminal, device.name)
        if resume and owner != device.name:
            line.down.append(Kicked(device.name, owner, TAKEN_OVER))
            return
        old = self.devices[owner].line
        if owner != device.name and old is not None and old.open:
            old.open = False
            old.down.append(Kicked(owner, device.name, TAKEN_OVER))
        self.owners[terminal] = device.name
        self.epoch += 1
        head = len(self.inboxes[device.user])
        asked = device.last if device.newest is None else None
        line.position = device.last if device.newest is None else max(0, head - device.newest)
        line.open = True
        line.down.append(Connected(device.name, self.epoch, line.position, head, "first", resume, asked))

    def outcome(self, line: Line, sent: Sent) -> Acknowledged:
        first = self.outcomes.get((sent.device, sent.n))
        if first is not None and sent != self.decided[sent.device, sent.n]:
            return Acknowledged(sent.device, sent.n, "PACKET_IDENTIFIER_IN_USE")
        if first is None:
            self.decided[sent.device, sent.n] = sent
            first = self.outcomes[sent.device, sent.n] = self.decide(line, sent)
            return first
        return msgspec.structs.replace(first, retransmission=True)

    def decide(self, line: Line, sent: Sent) -> Acknowledged:
        user = self.devices[sent.device].user
        kind, _, to = sent.to.partition("/")
        if kind == "user" and self.flags.get(("block", to, user)):
            return Acknowledged(sent.device, sent.n, "blocked")
        if kind == "group" and not self.flags.get(("member", to, user)):
            return Acknowledged(sent.device, sent.n, "not a member")
        recipients = self.members(to) if kind == "group" else {to}
        self.commits += 1
        line.published.add(sent.n)
        for inbox in {user, *recipients}:
            self.inboxes[inbox].append(Entry(f"{self.commits:016x}", sent))
        return Acknowledged(sent.device, sent.n, "success", len(self.inboxes[user]), f"{self.commits:016x}")

    def members(self, group: str) -> set[str]:
        return {
            user for (kind, name, user), is_set in self.flags.items() if (kind, name) == ("member", group) and is_set
        }

    def delivery(self, device: Device, line: Line, entry: Entry) -> Delivered:
        sent = entry.source
        sender = self.devices[sent.device].user
        own = sender == device.user
        here = sent.device == device.name and sent.n in line.published
        return Delivered(
            device.name,
            line.position,
            entry.id,
            sender,
            sent.to,
            None if here else sent.content,
            sent.device if own else None,
            sent.n if own else None,
        )

    # Several steps at once.

    def online(self, *names: str, resume: bool = False) -> None:
        for name in names:
            self.log_in(name, resume)
            self.settle()

    def say(self, name: str, to: str, content: str) -> None:
        self.send(name, to, content)
        self.settle()

    def settle(self) -> None:
        """Everything that is on its way arrives."""
        while self.changes:
            self.go_on()
        for _ in range(2):  # a publish reaches the sender's wire first, then the others'
            for name, device in self.devices.items():
                while device.line is not None and device.line.up:
                    self.serve(name)
            for name in self.devices:
                self.pump(name)
                while self.read(name):
                    pass

    def all_catch_up(self) -> None:
        for name in self.devices:
            self.hang_up(name)
        for name in self.devices:
            self.online(name)
            self.seen.record(CaughtUp(name))
            self.hang_up(name)


# --- a right history --------------------------------------------------------------------


def right_history() -> History:
    """Two users with a group and a third outside it; a takeover, a retransmission, a gap, a restart, a refusal."""
    run = Ideal()
    run.enroll("alice/phone", "alice/pc", "alice/pc-2", "bob/phone", "bob/pc", "carol/phone")
    run.change_member("team", "alice", True)
    run.change_member("team", "bob", True)
    run.change_block("bob", "carol", True)
    run.online("alice/phone", "alice/pc", "bob/phone", "carol/phone")
    run.say("alice/phone", "user/bob", "hello")  # alice 1, bob 1
    run.say("bob/phone", "user/alice", "hello yourself")  # alice 2, bob 2
    run.say("alice/pc", "group/team", "is anybody there?")  # alice 3, bob 3
    run.say("carol/phone", "user/bob", "let me in")  # blocked
    run.log_in("alice/pc-2")  # takes over from alice/pc
    run.settle()
    run.say("alice/pc-2", "user/alice", "note to myself")  # alice 4
    run.send("bob/phone", "user/alice", "lost answer")  # alice 5, bob 4
    run.serve("bob/phone")
    run.hang_up("bob/phone")
    run.online("bob/phone", resume=True)
    run.send("bob/phone", "user/alice", "lost answer", n=2)
    run.settle()
    run.trim("bob", keep=2)  # bob's floor is 3
    run.settle()
    run.online("bob/pc")  # is told that 1 and 2 are lost
    run.restart()
    run.online("alice/phone", "alice/pc-2", "bob/phone", "bob/pc", resume=True)
    run.send("alice/phone", "group/team", "in doubt")  # alice 6, bob 5
    run.serve("alice/phone")
    run.hang_up("alice/phone")
    run.settle()
    run.say("bob/pc", "user/alice", "the last word")  # alice 7, bob 6
    run.seen.record(Acked("bob/pc", 6))
    run.all_catch_up()
    return run.seen.history()
