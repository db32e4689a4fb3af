"""Frames to bytes and back, in both forms of the wire; and the receive buffer that cuts a stream into frames.

Binary: 4 bytes of length (big-endian, of what follows), 1 byte of type, a MessagePack map. JSON: the same map with
the frame's name under `frame`. Decoding validates: it returns a frame or raises `RemoteProtocolError`, never
anything else, whatever the bytes are.

A DELIVER is a few bytes of its own around the entry's bytes, which are the same in every inbox: `encode_entry` is
done once, and `encode_deliver` puts what it returned into a frame without looking inside.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

import msgspec

from roost_protocol.errors import RemoteProtocolError
from roost_protocol.frames import FRAMES, Entry, EntryKind, Frame, FrameType
from roost_protocol.limits import HEADER_BYTES, TEXT_CHARS_MAX
from roost_protocol.reasons import Reason

_HEADER = struct.Struct(">IB")
_LENGTH = struct.Struct(">I")
_LENGTH_BYTES = 4
_SEQ = b"\xa3seq"
_OWN = b"\xa4kind\xa3own\xa6device"
_N = b"\xa1n"
_ENTRY = b"\xa5entry"
"""The keys of a DELIVER as MessagePack, and the value of `kind`."""
_DELIVER_16 = struct.Struct(">IB5sBH6s")
_DELIVER_32 = struct.Struct(">IB5sBI6s")
"""A DELIVER of kind `message` up to its entry, for a number of 2 and of 4 bytes."""
_FIRST = b"\x82\xa3seq"
"""Where a map of two fields begins, with the first key."""
_MAP_OF_5 = b"\x85"
_UINT16, _UINT32 = 0xCD, 0xCE
_BODY_KEY_BYTES = 5
"""The key `text` or `data` as MessagePack."""

_DELIVER = FrameType.DELIVER.value
_MAP_HEADERS = [bytes((0x80 | fields,)) for fields in range(16)]
"""The header of a map, by the number of its fields, which are less than 16."""

_packer = msgspec.msgpack.Encoder()
_pack = _packer.encode
encode_entry: Callable[[Entry], bytes] = _pack
"""The MessagePack map of an entry, as it is stored and as it stands inside each DELIVER."""

_unpackers = {
    frame.frame_type.value: (msgspec.msgpack.Decoder(frame).decode, frame.frame_type.name) for frame in FRAMES
}
_to_json = msgspec.json.Encoder().encode
_json_decoders = {frame.frame_type.name: msgspec.json.Decoder(frame) for frame in FRAMES}
_entry_decoder = msgspec.msgpack.Decoder(Entry)


_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What msgspec lets out for input it cannot take: UnicodeDecodeError for bytes that are no UTF-8, UnicodeEncodeError
for JSON in a str with a lone surrogate."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class _Decoder(Protocol[T_co]):
    def decode(self, buf: bytes | str, /) -> T_co: ...


class _Tagged(msgspec.Struct):
    frame: str


_tag_decoder = msgspec.json.Decoder(_Tagged)


class _EncodedDeliver(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The keys of `Deliver`, around an entry that is encoded already."""

    seq: int
    kind: EntryKind = "message"
    device: str | None = None
    n: int | None = None
    entry: msgspec.Raw | None = None


def encode(frame: Frame) -> bytes:
    """The frame as bytes, header and all."""
    body = _pack(frame)
    return _HEADER.pack(len(body) + 1, frame.frame_type) + body


def decode_entry(encoded: bytes) -> Entry:
    """What `encode_entry` encoded. Raises msgspec.DecodeError for anything else."""
    try:
        return _entry_decoder.decode(encoded)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


def encode_deliver(seq: int, kind: EntryKind, device: str | None, n: int | None, entry: bytes | None) -> bytes:
    """The same bytes as `encode(Deliver(...))`, around the bytes of an entry that was encoded before."""
    if entry is not None and kind == "message" and device is None and n is None:
        return encode_message(seq, entry)
    raw = None if entry is None else msgspec.Raw(entry)
    body = _pack(_EncodedDeliver(seq=seq, kind=kind, device=device, n=n, entry=raw))
    return _HEADER.pack(len(body) + 1, FrameType.DELIVER) + body


def encode_message(seq: int, entry: bytes) -> bytes:
    """A DELIVER of kind `message`. Nearly every frame a broker says: put together by hand, it costs half."""
    if 0xFF < seq <= 0xFFFF:
        return _DELIVER_16.pack(15 + len(entry), _DELIVER, _FIRST, _UINT16, seq, _ENTRY) + entry
    if 0xFFFF < seq <= 0xFFFF_FFFF:
        return _DELIVER_32.pack(17 + len(entry), _DELIVER, _FIRST, _UINT32, seq, _ENTRY) + entry
    number = _pack(seq)
    size = 12 + len(number) + len(entry)
    return b"".join((_HEADER.pack(size, _DELIVER), _FIRST, number, _ENTRY, entry))


def encode_own(seq: int, device: str, n: int, entry: bytes, body_bytes: int, *, is_text: bool) -> tuple[bytes, bytes]:
    """A DELIVER of kind `own` for the sender's other devices, and for the connection that published it: without body.

    `body_bytes` is the length of the entry's body, in UTF-8 if it `is_text`. The body is the last field of an entry,
    so that one without it is its beginning, with one field less in the header of the map.
    """
    before = b"".join((_MAP_OF_5, _SEQ, _pack(seq), _OWN, _pack(device), _N, _pack(n), _ENTRY))
    size = 1 + len(before)
    bodiless = entry[1 : len(entry) - body_bytes - _body_header_bytes(body_bytes, is_text=is_text)]
    own = b"".join((_HEADER.pack(size + len(entry), _DELIVER), before, entry))
    fields = _MAP_HEADERS[entry[0] - 1 & 0x0F]
    echo = b"".join((_HEADER.pack(size + 1 + len(bodiless), _DELIVER), before, fields, bodiless))
    return own, echo


def _body_header_bytes(size: int, *, is_text: bool) -> int:
    """What stands before the bytes of a body: its key, and a header as long as MessagePack's str and bin have it."""
    if size < 32 and is_text:  # the length is in the byte of the type
        return _BODY_KEY_BYTES + 1
    if size <= 0xFF:
        return _BODY_KEY_BYTES + 2
    return _BODY_KEY_BYTES + (3 if size <= 0xFFFF else 5)


def decode_body(frame_type: int, body: bytes | bytearray) -> Frame:
    """The frame of this type byte and MessagePack body. Raises RemoteProtocolError."""
    known = _unpackers.get(frame_type)
    if known is None:
        raise RemoteProtocolError(
            Reason.PROTOCOL_ERROR, f"unknown frame type {frame_type}; known are 1 to {len(FRAMES)}"
        )
    decode, name = known
    try:
        return decode(body)
    except _UNREADABLE as error:
        raise _malformed(name, error) from error


def encode_json(frame: Frame) -> str:
    """The frame as one JSON object, its name under `frame`."""
    body = _to_json(frame).decode()
    tag = f'{{"frame":"{frame.frame_type.name}"'
    return tag + ("}" if body == "{}" else "," + body[1:])


def decode_json(text: str | bytes) -> Frame:
    """The frame of this JSON object. Raises RemoteProtocolError."""
    name = _decoded(_tag_decoder, text, "JSON frame").frame
    decoder = _json_decoders.get(name)
    if decoder is None:
        raise RemoteProtocolError(Reason.PROTOCOL_ERROR, f"unknown frame {name[:32]!r}")
    return _decoded(decoder, text, name)


def _decoded(decoder: _Decoder[T], text: str | bytes, what: str) -> T:
    try:
        return decoder.decode(text)
    except _UNREADABLE as error:
        raise _malformed(what, error) from error


def _malformed(what: str, error: Exception) -> RemoteProtocolError:
    return RemoteProtocolError(Reason.MALFORMED_PACKET, f"{what}: {error}"[:TEXT_CHARS_MAX])


class ReceiveBuffer:
    """Cuts a byte stream into frames, whatever chunks it comes in.

    Holds at most one incomplete frame, and so at most `frame_bytes_max` bytes and the header. A length over the
    limit is refused as soon as its 4 bytes are there.
    """

    def __init__(self, frame_bytes_max: int) -> None:
        self.frame_bytes_max = frame_bytes_max
        self._rest = bytearray()

    def __len__(self) -> int:
        return len(self._rest)

    def clear(self) -> None:
        """Forget what is buffered: nothing more will be looked at."""
        self._rest.clear()

    def cut(self, data: bytes | bytearray) -> Iterator[Frame]:
        """Yield each frame that is complete with `data`. Raises RemoteProtocolError where the stream goes wrong."""
        buffer: bytes | bytearray = data
        if self._rest:
            self._rest += data
            buffer = self._rest
        start = 0
        size = len(buffer)
        try:
            while size - start >= _LENGTH_BYTES:
                (length,) = _LENGTH.unpack_from(buffer, start)
                if not 1 <= length <= self.frame_bytes_max:
                    self.check_length(length)
                end = start + _LENGTH_BYTES + length
                if end > size:
                    break
                body_start = start + HEADER_BYTES
                start = end
                yield decode_body(buffer[body_start - 1], buffer[body_start:end])
        finally:
            if buffer is self._rest:
                del self._rest[:start]
            else:
                self._rest += buffer[start:]

    def check_length(self, length: int) -> None:
        """Raise RemoteProtocolError if no frame may have this length here."""
        if length == 0:
            raise RemoteProtocolError(Reason.MALFORMED_PACKET, "a frame of length 0; the least is 1")
        if length > self.frame_bytes_max:
            raise RemoteProtocolError(
                Reason.PACKET_TOO_LARGE,
                f"a frame of {length} bytes; at most {self.frame_bytes_max} are allowed here",
            )
