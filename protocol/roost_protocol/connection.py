"""One connection, seen from either side: bytes in, events out; frames in, bytes out.

Theory of operation. `receive_data` takes whatever came from the transport and returns the events it completes, in
order. An event is a frame, or (as the last one) a `RemoteProtocolError`: the peer broke the protocol, the state is
`closed`, and nothing after it is looked at. The same stream gives the same events however it is cut into chunks.
The state is that after the last event: when that is a DISCONNECT or a violation, the connection is `closed` while
its caller still works on the events before it, and whoever has an answer to one of those must look at `closed` first.
`send` returns the bytes of a frame, and raises `LocalProtocolError` for one that may not be said now.

Beside the table of `states`, the core holds the two rules that need memory: on one connection every number after
`position` comes exactly once, in order, in a DELIVER or inside a GAP; and no ACK goes beyond what was delivered.
So a device that uses this core notices a broker that skips, and a broker notices a device that lies.
"""

from roost_protocol import codec
from roost_protocol.errors import LocalProtocolError, RemoteProtocolError
from roost_protocol.frames import FRAMES, Ack, Connack, Deliver, Frame, Gap
from roost_protocol.limits import FRAME_BYTES_MOST, Limits
from roost_protocol.reasons import Reason
from roost_protocol.states import TRANSITIONS, Move, Role, State, allowed, name_of

Event = Frame | RemoteProtocolError

_COUNTED: frozenset[type[Frame]] = frozenset({Connack, Deliver, Gap, Ack})


class Connection:
    """The protocol state of one connection, for the side `role`.

    `position` is the last number that was delivered on it. `limits` bounds what is received: the small limit of a
    stranger until the log-in is accepted (`Limits.connect_bytes_max`, on the broker's side), the frame limit after.
    A device takes frames as large as the broker granted in CONNACK, if that is more: it would lose messages otherwise.
    """

    __slots__ = ("_buffer", "_limits", "_peer", "_steady", "_steady_own", "position", "role", "state")

    def __init__(self, role: Role, limits: Limits | None = None) -> None:
        self.role = role
        self.state: State = State.OPENING
        self.position = 0
        self._limits = limits or Limits()
        self._peer = role.peer
        self._steady = _STEADY[self._peer]
        self._steady_own = _STEADY[role]
        first = self._limits.connect_bytes_max if role is Role.BROKER else self._limits.frame_bytes_max
        self._buffer = codec.ReceiveBuffer(first)

    @property
    def closed(self) -> bool:
        """Whether nothing more may be said or heard."""
        return self.state is State.CLOSED

    @property
    def buffered_bytes(self) -> int:
        """Bytes of an incomplete frame that are waiting for the rest."""
        return len(self._buffer)

    def receive_data(self, data: bytes | bytearray) -> list[Event]:
        """The events that these bytes complete; the last may be the peer's violation. Never raises."""
        events: list[Event] = []
        if self.state is State.CLOSED:
            return events
        try:
            for frame in self._buffer.cut(data):
                self._received(frame)
                events.append(frame)
                if self.closed:
                    break
        except RemoteProtocolError as violation:
            self.state = State.CLOSED
            events.append(violation.detached())
        if self.closed:
            self._buffer.clear()
        return events

    def receive_text(self, text: str | bytes) -> list[Event]:
        """As `receive_data`, for one whole frame in its JSON form, whose length is that of the text."""
        if self.closed:
            return []
        try:
            self._buffer.check_length(len(text))
            frame = codec.decode_json(text)
            self._received(frame)
        except RemoteProtocolError as violation:
            self.state = State.CLOSED
            return [violation.detached()]
        return [frame]

    def break_off(self, violation: RemoteProtocolError) -> list[Event]:
        """The peer broke the rules of what carries the bytes: as if it had broken those of the protocol."""
        if self.closed:
            return []
        self.state = State.CLOSED
        self._buffer.clear()
        return [violation.detached()]

    def receive_eof(self) -> list[Event]:
        """The peer closed its side. Inside a frame that is a violation; otherwise there is no event."""
        cut_off = not self.closed and len(self._buffer) > 0
        self.state = State.CLOSED
        if not cut_off:
            return []
        return [RemoteProtocolError(Reason.MALFORMED_PACKET, "the connection ended inside a frame")]

    def send(self, frame: Frame) -> bytes:
        """The bytes to put on the wire. Raises LocalProtocolError if the frame may not be said now.

        Whatever is raised (ValueError for a str with a lone surrogate, too), the connection is as it was before.
        """
        encoded = codec.encode(frame)
        self._say(frame)
        return encoded

    def send_text(self, frame: Frame) -> str:
        """As `send`, in the JSON form."""
        encoded = codec.encode_json(frame)
        self._say(frame)
        return encoded

    def delivered(self, position: int) -> None:
        """Note that DELIVERs up to `position` are put on the wire as bytes that were encoded before.

        The pump of a broker calls this once for many frames, whose order it answers for. Raises LocalProtocolError
        when the connection is not live or the position goes back.
        """
        if self.state is not State.LIVE or position < self.position:
            raise LocalProtocolError(f"cannot deliver up to {position}: {self.state.value} at {self.position}")
        self.position = position

    def _received(self, frame: Frame) -> None:
        if self.state is not State.LIVE or type(frame) not in self._steady:
            name = name_of(frame)
            after = TRANSITIONS[self.state].get(Move(self._peer, name))
            if after is None:
                may = ", ".join(allowed(self.state, self._peer)) or "nothing"
                raise RemoteProtocolError(
                    Reason.PROTOCOL_ERROR,
                    f"{name} from the {self._peer.value} while {self.state.value}; allowed: {may}",
                )
            self.state = after
        if type(frame) in _COUNTED:
            wrong = self._count(frame)
            if wrong:
                raise RemoteProtocolError(Reason.PROTOCOL_ERROR, wrong)

    def _say(self, frame: Frame) -> None:
        after: State | None = self.state
        if after is not State.LIVE or type(frame) not in self._steady_own:
            after = TRANSITIONS[self.state].get(Move(self.role, name_of(frame)))
        if after is None:
            may = ", ".join(allowed(self.state, self.role)) or "nothing"
            raise LocalProtocolError(f"{name_of(frame)} may not be sent while {self.state.value}; allowed: {may}")
        if type(frame) in _COUNTED:
            wrong = self._count(frame)
            if wrong:
                raise LocalProtocolError(wrong)
        self.state = after

    def _count(self, frame: Frame) -> str | None:
        """Move the numbers by a frame that either side says; what is wrong with it, if anything is."""
        if isinstance(frame, Deliver):
            if frame.seq != self.position + 1:
                return f"DELIVER {frame.seq} after {self.position}; every number comes once, in order"
            self.position = frame.seq
        elif isinstance(frame, Ack):
            if frame.seq > self.position:
                return f"ACK {frame.seq} beyond what was delivered ({self.position})"
        elif isinstance(frame, Gap):
            if frame.first != self.position + 1:
                return f"GAP {frame.first} to {frame.last} after {self.position}; it begins at the next number"
            self.position = frame.last
        elif isinstance(frame, Connack):
            self.position = frame.position
            self._buffer.frame_bytes_max = self._receivable_bytes_max(frame)
        return None

    def _receivable_bytes_max(self, connack: Connack) -> int:
        own = self._limits.frame_bytes_max
        if self.role is Role.BROKER or connack.granted is None:
            return own
        return max(own, min(connack.granted.frame_bytes_max, FRAME_BYTES_MOST))


def _steady_frames(by: Role) -> frozenset[type[Frame]]:
    """The frames that `by` may say while live and that leave it live: the way past the table for nearly all."""
    live = TRANSITIONS[State.LIVE]
    stay = {move.what for move, after in live.items() if move.by is by and after is State.LIVE}
    return frozenset(frame for frame in FRAMES if frame.frame_type.name in stay)


_STEADY = {role: _steady_frames(role) for role in Role}
