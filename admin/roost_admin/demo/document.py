"""What came of the demo, as one document: what each device holds by its own journal, and the verdict."""

from functools import cached_property

from msgspec import Struct

from roost.oracle import Verdict, judge
from roost_admin.demo.journal import Gap, Journal, Kick
from roost_admin.demo.observer import Observer
from roost_admin.demo.reports import Device


class HeldEntry(Struct, frozen=True, kw_only=True):
    """A message that a device holds. `direction` is `sent` or `received`, as its user sees it."""

    seq: int
    id: str
    sender: str
    direction: str


class GapTold(Struct, frozen=True, kw_only=True):
    """Numbers that a device was told are lost."""

    first: int
    last: int
    reason: str


class KickTold(Struct, frozen=True, kw_only=True):
    """A device was told that another one took its place: at log-in of that one, or when it came back by itself."""

    by: str
    at_ms: int
    address: str


class DeviceHolds(Struct, frozen=True, kw_only=True):
    """A device at the end."""

    user: str
    terminal: str
    entries: tuple[HeldEntry, ...]
    gaps: tuple[GapTold, ...]
    kicks: tuple[KickTold, ...]


class MessageRow(Struct, frozen=True, kw_only=True):
    """A message of the story, in the order of commit."""

    id: str
    sender: str
    to: str
    body: str


class Retransmission(Struct, frozen=True, kw_only=True):
    """A publish that was repeated, and got the outcome of its first attempt."""

    device: str
    n: int
    seq: int
    id: str


class Document(Struct, frozen=True, kw_only=True, dict=True):
    """The whole. `problems` is what the demo itself found wrong, beside the oracle."""

    passed: bool
    seconds: float
    devices: dict[str, DeviceHolds]
    messages: tuple[MessageRow, ...]
    retransmissions: tuple[Retransmission, ...]
    restarts: int
    problems: tuple[str, ...]
    verdict: Verdict

    def cell(self, device: str, id_: str) -> str:
        """What the table says of a message on a device: its number, `gap`, or `✗` if it lacks; `·` if it is not his."""
        holds = self.devices[device]
        seq, own = self._held[device].get(id_, (None, False))
        if seq is not None:
            return f"→{seq}" if own else str(seq)
        lost = self._seqs_of(holds.user).get(id_)
        if lost is None:
            return "·"
        return "gap" if any(gap.first <= lost <= gap.last for gap in holds.gaps) else "✗"

    @cached_property
    def _held(self) -> dict[str, dict[str, tuple[int, bool]]]:
        return {
            name: {entry.id: (entry.seq, entry.direction == "sent") for entry in holds.entries}
            for name, holds in self.devices.items()
        }

    def _seqs_of(self, user: str) -> dict[str, int]:
        """The number of each message in a user's inbox, as any of his devices knows it."""
        return {entry.id: entry.seq for holds in self.devices.values() if holds.user == user for entry in holds.entries}


def make_document(
    devices: tuple[Device, ...],
    journals: dict[str, Journal],
    observer: Observer,
    *,
    seconds: float,
    restarts: int,
    problems: tuple[str, ...],
) -> Document:
    """Put the document together, and let the oracle judge. `problems` are those that were met on the way."""
    verdict = judge(observer.history())
    problems = (*problems, *_problems(devices, journals, observer))
    rows = {
        entry.id: MessageRow(id=entry.id, sender=entry.sender, to=entry.to, body=entry.body)
        for journal in journals.values()
        for entry in journal.entries.values()
    }
    return Document(
        passed=verdict.passed and not problems,
        seconds=round(seconds, 1),
        devices={device.name: _holds(device, journals[device.name], observer) for device in devices},
        messages=tuple(rows[id_] for id_ in sorted(rows)),
        retransmissions=tuple(
            Retransmission(device=stored.device, n=stored.n, seq=stored.seq, id=stored.id)
            for stored in observer.retransmissions
        ),
        restarts=restarts,
        problems=problems,
        verdict=verdict,
    )


def _holds(device: Device, journal: Journal, observer: Observer) -> DeviceHolds:
    kicks = observer.seen[device.name].kicks
    return DeviceHolds(
        user=device.user,
        terminal=device.terminal,
        entries=tuple(
            HeldEntry(seq=seq, id=entry.id, sender=entry.sender, direction="sent" if entry.own else "received")
            for seq, entry in sorted(journal.entries.items())
        ),
        gaps=tuple(GapTold(first=gap.first, last=gap.last, reason=gap.reason) for gap in journal.gaps),
        kicks=tuple(KickTold(by=kick.by, at_ms=kick.at, address=kick.address) for kick in kicks),
    )


def _problems(devices: tuple[Device, ...], journals: dict[str, Journal], observer: Observer) -> list[str]:
    """Whether the client library handed each application exactly what came over the wire."""
    problems = []
    for device in devices:
        journal, seen = journals[device.name], observer.seen[device.name]
        held = {seq: entry.id for seq, entry in journal.entries.items()}
        if held != seen.delivered:
            differing = sorted(held.items() ^ seen.delivered.items())
            problems.append(f"the journal of {device.name} is not what it was delivered: {differing[:5]}")
        if [Gap(gap.first, gap.last, gap.reason) for gap in seen.gaps] != journal.gaps:
            problems.append(f"{device.name} was told {seen.gaps}, and its application {journal.gaps}")
        told = [Kick(kick.by, kick.at, kick.address, "") for kick in seen.kicks]
        if any(Kick(kick.by, kick.at_ms, kick.address, "") not in told for kick in journal.kicks):
            problems.append(f"{device.name} was kicked by {seen.kicks}, and its application was told {journal.kicks}")
        for stored in observer.stored.values():
            if stored.device == device.name and held.get(stored.seq) != stored.id:
                problems.append(
                    f"{device.name} was told that {stored.id} is stored as {stored.seq}, and does not hold it"
                )
    return problems
