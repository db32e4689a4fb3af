"""WebSocket on top of another transport: to whoever is above, a stream of bytes like any other.

Theory of operation. Downward, a *chunk* of the stream becomes *wire* bytes: in the binary sub-protocol one message
with these very bytes, in the JSON sub-protocol a message for each frame. The transport below may take a part of the
wire; the chunk counts as taken when all of its wire is. Until then whoever sends comes back with the same bytes, which
is what the port asks of him anyway, so that nothing is kept here but the rest of one chunk's wire, and nobody is ever
left with a rest that nothing pushes on. Between two wires is the only place for a control frame.

Upward, the binary sub-protocol hands on payload as it comes, message or no message; the JSON sub-protocol collects
one message, within bounds, and hands it on in the binary form. What breaks the rules is raised when everything before
it was read; from then on nothing of the peer is looked at, and this side still says why it closes.
"""

import trio
from wsproto.frame_protocol import Opcode

from roost_broker.transport import framing
from roost_broker.transport.framing import Broken, Closed, FrameReader, Piece
from roost_broker.transport.port import ConnectionLost, PeerCertificate, Transport
from roost_protocol import websocket
from roost_protocol.errors import RemoteProtocolError
from roost_protocol.limits import KIB, Limits
from roost_protocol.reasons import Reason
from roost_protocol.transcoding import JsonForm, to_binary, whole_frames

CHUNK_BYTES = 64 * KIB
"""What becomes a message of its own at most (a frame alone may be larger): about what a socket's buffer takes."""

LENGTH_BYTES = 4
"""A frame's own length field is not part of the length that limits speak of."""

_REASONS = {
    websocket.TOO_BIG: Reason.PACKET_TOO_LARGE,
    websocket.INVALID_DATA: Reason.MALFORMED_PACKET,
}
"""What is said in DISCONNECT for a close code; else that the protocol was broken."""


class WebSocketTransport:
    """An opened WebSocket on `inner`. See `Transport`.

    `received` are bytes that came after the handshake. With a `json` form, the sub-protocol is the JSON one. Before
    anything was sent, messages of `connect_bytes_max` are taken, and of `frame_bytes_max` after: the first frame that a
    broker says answers the log-in, or ends the connection.
    """

    __slots__ = (
        "_close_code", "_close_text", "_closing", "_control", "_deaf", "_ended", "_has_sent", "_inner", "_json",
        "_message_bytes_max", "_owed", "_reader", "_received", "_text", "_unreadable", "_violation", "_wire", "address",
        "host",
    )  # fmt: skip

    def __init__(self, inner: Transport, limits: Limits, *, json: JsonForm | None, received: bytes = b"") -> None:
        self._inner = inner
        self.address = inner.address
        self.host = inner.host
        self._json = json
        self._message_bytes_max = limits.frame_bytes_max + LENGTH_BYTES
        self._reader = FrameReader(limits.connect_bytes_max + LENGTH_BYTES)
        self._has_sent = False
        # Sending: the rest of a wire, and how many bytes of the stream it stands for; a control frame that waits.
        self._wire: memoryview | None = None
        self._owed = 0
        self._control: bytes | None = None
        self._close_code: int | None = None
        self._close_text = ""
        self._closing = False
        # Receiving: bytes not looked at yet, the text of a message that is not whole, what came to an end, and how.
        self._received = received
        self._text = bytearray()
        self._violation: RemoteProtocolError | None = None
        self._deaf = self._unreadable = False
        self._ended = False

    @property
    def certificate(self) -> PeerCertificate | None:
        """See `Transport.certificate`."""
        return self._inner.certificate

    # --- sending ---

    def try_send(self, data: bytes | memoryview) -> int:
        """See `Transport.try_send`."""
        if not self._has_sent:
            self._has_sent = True
            self._reader.allow(self._message_bytes_max)
        taken = 0
        while self._push():
            taken += self._owed
            self._owed = 0
            if taken == len(data):
                break
            rest = memoryview(data)[taken:] if taken else data
            wire, self._owed = self._encoded(rest)
            self._wire = memoryview(wire)
        return taken

    def _push(self) -> bool:
        """Send the rest of the wire, and then a control frame if one waits; whether all of it is gone."""
        while True:
            wire = self._wire
            if wire is None:
                if self._control is None:
                    return True
                wire, self._control = memoryview(self._control), None
            sent = self._inner.try_send(wire)
            if sent < len(wire):
                self._wire = wire[sent:]
                return False
            self._wire = None

    def _encoded(self, data: bytes | memoryview) -> tuple[bytes, int]:
        """The wire of a chunk at the beginning of `data`, and how long the chunk is."""
        if self._json is None:
            chunk = data if len(data) <= CHUNK_BYTES else memoryview(data)[:CHUNK_BYTES]
            return framing.header(Opcode.BINARY, len(chunk)) + chunk, len(chunk)
        wire: list[bytes] = []
        chunk_bytes = wire_bytes = 0
        for frame_type, body in whole_frames(data):
            text = self._json.text(frame_type, body)
            wire += (framing.header(Opcode.TEXT, len(text)), text)
            chunk_bytes += LENGTH_BYTES + 1 + len(body)
            wire_bytes += len(text)
            if wire_bytes >= CHUNK_BYTES:
                break
        return b"".join(wire), chunk_bytes

    async def wait_writable(self) -> None:
        """See `Transport.wait_writable`."""
        await self._inner.wait_writable()

    def explain_end(self, reason: int, text: str) -> None:
        """See `Transport.explain_end`."""
        if self._close_code is None:
            self._close_code = websocket.close_code(reason)
        self._close_text = text or Reason.of(reason).phrase

    def send_eof(self) -> None:
        """See `Transport.send_eof`."""
        if self._closing:
            return
        self._closing = True
        code = websocket.NORMAL if self._close_code is None else self._close_code
        self._control = framing.close(code, self._close_text)
        self._try_push()

    def _try_push(self) -> None:
        """Push on what nobody else may come back for. That the connection is lost, the next call says."""
        if self._owed:
            return
        try:
            self._push()
        except ConnectionLost:
            self._control = None

    # --- receiving ---

    def recv_nowait(self, bytes_max: int) -> bytes | None:
        """See `Transport.recv_nowait`."""
        self._try_push()
        self._raise_violation()
        if self._ended:
            return b""
        data: bytes | None
        if self._received:
            data, self._received = self._received, b""
        else:
            data = self._inner.recv_nowait(bytes_max)
        if data is None or (data and self._unreadable):
            return None
        payload = b""
        if data:
            payload = self._read(data)
        else:
            self._ended = True
        if not payload:
            self._raise_violation()
        return payload or (b"" if self._ended else None)

    def _raise_violation(self) -> None:
        """Raise RemoteProtocolError once, if the peer has broken a rule."""
        violation, self._violation = self._violation, None
        if violation is not None:
            self._deaf = True
            raise violation

    def _read(self, data: bytes) -> bytes:
        """What these bytes have for whoever is above."""
        payload: list[bytes] = []
        try:
            for event in self._reader.read(data):
                if isinstance(event, Piece):
                    self._take(event, payload)
                elif isinstance(event, Closed):
                    self._ended = True
                    if self._close_code is None:
                        self._close_code = event.code
                elif not self._closing:
                    self._control = framing.pong(event.data)
        except Broken as broken:
            self._unreadable = True
            self._break(broken)
        self._try_push()
        return payload[0] if len(payload) == 1 else b"".join(payload)

    def _take(self, piece: Piece, payload: list[bytes]) -> None:
        """Add what a piece has to `payload`, unless nobody listens any more."""
        if self._closing or self._deaf or self._violation is not None:
            return
        try:
            payload.append(self._in_binary(piece))
        except Broken as broken:
            self._break(broken)
        except RemoteProtocolError as violation:
            self._violation = violation
            self._close_code = websocket.close_code(violation.reason)

    def _break(self, broken: Broken) -> None:
        if self._closing:
            self._ended = True  # nobody is there any more to be told
        elif not self._deaf and self._violation is None:
            reason = _REASONS.get(broken.code, Reason.PROTOCOL_ERROR)
            self._violation = RemoteProtocolError(reason, f"WebSocket: {broken}")
            self._close_code = broken.code

    def _in_binary(self, piece: Piece) -> bytes:
        """What a piece has for whoever is above. Raises Broken and RemoteProtocolError."""
        if piece.is_text != (self._json is not None):
            found, spoken = ("text", websocket.BINARY) if piece.is_text else ("binary", websocket.JSON)
            raise Broken(websocket.UNSUPPORTED_DATA, f"a {found} message, but the sub-protocol is {spoken}")
        if not piece.is_text:
            return piece.data
        if piece.last and not self._text:
            return to_binary(piece.data)
        self._text += piece.data
        if not piece.last:
            return b""
        text = bytes(self._text)
        self._text.clear()
        return to_binary(text)

    async def wait_readable(self) -> None:
        """See `Transport.wait_readable`."""
        if self._received or self._ended or self._violation is not None:
            await trio.lowlevel.checkpoint()
        else:
            await self._inner.wait_readable()

    def close(self) -> None:
        """See `Transport.close`."""
        self._inner.close()
