"""One live session: a device of a user on a terminal type, as a cursor over the user's inbox.

Reads frames one after the other from its link. A PUBLISH joins the open batch and is answered when that is committed;
a request is answered before the next frame is read, so that a device cannot pile up work.

**Invariant:** at most `publish_max` publishes of a session are unsettled; past that its socket is not read. Nor is it,
for a bounded time, while its user is beyond his rate or the writer has too much to do (`brakes`).
**Invariant:** at most `receive_max` entries and `receive_bytes_max` bytes are unacknowledged, unless a single entry
alone is larger than that.
**Invariant:** once `closed`, a session is in no inbox and in no directory, and publishes nothing more.
"""

import logging
from collections import deque
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal

import trio

from roost_broker import requests
from roost_broker.batcher import Settlement
from roost_broker.brakes import Brake, NotNow
from roost_broker.delivery import PIECE_BYTES, PIECE_ENTRIES, UNREADABLE_RETRY_S
from roost_broker.link import Link
from roost_broker.metrics import DEVICE_LEFT
from roost_broker.store import CommitRefused
from roost_broker.store.account_operations import ERASED_TYPE
from roost_broker.store.operations import LoggedIn, Operation, Published, PublishMessage
from roost_protocol import codec
from roost_protocol.connection import Event
from roost_protocol.errors import RemoteProtocolError
from roost_protocol.frames import Ack, Connect, Disconnect, Ephemeral, Frame, Gap, Origin, Puback, Publish
from roost_protocol.reasons import Reason
from roost_protocol.states import State

if TYPE_CHECKING:
    from roost_broker.core import Core
    from roost_broker.delivery import Piece

_log = logging.getLogger(__name__)


def _size(message: Frame) -> int:
    """Bytes of its body."""
    if not isinstance(message, Publish | Ephemeral):
        return 0
    return len(message.text.encode()) if message.text is not None else len(message.data or b"")


ANSWERED_IN_A_ROW = 32
"""Requests answered without letting anybody else go on: a system call each, so some 0.3 ms."""

NOBODY: frozenset[int] = frozenset()
"""The users whom most sessions follow; one object for all."""


_Chunk = tuple[int, int, int]
"""The window up to an entry: its number, and how many entries and bytes this session was sent by then."""


class Session:
    """The live state of one user on one terminal type. Made by `login`; `run` is its life."""

    __slots__ = (
        "_answered", "_body_bytes_max", "_brake", "_chunked_bytes", "_chunked_entries", "_connection", "_freed_bytes",
        "_freed_entries", "_outgoing", "_outlet", "_publish_max", "_room", "_sent_bytes", "_sent_entries",
        "_stale_presence", "_turn", "_window", "_window_full", "_write_buffer_bytes_max", "acknowledged", "address",
        "catching_up", "client", "closed", "core", "device", "device_id", "echoes", "ends_ms", "epoch", "inbox",
        "keepalive_s", "link", "noted", "position", "published", "receive_bytes_max", "receive_max", "since_ms",
        "terminal", "unsettled", "user", "user_name", "watching",
    )  # fmt: skip

    def __init__(self, core: "Core", link: Link, connect: Connect, user: int, logged_in: LoggedIn) -> None:
        self.core = core
        self.link = link
        self.user = user
        self.user_name = connect.user
        self.terminal = connect.terminal
        self.device = logged_in.device
        self.device_id = connect.device
        self.client = connect.client
        self.epoch = logged_in.epoch
        self.address = link.transport.address
        self.since_ms = core.now_ms()
        self.closed = False
        self.ends_ms: int | None = None
        """When it is over at the latest (Unix time): what its user was let in by holds no longer than that."""
        self.watching = NOBODY
        """The users whose presence this session follows; changed by the directory only."""

        limits = core.limits
        self.position = logged_in.position
        self.acknowledged = logged_in.position
        self.noted = (self.position, self.acknowledged)
        """How far the session was when the journal looked last."""
        self.catching_up = False
        self.keepalive_s = min(connect.keepalive_s, limits.keepalive_s)
        self.receive_max = min(connect.receive_max, limits.receive_max)
        self.receive_bytes_max = min(connect.receive_bytes_max, limits.receive_bytes_max)
        self._body_bytes_max = limits.body_bytes_max
        self._publish_max = limits.publish_max
        # Both counts only rise; what is in the window is the difference.
        self._sent_entries = self._sent_bytes = 0
        self._chunked_entries = self._chunked_bytes = 0
        self._freed_entries = self._freed_bytes = 0
        self._window_full = False  # the next entry did not fit: nothing is read for it until some are acknowledged
        self._window: deque[_Chunk] | None = None
        self._connection = link.connection
        self._outlet = link.outlet
        self._outgoing = link.outgoing
        self._write_buffer_bytes_max = limits.write_buffer_bytes_max
        self._answered = 0
        self.unsettled = 0
        rate = core.rates.of(user, limits, trio.current_time())
        # Made when it is needed; always there where users have a rate.
        self._brake = None if rate is None else Brake(core, rate)
        self.published = 0
        """Publishes that were read, whatever came of them."""
        self.echoes: list[tuple[int, bytes]] = []
        """Numbers of this batch's messages that came over this very connection, and their DELIVERs without body."""
        # Made when they are needed: most sessions have none of these at most times, and a broker has many sessions.
        self._stale_presence: set[tuple[int, str]] | None = None
        self._turn: trio.Event | None = None
        self._room: trio.Event | None = None
        link.outlet.room = self.outlet_has_room
        self.inbox = core.delivery.join(self, logged_in.head)

    # --- reading ---

    async def run(self) -> None:
        """Read and answer until the connection ends. Raises ConnectionLost."""
        batcher = self.core.batcher
        while True:
            events = await self.link.read()
            if not events:
                return
            try:
                if not await self._act_on(events):
                    return
            finally:
                self.published += batcher.kick()  # all publishes of one read go into one batch
            self.flush()
            if self.link.outlet.full:
                await self._wait_outlet()

    async def _act_on(self, events: list[Event]) -> bool:
        """Do what the events of one read ask for; whether the connection goes on."""
        core, batcher, publish_max = self.core, self.core.batcher, self._publish_max
        for event in events:
            if isinstance(event, RemoteProtocolError):
                self.violated(event)
                return False
            if type(event) is Publish:
                if self.unsettled >= publish_max or core.draining or batcher.full or self._brake is not None:
                    not_now = await self._wait_turn(event)
                    if not_now is not None:
                        self._refuse_for_now(event, not_now)
                        continue
                self._publish(event)
            elif type(event) is Ack:
                self._acknowledge(event.seq)
            elif type(event) is Disconnect:
                core.end(self, event)
                self.link.ending = DEVICE_LEFT
                self.link.end()
                return False
            else:
                self.published += batcher.kick()
                await self._request(event)
        return True

    async def _request(self, frame: Frame) -> None:
        self.flush()
        brake = self._brake if type(frame) is Ephemeral else None
        if brake is not None and await brake.admit(_size(frame), self.flush, queued=False) is not None:
            return  # a signal is worth nothing later
        self._answered += 1
        if not self._answered % ANSWERED_IN_A_ROW:
            await trio.lowlevel.checkpoint()
        # Before each answer: a few bytes may ask for a whole PAGE, and many such may come in one read.
        await self._wait_outlet()
        answer = await requests.answer(self, frame)
        if answer is not None and not self.closed:
            self.link.say(answer)

    async def _wait_turn(self, publish: Publish) -> NotNow | None:
        """Read on only when another publish may be unsettled: what is not read is backpressure for the device.

        Where it is not this device's own answers that are waited for, that is bounded; then, why the publish is refused
        for now. While the broker drains, none may go on: the device is told so in a moment, and publishes elsewhere.
        """
        while self.core.draining or self.unsettled >= self._publish_max:
            self._before_waiting()
            self._turn = trio.Event()
            await self._turn.wait()
        self._turn = None
        if self._brake is None:
            if not self.core.batcher.full:
                return None
            self._brake = Brake(self.core)
        not_now = await self._brake.admit(_size(publish), self._before_waiting)
        if self._brake.is_off:
            self._brake = None
        return not_now

    def _before_waiting(self) -> None:
        """What was read up to here goes on."""
        self.published += self.core.batcher.kick()
        self.flush()

    def _refuse_for_now(self, publish: Publish, not_now: NotNow) -> None:
        """Answer a publish that is not even decided on: it stays unsettled."""
        self.published += 1
        self.core.metrics.publishes_refused[not_now.reason] += 1
        reason, text, retry_after_s = not_now
        self.link.say(Puback(n=publish.n, reason=reason, text=text, retry_after_s=retry_after_s))

    async def _wait_outlet(self) -> None:
        while self.link.outlet.full:
            self._room = trio.Event()
            await self._room.wait()

    # --- publishing ---

    def _publish(self, frame: Publish) -> None:
        text, data = frame.text, frame.data
        body = text.encode() if text is not None else (data or b"")
        what = (b"0" if text is None else b"1", frame.to.encode(), frame.content_type.encode(), body)
        digest = blake2b(b"\0".join(what), digest_size=16).digest()
        refused = Reason.PACKET_TOO_LARGE if len(body) > self._body_bytes_max else None
        if frame.content_type == ERASED_TYPE:  # what devices erase, only the broker says
            refused = Reason.NOT_AUTHORIZED
        operation = PublishMessage(
            sender=self.user,
            sender_name=self.user_name,
            device=self.device,
            terminal=self.terminal,
            epoch=self.epoch,
            n=frame.n,
            to=frame.to,
            content_type=frame.content_type,
            text=text,
            data=data,
            body_bytes=len(body),
            digest=digest,
            refused=refused,
        )
        self.unsettled += 1
        self.core.batcher.submit(operation, self._published, len(body), kicks=True)

    def _published(self, operation: Operation, result: Settlement) -> None:
        """The batch is committed: answer, and offer the message to every session of every participant."""
        self.unsettled -= 1
        if self._turn is not None:
            self._turn.set()
        if type(operation) is not PublishMessage:
            raise AssertionError(f"settled as a publish: {operation!r}")
        if not self.closed:
            outgoing = self._outgoing
            if not outgoing:
                self.core.delivery.touch(self)
            if self._connection.state is State.LIVE:  # else the peer's end has been read, and is acted upon in a moment
                outgoing.append(codec.encode(self._puback(operation.n, result)))
        if type(result) is Published and result.entries:
            self.core.published += 1
            self.core.delivery.stored(self, operation, result)
        else:
            self._count_not_stored(result)

    def _count_not_stored(self, result: Settlement) -> None:
        """Count a publish that added nothing to the store."""
        if isinstance(result, Published) and result.reason is Reason.SUCCESS:
            self.core.metrics.retransmissions += 1
        elif isinstance(result, Published | CommitRefused):
            self.core.metrics.publishes_refused[result.reason] += 1

    def _puback(self, n: int, result: Settlement) -> Puback:
        if isinstance(result, CommitRefused):
            return Puback(n=n, reason=result.reason, text=_why_not(result.reason), retry_after_s=requests.RETRY_AFTER_S)
        if not isinstance(result, Published):
            raise AssertionError(f"not the outcome of a publish: {result!r}")
        reason = result.reason
        if reason is Reason.SUCCESS:
            return Puback(n=n, seq=result.seq, id=result.id, time=result.time, retransmission=result.retransmission)
        text = f"a body has at most {self._body_bytes_max} bytes" if reason is Reason.PACKET_TOO_LARGE else ""
        if reason in (Reason.QUOTA_EXCEEDED, Reason.UNSPECIFIED_ERROR):
            retry = requests.RETRY_AFTER_S if reason is Reason.QUOTA_EXCEEDED else UNREADABLE_RETRY_S
            return Puback(n=n, reason=reason, text=_why_not(reason), retry_after_s=retry)
        return Puback(n=n, reason=reason, text=text, retransmission=result.retransmission)

    # --- delivery: the window ---

    @property
    def sent_entries(self) -> int:
        """How many entries this session was sent."""
        return self._sent_entries

    @property
    def freed_entries(self) -> int:
        """How many of them it has acknowledged, counted in the pieces they went out in."""
        return self._freed_entries

    @property
    def room_entries(self) -> int:
        """How many entries the window has room for."""
        return self.receive_max - (self._sent_entries - self._freed_entries)

    def may_deliver(self) -> bool:
        """Whether there may be room for a further entry: the session is live, neither window nor outlet are full."""
        return not self.closed and not self._window_full and not self._outlet.full and self.room_entries > 0

    @property
    def rests_for(self) -> Literal["window", "outlet"] | None:
        """What has no room for a further entry; None if there is room."""
        if self._outlet.full:
            return "outlet"
        return "window" if self._window_full or self.room_entries <= 0 else None

    def offer(self, seq: int, frames: bytes, entries: int = 1) -> bool:
        """Queue the frames of the next `entries` entries, up to `seq`, if there is room for all; whether there was.

        A window that is empty has room for any single entry. Called for every piece there is: plain and fast.
        """
        sent = self._sent_entries + entries
        sent_bytes = self._sent_bytes + len(frames)
        if sent - self._freed_entries > self.receive_max or sent_bytes - self._freed_bytes > self.receive_bytes_max:
            if entries > 1:  # perhaps some of them fit
                return False
            if sent - self._freed_entries > 1:
                self._window_full = True
                return False
        if self.closed or self._outlet.pending_bytes >= self._write_buffer_bytes_max:
            return False
        self._outgoing.append(frames)
        self.position = seq
        self._sent_entries = sent
        self._sent_bytes = sent_bytes
        if sent - self._chunked_entries >= PIECE_ENTRIES or sent_bytes - self._chunked_bytes > PIECE_BYTES:
            self._close_chunk()
        return True

    def take_echoes(self) -> list[tuple[int, bytes]]:
        """What this connection has published itself since the last call: the numbers, and the frames without body."""
        echoes, self.echoes = self.echoes, []
        return echoes

    def tell_gap(self, gap: Gap) -> None:
        """Queue a GAP: the position moves to its end."""
        if self._sent_entries > self._chunked_entries:
            self._close_chunk()
        self.link.delivered(self.position)
        self.link.say(gap)
        self.position = gap.last
        self.core.journal.gap(self, gap)

    def deliver(self, pieces: "list[Piece]") -> bool:
        """Queue these pieces as far as there is room, and put on the wire all that is queued; whether all had room."""
        if len(pieces) == 1 and not self._outgoing:
            return self._deliver_alone(*pieces[0])
        for last, entries, frames in pieces:
            if not self.offer(last, frames, entries):
                self.flush()
                return False
        self.flush()
        return True

    def _deliver_alone(self, last: int, entries: int, frames: bytes) -> bool:
        """`offer` and `flush` of one piece when nothing else is queued: what a large fan-out is made of."""
        sent = self._sent_entries + entries
        sent_bytes = self._sent_bytes + len(frames)
        if (
            sent - self._freed_entries > self.receive_max
            or sent_bytes - self._freed_bytes > self.receive_bytes_max
            or self._outlet.pending_bytes
            or self.closed
        ):
            return False  # looked at more closely by the pump
        self.position = last
        self._sent_entries = sent
        self._sent_bytes = sent_bytes
        self._close_chunk()
        if self._connection.state is not State.CLOSED:
            self._connection.delivered(last)
            self._outlet.send(frames)
        return True

    def flush(self) -> None:
        """Put on the wire what is queued."""
        if self._outgoing and not self.closed:
            if self._sent_entries > self._chunked_entries:
                self._close_chunk()
            self.link.delivered(self.position)
        self.link.flush()

    def _close_chunk(self) -> None:
        """What was sent up to here can be acknowledged by itself."""
        sent = self._chunked_entries = self._sent_entries
        sent_bytes = self._chunked_bytes = self._sent_bytes
        if self._window is None:
            self._window = deque()
        self._window.append((self.position, sent, sent_bytes))

    def _acknowledge(self, seq: int) -> None:
        if seq <= self.acknowledged:
            return
        self.acknowledged = seq
        self.core.cursors[self.device] = seq
        window = self._window
        while window and window[0][0] <= seq:
            _, self._freed_entries, self._freed_bytes = window.popleft()
            self._window_full = False
        if not window:
            self._window = None
        if self.position < self.inbox.head:
            self.core.delivery.pump(self)

    def outlet_has_room(self) -> None:
        """The outlet is empty again: read on, pump, and tell what could not be told."""
        if self.closed:
            return
        if self._room is not None:
            self._room.set()
            self._room = None
        stale, self._stale_presence = self._stale_presence, None
        for user, terminal in sorted(stale or ()):
            if user in self.watching:
                self.core.say_presence(self, user, terminal)
        self.core.delivery.pump(self)

    def presence_is_stale(self, user: int, terminal: str) -> None:
        """For want of room, this session was not told of a change: it is told what is true when there is room again."""
        if self._stale_presence is None:
            self._stale_presence = set()
        self._stale_presence.add((user, terminal))

    # --- the end ---

    def violated(self, violation: RemoteProtocolError) -> None:
        """The device broke the protocol: say so, and end."""
        _log.warning("%s/%s (%s): %s: connection closed", self.user_name, self.device_id, self.address, violation)
        self.disconnect(Disconnect(reason=violation.reason, text=violation.text))

    def fence(self, reason: Reason, text: str, origin: Origin) -> None:
        """End the session for good: another device has taken over, or somebody has ended it."""
        self.disconnect(Disconnect(reason=reason, text=text, origin=origin))

    def disconnect(self, frame: Disconnect) -> None:
        """Say why the session ends, and end it: from here on it publishes nothing and gets nothing."""
        if not self.closed:
            self.flush()
            self.core.end(self, frame)
            self.link.disconnect(frame)


def _why_not(reason: Reason) -> str:
    """Why the store did not take a message."""
    if reason is Reason.SERVER_UNAVAILABLE:
        return "the store's disk takes no writes"
    if reason is Reason.UNSPECIFIED_ERROR:
        return "the store is damaged where it has to read for this; the broker's log says more"
    return "the store has no room"
