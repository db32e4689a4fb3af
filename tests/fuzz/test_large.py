"""Inputs as large as they may be, and what they take: as much for each byte as small ones, whatever is in them."""

import msgspec
import pytest

from fuzz import codec_binary, codec_json, connection
from fuzz.codec_binary import framed
from fuzz.target import Target
from fuzz.weighing import weigh
from roost_protocol.frames import FrameType
from roost_protocol.limits import KIB

BYTES = 240 * KIB
"""A little less than a frame may have."""

_packed = msgspec.msgpack.encode
_DELIVER = {"seq": 1, "entry": {"id": "0" * 16, "from": "a", "to": "user/b", "time": 1, "text": ""}}
_ENDLESS = b"\xff\xff\xff\xff"

BINARY = {
    "one text": framed(FrameType.PUBLISH, _packed({"n": 1, "to": "user/bob", "text": "x" * BYTES})),
    "numbers under a key that is not known": framed(FrameType.PING, _packed({"more": [7] * BYTES})),
    "a map of many keys": framed(FrameType.PING, _packed({"more": {f"{number:06}": 1 for number in range(28_000)}})),
    "deep": framed(FrameType.PING, b"\x81\xa4more" + b"\x91" * BYTES),
    "more names than may be": framed(FrameType.SUBSCRIBE, _packed({"request": 1, "users": ["bob"] * 60_000})),
    "a page of small entries": framed(FrameType.PAGE, _packed({"request": 1, "entries": [_DELIVER] * 3_900})),
    "small frames": framed(FrameType.PING, b"\x80") * (BYTES // 6),
    "an array of 2^32": framed(FrameType.PAGE, b"\x82\xa7request\x01\xa7entries\xdd\xff\xff\xff\xff" + b"\xc0" * BYTES),
    "a text of 2^32": framed(FrameType.PUBLISH, b"\x83\xa1n\x01\xa2to\xa6user/b\xa4text\xdb" + _ENDLESS + b"x" * BYTES),
    "a length of 2^31, and much after it": (2**31).to_bytes(4, "big") + b"x" * BYTES,
}  # fmt: skip

JSON = {
    "one text": b'{"frame":"PUBLISH","n":1,"to":"user/bob","text":"%b"}' % (b"x" * BYTES),
    "escapes": b'{"frame":"PUBLISH","n":1,"to":"user/bob","text":"%b"}' % (b"\\u1234" * (BYTES // 6)),
    "deep": b'{"frame":"PING","more":' + b"[" * BYTES,
    "numbers": b'{"frame":"PING","more":[%b1]}' % (b"1," * (BYTES // 2)),
    "one number": b'{"frame":"ACK","seq":%b}' % (b"9" * BYTES),
    "keys": b'{"frame":"PING",%b}' % b",".join(b'"k%d":1' % number for number in range(22_000)),
    "the same key": b'{"frame":"ACK",%b}' % b",".join([b'"seq":1'] * (BYTES // 8)),
    "small entries": b'{"frame":"PAGE","request":1,"entries":[%b]}' % b",".join([b'{"seq":1,"kind":"erased"}'] * 9_000),
}

CASES = [
    *((codec_binary.TARGET, name, data) for name, data in BINARY.items()),
    *((connection.TARGET, f"a device hears {name}", b"\2" + data) for name, data in BINARY.items()),
    *((connection.TARGET, f"a broker hears {name}", b"\3" + data) for name, data in BINARY.items()),
    *((codec_json.TARGET, name, data) for name, data in JSON.items()),
]


@pytest.mark.parametrize(("target", "name", "data"), CASES, ids=[f"{each[0].name}: {each[1]}" for each in CASES])
def test_what_is_large_takes_no_more_for_each_byte(target: Target, name: str, data: bytes) -> None:
    assert len(data) >= BYTES // 2, name
    peak = weigh(target.one, data, target.documented)
    assert peak <= target.memory.bound(data), f"{peak} bytes for {len(data)}"
