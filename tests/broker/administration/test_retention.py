"""Retention as an admin sees it: the rules, the plan, which is what the next walk does, and a walk now."""

from typing import Any

import pytest
import trio

from broker.house import House, in_house, in_virtual_time, open_house
from broker.test_retention import Calendar, entries
from roost_broker.administration import NotDone
from roost_broker.config import RetentionConfig
from roost_broker.store import CommitRefused
from roost_protocol.admin.retention import PlannedTrim, PlanQuery, PlanSummary
from roost_protocol.frames import Ack, Disconnect


async def plan(house: House, user: str | None = None) -> tuple[list[PlannedTrim], PlanSummary]:
    """The whole plan."""
    steps = [step async for step in await house.broker.admin.retention.plan(PlanQuery(user=user))]
    *inboxes, last = steps
    assert last.summary is not None
    planned = [step.inbox for step in inboxes if step.inbox is not None]
    assert len(planned) == len(inboxes)
    return planned, last.summary


async def talk(house: House) -> None:
    """Ten messages from alice, who acknowledges none, to bob, whose phone has 4 and whose pc, which is here, has 7."""
    alice = await house.log_in("alice", receive_max=1)
    await house.fill(alice, "user/bob", 10)
    phone = await house.log_in("bob", "phone", last_seq=0)
    await phone.rest()
    await phone.say(Ack(seq=4), Disconnect())
    pc = await house.log_in("bob", "pc", last_seq=0)
    await pc.rest()
    await pc.say(Ack(seq=7))
    await trio.sleep(2)


@in_house(retention=RetentionConfig(count=2, interval_s=9_999))
async def test_who_would_lose_what(house: House) -> None:
    await talk(house)
    (alice, bob), summary = await plan(house)
    assert (alice.user, alice.floor, alice.new_floor, alice.head, alice.reason) == ("alice", 1, 9, 10, "count")
    assert [(each.device, each.first, each.last, each.entries) for each in alice.losses] == [("alice-phone", 1, 8, 8)]
    assert [
        (each.device, each.terminal, each.acknowledged, each.first, each.last, each.entries, each.online)
        for each in bob.losses
    ] == [("bob-pc", "pc", 7, 8, 8, 1, True), ("bob-phone", "phone", 4, 5, 8, 4, False)]
    assert house.core.now_ms() - bob.losses[1].last_seen < 10_000
    assert summary == PlanSummary(users=3, inboxes=2, entries=16, devices=3, lost=13)
    assert entries(house, "bob") == range(1, 11), "a plan trims nothing"
    (only,), summary = await plan(house, "bob")
    assert (only.user, only.new_floor, summary.users, summary.lost) == (bob.user, bob.new_floor, 1, 5)
    assert await plan(house, "carol") == ([], PlanSummary(users=1, inboxes=0, entries=0, devices=0, lost=0))


@in_house(retention=RetentionConfig(count=2, interval_s=9_999))
async def test_what_was_acknowledged_just_now_is_not_lost(house: House) -> None:
    """Before it is in the store, of a device that is here, and of one that has just gone."""
    await talk(house)
    phone = await house.log_in("bob", "phone", last_seq=4)
    await phone.rest(0.1)
    await phone.say(Ack(seq=6))
    await trio.sleep(0.1)
    for here in (True, False):
        _, bob = (await plan(house, None))[0]
        assert [(each.device, each.first) for each in bob.losses] == [("bob-pc", 8), ("bob-phone", 7)]
        assert bob.losses[1].online == here
        assert [each.cursor for each in house.store.devices(house.number("bob"))] == [7, 4], "not in the store yet"
        if here:
            await phone.say(Disconnect())
            await trio.sleep(0.05)


@pytest.mark.parametrize(
    "config",
    [
        RetentionConfig(count=3),
        RetentionConfig(bytes=400),
        RetentionConfig(age_days=5),
        RetentionConfig(age_days=5, hold_days=3),
        RetentionConfig(count=3, hold_days=30),
        RetentionConfig(count=1, hold_days=30, hold_bytes_max=400),
        RetentionConfig(),
    ],
    ids=repr,
)
@in_virtual_time
async def test_the_next_walk_does_what_was_planned(config: RetentionConfig) -> None:
    calendar = Calendar()
    async with open_house(now_ms=calendar.now_ms, retention=config) as house:
        await talk(house)
        calendar.skip(days=10)
        planned, summary = await plan(house)
        floors = {each.user: each.new_floor for each in planned}
        walk = await house.broker.admin.retention.run()
        assert (walk.entries, walk.inboxes) == (summary.entries, summary.inboxes)
        for user in ("alice", "bob", "carol"):
            assert entries(house, user).start == floors.get(user, 1)


@in_virtual_time
async def test_what_is_held_is_not_in_the_plan() -> None:
    """bob's pc is here, and his phone was 20 days ago: what the pc has not acknowledged stays, and only that."""
    calendar = Calendar()
    config = RetentionConfig(count=1, hold_days=15, interval_s=9_999)
    async with open_house(now_ms=calendar.now_ms, retention=config) as house:
        await talk(house)
        calendar.skip(days=20)
        planned, summary = await plan(house)
        assert [(each.user, each.new_floor) for each in planned] == [("bob", 8)], "alice's phone is here, with nothing"
        assert [(each.device, each.first, each.last) for each in planned[0].losses] == [("bob-phone", 5, 7)]
        assert summary.lost == 3
        await house.broker.admin.retention.run()
        assert (entries(house, "bob"), entries(house, "alice")) == (range(8, 11), range(1, 11))


@in_house(users=[f"u{i:03}" for i in range(20)], retention=RetentionConfig(count=1))
async def test_a_plan_goes_through_everybody_in_slices(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roost_broker.administration.retention.USERS_A_SLICE", 5)
    sender = await house.log_in("u000")
    for n in range(1, 39):
        await sender.publish(n, f"user/u{(n - 1) % 19 + 1:03}")
    planned, summary = await plan(house)
    assert [each.user for each in planned] == [f"u{i:03}" for i in range(20)]
    assert (summary.users, summary.entries) == (20, 37 + 19)


@in_house()
async def test_a_plan_for_nobody(house: House) -> None:
    with pytest.raises(NotDone, match="no user 'nobody'"):
        await house.broker.admin.retention.plan(PlanQuery(user="nobody"))


@in_house(retention=RetentionConfig(count=2, interval_s=100, hold_days=3))
async def test_the_rules_and_the_last_walk(house: House) -> None:
    status = await house.broker.admin.retention.show()
    assert (status.count, status.interval_s, status.hold_days, status.last, status.lag_s) == (2, 100, 3, None, 0)
    alice = await house.log_in("alice")
    await house.fill(alice, "user/carol", 5)
    await alice.say(Ack(seq=5))
    await trio.sleep(101)
    status = await house.broker.admin.retention.show()
    assert status.last is not None
    assert (status.last.entries, status.last.inboxes, status.last.by_age) == (6, 2, True)
    assert status.last.began <= status.last.ended <= house.core.now_ms()
    assert (status.lag_s, status.failure, status.entries, status.messages, status.users) == (0, "", 4, 2, 3)


@in_house(retention=RetentionConfig(count=1, interval_s=60))
async def test_a_walk_that_fails_is_behind(house: House) -> None:
    await house.fill(await house.log_in("alice"), "user/bob", 3)
    await trio.sleep(30)
    house.store.faults.append(CommitRefused("the disk is full"))
    await trio.sleep(70)
    status = await house.broker.admin.retention.show()
    assert status.failure == "the disk is full"
    assert 30 < status.lag_s < 50
    house.store.faults.append(CommitRefused("still full"))
    with pytest.raises(NotDone, match="still full"):
        await house.broker.admin.retention.run()
    await house.broker.admin.retention.run()
    status = await house.broker.admin.retention.show()
    assert (status.failure, status.lag_s) == ("", 0)


@in_virtual_time
async def test_after_a_jump_of_the_clock_it_is_said_that_age_did_not_count() -> None:
    calendar = Calendar()
    config: dict[str, Any] = {"age_days": 5, "interval_s": 10}
    async with open_house(now_ms=calendar.now_ms, retention=RetentionConfig(**config)) as house:
        await house.fill(await house.log_in("alice"), "user/bob", 3)
        calendar.skip(days=10)
        await trio.sleep(11)
        status = await house.broker.admin.retention.show()
        assert status.last is not None
        assert (status.last.by_age, status.last.entries) == (False, 0)
        assert (await house.broker.admin.retention.run()).entries == 6, "who asks for a walk trusts the clock"
