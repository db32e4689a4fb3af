"""Whatever a right broker does passes the oracle, in any order that an observer can see it; what a wrong one does not.

A plan is a list of steps for `Ideal`, most of them taken while others are under way. `DEFECTS` are brokers with one
fault each: some plan must show it.
"""

import msgspec
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from client.ideal import Device, Ideal, Line
from roost.oracle import Acknowledged, AnyEvent, Connected, Delivered, History, Sent, judge

DEVICES = ("alice/phone", "alice/pc", "alice/pc-2", "bob/phone", "bob/pc", "carol/pc", "carol/pc-2")
USERS = ("alice", "bob", "carol")
STEPS = (
    "log in", "come back", *["send"] * 6, "send again", *["serve"] * 8, *["pump"] * 5, *["read"] * 5, "hang up",
    "trim", "member", "block", "go on", "go on", "restart",
)  # fmt: skip
Plan = list[tuple[str, int, int]]
"""For each step: what, the number of the device, and a number that means something else for each step."""


def able(run: Ideal, step: str) -> list[Device]:
    """The devices for which the step does something now."""
    return [
        device
        for device in run.devices.values()
        if {
            "log in": device.line is None,
            "come back": device.line is None and device.may_resume,
            "send": device.line is not None,
            "send again": device.line is not None and bool(device.sent),
            "serve": device.line is not None and bool(device.line.up),
            "pump": device.line is not None and device.line.open,
            "read": device.line is not None and bool(device.line.down),
            "hang up": device.line is not None,
        }.get(step, True)
    ]


def perform(run: Ideal, step: str, which: int, choice: int) -> None:
    """One step of a plan, by one of the devices that can do it; if there is none, nothing happens."""
    devices = able(run, step)
    if not devices:
        return
    device = devices[which % len(devices)]
    name, user, other = device.name, device.user, USERS[choice % 3]
    match step:
        case "log in":
            run.log_in(name, newest=choice if choice % 4 == 0 else None)
        case "come back":
            run.log_in(name, resume=True)
        case "send":
            run.send(name, f"user/{other}" if choice < 6 else "group/team", f"text {choice % 2}")
        case "send again":
            first = device.sent[-1 - choice % len(device.sent)]
            run.send(name, first.to, first.content + "!" * (choice > 7), first.n)
        case "serve":
            run.serve(name)
        case "pump":
            run.pump(name, most=choice)
        case "read":
            for _ in range(choice):
                run.read(name)
        case "hang up":
            run.hang_up(name)
        case "trim":
            run.trim(user, keep=choice)
        case "member":
            run.change_member("team", user, choice > 2)
        case "block" if other != user:
            run.change_block(user, other, choice > 6)
        case "go on":
            run.go_on()
        case "restart" if choice > 6:
            run.restart()


def played(plan: Plan, broker: type[Ideal] = Ideal) -> list[AnyEvent]:
    run = broker()
    run.enroll(*DEVICES)
    for user in USERS[:2]:
        run.change_member("team", user, True)
    run.online(*DEVICES[:5])
    run.say("bob/phone", "user/alice", "hello")
    for step in plan:
        perform(run, *step)
    run.all_catch_up()
    return run.seen.events


plans = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 6), st.integers(0, 9)), min_size=60, max_size=250)


def broken(events: list[AnyEvent], trims_known: bool = True) -> set[str]:
    return {violation.promise for violation in judge(History(tuple(events), trims_known)).violations}


@given(plans, st.booleans())
def test_what_a_right_broker_shows_passes(plan: Plan, trims_known: bool) -> None:
    assert judge(History(tuple(played(plan)), trims_known)).violations == ()


@given(plans, st.data())
def test_a_delivery_dropped_doubled_or_out_of_turn_is_found(plan: Plan, data: st.DataObject) -> None:
    events = played(plan)
    delivered = [index for index, event in enumerate(events) if isinstance(event, Delivered)]
    index = data.draw(st.sampled_from(delivered))
    event = events[index]
    assert isinstance(event, Delivered)
    device = event.device
    following = [
        at for at, later in enumerate(events) if at > index and isinstance(later, Delivered) and later.device == device
    ]
    assert broken(events[:index] + events[index + 1 :]), "dropped"
    assert broken([*events[:index], event, *events[index:]]), "doubled"
    if following:
        events[index], events[following[0]] = events[following[0]], event
        assert broken(events), "swapped"


# --- what a wrong broker does is found ----------------------------------------------------------------------------


class LeavesOneMemberOut(Ideal):
    """Of a group, only one member gets the message beside its sender."""

    def members(self, group: str) -> set[str]:
        return set(sorted(super().members(group))[:1])


class ForgetsOutcomes(Ideal):
    """A retransmission is stored again."""

    def outcome(self, line: Line, sent: Sent) -> Acknowledged:
        self.outcomes.clear()
        return super().outcome(line, sent)


class TakesOtherContentForTheSame(Ideal):
    """The same count with other content gets the outcome of the first."""

    def outcome(self, line: Line, sent: Sent) -> Acknowledged:
        first = self.outcomes.get((sent.device, sent.n))
        return msgspec.structs.replace(first, retransmission=True) if first else super().outcome(line, sent)


class LosesWhatItAcknowledged(Ideal):
    """Every third commit fails after it was acknowledged."""

    def decide(self, line: Line, sent: Sent) -> Acknowledged:
        answer = super().decide(line, sent)
        if self.commits % 3 == 0:
            for inbox in self.inboxes.values():
                inbox[:] = [entry for entry in inbox if entry.id != answer.id]
        return answer


class IgnoresBlocks(Ideal):
    """A blocked sender's message is stored all the same."""

    def decide(self, line: Line, sent: Sent) -> Acknowledged:
        self.flags = {key: value for key, value in self.flags.items() if key[0] != "block"}
        return super().decide(line, sent)


class StoresWhatItRefuses(Ideal):
    """Every third message is stored, and its sender told that it was not."""

    def decide(self, line: Line, sent: Sent) -> Acknowledged:
        answer = super().decide(line, sent)
        return answer if self.commits % 3 else Acknowledged(sent.device, sent.n, "blocked")


class PushesLiveBeforeTheBacklog(Ideal):
    """A new message goes out first, and what came before it never."""

    def decide(self, line: Line, sent: Sent) -> Acknowledged:
        answer = super().decide(line, sent)
        for device in self.devices.values():
            if device.line is not None and device.line.open:
                device.line.position = max(device.line.position, len(self.inboxes[device.user]) - 1)
        return answer


class SkipsInSilence(Ideal):
    """What was trimmed is passed over, and no gap is said."""

    def pump(self, name: str, most: int = 1000) -> None:
        device = self.devices[name]
        if device.line is not None and device.line.open:
            device.line.position = max(device.line.position, self.floors[device.user] - 1)
        super().pump(name, most)


class GapsOverTheFloor(Ideal):
    """A gap takes one number too many."""

    def pump(self, name: str, most: int = 1000) -> None:
        device = self.devices[name]
        floor = self.floors[device.user]
        self.floors[device.user] = min(floor + 1, len(self.inboxes[device.user]) + 1) if floor > 1 else 1
        super().pump(name, most)
        self.floors[device.user] = floor


class StartsOneTooEarly(Ideal):
    """The last number the device has comes again."""

    def admit(self, device: Device, line: Line, resume: bool) -> None:
        super().admit(device, line, resume)
        line.position = max(0, line.position - 1)


class LetsTheKickedKickBack(Ideal):
    """An automatic reconnect takes over like a log-in by a person."""

    def admit(self, device: Device, line: Line, resume: bool) -> None:
        super().admit(device, line, resume=False)
        if resume and isinstance(line.down[-1], Connected):
            line.down[-1] = msgspec.structs.replace(line.down[-1], resumed=True)


class NeverFences(Ideal):
    """The session that was taken over goes on."""

    def admit(self, device: Device, line: Line, resume: bool) -> None:
        lines = [other.line for other in self.devices.values() if other.line is not None and other.line.open]
        super().admit(device, line, resume)
        for other in lines:
            if not other.open:
                other.open = True
                other.down.pop()


DEFECTS = {
    LeavesOneMemberOut: "G1",
    ForgetsOutcomes: "G5",
    TakesOtherContentForTheSame: "G5",
    LosesWhatItAcknowledged: "G1",
    IgnoresBlocks: "G2",
    StoresWhatItRefuses: "G2",
    PushesLiveBeforeTheBacklog: "G4",
    SkipsInSilence: "G7",
    GapsOverTheFloor: "G7",
    StartsOneTooEarly: "G4",
    LetsTheKickedKickBack: "G6",
    NeverFences: "G6",
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found(defect: type[Ideal]) -> None:
    search = settings(max_examples=2_000, phases=[Phase.generate], derandomize=True, database=None)
    find(plans, lambda plan: DEFECTS[defect] in broken(played(plan, defect)), settings=search)
