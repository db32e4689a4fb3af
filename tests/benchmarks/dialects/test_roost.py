"""The load generator reads the wire by hand; it must read it as the codec writes it, and see what is wrong."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost_benchmarks.dialects.port import BrokenPromise, Login
from roost_benchmarks.dialects.roost import ACK_SHARE_BYTES, RoostDialect, RoostPublisher, RoostWire
from roost_protocol import codec
from roost_protocol.frames import (
    Ack,
    Connack,
    Connect,
    Deliver,
    Disconnect,
    Entry,
    Frame,
    Granted,
    Ping,
    Pong,
    Puback,
    Publish,
)
from roost_protocol.limits import NUMBER_MAX
from roost_protocol.reasons import Reason

LOGIN = Login("ann", "phone", "secret")
ID = "0" * 16
WIDTHS = (0, 126, 127, 128, 254, 255, 256, 65_534, 65_535, 65_536, 2**32 - 4, 2**32 - 1, 2**32, NUMBER_MAX - 3)


def joined(frames: Iterable[Frame]) -> bytes:
    return b"".join(map(codec.encode, frames))


def live(login: Login = LOGIN, connack: Connack | None = None) -> RoostWire:
    wire = RoostWire(login)
    wire.opening()
    assert wire.receive(codec.encode(connack or Connack())) == b""
    return wire


def entry(body: bytes = b"x") -> Entry:
    return Entry(id=ID, sender="bob", to="user/ann", time=1, data=body)


def published(publisher: RoostPublisher, count: int = 1) -> list[Publish]:
    frames = codec.ReceiveBuffer(1_000_000).cut(publisher.frames(count))
    return [frame for frame in frames if isinstance(frame, Publish)]


def bodies(count: int) -> list[bytes]:
    return [frame.data or b"" for frame in published(RoostPublisher("user/ann", 20), count)]


def acknowledged(data: bytes) -> list[int]:
    return [frame.seq for frame in codec.ReceiveBuffer(1_000).cut(data) if isinstance(frame, Ack)]


def connect_of(login: Login) -> Connect:
    (frame,) = codec.ReceiveBuffer(10_000).cut(RoostWire(login).opening())
    assert isinstance(frame, Connect)
    return frame


def test_a_device_logs_in_with_its_password_or_its_token() -> None:
    with_password = connect_of(LOGIN._replace(want_token=True, window_entries=7, window_bytes=10_000))
    assert (with_password.password, with_password.token, with_password.want_token) == ("secret", None, True)
    assert (with_password.receive_max, with_password.receive_bytes_max) == (7, 10_000)
    with_token = connect_of(LOGIN._replace(token="t"))
    assert (with_token.password, with_token.token) == (None, "t")


@pytest.mark.parametrize("backlog", [True, False])
def test_a_device_takes_what_is_waiting_only_if_it_wants_to(backlog: bool) -> None:
    connect = connect_of(LOGIN._replace(backlog=backlog))
    assert (connect.last_seq, connect.newest) == (0, None if backlog else 0)


def test_a_log_in_is_answered_once() -> None:
    wire = RoostWire(LOGIN)
    assert not wire.live
    wire.receive(codec.encode(Connack(token="t", position=5)))
    assert (wire.live, wire.token, wire.position, wire.delivered) == (True, "t", 5, 0)
    with pytest.raises(BrokenPromise, match="unexpected Connack"):
        wire.receive(codec.encode(Connack()))


@pytest.mark.parametrize("frame", [Connack(reason=Reason.SERVER_BUSY), Disconnect(reason=Reason.SERVER_BUSY)])
def test_a_refused_log_in_breaks_the_run(frame: Frame) -> None:
    with pytest.raises(BrokenPromise, match="ann/phone"):
        RoostWire(LOGIN).receive(codec.encode(frame))


@pytest.mark.parametrize("position", WIDTHS)
def test_numbers_of_every_width_are_read(position: int) -> None:
    wire = live(connack=Connack(position=position))
    wire.receive(joined(Deliver(seq=position + k, entry=entry()) for k in (1, 2, 3)))
    assert (wire.position, wire.delivered) == (position + 3, 3)


@pytest.mark.parametrize("seq", [5, 7])
def test_a_doubled_or_skipped_number_breaks_the_run(seq: int) -> None:
    wire = live(connack=Connack(position=5))
    with pytest.raises(BrokenPromise, match=f"number {seq} where 6 was due"):
        wire.receive(codec.encode(Deliver(seq=seq, entry=entry())))


@pytest.mark.parametrize("order", [(1, 2, 2), (1, 3, 2), (2, 1)])
def test_a_message_doubled_or_out_of_order_breaks_the_run_although_numbers_are_dense(order: tuple[int, ...]) -> None:
    sent = bodies(3)
    delivers = [Deliver(seq=seq, entry=entry(sent[number - 1])) for seq, number in enumerate(order, 1)]
    with pytest.raises(BrokenPromise, match="the sender's message"):
        live().receive(joined(delivers))


def test_a_sender_who_has_published_before_does_not_begin_with_one() -> None:
    wire = live()
    wire.receive(joined(Deliver(seq=seq, entry=entry(body)) for seq, body in enumerate(bodies(9)[6:], 1)))
    assert wire.delivered == 3


def test_other_bodies_have_no_count() -> None:
    wire = live()
    wire.receive(joined(Deliver(seq=seq, entry=entry(b"y" * size)) for seq, size in enumerate((1, 300, 7), 1)))
    assert wire.delivered == 3


@pytest.mark.parametrize("before", WIDTHS)
def test_a_publish_is_settled_when_its_own_entry_has_come_as_well(before: int) -> None:
    wire = live(connack=Connack(settled_n=before, position=before))
    numbers = (before + 1, before + 2, before + 3)
    wire.receive(joined(Puback(n=n, seq=n, id=ID, time=1) for n in numbers))
    assert wire.settled == 0
    own = [Deliver(seq=n, kind="own", device="bench-phone", n=n, entry=entry()) for n in numbers]
    wire.receive(joined(own[:2]))
    assert wire.settled == 0
    wire.receive(joined(own[2:]))
    assert (wire.settled, wire.delivered) == (3, 3)


def test_an_acknowledgement_out_of_turn_breaks_the_run() -> None:
    wire = live()
    with pytest.raises(BrokenPromise, match="publish 1 got Puback"):
        wire.receive(codec.encode(Puback(n=2, seq=1, id=ID, time=1)))


def test_a_refusal_breaks_the_run() -> None:
    wire = live()
    with pytest.raises(BrokenPromise, match="no such user"):
        wire.receive(codec.encode(Puback(n=1, reason=Reason.NOT_FOUND, text="no such user")))


def test_any_other_frame_breaks_the_run() -> None:
    with pytest.raises(BrokenPromise, match="unexpected Disconnect"):
        live().receive(codec.encode(Disconnect(reason=Reason.SESSION_TAKEN_OVER)))


@given(data=st.data())
def test_bytes_may_come_in_any_pieces(data: st.DataObject) -> None:
    frames: list[Frame] = [Connack(position=120)]
    for number, body in enumerate(bodies(12), 1):
        frames.append(Deliver(seq=120 + number, entry=entry(body)))
        frames.append(Puback(n=number, seq=120 + number, id=ID, time=1))
    whole = joined(frames)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=20)))
    wire = RoostWire(LOGIN)
    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        wire.receive(whole[begin:end])
    assert (wire.live, wire.position, wire.delivered, wire.settled) == (True, 132, 12, 12)


def conversation(at: int, count: int = 12) -> list[Frame]:
    """Own messages and another's in turn, from a position (and a count) on, in a stream as a broker makes it."""
    frames: list[Frame] = [Connack(position=at, settled_n=at)]
    for number, body in enumerate(bodies(count), 1):
        frames.append(Deliver(seq=at + 2 * number - 1, entry=entry(body)))
        frames.append(Deliver(seq=at + 2 * number, kind="own", device="bench-phone", n=at + number, entry=entry()))
        frames.append(Puback(n=at + number, seq=at + 2 * number, id=ID, time=1))
    return frames


def state(wire: RoostWire) -> tuple[bool, int, int, int]:
    return wire.live, wire.position, wire.delivered, wire.settled


class Decoded:
    """The same, from a full decode. As a wire does, it looks at what is settled once for each read, at its end."""

    def __init__(self) -> None:
        self._buffer = codec.ReceiveBuffer(1_000_000)
        self._before = self._acknowledged = self._newest_own = 0
        self.state = (False, 0, 0, 0)

    def receive(self, data: bytes) -> None:
        is_live, position, delivered, settled = self.state
        for frame in self._buffer.cut(data):
            match frame:
                case Connack():
                    is_live, position = True, frame.position
                    self._before = self._acknowledged = frame.settled_n
                case Deliver():
                    position, delivered = frame.seq, delivered + 1
                case Puback():
                    self._acknowledged, self._newest_own = frame.n, frame.seq or 0
        if position >= self._newest_own:
            settled = self._acknowledged - self._before
        self.state = (is_live, position, delivered, settled)


@pytest.mark.parametrize("at", [0, 120, 250, 65_530, 2**32 - 5])
def test_wherever_it_is_cut_it_is_read_as_the_codec_reads_it(at: int) -> None:
    whole = joined(conversation(at, 5))
    for cut in range(1, len(whole)):
        wire, decoded = RoostWire(LOGIN), Decoded()
        for piece in (whole[:cut], whole[cut:]):
            wire.receive(piece)
            decoded.receive(piece)
            assert state(wire) == decoded.state, cut
        assert state(wire) == (True, at + 10, 10, 5), cut


def test_it_may_come_byte_by_byte() -> None:
    whole, wire, decoded = joined(conversation(123)), RoostWire(LOGIN), Decoded()
    for at in range(len(whole)):
        wire.receive(whole[at : at + 1])
        decoded.receive(whole[at : at + 1])
        assert state(wire) == decoded.state, at
    assert state(wire) == (True, 147, 24, 12)


@given(data=st.data())
def test_any_stream_counts_as_in_a_full_decode(data: st.DataObject) -> None:
    at = data.draw(st.sampled_from(WIDTHS[:-1]))
    kinds = data.draw(st.lists(st.sampled_from(["message", "own", "erased", "puback"]), max_size=30))
    seq, n = at, at
    frames: list[Frame] = [Connack(position=at, settled_n=at)]
    for kind in kinds:
        body = data.draw(st.binary(min_size=1, max_size=40))
        if kind == "puback":
            n += 1
            frames.append(Puback(n=n, seq=seq + data.draw(st.integers(0, 3)), id=ID, time=1))
            continue
        seq += 1
        match kind:
            case "message":
                frames.append(Deliver(seq=seq, entry=entry(body)))
            case "own":
                frames.append(Deliver(seq=seq, kind="own", device="bench-phone", n=n + 1, entry=entry(body)))
            case _:
                frames.append(Deliver(seq=seq, kind="erased"))
    whole = joined(frames)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole)), max_size=10)))
    wire, decoded = RoostWire(LOGIN), Decoded()
    for begin, end in zip([0, *cuts], cuts, strict=False):
        wire.receive(whole[begin:end])
        decoded.receive(whole[begin:end])
        assert state(wire) == decoded.state


def test_it_may_be_kept_by_pings_whose_answers_are_no_messages() -> None:
    granted = Granted(
        frame_bytes_max=1, body_bytes_max=1, publish_max=1, receive_max=256, receive_bytes_max=1_000, keepalive_s=60
    )
    wire = RoostWire(LOGIN)
    assert wire.keepalive_s == 0
    wire.receive(codec.encode(Connack(position=4, granted=granted)))
    assert (wire.keepalive_s, wire.ping()) == (60, codec.encode(Ping()))
    wire.receive(joined([Deliver(seq=5, entry=entry()), Pong(), Deliver(seq=6, entry=entry()), Pong()]))
    assert (wire.position, wire.delivered) == (6, 2)


def test_a_pong_before_the_log_in_is_answered_breaks_the_run() -> None:
    with pytest.raises(BrokenPromise, match="unexpected Pong"):
        RoostWire(LOGIN).receive(codec.encode(Pong()))


def test_it_acknowledges_after_a_quarter_of_its_window() -> None:
    wire = live(LOGIN._replace(window_entries=8))
    assert wire.receive(codec.encode(Deliver(seq=1, entry=entry()))) == b""
    assert acknowledged(wire.receive(codec.encode(Deliver(seq=2, entry=entry())))) == [2]
    answer = wire.receive(joined(Deliver(seq=seq, entry=entry()) for seq in range(3, 10)))
    assert acknowledged(answer) == [9]


def test_the_window_that_was_granted_counts() -> None:
    granted = Granted(
        frame_bytes_max=1, body_bytes_max=1, publish_max=1, receive_max=2, receive_bytes_max=10**6, keepalive_s=1
    )
    wire = live(connack=Connack(granted=granted))
    assert acknowledged(wire.receive(codec.encode(Deliver(seq=1, entry=entry())))) == [1]


def test_it_acknowledges_after_a_small_part_of_its_window_of_bytes() -> None:
    wire = live(LOGIN._replace(window_bytes=1_000 * ACK_SHARE_BYTES))
    assert wire.receive(codec.encode(Deliver(seq=1, entry=entry(b"y" * 500)))) == b""
    assert acknowledged(wire.receive(codec.encode(Deliver(seq=2, entry=entry(b"y" * 500))))) == [2]


def test_what_is_no_entry_needs_no_acknowledgement() -> None:
    wire = live(LOGIN._replace(window_bytes=ACK_SHARE_BYTES))
    assert wire.receive(joined(Puback(n=n, seq=1, id=ID, time=1) for n in (1, 2, 3))) == b""


@given(body_bytes=st.integers(1, 300), first=st.integers(0, 2**31 - 10))
def test_publishes_differ_in_their_count_only(body_bytes: int, first: int) -> None:
    publisher = RoostPublisher("user/bob", body_bytes, first)
    frames = published(publisher, 2) + published(publisher)
    assert publisher.n == 3
    assert [frame.n for frame in frames] == [first + 1, first + 2, first + 3]
    assert {len(frame.data or b"") for frame in frames} == {body_bytes}
    assert {frame.to for frame in frames} == {"user/bob"}
    different = {frame.data for frame in frames}
    assert len(different) == (3 if body_bytes >= 8 else 1)


def test_the_count_of_a_device_goes_on_after_what_it_has_published_before() -> None:
    dialect = RoostDialect()
    dialect.wire(LOGIN).receive(codec.encode(Connack(settled_n=41)))
    publisher = dialect.publisher(LOGIN, "user/bob", 10)
    assert [codec.encode(frame) for frame in published(publisher)] == [
        codec.encode(frame) for frame in published(RoostPublisher("user/bob", 10, 41))
    ]
    assert dialect.publisher(Login("bob"), "user/ann", 10).frames(1) == RoostPublisher("user/ann", 10).frames(1)
