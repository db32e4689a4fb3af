"""Delivery: one stream from backlog to live, gaps said, slow devices at rest, others never concerned."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from broker.house import House, in_house, in_virtual_time, open_house
from roost_broker.config import RetentionConfig
from roost_broker.delivery import LiveInbox
from roost_broker.store import ReadFailed
from roost_broker.transport.memory import MemoryListener
from roost_protocol.frames import Ack, Deliver, Disconnect, Gap, Publish
from roost_protocol.limits import KIB, Limits

# --- the tail in memory -------------------------------------------------------------------------------------------

TAIL = Limits(tail_entries_max=4, tail_bytes_max=16 * KIB)


def frames_of(inbox: LiveInbox) -> list[bytes]:
    return list(inbox.frames_from(inbox.first)) if inbox.covers(inbox.first) else []


def test_an_inbox_keeps_its_newest_frames() -> None:
    inbox = LiveInbox(user=1, head=10, limits=TAIL)
    assert not inbox.covers(10)
    assert not inbox.covers(11)
    assert [inbox.append(seq, b"%d" % seq) for seq in range(11, 17)] == [True] + [False] * 5
    assert inbox.take_fresh() == [b"11", b"12", b"13", b"14", b"15", b"16"]
    assert (inbox.first, inbox.head) == (13, 16)
    assert not inbox.covers(12)
    assert list(inbox.frames_from(15)) == [b"15", b"16"]
    assert frames_of(inbox) == [b"13", b"14", b"15", b"16"]


def test_what_is_forgotten_is_not_in_memory_and_the_next_entry_is() -> None:
    inbox = LiveInbox(user=1, head=10, limits=TAIL)
    for seq in (11, 12):
        inbox.append(seq, b"%d" % seq)
    inbox.forget()
    assert (inbox.first, inbox.head, frames_of(inbox)) == (13, 12, [])
    assert not inbox.covers(12)
    inbox.append(13, b"13")
    assert frames_of(inbox) == [b"13"]
    assert inbox.take_fresh() == [b"11", b"12", b"13"], "what is on its way to sessions goes on"
    inbox.trimmed(14)
    assert (inbox.first, frames_of(inbox)) == (14, [])


def test_numbers_come_in_order() -> None:
    inbox = LiveInbox(user=1, head=10, limits=TAIL)
    for wrong in (10, 12):
        with pytest.raises(AssertionError, match=f"{wrong} follows 10"):
            inbox.append(wrong, b"")


@given(
    acts=st.lists(
        st.one_of(
            st.integers(0, 9_000).map(lambda size: ("append", size)),
            st.integers(1, 40).map(lambda floor: ("trim", floor)),
        ),
        max_size=40,
    )
)
def test_the_tail_is_the_newest_within_its_bounds(acts: list[tuple[str, int]]) -> None:
    inbox = LiveInbox(user=1, head=0, limits=TAIL)
    kept: list[tuple[int, int]] = []
    for act, value in acts:
        if act == "append":
            assert inbox.append(inbox.head + 1, bytes(value))
            assert inbox.take_fresh() == [bytes(value)]
            kept.append((inbox.head, value))
        else:
            inbox.trimmed(value)
            kept = [(seq, size) for seq, size in kept if seq >= value]
        while len(kept) > 4 or sum(size for _, size in kept) > 16 * KIB:
            kept.pop(0)
        assert [len(frame) for frame in frames_of(inbox)] == [size for _, size in kept]
        assert inbox.first == (kept[0][0] if kept else inbox.head + 1)
        assert all(inbox.covers(seq) for seq, _ in kept)
        assert not inbox.covers(inbox.first - 1)
        assert not inbox.covers(inbox.head + 1)


# --- from backlog to live -----------------------------------------------------------------------------------------


@in_house()
async def test_every_device_gets_the_same_bytes(house: House) -> None:
    """Encoded once, however many devices there are."""
    alice = await house.log_in("alice")
    bobs = [await house.log_in("bob", terminal) for terminal in ("phone", "pc")]
    await house.fill(alice, "user/bob", 3)
    first, second = [await bob.stream.receive_some(100_000) for bob in bobs]
    assert first == second
    inbox = house.session("bob").inbox
    assert b"".join(inbox.frames_from(1)) == first


@in_house()
async def test_one_batch_of_many_senders_is_one_stream(house: House) -> None:
    """A batch is handed on in pieces: to the publisher without its own bodies, to a narrow window in part."""
    alice, carol = await house.log_in("alice"), await house.log_in("carol")
    tablet = await house.log_in("alice", "pad")
    bob, slow = await house.log_in("bob"), await house.log_in("bob", "pc", receive_max=50)
    for n in range(1, 41):
        for sender in (alice, carol):
            await sender.say(Publish(n=n, to="user/bob", text=f"{n}"))
    said = [frame for frame in await alice.rest() if isinstance(frame, Deliver)]
    copies = [frame for frame in await tablet.rest() if isinstance(frame, Deliver)]
    assert [frame.seq for frame in said] == [frame.seq for frame in copies] == list(range(1, 41))
    assert {frame.entry.text for frame in said if frame.entry} == {None}
    assert [frame.entry.text for frame in copies if frame.entry] == [f"{n}" for n in range(1, 41)]
    assert await bob.seqs() == list(range(1, 81))
    assert await slow.seqs() == list(range(1, 51))
    await slow.say(Ack(seq=50))
    assert await slow.seqs() == list(range(51, 81))


@in_house(limits={"tail_entries_max": 5})
async def test_a_backlog_larger_than_the_tail_comes_from_the_store_and_then_the_tail(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 50)
    bob = await house.log_in("bob")
    assert await bob.seqs() == list(range(1, 51))
    assert house.store.reads == 1
    await house.fill(alice, "user/bob", 3, first=51)
    assert await bob.seqs() == [51, 52, 53]
    assert house.store.reads == 1, "live entries are not read"


@in_house()
async def test_a_backlog_within_the_tail_needs_no_reading(house: House) -> None:
    alice = await house.log_in("alice")
    await house.log_in("bob", "pc")
    await house.fill(alice, "user/bob", 20)
    bob = await house.log_in("bob", last_seq=5)
    assert await bob.seqs() == list(range(6, 21))
    assert house.store.reads == 0


@pytest.mark.parametrize("tail", [1, 3, 50])
@in_virtual_time
async def test_a_log_in_amid_publishes_sees_every_number_once(tail: int) -> None:
    """At whatever moment it comes, and from wherever it starts; the device's own core checks the order."""
    async with (
        open_house(limits={"tail_entries_max": tail, "page_entries_max": 4, "takeovers_max": 1_000}) as house,
        trio.open_nursery() as nursery,
    ):
        talked = trio.Event()
        nursery.start_soon(talk, house, talked)
        for terminal in ("phone", "pc", "pad"):
            nursery.start_soon(come_and_go, house, terminal, talked)


async def talk(house: House, talked: trio.Event) -> None:
    alice = await house.log_in("alice")
    for n in range(1, 151):
        await alice.say(Publish(n=n, to="user/bob", text=str(n)))
        await trio.sleep(0.0011)
    talked.set()


async def come_and_go(house: House, terminal: str, talked: trio.Event) -> None:
    """Log in from where one is, listen for a moment, and vanish; the last time to the end."""
    last = connections = 0
    while True:
        finished = talked.is_set()
        bob = await house.log_in("bob", terminal, last_seq=last)
        frames = await bob.rest(1 if finished else 0.01)
        seqs = [frame.seq for frame in frames if isinstance(frame, Deliver)]
        assert seqs == list(range(last + 1, last + 1 + len(seqs)))
        last += len(seqs)
        connections += 1
        if finished:
            break
        bob.stream.cut()
    assert last == 150
    assert connections > 10


@in_house(offload_s=0.5, commit_s=0.001)
async def test_what_is_published_while_a_page_is_read_follows_it(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 5)
    bob = await house.log_in("bob")
    await trio.sleep(0.1)
    await house.fill(alice, "user/bob", 5, first=6)
    assert await bob.seqs(5) == list(range(1, 11))


@in_house(offload_s=0.001, commit_s=0.5)
async def test_what_a_page_shows_before_its_commit_is_settled_comes_once(house: House) -> None:
    """The store has it already, the batch is not settled yet: the reader is ahead of the live stream."""
    alice, carol = await house.log_in("alice"), await house.log_in("carol")
    await house.fill(alice, "user/bob", 4)
    bob = await house.log_in("bob", receive_max=3)
    assert await bob.seqs() == [1, 2, 3]
    await alice.say(Publish(n=5, to="user/bob", text="x"))
    user = house.session("bob").user
    with trio.fail_after(5):
        # It is committed, and settled half a second later.
        while house.store.read_inbox(user, 0, 1, 1).head < 5:  # noqa: ASYNC110 - virtual time
            await trio.sleep(0.1)
    await bob.say(Ack(seq=3))
    assert await bob.seqs(0.1) == [4, 5]
    assert house.session("bob").inbox.head == 4
    await carol.publish(1, "user/bob")
    assert await bob.seqs() == [6]


@in_house(limits={"tail_entries_max": 2})
async def test_a_catch_up_that_ends_with_its_session_leaves_nothing(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 20)
    for pause in range(8):
        bob = await house.log_in("bob")
        await trio.sleep(pause / 2_000)
        bob.stream.cut()
        await trio.sleep(1)
        assert {session.user_name for session in house.core.directory} == {"alice"}


@in_house(limits={"tail_entries_max": 2})
async def test_a_store_that_cannot_be_read_costs_the_connection_and_no_message(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 20)
    house.store.read_faults.append(ReadFailed("a bad sector"))
    bob = await house.log_in("bob")
    assert (await bob.expect(Disconnect)).reconnect
    await bob.expect_end()
    await alice.expect_alive()
    again = await house.log_in("bob")
    assert await again.seqs() == list(range(1, 21))


@in_house(limits={"tail_entries_max": 2})
async def test_a_hole_in_the_store_is_neither_skipped_nor_waited_for(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 20)
    house.store.holes.add(5)
    bob = await house.log_in("bob")
    assert [(await bob.expect(Deliver)).seq for _ in range(4)] == [1, 2, 3, 4]
    assert (await bob.expect(Disconnect)).reconnect
    assert "number 5 is neither there nor below the floor" in caplog.text
    await alice.expect_alive()


# --- gaps ---------------------------------------------------------------------------------------------------------


@in_house(retention=RetentionConfig(count=3))
async def test_who_is_behind_the_floor_at_log_in_is_told(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 10)
    await house.broker.trim()
    bob = await house.log_in("bob", last_seq=2)
    assert (bob.connack.floor, bob.connack.head, bob.connack.position) == (8, 10, 2)
    assert await bob.expect(Gap) == Gap(first=3, last=7, reason="count")
    assert await bob.seqs() == [8, 9, 10]
    assert house.core.delivery.gaps == 1
    at_the_floor = await house.log_in("bob", "pc", last_seq=7)
    assert await at_the_floor.seqs() == [8, 9, 10]


@in_house(retention=RetentionConfig(age_days=0.001))
async def test_when_everything_is_gone_the_gap_goes_to_the_head(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 5)
    await trio.sleep(200)
    await house.broker.trim()
    bob = await house.log_in("bob")
    assert await bob.expect(Gap) == Gap(first=1, last=5, reason="age")
    await bob.expect_silence()
    alice = await house.log_in("alice", last_seq=5)
    await alice.publish(6, "user/bob")
    assert await bob.seqs() == [6]


@in_house(retention=RetentionConfig(count=3))
async def test_a_slow_device_that_trimming_overtakes_is_told_in_the_middle(house: House) -> None:
    alice = await house.log_in("alice")
    bob = await house.log_in("bob", receive_max=2)
    await house.fill(alice, "user/bob", 10)
    assert await bob.seqs() == [1, 2]
    await house.broker.trim()
    await bob.expect_silence()
    await bob.say(Ack(seq=2))
    assert await bob.expect(Gap) == Gap(first=3, last=7, reason="count")
    assert await bob.seqs() == [8, 9]
    await bob.say(Ack(seq=9))
    assert await bob.seqs() == [10]


@in_house(retention=RetentionConfig(count=3))
async def test_what_is_trimmed_is_not_told_from_memory(house: House) -> None:
    """The tail still had it; but the floor has moved, and a device that logs in now must not get it."""
    alice = await house.log_in("alice")
    pc = await house.log_in("bob", "pc")
    await house.fill(alice, "user/bob", 10)
    assert len(await pc.seqs()) == 10
    await house.broker.trim()
    phone = await house.log_in("bob", "phone")
    assert (await phone.expect(Gap)).last == 7
    assert await phone.seqs() == [8, 9, 10]


@in_house(retention=RetentionConfig(count=2), limits={"tail_entries_max": 1})
async def test_gaps_and_entries_in_turn(house: House) -> None:
    alice = await house.log_in("alice")
    bob = await house.log_in("bob", receive_max=1)
    held = 0
    for first in range(1, 40, 8):
        await house.fill(alice, "user/bob", 8, first=first)
        await house.broker.trim()
        frames = await bob.rest()
        for frame in frames:
            assert isinstance(frame, Gap | Deliver)
            held = frame.last if isinstance(frame, Gap) else frame.seq
        await bob.say(Ack(seq=held))
    while held < 40:
        told = await bob.hear()
        assert isinstance(told, Gap | Deliver)
        held = told.last if isinstance(told, Gap) else told.seq
        await bob.say(Ack(seq=held))
    await bob.expect_silence()


# --- slow devices -------------------------------------------------------------------------------------------------


@in_house(limits={"tail_entries_max": 2})
async def test_a_full_window_is_not_read_for_over_and_over(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 30, text="x" * 100)
    bob = await house.log_in("bob", receive_bytes_max=1000)
    held = len(await bob.seqs())
    assert 0 < held < 10
    reads = house.store.reads
    await trio.sleep(20)
    assert house.store.reads == reads
    while held < 30:
        await bob.say(Ack(seq=held))
        seqs = await bob.seqs()
        assert seqs
        held = seqs[-1]
    assert house.store.reads < 30


PATIENT = {"write_buffer_bytes_max": 64 * KIB, "write_timeout_s": 600, "keepalive_s": 3_600, "receive_max": 10_000}


@in_house(limits=PATIENT)
async def test_a_device_that_reads_nothing_costs_a_bounded_memory_and_nobody_else(house: House) -> None:
    """Ten thousand messages for bob, on two devices; one of them reads nothing at all, and has asked for much."""
    window_bytes = 256 * KIB
    await house.log_in("bob", "phone", keepalive_s=3_600, receive_max=10_000, receive_bytes_max=window_bytes)
    pc = await house.log_in("bob", "pc", keepalive_s=3_600)
    alice = await house.log_in("alice", keepalive_s=3_600)
    stuck = house.session("bob", "phone")
    most = 0

    async def look() -> None:
        nonlocal most
        while True:
            most = max(most, stuck.link.outlet.pending_bytes)
            await trio.sleep(0.0005)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        nursery.start_soon(lambda: house.fill(alice, "user/bob", 10_000, text="x" * 100))
        while (frame := await pc.expect(Deliver)).seq < 10_000:
            if frame.seq % 50 == 0:
                await pc.say(Ack(seq=frame.seq))
        nursery.cancel_scope.cancel()
    assert 64 * KIB <= most <= 64 * KIB + window_bytes
    assert stuck.position < 4_000
    assert not stuck.closed
    tail = list(stuck.inbox.frames_from(stuck.inbox.first))
    assert len(tail) <= house.core.limits.tail_entries_max


@in_house(limits={"write_buffer_bytes_max": 64 * KIB, "write_timeout_s": 10})
async def test_a_device_that_takes_no_bytes_is_closed_in_time(house: House) -> None:
    alice, carol = await house.log_in("alice"), await house.log_in("carol")
    bob = await house.log_in("bob")
    n = 0
    while not house.session("bob").link.outlet.pending_bytes:
        n += 1
        await alice.publish(n, "user/bob", "x" * 10_000)
    await trio.sleep(9)
    assert len(house.core.directory) == 3
    await trio.sleep(2)
    assert {session.user_name for session in house.core.directory} == {"alice", "carol"}
    await trio.sleep(3)
    assert house.broker.server.connections == 2
    for other in (alice, carol):
        await other.expect_alive()
    heard = await bob.rest()
    assert bob.at_end
    assert [frame.seq for frame in heard if isinstance(frame, Deliver)] == list(range(1, len(heard) + 1))
    again = await house.log_in("bob", last_seq=len(heard))
    assert await again.seqs() == list(range(len(heard) + 1, n + 1)), "nothing is lost by it"


@in_house(limits={"write_buffer_bytes_max": 64 * KIB, "write_timeout_s": 10})
async def test_a_device_that_is_given_up_gets_nothing_that_would_not_follow(house: House) -> None:
    """It has a backlog, and begins to read just when it was given up: the stream ends where it broke off."""
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 100, text="x" * 10_000)
    bob = await house.log_in("bob")
    await trio.sleep(10.05)
    heard = await bob.rest(30)
    assert bob.at_end
    assert len(heard) < 100
    assert [frame.seq for frame in heard if isinstance(frame, Deliver)] == list(range(1, len(heard) + 1))


@in_house(limits={"write_buffer_bytes_max": 64 * KIB})
async def test_a_slow_device_gets_everything_when_it_reads(house: House) -> None:
    alice = await house.log_in("alice")
    bob = await house.log_in("bob")
    await house.fill(alice, "user/bob", 100, text="x" * 10_000)
    held = 0
    while held < 100:
        await trio.sleep(5)
        for frame in await bob.rest(0.001):
            assert isinstance(frame, Deliver)
            held = frame.seq
        await bob.say(Ack(seq=held))


def narrow() -> MemoryListener:
    """A network that takes few bytes at a time."""
    return MemoryListener(pipe_bytes=100)


@in_house(listener=narrow)
async def test_frames_that_go_out_in_small_pieces_are_whole(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.fill, alice, "user/bob", 100)
        for seq in range(1, 101):
            assert (await bob.expect(Deliver)).seq == seq
    await alice.expect_alive()
