"""A tap at the device's end of each connection: what is on the wire there goes into the history, frame by frame.

So the oracle judges what the broker did, and not what the client library makes of it; that is looked at beside it
(`application`).
"""

import trio

from roost.oracle import (
    Acked,
    Acknowledged,
    Connected,
    Delivered,
    Disconnected,
    ErasedTold,
    GapTold,
    Kicked,
    LoginAsked,
    Sent,
    StartedOver,
)
from roost.simulation.messages import content_of, is_notice
from roost.simulation.trace import Trace
from roost_protocol import frames
from roost_protocol.codec import ReceiveBuffer
from roost_protocol.frames import Connack, Frame
from roost_protocol.limits import FRAME_BYTES_MOST
from roost_protocol.reasons import Reason

OVER = frozenset({Reason.SESSION_TAKEN_OVER, Reason.ADMINISTRATIVE_ACTION, Reason.LOGGED_OUT})
"""Reasons after which a device does not come back by itself."""

WISH_STANDS_S = 120.0
"""How long the broker may still carry out a log-in whose device has given it up: no commit takes longer."""


class Tap:
    """What is known of one device from its connections."""

    def __init__(self, device: str, trace: Trace) -> None:
        self.device = device
        self.trace = trace
        self.acked: tuple[float, int] = (0.0, 0)
        """When the device acknowledged last, and what."""
        self.wish_stands_until_s = 0.0
        """A person logged in, and the connection ended before the answer came: the broker may still do it, and take
        the session from whoever has it by then. What the device does by itself meanwhile is for that person, too."""
        self.online = False


class Tapped:
    """One connection of a device. See `Watcher`."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self._up = ReceiveBuffer(FRAME_BYTES_MOST)
        self._down = ReceiveBuffer(FRAME_BYTES_MOST)
        self._asked: frames.Connect | None = None
        self._answered = False
        self._told_over = False

    def said(self, data: bytes) -> None:
        """See `Watcher.said`."""
        for frame in self._up.cut(data):
            self._said(frame)

    def heard(self, data: bytes) -> None:
        """See `Watcher.heard`."""
        for frame in self._down.cut(data):
            self._heard(frame)

    def over(self) -> None:
        """See `Watcher.over`."""
        tap = self._tap
        if self._asked is not None and not self._answered and self._asked.epoch is None:
            tap.wish_stands_until_s = trio.current_time() + WISH_STANDS_S
        if self._answered and not self._told_over:
            tap.online = False
            tap.trace.record(Disconnected(tap.device))

    def _said(self, frame: Frame) -> None:
        tap, record = self._tap, self._tap.trace.record
        match frame:
            case frames.Connect():
                self._asked = frame
                resume = frame.epoch is not None and trio.current_time() >= tap.wish_stands_until_s
                record(LoginAsked(tap.device, resume))
            case frames.Publish():
                record(Sent(tap.device, frame.n, frame.to, content_of(frame.text, frame.data) or ""))
            case frames.Ack(seq=seq):
                tap.acked = (trio.current_time(), seq)
                record(Acked(tap.device, seq))
            case _:
                tap.trace.note(tap.device, f"says {type(frame).__name__}")

    def _heard(self, frame: Frame) -> None:
        tap, record = self._tap, self._tap.trace.record
        match frame:
            case Connack():
                self._answered_login(frame)
            case frames.Puback():
                reason = Reason.of(frame.reason).phrase
                record(Acknowledged(tap.device, frame.n, reason, frame.seq, frame.id, frame.retransmission))
            case frames.Deliver():
                self._delivered(frame)
            case frames.Gap():
                record(GapTold(tap.device, frame.first, frame.last, frame.reason))
            case frames.Disconnect(reason=code, origin=origin) if Reason.of(code) in OVER:
                self._kicked(Reason.of(code), origin)
            case frames.Disconnect(reason=code, text=text):
                tap.trace.note(tap.device, f"is told the end: {Reason.of(code).phrase}, {text}")
            case _:
                tap.trace.note(tap.device, f"is told {type(frame).__name__}")

    def _answered_login(self, connack: Connack) -> None:
        tap, asked = self._tap, self._asked
        reason = Reason.of(connack.reason)
        if asked is None:
            raise AssertionError(f"{tap.device} was answered without having asked")
        if reason.failed:
            self._asked = None
            if reason in OVER:
                self._kicked(reason, connack.origin)
            else:
                tap.trace.note(tap.device, f"is refused: {reason.phrase}, {connack.text}")
            return
        self._answered = True
        tap.online = True
        tap.acked = (trio.current_time(), connack.position)
        if connack.start_over:
            tap.trace.record(StartedOver(tap.device))
        resume = asked.epoch is not None and trio.current_time() >= tap.wish_stands_until_s
        tap.trace.record(
            Connected(
                tap.device,
                connack.epoch,
                connack.position,
                connack.head,
                connack.incarnation or "",
                resume,
                None if asked.newest is not None else asked.last_seq,
            )
        )

    def _delivered(self, deliver: frames.Deliver) -> None:
        tap, entry = self._tap, deliver.entry
        if entry is None or is_notice(entry):
            tap.trace.record(ErasedTold(tap.device, deliver.seq))
            return
        content = content_of(entry.text, entry.data)
        tap.trace.record(
            Delivered(tap.device, deliver.seq, entry.id, entry.sender, entry.to, content, deliver.device, deliver.n)
        )

    def _kicked(self, reason: Reason, origin: frames.Origin | None) -> None:
        self._told_over = self._answered = True
        self._tap.online = False
        self._tap.trace.record(Kicked(self._tap.device, origin.by if origin else None, reason.phrase))
