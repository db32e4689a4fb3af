"""From one form of the wire to the other: the same frames, and the text of an entry made once."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.strategies import frames, frames_of
from roost_protocol import codec
from roost_protocol.errors import RemoteProtocolError
from roost_protocol.frames import Ack, Deliver, Entry, Frame, Ping
from roost_protocol.reasons import Reason
from roost_protocol.transcoding import ENTRIES_REMEMBERED, JsonForm, to_binary, whole_frames


def texts(form: JsonForm, data: bytes) -> list[str]:
    return [form.text(frame_type, body).decode() for frame_type, body in whole_frames(data)]


@given(st.lists(frames() | frames_of(Deliver), max_size=5))
def test_frames_in_json_are_those_that_the_codec_makes(spoken: list[Frame]) -> None:
    data = b"".join(codec.encode(frame) for frame in spoken)
    form = JsonForm()
    for _ in range(2):  # the second time, entries are remembered
        assert texts(form, data) == [codec.encode_json(frame) for frame in spoken]


@given(frames())
def test_json_in_the_binary_form_is_the_same_frame(frame: Frame) -> None:
    assert to_binary(codec.encode_json(frame).encode()) == codec.encode(frame)


def entry(text: str) -> bytes:
    return codec.encode_entry(Entry(id="0" * 16, sender="bob", to="user/alice", time=1, text=text))


def test_the_text_of_an_entry_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many inboxes it is in: each has a number of its own."""
    decoded = []

    def decode(encoded: bytes) -> Entry:
        decoded.append(encoded)
        return codec._entry_decoder.decode(encoded)

    monkeypatch.setattr(codec, "decode_entry", decode)
    form = JsonForm()
    one = entry("hi")
    for seq in range(1, 1_001):
        (text,) = texts(form, codec.encode_message(seq, one))
        assert text.startswith(f'{{"frame":"DELIVER","seq":{seq},"entry":{{')
    own = codec.encode_deliver(5, "own", "pc", 7, one)
    assert texts(form, own) == [codec.encode_json(next(codec.ReceiveBuffer(10_000).cut(own)))]
    assert decoded == [one]


def test_no_more_is_remembered_than_that() -> None:
    form = JsonForm()
    for n in range(3 * ENTRIES_REMEMBERED):
        texts(form, codec.encode_message(n + 1, entry(str(n))))
    assert len(form._entries) == ENTRIES_REMEMBERED
    assert entry(str(3 * ENTRIES_REMEMBERED - 1)) in form._entries


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", Reason.MALFORMED_PACKET),
        (b"null", Reason.MALFORMED_PACKET),
        (b'{"frame":"ACK"}', Reason.MALFORMED_PACKET),
        (b'{"frame":"NOTHING"}', Reason.PROTOCOL_ERROR),
        (b'{"frame":"PUBLISH","n":1,"to":"user/bob","text":"\\udc00"}', Reason.MALFORMED_PACKET),
    ],
)
def test_what_is_no_frame(text: bytes, reason: Reason) -> None:
    with pytest.raises(RemoteProtocolError) as raised:
        to_binary(text)
    assert raised.value.reason == reason


def test_frames_are_cut_by_their_lengths() -> None:
    data = codec.encode(Ping()) + codec.encode(Ack(seq=3))
    assert [(frame_type, bytes(body)) for frame_type, body in whole_frames(data)] == [
        (12, b"\x80"),
        (6, b"\x81\xa3seq\x03"),
    ]
    assert struct.calcsize(">IB") == 5
