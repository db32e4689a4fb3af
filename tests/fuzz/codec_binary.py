"""The binary form: a stream of bytes from a peer, cut into frames.

Beside what may come out of it: the same stream gives the same frames whatever the chunks, what was read can be said
again and is the same then, and no more is kept than one frame that is not whole.
"""

from collections.abc import Iterator

from fuzz.target import Memory, Target
from fuzz.weighing import weighed
from roost_protocol import codec
from roost_protocol.errors import RemoteProtocolError
from roost_protocol.frames import (
    FRAMES,
    Ack,
    Connack,
    Connect,
    Deliver,
    Disconnect,
    Entry,
    Frame,
    Gap,
    Granted,
    Origin,
    Ping,
    Puback,
    Publish,
)
from roost_protocol.limits import FRAME_OVERHEAD_BYTES, HEADER_BYTES, Limits

FRAME_BYTES_MAX = Limits().frame_bytes_max

ENTRY = Entry(
    id="0123456789abcdef", time=1_700_000_000_000, sender="alice", to="user/bob", content_type="text/plain", text="hi"
)

GRANTED = Granted(frame_bytes_max=9, body_bytes_max=8, publish_max=7, receive_max=6, receive_bytes_max=5, keepalive_s=4)

FRAMES_SEEDED: tuple[Frame, ...] = (
    Connect(user="alice", terminal="phone", device="d1", password="open sesame", last_seq=3, last_id="0" * 16),
    Connack(epoch=7, head=9, floor=1, position=3, granted=GRANTED, took_over=Origin(by="d2", at=1, address="memory:1")),
    Publish(n=1, to="user/bob", text="hi"),
    Publish(n=2, to="group/team", data=b"\0\xff", content_type="application/octet-stream"),
    Puback(n=1, reason=0, seq=1, id="0123456789abcdef", time=1),
    Deliver(seq=1, entry=ENTRY),
    Deliver(seq=2, kind="own", device="d1", n=1, entry=ENTRY),
    Ack(seq=1),
    Gap(first=1, last=9, reason="age"),
    Ping(),
    Disconnect(reason=0x8E, text="taken over", origin=Origin(by="d2", at=1, address="memory:1")),
)


def one(data: bytes) -> None:
    """Read a stream, whole and in two parts."""
    with weighed():
        buffer = codec.ReceiveBuffer(FRAME_BYTES_MAX)
        whole, error = _read(buffer, data)
        assert error is not None or len(buffer) <= min(len(data), HEADER_BYTES + FRAME_BYTES_MAX)
        half = len(data) // 2
        buffer = codec.ReceiveBuffer(FRAME_BYTES_MAX)
        first, early = _read(buffer, data[:half])
        second, late = ([], early) if early else _read(buffer, data[half:])
        assert (first + second, early or late) == (whole, error)
        for frame in whole:
            again = codec.encode(frame)
            assert repr(codec.decode_body(again[HEADER_BYTES - 1], again[HEADER_BYTES:])) == repr(frame)
    if error is not None:
        raise error


def _read(buffer: codec.ReceiveBuffer, data: bytes) -> tuple[list[Frame], RemoteProtocolError | None]:
    frames: list[Frame] = []
    try:
        frames.extend(buffer.cut(data))
    except RemoteProtocolError as error:
        return frames, error
    return frames, None


def seeds() -> Iterator[bytes]:
    """Each frame; all of them; lengths without what they announce; a map that is too deep; every type, empty."""
    encoded = [codec.encode(frame) for frame in FRAMES_SEEDED]
    yield from encoded
    yield b"".join(encoded)
    yield b"".join(b"\0\0\0\x02" + bytes([kind, 0x80]) for kind in range(len(FRAMES) + 2))
    yield (2**31).to_bytes(4, "big") + b"\x01"
    yield (2**32 - 1).to_bytes(4, "big")
    yield b"\0\0\0\0"
    yield FRAME_BYTES_MAX.to_bytes(4, "big") + b"\x01"
    yield framed(1, b"\x81\xa4user" + b"\x91" * 3_000 + b"\xc0")
    yield framed(1, b"\x81\xa4user\xdb\xff\xff\xff\xff")
    yield framed(1, b"\xdf\xff\xff\xff\xff")
    yield framed(1, b"\x82\xa4user\xa1a\xa4user\xa1b")
    yield framed(3, b"\x83\xa1n\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xa2to\xa8user/bob\xa4text\xa1\xff")


def framed(kind: int, body: bytes) -> bytes:
    """A frame of this type and body."""
    return (len(body) + 1).to_bytes(4, "big") + bytes([kind]) + body


TARGET = Target(
    name="codec_binary",
    one=one,
    documented=(RemoteProtocolError,),
    # The stream is read twice, and each frame encoded again.
    memory=Memory(for_each_byte=24, beside=16 * 1024),
    seeds=seeds,
    tokens=(b"\xa4user", b"\xa1n", b"\xa3seq", b"\xa5entry", b"\xdf\xff\xff\xff\xff", b"\xcb\x7f\xf8", b"\xc7\x08\xff"),
    bytes_max=4 * FRAME_OVERHEAD_BYTES,
)
