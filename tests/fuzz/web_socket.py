"""The web listener: any bytes before the WebSocket is open, and any frames after.

The first byte says what the rest is: HTTP as it is; what follows a handshake on the binary and on the JSON
sub-protocol; one text on the latter; and the headers of a handshake. Whatever comes, the server's answers are whole,
in order, and come to an end.
"""

from collections.abc import Iterator

from broker.house import House
from broker.web.wires import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, closing, frame, handshake, parse
from fuzz import codec_binary, codec_json
from fuzz.broker_connection import CONNECT, REQUESTS
from fuzz.house_case import play, say_and_hear
from fuzz.http_request import check_answers
from fuzz.target import Memory, Target
from fuzz.weighing import weighed
from roost_protocol import codec
from roost_protocol.websocket import BINARY as BINARY_PROTOCOL
from roost_protocol.websocket import JSON as JSON_PROTOCOL

KINDS = 5


def one(data: bytes) -> None:
    """Send it to the web listener, and hear it out."""
    play(lambda house: _case(house, data), web=True)


async def _case(house: House, data: bytes) -> None:
    kind, rest = (data[0] if data else 0) % KINDS, data[1:]
    match kind:
        case 0:
            said = rest
        case 1:
            said = handshake(BINARY_PROTOCOL) + rest
        case 2:
            said = handshake(JSON_PROTOCOL) + rest
        case 3:
            said = handshake(JSON_PROTOCOL) + frame(TEXT, rest)
        case _:
            said = b"GET /ws HTTP/1.1\r\n" + rest + b"\r\n\r\n"
    stream = await house.web.dial()
    with weighed():
        heard = await say_and_hear(stream, said)
    at = heard.find(b"HTTP/1.1 101")
    check_answers(heard if at < 0 else heard[:at])
    if at >= 0:
        _check_frames(heard[at:].partition(b"\r\n\r\n")[2])


def _check_frames(heard: bytes) -> None:
    frames, rest = parse(heard)
    assert not rest, f"the answer ends inside a frame: {rest!r}"
    opcodes = [each.opcode for each in frames]
    assert set(opcodes) <= {TEXT, BINARY, CLOSE, PONG}
    assert CLOSE not in opcodes[:-1], "something follows a Close"


def seeds() -> Iterator[bytes]:
    """Handshakes, frames of every kind, and lengths, masks and fragments that must not be."""
    right = handshake(BINARY_PROTOCOL)
    yield b"\0" + right
    yield b"\0" + right.replace(b"13", b"8")
    yield b"\0" + right.replace(b"websocket", b"h2c")
    yield b"\0" + right.replace(b"GET", b"POST").replace(b"host: roost", b"host: roost\r\ncontent-length: 5")
    yield b"\0" + handshake(None)
    yield b"\0" + handshake(BINARY_PROTOCOL, origin="https://elsewhere.example")
    yield b"\0" + handshake(BINARY_PROTOCOL, sec_websocket_extensions="permessage-deflate")
    yield b"\0GET / HTTP/1.1\r\nhost: roost\r\n\r\n" + right
    yield b"\0POST /csp-report HTTP/1.1\r\nhost: roost\r\ncontent-length: 26\r\n\r\n" + b'{"csp-report":{"a":"\\ud8"}}'
    yield b"\0POST /csp-report HTTP/1.1\r\nhost: roost\r\ncontent-length: 2147483648\r\n\r\n"
    yield b"\4" + right.partition(b"\r\n")[2].strip()
    yield b"\4" + right.partition(b"\r\n")[2].strip().replace(b"dGhl", b"\xff\xff\xff\xff")
    said = codec.encode(CONNECT) + b"".join(codec.encode(request) for request in REQUESTS)
    yield b"\1" + frame(BINARY, said)
    yield b"\1" + frame(BINARY, said[:30], fin=False) + frame(PING, b"hm") + frame(CONTINUATION, said[30:])
    yield b"\1" + frame(PING, b"x" * 125) * 20 + frame(CLOSE, closing(1000, b"bye"))
    yield from (b"\1" + frame(BINARY, stream) for stream in codec_binary.seeds())
    for declared in (126, 0xFFFF, 2**31, 2**62, 2**63, 2**64 - 1):
        yield b"\1" + frame(BINARY, b"x", declared=declared)
        yield b"\2" + frame(TEXT, b"x", declared=declared)
    yield b"\1" + frame(BINARY, b"x" * 200, fin=False) + frame(CONTINUATION, b"x" * 200, fin=False) * 30
    yield b"\1" + frame(BINARY, b"x", mask=None)
    yield b"\1" + frame(BINARY, b"x", rsv=4)
    yield b"\1" + frame(11, b"x")
    yield b"\1" + frame(PING, b"x" * 126)
    yield b"\1" + frame(CONTINUATION, b"x")
    yield b"\1" + frame(CLOSE, b"x")
    yield b"\1" + frame(CLOSE, closing(1005))
    yield b"\1" + frame(CLOSE, closing(1000, b"\xff"))
    yield b"\1" + frame(TEXT, b"x")
    text = codec.encode_json(CONNECT).encode()
    texts = frame(TEXT, text) + b"".join(frame(TEXT, codec.encode_json(each).encode()) for each in REQUESTS)
    yield b"\2" + texts
    yield b"\2" + frame(TEXT, text[:9], fin=False) + frame(CONTINUATION, text[9:])
    yield b"\2" + frame(TEXT, b'{"frame":"\xff"}')
    yield b"\3" + text
    yield from (b"\3" + each for each in codec_json.seeds())


TARGET = Target(
    name="web_socket",
    one=one,
    documented=(),
    memory=Memory(for_each_byte=32, beside=256 * 1024),
    seeds=seeds,
    tokens=(
        b"\r\n", b"sec-websocket-key: ", b"sec-websocket-protocol: roost.v1.json\r\n", b"upgrade: websocket\r\n",
        b"origin: null\r\n", b"\x82\xfe\x7f\xff", b"\x81\xff" + b"\x7f" + b"\xff" * 7, b"\x88\x80\0\0\0\0", b"\x89\xfd",
        b"\x00\x80\0\0\0\0", b"\x01\x80\0\0\0\0", *codec_json.TARGET.tokens,
    ),
    bytes_max=8_192,
)  # fmt: skip
