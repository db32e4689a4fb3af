"""The one who sees it all: turns the reports of the devices into a history for the oracle, and waits for things.

Nothing here comes from the broker's own account of itself: only what devices said and were told, plus what whoever
runs the demo did himself (restarts, memberships, the floor he read in the listing of users).
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO

import trio

from roost.oracle import (
    Acked,
    Acknowledged,
    AnyEvent,
    CaughtUp,
    Connected,
    Delivered,
    Disconnected,
    Enrolled,
    GapTold,
    History,
    Kicked,
    LoginAsked,
    Recorder,
    Sent,
    StartedOver,
)
from roost_admin.demo.reports import AnyReport, Device, HasCaughtUp, LineLost, Said, decode_report
from roost_protocol import frames
from roost_protocol.frames import Frame
from roost_protocol.reasons import Reason

WAIT_S = 20.0
"""Seconds that any one thing may take; on an idle machine the slowest takes one."""

READ_BYTES = 65_536

OVER = (Reason.SESSION_TAKEN_OVER, Reason.ADMINISTRATIVE_ACTION, Reason.LOGGED_OUT)


class DemoFailed(Exception):
    """Something that should have happened did not; the message says what."""


@dataclass
class Seen:
    """What is known of one device from its reports."""

    online: bool = False
    asked: frames.Connect | None = None
    delivered: dict[int, str] = field(default_factory=dict)
    """Message id by number, as they came over the wire."""
    gaps: list[frames.Gap] = field(default_factory=list)
    kicks: list[frames.Origin] = field(default_factory=list)
    caught_up: int = 0
    """How often it was reported."""


@dataclass(frozen=True)
class Stored:
    """A message that was acknowledged: by which device it was published, and as what."""

    device: str
    n: int
    seq: int
    id: str
    to: str
    body: str


class Observer:
    """Reads reports, records the history, and keeps what the story needs to know. `stream` gets the history too."""

    def __init__(self, devices: tuple[Device, ...], stream: TextIO) -> None:
        self._record = Recorder(trims_known=True, stream=stream)
        self.seen = {device.name: Seen() for device in devices}
        self.stored: dict[str, Stored] = {}
        """By body; every body of the story is said once. Told by PUBACK, or by the message's own entry."""
        self.ids: dict[str, set[str]] = defaultdict(set)
        """Message ids by body, of all that was acknowledged or delivered: one for each, if nothing is doubled."""
        self.sent: dict[tuple[str, int], int] = defaultdict(int)
        """How often each (device, n) was sent."""
        self.retransmissions: list[Stored] = []
        """Publishes that the broker answered with the outcome of an earlier attempt."""
        self._bodies: dict[tuple[str, int], tuple[str, str]] = {}
        self._news = trio.lowlevel.ParkingLot()
        for device in devices:
            self.note(Enrolled(device.name, device.user, device.terminal))

    def note(self, event: AnyEvent) -> None:
        """Record something that whoever runs the demo did, or asks for."""
        self._record.record(event)

    def history(self) -> History:
        """Everything so far."""
        return self._record.history()

    async def listen(self, pipe: trio.abc.ReceiveStream) -> None:
        """Take in reports until the pipe ends, or until cancelled."""
        rest = b""
        async for data in pipe:
            *lines, rest = (rest + bytes(data)).split(b"\n")
            for line in lines:
                self.take(decode_report(line))
            self._news.unpark_all()

    async def until(self, happened: Callable[[], bool], what: str) -> None:
        """Wait until something has happened. Raises DemoFailed, naming `what`, if it does not."""
        with trio.move_on_after(WAIT_S):
            while not happened():
                await self._news.park()
            return
        raise DemoFailed(f"waited {WAIT_S:g} s in vain: {what}")

    def killed(self, device: str) -> None:
        """The process of the device was ended from outside, and cannot report any more."""
        self.seen[device].online = False
        self.note(Disconnected(device))

    def took_too_long(self, device: str) -> None:
        """The device had every chance to catch up: it is to be judged for what it lacks."""
        self.note(CaughtUp(device))

    def take(self, report: AnyReport) -> None:
        """Take in one report."""
        seen = self.seen[report.device]
        match report:
            case Said(by="device"):
                self._device_said(report.device, report.decoded())
            case Said():
                self._broker_said(report.device, report.decoded())
            case LineLost(device=device):
                seen.online = False
                self.note(Disconnected(device))
            case HasCaughtUp(device=device):
                seen.caught_up += 1
                self.note(CaughtUp(device))

    def _device_said(self, device: str, frame: Frame) -> None:
        match frame:
            case frames.Connect():
                self.seen[device].asked = frame
                self.note(LoginAsked(device, resume=frame.epoch is not None))
            case frames.Publish(n=n, to=to, text=text):
                self.sent[device, n] += 1
                self._bodies[device, n] = (to, text or "")
                self.note(Sent(device, n, to, text or ""))
            case frames.Ack(seq=seq):
                self.note(Acked(device, seq))
            case _:
                pass  # nothing that a promise is about

    def _broker_said(self, device: str, frame: Frame) -> None:
        match frame:
            case frames.Connack():
                self._answered_login(device, frame)
            case frames.Puback():
                self._answered_publish(device, frame)
            case frames.Deliver():
                self._delivered(device, frame)
            case frames.Gap():
                self.seen[device].gaps.append(frame)
                self.note(GapTold(device, frame.first, frame.last, frame.reason))
            case frames.Disconnect(reason=code, origin=origin) if Reason.of(code) in OVER:
                self._kicked(device, Reason.of(code), origin)
            case _:
                pass  # nothing that a promise is about

    def _answered_login(self, device: str, connack: frames.Connack) -> None:
        seen = self.seen[device]
        reason = Reason.of(connack.reason)
        if reason.failed:
            if reason in OVER:
                self._kicked(device, reason, connack.origin)
            return
        if connack.start_over:
            seen.delivered.clear()
            self.note(StartedOver(device))
        asked = seen.asked
        seen.online = True
        self.note(
            Connected(
                device,
                epoch=connack.epoch,
                position=connack.position,
                head=connack.head,
                incarnation=connack.incarnation or "",
                resumed=connack.resumed,
                asked=None if asked is None or asked.newest is not None else asked.last_seq,
            )
        )

    def _answered_publish(self, device: str, puback: frames.Puback) -> None:
        reason = Reason.of(puback.reason)
        self.note(
            Acknowledged(device, puback.n, reason.phrase, puback.seq, puback.id, retransmission=puback.retransmission)
        )
        if reason.failed or puback.seq is None or puback.id is None:
            return
        stored = self._stored(device, puback.n, puback.seq, puback.id)
        if puback.retransmission:
            self.retransmissions.append(stored)

    def _stored(self, device: str, n: int, seq: int, id_: str) -> Stored:
        to, body = self._bodies.get((device, n), ("", ""))
        stored = self.stored[body] = Stored(device, n, seq, id_, to, body)
        self.ids[body].add(id_)
        return stored

    def _delivered(self, device: str, deliver: frames.Deliver) -> None:
        entry = deliver.entry
        if entry is None:
            raise DemoFailed(f"{device} was told that number {deliver.seq} is erased, and nobody erased anything")
        self.seen[device].delivered[deliver.seq] = entry.id
        if deliver.device == device and deliver.n is not None:
            self._stored(device, deliver.n, deliver.seq, entry.id)
        if entry.text is not None:
            self.ids[entry.text].add(entry.id)
        self.note(
            Delivered(
                device,
                deliver.seq,
                entry.id,
                entry.sender,
                entry.to,
                entry.text,
                own_device=deliver.device,
                n=deliver.n,
            )
        )

    def _kicked(self, device: str, reason: Reason, origin: frames.Origin | None) -> None:
        if origin is not None:
            self.seen[device].kicks.append(origin)
        self.note(Kicked(device, origin.by if origin else None, reason.phrase))

    def holds(self, device: str, body: str) -> bool:
        """Whether the message with this body came to the device."""
        return not self.ids[body].isdisjoint(self.seen[device].delivered.values())

    def is_stored_once(self, body: str) -> bool:
        """Whether everybody who knows this body knows it as the same message."""
        return len(self.ids[body]) == 1
