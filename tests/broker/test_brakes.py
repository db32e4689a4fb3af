"""What keeps publishes back: first an unread socket, then a reason and a time, and never anybody else."""

from collections import Counter

import pytest
import trio

from broker.house import Device, House, in_house
from broker.web.wires import log_in_web
from roost_protocol.frames import Connack, Deliver, Disconnect, Ephemeral, Ping, Pong, Puback, Publish
from roost_protocol.reasons import Reason

TEN = {"user_messages_max": 10, "user_rate_window_s": 10, "rate_wait_max_s": 5}
"""Ten at once, and one a second."""


def publishes(first: int, last: int, to: str = "user/bob", text: str = "x") -> list[Publish]:
    return [Publish(n=n, to=to, text=text) for n in range(first, last + 1)]


async def answers(device: Device, count: int) -> list[Puback]:
    return [await device.pick(Puback) for _ in range(count)]


async def publish_until_stored(device: Device, n: int) -> None:
    """As a device should: after the time that it is told, with the same count."""
    while (puback := await device.publish(n, "user/bob", "x")).reason:
        assert puback.retry_after_s, "nothing else is refused here"
        await trio.sleep(puback.retry_after_s)


# --- the rate of a user -------------------------------------------------------------------------------------------


@in_house(limits=TEN)
async def test_past_the_burst_publishes_come_at_the_rate(house: House) -> None:
    alice = await house.log_in("alice")
    await alice.say(*publishes(1, 14))
    begun = trio.current_time()
    for n in range(1, 15):
        puback = await alice.pick(Puback)
        assert (puback.n, puback.reason) == (n, Reason.SUCCESS)
        assert trio.current_time() - begun >= n - 10
    assert trio.current_time() - begun < 4.1, "it wakes at the moment that was worked out"
    assert house.core.metrics.held["rate"] == 4
    assert not house.core.metrics.publishes_refused


@in_house(limits=TEN)
async def test_others_are_not_slowed(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await alice.say(*publishes(1, 14))
    await answers(alice, 10)
    begun = trio.current_time()
    await bob.say(*publishes(1, 10, "user/carol"))
    assert [puback.reason for puback in await answers(bob, 10)] == [Reason.SUCCESS] * 10
    assert trio.current_time() - begun < 0.1


@in_house(limits=TEN)
async def test_all_devices_of_a_user_share_his_rate(house: House) -> None:
    phone, pc = await house.log_in("alice"), await house.log_in("alice", "pc")
    await phone.say(*publishes(1, 10))
    await answers(phone, 10)
    begun = trio.current_time()
    await pc.publish(1, "user/bob")
    assert trio.current_time() - begun > 0.9


@in_house(limits=TEN)
async def test_to_connect_again_does_not_fill_the_bucket(house: House) -> None:
    alice = await house.log_in("alice")
    await alice.say(*publishes(1, 10))
    await answers(alice, 10)
    await alice.say(Disconnect())
    await alice.rest()
    alice = await house.log_in("alice")
    begun = trio.current_time()
    await alice.publish(11, "user/bob")
    assert trio.current_time() - begun > 0.4, "a second's worth has come back meanwhile, less the log-in"


@in_house(limits=TEN)
async def test_after_a_bounded_wait_publishes_are_refused_for_now_in_order_and_nothing_is_lost(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await alice.say(*publishes(1, 40))
    begun = trio.current_time()
    pubacks = await answers(alice, 40)
    waited = trio.current_time() - begun
    assert waited < 6, "the socket is read again"
    stored = [puback.n for puback in pubacks if not puback.reason]
    refused = [puback for puback in pubacks if puback.reason]
    assert stored == list(range(1, len(stored) + 1))
    assert 14 <= len(stored) <= 16
    assert {Reason.of(puback.reason) for puback in refused} == {Reason.MESSAGE_RATE_TOO_HIGH}
    assert {puback.retry_after_s for puback in refused} == {5}, "half of the burst is there again"
    assert "10 messages in 10 s" in refused[0].text
    assert house.core.metrics.publishes_refused == {Reason.MESSAGE_RATE_TOO_HIGH: len(refused)}
    await alice.say(Ping())
    await alice.pick(Pong)
    await trio.sleep(5)
    await alice.say(*publishes(len(stored) + 1, len(stored) + 5))
    assert [(puback.n, puback.reason) for puback in await answers(alice, 5)] == [
        (n, Reason.SUCCESS) for n in range(len(stored) + 1, len(stored) + 6)
    ]
    assert trio.current_time() - begun - waited < 6, "some in a row"
    assert await bob.seqs() == list(range(1, len(stored) + 6))


@in_house(limits=TEN)
async def test_who_goes_on_before_the_time_is_told_the_rest_of_it(house: House) -> None:
    alice = await house.log_in("alice")
    await alice.say(*publishes(1, 40))
    pubacks = await answers(alice, 40)
    first = next(puback.n for puback in pubacks if puback.reason)
    await trio.sleep(2.5)
    again = await alice.publish(first, "user/bob", "x")
    assert (again.reason, again.retry_after_s) == (Reason.MESSAGE_RATE_TOO_HIGH, 3)


@in_house(limits={**TEN, "publish_max": 30})
async def test_who_does_not_listen_is_not_read_until_then(house: House) -> None:
    """What it costs to refuse is bounded, too."""
    alice = await house.log_in("alice")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_insist, alice)
        await trio.sleep(1)
        before = Counter(house.core.metrics.publishes_refused)
        await trio.sleep(100)
        refused = house.core.metrics.publishes_refused - before
        assert refused[Reason.MESSAGE_RATE_TOO_HIGH] <= 30 * 100 / 5
        assert house.core.published <= 10 + 101
        nursery.cancel_scope.cancel()


async def _insist(device: Device) -> None:
    """Send the same over and over."""
    while True:
        await device.say(*publishes(1, 30))
        await device.rest(0.01)


@in_house(limits={**TEN, "rate_wait_max_s": 60, "user_rate_window_s": 300, "keepalive_s": 5})
async def test_the_keepalive_stands_while_a_device_is_not_read(house: House) -> None:
    """One message in 30 s here, the keepalive allows 7.5 of silence: the broker itself is what does not go on."""
    alice = await house.log_in("alice")
    await alice.say(*publishes(1, 11), Ping())
    await answers(alice, 11)
    await alice.pick(Pong)
    assert trio.current_time() > 29


@in_house(limits={"user_bytes_max": 10_000, "user_rate_window_s": 10, "rate_wait_max_s": 5})
async def test_bytes_count_as_messages_do(house: House) -> None:
    alice = await house.log_in("alice")
    await alice.say(*publishes(1, 4, text="ü" * 2_500))
    begun = trio.current_time()
    assert [puback.reason for puback in await answers(alice, 2)] == [0, 0]
    assert trio.current_time() - begun < 0.1
    (third,) = await answers(alice, 1)
    assert third.reason == 0
    (fourth,) = await answers(alice, 1)
    assert 4.9 < trio.current_time() - begun < 5.1
    assert fourth.reason == 0


@in_house(limits=TEN)
async def test_signals_count_and_are_dropped_in_the_end(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await alice.say(*(Ephemeral(to="user/bob", text="typing") for _ in range(100)))
    await alice.expect_alive()
    heard = await bob.rest(20)
    assert 14 <= len(heard) <= 16


@in_house(limits=TEN)
async def test_a_takeover_ends_a_session_that_is_held_back(house: House) -> None:
    alice = await house.log_in("alice")
    await alice.say(*publishes(1, 13))
    await answers(alice, 10)
    await house.log_in("alice", device="other")
    assert (await alice.pick(Disconnect)).reason == Reason.SESSION_TAKEN_OVER


@pytest.mark.parametrize("json", [False, True], ids=["binary", "json"])
@in_house(web=True, limits=TEN)
async def test_it_is_the_same_over_a_websocket(house: House, json: bool) -> None:
    alice, bob = await log_in_web(house, "alice", json=json), await house.log_in("bob")
    await alice.say(*publishes(1, 12))
    begun = trio.current_time()
    assert [puback.reason for puback in await answers(alice, 12)] == [0] * 12
    assert 1.9 < trio.current_time() - begun < 2.1
    await alice.say(*publishes(13, 40))
    pubacks = await answers(alice, 28)
    assert {(puback.reason, puback.retry_after_s) for puback in pubacks if puback.reason} == {
        (Reason.MESSAGE_RATE_TOO_HIGH, 5)
    }
    assert await bob.seqs() == list(range(1, 13 + sum(not puback.reason for puback in pubacks)))


# --- a writer that has too much to do -----------------------------------------------------------------------------

NARROW = {"batch_operations_max": 1, "queue_operations_max": 4, "queue_wait_max_s": 3}
"""One operation in each commit, four waiting."""

STUCK = {**NARROW, "login_timeout_s": 120}
"""With commits of ten seconds, a log-in takes its time as well."""


@in_house(limits=NARROW, commit_s=0.25)
async def test_a_short_overload_costs_nothing_but_time(house: House) -> None:
    """A commit takes half a second here."""
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await alice.say(*publishes(1, 20))
    assert [(puback.n, puback.reason) for puback in await answers(alice, 20)] == [(n, 0) for n in range(1, 21)]
    assert house.core.metrics.held["queue"] > 10
    assert not house.core.metrics.publishes_refused
    assert await bob.seqs() == list(range(1, 21))


@in_house(limits=STUCK, commit_s=5.0)
async def test_when_it_lasts_publishes_are_refused_for_now_and_nothing_acknowledged_is_lost(house: House) -> None:
    """A commit takes ten seconds here, more than a publish waits for room."""
    alice = await house.log_in("alice")
    await trio.sleep(30)
    begun = trio.current_time()
    await alice.say(*publishes(1, 30))
    pubacks = await answers(alice, 25)
    assert trio.current_time() - begun < 4, "those that found no place are answered first"
    assert {Reason.of(puback.reason) for puback in pubacks} == {Reason.SERVER_BUSY}
    assert [puback.n for puback in pubacks] == list(range(6, 31)), "five are on their way"
    assert all(1 <= (puback.retry_after_s or 0) <= 10 for puback in pubacks)
    assert "wait to be written" in pubacks[0].text
    assert house.core.metrics.publishes_refused == {Reason.SERVER_BUSY: 25}
    await alice.say(Ping())
    await alice.pick(Pong)
    assert [(puback.n, puback.reason) for puback in await answers(alice, 5)] == [(n, 0) for n in range(1, 6)]
    for n in range(6, 9):
        await publish_until_stored(alice, n)
    bob = await house.log_in("bob")
    assert await bob.seqs(60) == list(range(1, 9))


@in_house(limits=STUCK, commit_s=5.0)
async def test_what_was_stored_and_is_sent_again_while_it_is_busy_is_not_stored_twice(house: House) -> None:
    alice = await house.log_in("alice")
    await trio.sleep(30)
    await alice.say(*publishes(1, 5))
    await trio.sleep(1)
    alice = await house.log_in("alice")  # without an answer: all five are unsettled for this device
    for n in range(1, 6):
        await publish_until_stored(alice, n)
    bob = await house.log_in("bob")
    assert await bob.seqs(60) == [1, 2, 3, 4, 5]


@in_house(limits=STUCK, commit_s=5.0)
async def test_whoever_is_not_publishing_is_answered_meanwhile(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await trio.sleep(30)
    await alice.say(*publishes(1, 30))
    await trio.sleep(1)
    begun = trio.current_time()
    await bob.expect_alive()
    assert trio.current_time() - begun < 0.1


@in_house(limits={**NARROW, "queue_wait_max_s": 60}, commit_s=0.25)
async def test_those_who_wait_for_room_come_in_turn(house: House) -> None:
    """Nobody is passed over again and again."""
    devices = [await house.log_in(user, terminal) for user in ("alice", "carol") for terminal in ("phone", "pc", "pad")]
    await trio.sleep(10)
    for device in devices:
        await device.say(*publishes(1, 10))
    await trio.sleep(16)
    done = [len([frame for frame in await device.rest(0.001) if isinstance(frame, Puback)]) for device in devices]
    assert min(done) >= 3, done
    for device, before in zip(devices, done, strict=True):
        assert len(await answers(device, 10 - before)) == 10 - before


@in_house(limits=STUCK, commit_s=5.0)
async def test_a_takeover_ends_a_session_that_waits_for_room(house: House) -> None:
    alice = await house.log_in("alice")
    await trio.sleep(30)
    await alice.say(*publishes(1, 30))
    await trio.sleep(1)
    other = await house.ask_in("alice", device="other")
    assert (await alice.pick(Disconnect)).reason == Reason.SESSION_TAKEN_OVER
    connack = await other.expect(Connack)
    assert not connack.reason
    heard = [frame for frame in await other.rest(60) if isinstance(frame, Deliver)]
    assert len(heard) <= 5
