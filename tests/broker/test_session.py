"""One live session: publishing, the window, the keepalive, and what a device may not say."""

import logging
from random import Random
from typing import Any

import pytest
import trio

from broker.house import Device, House, in_house, in_virtual_time, open_house
from roost_broker.config import RetentionConfig
from roost_broker.session import ANSWERED_IN_A_ROW
from roost_broker.store import CommitRefused, OutcomeUnknown
from roost_broker.store.memory import MemoryStore
from roost_protocol import codec
from roost_protocol.frames import (
    Ack,
    Connack,
    Connect,
    Deliver,
    Disconnect,
    Fetch,
    Frame,
    Gap,
    Group,
    Page,
    Ping,
    Pong,
    Presence,
    Puback,
    Publish,
    Relation,
    Result,
)
from roost_protocol.limits import KIB, Limits
from roost_protocol.reasons import Reason

# --- publishing ---------------------------------------------------------------------------------------------------


@in_house()
async def test_a_message_reaches_every_device_of_both_sides(house: House) -> None:
    phone, pc = await house.log_in("alice", "phone"), await house.log_in("alice", "pc")
    bobs = [await house.log_in("bob", terminal) for terminal in ("phone", "pad")]
    puback = await phone.publish(1, "user/bob", "hi", content_type="text/markdown")
    assert (puback.n, puback.reason, puback.seq, puback.retransmission) == (1, Reason.SUCCESS, 1, False)
    pushed = [await bob.expect(Deliver) for bob in bobs]
    for theirs in pushed:
        assert (theirs.seq, theirs.kind, theirs.device, theirs.n) == (1, "message", None, None)
        assert theirs.entry is not None
        assert (theirs.entry.sender, theirs.entry.to, theirs.entry.text) == ("alice", "user/bob", "hi")
        assert (theirs.entry.id, theirs.entry.time) == (puback.id, puback.time)
        assert theirs.entry.content_type == "text/markdown"
    other = await pc.expect(Deliver)
    assert (other.seq, other.kind, other.device, other.n) == (1, "own", "alice-phone", 1)
    assert other.entry == pushed[0].entry


@in_house()
async def test_the_publishing_connection_alone_gets_its_message_without_the_body(house: House) -> None:
    alice = await house.log_in("alice")
    puback = await alice.publish(1, "user/bob", "hi")
    echo = await alice.expect(Deliver)
    assert (echo.seq, echo.kind, echo.device, echo.n) == (1, "own", "alice-phone", 1)
    assert echo.entry is not None
    assert (echo.entry.id, echo.entry.text, echo.entry.data) == (puback.id, None, None)
    again = await house.log_in("alice")
    whole = await again.expect(Deliver)
    assert whole.entry is not None
    assert (whole.entry.text, whole.device, whole.n) == ("hi", "alice-phone", 1)


@in_house()
async def test_bytes_come_as_bytes(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await alice.publish(1, "user/bob", data=b"\0\xff")
    entry = (await bob.expect(Deliver)).entry
    assert entry is not None
    assert (entry.data, entry.text) == (b"\0\xff", None)


@in_house()
async def test_a_message_to_oneself_is_one_entry(house: House) -> None:
    alice, pc = await house.log_in("alice"), await house.log_in("alice", "pc")
    assert (await alice.publish(1, "user/alice")).seq == 1
    assert await alice.seqs() == [1]
    assert await pc.seqs() == [1]


@in_house()
async def test_a_message_to_a_group_reaches_every_member_and_nobody_else(house: House) -> None:
    alice, bob, carol = [await house.log_in(user) for user in ("alice", "bob", "carol")]
    await alice.say(Group(request=1, action="create", group="g", users=("bob",)))
    await alice.expect(Result)
    assert (await alice.publish(1, "group/g")).reason == Reason.SUCCESS
    assert await bob.seqs() == [1]
    await carol.expect_silence()
    refused = await carol.publish(1, "group/g")
    assert (refused.reason, refused.retry_after_s) == (Reason.NOT_A_MEMBER, None)


@in_house()
async def test_what_is_refused_is_told_and_settled(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await bob.say(Relation(request=1, action="add", kind="block", user="alice"))
    await bob.expect(Result)
    cases: list[tuple[str, Reason]] = [
        ("user/nobody", Reason.UNKNOWN_RECIPIENT),
        ("group/nothing", Reason.UNKNOWN_RECIPIENT),
        ("user/bob", Reason.BLOCKED),
    ]
    for n, (to, reason) in enumerate(cases, 1):
        for retransmission in (False, True):
            puback = await alice.publish(n, to)
            assert (puback.reason, puback.retry_after_s, puback.seq) == (reason, None, None)
            assert puback.retransmission == retransmission
    await alice.expect_silence()
    await bob.expect_silence()
    assert (await bob.publish(1, "user/alice")).reason == Reason.SUCCESS, "a block goes one way"
    assert (await house.log_in("alice", "pad")).connack.settled_n == 0
    assert (await house.log_in("alice", "phone")).connack.settled_n == 3


@in_house(limits={"body_bytes_max": 1 * KIB})
async def test_a_body_that_is_too_large_costs_the_message_and_not_the_connection(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    too_large: list[dict[str, Any]] = [{"text": "x" * 1025}, {"text": "ä" * 513}, {"data": bytes(1025)}]
    for n, body in enumerate(too_large, 1):
        refused = await alice.publish(n, "user/bob", **body)
        assert (refused.reason, refused.retry_after_s) == (Reason.PACKET_TOO_LARGE, None)
        assert "1024 bytes" in refused.text
    assert (await alice.publish(4, "user/bob", "ä" * 512)).reason == Reason.SUCCESS
    assert await bob.seqs() == [1]


@in_house()
async def test_a_retransmission_gets_the_first_outcome_and_is_stored_once(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    first = await alice.publish(1, "user/bob")
    back = await house.log_in("alice", last_seq=1)
    again = await back.publish(1, "user/bob")
    assert again.retransmission
    assert (again.reason, again.seq, again.id, again.time) == (first.reason, first.seq, first.id, first.time)
    assert await bob.seqs() == [1]
    assert await back.seqs() == []


@in_house()
async def test_of_two_at_once_in_one_batch_the_second_is_the_retransmission(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await alice.say(*[Publish(n=1, to="user/bob", text="x")] * 2)
    pubacks = [frame for frame in await alice.rest() if isinstance(frame, Puback)]
    assert [puback.retransmission for puback in pubacks] == [False, True]
    assert await bob.seqs() == [1]


@pytest.mark.parametrize(
    "other",
    [{"to": "user/carol"}, {"text": "other"}, {"content_type": "text/markdown"}, {"data": b"hello", "text": None}],
    ids=lambda other: next(iter(other)),
)
@in_house()
async def test_the_same_number_for_something_else_is_a_conflict(house: House, other: dict[str, Any]) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await alice.publish(1, "user/bob", "hello")
    await alice.say(Publish(**{"n": 1, "to": "user/bob", "text": "hello", **other}))
    conflict = await alice.pick(Puback)
    assert (conflict.reason, conflict.retry_after_s) == (Reason.PACKET_IDENTIFIER_IN_USE, None)
    assert await bob.seqs() == [1]


@in_house(limits={"publish_max": 4})
async def test_what_is_older_than_the_outcomes_kept_was_settled_long_ago(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await house.fill(alice, "user/bob", 5)
    assert (await alice.publish(1, "user/bob")).reason == Reason.SETTLED_LONG_AGO
    assert (await alice.publish(2, "user/bob")).retransmission
    assert len(await bob.seqs()) == 5


# --- backpressure -------------------------------------------------------------------------------------------------


@in_house(limits={"publish_max": 2, "keepalive_s": 5, "read_bytes_max": 4 * KIB, "login_timeout_s": 60}, commit_s=10.0)
async def test_past_publish_max_the_socket_is_not_read_and_the_keepalive_stands(house: House) -> None:
    """A commit takes 20 s here, the keepalive allows 7.5: the broker itself is what does not go on."""
    alice = await house.log_in("alice")
    session = house.session("alice")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alice.say, *(Publish(n=n, to="user/bob", text="x" * 1000) for n in range(1, 201)))
        await trio.sleep(1)
        assert session.unsettled == 2
        assert nursery.child_tasks, "the network is full of what the broker does not read"
        for n in range(1, 191):
            assert (await alice.pick(Puback)).n == n
            assert session.unsettled <= 2
    assert not session.closed
    assert trio.current_time() > 190 / 2 * 20


@in_house(limits={"batch_operations_max": 1, "queue_operations_max": 1, "queue_wait_max_s": 60}, commit_s=1.0)
async def test_when_the_queue_of_the_store_is_full_sockets_are_not_read(house: House) -> None:
    devices = [await house.log_in("alice", terminal) for terminal in ("phone", "pc", "pad")]
    await trio.sleep(10)
    for device in devices:
        await device.say(*(Publish(n=n, to="user/bob", text="x") for n in range(1, 6)))
    await trio.sleep(0.5)
    assert sum(house.session("alice", t).unsettled for t in ("phone", "pc", "pad")) <= 1 + 1 + 3
    for device in devices:
        assert [(await device.pick(Puback)).n for _ in range(5)] == [1, 2, 3, 4, 5]


@in_house(limits={"write_buffer_bytes_max": 64 * KIB})
async def test_a_device_that_asks_and_does_not_read_is_not_read_either(house: House) -> None:
    """A few bytes ask for a page of a hundred thousand: what waits to be written is bounded all the same."""
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 10, text="x" * 100_000)
    await alice.say(*(Fetch(request=request) for request in range(1000)))
    await trio.sleep(5)
    session = house.session("alice")
    page_bytes_most = house.core.limits.frame_bytes_max
    assert session.link.outlet.full
    assert session.link.outlet.pending_bytes <= 64 * KIB + page_bytes_most
    answers = [frame.request for frame in await alice.rest(30) if isinstance(frame, Page)]
    assert answers == list(range(1000)), "and when it reads, they come"


# --- the window ---------------------------------------------------------------------------------------------------


@in_house()
async def test_no_more_entries_than_the_device_asked_for_are_under_way(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob", receive_max=3)
    await house.fill(alice, "user/bob", 10)
    assert await bob.seqs() == [1, 2, 3]
    await bob.say(Ack(seq=3))
    assert await bob.seqs() == [4, 5, 6]
    await bob.say(Ack(seq=6))
    await bob.say(Ack(seq=6))
    await bob.say(Ack(seq=2))
    assert await bob.seqs() == [7, 8, 9]
    await bob.say(Ack(seq=9))
    assert await bob.seqs() == [10]


@in_house()
async def test_no_more_bytes_than_the_device_asked_for_are_under_way(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob", receive_bytes_max=2_500)
    await house.fill(alice, "user/bob", 5, text="x" * 1000)
    assert await bob.seqs() == [1, 2]
    await bob.say(Ack(seq=2))
    assert await bob.seqs() == [3, 4]
    await bob.say(Ack(seq=4))
    assert await bob.seqs() == [5]


@in_house()
async def test_large_entries_are_counted_off_the_window_a_few_at_a_time(house: House) -> None:
    """Whether they came live or were caught up: an ACK in the middle of what is on the wire makes room."""
    alice, live = await house.log_in("alice"), await house.log_in("bob")
    await house.fill(alice, "user/bob", 40, text="x" * 60_000)
    later = await house.log_in("bob", "pc")
    for bob in (live, later):
        assert await bob.seqs() == list(range(1, 18)), "1 MiB"
        await bob.say(Ack(seq=8))
        more = await bob.seqs()
        assert more[0] == 18
        assert len(more) >= 7


@in_house()
async def test_an_entry_larger_than_the_window_comes_alone(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob", receive_bytes_max=100)
    await house.fill(alice, "user/bob", 3, text="x" * 1000)
    for seq in (1, 2, 3):
        assert await bob.seqs() == [seq]
        await bob.say(Ack(seq=seq))


@pytest.mark.parametrize("receive_max", [1, 2, 7, 32, 33, 100, 256])
@in_house()
async def test_who_acknowledges_everything_gets_everything(house: House, receive_max: int) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 300)
    bob = await house.log_in("bob", receive_max=receive_max)
    held = 0
    while held < 300:
        seqs = await bob.seqs(0.1)
        assert seqs == list(range(held + 1, held + 1 + len(seqs)))
        assert 1 <= len(seqs) <= receive_max
        held += len(seqs)
        await bob.say(Ack(seq=held))


@in_house()
async def test_an_acknowledgement_of_a_part_makes_room_in_steps(house: House) -> None:
    """Half of the window, acknowledged in time, keeps the stream going: the least a device must do."""
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 600)
    bob = await house.log_in("bob", receive_max=100)
    held, acknowledged = 0, 0
    while held < 600:
        frame = await bob.expect(Deliver)
        held = frame.seq
        assert held - acknowledged <= 100
        if held - acknowledged == 50:
            acknowledged = held
            await bob.say(Ack(seq=held))


@in_house()
async def test_an_acknowledgement_beyond_what_was_delivered_ends_the_connection(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob", receive_max=1)
    await house.fill(alice, "user/bob", 3)
    assert await bob.seqs() == [1]
    await bob.stream.send_all(codec.encode(Ack(seq=2)))
    dismissal = await bob.expect_dismissal(Reason.PROTOCOL_ERROR)
    assert "ACK 2 beyond what was delivered (1)" in dismissal.text
    again = await house.log_in("bob")
    assert await again.seqs() == [1, 2, 3]


@in_house()
async def test_what_was_acknowledged_is_durable_within_a_second(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await house.fill(alice, "user/bob", 3)
    await bob.rest()
    await bob.say(Ack(seq=2))
    await trio.sleep(1)
    (device,) = house.store.devices(house.number("bob"))
    assert device.cursor == 2


# --- life and death -----------------------------------------------------------------------------------------------


@in_house(limits={"keepalive_s": 20})
async def test_nothing_heard_for_one_and_a_half_keepalives_ends_the_session(house: House) -> None:
    alice = await house.log_in("alice", keepalive_s=10)
    await alice.expect_silence(14.9)
    dismissal = await alice.expect_dismissal(Reason.KEEP_ALIVE_TIMEOUT)
    assert dismissal.reconnect
    assert trio.current_time() == pytest.approx(15, abs=1)
    assert len(house.core.directory) == 0


@in_house(limits={"keepalive_s": 10})
async def test_any_frame_keeps_a_session_alive(house: House) -> None:
    alice = await house.log_in("alice")
    for frame in [Ping(), Ack(seq=0), Ping(), Fetch(request=1)] * 3:
        await trio.sleep(14)
        await alice.say(frame)
        assert all(isinstance(answer, Pong | Page) for answer in await alice.rest(0.1))
    await alice.expect_alive()


@in_house(limits={"keepalive_s": 10})
async def test_to_be_told_something_keeps_nobody_alive(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    for n in range(1, 6):
        await trio.sleep(4)
        await alice.publish(n, "user/bob")
    frames = await bob.rest()
    assert [type(frame) for frame in frames] == [Deliver] * 3 + [Disconnect]


@in_house()
async def test_a_device_says_goodbye(house: House) -> None:
    alice = await house.log_in("alice")
    await alice.say(Publish(n=1, to="user/bob", text="last words"), Disconnect())
    await alice.expect_end()
    assert len(house.core.directory) == 0
    bob = await house.log_in("bob")
    assert await bob.seqs() == [1], "it was said before"
    back = await house.log_in("alice")
    assert back.connack.settled_n == 1


@pytest.mark.parametrize("how", ["end", "cut"])
@in_house()
async def test_a_device_goes_without_goodbye(house: House, how: str, caplog: pytest.LogCaptureFixture) -> None:
    alice = await house.log_in("alice")
    if how == "end":
        await alice.stream.send_eof()
        await alice.expect_end()
    else:
        alice.stream.cut()
    await trio.sleep(1)
    assert len(house.core.directory) == 0
    assert house.broker.server.connections == 0
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@in_house()
async def test_goodbye_in_one_piece_with_a_question_is_no_defect(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    questions: list[Frame] = [
        Ping(),
        Fetch(request=1),
        Group(request=2, action="list"),
        Publish(n=1, to="user/bob", text="x"),
        Ack(seq=0),
    ]
    for question in questions:
        alice = await house.log_in("alice")
        await alice.say(question, Disconnect())
        await alice.rest()
        assert alice.at_end
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# --- what a device may not say ------------------------------------------------------------------------------------


def framed(frame_type: int, body: bytes) -> bytes:
    return (len(body) + 1).to_bytes(4, "big") + bytes([frame_type]) + body


BAD: list[tuple[str, bytes, Reason]] = [
    ("a length of 0", b"\0\0\0\0", Reason.MALFORMED_PACKET),
    ("a length over the limit", (256 * KIB + 1).to_bytes(4, "big"), Reason.PACKET_TOO_LARGE),
    ("a giant length", b"\xff\xff\xff\xff", Reason.PACKET_TOO_LARGE),
    ("an unknown type", framed(99, b"\x80"), Reason.PROTOCOL_ERROR),
    ("type 0", framed(0, b"\x80"), Reason.PROTOCOL_ERROR),
    ("no body", framed(12, b""), Reason.MALFORMED_PACKET),
    ("bad MessagePack", framed(3, b"\xc1\xc1\xc1"), Reason.MALFORMED_PACKET),
    ("something after the map", framed(12, b"\x80\x80"), Reason.MALFORMED_PACKET),
    ("not a map", framed(3, b"\x93\x01\x02\x03"), Reason.MALFORMED_PACKET),
    ("a key missing", framed(3, b"\x81\xa1n\x01"), Reason.MALFORMED_PACKET),
    ("a wrong type of value", framed(6, b"\x81\xa3seq\xa3one"), Reason.MALFORMED_PACKET),
    ("a number out of range", framed(6, b"\x81\xa3seq\xff"), Reason.MALFORMED_PACKET),
    ("text that is no UTF-8", framed(8, b"\x82\xa7request\x01\xa5users\x91\xa1\xff"), Reason.MALFORMED_PACKET),
    ("deep nesting", framed(8, b"\x81\xa5users" + b"\x91" * 5_000), Reason.MALFORMED_PACKET),
    ("a bad address", framed(3, b"\x83\xa1n\x01\xa2to\xa8user/a/b\xa4text\xa1x"), Reason.MALFORMED_PACKET),
    ("an invisible name", framed(8, b"\x82\xa7request\x01\xa5users\x91\xa3\xe2\x80\x8b"), Reason.MALFORMED_PACKET),
    (
        "two bodies",
        framed(3, b"\x84\xa1n\x01\xa2to\xa8user/bob\xa4text\xa1x\xa4data\xc4\x01x"),
        Reason.MALFORMED_PACKET,
    ),
    ("a publish number of 0", framed(3, b"\x83\xa1n\x00\xa2to\xa8user/bob\xa4text\xa1x"), Reason.MALFORMED_PACKET),
    (
        "a second CONNECT",
        codec.encode(Connect(user="alice", password="x", terminal="pc", device="a")),
        Reason.PROTOCOL_ERROR,
    ),
    ("an ACK beyond", codec.encode(Ack(seq=1)), Reason.PROTOCOL_ERROR),
    ("CONNACK", codec.encode(Connack()), Reason.PROTOCOL_ERROR),
    ("PUBACK", codec.encode(Puback(n=1)), Reason.PROTOCOL_ERROR),
    ("DELIVER", codec.encode(Deliver(seq=1, kind="erased")), Reason.PROTOCOL_ERROR),
    ("GAP", codec.encode(Gap(first=1, last=1, reason="age")), Reason.PROTOCOL_ERROR),
    ("PRESENCE", codec.encode(Presence(user="bob", online=True)), Reason.PROTOCOL_ERROR),
    ("PAGE", codec.encode(Page(request=1)), Reason.PROTOCOL_ERROR),
    ("PONG", codec.encode(Pong()), Reason.PROTOCOL_ERROR),
    ("RESULT", codec.encode(Result(request=1)), Reason.PROTOCOL_ERROR),
]


async def check_harm(
    house: House, caplog: pytest.LogCaptureFixture, alice: Device, bob: Device, reason: Reason
) -> list[Frame]:
    """The bad connection alone is told and closed, with one line in the log; returns what it was told before."""
    *before, last = await alice.rest()
    assert isinstance(last, Disconnect), last
    assert (last.reason, last.reconnect) == (reason, False)
    assert alice.at_end
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(records) == 1, records
    assert not records[0].exc_info
    assert "alice/alice-phone (memory:" in records[0].getMessage()
    assert "\n" not in records[0].getMessage()
    assert [session.user_name for session in house.core.directory] == ["bob"]
    await bob.expect_alive()
    return before


@pytest.mark.parametrize(("said", "reason"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD])
@in_house()
async def test_what_is_wrong_harms_only_the_connection_it_came_on(
    house: House, said: bytes, reason: Reason, caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await alice.stream.send_all(said)
    assert await check_harm(house, caplog, alice, bob, reason) == []


@pytest.mark.parametrize("said", [bad[1] for bad in BAD], ids=[bad[0] for bad in BAD])
@in_house()
async def test_what_is_right_before_it_in_the_same_piece_is_done(
    house: House, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    reason = next(bad[2] for bad in BAD if bad[1] == said)
    right = codec.encode(Publish(n=1, to="user/bob", text="x")) + codec.encode(Ping()) + codec.encode(Fetch(request=1))
    await alice.stream.send_all(right + said + right)
    await check_harm(house, caplog, alice, bob, reason)
    assert [frame.seq for frame in bob.heard if isinstance(frame, Deliver)] == [1]
    back = await house.log_in("alice")
    assert back.connack.settled_n == 1


@in_house()
async def test_an_end_inside_a_frame_is_a_violation(house: House, caplog: pytest.LogCaptureFixture) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await alice.stream.send_all(codec.encode(Ping())[:-1])
    await alice.stream.send_eof()
    await check_harm(house, caplog, alice, bob, Reason.MALFORMED_PACKET)


@in_house(limits={"keepalive_s": 3_600})
async def test_a_frame_one_byte_at_a_time(house: House) -> None:
    alice, bob = await house.log_in("alice", keepalive_s=10), await house.log_in("bob", keepalive_s=3_600)
    for byte in codec.encode(Publish(n=1, to="user/bob", text="x" * 50)):
        await alice.stream.send_all(bytes([byte]))
        await trio.sleep(1)
    assert (await alice.pick(Puback)).reason == Reason.SUCCESS
    assert [frame.seq for frame in await bob.rest() if isinstance(frame, Deliver)] == [1]


# --- when the store cannot ----------------------------------------------------------------------------------------


@in_house()
async def test_a_refused_commit_costs_nothing_but_time(house: House) -> None:
    """Nothing acknowledged, nothing delivered, no number lost: the next batch uses it."""
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await alice.publish(1, "user/bob")
    house.store.faults.append(CommitRefused("the map is full", Reason.QUOTA_EXCEEDED))
    refused = await alice.publish(2, "user/bob")
    assert (refused.reason, refused.seq) == (Reason.QUOTA_EXCEEDED, None)
    assert refused.retry_after_s is not None
    assert await bob.seqs() == [1]
    again = await alice.publish(2, "user/bob")
    assert (again.reason, again.seq, again.retransmission) == (Reason.SUCCESS, 2, False)
    assert await bob.seqs() == [2]
    assert await alice.seqs() == [1, 2]


@in_virtual_time
async def test_a_store_without_room_says_so_until_there_is_some() -> None:
    random = Random(1)  # noqa: S311  # for ids
    store = MemoryStore(limits=Limits(), random=random, map_bytes=3_000, reserve_bytes=1_000)
    async with open_house(store=store, retention=RetentionConfig(count=1)) as house:
        alice = await house.log_in("alice")
        n = 0
        while (puback := await alice.publish(n + 1, "user/bob", "x" * 500)).reason == Reason.SUCCESS:
            n += 1
        assert 3 <= n <= 6
        assert (puback.reason, puback.retry_after_s is None) == (Reason.QUOTA_EXCEEDED, False)
        again = await house.log_in("alice", "pc")
        assert again.connack.head == n, "reading and logging in go on"
        await house.broker.trim()
        assert (await alice.publish(n + 1, "user/bob", "x" * 500)).reason == Reason.SUCCESS


@in_virtual_time
async def test_an_unknown_outcome_tells_no_sender_anything_and_stops_the_broker() -> None:
    heard: list[Frame] = []

    async def main() -> None:
        async with open_house() as house:
            alice, bob = await house.log_in("alice"), await house.log_in("bob")
            house.store.faults.append(OutcomeUnknown("fsync failed"))
            await alice.say(Publish(n=1, to="user/bob", text="x"))
            with trio.CancelScope(shield=True):
                heard.extend(await alice.rest() + await bob.rest())
            await trio.sleep_forever()

    with pytest.raises(OutcomeUnknown, match="fsync"):
        await main()
    assert not heard


@in_house()
async def test_many_requests_in_one_read_keep_nobody_waiting(house: House) -> None:
    """They are answered one by one, each with a call of the kernel: others have their turn in between."""
    alice = await house.log_in("alice")
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    pings = 10 * ANSWERED_IN_A_ROW
    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        await alice.say(*[Ping()] * pings)
        turns = 0
        for _ in range(pings):
            await alice.expect(Pong)
        nursery.cancel_scope.cancel()
    assert turns >= 10
