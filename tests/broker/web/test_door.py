"""WebSocket on a whole broker: the same sessions as over TCP, and an answer to every frame that may not be."""

import base64

import pytest
import trio
import trio.testing

from broker.house import House, in_house
from broker.web.wires import (
    ACCEPT,
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    WebDevice,
    WebPeer,
    closing,
    dial_web,
    frame,
    handshake,
    log_in_web,
)
from roost_protocol.frames import Ack, Connack, Connect, Deliver, Disconnect, Ping, Pong, Publish
from roost_protocol.limits import KIB, Limits
from roost_protocol.reasons import Reason
from roost_protocol.websocket import BINARY as BINARY_PROTOCOL
from roost_protocol.websocket import JSON as JSON_PROTOCOL

FORMS = pytest.mark.parametrize("json", [False, True], ids=["binary", "json"])


# --- the same sessions ---


@FORMS
@in_house(web=True)
async def test_both_sides_of_a_conversation(house: House, json: bool) -> None:
    alice = await log_in_web(house, "alice", json=json)
    bob = await house.log_in("bob")
    assert (await alice.publish(1, "user/bob", "hi ☂")).seq == 1
    assert (await alice.expect(Deliver)).kind == "own"
    heard = await bob.expect(Deliver)
    assert heard.entry is not None
    assert heard.entry.text == "hi ☂"
    await bob.publish(1, "user/alice", data=b"\x00\xff")
    back = await alice.expect(Deliver)
    assert back.entry is not None
    assert (back.seq, back.entry.data) == (2, b"\x00\xff")
    await alice.say(Ping())
    await alice.expect(Pong)


@FORMS
@in_house(web=True)
async def test_a_websocket_takes_over_from_tcp_and_tcp_from_a_websocket(house: House, json: bool) -> None:
    on_tcp = await house.log_in("alice", "pc", "old")
    on_web = await log_in_web(house, "alice", "pc", "new", json=json)
    kicked = await on_tcp.expect_dismissal(Reason.SESSION_TAKEN_OVER)
    assert kicked.origin is not None
    assert kicked.origin.by == "new"
    await house.log_in("alice", "pc", "old")
    dismissal = await on_web.expect(Disconnect)
    assert dismissal.reason == Reason.SESSION_TAKEN_OVER
    assert await on_web.expect_close(4142) == "logged in elsewhere: old"
    await on_web.peer.send(frame(CLOSE, closing(1000)))
    await on_web.expect_gone()


@FORMS
@in_house(web=True, limits={"receive_max": 8})
async def test_a_backlog_and_what_is_live_are_one_stream(house: House, json: bool) -> None:
    bob = await house.log_in("bob")
    await house.fill(bob, "user/alice", 40)
    alice = await log_in_web(house, "alice", json=json)
    seen = 0
    while seen < 40:
        assert (await alice.expect(Deliver)).seq == seen + 1
        seen += 1
        await alice.say(Ack(seq=seen))
    await bob.publish(41, "user/alice")
    assert (await alice.expect(Deliver)).seq == 41


@FORMS
@in_house(web=True)
async def test_a_message_as_large_as_allowed(house: House, json: bool) -> None:
    alice, bob = await log_in_web(house, "alice", json=json), await log_in_web(house, "bob", json=json)
    body = bytes(range(256)) * 512
    assert len(body) == Limits().body_bytes_max
    await alice.publish(1, "user/bob", data=body)
    heard = await bob.expect(Deliver)
    assert heard.entry is not None
    assert heard.entry.data == body


@FORMS
@in_house(web=True, limits={"write_timeout_s": 5})
async def test_a_device_that_takes_nothing_is_given_up_and_costs_nobody_anything(house: House, json: bool) -> None:
    slow = await log_in_web(house, "alice", json=json)
    bob = await house.log_in("bob")
    await house.fill(bob, "user/alice", 20, text="x" * 16 * KIB)
    assert house.session("alice", "web").link.outlet.pending_bytes > 0
    await trio.sleep(6)
    assert [session.user_name for session in house.core.directory] == ["bob"]
    assert house.core.metrics.closed["write_timeout"] == 1
    again = await log_in_web(house, "alice", json=json)
    assert len(await again.seqs()) == 20, "nothing was lost"
    del slow


@FORMS
@in_house(web=True)
async def test_a_device_that_reads_again_in_time_gets_everything(house: House, json: bool) -> None:
    slow = await log_in_web(house, "alice", json=json)
    bob = await house.log_in("bob")
    await house.fill(bob, "user/alice", 20, text="x" * 16 * KIB)
    await slow.peer.send(frame(PING, b"still here"))
    await trio.sleep(6)
    assert await slow.seqs() == list(range(1, 21))
    assert slow.pongs == [b"still here"], "and not inside a frame"


@FORMS
@in_house(web=True, limits={"keepalive_s": 10})
async def test_silence_ends_a_session_and_a_ping_of_the_websocket_is_no_silence(house: House, json: bool) -> None:
    alice = await log_in_web(house, "alice", json=json)
    for _ in range(5):
        await trio.sleep(10)
        await alice.peer.send(frame(PING))
    await alice.expect_alive()
    await trio.sleep(16)
    assert (await alice.expect(Disconnect)).reason == Reason.KEEP_ALIVE_TIMEOUT
    await alice.expect_close(4141)


@FORMS
@in_house(web=True)
async def test_a_log_in_that_is_refused(house: House, json: bool) -> None:
    stranger = await dial_web(house, json=json)
    await stranger.say(Connect(user="alice", password="wrong", terminal="pc", device="d"))
    assert (await stranger.expect(Connack)).reason == Reason.BAD_USER_NAME_OR_PASSWORD
    assert await stranger.expect_close(4134) == "user name or password is wrong"


@FORMS
@in_house(web=True, limits={"login_timeout_s": 3})
async def test_a_stranger_who_says_nothing(house: House, json: bool) -> None:
    stranger = await dial_web(house, json=json)
    assert (await stranger.expect(Disconnect)).reason == Reason.LOGIN_TIMEOUT
    await stranger.expect_close(4199)


@in_house(web=True, limits={"connections_max": 2, "connections_before_login_max": 2})
async def test_whoever_finds_no_place_is_told_so(house: House) -> None:
    await house.log_in("alice")
    await log_in_web(house, "bob")
    late = await dial_web(house)
    assert (await late.expect(Disconnect)).reason == Reason.SERVER_BUSY
    await late.expect_close(1013)
    assert house.core.metrics.no_place["connections_max"] == 1
    assert house.core.metrics.accepted == 3


@in_house(web=True, limits={"connections_per_address_max": 1})
async def test_an_address_has_its_places_over_both_listeners(house: House) -> None:
    await house.log_in("alice", host="192.0.2.1")
    late = await dial_web(house, host="192.0.2.1")
    assert (await late.expect(Disconnect)).reason == Reason.SERVER_BUSY
    await log_in_web(house, "bob", host="192.0.2.2")


@FORMS
@in_house(web=True)
async def test_a_drain_tells_everybody(house: House, json: bool) -> None:
    alice = await log_in_web(house, "alice", json=json)
    stranger = await dial_web(house, json=json)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.core.drain)
        for each in (alice, stranger):
            assert (await each.expect(Disconnect)).reason == Reason.SERVER_SHUTTING_DOWN
            await each.expect_close(1012)


# --- handing over from HTTP ---


@in_house(web=True)
async def test_what_comes_right_behind_the_handshake_is_not_lost(house: House) -> None:
    peer = WebPeer(await house.web.dial())
    device = WebDevice(peer, json=False)
    connect = Connect(user="alice", password="open sesame", terminal="pc", device="d")
    await peer.send(handshake() + frame(BINARY, device.connection.send(connect)))
    answer = await peer.http.answer()
    assert (answer.status, answer.headers["sec-websocket-accept"]) == (101, ACCEPT)
    assert (await device.expect(Connack)).reason == Reason.SUCCESS


@in_house(web=True)
async def test_a_websocket_after_other_requests_on_the_connection(house: House) -> None:
    peer = WebPeer(await house.web.dial())
    assert (await peer.http.ask("GET", "/nothing")).status == 404
    assert (await peer.open(JSON_PROTOCOL)).headers["sec-websocket-protocol"] == JSON_PROTOCOL
    device = WebDevice(peer, json=True)
    await device.say(Connect(user="alice", password="open sesame", terminal="pc", device="d"))
    await device.expect(Connack)
    assert house.core.metrics.web.handshakes == {JSON_PROTOCOL: 1}


# --- frames as they may be ---


def login_bytes(device: WebDevice) -> bytes:
    return device.connection.send(Connect(user="alice", password="open sesame", terminal="pc", device="d"))


@pytest.mark.parametrize("cut", [1, 2, 3, 7])
@in_house(web=True)
async def test_the_byte_stream_may_be_cut_anywhere(house: House, cut: int) -> None:
    device = await dial_web(house)
    data = login_bytes(device)
    for at in range(0, len(data), cut):
        await device.peer.send(frame(BINARY, data[at : at + cut]))
    assert (await device.expect(Connack)).reason == Reason.SUCCESS


@FORMS
@in_house(web=True)
async def test_fragments_with_control_frames_in_between(house: House, json: bool) -> None:
    device = await dial_web(house, json=json)
    connect = Connect(user="alice", password="open sesame", terminal="pc", device="d")
    data = device.connection.send_text(connect).encode() if json else device.connection.send(connect)
    await device.peer.send(frame(TEXT if json else BINARY, data[:5], fin=False))
    await device.peer.send(frame(PING, b"one") + frame(PONG, b"nobody asked"))
    await device.peer.send(frame(CONTINUATION, b"", fin=False) + frame(CONTINUATION, data[5:9], fin=False))
    await device.peer.send(frame(PING, b"two") + frame(CONTINUATION, data[9:]))
    assert (await device.expect(Connack)).reason == Reason.SUCCESS
    assert device.pongs == [b"one", b"two"]


@in_house(web=True)
async def test_every_byte_alone(house: House) -> None:
    device = await dial_web(house, json=True)
    said = device.connection.send_text(Connect(user="alice", password="open sesame", terminal="pc", device="d"))
    for byte in (
        frame(TEXT, said.encode()[:20], fin=False) + frame(PING, b"x") + frame(CONTINUATION, said.encode()[20:])
    ):
        await device.peer.send(bytes([byte]))
    await device.expect(Connack)
    assert device.pongs == [b"x"]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_537])
@in_house(web=True)
async def test_lengths_at_their_edges(house: House, size: int) -> None:
    """Both ways: the text of a message has this length, and so its frames are near it."""
    alice, bob = await log_in_web(house, "alice"), await log_in_web(house, "bob", json=True)
    await alice.publish(1, "user/bob", "x" * size)
    heard = await bob.expect(Deliver)
    assert heard.entry is not None
    assert heard.entry.text == "x" * size


@FORMS
@in_house(web=True)
async def test_a_mask_of_zeros_and_any_other(house: House, json: bool) -> None:
    device = await log_in_web(house, "alice", json=json)
    for mask in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04"):
        ping = device.connection.send_text(Ping()).encode() if json else device.connection.send(Ping())
        await device.peer.send(frame(TEXT if json else BINARY, ping, mask=mask))
        await device.expect(Pong)


# --- closing ---


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999])
@in_house(web=True)
async def test_a_close_is_answered_with_its_code(house: House, code: int) -> None:
    device = await log_in_web(house, "alice")
    await device.peer.send(frame(CLOSE, closing(code, "für immer".encode())))
    await device.expect_close(code)
    await device.expect_gone()
    assert not list(house.core.directory)


@in_house(web=True)
async def test_a_close_without_a_code(house: House) -> None:
    device = await log_in_web(house, "alice")
    await device.peer.send(frame(CLOSE) + frame(BINARY, b"nobody reads this") + frame(PING))
    await device.expect_close(None)
    await device.expect_gone()
    assert device.pongs == []


@FORMS
@in_house(web=True)
async def test_a_device_that_says_disconnect(house: House, json: bool) -> None:
    device = await log_in_web(house, "alice", json=json)
    await device.say(Disconnect())
    await device.expect_close(1000)
    await device.peer.send(frame(CLOSE, closing(1000)))
    await device.expect_gone()
    await trio.testing.wait_all_tasks_blocked()
    assert house.core.metrics.closed["device_left"] == 1


@in_house(web=True)
async def test_a_close_inside_a_frame_of_ours(house: House) -> None:
    device = await log_in_web(house, "alice")
    await device.peer.send(frame(BINARY, device.connection.send(Ping())[:4]) + frame(CLOSE, closing(1001)))
    await device.expect_close(1001)


@FORMS
@in_house(web=True)
async def test_a_connection_that_just_ends(house: House, json: bool) -> None:
    device = await log_in_web(house, "alice", json=json)
    await device.stream.send_eof()
    await device.expect_close(1000)
    gone = await log_in_web(house, "bob", json=json)
    gone.stream.cut()
    await trio.sleep(1)
    assert not list(house.core.directory)


# --- frames as they must not be ---

ENORMOUS = b"\x82\xff" + (2**62).to_bytes(8, "big") + b"mask"

WRONG = {
    "rsv1": (frame(BINARY, b"x", rsv=4), 1002),
    "rsv2": (frame(BINARY, b"x", rsv=2), 1002),
    "rsv3": (frame(BINARY, b"x", rsv=1), 1002),
    "rsv of a ping": (frame(PING, rsv=4), 1002),
    **{f"opcode {code}": (frame(code, b"x"), 1002) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "unmasked": (frame(BINARY, b"x", mask=None), 1002),
    "an unmasked ping": (frame(PING, mask=None), 1002),
    "a ping in fragments": (frame(PING, b"x", fin=False), 1002),
    "a close in fragments": (frame(CLOSE, closing(1000), fin=False), 1002),
    "a ping of 126 bytes": (frame(PING, b"x" * 126), 1002),
    "a close of 126 bytes": (frame(CLOSE, closing(1000, b"x" * 124)), 1002),
    "a continuation of nothing": (frame(CONTINUATION, b"x"), 1002),
    "a message inside a message": (frame(BINARY, b"", fin=False) + frame(BINARY, b""), 1002),
    "a length of 2^62": (ENORMOUS, 1009),
    "a length of 2^63": (b"\x82\xff" + (2**63).to_bytes(8, "big") + b"mask", 1002),
    "a length of 2^62 of a ping": (b"\x89\xff" + (2**62).to_bytes(8, "big") + b"mask", 1002),
    "5 in two bytes": (b"\x82\xfe\0\x05" + b"mask" + b"xxxxx", 1002),
    "5 in eight bytes": (b"\x82\xff" + (5).to_bytes(8, "big") + b"mask" + b"xxxxx", 1002),
    "one byte more than is allowed": (frame(BINARY, declared=Limits().frame_bytes_max + 5), 1009),
    "more than is allowed in two fragments": (
        frame(BINARY, b"", fin=False) + frame(CONTINUATION, declared=Limits().frame_bytes_max + 5),
        1009,
    ),
    "a close of one byte": (frame(CLOSE, b"x"), 1002),
    "a close whose reason is no UTF-8": (frame(CLOSE, closing(1000, b"\xff")), 1007),
    **{
        f"a close with {code}": (frame(CLOSE, closing(code)), 1002)
        for code in (0, 1, 999, 1004, 1005, 1006, 1014, 1015, 1016, 1100, 2999, 5000, 65_535)
    },
}


@pytest.mark.parametrize("name", WRONG)
@in_house(web=True)
async def test_what_breaks_the_rules_of_framing(house: House, name: str) -> None:
    said, code = WRONG[name]
    device = await log_in_web(house, "alice")
    await device.peer.send(said)
    dismissal = await device.expect(Disconnect)
    expected = {1002: Reason.PROTOCOL_ERROR, 1007: Reason.MALFORMED_PACKET, 1009: Reason.PACKET_TOO_LARGE}[code]
    assert dismissal.reason == expected
    assert dismissal.text.startswith("WebSocket: ")
    assert await device.expect_close(code) == dismissal.text
    await log_in_web(house, "bob")  # nobody else is touched


@in_house(web=True)
async def test_the_same_counts_over_small_fragments(house: House) -> None:
    device = await log_in_web(house, "alice", json=True)
    piece = frame(CONTINUATION, b" " * 32 * KIB, fin=False)
    await device.peer.send(frame(TEXT, b"", fin=False) + piece * 8 + frame(CONTINUATION, b" " * 4, fin=False))
    await device.expect_silence()
    await device.peer.send(frame(CONTINUATION, b" ", fin=False))
    assert (await device.expect(Disconnect)).reason == Reason.PACKET_TOO_LARGE
    await device.expect_close(1009)


@FORMS
@in_house(web=True)
async def test_a_stranger_has_less_room(house: House, json: bool) -> None:
    stranger = await dial_web(house, json=json)
    most = Limits().connect_bytes_max + 4
    await stranger.peer.send(frame(TEXT if json else BINARY, declared=most + 1))
    assert (await stranger.expect(Disconnect)).reason == Reason.PACKET_TOO_LARGE
    await stranger.expect_close(1009)


@in_house(web=True)
async def test_a_text_on_the_binary_sub_protocol(house: House) -> None:
    device = await log_in_web(house, "alice")
    await device.peer.send(frame(TEXT, b'{"frame":"PING"}'))
    assert (await device.expect(Disconnect)).reason == Reason.PROTOCOL_ERROR
    assert BINARY_PROTOCOL in await device.expect_close(1003)
    await device.peer.send(frame(CLOSE, closing(1003)))
    await device.expect_gone()


WRONG_JSON = {
    "binary": (frame(BINARY, b"\0\0\0\x02\x0c\x80"), Reason.PROTOCOL_ERROR, 1003),
    "no UTF-8": (frame(TEXT, b'{"frame":"PING","x":"\xff"}'), Reason.MALFORMED_PACKET, 1007),
    "a surrogate in UTF-8": (frame(TEXT, b'{"frame":"PING","x":"\xed\xa0\x80"}'), Reason.MALFORMED_PACKET, 1007),
    "no UTF-8 in a name": (frame(TEXT, b'{"frame\xc0":"PING"}'), Reason.MALFORMED_PACKET, 1007),
    "a character that is not whole": (frame(TEXT, b'{"frame":"PING"}\xe2\x98'), Reason.MALFORMED_PACKET, 1007),
    "no UTF-8, split": (
        frame(TEXT, b'{"frame":"PING","x":"\xe2', fin=False) + frame(CONTINUATION, b'\x28\xa1"}'),
        Reason.MALFORMED_PACKET,
        1007,
    ),
    "nothing": (frame(TEXT), Reason.MALFORMED_PACKET, 1007),
    "no JSON": (frame(TEXT, b"hello"), Reason.MALFORMED_PACKET, 1007),
    "two frames in one": (frame(TEXT, b'{"frame":"PING"}{"frame":"PING"}'), Reason.MALFORMED_PACKET, 1007),
    "a list": (frame(TEXT, b'[{"frame":"PING"}]'), Reason.MALFORMED_PACKET, 1007),
    "no name": (frame(TEXT, b'{"seq":1}'), Reason.MALFORMED_PACKET, 1007),
    "no frame of ours": (frame(TEXT, b'{"frame":"HELLO"}'), Reason.PROTOCOL_ERROR, 1002),
    "not the broker's to hear": (frame(TEXT, b'{"frame":"PONG"}'), Reason.PROTOCOL_ERROR, 1002),
    "a number that is too large": (
        frame(TEXT, b'{"frame":"ACK","seq":9007199254740992}'),
        Reason.MALFORMED_PACKET,
        1007,
    ),
    "no base64": (
        frame(TEXT, b'{"frame":"PUBLISH","n":1,"to":"user/bob","data":"?"}'),
        Reason.MALFORMED_PACKET,
        1007,
    ),
    "half a surrogate": (
        frame(TEXT, b'{"frame":"PUBLISH","n":1,"to":"user/bob","text":"\\ud800"}'),
        Reason.MALFORMED_PACKET,
        1007,
    ),
    "deep": (frame(TEXT, b'{"frame":"PING","x":' + b"[" * 5_000 + b"]" * 5_000 + b"}"), Reason.MALFORMED_PACKET, 1007),
}


@pytest.mark.parametrize("name", WRONG_JSON)
@in_house(web=True)
async def test_what_is_no_frame_in_json(house: House, name: str) -> None:
    said, reason, code = WRONG_JSON[name]
    device = await log_in_web(house, "alice", json=True)
    await device.peer.send(said)
    dismissal = await device.expect(Disconnect)
    assert dismissal.reason == reason, dismissal
    assert dismissal.text.encode().startswith((await device.expect_close(code)).encode())


@in_house(web=True)
async def test_what_was_said_before_a_mistake_is_done(house: House) -> None:
    device = await log_in_web(house, "alice", json=True)
    publish = device.connection.send_text(Publish(n=1, to="user/bob", text="hi")).encode()
    await device.peer.send(frame(TEXT, publish) + frame(TEXT, b"rubbish") + frame(TEXT, publish))
    await device.expect_close(1007)
    assert [type(each) for each in device.heard] == [Disconnect]
    bob = await house.log_in("bob")
    assert await bob.seqs() == [1], "once"


@in_house(web=True)
async def test_pings_that_nobody_reads_the_answers_of(house: House) -> None:
    """The last one is answered (RFC 6455, 5.5.3); what waits does not grow."""
    device = await log_in_web(house, "alice")
    with trio.move_on_after(30):
        for n in range(3_000):
            await device.peer.send(frame(PING, b"%0120d" % n))
    await device.expect_alive()
    assert device.pongs[-1] == b"%0120d" % 2_999
    assert device.pongs == sorted(device.pongs)


def test_the_sample_of_the_specification() -> None:
    """RFC 6455, 5.7: a masked text of one frame."""
    assert frame(TEXT, b"Hello") == bytes.fromhex("818537fa213d7f9f4d5158")
    assert base64.b64encode(b"the sample nonce").decode() == "dGhlIHNhbXBsZSBub25jZQ=="
