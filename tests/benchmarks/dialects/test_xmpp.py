"""XMPP, sans-I/O: the steps of a log-in, messages and carbons counted by their bodies, answers looked for."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost_benchmarks.dialects.port import BrokenPromise, Login
from roost_benchmarks.dialects.xmpp import XmppDialect, XmppWire

ALICE = Login(user="alice", terminal="phone", password="secret")
STEPS = (
    b"<?xml version='1.0'?><stream:stream><stream:features><mechanisms/></stream:features>",
    b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    b"<stream:stream><stream:features><bind/></stream:features>",
    b"<iq id='bind' type='result'><bind><jid>alice@localhost/phone</jid></bind></iq>",
    b"<iq id='carbons' type='result'/>",
    b"<presence from='alice@localhost/phone'/><iq id='present' type='error'><error/></iq>",
)


def live() -> XmppWire:
    wire = XmppDialect({}).wire(ALICE)
    for step in STEPS:
        wire.receive(step)
    assert wire.live
    return wire


def messages(count: int, sender: str = "alice") -> list[bytes]:
    frames = XmppDialect({}).publisher(Login(user=sender), "user/bob", 128).frames(count)
    return re.findall(rb"<message.*?</message>", frames)


def carbon(message: bytes) -> bytes:
    return b"<message><sent xmlns='urn:xmpp:carbons:2'><forwarded>" + message + b"</forwarded></sent></message>"


def test_each_step_of_a_log_in_is_answered_by_the_next() -> None:
    wire = XmppDialect({}).wire(ALICE)
    assert wire.opening().endswith(b"version='1.0'>")
    said = [wire.receive(step) for step in STEPS]
    assert b"AGFsaWNlAHNlY3JldA==" in said[0]  # "\0alice\0secret" in base64
    assert said[1] == wire.opening()
    assert b"<resource>phone</resource>" in said[2]
    assert b"urn:xmpp:carbons:2" in said[3]
    assert said[4].startswith(b"<presence/>")
    assert wire.live


def test_a_log_in_cut_at_every_byte_of_a_step() -> None:
    for cut in range(len(STEPS[0])):
        wire = XmppDialect({}).wire(ALICE)
        assert wire.receive(STEPS[0][:cut]) == b""
        assert b"<auth" in wire.receive(STEPS[0][cut:])


def test_a_refused_log_in_breaks_off() -> None:
    wire = XmppDialect({}).wire(ALICE)
    wire.receive(STEPS[0])
    with pytest.raises(BrokenPromise, match="not-authorized"):
        wire.receive(b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>")


def test_messages_that_come_with_the_last_answer_count() -> None:
    wire = XmppDialect({}).wire(ALICE)
    for step in STEPS[:-1]:
        wire.receive(step)
    one, other, begun = messages(3)
    wire.receive(one + STEPS[-1] + other + begun[:50])
    assert wire.live
    assert wire.delivered == 2
    wire.receive(begun[50:])
    assert wire.delivered == 3


def test_a_message_that_comes_back_is_a_refusal_and_an_answer_is_not() -> None:
    wire = live()
    wire.receive(messages(1)[0] + b"<iq type='error' id='settled-1'><error type='cancel'/></iq>")
    assert wire.settled == 1
    with pytest.raises(BrokenPromise, match="service-unavailable"):
        wire.receive(b"<message from='bob@localhost' type='error'><error><service-unavailable/></error></message>")


@given(st.integers(1, 12), st.lists(st.integers(1, 400), min_size=1))
def test_however_it_is_cut_each_message_counts_once(count: int, sizes: list[int]) -> None:
    stream = (
        b"".join(carbon(message) if number % 2 else message for number, message in enumerate(messages(count)))
        + b"<iq type='error' id='settled-7' to='alice@localhost/phone'><error/></iq>"
    )
    wire, at, turn = live(), 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        wire.receive(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert (wire.delivered, wire.settled) == (count, 7)


def test_an_answer_cut_at_every_byte() -> None:
    stream = messages(1)[0] + b"<iq type='result' id='settled-123'/>" + messages(2)[1]
    for cut in range(len(stream) + 1):
        wire = live()
        wire.receive(stream[:cut])
        assert wire.settled in (0, 123)
        wire.receive(stream[cut:])
        assert (wire.delivered, wire.settled) == (2, 123)


@pytest.mark.parametrize("order", [[1], [0, 2], [0, 0], [0, 1, 0]])
def test_a_miss_or_a_double_is_noticed(order: list[int]) -> None:
    made = messages(3)
    with pytest.raises(BrokenPromise, match="was due"):
        live().receive(b"".join(made[at] for at in order))


def test_a_group_is_written_to_member_by_member() -> None:
    dialect = XmppDialect({"all": ["alice", "bob", "carol"]})
    frames = dialect.publisher(ALICE, "group/all", 64).frames(2)
    assert re.findall(rb"to='(\w+)@localhost' type='chat'", frames) == [b"bob", b"carol"] * 2
    assert frames.count(b"settled-2") == 1
    bodies = re.findall(rb"<body>(.*?)</body>", frames)
    assert {len(body) for body in bodies} == {64}
