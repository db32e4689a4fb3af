"""From the binary form of the wire to JSON and back, frame by frame, for a peer that speaks the other one.

A message goes to every device of everybody in its conversation as the same entry under numbers of their own. So the
text of an entry is made once: the last few are remembered by the entry's bytes.
"""

import struct
from collections.abc import Iterator

import msgspec

from roost_protocol import codec
from roost_protocol.errors import RemoteProtocolError
from roost_protocol.frames import EntryKind, FrameType
from roost_protocol.limits import HEADER_BYTES, TEXT_CHARS_MAX
from roost_protocol.reasons import Reason

_HEADER = struct.Struct(">IB")
_LENGTH_BYTES = 4
_DELIVER = FrameType.DELIVER.value

ENTRIES_REMEMBERED = 16
"""Entries whose text is kept: more than one batch has for the same people, and a few hundred KiB at most as a rule."""


class _Numbered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A DELIVER without its entry: its keys but the last."""

    seq: int
    kind: EntryKind = "message"
    device: str | None = None
    n: int | None = None


class _SplitDeliver(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A DELIVER with its entry as it is encoded."""

    seq: int
    kind: EntryKind = "message"
    device: str | None = None
    n: int | None = None
    entry: msgspec.Raw = msgspec.Raw()


_split = msgspec.msgpack.Decoder(_SplitDeliver).decode
_to_json = msgspec.json.Encoder().encode


class JsonForm:
    """Frames of a broker as JSON. One for all connections: what it remembers serves all of them."""

    def __init__(self) -> None:
        self._entries: dict[bytes, bytes] = {}

    def text(self, frame_type: int, body: bytes | memoryview) -> bytes:
        """The same as `codec.encode_json` has it, in UTF-8, for a frame's type and body that are right."""
        if frame_type != _DELIVER:
            return codec.encode_json(codec.decode_body(frame_type, bytes(body))).encode()
        deliver = _split(body)
        entry = bytes(deliver.entry)
        if not entry:
            return codec.encode_json(codec.decode_body(frame_type, bytes(body))).encode()
        text = self._entries.get(entry)
        if text is None:
            text = self._remember(entry)
        if deliver.kind == "message" and deliver.device is None and deliver.n is None:
            return b'{"frame":"DELIVER","seq":%d,"entry":%b}' % (deliver.seq, text)
        top = _to_json(_Numbered(seq=deliver.seq, kind=deliver.kind, device=deliver.device, n=deliver.n))
        return b'{"frame":"DELIVER",%b,"entry":%b}' % (top[1:-1], text)

    def _remember(self, entry: bytes) -> bytes:
        text = _to_json(codec.decode_entry(entry))
        while len(self._entries) >= ENTRIES_REMEMBERED:
            del self._entries[next(iter(self._entries))]
        self._entries[entry] = text
        return text


def whole_frames(data: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
    """Type and body of each frame in `data`, which has whole frames alone."""
    view = memoryview(data)
    start = 0
    while start < len(view):
        length, frame_type = _HEADER.unpack_from(view, start)
        end = start + _LENGTH_BYTES + length
        yield frame_type, view[start + HEADER_BYTES : end]
        start = end


def to_binary(text: bytes) -> bytes:
    """A frame in JSON, in its binary form. Raises RemoteProtocolError."""
    frame = codec.decode_json(text)
    try:
        return codec.encode(frame)
    except ValueError as error:  # text that UTF-8 does not have
        raise RemoteProtocolError(Reason.MALFORMED_PACKET, f"JSON frame: {error}"[:TEXT_CHARS_MAX]) from error
