"""One connection from either side: every frame in every state, two cores back to back, and the rules of the numbers."""

from collections import deque

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.strategies import BY_FRAME, frames
from roost_protocol import codec, limits
from roost_protocol import frames as f
from roost_protocol.connection import Connection, Event
from roost_protocol.errors import LocalProtocolError, RemoteProtocolError
from roost_protocol.limits import Limits
from roost_protocol.reasons import Reason
from roost_protocol.states import TRANSITIONS, Move, Role, State, name_of

CONNECT = f.Connect(user="alice", password="secret", terminal="phone", device="phone-1")
CONNACK = f.Connack(epoch=1, head=0)
REFUSED = f.Connack(reason=Reason.NOT_AUTHORIZED)
ENTRY = f.Entry(id="0" * 16, sender="bob", to="user/alice", time=1, text="hi")

# One frame for each move, right for a connection that has delivered nothing yet.
SAYABLE: tuple[f.Frame, ...] = (
    CONNECT,
    CONNACK,
    REFUSED,
    f.Publish(n=1, to="user/bob", text="hi"),
    f.Puback(n=1, seq=1),
    f.Deliver(seq=1, entry=ENTRY),
    f.Ack(seq=0),
    f.Gap(first=1, last=3, reason="age"),
    f.Subscribe(request=1, users=("bob",)),
    f.Presence(user="bob", online=False),
    f.Fetch(request=1),
    f.Page(request=1),
    f.Ping(),
    f.Pong(),
    f.Disconnect(),
    f.Ephemeral(to="user/bob", text="typing"),
    f.Group(request=1, action="list"),
    f.Relation(request=1, action="list", kind="block"),
    f.Sessions(request=1, action="list"),
    f.Result(request=1),
)

EVERYWHERE = [
    pytest.param(frame, state, role, id=f"{name_of(frame)}-{state.value}-{role.value}")
    for frame in SAYABLE
    for state in State
    for role in Role
]


def connection_at(state: State, role: Role, limits: Limits | None = None) -> Connection:
    """A connection of this side that came to this state by what both sides may say."""
    connection = Connection(role, limits)
    way: list[tuple[Role, f.Frame]] = [(Role.DEVICE, CONNECT), (Role.BROKER, CONNACK), (Role.DEVICE, f.Disconnect())]
    for by, frame in way[: list(State).index(state)]:
        if by is role:
            connection.send(frame)
        else:
            assert connection.receive_data(codec.encode(frame)) == [frame]
    assert connection.state is state
    return connection


def live(role: Role, position: int = 0) -> Connection:
    """A live connection whose stream starts after `position`."""
    connection = connection_at(State.CONNECTING, role)
    connack = f.Connack(epoch=1, head=position, position=position)
    if role is Role.BROKER:
        connection.send(connack)
    else:
        connection.receive_data(codec.encode(connack))
    return connection


def snapshot(connection: Connection) -> tuple[object, ...]:
    """Everything that a failed `send` must leave as it was."""
    return (connection.state, connection.position, connection.buffered_bytes, connection.closed)


def only_violation(events: list[Event]) -> RemoteProtocolError:
    """The one event, which is a violation."""
    [event] = events
    assert isinstance(event, RemoteProtocolError)
    return event


# --- every frame in every state, from both sides ------------------------------------------------------------------


def test_there_is_a_frame_for_every_move() -> None:
    moves = {move.what for moves in TRANSITIONS.values() for move in moves}
    assert {name_of(frame) for frame in SAYABLE} == moves


@pytest.mark.parametrize(("frame", "state", "role"), EVERYWHERE)
def test_what_may_be_sent_is_what_the_table_says(frame: f.Frame, state: State, role: Role) -> None:
    after = TRANSITIONS[state].get(Move(role, name_of(frame)))
    for form in ("binary", "json"):
        connection = connection_at(state, role)
        send = connection.send if form == "binary" else connection.send_text
        before = snapshot(connection)
        if after is None:
            with pytest.raises(LocalProtocolError, match=f"may not be sent while {state.value}"):
                send(frame)
            assert snapshot(connection) == before
        else:
            assert send(frame) == (codec.encode(frame) if form == "binary" else codec.encode_json(frame))
            assert connection.state is after


@pytest.mark.parametrize(("frame", "state", "role"), EVERYWHERE)
def test_what_may_be_received_is_what_the_table_says(frame: f.Frame, state: State, role: Role) -> None:
    after = TRANSITIONS[state].get(Move(role.peer, name_of(frame)))
    for form in ("binary", "json"):
        connection = connection_at(state, role)
        if form == "binary":
            events = connection.receive_data(codec.encode(frame))
        else:
            events = connection.receive_text(codec.encode_json(frame))
        if state is State.CLOSED:
            assert events == []
        elif after is None:
            violation = only_violation(events)
            assert violation.reason == Reason.PROTOCOL_ERROR
            assert f"{name_of(frame)} from the {role.peer.value} while {state.value}" in violation.text
            assert connection.closed
        else:
            assert events == [frame]
            assert connection.state is after


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("state", [State.OPENING, State.CONNECTING, State.LIVE])
def test_after_a_violation_nothing_is_heard_or_said(role: Role, state: State) -> None:
    connection = connection_at(state, role)
    ping = codec.encode(f.Ping())
    violation = only_violation(connection.receive_data(b"\0\0\0\0" + ping))
    assert violation.reason == Reason.MALFORMED_PACKET
    assert connection.closed
    assert connection.buffered_bytes == 0
    assert connection.receive_data(ping) == []
    assert connection.receive_text('{"frame":"PING"}') == []
    assert connection.receive_eof() == []
    with pytest.raises(LocalProtocolError, match="while closed; allowed: nothing"):
        connection.send(f.Disconnect(reason=violation.reason))


def test_frames_before_a_violation_are_still_events() -> None:
    connection = connection_at(State.LIVE, Role.BROKER)
    ping, pong = codec.encode(f.Ping()), codec.encode(f.Pong())
    first, second, violation = connection.receive_data(ping + ping + pong + ping)
    assert first == second == f.Ping()
    assert isinstance(violation, RemoteProtocolError)
    assert connection.buffered_bytes == 0


def test_nothing_after_a_disconnect_is_looked_at() -> None:
    connection = connection_at(State.LIVE, Role.BROKER)
    disconnect = f.Disconnect()
    assert connection.receive_data(codec.encode(disconnect) + b"\0\0\0\0garbage" * 100) == [disconnect]
    assert connection.buffered_bytes == 0


@given(
    frames=st.lists(frames(), max_size=6), garbage=st.binary(max_size=12), role=st.sampled_from(Role), data=st.data()
)
def test_a_stream_gives_the_same_events_and_state_whatever_the_chunks(
    frames: list[f.Frame], garbage: bytes, role: Role, data: st.DataObject
) -> None:
    stream = b"".join(map(codec.encode, frames)) + garbage
    start = data.draw(st.sampled_from(State))
    whole = connection_at(start, role)
    expected = whole.receive_data(stream) + whole.receive_eof()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    for ends in ([*cuts, len(stream)], range(1, len(stream) + 1)):
        connection = connection_at(start, role)
        events: list[Event] = []
        begin = 0
        for end in ends:
            events += connection.receive_data(stream[begin:end])
            begin = end
        assert events + connection.receive_eof() == expected
        assert (connection.state, connection.position) == (whole.state, whole.position)


# --- a device and a broker back to back ---------------------------------------------------------------------------


def draw_sayable(data: st.DataObject, side: Connection) -> f.Frame | None:
    """A frame that this side may say now, with numbers that fit; None if it may say nothing."""
    moves = sorted(move.what for move in TRANSITIONS[side.state] if move.by is side.role)
    if not moves:
        return None
    name = data.draw(st.sampled_from(moves))
    refused = name == "CONNACK (refused)"
    frame_class = f.Connack if refused else f.FRAMES[f.FrameType[name] - 1]
    frame = data.draw(BY_FRAME[frame_class])
    room = limits.NUMBER_MAX - side.position
    match frame:
        case f.Connack(reason=reason):
            reason = max(reason, 0x80) if refused else min(reason, 0x7F)
            return msgspec.structs.replace(frame, reason=reason, position=min(frame.position, 1_000))
        case f.Deliver():
            return msgspec.structs.replace(frame, seq=side.position + 1)
        case f.Gap(first=first, last=last):
            return f.Gap(first=side.position + 1, last=side.position + 1 + (last - first) % room, reason=frame.reason)
        case f.Ack(seq=seq):
            return f.Ack(seq=seq % (side.position + 1))
    return frame


@given(st.data())
def test_a_pair_that_says_only_what_is_allowed_stays_in_the_same_state(data: st.DataObject) -> None:
    device, broker = Connection(Role.DEVICE), Connection(Role.BROKER)
    for _ in range(data.draw(st.integers(1, 12))):
        speaker, hearer = data.draw(st.sampled_from([(device, broker), (broker, device)]))
        frame = draw_sayable(data, speaker)
        if frame is None:
            continue
        if data.draw(st.booleans()):
            assert hearer.receive_data(speaker.send(frame)) == [frame]
        else:
            assert hearer.receive_text(speaker.send_text(frame)) == [frame]
        assert device.state is broker.state
        assert device.position == broker.position


@given(st.data())
def test_frames_that_cross_on_the_way_are_never_a_violation(data: st.DataObject) -> None:
    """Each side speaks by what it has heard so far: neither must ever take the other's frames for a violation."""
    sides = {role: Connection(role) for role in Role}
    on_the_way: dict[Role, deque[bytes]] = {role: deque() for role in Role}
    for _ in range(data.draw(st.integers(1, 20))):
        role = data.draw(st.sampled_from(Role))
        speaks = data.draw(st.booleans())
        if speaks and (frame := draw_sayable(data, sides[role])) is not None:
            on_the_way[role.peer].append(sides[role].send(frame))
        elif on_the_way[role]:
            events = sides[role].receive_data(on_the_way[role].popleft())
            assert not any(isinstance(event, RemoteProtocolError) for event in events)


# --- numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seq", [1, 5, 7, 100])
def test_a_deliver_that_is_not_the_next_number_is_a_violation(seq: int) -> None:
    frame = f.Deliver(seq=seq, entry=ENTRY)
    device, broker = live(Role.DEVICE, 5), live(Role.BROKER, 5)
    violation = only_violation(device.receive_data(codec.encode(frame)))
    assert violation.reason == Reason.PROTOCOL_ERROR
    assert f"DELIVER {seq} after 5" in violation.text
    before = snapshot(broker)
    with pytest.raises(LocalProtocolError, match=f"DELIVER {seq} after 5"):
        broker.send(frame)
    assert snapshot(broker) == before


@pytest.mark.parametrize("first", [1, 5, 7])
def test_a_gap_begins_at_the_next_number(first: int) -> None:
    frame = f.Gap(first=first, last=9, reason="count")
    device, broker = live(Role.DEVICE, 5), live(Role.BROKER, 5)
    assert only_violation(device.receive_data(codec.encode(frame))).reason == Reason.PROTOCOL_ERROR
    before = snapshot(broker)
    with pytest.raises(LocalProtocolError, match="begins at the next number"):
        broker.send(frame)
    assert snapshot(broker) == before


def test_the_stream_goes_on_after_a_gap() -> None:
    device, broker = live(Role.DEVICE, 5), live(Role.BROKER, 5)
    said: list[f.Frame] = [
        f.Deliver(seq=6, entry=ENTRY),
        f.Gap(first=7, last=9, reason="age"),
        f.Gap(first=10, last=10, reason="bytes"),
        f.Deliver(seq=11, kind="erased"),
    ]
    assert device.receive_data(b"".join(map(broker.send, said))) == said
    assert device.position == broker.position == 11


def test_an_ack_beyond_what_was_delivered_is_a_violation() -> None:
    device, broker = live(Role.DEVICE, 5), live(Role.BROKER, 5)
    for seq in (5, 0, 3, 5):  # not forward is no violation: it says nothing new
        assert broker.receive_data(device.send(f.Ack(seq=seq))) == [f.Ack(seq=seq)]
    device.receive_data(broker.send(f.Deliver(seq=6, entry=ENTRY)))
    assert broker.receive_data(device.send(f.Ack(seq=6))) == [f.Ack(seq=6)]
    with pytest.raises(LocalProtocolError, match="ACK 7 beyond what was delivered"):
        device.send(f.Ack(seq=7))
    violation = only_violation(broker.receive_data(codec.encode(f.Ack(seq=7))))
    assert violation.reason == Reason.PROTOCOL_ERROR
    assert "ACK 7 beyond what was delivered (6)" in violation.text


def test_frames_encoded_elsewhere_are_counted_by_delivered() -> None:
    broker = live(Role.BROKER, 5)
    broker.delivered(8)
    broker.delivered(8)
    assert broker.receive_data(codec.encode(f.Ack(seq=8))) == [f.Ack(seq=8)]
    assert broker.send(f.Deliver(seq=9, entry=ENTRY))
    with pytest.raises(LocalProtocolError, match="cannot deliver up to 8"):
        broker.delivered(8)
    assert broker.position == 9
    broker.send(f.Disconnect())
    with pytest.raises(LocalProtocolError, match="closed"):
        broker.delivered(10)


def test_puback_page_and_fetch_do_not_move_the_position() -> None:
    device, broker = live(Role.DEVICE, 5), live(Role.BROKER, 5)
    page = f.Page(request=1, entries=(f.Deliver(seq=2, entry=ENTRY), f.Deliver(seq=4, entry=ENTRY)), head=9)
    assert device.receive_data(broker.send(f.Puback(n=1, seq=9)) + broker.send(page)) == [f.Puback(n=1, seq=9), page]
    assert device.position == broker.position == 5


@given(st.data())
def test_a_send_that_raises_leaves_the_connection_as_it_was(data: st.DataObject) -> None:
    role = data.draw(st.sampled_from(Role))
    connection = connection_at(data.draw(st.sampled_from(State)), role)
    before = snapshot(connection)
    frame = data.draw(frames())
    try:
        connection.send(frame)
    except LocalProtocolError:
        assert snapshot(connection) == before


@pytest.mark.parametrize("form", ["binary", "json"])
def test_text_that_utf8_cannot_carry_is_not_sent_and_changes_nothing(form: str) -> None:
    device = connection_at(State.OPENING, Role.DEVICE)
    frame = f.Connect(user="alice", password="\ud800", terminal="phone", device="d")
    with pytest.raises(ValueError, match="surrogates not allowed"):
        device.send(frame) if form == "binary" else device.send_text(frame)
    assert device.state is State.OPENING


# --- bounds and the end -------------------------------------------------------------------------------------------


def test_a_stranger_may_say_less_than_one_who_is_logged_in() -> None:
    site = Limits(connect_bytes_max=1_024)
    body = f.Publish(n=1, to="user/bob", text="x" * 1_100)
    large = msgspec.structs.replace(CONNECT, password="x" * 256, client="x" * 64, token=None)
    assert connection_at(State.OPENING, Role.BROKER, site).receive_data(codec.encode(large)) == [large]
    for state in (State.OPENING, State.CONNECTING):
        stranger = connection_at(state, Role.BROKER, site)
        assert only_violation(stranger.receive_data(codec.encode(body)[:4])).reason == Reason.PACKET_TOO_LARGE
    stranger = connection_at(State.OPENING, Role.BROKER, site)
    assert only_violation(stranger.receive_text(codec.encode_json(body))).reason == Reason.PACKET_TOO_LARGE
    assert connection_at(State.LIVE, Role.BROKER, site).receive_data(codec.encode(body)) == [body]
    assert connection_at(State.LIVE, Role.BROKER, site).receive_text(codec.encode_json(body)) == [body]


def test_the_frame_limit_holds_after_login() -> None:
    site = Limits(frame_bytes_max=8_192, body_bytes_max=4_096)
    broker = connection_at(State.LIVE, Role.BROKER, site)
    assert broker.receive_data((8_192).to_bytes(4, "big")) == []
    broker = connection_at(State.LIVE, Role.BROKER, site)
    assert only_violation(broker.receive_data((8_193).to_bytes(4, "big"))).reason == Reason.PACKET_TOO_LARGE


@pytest.mark.parametrize(
    ("granted", "takes"),
    [
        (None, Limits().frame_bytes_max),
        (1_024, Limits().frame_bytes_max),
        (1_000_000, 1_000_000),
        (limits.NUMBER_MAX, limits.FRAME_BYTES_MOST),
    ],
)
def test_a_device_takes_frames_as_large_as_the_broker_granted(granted: int | None, takes: int) -> None:
    bounds = dict.fromkeys(f.Granted.__struct_fields__, 1)
    connack = f.Connack(granted=None if granted is None else f.Granted(**{**bounds, "frame_bytes_max": granted}))
    for length, refused in ((takes, False), (takes + 1, True)):
        device = connection_at(State.CONNECTING, Role.DEVICE)
        events = device.receive_data(codec.encode(connack) + length.to_bytes(4, "big"))
        assert events[0] == connack
        assert any(isinstance(event, RemoteProtocolError) for event in events) is refused


@given(st.sampled_from(Role), frames())
def test_the_end_inside_a_frame_is_a_violation(role: Role, frame: f.Frame) -> None:
    encoded = codec.encode(frame)
    connection = connection_at(State.LIVE, role)
    assert connection.receive_data(encoded[:-1]) == []
    assert connection.buffered_bytes == len(encoded) - 1
    assert only_violation(connection.receive_eof()).reason == Reason.MALFORMED_PACKET
    assert connection.closed


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("state", State)
def test_the_end_between_frames_is_no_violation(role: Role, state: State) -> None:
    connection = connection_at(state, role)
    assert connection.receive_eof() == []
    assert connection.closed
    assert connection.receive_eof() == []


def test_rules_that_were_broken_below_break_the_connection_off() -> None:
    connection = Connection(Role.BROKER)
    connection.receive_data(codec.encode(CONNECT)[:3])
    violation = RemoteProtocolError(Reason.PROTOCOL_ERROR, "no mask")
    assert connection.break_off(violation) == [violation]
    assert connection.closed
    assert not connection.buffered_bytes
    assert connection.receive_data(codec.encode(CONNECT)) == []
    assert connection.break_off(violation) == [], "it is told once"
