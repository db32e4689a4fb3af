"""W10 on a real broker, small: every form delivers everything, and a broken promise is noticed in each."""

from pathlib import Path

import pytest

from roost_benchmarks.dialects.port import BrokenPromise, Login
from roost_benchmarks.dialects.websocket import BinaryDialect, JsonDialect, framed
from roost_benchmarks.progress import Unseen
from roost_benchmarks.workloads import web
from roost_benchmarks.workloads.web import Form, WebOptions
from roost_protocol import codec
from roost_protocol.frames import Connack, Deliver, Entry, Granted, Ping

UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n"
GRANTED = Granted(
    frame_bytes_max=1, body_bytes_max=1, publish_max=1, receive_max=8, receive_bytes_max=9_999, keepalive_s=60
)


@pytest.mark.process
@pytest.mark.parametrize("form", web.FORMS)
def test_a_run(tmp_path: Path, form: Form) -> None:
    measured = web.run(tmp_path, WebOptions(form=form, devices=10, messages=5), Unseen())
    assert (measured.workload, measured.failure) == ("W10", None)
    assert measured.oracle is not None
    assert measured.oracle.entries_checked == 10 * (5 + 3)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 200_000])
def test_lengths_as_the_standard_writes_them(size: int) -> None:
    data = framed(0x82, b"x" * size)
    assert len(data) == size + (6 if size < 126 else 8 if size < 65_536 else 14)
    assert data.endswith(b"x" * size)


def said(form: str, frame: object) -> bytes:
    """A frame as a server sends it: not masked."""
    if form == "json":
        text = codec.encode_json(frame).encode()  # type: ignore[arg-type]
        return bytes((0x81, 126)) + len(text).to_bytes(2, "big") + text
    data = codec.encode(frame)  # type: ignore[arg-type]
    return bytes((0x82, 126)) + len(data).to_bytes(2, "big") + data


@pytest.mark.parametrize("form", ["binary", "json"])
def test_a_number_that_is_skipped_is_noticed(form: str) -> None:
    wire = (JsonDialect() if form == "json" else BinaryDialect()).wire(Login("alice"))
    assert b"upgrade: websocket" in wire.opening()
    assert wire.receive(UPGRADED[:20]) == b""
    assert wire.receive(UPGRADED[20:])
    wire.receive(said(form, Connack(reason=0, position=4, granted=GRANTED)))
    assert wire.live
    entry = Entry(id="0" * 16, sender="bob", to="user/alice", time=1, content_type="text/plain", text="x")
    first, second = (said(form, Deliver(seq=seq, kind="message", entry=entry)) for seq in (5, 7))
    wire.receive(first[:30])
    wire.receive(first[30:])
    assert wire.delivered == 1
    assert wire.ping().endswith(said(form, Ping())[4:])
    with pytest.raises(BrokenPromise, match="number 7 where 6 was due"):
        wire.receive(second)


@pytest.mark.parametrize("dialect", [BinaryDialect(), JsonDialect()])
def test_a_broker_that_will_not_is_noticed(dialect: BinaryDialect | JsonDialect) -> None:
    wire = dialect.wire(Login("alice"))
    with pytest.raises(BrokenPromise, match="no WebSocket"):
        wire.receive(b"HTTP/1.1 403 Forbidden\r\n\r\n")
    wire = dialect.wire(Login("alice"))
    wire.receive(UPGRADED)
    with pytest.raises(BrokenPromise, match="the broker closes"):
        wire.receive(b"\x88\x02\x03\xe8")
