"""What can be said: every frame survives both forms of the wire, and what is wrong in itself is refused."""

import json
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.strategies import BY_FRAME, frames, ids
from roost_protocol import codec, limits
from roost_protocol import frames as f
from roost_protocol.errors import RemoteProtocolError
from roost_protocol.reasons import Reason

ALL = pytest.mark.parametrize("frame_class", f.FRAMES, ids=lambda frame: frame.frame_type.name)

CONNECT = {"user": "alice", "password": "secret", "terminal": "phone", "device": "d1"}
PUBLISH = {"n": 1, "to": "user/bob", "text": "hi"}
ENTRY = {"id": "0123456789abcdef", "from": "alice", "to": "user/bob", "time": 5, "text": "hi"}
GROUP = {"request": 1, "action": "add", "group": "team", "users": ["bob"]}


def check_refused(name: str, keys: dict[str, Any], says: str) -> None:
    """Assert that the frame is malformed in both forms, and that the explanation names what is wrong."""
    packed = msgspec.msgpack.encode(keys)
    with pytest.raises(RemoteProtocolError) as binary:
        codec.decode_body(f.FrameType[name], packed)
    with pytest.raises(RemoteProtocolError) as text:
        codec.decode_json(json.dumps({"frame": name, **keys}))
    assert binary.value.reason == text.value.reason == Reason.MALFORMED_PACKET
    assert says in binary.value.text
    assert says in text.value.text


def decoded(name: str, keys: dict[str, Any]) -> f.Frame:
    """The frame of these keys, which must be the same in both forms."""
    frame = codec.decode_body(f.FrameType[name], msgspec.msgpack.encode(keys))
    assert codec.decode_json(json.dumps({"frame": name, **keys})) == frame
    return frame


@ALL
@given(data=st.data())
def test_every_frame_round_trips_in_both_forms(frame_class: type[f.Frame], data: st.DataObject) -> None:
    frame = data.draw(BY_FRAME[frame_class])
    encoded = codec.encode(frame)
    assert int.from_bytes(encoded[:4], "big") == len(encoded) - 4
    assert encoded[4] == frame_class.frame_type
    assert codec.decode_body(encoded[4], encoded[limits.HEADER_BYTES :]) == frame
    assert codec.decode_json(codec.encode_json(frame)) == frame


@ALL
@given(data=st.data())
def test_both_forms_hold_the_same_keys(frame_class: type[f.Frame], data: st.DataObject) -> None:
    frame = data.draw(BY_FRAME[frame_class])
    text = json.loads(codec.encode_json(frame))
    assert text.pop("frame") == frame_class.frame_type.name
    binary = msgspec.msgpack.decode(codec.encode(frame)[limits.HEADER_BYTES :])
    assert _as_json(binary) == text


@given(frame=frames(), extra=st.sampled_from([None, 1, -1.5, "x", b"x", [1, [2]], {"a": {"b": None}}]))
def test_keys_that_are_not_known_are_ignored(frame: f.Frame, extra: Any) -> None:
    keys = msgspec.msgpack.decode(codec.encode(frame)[limits.HEADER_BYTES :])
    packed = msgspec.msgpack.encode({"x-later": extra, **keys, "z": extra})
    assert codec.decode_body(frame.frame_type, packed) == frame


@given(text=ids(), number=st.integers(0, limits.NUMBER_MAX))
def test_json_ids_are_strings_and_numbers_are_numbers(text: str, number: int) -> None:
    keys = json.loads(codec.encode_json(f.Puback(n=1, id=text, seq=number, time=number)))
    assert keys["id"] == text
    assert type(keys["seq"]) is int
    assert float(keys["seq"]) == keys["seq"]  # exact in the only number type that JavaScript has


def test_a_frame_is_frozen() -> None:
    frame: Any = f.Ack(seq=1)
    with pytest.raises(AttributeError):
        frame.seq = 2


def test_each_type_byte_has_its_frame() -> None:
    assert [frame.frame_type for frame in f.FRAMES] == list(f.FrameType)
    assert [kind.value for kind in f.FrameType] == list(range(1, len(f.FrameType) + 1))
    assert all(frame.__name__.upper() == frame.frame_type.name for frame in f.FRAMES)


def test_defaults_are_not_on_the_wire() -> None:
    assert codec.encode(f.Disconnect()) == bytes.fromhex("00000002 0e 80")
    assert codec.encode_json(f.Disconnect()) == '{"frame":"DISCONNECT"}'
    assert codec.encode_json(f.Ack(seq=0)) == '{"frame":"ACK","seq":0}'


def test_keys_that_are_words_of_python_have_their_names_on_the_wire() -> None:
    entry = msgspec.msgpack.decode(
        codec.encode_entry(f.Entry(sender="a", content_type="x/y", id="0" * 16, to="user/b", time=0))
    )
    assert entry == {"id": "0" * 16, "from": "a", "to": "user/b", "time": 0, "type": "x/y"}


def test_a_body_is_a_string_or_base64_in_json() -> None:
    assert json.loads(codec.encode_json(f.Publish(n=1, to="user/b", text="é\n")))["text"] == "é\n"
    assert json.loads(codec.encode_json(f.Publish(n=1, to="user/b", data=b"\xfb\xff")))["data"] == "+/8="


@pytest.mark.parametrize("text", ["", "\x00", "𝄞", "\u202e"])
def test_any_unicode_text_is_a_body(text: str) -> None:
    assert decoded("PUBLISH", {**PUBLISH, "text": text}) == f.Publish(n=1, to="user/bob", text=text)


# --- what is refused ----------------------------------------------------------------------------------------------


def _out_of_range() -> Iterator[tuple[str, dict[str, Any]]]:
    odd: list[Any] = [-1, limits.NUMBER_MAX + 1, 2**63, 2**64 - 1, 1.0, 1.5, True, "1", None, [], {}]
    for number in odd:
        yield "ACK", {"seq": number}
        yield "PUBLISH", {**PUBLISH, "n": number}
        yield "FETCH", {"request": number}
    for number in (0, 1_001):
        yield "FETCH", {"request": 1, "limit": number}
    for number in (0, 65_536):
        yield "CONNECT", {**CONNECT, "receive_max": number}
        yield "CONNECT", {**CONNECT, "keepalive_s": number}
    yield "PUBLISH", {**PUBLISH, "n": 0}
    yield "DELIVER", {"seq": 0, "entry": ENTRY}
    yield "CONNECT", {**CONNECT, "receive_bytes_max": 0}
    yield "DISCONNECT", {"reason": 256}
    yield "DISCONNECT", {"reason": -1}
    yield "DISCONNECT", {"text": "x" * (limits.TEXT_CHARS_MAX + 1)}
    yield "SUBSCRIBE", {"request": 1, "users": ["x"] * (limits.LIST_MAX + 1)}


@pytest.mark.parametrize(("name", "keys"), list(_out_of_range()))
def test_a_value_out_of_range_or_of_another_kind_is_refused(name: str, keys: dict[str, Any]) -> None:
    check_refused(name, keys, "Expected")


@pytest.mark.parametrize("bad", ["", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "0123456789abcdef\n"])
def test_an_id_is_16_lower_case_hex_digits(bad: str) -> None:
    check_refused("PUBACK", {"n": 1, "id": bad}, "matching regex")


@ALL
@settings(max_examples=10)
@given(data=st.data())
def test_no_frame_lacks_a_required_field(frame_class: type[f.Frame], data: st.DataObject) -> None:
    frame = data.draw(BY_FRAME[frame_class])
    keys = msgspec.msgpack.decode(codec.encode(frame)[limits.HEADER_BYTES :])
    required = [field.encode_name for field in msgspec.structs.fields(frame_class) if field.required]
    for key in required:
        less = {name: value for name, value in keys.items() if name != key}
        with pytest.raises(RemoteProtocolError, match=f"missing required field `{key}`"):
            codec.decode_body(frame_class.frame_type, msgspec.msgpack.encode(less))


@pytest.mark.parametrize(
    ("name", "keys", "says"),
    [
        ("CONNECT", {**CONNECT, "token": "t"}, "one of password, token and jwt"),
        ("CONNECT", {**CONNECT, "jwt": "a.b.c"}, "one of password, token and jwt"),
        ("CONNECT", {**CONNECT, "password": None, "token": "t", "jwt": "a.b.c"}, "one of password, token and jwt"),
        ("CONNECT", {**CONNECT, "password": None, "jwt": ""}, "jwt"),
        ("CONNECT", {**CONNECT, "password": None, "jwt": "j" * (limits.JWT_BYTES_MAX + 1)}, "jwt"),
        ("CONNECT", {**CONNECT, "last_seq": 4, "newest": 4}, "either last_seq or newest"),
        ("CONNECT", {**CONNECT, "user": "a/b"}, "a name has no '/'"),
        ("CONNECT", {**CONNECT, "terminal": "PC"}, "terminal type"),
        ("CONNECT", {**CONNECT, "device": "a b"}, "device id"),
        ("CONNECT", {**CONNECT, "password": "é" * 129}, "at most 256 bytes"),
        ("CONNECT", {**CONNECT, "password": ""}, "length >= 1"),
        ("PUBLISH", {**PUBLISH, "data": None, "text": None}, "either text or data"),
        ("PUBLISH", {**PUBLISH, "to": "bob/alice"}, "an address is"),
        ("PUBLISH", {**PUBLISH, "to": "user/a/b"}, "a name has no '/'"),
        ("PUBLISH", {**PUBLISH, "to": "user/\u200b"}, "invisible"),
        ("PUBLISH", {**PUBLISH, "type": "é"}, "content type"),
        ("PUBLISH", {**PUBLISH, "type": "a\nb"}, "content type"),
        ("EPHEMERAL", {"to": "user/bob"}, "either text or data"),
        ("EPHEMERAL", {"to": "nobody", "text": ""}, "an address is"),
        ("DELIVER", {"seq": 1}, "carries an entry unless it is erased"),
        ("DELIVER", {"seq": 1, "kind": "own"}, "carries an entry unless it is erased"),
        ("DELIVER", {"seq": 1, "kind": "other", "entry": ENTRY}, "Invalid enum value"),
        ("GAP", {"first": 3, "last": 2, "reason": "age"}, "ends before it begins"),
        ("GAP", {"first": 3, "last": 3, "reason": "whim"}, "Invalid enum value"),
        ("SUBSCRIBE", {"request": 1, "users": ["a\u0000"]}, "control"),
        ("FETCH", {"request": 1, "before": 3, "after": 3}, "either before or after"),
        ("FETCH", {"request": 1, "conversation": "user/ a"}, "begins nor ends with a space"),
        ("GROUP", {**GROUP, "group": None}, "a group is named"),
        ("GROUP", {**GROUP, "action": "list"}, "no group is named"),
        ("GROUP", {**GROUP, "users": ["e\u0301"]}, "normal form C"),
        ("GROUP", {**GROUP, "action": "rename"}, "Invalid enum value"),
        ("RELATION", {"request": 1, "action": "add", "kind": "block"}, "a user is named"),
        ("RELATION", {"request": 1, "action": "list", "kind": "block", "user": "bob"}, "no user is named"),
        ("SESSIONS", {"request": 1, "action": "log_out"}, "names a device"),
        ("SESSIONS", {"request": 1, "action": "list", "device": "d"}, "names a device"),
        ("SESSIONS", {"request": 1, "action": "set_password", "password": "a"}, "password and new_password"),
        ("SESSIONS", {"request": 1, "action": "list", "new_password": "a"}, "password and new_password"),
    ],
)
def test_what_the_types_cannot_say_is_checked_too(name: str, keys: dict[str, Any], says: str) -> None:
    check_refused(name, keys, says)


def test_text_and_data_together_are_refused() -> None:
    packed = msgspec.msgpack.encode({**PUBLISH, "data": b"x"})
    with pytest.raises(RemoteProtocolError, match="either text or data"):
        codec.decode_body(f.FrameType.PUBLISH, packed)


@pytest.mark.parametrize("kind", get_args(f.EntryKind))
def test_every_kind_of_entry_can_be_delivered(kind: f.EntryKind) -> None:
    entry = None if kind in ("erased", "damaged") else ENTRY
    deliver = decoded("DELIVER", {"seq": 1, "kind": kind, "entry": entry})
    assert isinstance(deliver, f.Deliver)
    assert deliver.kind == kind


def test_a_reason_that_is_not_known_is_no_error() -> None:
    assert decoded("DISCONNECT", {"reason": 0xEE}) == f.Disconnect(reason=0xEE)


def _as_json(value: Any) -> Any:
    """The MessagePack value as JSON has it: bytes are base64."""
    return json.loads(msgspec.json.encode(value))
