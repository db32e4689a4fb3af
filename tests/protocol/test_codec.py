"""Bytes to frames: the same whatever the chunks, and only the documented errors whatever the bytes."""

import json
from collections.abc import Callable
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.strategies import BY_FRAME, ENTRIES, frames, seqs
from roost_protocol import codec, limits
from roost_protocol import frames as f
from roost_protocol.errors import RemoteProtocolError
from roost_protocol.reasons import Reason

FRAME_BYTES_MAX = 2_048
TYPE_BYTES = st.sampled_from(list(f.FrameType)) | st.integers(0, 255)


def events(chunks: list[bytes], frame_bytes_max: int = FRAME_BYTES_MAX) -> list[f.Frame | RemoteProtocolError]:
    """What a receive buffer makes of the chunks: frames, and the violation that ends them. Checks its bound."""
    buffer = codec.ReceiveBuffer(frame_bytes_max)
    found: list[f.Frame | RemoteProtocolError] = []
    for chunk in chunks:
        try:
            found.extend(buffer.cut(chunk))
        except RemoteProtocolError as violation:
            found.append(violation)
            return found
        assert len(buffer) < limits.HEADER_BYTES + frame_bytes_max
    return found


def one_by_one(stream: bytes) -> list[bytes]:
    """The stream in chunks of one byte."""
    return [stream[i : i + 1] for i in range(len(stream))]


@st.composite
def chunked(draw: st.DrawFn, streams: st.SearchStrategy[bytes]) -> list[bytes]:
    """A stream cut anywhere, empty chunks too."""
    stream = draw(streams)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


def good_streams() -> st.SearchStrategy[bytes]:
    """Whole frames, one after the other."""
    return st.lists(frames().map(codec.encode), max_size=4).map(b"".join)


def headed() -> st.SearchStrategy[bytes]:
    """A header that is right, and a body that may be anything."""
    bodies = st.binary(max_size=60) | packed()
    return st.builds(lambda kind, body: (len(body) + 1).to_bytes(4, "big") + bytes([kind]) + body, TYPE_BYTES, bodies)


def any_streams() -> st.SearchStrategy[bytes]:
    """Frames, garbage, frames followed by garbage, and bodies that are nearly right."""
    return st.lists(frames().map(codec.encode) | headed() | st.binary(max_size=20), max_size=4).map(b"".join)


def packed() -> st.SearchStrategy[bytes]:
    """MessagePack of any value that has a form in it, often a map with keys that frames have."""
    return msgpack_values().map(msgspec.msgpack.encode)


def msgpack_values() -> st.SearchStrategy[Any]:
    """Any MessagePack value: mostly maps whose keys some frame has."""
    keys = sorted({field.encode_name for frame in f.FRAMES for field in msgspec.structs.fields(frame)})
    leaves = (
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.floats()
        | st.text(st.characters(codec="utf-8"), max_size=8)
        | st.binary(max_size=8)
        | st.sampled_from(["user/bob", "message", "own", "age", "0123456789abcdef", "list"])
    )
    key = st.sampled_from(keys)
    nested = st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(key, inner, max_size=4), max_leaves=6
    )
    return st.dictionaries(key, nested, max_size=6) | nested


def check_only_documented(decode: Callable[..., f.Frame], *arguments: Any) -> None:
    """Assert that there is a frame, or a violation that can be told to the peer, and nothing else."""
    try:
        said = decode(*arguments)
    except RemoteProtocolError as violation:
        said = f.Disconnect(reason=violation.reason, text=violation.text)
    assert isinstance(said, f.Frame)
    assert codec.decode_body(said.frame_type, codec.encode(said)[limits.HEADER_BYTES :]) == said
    assert codec.decode_json(codec.encode_json(said)) == said


# --- chunks -------------------------------------------------------------------------------------------------------


@given(st.lists(frames(), max_size=5), st.data())
def test_frames_come_out_as_they_went_in_whatever_the_chunks(said: list[f.Frame], data: st.DataObject) -> None:
    stream = b"".join(map(codec.encode, said))
    assert events([stream], len(stream) + 1) == said
    assert events(one_by_one(stream), len(stream) + 1) == said
    assert events(data.draw(chunked(st.just(stream))), len(stream) + 1) == said


@given(chunked(any_streams()))
def test_any_bytes_give_the_same_events_whatever_the_chunks(chunks: list[bytes]) -> None:
    stream = b"".join(chunks)
    whole = events([stream])
    assert events(chunks) == whole
    assert events(one_by_one(stream)) == whole


@given(good_streams(), frames())
def test_an_incomplete_frame_waits_for_its_rest(stream: bytes, last: f.Frame) -> None:
    encoded = codec.encode(last)
    for size in (1, 3, 4, 5, len(encoded) - 1):
        buffer = codec.ReceiveBuffer(256 * limits.KIB)
        list(buffer.cut(stream + encoded[:size]))
        assert len(buffer) == size
        assert list(buffer.cut(encoded[size:])) == [last]
        assert len(buffer) == 0


# --- bounds -------------------------------------------------------------------------------------------------------


@given(st.integers(1, 2**32 - 1), st.integers(1, 2**24))
def test_a_length_is_refused_exactly_when_it_is_over_the_limit(length: int, frame_bytes_max: int) -> None:
    buffer = codec.ReceiveBuffer(frame_bytes_max)
    header = length.to_bytes(4, "big")
    assert list(buffer.cut(header[:3])) == []
    if length <= frame_bytes_max:
        assert list(buffer.cut(header[3:])) == []
        return
    with pytest.raises(RemoteProtocolError) as refused:
        list(buffer.cut(header[3:]))
    assert refused.value.reason == Reason.PACKET_TOO_LARGE
    assert str(length) in refused.value.text
    assert str(frame_bytes_max) in refused.value.text


def test_a_frame_of_just_the_limit_is_taken() -> None:
    frame = f.Publish(n=1, to="user/bob", data=b"x" * 100)
    encoded = codec.encode(frame)
    assert events([encoded], len(encoded) - 4) == [frame]
    [refused] = events([encoded], len(encoded) - 5)
    assert isinstance(refused, RemoteProtocolError)
    assert refused.reason == Reason.PACKET_TOO_LARGE


def test_a_length_of_0_is_malformed() -> None:
    ping = codec.encode(f.Ping())
    assert events([ping + bytes(4) + ping]) == [
        f.Ping(),
        RemoteProtocolError(Reason.MALFORMED_PACKET, "a frame of length 0; the least is 1"),
    ]


def test_an_unknown_type_is_a_protocol_error() -> None:
    for frame_type in (0, *range(len(f.FRAMES) + 1, 256)):
        with pytest.raises(RemoteProtocolError, match=f"unknown frame type {frame_type}") as refused:
            codec.decode_body(frame_type, b"\x80")
        assert refused.value.reason == Reason.PROTOCOL_ERROR


@pytest.mark.parametrize("name", ["", "connect", "FRAME", "x" * 1_000, "\u202e"])
def test_an_unknown_frame_name_is_a_protocol_error(name: str) -> None:
    with pytest.raises(RemoteProtocolError, match="unknown frame") as refused:
        codec.decode_json(json.dumps({"frame": name}))
    assert refused.value.reason == Reason.PROTOCOL_ERROR
    assert len(refused.value.text) < 400


# --- any bytes at all ---------------------------------------------------------------------------------------------

# Each example is a list, so that the profile `deep` looks at a hundred thousand bodies without the cost of as many
# runs of the test.


@given(st.lists(st.tuples(TYPE_BYTES, st.binary(max_size=80)), min_size=1, max_size=20))
def test_random_bytes_give_a_frame_or_a_documented_error(bodies: list[tuple[int, bytes]]) -> None:
    for frame_type, body in bodies:
        check_only_documented(codec.decode_body, frame_type, body)


@given(st.lists(st.tuples(TYPE_BYTES, packed()), min_size=1, max_size=8))
def test_random_messagepack_gives_a_frame_or_a_documented_error(bodies: list[tuple[int, bytes]]) -> None:
    for frame_type, body in bodies:
        check_only_documented(codec.decode_body, frame_type, body)


@given(frames(), st.data())
def test_a_damaged_frame_gives_a_frame_or_a_documented_error(frame: f.Frame, data: st.DataObject) -> None:
    body = bytearray(codec.encode(frame)[limits.HEADER_BYTES :])
    for _ in range(3):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at] = data.draw(st.integers(0, 255))
        check_only_documented(codec.decode_body, frame.frame_type, body)
    check_only_documented(codec.decode_body, frame.frame_type, body[: data.draw(st.integers(0, len(body)))])
    check_only_documented(codec.decode_body, data.draw(TYPE_BYTES), body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x81",
        b"\xc1",
        b"\x81\xa1x" + b"\x91" * 200_000 + b"\xc0",
        b"\x81\xa1x" + b"\x81\xa1x" * 100_000 + b"\xc0",
        b"\x91" * 200_000,
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x81\xa1x\xc9\xff\xff\xff\xff\x00",
        *(
            b"\x82\xa7request\x01" + msgspec.msgpack.encode(key) + count
            for key in ("entries", "users", "groups", "members", "devices")
            for count in (b"\xdd\xff\xff\xff\xff", b"\xdd\x7f\xff\xff\xff", b"\xdc\xff\xff", b"\xdf\xff\xff\xff\xff")
        ),
        b"\x80\x80",
    ],
    ids=lambda body: body[:16].hex(),
)
def test_deep_huge_and_cut_off_bodies_are_refused(body: bytes) -> None:
    for frame_type in f.FrameType:
        with pytest.raises(RemoteProtocolError) as refused:
            codec.decode_body(frame_type, body)
        assert refused.value.reason == Reason.MALFORMED_PACKET


@pytest.mark.parametrize("value", [b"\xd6\xff\x00\x00\x00\x00", b"\xc7\x01\x05\x00", b"\xd4\x7f\x00", b"\xa1\xff"])
def test_what_stands_under_an_unknown_key_is_only_skipped(value: bytes) -> None:
    assert codec.decode_body(f.FrameType.PING, b"\x81\xa1x" + value) == f.Ping()


@pytest.mark.parametrize("text", [b"\xa1\xff", b"\xa3\xed\xa0\x80", b"\xc4\x01a", b"\x01"])
def test_text_is_utf8_without_surrogates(text: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        codec.decode_body(f.FrameType.PUBLISH, b"\x83\xa1n\x01\xa2to\xa6user/b\xa4text" + text)
    assert refused.value.reason == Reason.MALFORMED_PACKET


def test_the_text_of_a_violation_fits_a_disconnect_however_long_the_input() -> None:
    connect = {"user": "alice", "password": "p", "terminal": "pc", "device": "\u202e" * 3_000}
    with pytest.raises(RemoteProtocolError) as refused:
        codec.decode_body(f.FrameType.CONNECT, msgspec.msgpack.encode(connect))
    assert len(refused.value.text) == limits.TEXT_CHARS_MAX


@given(st.lists(st.text(max_size=60) | st.binary(max_size=60), min_size=1, max_size=20))
@example(["\ud800", '{"frame":"PING","x":"\ud800"}', b'{"frame":"PING","x":"\xed\xa0\x80"}'])
@example(["", b"", "null", "[]", '"PING"', "{}", '{"frame":null}', '{"frame":1}', "NaN", '{"frame":"PING"', "{{"])
@example(["[" * 200_000, '{"frame":"PING","x":' + "[" * 200_000, '{"a":' * 100_000])
def test_random_text_gives_a_frame_or_a_documented_error(texts: list[str | bytes]) -> None:
    for text in texts:
        check_only_documented(codec.decode_json, text)


@given(st.sampled_from(list(f.FrameType)), msgpack_values().filter(lambda value: isinstance(value, dict)))
def test_random_json_objects_give_a_frame_or_a_documented_error(kind: f.FrameType, keys: dict[str, Any]) -> None:
    text = msgspec.json.encode({"frame": kind.name, **keys})
    check_only_documented(codec.decode_json, text)
    check_only_documented(codec.decode_json, text.decode())


@given(frames(), st.data())
def test_damaged_json_gives_a_frame_or_a_documented_error(frame: f.Frame, data: st.DataObject) -> None:
    text = codec.encode_json(frame)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 4)))
    patch = data.draw(
        st.sampled_from(["", "\ud800", "\\ud800", "NaN", "1e999", "-1", str(2**63), "9" * 5_000, "}", '"'])
    )
    check_only_documented(codec.decode_json, text[:start] + patch + text[end:])


@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "1e3",
        "1.0",
        "-1",
        str(2**53),
        str(2**63),
        str(2**64),
        "9" * 5_000,
        "true",
    ],
)
def test_json_numbers_are_whole_and_in_range(value: str) -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        codec.decode_json(f'{{"frame":"ACK","seq":{value}}}')
    assert refused.value.reason == Reason.MALFORMED_PACKET


@pytest.mark.parametrize("data", ["YQ", "YQ=", "_-==", "Y Q=", "YQ==\n", "é"])
def test_json_data_is_base64_with_padding(data: str) -> None:
    with pytest.raises(RemoteProtocolError, match="base64"):
        codec.decode_json(json.dumps({"frame": "PUBLISH", "n": 1, "to": "user/bob", "data": data}))


# --- entries ------------------------------------------------------------------------------------------------------


@given(BY_FRAME[f.Deliver])
def test_a_deliver_around_encoded_bytes_is_the_same_as_one_encoded_whole(deliver: f.Frame) -> None:
    assert isinstance(deliver, f.Deliver)
    entry = None if deliver.entry is None else codec.encode_entry(deliver.entry)
    encoded = codec.encode_deliver(deliver.seq, deliver.kind, deliver.device, deliver.n, entry)
    assert encoded == codec.encode(deliver)


@given(ENTRIES, seqs(), st.sampled_from(["message", "own"]), st.none() | st.just("phone-1"), st.none() | seqs())
def test_every_mixture_of_optional_keys_gives_the_same_deliver(
    entry: f.Entry, seq: int, kind: f.EntryKind, device: str | None, n: int | None
) -> None:
    encoded = codec.encode_deliver(seq, kind, device, n, codec.encode_entry(entry))
    assert encoded == codec.encode(f.Deliver(seq=seq, kind=kind, device=device, n=n, entry=entry))


@given(ENTRIES.filter(lambda entry: (entry.text is None) != (entry.data is None)), seqs(), seqs())
@example(f.Entry(id="0" * 16, sender="a", to="user/b", time=1, text="x" * 31), 2**32, 1)
@example(f.Entry(id="0" * 16, sender="a", to="user/b", time=1, text="é" * 16), 2**32 - 1, 1)
@example(f.Entry(id="0" * 16, sender="a", to="user/b", time=1, text="x" * 255), 2**16, 1)
@example(f.Entry(id="0" * 16, sender="a", to="user/b", time=1, text="x" * 256), 2**16 - 1, 1)
@example(f.Entry(id="0" * 16, sender="a", to="user/b", time=1, content_type="a/b", data=b""), 1, 1)
@example(f.Entry(id="0" * 16, sender="a", to="user/b", time=1, data=bytes(0xFFFF)), 127, 1)
@example(f.Entry(id="0" * 16, sender="a", to="user/b", time=1, data=bytes(0x10000)), 128, 1)
@example(f.Entry(id="0" * 16, sender="a", to="user/b", time=1, text="x" * 0x10000), 256, 1)
def test_the_publisher_gets_its_own_without_the_body(entry: f.Entry, seq: int, n: int) -> None:
    body = (entry.data or b"") if entry.text is None else entry.text.encode()
    own, echo = codec.encode_own(
        seq, "phone-1", n, codec.encode_entry(entry), len(body), is_text=entry.text is not None
    )
    assert own == codec.encode(f.Deliver(seq=seq, kind="own", device="phone-1", n=n, entry=entry))
    bodiless = msgspec.structs.replace(entry, text=None, data=None)
    assert echo == codec.encode(f.Deliver(seq=seq, kind="own", device="phone-1", n=n, entry=bodiless))


@given(ENTRIES)
def test_an_entry_round_trips(entry: f.Entry) -> None:
    assert codec.decode_entry(codec.encode_entry(entry)) == entry


@given(st.lists(st.binary(max_size=60) | packed(), min_size=1, max_size=10))
@example([b"", b"\x81\xa2id\xa1\xff", b"\x81\xa1\xff\x01", b"\x81\xa1x" + b"\x91" * 200_000])
def test_what_is_no_entry_is_a_decode_error(bodies: list[bytes]) -> None:
    for body in bodies:
        try:
            entry = codec.decode_entry(body)
        except msgspec.DecodeError:
            continue
        assert codec.decode_entry(codec.encode_entry(entry)) == entry


def test_the_kinds_of_entry_are_those_the_tests_draw() -> None:
    assert set(get_args(f.EntryKind)) == {"message", "own", "erased", "damaged"}
