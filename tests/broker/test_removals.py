"""Removing and erasing on a live broker: who is told what, what devices hear, and who finishes what was begun."""

import logging

import pytest
import trio

from broker.house import House, in_house
from roost_broker.config import RetentionConfig
from roost_broker.removals import Erasure, RemovalStopped
from roost_broker.store import CommitRefused, ReadFailed
from roost_broker.store.account_operations import ERASED_TYPE, ClearRemoved, UserRemoved
from roost_broker.store.operations import CreateGroup, Refused
from roost_protocol.admin.erase import Step
from roost_protocol.admin.groups import GroupChange, GroupCreate
from roost_protocol.frames import Ack, Deliver, Disconnect, Fetch, Page, Puback, Publish
from roost_protocol.reasons import Reason


async def remove(house: House, user: str, *, erase: bool = False) -> int:
    """Remove a user; the number."""
    number = house.number(user)
    result = await house.core.removals.remove(number, erase=erase, by="root", address="unix", text="goodbye")
    assert result == UserRemoved(name=user)
    return number


async def erase(house: House, user: str) -> tuple[Erasure, list[Step]]:
    """Erase a user to the end; the report, and the steps on the way."""
    await remove(house, user, erase=True)
    removal = await house.core.removals.pending(user)
    assert removal is not None
    steps: list[Step] = []
    erasure = await house.core.removals.finish_one(removal, lambda step, _: steps.append(step))
    return erasure, steps


def kinds(frames: list[Deliver]) -> list[tuple[int, str]]:
    """Number and kind of entries; of a notice, its type."""
    return [
        (frame.seq, ERASED_TYPE if frame.entry is not None and frame.entry.content_type == ERASED_TYPE else frame.kind)
        for frame in frames
    ]


# --- removing -----------------------------------------------------------------------------------------------------


@in_house()
async def test_whoever_is_logged_in_is_told(house: House) -> None:
    phone, pc = await house.log_in("alice"), await house.log_in("alice", "pc", want_token=True)
    bob = await house.log_in("bob")
    await remove(house, "alice")
    for device in (phone, pc):
        dismissal = await device.expect_dismissal(Reason.ADMINISTRATIVE_ACTION)
        assert (dismissal.text, dismissal.reconnect) == ("goodbye", False)
        assert dismissal.origin is not None
        assert (dismissal.origin.by, dismissal.origin.address) == ("root", "unix")
    assert (await house.refusal("alice")).reason == Reason.BAD_USER_NAME_OR_PASSWORD
    token = pc.connack.token
    assert (await house.refusal("alice", "pc", token=token)).reason == Reason.BAD_USER_NAME_OR_PASSWORD
    assert (await bob.publish(1, "user/alice")).reason == Reason.UNKNOWN_RECIPIENT
    assert len(house.core.directory) == 1


@in_house()
async def test_a_user_is_removed_once(house: House) -> None:
    number = await remove(house, "alice")
    again = await house.core.removals.remove(number, erase=False, by="root", address="", text="")
    assert isinstance(again, Refused)


@in_house()
async def test_what_was_acknowledged_before_is_there(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    async with trio.open_nursery() as nursery:
        await alice.say(*(Publish(n=n, to="user/bob", text=str(n)) for n in range(1, 4)))
        nursery.start_soon(remove, house, "alice")
    frames = await bob.rest()
    assert all(isinstance(frame, Deliver) for frame in frames)
    heard = [frame.n for frame in await alice.rest() if isinstance(frame, Puback) and frame.reason == Reason.SUCCESS]
    assert len(heard) <= len(frames) == house.store.inbox_size(house.number("bob")).head


@in_house(retention=RetentionConfig(interval_s=60), limits={"trim_slice_max": 10})
async def test_the_walk_of_retention_clears_away_in_slices(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 35)
    number = await remove(house, "alice")
    assert house.store.inbox_size(number).head == 35
    house.store.batches.clear()
    await trio.sleep(65)
    assert house.store.removals(0, 9) == ()
    assert sum(isinstance(op, ClearRemoved) for batch in house.store.batches for op in batch) >= 4
    assert house.store.statistics().users == 2
    assert house.store.inbox_size(house.number("bob")).head == 35


@in_house(retention=RetentionConfig(interval_s=60))
async def test_what_cannot_be_cleared_now_is_cleared_later(house: House, caplog: pytest.LogCaptureFixture) -> None:
    await remove(house, "alice")
    await house.core.removals.finish()
    await remove(house, "bob")
    house.store.faults.append(CommitRefused("full"))
    with caplog.at_level(logging.ERROR):
        await house.core.removals.finish()
    assert "what is left of the removed user 'bob' stays for now: full" in caplog.text
    await trio.sleep(61)
    assert house.store.removals(0, 9) == ()


@in_house(retention=RetentionConfig(interval_s=60))
async def test_a_store_that_cannot_be_read_does_not_end_the_broker(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await remove(house, "alice")

    def unreadable(*_: object) -> None:
        raise ReadFailed("damaged")

    vars(house.store)["removals"] = unreadable
    with caplog.at_level(logging.ERROR):
        await trio.sleep(61)
    assert "retention cannot read: damaged" in caplog.text
    del vars(house.store)["removals"]
    await trio.sleep(60)
    assert house.store.removals(0, 9) == ()


# --- erasing ------------------------------------------------------------------------------------------------------


@in_house()
async def test_devices_that_have_the_messages_are_told_and_others_get_empty_numbers(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await house.fill(alice, "user/bob", 3)
    await bob.publish(1, "user/alice", "an answer")
    assert await bob.seqs() == [1, 2, 3, 4]
    await bob.say(Ack(seq=4))
    erasure, steps = await erase(house, "alice")
    assert (erasure.messages, erasure.conversations, len(erasure.told)) == (3, 1, 1)
    assert steps == ["erasing", "telling", "clearing"]
    notice = await bob.expect(Deliver)
    assert notice.seq == 5
    assert notice.entry is not None
    assert (notice.entry.sender, notice.entry.to, notice.entry.content_type) == ("alice", "user/bob", ERASED_TYPE)
    assert notice.entry.text == "3 messages of alice were erased"
    await bob.expect_silence()
    late = await house.log_in("bob", "pc")
    frames = [frame for frame in await late.rest() if isinstance(frame, Deliver)]
    assert kinds(frames) == [(1, "erased"), (2, "erased"), (3, "erased"), (4, "own"), (5, ERASED_TYPE)]
    assert all(frame.entry is None for frame in frames[:3])
    assert house.store.removals(0, 9) == ()


@in_house()
async def test_a_device_that_is_behind_does_not_get_what_memory_still_held(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob", receive_max=2)
    await house.fill(alice, "user/bob", 6)
    assert await bob.seqs() == [1, 2]
    assert house.session("bob").inbox.covers(3), "the tail has what comes next"
    await erase(house, "alice")
    for seq in (2, 4, 6):
        await bob.say(Ack(seq=seq))
        frames = [frame for frame in await bob.rest() if isinstance(frame, Deliver)]
        expected = [(seq + 1, "erased"), (seq + 2, "erased")] if seq < 6 else [(7, ERASED_TYPE)]
        assert kinds(frames) == expected


@in_house()
async def test_scrolling_back_finds_the_numbers_and_nothing_in_them(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await house.fill(alice, "user/bob", 2)
    await bob.rest()
    await erase(house, "alice")
    await bob.rest()
    await bob.say(Fetch(request=1))
    page = await bob.expect(Page)
    assert kinds(list(page.entries)) == [(1, "erased"), (2, "erased"), (3, ERASED_TYPE)]


@in_house()
async def test_every_member_of_a_group_is_told_at_the_same_place(house: House) -> None:
    await house.broker.core.batcher.run(CreateGroup(name="team", owner=house.number("bob"), members=("alice", "carol")))
    alice, bob, carol = [await house.log_in(user) for user in ("alice", "bob", "carol")]
    await alice.publish(1, "group/team", "one")
    await bob.rest()
    await carol.rest()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(erase, house, "alice")
        await bob.publish(1, "group/team", "meanwhile")
    heard = []
    for device in (bob, carol):
        frames = [frame for frame in [*await device.rest()] if isinstance(frame, Deliver) and frame.entry is not None]
        heard.append([frame.entry.id for frame in frames if frame.entry is not None])
    assert heard[0] == heard[1]
    assert len(heard[0]) == 2


@in_house(limits={"trim_slice_max": 4})
async def test_a_restart_in_the_middle_is_finished_by_the_walk(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 10)
    number = await remove(house, "alice", erase=True)
    with trio.CancelScope() as scope:
        removal = await house.core.removals.pending("alice")
        assert removal is not None
        await house.core.removals.finish_one(removal, lambda step, erasure: scope.cancel())
    (removal,) = house.store.removals(0, 9)
    assert (removal.user, removal.messages, removal.erasing) == (number, 4, True)
    await house.core.removals.finish()
    assert house.store.removals(0, 9) == ()
    page = house.store.read_inbox(house.number("bob"), 0, 99, 99_999)
    assert [entry.kind for entry in page.entries] == ["erased"] * 10 + ["message"]


@in_house()
async def test_an_erasure_that_is_refused_says_so_and_goes_on_later(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 2)
    await remove(house, "alice", erase=True)
    removal = await house.core.removals.pending("alice")
    assert removal is not None
    house.store.faults.append(CommitRefused("full"))
    with pytest.raises(RemovalStopped, match="full"):
        await house.core.removals.finish_one(removal)
    assert (await house.core.removals.finish_one(removal)).messages == 2


@in_house()
async def test_two_at_once_do_each_step_once(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 3)
    await remove(house, "alice", erase=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.core.removals.finish)
        nursery.start_soon(house.core.removals.finish)
    page = house.store.read_inbox(house.number("bob"), 0, 99, 99_999)
    assert [entry.kind for entry in page.entries] == ["erased"] * 3 + ["message"]


@in_house(users=["alice", *(f"user{number}" for number in range(6))], limits={"group_members_max": 2})
async def test_many_who_left_a_group_are_told_in_parts(house: House) -> None:
    admin = house.broker.admin
    alice = await house.log_in("alice")
    await admin.groups.create(GroupCreate(name="team", owner="alice"))
    for number in range(5):
        await admin.groups.change("team", GroupChange(add=(f"user{number}",)))
        await alice.publish(number + 1, "group/team")
        await admin.groups.change("team", GroupChange(remove=(f"user{number}",)))
    erasure, _ = await erase(house, "alice")
    assert (erasure.messages, erasure.conversations, len(erasure.told)) == (5, 1, 5)
    for number in range(5):
        page = house.store.read_inbox(house.number(f"user{number}"), 0, 9, 9_999)
        assert [entry.kind for entry in page.entries] == ["erased", "message"]


@in_house()
async def test_only_the_broker_says_what_was_erased(house: House) -> None:
    alice = await house.log_in("alice")
    await alice.say(Publish(n=1, to="user/bob", content_type=ERASED_TYPE, text="drop it all"))
    assert (await alice.expect(Puback)).reason == Reason.NOT_AUTHORIZED
    assert house.store.inbox_size(house.number("bob")).head == 0
    await alice.say(Disconnect())
