"""The JSON form: a text from a peer, read as a frame, and made into the binary form for those inside.

What was read has a binary form and a JSON form that both say the same, and no lone surrogate gets into either.
"""

from collections.abc import Iterator

from fuzz.codec_binary import FRAMES_SEEDED
from fuzz.target import Memory, Target
from fuzz.weighing import weighed
from roost_protocol import codec
from roost_protocol.errors import RemoteProtocolError
from roost_protocol.limits import HEADER_BYTES
from roost_protocol.transcoding import JsonForm, to_binary


def one(data: bytes) -> None:
    """Read a text as a frame."""
    with weighed():
        encoded = to_binary(data)
        frame = codec.decode_body(encoded[HEADER_BYTES - 1], encoded[HEADER_BYTES:])
        said = codec.encode_json(frame)
        assert repr(codec.decode_json(said)) == repr(frame)
        assert JsonForm().text(encoded[HEADER_BYTES - 1], encoded[HEADER_BYTES:]) == said.encode()


def seeds() -> Iterator[bytes]:
    """Each frame; and what JSON has that makes readers stumble."""
    yield from (codec.encode_json(frame).encode() for frame in FRAMES_SEEDED)
    ping = b'{"frame":"PING","more":%b}'
    yield from (ping % each for each in ODD_JSON)
    yield b'{"frame":"PUBLISH","n":1,"to":"user/bob","text":"\\ud800"}'
    yield b'{"frame":"PUBLISH","n":1e400,"to":"user/bob","text":""}'
    yield b'{"frame":"PUBLISH","n":9007199254740992,"to":"user/bob","text":""}'
    yield b'{"frame":"ACK","seq":1,"seq":2}'
    yield b'{"frame":"ACK","seq":NaN}'
    yield b'{"frame":"ACK","frame":"PING","seq":1}'
    yield b"[" * 4_000
    yield b'{"frame":' * 400


ODD_JSON = (
    b"[" * 3_000 + b"]" * 3_000,
    b'{"a":' * 700 + b"1" + b"}" * 700,
    b"9" * 3_000,
    b"1e999999999",
    b"-0.0",
    b"NaN",
    b"Infinity",
    b"null",
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\\u0000"',
    b'{"a":1,"a":2}',
    b'"\xff\xfe"',
    b'"\xc0\x80"',
    b'"\xed\xa0\x80"',
    b"1 2",
)
"""Values that one reader takes and another does not: too deep, too large, not Unicode, said twice."""

JSON_TOKENS = (b'"\\ud800"', b"NaN", b"1e400", b"-1", b"[[[[[[[[", b'{"":', b"null", b"\\u0000", b'"', b",", b"9" * 40)

TARGET = Target(
    name="codec_json",
    one=one,
    documented=(RemoteProtocolError,),
    memory=Memory(for_each_byte=16, beside=16 * 1024),
    seeds=seeds,
    tokens=(b'"frame":"PUBLISH"', b'"frame":"FETCH"', b'"users":[', b'"data":"', *JSON_TOKENS),
    bytes_max=8_192,
)
