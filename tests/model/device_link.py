"""One connection of a device, from dialling to its end: what is said on it, and what is told.

Every frame goes to the oracle as it comes, also one that should not have come; the wire's own core looks at it beside,
and what it objects to is a complaint.
"""

from typing import TYPE_CHECKING

import trio

from model.around import PASSWORD, Body, content_of
from model.plan import LogIn
from roost.oracle import Acked, Acknowledged, Connected, Delivered, Disconnected, GapTold, LoginAsked, Sent
from roost_broker.transport.memory import MemoryStream
from roost_protocol import Connection, Reason, RemoteProtocolError, Role, codec
from roost_protocol.frames import Ack, Connack, Connect, Deliver, Disconnect, Entry, Frame, Gap, Page, Puback
from roost_protocol.limits import FRAME_BYTES_MOST

if TYPE_CHECKING:
    from model.device import Device

OVER = frozenset({Reason.SESSION_TAKEN_OVER, Reason.ADMINISTRATIVE_ACTION, Reason.LOGGED_OUT})
"""Reasons after which a device does not come back by itself."""

TRY_AGAIN = frozenset({Reason.QUOTA_EXCEEDED, Reason.SERVER_BUSY, Reason.SERVER_SHUTTING_DOWN, *OVER})
"""Answers to a publish that leave it unsettled."""

LOG_IN_UNDER_WAY_S = 10.0
"""How long a broker may take over a CONNECT (`login_timeout_s`)."""


class Link:
    """One connection of a device."""

    def __init__(self, device: "Device", ask: LogIn, resume: bool) -> None:
        self.device = device
        self.around = device.around
        self.ask = ask
        self.resume = resume
        self.by_itself = resume
        """As the history has it: not while an earlier wish of a person may still come true; see `Device`."""
        self.logged_in = False
        self.vanished = False
        self.acknowledged = 0
        self.stalled = False
        self.ack_every = ask.ack_every
        self._go_on = trio.Event()
        self._connection = Connection(Role.DEVICE)
        self._frames = codec.ReceiveBuffer(FRAME_BYTES_MOST)
        self._stream: MemoryStream | None = None
        self._outgoing: list[bytes] = []
        self._to_send = trio.Event()
        self._ended = False
        self._unanswered = False
        self._reading = trio.CancelScope()
        self._requests = 0

    # --- the life of a connection ---

    async def run(self) -> None:
        """Dial, log in, and read until the connection is over."""
        device = self.device
        try:
            self._stream = stream = await self.around.dial(device.name)
        except OSError:
            self.end()
            return
        if not self._ended:
            self._connect()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, stream)
            with self._reading:
                await self._read(stream)
            if self.vanished:
                await trio.sleep_forever()
        await stream.aclose()

    def end(self) -> None:
        """The device is done with this connection; what was said still goes out, unless it is cut."""
        self._ended = True
        self._reading.cancel()
        self._to_send.set()
        if self._unanswered and not self.resume:
            self.device.wish_stands_until_s = trio.current_time() + LOG_IN_UNDER_WAY_S
        self._unanswered = False
        if self.device.link is self:
            self.device.link = None
            if self.logged_in:
                self.around.record.record(Disconnected(self.device.name))

    def cut(self) -> None:
        """Break the connection, for both sides."""
        if self._stream is not None:
            self._stream.cut()
        self.end()

    async def _read(self, stream: MemoryStream) -> None:
        while True:
            await self._go_on_reading()
            try:
                data = await stream.receive_some(self.ask.read_bytes)
            except trio.BrokenResourceError:
                data = b""
            await self._lag()
            await self._go_on_reading()
            if not data:
                self.end()
            if self._ended:
                return
            self._take(data)

    async def _go_on_reading(self) -> None:
        while self.stalled:
            await self._go_on.wait()

    def stall(self, stalled: bool) -> None:
        """Stop reading, or go on."""
        self._go_on.set()
        self._go_on = trio.Event()
        self.stalled = stalled

    async def _write(self, stream: MemoryStream) -> None:
        """Put on the wire what is said, until the end; also what was said just before it."""
        while True:
            while not self._outgoing:
                if self._ended and not self.vanished:
                    return
                await self._to_send.wait()
                self._to_send = trio.Event()
            data = b"".join(self._outgoing)
            self._outgoing.clear()
            await self._lag()
            try:
                await stream.send_all(data)
            except trio.BrokenResourceError:
                return

    async def _lag(self) -> None:
        if self.around.wire_delay_s:
            await trio.sleep(self.around.random.uniform(0, self.around.wire_delay_s))

    # --- saying ---

    def say(self, frame: Frame) -> None:
        """Put a frame on its way."""
        if not self._connection.closed:
            self._outgoing.append(self._connection.send(frame))
            self._to_send.set()

    def _connect(self) -> None:
        device, ask = self.device, self.ask
        token = device.token if self.around.tokens else None
        self.by_itself = self.resume and trio.current_time() >= device.wish_stands_until_s
        self.around.record.record(LoginAsked(device.name, self.by_itself))
        self._unanswered = True
        self.say(
            Connect(
                user=device.user,
                password=None if token else PASSWORD,
                token=token,
                terminal=device.terminal,
                device=device.name,
                last_seq=0 if ask.newest is not None else device.last_seq,
                last_id=None if ask.newest is not None else device.held.get(device.last_seq),
                incarnation=device.incarnation,
                newest=ask.newest,
                epoch=device.epoch if self.resume else None,
                receive_max=ask.receive_max,
                receive_bytes_max=ask.receive_bytes_max,
                keepalive_s=ask.keepalive_s,
                want_token=self.around.tokens and token is None,
            )
        )

    def transmit(self, n: int, body: Body) -> None:
        """Send a PUBLISH: for the first time, or once more."""
        self.around.record.record(Sent(self.device.name, n, body.to, body.in_history))
        self.say(body.frame(n))

    def acknowledge(self, short_by: int = 0) -> None:
        """Acknowledge what the device holds, but for the last few."""
        seq = self.device.last_seq - short_by
        if self.logged_in and seq > self.acknowledged:
            self.acknowledged = seq
            self.around.record.record(Acked(self.device.name, seq))
            self.say(Ack(seq=seq))

    def next_request(self) -> int:
        """A number for a request."""
        self._requests += 1
        return self._requests

    # --- being told ---

    def _take(self, data: bytes) -> None:
        """Take every frame as it comes, so that the oracle judges the order; and ask the wire's core about it, too."""
        events = self._connection.receive_data(data)
        if events and isinstance(events[-1], RemoteProtocolError):
            self._complain(f"the broker broke the protocol: {events[-1]}")
        for frame in self._frames.cut(data):
            self._told(frame)
            if self._ended:
                return
        every = self.ack_every
        if every and self.device.last_seq - self.acknowledged >= every:
            self.acknowledge()

    def _told(self, frame: Frame) -> None:
        device, record = self.device, self.around.record.record
        match frame:
            case Connack():
                self._answered(frame)
            case Puback():
                reason = Reason.of(frame.reason)
                record(Acknowledged(device.name, frame.n, reason.phrase, frame.seq, frame.id, frame.retransmission))
                if reason not in TRY_AGAIN:
                    device.settle(frame.n)
            case Deliver(entry=Entry() as entry):
                content = content_of(entry)
                record(
                    Delivered(device.name, frame.seq, entry.id, entry.sender, entry.to, content, frame.device, frame.n)
                )
                device.holds(frame.seq, entry.id)
                if frame.device == device.name and frame.n is not None:
                    device.settle(frame.n)
            case Gap():
                record(GapTold(device.name, frame.first, frame.last, frame.reason))
                device.holds(frame.last, None)
            case Disconnect():
                self._dismissed(frame)
            case Page():
                self._compare(frame)
            case _:
                pass

    def _answered(self, connack: Connack) -> None:
        device = self.device
        self._unanswered = False
        if connack.reason != Reason.SUCCESS:
            if connack.reason in OVER:
                device.end_with(connack.reason, connack.origin.by if connack.origin else None)
            elif connack.reason == Reason.BAD_USER_NAME_OR_PASSWORD:
                device.token = None  # it was revoked
            self.end()
            return
        if connack.start_over:
            device.start_over()
        newest = self.ask.newest is not None
        asked = None if newest else device.last_seq
        self.around.record.record(
            Connected(
                device.name,
                connack.epoch,
                connack.position,
                connack.head,
                connack.incarnation or "",
                self.by_itself,
                asked,
            )
        )
        self.logged_in = device.may_return = True
        device.epoch, device.incarnation = connack.epoch, connack.incarnation
        device.token = connack.token or device.token
        device.last_seq = self.acknowledged = connack.position
        device.held = {seq: id_ for seq, id_ in device.held.items() if seq <= connack.position}
        device.n = max(device.n, connack.settled_n)
        device.retransmit()

    def _dismissed(self, frame: Disconnect) -> None:
        if frame.reason in OVER:
            self.logged_in = False  # being told ends the connection: it is not to be noted once more
            self.device.end_with(frame.reason, frame.origin.by if frame.origin else None)
        elif not frame.reconnect:
            self._complain(f"dismissed: {frame}")
        self.end()

    def _compare(self, page: Page) -> None:
        """A page of the inbox shows what the stream showed."""
        seqs = [deliver.seq for deliver in page.entries]
        if seqs != sorted(set(seqs)) or (seqs and not page.floor <= seqs[0] <= seqs[-1] <= page.head):
            self._complain(f"a page with the numbers {seqs}, floor {page.floor}, head {page.head}")
        for deliver in page.entries:
            held = self.device.held.get(deliver.seq)
            if deliver.entry is not None and held not in (None, deliver.entry.id):
                self._complain(f"a page with {deliver.entry.id} at {deliver.seq}, where {held} was delivered")

    def _complain(self, text: str) -> None:
        self.around.complaints.append(f"{self.device.name}: {text}")
