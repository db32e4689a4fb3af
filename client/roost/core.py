"""A session apart from its connections: what it holds, what it was told, and what it has to say.

Frames come in through `received`, and go out through `take`; what carries them comes and goes (`logged_in`, `lost`).
No socket and no task is in here, so every rule about numbers is in one place:

- `held` is the last number received. A reconnect asks for what comes after it, so the application sees nothing twice.
- `acknowledged` is the last number the application is done with. It goes into the state, and then to the broker. A
  restart asks for what comes after it, so the application misses nothing.
"""

import hmac
from collections import deque
from random import Random

import trio
from msgspec import structs

from roost.bell import Bell
from roost.bounds import BUFFERS, ECHO_FETCH, EPHEMERAL_OUTGOING_MAX, EVENTS_PER_CHECKPOINT
from roost.errors import ConnectionFailed, RequestRefused, RoostError, SessionEnded
from roost.event_buffer import EventBuffer, Held
from roost.events import (
    Body,
    Connected,
    Ended,
    Event,
    Gap,
    Message,
    StartedOver,
    TakenOver,
    ephemeral_of,
    message_of,
    presence_of,
)
from roost.publication import Publication
from roost.publisher import Publisher
from roost.requests import Answer, RequestMaker, Requests
from roost.state import Saved
from roost.state_writer import StateWriter
from roost_protocol import frames
from roost_protocol.errors import RemoteProtocolError
from roost_protocol.frames import Ack, Connack, Deliver, Ephemeral, Fetch, Frame, Granted, Page, Puback, Subscribe
from roost_protocol.limits import LIST_MAX
from roost_protocol.reasons import Reason


class Windows:
    """How much a session takes in before it acknowledges: entries, and bytes."""

    __slots__ = ("bytes_max", "entries_max")

    def __init__(self, entries_max: int, bytes_max: int) -> None:
        self.entries_max = entries_max
        self.bytes_max = bytes_max


class SessionCore:
    """What one session knows. `bell` wakes whoever writes, `arrivals` whoever waits for events."""

    def __init__(
        self, saved: Saved, device: str, writer: StateWriter, windows: Windows, random: Random, auto_acknowledge: bool
    ) -> None:
        self.user = saved.user
        self.terminal = saved.terminal
        self.device = device
        self.writer = writer
        self.windows = windows
        self.auto_acknowledge = auto_acknowledge
        self.held = Held(saved.last_seq or 0, saved.last_id)
        self.fresh = saved.last_seq is None
        """No log-in has given this device a number yet."""
        self.acknowledged = self.held.seq
        self.incarnation = saved.incarnation
        self.epoch = saved.epoch
        self.token = saved.token
        self.stay_away = saved.ended
        """Why this device must not log in by itself, as the broker said before (JSON); until the first log-in."""
        self.head = self.held.seq
        self.granted: Granted | None = None
        self.connected = False
        self.ended: Ended | TakenOver | None = None
        self.closed = False
        self.failure: RoostError | None = None
        self.bell = Bell()
        self.arrivals = Bell()
        self.buffer = EventBuffer()
        self.publisher = Publisher(saved, writer, self.bell, random)
        self.requests = Requests()
        self.followed: set[str] = set()
        self.connects = 0
        self._room = trio.lowlevel.ParkingLot()  # for ephemeral messages
        self._bodies_sought = 0
        self._handed: deque[Held] = deque(maxlen=BUFFERS * windows.entries_max)
        self._handed_seq = self.held.seq
        self._starting_over = False
        self._since_checkpoint = 0
        self._ephemeral: deque[Ephemeral] = deque()
        self._ack_sent = 0

    # --- the connection -------------------------------------------------------------------------------------------

    def logged_in(self, connack: Connack, granted: Granted) -> None:
        """A connection is live: say all that is unsettled again. Raises ConnectionFailed if its stream does not fit."""
        if not (self.fresh or connack.start_over or connack.position == self.held.seq):
            raise ConnectionFailed(
                f"the broker's stream starts after {connack.position}, but {self.held.seq} was asked for"
            )
        self.buffer.push(
            Connected(
                epoch=connack.epoch,
                head=connack.head,
                position=connack.position,
                resumed=connack.resumed,
                took_over=connack.took_over,
            )
        )
        if connack.start_over:
            self._start_over(connack)
        if self.fresh or connack.start_over:
            self._begin_at(connack.position)
        self.epoch, self.granted, self.head = connack.epoch, granted, connack.head
        self.incarnation = connack.incarnation or self.incarnation
        self.token = connack.token or self.token
        self.stay_away = None
        self.writer.note_login(connack.epoch, connack.incarnation, connack.token)
        self._ack_sent = connack.position
        self.connected = True
        self.connects += 1
        self.publisher.logged_in(connack.settled_n, granted)
        self._follow_again()
        self.arrivals.ring()
        self.bell.ring()

    def token_refused(self, token: str) -> None:
        """The broker does not take this token: forget it, if it is the one that was issued."""
        if self.token is not None and hmac.compare_digest(token.encode(), self.token.encode()):
            self.token = None
            self.writer.note_token_refused()

    def lost(self) -> None:
        """The connection is gone."""
        self.connected = False
        self.publisher.lost()
        self.requests.connection_lost()
        self._ephemeral.clear()
        self._room.unpark_all()

    def resume_after(self) -> Held:
        """The last number to name in the next CONNECT. What waits for the application is cut back to one window."""
        held = self.buffer.cut(self.windows.entries_max, self.windows.bytes_max)
        if held is not None:
            self.held = held
        return self.held

    def tell(self, event: Event) -> None:
        """Put an event at the end of those that wait for the application, if it is still there."""
        if self.closed:
            return
        self.buffer.push(event)
        self.arrivals.ring()

    def end(self, last: Ended | TakenOver, failure: RoostError | None = None) -> None:
        """The session is over. `last` is told as the last event, or `failure` raised instead of it."""
        if self.ended is not None:
            return
        self.ended, self.failure = last, failure
        self.connected = False
        if failure is None:
            self.tell(last)
        self.publisher.end(self.ended_error())
        self.requests.fail(self.ended_error)
        self.arrivals.ring()
        self.bell.ring()
        self._room.unpark_all()

    def close(self) -> None:
        """The application leaves: nothing is handed out any more."""
        self.end(Ended(reason=Reason.SUCCESS, text="the session was left"))
        self.closed = True
        self.buffer.clear()

    def ended_error(self) -> SessionEnded:
        """What is raised for everything asked of a session that is over."""
        assert self.ended is not None  # noqa: S101 - asked of ended sessions only
        if isinstance(self.ended, TakenOver):
            return SessionEnded(Reason.SESSION_TAKEN_OVER, self.ended.text)
        error = SessionEnded(self.ended.reason, self.ended.text)
        error.__cause__ = self.failure
        return error

    def check_running(self) -> None:
        """Raise SessionEnded if the session is over."""
        if self.ended is not None:
            raise self.ended_error()

    def _start_over(self, connack: Connack) -> None:
        self.tell(StartedOver(incarnation=connack.incarnation))
        self._starting_over = True
        self._handed.clear()

    def _begin_at(self, position: int) -> None:
        self.fresh = False
        self.held = Held(position, None)
        self.acknowledged = self._handed_seq = self._bodies_sought = position
        self.writer.note_position(position, None)

    # --- frames in ------------------------------------------------------------------------------------------------

    def received(self, frame: Frame) -> None:
        """Take in a frame of the live connection. Raises RemoteProtocolError if the broker overran the window."""
        match frame:
            case Deliver():
                self._delivered(frame)
            case Puback():
                self.head = max(self.head, frame.seq or 0)
                self.publisher.answered(frame, self.held.seq)
            case frames.Gap():
                self.held = Held(frame.last, None)
                self.tell(Gap(first=frame.first, last=frame.last, reason=frame.reason))
            case frames.Result() | frames.Page():
                self.requests.answered(frame)
            case frames.Presence():
                self.tell(presence_of(frame))
            case frames.Ephemeral():
                self.tell(ephemeral_of(frame))
            case _:
                pass  # PONG: that it came is all it says

    def _delivered(self, deliver: Deliver) -> None:
        if self.buffer.entries >= BUFFERS * self.windows.entries_max:
            raise RemoteProtocolError(
                Reason.RECEIVE_MAXIMUM_EXCEEDED, f"more than {self.windows.entries_max} entries are unacknowledged"
            )
        message = message_of(deliver, self.user)
        self.held = Held(deliver.seq, message.id or None)
        self.head = max(self.head, deliver.seq)
        if deliver.n is not None and deliver.device == self.device and message.id:
            message = _with_body(message, self.publisher.echoed(message, deliver.n))
        self.tell(message)

    # --- frames out -----------------------------------------------------------------------------------------------

    async def take(self) -> list[Frame]:
        """The frames to send now, in order; what must be in the state before is in it. May be none.

        Not always a checkpoint. After cancelling, only `lost` puts right what counts as sent. Raises StateUnusable.
        """
        out: list[Frame] = [*self._ephemeral]
        if out:
            self._ephemeral.clear()
            self._room.unpark_all()
        out += self.requests.take()
        acknowledged = self.acknowledged
        out += [publication.frame for publication in await self.publisher.take()]
        if acknowledged > self._ack_sent:
            await self.writer.flush()
            self._ack_sent = acknowledged
            out.append(Ack(seq=acknowledged))
        return out

    def publish_nowait(self, to: str, body: Body, content_type: str | None) -> Publication:
        """See `Publisher.publish_nowait`. Raises SessionEnded too."""
        self.check_running()
        return self.publisher.publish_nowait(to, body, content_type)

    def next_at(self) -> float:
        """When `take` may have something without anybody asking for it; infinity if never."""
        return self.publisher.outbox.next_at(trio.current_time())

    async def send_ephemeral(self, frame: Ephemeral) -> None:
        """Queue an ephemeral message; waits while too many are queued, and drops it when there is no connection.

        Not always a checkpoint; safe to cancel. Raises SessionEnded.
        """
        while True:
            self.check_running()
            if not self.connected:
                return
            if len(self._ephemeral) < EPHEMERAL_OUTGOING_MAX:
                break
            await self._room.park()
        self._ephemeral.append(frame)
        self.bell.ring()

    async def ask(self, frame_of: RequestMaker, *, again: bool) -> Answer:
        """Send a request, and wait for its answer; a refusal is raised as RequestRefused.

        A checkpoint. After cancelling, it may have been carried out or not. Raises SessionEnded, ConnectionFailed.
        """
        self.check_running()
        request = self.requests.add(frame_of, again=again)
        self.bell.ring()
        try:
            answer = await request.answered()
        finally:
            self.requests.forget(request)
        reason = Reason.of(answer.reason)
        if reason.failed:
            raise RequestRefused(reason, answer.text, getattr(answer, "retry_after_s", None))
        return answer

    # --- events out -----------------------------------------------------------------------------------------------

    async def next_event(self) -> Event | None:
        """The next event, None at the end; the one before is acknowledged first, if that is automatic.

        Not always a checkpoint; safe to cancel: no event is lost. Raises StateUnusable.
        """
        if self.auto_acknowledge and self._handed_seq > self.acknowledged:
            self._acknowledge(self._handed_seq)
        self._since_checkpoint += 1
        if self._since_checkpoint >= EVENTS_PER_CHECKPOINT:
            self._since_checkpoint = 0
            await trio.lowlevel.checkpoint()
        while True:
            event = self.buffer.peek()
            if event is None:
                if self.failure is not None and not self.closed:
                    raise self.failure
                if self.ended is not None:
                    return None
                self._since_checkpoint = 0
                await self.arrivals.wait()
            elif isinstance(event, Message) and self._lacks_body(event):
                await self._seek_bodies(event.seq)
            else:
                return self._hand_out(self.buffer.pop())

    def acknowledge(self, seq: int) -> None:
        """The application holds everything up to `seq`. Raises ValueError for a number it was not given."""
        if self._starting_over:
            return  # a number of the inbox before, which is gone
        if seq > self._handed_seq:
            raise ValueError(f"cannot acknowledge {seq}: the last number handed out is {self._handed_seq}")
        if seq > self.acknowledged:
            self._acknowledge(seq)

    def _acknowledge(self, seq: int) -> None:
        id_ = None
        while self._handed and self._handed[0].seq <= seq:
            held = self._handed.popleft()
            id_ = held.id if held.seq == seq else None
        self.acknowledged = seq
        self.writer.note_position(seq, id_)
        self.bell.ring()

    def _hand_out(self, event: Event) -> Event:
        if isinstance(event, Message):
            self._handed.append(Held(event.seq, event.id or None))
            self._handed_seq = event.seq
        elif isinstance(event, Gap):
            self._handed.append(Held(event.last, None))
            self._handed_seq = event.last
        elif isinstance(event, StartedOver):
            self._starting_over = False
        return event

    def _lacks_body(self, message: Message) -> bool:
        return message.body is None and bool(message.id) and message.seq > self._bodies_sought

    async def _seek_bodies(self, seq: int) -> None:
        """Fetch the bodies of own messages that came back without, from number `seq` on: they were not kept."""
        bodies: dict[int, Body | None] = {}
        incarnation = self.incarnation
        try:
            page = await self.ask(lambda request: Fetch(request=request, after=seq - 1, limit=ECHO_FETCH), again=True)
        except (RequestRefused, ConnectionFailed, SessionEnded):
            pass  # then the message is handed out without its body
        else:
            if isinstance(page, Page):
                bodies = {entry.seq: message_of(entry, self.user).body for entry in page.entries}
        if self.incarnation != incarnation:
            return  # it started over meanwhile: these are numbers of another inbox
        self.buffer.fill(bodies)
        self._bodies_sought = max(seq, *bodies) if bodies else seq

    # --- presence -------------------------------------------------------------------------------------------------

    def _follow_again(self) -> None:
        """Presence is followed by a connection: say anew whom."""
        users = sorted(self.followed)
        for start in range(0, len(users), LIST_MAX):
            some = tuple(users[start : start + LIST_MAX])
            self.requests.add(lambda request, some=some: Subscribe(request=request, users=some), again=False)  # type: ignore[misc]


def _with_body(message: Message, body: Body | None) -> Message:
    if message.body is not None or body is None:
        return message
    return structs.replace(message, body=body)
