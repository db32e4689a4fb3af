"""MQTT, sans-I/O: what a device says, and that it notices whatever is missing, doubled or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost_benchmarks.dialects.mqtt import MqttDialect, MqttWire
from roost_benchmarks.dialects.port import BrokenPromise, Login

ALICE = Login(user="alice", terminal="phone", groups=("all",))
CONNACK = bytes.fromhex("2003 00 00 00")
SUBACK = bytes.fromhex("9005 0001 00 01 01")


def live() -> MqttWire:
    wire = MqttDialect().wire(Login(user="bob"))
    wire.receive(CONNACK + SUBACK)
    return wire


def delivered(frames: bytes) -> list[bytes]:
    """What the broker hands on: each publish, whole."""
    found, at = [], 0
    while at < len(frames):
        length, head = frames[at + 1], at + 2
        if length >= 0x80:
            length, head = (length & 0x7F) | frames[at + 2] << 7, at + 3
        found.append(frames[at : head + length])
        at = head + length
    return found


def messages(count: int, *, sender: str = "alice", body_bytes: int = 128) -> list[bytes]:
    publisher = MqttDialect().publisher(Login(user=sender), "user/bob", body_bytes)
    return delivered(publisher.frames(count))[1::2]


def test_a_log_in_subscribes_and_then_is_live() -> None:
    wire = MqttDialect().wire(ALICE)
    opening = wire.opening()
    assert opening[0] == 0x10
    assert b"MQTT\x05" in opening
    subscribe = wire.receive(CONNACK)
    assert subscribe[0] == 0x82
    assert subscribe.endswith(b"\x00\x0binbox/alice\x05\x00\x09group/all\x05")
    assert not wire.live
    assert wire.receive(SUBACK) == b""
    assert wire.live


@pytest.mark.parametrize("refusal", ["2003 00 87 00", "9004 0001 00 87"])
def test_a_refused_log_in_breaks_off(refusal: str) -> None:
    wire = MqttDialect().wire(ALICE)
    if refusal.startswith("90"):
        wire.receive(CONNACK)
    with pytest.raises(BrokenPromise, match="alice/phone"):
        wire.receive(bytes.fromhex(refusal))


def test_a_message_is_published_for_both_sides_and_settled_by_the_second_answer() -> None:
    publisher = MqttDialect().publisher(ALICE, "user/bob", 128)
    own, other = delivered(publisher.frames(1))
    assert b"\x00\x0binbox/alice" in own
    assert b"\x00\x09inbox/bob" in other
    assert len(own[-128:]) == len(other[-128:]) == 128
    wire = live()
    wire.receive(bytes.fromhex("4002 0001"))
    assert wire.settled == 0
    wire.receive(bytes.fromhex("4003 0002 10"))
    assert wire.settled == 1
    with pytest.raises(BrokenPromise, match="0x97"):
        wire.receive(bytes.fromhex("4003 0003 97"))


@pytest.mark.parametrize("identifiers", [[1, 3], [1, 1], [1, 2, 4], [2, 3], [2, 2], [2, 6]])
def test_an_acknowledgement_that_is_missed_or_doubled_is_noticed(identifiers: list[int]) -> None:
    wire = live()
    with pytest.raises(BrokenPromise, match="was due"):
        wire.receive(b"".join(b"\x40\x02" + each.to_bytes(2, "big") for each in identifiers))


@pytest.mark.parametrize("to", ["user/bob", "group/all"])
def test_acknowledgements_begin_again_with_the_identifiers(to: str) -> None:
    publisher = MqttDialect().publisher(ALICE, to, 16)
    wire = live()
    for _ in range(5):
        for packet in delivered(publisher.frames(8_000)):
            wire.receive(b"\x40\x02" + packet[-19:-17])
    assert wire.settled == publisher.n == 40_000


def test_a_message_to_a_group_is_published_once() -> None:
    publisher = MqttDialect().publisher(ALICE, "group/all", 64)
    assert len(delivered(publisher.frames(3))) == publisher.n == 3


@given(st.integers(1, 40), st.sampled_from([16, 100, 128, 5_000]), st.lists(st.integers(1, 9_000), min_size=1))
def test_however_it_is_cut_each_message_counts_once_and_is_acknowledged(
    count: int, body_bytes: int, sizes: list[int]
) -> None:
    stream = b"".join(messages(count, body_bytes=body_bytes))
    wire, answers, at, turn = live(), b"", 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        answers += wire.receive(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert wire.delivered == count
    assert answers == b"".join(b"\x40\x02" + (2 * n).to_bytes(2, "big") for n in range(1, count + 1))


def test_cut_at_every_byte() -> None:
    stream = b"".join(messages(2))
    for cut in range(len(stream) + 1):
        wire = live()
        wire.receive(stream[:cut])
        wire.receive(stream[cut:])
        assert wire.delivered == 2


def test_messages_of_different_lengths_and_from_different_topics() -> None:
    made = [messages(3), messages(3, sender="carol", body_bytes=20), messages(3, sender="dave", body_bytes=5_000)]
    group = delivered(MqttDialect().publisher(Login(user="erin"), "group/all", 128).frames(3))
    stream = b"".join(b"".join(each) for each in zip(*made, group, strict=True))
    for cut in range(len(stream) + 1):
        wire = live()
        wire.receive(stream[:cut])
        wire.receive(stream[cut:])
        assert wire.delivered == 12


@pytest.mark.parametrize("packet", ["e000", "e0018e", "e0028e00", "3206 0001 61 0001 00", "3a02 0000", "0000"])
def test_what_nobody_expects_breaks_off(packet: str) -> None:
    wire = live()
    with pytest.raises(BrokenPromise, match="bob/phone"):
        wire.receive(bytes.fromhex(packet))


def test_senders_are_counted_each_by_itself() -> None:
    wire = live()
    for one, other in zip(messages(3), messages(3, sender="carol"), strict=True):
        wire.receive(one + other)
    assert wire.delivered == 6


@pytest.mark.parametrize("order", [[1], [0, 2], [0, 0], [0, 1, 0]])
def test_a_miss_or_a_double_is_noticed(order: list[int]) -> None:
    made = messages(3)
    wire = live()
    with pytest.raises(BrokenPromise, match="was due"):
        wire.receive(b"".join(made[at] for at in order))


def test_identifiers_stay_within_what_the_standard_has() -> None:
    publisher = MqttDialect().publisher(ALICE, "user/bob", 16)
    publisher.n = 32_766
    identifiers = [packet[-19:-17] for packet in delivered(publisher.frames(2))]
    assert [int.from_bytes(each, "big") for each in identifiers] == [65_533, 65_534, 1, 2]
