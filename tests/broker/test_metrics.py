"""What a node counts: histograms and arrivals by themselves, and every count on a whole broker in virtual time."""

import math
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import accumulate

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from broker.house import PASSWORD, Device, House, in_house
from roost_broker.config import RetentionConfig
from roost_broker.metrics import ENDINGS, LATENCY_BOUNDS_S, Arrivals, Histogram
from roost_broker.outlet import LINGER_S
from roost_broker.store import CommitRefused
from roost_broker.transport.memory import MemoryListener
from roost_protocol import codec
from roost_protocol.frames import Ack, Connack, Connect, Deliver, Disconnect, Fetch, Gap, Page, Ping, Puback, Publish
from roost_protocol.limits import KIB
from roost_protocol.reasons import Reason

COMMIT_S = 0.1
"""What a commit takes in the tests of latency: half of it before the deed, half after."""


# --- histograms ---


def test_an_amount_at_a_bound_is_within_it() -> None:
    histogram = Histogram((1, 2, 4))
    for amount, times in ((0, 1), (1, 1), (1.001, 2), (4, 1), (4.001, 5)):
        histogram.observe(amount, times)
    assert histogram.counts == [2, 2, 1, 5]
    assert histogram.cumulative() == [(1, 2), (2, 4), (4, 5), (math.inf, 10)]
    assert histogram.count == 10
    assert histogram.total == pytest.approx(0 + 1 + 2 * 1.001 + 4 + 5 * 4.001)


def test_what_came_since_a_copy() -> None:
    histogram = Histogram((1, 2))
    histogram.observe(1, 3)
    before = histogram.copy()
    histogram.observe(2, 4)
    assert (before.counts, before.total) == ([3, 0, 0], 3)
    between = histogram.since(before)
    assert (between.counts, between.total) == ([0, 4, 0], 8)


@pytest.mark.parametrize("bounds", [LATENCY_BOUNDS_S])
def test_bounds_rise(bounds: tuple[float, ...]) -> None:
    assert list(bounds) == sorted(set(bounds))


def test_the_quantile_of_nothing_is_none_and_past_the_last_bound_it_is_that() -> None:
    histogram = Histogram((1, 2))
    assert histogram.quantile(0.5) is None
    histogram.observe(1_000)
    assert histogram.quantile(0.5) == 2


@given(amounts=st.lists(st.floats(0, 9), min_size=1, max_size=50), fraction=st.floats(0.01, 1))
def test_a_quantile_is_in_the_bucket_of_the_amount_that_it_stands_for(amounts: list[float], fraction: float) -> None:
    bounds = (0.5, 1, 2, 3, 5, 9)
    histogram = Histogram(bounds)
    for amount in amounts:
        histogram.observe(amount)
    exact = sorted(amounts)[math.ceil(fraction * len(amounts)) - 1]
    upper = next(bound for bound in bounds if exact <= bound)
    lower = max((bound for bound in bounds if bound < upper), default=0.0)
    found = histogram.quantile(fraction)
    assert found is not None
    assert lower <= found <= upper


# --- arrivals ---

STEPS = st.lists(st.tuples(st.sampled_from(["publishes", "other", "take"]), st.integers(1, 5)), max_size=60)


@given(steps=STEPS)
def test_arrivals_are_those_of_a_plain_queue(steps: list[tuple[str, int]]) -> None:
    """The model is a queue with a time for each operation, None for one that is no publish."""
    arrivals, queue = Arrivals(), deque[float | None]()
    for now, (what, count) in enumerate(steps):
        if what == "publishes":
            queue.extend([float(now)] * count)
            arrivals.note(len(queue), now)
        elif what == "other":
            queue.append(None)
            arrivals.note_other()
        else:
            taken = [queue.popleft() for _ in range(min(count, len(queue)))]
            runs = arrivals.take(len(taken))
            assert [at for publishes, at in runs for _ in range(publishes)] == [at for at in taken if at is not None]
        assert arrivals.known == len(queue)
        assert len(vars_of(arrivals)) <= len(queue)
    assert arrivals.take(len(queue)) is not None
    assert not vars_of(arrivals)


def vars_of(arrivals: Arrivals) -> deque[tuple[int, float | None]]:
    return arrivals._runs


def test_what_came_before_is_not_counted_twice() -> None:
    arrivals = Arrivals()
    arrivals.note(2, 1.0)
    arrivals.note(2, 5.0)
    arrivals.note(3, 6.0)
    assert arrivals.take(3) == [(2, 1.0), (1, 6.0)]


# --- latency, in virtual time ---


@in_house(offload_s=COMMIT_S / 2)
async def test_from_reading_a_publish_to_putting_it_on_the_wire(house: House) -> None:
    """A publish that comes while a commit is under way waits for that one and its own."""
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    batches = house.core.metrics.batches
    commits = batches.commit_s.copy()
    assert batches.deliver_s.count == 0, "log-ins are no publishes"
    await alice.say(Publish(n=1, to="user/bob", text="first"))
    await trio.sleep(COMMIT_S / 4)
    await alice.say(*(Publish(n=n, to="user/bob", text="later") for n in (2, 3)))
    assert [(await bob.expect(Deliver)).seq for _ in range(3)] == [1, 2, 3]
    waited = 3 * COMMIT_S / 4
    assert batches.deliver_s.count == 3
    assert batches.deliver_s.total == pytest.approx(COMMIT_S + 2 * (waited + COMMIT_S))
    between = batches.commit_s.since(commits)
    assert between.count == 2
    assert between.total == pytest.approx(2 * COMMIT_S)


@in_house(offload_s=COMMIT_S / 2, limits={"batch_operations_max": 2})
async def test_one_read_that_goes_into_several_batches(house: House) -> None:
    alice = await house.log_in("alice")
    await alice.say(*(Publish(n=n, to="user/bob", text="x") for n in range(1, 6)))
    assert [(await alice.pick(Puback)).n for _ in range(5)] == [1, 2, 3, 4, 5]
    deliver_s = house.core.metrics.batches.deliver_s
    assert deliver_s.count == 5
    assert deliver_s.total == pytest.approx((2 * 1 + 2 * 2 + 1 * 3) * COMMIT_S)


@in_house()
async def test_a_commit_that_is_refused_is_no_latency(house: House) -> None:
    alice = await house.log_in("alice")
    batches = house.core.metrics.batches
    commits, operations = batches.commit_s.count, batches.operations.count
    house.store.faults.append(CommitRefused("full", Reason.QUOTA_EXCEEDED))
    assert (await alice.publish(1, "user/bob")).reason == Reason.QUOTA_EXCEEDED
    assert (batches.refused, batches.deliver_s.count, batches.commit_s.count) == (1, 0, commits)
    assert batches.operations.count == operations
    assert house.core.metrics.publishes_refused[Reason.QUOTA_EXCEEDED] == 1
    assert (await alice.publish(1, "user/bob")).reason == Reason.SUCCESS
    assert (batches.refused, batches.deliver_s.count) == (1, 1)


@in_house()
async def test_sizes_of_commits(house: House) -> None:
    alice = await house.log_in("alice")
    batches = house.core.metrics.batches
    operations, entries = batches.operations.copy(), batches.entries.copy()
    await alice.say(
        *(Publish(n=n, to="user/bob", text="x") for n in range(1, 4)), Publish(n=4, to="user/nobody", text="")
    )
    for _ in range(4):
        await alice.pick(Puback)
    assert (batches.operations.since(operations).count, batches.operations.since(operations).total) == (1, 4)
    assert (batches.entries.since(entries).count, batches.entries.since(entries).total) == (1, 6)


@in_house()
async def test_the_lag_of_the_event_loop(house: House) -> None:
    lag_s = house.core.metrics.loop_lag_s
    await trio.sleep(2.1)
    assert (lag_s.count, lag_s.total) == (4, 0)
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, MockClock)
    clock.jump(0.7)  # what an act of 0.7 s on the loop looks like: the next wake-up was due after 0.4
    await trio.sleep(0.1)
    assert lag_s.count == 5
    assert lag_s.total == pytest.approx(0.3)


# --- counts ---


@in_house()
async def test_publishes_by_outcome(house: House) -> None:
    alice = await house.log_in("alice")
    metrics = house.core.metrics
    await alice.publish(1, "user/bob")
    await alice.publish(2, "user/bob")
    assert (await alice.publish(2, "user/bob")).retransmission
    await alice.publish(3, "user/nobody")
    await alice.publish(4, "group/nothing")
    assert (await alice.publish(3, "user/nobody")).retransmission
    assert (await alice.publish(2, "user/bob", "other")).reason == Reason.PACKET_IDENTIFIER_IN_USE
    await alice.publish(5, "user/bob", "x" * (house.core.limits.body_bytes_max + 1))
    assert (house.core.published, metrics.retransmissions) == (2, 1)
    refused = {reason: count for reason, count in metrics.publishes_refused.items() if count}
    assert refused.pop(Reason.UNKNOWN_RECIPIENT) >= 2
    assert refused.pop(Reason.PACKET_IDENTIFIER_IN_USE) == refused.pop(Reason.PACKET_TOO_LARGE) == 1
    assert metrics.publishes_refused.total() == 5
    assert house.session("alice").published == 8


@in_house(limits={"publish_max": 2, "batch_operations_max": 1})
async def test_publishes_of_a_session_that_has_to_wait_are_each_counted_once(house: House) -> None:
    """Also when others publish in the same moment, and with a request in between."""
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    for device, to in ((alice, "user/bob"), (bob, "user/alice")):
        some = [Publish(n=n, to=to, text="x") for n in range(1, 8)]
        await device.say(*some[:4], Ping(), *some[4:])
    for device in (alice, bob):
        for _ in range(7):
            await device.pick(Puback)
    assert [house.session(user).published for user in ("alice", "bob")] == [7, 7]
    assert house.core.published == 14


@in_house()
async def test_what_a_session_was_sent_and_acknowledged_outlives_it(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await house.fill(alice, "user/bob", 3)
    assert await bob.seqs() == [1, 2, 3]
    await bob.say(Ack(seq=3))
    await trio.sleep(0.1)
    session, metrics = house.session("bob"), house.core.metrics
    assert (session.sent_entries, session.freed_entries) == (3, 3)
    assert (metrics.ended_sent_entries, metrics.ended_freed_entries) == (0, 0)
    await bob.say(Disconnect())
    await bob.expect_end()
    assert (metrics.ended_sent_entries, metrics.ended_freed_entries) == (3, 3)
    house.core.end(session)
    assert metrics.ended_sent_entries == 3, "an end that comes twice"


@in_house()
async def test_bytes_both_ways(house: House) -> None:
    traffic = house.core.metrics.traffic
    stranger = await house.dial()
    connect = Connect(user="alice", password=PASSWORD, terminal="pc", device="a1")
    await stranger.say(connect)
    connack = await stranger.expect(Connack)
    await stranger.say(Ping())
    await stranger.hear()
    received = sum(len(codec.encode(frame)) for frame in (connect, Ping()))
    assert traffic.received == received
    assert traffic.sent >= len(codec.encode(connack))
    before = traffic.sent
    puback = await stranger.publish(1, "user/bob", data=b"x" * 1_000)
    (echo,) = await stranger.rest()
    assert traffic.sent - before == len(codec.encode(puback)) + len(codec.encode(echo))
    assert received + 1_000 < traffic.received < received + 1_100


@in_house(listener=lambda: MemoryListener(pipe_bytes=KIB), limits={"write_buffer_bytes_max": 64 * KIB})
async def test_bytes_that_had_to_wait_are_counted_when_they_go(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    before = house.core.metrics.traffic.sent
    await alice.publish(1, "user/bob", "x" * 20 * KIB)
    await trio.sleep(0.1)
    part = house.core.metrics.traffic.sent - before
    assert part < 20 * KIB, "bob has read nothing yet"
    await bob.expect(Deliver)
    assert house.core.metrics.traffic.sent - before > 20 * KIB


@in_house(limits={"takeovers_max": 2})
async def test_log_ins_and_takeovers(house: House) -> None:
    metrics, damper = house.core.metrics, house.core.damper
    await house.log_in("alice", "pc", "one")
    await house.log_in("alice", "pc", "two")
    await house.log_in("alice", "pc", "two")
    assert (metrics.logins, metrics.takeovers) == ({Reason.SUCCESS: 3}, 1)
    await house.log_in("alice", "pc", "one")
    await house.refusal("alice", "pc", "two")
    assert (metrics.takeovers, damper.damped) == (2, 1)
    await house.refusal("alice", password="wrong")
    await house.refusal("nobody")
    await house.refusal("alice", "fridge")
    silent = await house.dial()
    await silent.expect_dismissal(Reason.LOGIN_TIMEOUT)
    assert metrics.logins == {
        Reason.SUCCESS: 4,
        Reason.CONNECTION_RATE_EXCEEDED: 1,
        Reason.BAD_USER_NAME_OR_PASSWORD: 2,
        Reason.UNKNOWN_TERMINAL_TYPE: 1,
        Reason.LOGIN_TIMEOUT: 1,
    }


@in_house(limits={"connections_max": 4, "connections_before_login_max": 2, "connections_per_address_max": 3})
async def test_connections_that_find_no_place(house: House) -> None:
    metrics = house.core.metrics
    for user in ("alice", "bob", "carol"):
        await house.log_in(user, host="10.0.0.1")
    await (await house.dial("10.0.0.1")).expect_dismissal(Reason.SERVER_BUSY)
    await house.log_in("alice", "pc", host="10.0.0.2")
    await (await house.dial("10.0.0.3")).expect_dismissal(Reason.SERVER_BUSY)
    assert metrics.no_place == {"connections_per_address_max": 1, "connections_max": 1}
    assert metrics.accepted == 6
    assert not metrics.closed, "they never had a place"


@in_house(limits={"connections_before_login_max": 2}, offload_s=1)
async def test_strangers_that_find_no_place(house: House) -> None:
    for user in ("alice", "bob"):
        await house.ask_in(user)
    await trio.sleep(0.1)
    await (await house.dial()).expect_dismissal(Reason.SERVER_BUSY)
    assert house.core.metrics.no_place == {"connections_before_login_max": 1}


async def device_left(house: House, device: Device) -> None:
    await device.say(Disconnect())


async def peer_gone(house: House, device: Device) -> None:
    await device.stream.aclose()


async def login_refused(house: House, device: Device) -> None:
    await house.refusal("alice", password="wrong")


async def login_timeout(house: House, device: Device) -> None:
    await (await house.dial()).expect_dismissal(Reason.LOGIN_TIMEOUT)


async def connected_again(house: House, device: Device) -> None:
    await house.log_in("alice", device="alice-phone")


async def session_taken_over(house: House, device: Device) -> None:
    await house.log_in("alice", device="another")


async def protocol_error(house: House, device: Device) -> None:
    await device.stream.send_all(codec.encode(Ack(seq=9)))


async def malformed_packet(house: House, device: Device) -> None:
    await device.stream.send_all(b"\0\0\0\0")


async def packet_too_large(house: House, device: Device) -> None:
    await device.stream.send_all(b"\xff\xff\xff\xff")


async def keep_alive_timeout(house: House, device: Device) -> None:
    await trio.sleep(2 * house.core.limits.keepalive_s)


async def server_shutting_down(house: House, device: Device) -> None:
    await house.core.drain()


ENDS = [device_left, peer_gone, login_refused, login_timeout, connected_again, session_taken_over, protocol_error]
ENDS += [malformed_packet, packet_too_large, keep_alive_timeout, server_shutting_down]


@pytest.mark.parametrize(("name", "end"), [(end.__name__, end) for end in ENDS])
@in_house()
async def test_why_connections_end(house: House, name: str, end: Callable[[House, Device], Awaitable[None]]) -> None:
    device = await house.log_in("alice")
    await end(house, device)
    with suppress(trio.ClosedResourceError):  # it was the device that closed
        await device.rest()
    await trio.sleep(LINGER_S + 0.1)
    assert house.core.metrics.closed == {name: 1}
    assert name in ENDINGS


@in_house(listener=lambda: MemoryListener(pipe_bytes=KIB))
async def test_a_connection_that_takes_no_bytes_ends_for_that(house: House) -> None:
    alice, _ = await house.log_in("alice"), await house.log_in("bob")
    await alice.publish(1, "user/bob", "x" * 20 * KIB)
    await trio.sleep(house.core.limits.write_timeout_s + 1)
    assert house.core.metrics.closed == {"write_timeout": 1}


@in_house(retention=RetentionConfig(count=3, interval_s=60))
async def test_retention(house: House) -> None:
    retention = house.core.metrics.retention
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 5)
    start = retention.walked_from
    await trio.sleep(61)
    assert retention.entries_trimmed == 4
    assert retention.walked_from == pytest.approx(start + 60, abs=0.5)
    assert 0 < retention.walk_s < 1
    bob = await house.log_in("bob", receive_max=1)
    await bob.expect(Gap)
    assert house.core.delivery.gaps == 1
    for device in (alice, bob):
        await device.say(Disconnect())
    await trio.sleep(30)  # nobody is left who would have a cursor written
    house.store.faults.append(CommitRefused("full"))
    walked_from = retention.walked_from
    await trio.sleep(40)
    assert not house.store.faults
    assert retention.walked_from == walked_from, "a walk that did not come to its end is none"


@in_house()
async def test_reading_the_past_delivers_nothing(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 3)
    bob = await house.log_in("bob", newest=0)
    sent = house.session("bob").sent_entries
    await bob.say(Fetch(request=1, limit=3))
    await bob.pick(Page)
    assert house.session("bob").sent_entries == sent


def test_cumulative_counts_rise() -> None:
    histogram = Histogram(LATENCY_BOUNDS_S)
    for step, _ in enumerate(LATENCY_BOUNDS_S):
        histogram.observe(step / 10)
    counts = [count for _, count in histogram.cumulative()]
    assert counts == list(accumulate(histogram.counts))
