"""Retention in the background: what it trims and forgets, in slices, and when it does not."""

import logging

import pytest
import trio

from broker.house import House, in_house, in_virtual_time, open_house, wall_clock_ms
from roost_broker import retention
from roost_broker.config import DAY_MS, RetentionConfig
from roost_broker.retention import RetentionKeeper
from roost_broker.store import CommitRefused
from roost_broker.store.operations import ForgetDevices, Trim
from roost_protocol.frames import Ack, Disconnect, Gap
from roost_protocol.reasons import Reason


class Calendar:
    """A wall clock that can be put forward; the monotonic one does not notice."""

    def __init__(self) -> None:
        self.skipped_ms = 0

    def now_ms(self) -> int:
        return wall_clock_ms() + self.skipped_ms

    def skip(self, *, days: int) -> None:
        self.skipped_ms += days * DAY_MS


def entries(house: House, user: str) -> range:
    """The numbers that an inbox still holds."""
    page = house.store.read_inbox(house.number(user), 0, 1, 1)
    return range(page.floor, page.head + 1)


def slices(house: House, kind: type[Trim] | type[ForgetDevices]) -> int:
    return sum(isinstance(operation, kind) for batch in house.store.batches for operation in batch)


@in_house(retention=RetentionConfig(count=3, interval_s=60))
async def test_inboxes_are_trimmed_by_count_every_interval(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 5)
    await trio.sleep(59)
    assert entries(house, "bob") == range(1, 6)
    await trio.sleep(2)
    assert entries(house, "bob") == entries(house, "alice") == range(3, 6)
    assert entries(house, "carol") == range(1, 1)
    await house.fill(alice, "user/bob", 1, first=6)
    await trio.sleep(60)
    assert entries(house, "bob") == range(4, 7)


@in_virtual_time
async def test_inboxes_are_trimmed_by_age() -> None:
    calendar = Calendar()
    async with open_house(now_ms=calendar.now_ms, retention=RetentionConfig(age_days=2.5)) as house:
        alice = await house.log_in("alice")
        for n in range(1, 5):
            await alice.publish(n, "user/bob")
            calendar.skip(days=1)
        assert await house.broker.trim() == 2 * 2
        assert entries(house, "bob") == range(3, 5)
        calendar.skip(days=2)
        await house.broker.trim()
        assert entries(house, "bob") == range(5, 5)


@in_house(retention=RetentionConfig(bytes=1_000))
async def test_inboxes_are_trimmed_by_bytes(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 10, text="x" * 200)
    await house.broker.trim()
    assert 2 <= len(entries(house, "bob")) <= 4


@in_house(retention=RetentionConfig(age_days=0, count=0, bytes=0, interval_s=60))
async def test_zero_keeps_everything(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 10)
    await trio.sleep(1_000)
    assert entries(house, "bob") == range(1, 11)


@in_house(retention=RetentionConfig(count=1), limits={"trim_slice_max": 10})
async def test_a_walk_goes_in_slices_and_to_the_end(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 50)
    house.store.batches.clear()
    assert await house.broker.trim() == 2 * 49
    assert slices(house, Trim) >= 10
    assert len(entries(house, "bob")) == len(entries(house, "alice")) == 1


@in_virtual_time
async def test_a_walk_looks_at_so_many_inboxes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "USERS_A_SLICE", 2)
    users = ["alice", *(f"user{i}" for i in range(9))]
    async with open_house(users=users, retention=RetentionConfig(count=1)) as house:
        alice = await house.log_in("alice")
        for n, user in enumerate(users[1:], 1):
            await alice.publish(2 * n - 1, f"user/{user}")
            await alice.publish(2 * n, f"user/{user}")
        house.store.batches.clear()
        assert await house.broker.trim() == 9 + 17
        assert slices(house, Trim) == 5


@in_house(retention=RetentionConfig(count=2, interval_s=10))
async def test_a_live_device_is_told_what_it_lost(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob", receive_max=1)
    await house.fill(alice, "user/bob", 10)
    assert await bob.seqs() == [1]
    await trio.sleep(15)
    await bob.say(Ack(seq=1))
    assert await bob.expect(Gap) == Gap(first=2, last=8, reason="count")
    assert await bob.seqs() == [9]


@in_house(retention=RetentionConfig(count=1, interval_s=60))
async def test_a_commit_that_is_refused_is_tried_again_at_the_next_walk(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 5)
    await alice.say(Disconnect())
    await trio.sleep(30)
    house.store.faults.append(CommitRefused("the disk is full"))
    await trio.sleep(40)
    assert entries(house, "bob") == range(1, 6)
    assert "retention cannot write: the disk is full" in caplog.text
    await trio.sleep(60)
    assert entries(house, "bob") == range(5, 6)


@pytest.mark.parametrize("jump_days", [100, -100])
@in_virtual_time
async def test_after_the_clock_has_jumped_one_walk_trims_nothing_by_age(
    jump_days: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A clock that was set wrong and is put right, or the other way round: what it says now may be either."""
    calendar = Calendar()
    config = RetentionConfig(age_days=90, count=5, interval_s=10)
    async with open_house(now_ms=calendar.now_ms, retention=config) as house:
        alice = await house.log_in("alice")
        await house.fill(alice, "user/bob", 10)
        calendar.skip(days=jump_days)
        with caplog.at_level(logging.WARNING, "roost_broker"):
            await trio.sleep(11)
        assert entries(house, "bob") == range(6, 11), "by count it goes on"
        assert "the wall clock jumped" in caplog.text
        await trio.sleep(10)
        left = range(11, 11) if jump_days > 0 else range(6, 11)
        assert entries(house, "bob") == left, "the next walk believes it"


# --- the hold -----------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_what_a_device_lacks_is_held_for_so_many_days() -> None:
    """bob's phone has 2 of 6 and goes; for three days the rest is kept for it, then the rule has its way."""
    calendar = Calendar()
    config = RetentionConfig(count=1, hold_days=3, interval_s=3_600)
    async with open_house(now_ms=calendar.now_ms, retention=config) as house:
        bob = await house.log_in("bob", receive_max=2)
        alice = await house.log_in("alice")
        await house.fill(alice, "user/bob", 6)
        assert await bob.seqs() == [1, 2]
        await bob.say(Ack(seq=2), Disconnect())
        await trio.sleep(2)
        for days, left in ((0, range(3, 7)), (2, range(3, 7)), (2, range(6, 7))):
            calendar.skip(days=days)
            await house.broker.trim()
            assert entries(house, "bob") == left
        assert entries(house, "alice") == range(1, 7), "her phone is here, and has acknowledged nothing"


@in_house(retention=RetentionConfig(count=1, hold_days=3, hold_bytes_max=250, interval_s=10))
async def test_the_hold_has_a_bound(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 10)
    await trio.sleep(11)
    left = entries(house, "alice")
    assert 2 <= len(left) <= 3
    page = house.store.read_inbox(house.number("alice"), 0, 99, 9_999)
    assert sum(len(entry.encoded or b"") for entry in page.entries) <= 250


# --- devices ------------------------------------------------------------------------------------------------------

FORGETFUL = RetentionConfig(forget_devices_days=10)


def devices(house: House, user: str) -> list[str]:
    return [device.device_id for device in house.store.devices(house.number(user))]


@in_virtual_time
async def test_a_device_not_seen_for_long_is_forgotten() -> None:
    calendar = Calendar()
    async with open_house(now_ms=calendar.now_ms, retention=FORGETFUL) as house:
        alice = await house.log_in("alice", want_token=True)
        await house.fill(alice, "user/bob", 3)
        await alice.say(Disconnect())
        await trio.sleep(2)
        keeper = RetentionKeeper(house.core)
        calendar.skip(days=9)
        assert await keeper.forget_devices() == 0
        assert devices(house, "alice") == ["alice-phone"]
        calendar.skip(days=2)
        assert await keeper.forget_devices() == 1
        assert devices(house, "alice") == []
        refused = await house.refusal("alice", token=alice.connack.token)
        assert refused.reason == Reason.BAD_USER_NAME_OR_PASSWORD
        back = await house.log_in("alice", last_seq=3)
        assert (back.connack.settled_n, back.connack.head) == (0, 3), "its outcomes are gone, its inbox is not"


@in_virtual_time
async def test_who_is_here_is_seen_all_the_time() -> None:
    calendar = Calendar()
    async with open_house(now_ms=calendar.now_ms, retention=FORGETFUL) as house:
        alice = await house.log_in("alice")
        calendar.skip(days=20)
        keeper = RetentionKeeper(house.core)
        assert await keeper.forget_devices() == 0
        await alice.say(Disconnect())
        await trio.sleep(2)
        calendar.skip(days=9)
        assert await keeper.forget_devices() == 0, "it was here until it went"
        calendar.skip(days=2)
        assert await keeper.forget_devices() == 1


@in_virtual_time
async def test_zero_forgets_nobody() -> None:
    calendar = Calendar()
    async with open_house(now_ms=calendar.now_ms, retention=RetentionConfig(forget_devices_days=0)) as house:
        await (await house.log_in("alice")).say(Disconnect())
        calendar.skip(days=10_000)
        assert await RetentionKeeper(house.core).forget_devices() == 0
        assert devices(house, "alice") == ["alice-phone"]


@in_virtual_time
async def test_devices_are_forgotten_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "DEVICES_A_SLICE", 3)
    calendar = Calendar()
    async with open_house(now_ms=calendar.now_ms, retention=FORGETFUL) as house:
        for i in range(10):
            await (await house.log_in("alice", "phone", f"a{i}")).say(Disconnect())
        await trio.sleep(2)
        calendar.skip(days=11)
        house.store.batches.clear()
        assert await RetentionKeeper(house.core).forget_devices() == 10
        assert slices(house, ForgetDevices) == 4


@in_house(retention=RetentionConfig(interval_s=60))
async def test_devices_are_looked_at_with_every_walk(house: House) -> None:
    await trio.sleep(130)
    assert slices(house, ForgetDevices) == slices(house, Trim) == 2
