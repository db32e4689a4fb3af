"""WebSocket over a transport that takes and gives what it likes: the stream above is the same, frames stay whole."""

from collections.abc import Iterator
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.house import in_virtual_time
from broker.web.wires import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Heard, closing, frame, parse
from broker.wires import ScriptedTransport
from protocol.strategies import frames
from roost_broker.transport import ConnectionLost
from roost_broker.transport.websocket import CHUNK_BYTES, WebSocketTransport
from roost_protocol import codec
from roost_protocol.errors import RemoteProtocolError
from roost_protocol.frames import Frame, Ping, Publish
from roost_protocol.limits import Limits
from roost_protocol.transcoding import JsonForm

LIMITS = Limits()


def opened(inner: ScriptedTransport, *, json: bool = False) -> WebSocketTransport:
    """A WebSocket on which something was sent before, so that it takes large messages."""
    transport = WebSocketTransport(inner, LIMITS, json=JsonForm() if json else None)
    transport.try_send(codec.encode(Ping()))
    inner.sent.clear()
    return transport


def send_all(transport: WebSocketTransport, data: bytes) -> None:
    """As the outlet does: come back with the rest."""
    rest = memoryview(data)
    while rest:
        rest = rest[transport.try_send(rest) :]


def received(transport: WebSocketTransport, inner: ScriptedTransport) -> bytes:
    """Everything that is there."""
    whole = b""
    while inner.arrives:
        whole += transport.recv_nowait(65_536) or b""
    return whole


def cut(data: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    while data:
        size = next(sizes)
        yield data[:size]
        data = data[size:]


def sizes(seed: int, most: int) -> Iterator[int]:
    random = Random(seed)  # noqa: S311
    while True:
        yield random.randint(1, most)


seeds = st.integers(0, 2**32)
Said = list[tuple[bytes, list[int], bytes]]
said = st.lists(st.tuples(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4), st.binary(max_size=125)))


def client_bytes(messages: Said, opcode: int) -> tuple[bytes, list[bytes]]:
    """Each message in fragments cut at these places, with a ping after each; and the pings."""
    data = b""
    pings = []
    for payload, cuts, ping in messages:
        at = sorted({min(each, len(payload)) for each in cuts} | {0, len(payload)})
        parts = [payload[a:b] for a, b in pairwise(at)] or [payload]
        for n, part in enumerate(parts):
            data += frame(opcode if n == 0 else CONTINUATION, part, fin=n == len(parts) - 1)
            data += frame(PING, ping)
            pings.append(ping)
    return data, pings


@given(said, seeds, st.sampled_from([1, 3, 20, 2_000]))
def test_any_cut_gives_the_same_bytes_and_answers_every_ping(messages: Said, seed: int, most: int) -> None:
    inner = ScriptedTransport()
    transport = opened(inner)
    data, pings = client_bytes(messages, BINARY)
    whole = b""
    for piece in cut(data, sizes(seed, most)):
        inner.arrives.append(piece)
        whole += received(transport, inner)
    assert whole == b"".join(payload for payload, _, _ in messages)
    heard, rest = parse(bytes(inner.sent))
    assert not rest
    answered = [each.payload for each in heard if each.opcode == PONG]
    assert answered[-1:] == pings[-1:], "the last is answered, whatever came in one piece"
    if most == 1:
        assert answered == pings


@given(st.lists(frames(), max_size=6), seeds, st.sampled_from([1, 7, 5_000]))
def test_json_in_any_cut_is_the_same_frames(spoken: list[Frame], seed: int, most: int) -> None:
    inner = ScriptedTransport()
    transport = opened(inner, json=True)
    messages = [(codec.encode_json(each).encode(), [seed % 90, seed % 17], b"") for each in spoken]
    data, _ = client_bytes(messages, TEXT)
    whole = b""
    for piece in cut(data, sizes(seed, most)):
        inner.arrives.append(piece)
        whole += received(transport, inner)
    assert list(codec.ReceiveBuffer(LIMITS.frame_bytes_max).cut(whole)) == spoken


@given(st.lists(frames(), min_size=1, max_size=8), seeds, st.booleans(), st.sampled_from([0, 3, 100, 10**6]))
def test_whatever_is_taken_frames_stay_whole(spoken: list[Frame], seed: int, json: bool, most: int) -> None:
    """Pings come in the middle of it, and their answers are between frames."""
    random = Random(seed)  # noqa: S311
    inner = ScriptedTransport(lambda offered: random.randint(0, most) if most else 1)
    transport = WebSocketTransport(inner, LIMITS, json=JsonForm() if json else None)
    rest = memoryview(b"".join(codec.encode(each) for each in spoken))
    pinged = 0
    while rest:
        if not random.randrange(3):
            pinged += 1
            inner.arrives.append(frame(PING, b"%d" % pinged))
            assert transport.recv_nowait(65_536) is None
        rest = rest[transport.try_send(rest) :]
    transport.explain_end(0x8E, "taken over")
    transport.send_eof()
    while b"taken over" not in inner.sent:
        transport.recv_nowait(1)
    heard, left = parse(bytes(inner.sent))
    assert not left
    assert heard[-1] == Heard(CLOSE, closing(4142, b"taken over"))
    data = [each for each in heard[:-1] if each.opcode != PONG]
    if json:
        assert {each.opcode for each in data} == {TEXT}
        assert [each.payload.decode() for each in data] == [codec.encode_json(each) for each in spoken]
    else:
        whole = b"".join(each.payload for each in data)
        assert list(codec.ReceiveBuffer(LIMITS.frame_bytes_max).cut(whole)) == spoken
    pongs = [int(each.payload) for each in heard if each.opcode == PONG]
    assert pongs == sorted(set(pongs)), "each once, in order"


@given(st.binary(max_size=2_000), seeds)
def test_rubbish_is_refused_and_never_more_than_that(rubbish: bytes, seed: int) -> None:
    """Nothing but what the port allows comes out, whatever comes in."""
    for json in (False, True):
        inner = ScriptedTransport()
        transport = opened(inner, json=json)
        for piece in cut(rubbish, sizes(seed, 200)):
            inner.arrives.append(piece)
        refused = 0
        while inner.arrives:
            try:
                if transport.recv_nowait(65_536) == b"":
                    break
            except RemoteProtocolError:
                refused += 1
        assert refused <= 1


def test_what_is_long_goes_out_in_messages_of_bounded_length() -> None:
    inner = ScriptedTransport()
    transport = opened(inner)
    data = bytes(range(256)) * 1_024
    send_all(transport, data)
    heard, rest = parse(bytes(inner.sent))
    assert not rest
    assert {len(each.payload) for each in heard} == {CHUNK_BYTES}
    assert b"".join(each.payload for each in heard) == data


def test_json_is_made_as_far_as_it_can_go_out() -> None:
    """What waits here is bounded, however much is offered."""
    offered: list[int] = []

    def take(size: int) -> int:
        offered.append(size)
        return size

    inner = ScriptedTransport(take)
    transport = opened(inner, json=True)
    offered.clear()
    one = codec.encode(Publish(n=1, to="user/bob", text="x" * 1_000))
    send_all(transport, one * 300)
    assert CHUNK_BYTES <= max(offered) < CHUNK_BYTES + 2_000
    assert len(parse(bytes(inner.sent))[0]) == 300


def test_after_a_violation_nothing_is_heard_but_the_end() -> None:
    inner = ScriptedTransport()
    transport = opened(inner, json=True)
    inner.arrives += [frame(TEXT, b"rubbish"), frame(TEXT, b'{"frame":"PING"}'), frame(TEXT, b"more"), frame(CLOSE)]
    with pytest.raises(RemoteProtocolError, match="malformed"):
        transport.recv_nowait(100)
    assert [transport.recv_nowait(100) for _ in range(3)] == [None, None, b""]


def test_what_is_not_on_the_wire_is_not_counted_as_taken() -> None:
    """Or the outlet would believe that it is done, and nobody would push the rest."""
    inner = ScriptedTransport(lambda _: 5)
    transport = WebSocketTransport(inner, LIMITS, json=None)
    assert transport.try_send(b"x" * 10) == 0
    assert transport.try_send(b"x" * 10) == 0
    assert transport.try_send(b"x" * 10) == 10


def test_a_pong_waits_for_the_end_of_a_frame_and_not_for_more_than_that() -> None:
    taken = [3]
    inner = ScriptedTransport(lambda _: taken[0])
    transport = WebSocketTransport(inner, LIMITS, json=None)
    transport.try_send(b"x" * 10)
    inner.arrives.append(frame(PING, b"a"))
    assert transport.recv_nowait(100) is None
    assert len(inner.sent) == 3
    taken[0] = 100
    assert transport.try_send(b"x" * 10) == 10
    assert parse(bytes(inner.sent)) == ([Heard(BINARY, b"x" * 10), Heard(PONG, b"a")], b"")


def test_a_connection_that_is_lost_is_lost() -> None:
    inner = ScriptedTransport()
    transport = opened(inner)
    inner.arrives.append(frame(PING))
    inner.lose()
    for call in (lambda: transport.try_send(b"x"), lambda: transport.recv_nowait(1)):
        with pytest.raises(ConnectionLost):
            call()
    transport.send_eof()
    transport.close()


@in_virtual_time
async def test_what_is_there_is_readable_without_the_network() -> None:
    """A violation behind other bytes, what came with the handshake, and the end: nobody waits for more."""
    inner = ScriptedTransport()
    transport = WebSocketTransport(inner, LIMITS, json=None, received=frame(BINARY, b"abc") + frame(TEXT, b"x"))
    await transport.wait_readable()
    assert transport.recv_nowait(100) == b"abc"
    await transport.wait_readable()
    with pytest.raises(RemoteProtocolError):
        transport.recv_nowait(100)
    inner.arrives.append(frame(CLOSE))
    assert transport.recv_nowait(100) == b""
    await transport.wait_readable()
    assert transport.recv_nowait(100) == b""


def test_the_reason_of_a_close_is_cut_between_characters() -> None:
    inner = ScriptedTransport()
    transport = opened(inner)
    transport.explain_end(0x82, "☂" * 60)
    transport.send_eof()
    ((opcode, payload),), _ = parse(bytes(inner.sent))
    assert (opcode, payload) == (CLOSE, closing(1002, ("☂" * 41).encode()))


def test_nothing_follows_a_close() -> None:
    """RFC 6455, 5.5.1. Not even the answer to a ping."""
    inner = ScriptedTransport()
    transport = opened(inner)
    transport.send_eof()
    transport.send_eof()
    inner.arrives.append(frame(PING, b"x"))
    assert transport.recv_nowait(100) is None
    assert parse(bytes(inner.sent)) == ([Heard(CLOSE, closing(1000))], b"")
