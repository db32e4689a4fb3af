"""The frames of WebSocket (RFC 6455, 5), as a server reads and writes them. Bytes in, events out.

wsproto takes frames apart; it believes a length of 2^62, and counts nothing. What a message may have, over all of its
fragments, is looked at here, as soon as a header says it.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from wsproto.frame_protocol import CloseReason, Frame, FrameDecoder, MessageDecoder, Opcode, ParseFailed

from roost_protocol import websocket

FINAL = 0x80
_LENGTH_16, _LENGTH_64 = 126, 127
_SHORT = struct.Struct(">BB")
_MIDDLE = struct.Struct(">BBH")
_LONG = struct.Struct(">BBQ")
_CODE = struct.Struct(">H")

_REGISTERED = frozenset(CloseReason) - {
    CloseReason.NO_STATUS_RCVD,
    CloseReason.ABNORMAL_CLOSURE,
    CloseReason.TLS_HANDSHAKE_FAILED,
}
_OF_LIBRARIES = 3000
_CODE_MOST = 4999
"""RFC 6455, 7.4.2: codes that may be said."""


class Broken(Exception):
    """The peer broke the rules of WebSocket; `code` is the one to close with."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Piece(NamedTuple):
    """A piece of a message; `last`: the message ends with it. Of a text it is UTF-8 that is whole."""

    is_text: bool
    data: bytes
    last: bool


class Pinged(NamedTuple):
    """To be answered by a pong with the same."""

    data: bytes


class Closed(NamedTuple):
    """The peer closes, for this reason; `NO_CODE`: for none that it says. Nothing follows."""

    code: int


Event = Piece | Pinged | Closed


class FrameReader:
    """What a client says, from `message_bytes_max` bytes for each message on."""

    def __init__(self, message_bytes_max: int) -> None:
        self._decoder = _BoundedDecoder(message_bytes_max)
        self._messages = MessageDecoder()

    def allow(self, message_bytes_max: int) -> None:
        """Take larger messages from now on."""
        self._decoder.message_bytes_max = message_bytes_max

    def read(self, data: bytes) -> Iterator[Event]:
        """What these bytes complete, or carry a piece of. Raises Broken, after which there is nothing more to read."""
        self._decoder.receive_bytes(data)
        while True:
            try:
                frame = self._next()
            except ParseFailed as failed:
                raise Broken(failed.code, str(failed)) from failed
            if frame is None:
                return
            if frame.opcode is Opcode.PING:
                yield Pinged(_bytes(frame))
            elif frame.opcode is Opcode.CLOSE:
                yield _closed(_bytes(frame))
                return
            elif frame.opcode is not Opcode.PONG:
                payload = frame.payload
                is_text = isinstance(payload, str)
                yield Piece(
                    is_text, payload.encode() if isinstance(payload, str) else _bytes(frame), frame.message_finished
                )

    def _next(self) -> Frame | None:
        """Raises ParseFailed."""
        frame = self._decoder.process_buffer()
        if frame is None or frame.opcode.iscontrol():
            return frame
        return self._messages.process_frame(frame)


class _BoundedDecoder(FrameDecoder):
    """Counts what a message has in all as soon as a header declares it, before anything of it is kept."""

    def __init__(self, message_bytes_max: int) -> None:
        super().__init__(client=False, extensions=[])
        self.message_bytes_max = message_bytes_max
        self._message_bytes = 0

    def parse_header(self) -> bool:
        """See `FrameDecoder.parse_header`. Raises ParseFailed."""
        if not super().parse_header():
            return False
        header = self.header
        if header is None or header.opcode.iscontrol():
            return True
        if header.opcode is not Opcode.CONTINUATION:
            self._message_bytes = 0
        self._message_bytes += header.payload_len
        if self._message_bytes > self.message_bytes_max:
            text = f"a message of {self._message_bytes} bytes; at most {self.message_bytes_max} are allowed here"
            raise ParseFailed(text, CloseReason.MESSAGE_TOO_BIG)
        return True


def _bytes(frame: Frame) -> bytes:
    if not isinstance(frame.payload, bytes):
        raise AssertionError(f"no bytes in {frame!r}")
    return frame.payload


def _closed(payload: bytes) -> Closed:
    """Raises Broken: what stands in the Close may not (RFC 6455, 5.5.1 and 7.4)."""
    if not payload:
        return Closed(websocket.NO_CODE)
    if len(payload) == 1:
        raise Broken(websocket.PROTOCOL_ERROR, "a Close of 1 byte: a code has 2")
    (code,) = _CODE.unpack_from(payload)
    if code not in _REGISTERED and not _OF_LIBRARIES <= code <= _CODE_MOST:
        raise Broken(websocket.PROTOCOL_ERROR, f"a Close with the code {code}, which must not be said")
    try:
        payload[2:].decode()
    except UnicodeDecodeError as error:
        raise Broken(websocket.INVALID_DATA, "a Close whose reason is not UTF-8") from error
    return Closed(code)


def header(opcode: Opcode, length: int) -> bytes:
    """What stands before the `length` bytes of a frame that is a whole message, or a control frame."""
    if length < _LENGTH_16:
        return _SHORT.pack(FINAL | opcode, length)
    if length <= 0xFFFF:
        return _MIDDLE.pack(FINAL | opcode, _LENGTH_16, length)
    return _LONG.pack(FINAL | opcode, _LENGTH_64, length)


def pong(data: bytes) -> bytes:
    """The frame that answers a ping."""
    return header(Opcode.PONG, len(data)) + data


def close(code: int, text: str) -> bytes:
    """The frame that closes; `text` is cut to what has room. Without a code (`NO_CODE`) there is no text."""
    if code == websocket.NO_CODE:
        return header(Opcode.CLOSE, 0)
    # Cut by bytes, and what is left of a character that was cut goes too.
    reason = text.encode(errors="replace")[: websocket.CLOSE_TEXT_BYTES_MAX].decode(errors="ignore").encode()
    return header(Opcode.CLOSE, _CODE.size + len(reason)) + _CODE.pack(code) + reason
