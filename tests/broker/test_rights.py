"""Rights are decided once, in commit order, whatever way somebody comes by: alive, catching up, scrolling back, or sent
for by an admin.

What is right is worked out here from the operations in the order in which they were committed, and from nothing else.
Bob is added to a group and removed from it, and blocks and unblocks alice, while three users publish to it, alice and
an admin in her name write to him, and all of that meets in the same batches. Then every way of asking has to give the
same: what was his at the moment of its commit, and nothing after.
"""

from collections.abc import Iterable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from broker.house import Device, House, in_house, open_house
from roost_broker.administration import NotDone
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.operations import ChangeMembers, PublishMessage, SendMessage, SetRelation
from roost_protocol.admin.groups import GroupChange, GroupCreate
from roost_protocol.admin.inbox import InboxQuery
from roost_protocol.admin.messages import MessageSend
from roost_protocol.frames import Deliver, Ephemeral, Fetch, Group, Page, Puback, Publish, Relation
from roost_protocol.limits import MIB, Limits
from roost_protocol.reasons import Reason

GROUP = "group/team"

Deed = Literal["publish", "send", "remove", "add", "remove by admin", "add by admin", "block", "unblock"]

ADMINS: tuple[Deed, ...] = ("send", "remove by admin", "add by admin")


class Step(NamedTuple):
    """Somebody does something, a moment after the step before."""

    deed: Deed
    by: str = "alice"
    to: str = GROUP
    after_s: float = 0.0


class Act:
    """What the steps set going; each text is said once."""

    def __init__(self, house: House, devices: dict[str, Device]) -> None:
        self.house = house
        self.devices = devices
        self.counts = dict.fromkeys(devices, 0)
        self.said = 0

    async def do(self, step: Step) -> None:
        """Ask for it; an admin waits for the answer."""
        device = self.devices[step.by]
        admin = self.house.broker.admin
        self.said += 1
        match step.deed:
            case "publish":
                self.counts[step.by] += 1
                await device.say(Publish(n=self.counts[step.by], to=step.to, text=f"message {self.said}"))
            case "send":
                message = MessageSend(sender=step.by, to=step.to, text=f"message {self.said}")
                await self._unless_refused(admin.messages.send, message)
            case "remove" | "add":
                await self.devices["alice"].say(Group(request=1, action=step.deed, group="team", users=("bob",)))
            case "remove by admin":
                await self._unless_refused(admin.groups.change, "team", GroupChange(remove=("bob",)))
            case "add by admin":
                await self._unless_refused(admin.groups.change, "team", GroupChange(add=("bob",)))
            case "block" | "unblock":
                action: Literal["add", "remove"] = "add" if step.deed == "block" else "remove"
                await self.devices["bob"].say(Relation(request=1, kind="block", action=action, user="alice"))

    async def _unless_refused(self, act, *args) -> None:  # type: ignore[no-untyped-def]
        try:
            await act(*args)
        except NotDone:
            pass  # whether that was right is judged by what was committed


def rightful(house: House) -> list[str]:
    """The texts in bob's inbox, by what was committed and in which order."""
    bob = house.number("bob")
    names = {house.number(name): name for name in ("alice", "bob", "carol")}
    members, blocked, texts = {"alice", "bob", "carol"}, False, []
    for operation in (each for batch in house.store.batches for each in batch):
        if isinstance(operation, ChangeMembers):
            members = (members | set(operation.add)) - set(operation.remove)
        elif isinstance(operation, SetRelation) and operation.kind == "block":
            blocked = operation.present
        elif isinstance(operation, PublishMessage | SendMessage):
            sender = names[operation.sender]
            if operation.to == GROUP:
                reaches = sender in members and "bob" in members
            else:
                reaches = "bob" in (sender, operation.to.removeprefix("user/")) and not (blocked and sender == "alice")
            if reaches:
                texts.append(operation.text or "")
    assert bob in names
    return texts


def texts_of(delivered: Iterable[object]) -> list[str]:
    """What these entries say; one's own come without their text where one has said it."""
    return [
        (frame.entry.text if frame.entry.text is not None else "own")
        for frame in delivered
        if isinstance(frame, Deliver) and frame.entry is not None
    ]


async def every_way(house: House, live: Device) -> dict[str, list[str]]:
    """Bob's messages, in all the ways there are to get them."""
    ways = {"live": texts_of(await live.rest(5))}
    late = await house.log_in("bob", "pad")
    ways["catch-up"] = texts_of(await late.rest(5))
    await late.say(Fetch(request=1, limit=200))
    ways["fetch"] = texts_of((await late.pick(Page)).entries)
    by_conversation: list[Deliver] = []
    for conversation in (GROUP, "user/alice", "user/bob", "user/carol"):
        await late.say(Fetch(request=1, conversation=conversation, limit=200))
        by_conversation += (await late.pick(Page)).entries
    by_conversation.sort(key=lambda each: each.seq)
    ways["fetch of conversations"] = texts_of(by_conversation)
    shown = await house.broker.admin.inboxes.show_bodies("bob", InboxQuery(limit=200))
    ways["admin"] = [entry.text or "" for entry in shown.entries]
    return ways


async def play(house: House, steps: list[Step]) -> None:
    """Let all of it happen at once, and compare."""
    await house.broker.admin.groups.create(GroupCreate(name="team", owner="alice", members=("bob", "carol")))
    devices = {name: await house.log_in(name) for name in ("alice", "bob", "carol")}
    live = await house.log_in("bob", "pc")  # it publishes nothing, so that it is sent every text
    house.store.batches.clear()
    act = Act(house, devices)
    async with trio.open_nursery() as nursery:
        for step in steps:
            await trio.sleep(step.after_s)
            if step.deed in ADMINS:
                nursery.start_soon(act.do, step)
                await trio.lowlevel.checkpoint()
            else:
                await act.do(step)
    await trio.sleep(2)
    expected = rightful(house)
    ways = await every_way(house, live)
    assert ways == dict.fromkeys(ways, expected)


DEEDS: st.SearchStrategy[Deed] = st.sampled_from(
    ["publish", "publish", "publish", "send", "remove", "add", "remove by admin", "add by admin", "block", "unblock"]
)
STEPS = st.lists(
    st.builds(
        Step,
        deed=DEEDS,
        by=st.sampled_from(["alice", "bob", "carol"]),
        to=st.sampled_from([GROUP, GROUP, "user/bob"]),
        after_s=st.sampled_from([0.0, 0.0, 0.001, 0.01, 0.05]),
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(steps=STEPS, commit_s=st.sampled_from([0.0, 0.001, 0.02]))
def test_every_way_gives_what_was_right_when_it_was_committed(steps: list[Step], commit_s: float) -> None:
    async def main() -> None:
        async with open_house(commit_s=commit_s) as house:
            await play(house, steps)

    trio.run(main, clock=MockClock(autojump_threshold=0))


@settings(max_examples=25)
@given(steps=STEPS)
def test_and_so_it_is_on_the_real_store(steps: list[Step]) -> None:
    """Which remembers where messages go, and has to forget it when a right changes."""

    async def main(folder: Path) -> None:
        random = Random(1)  # noqa: S311 - for ids, not for secrets
        store = LmdbStore(folder, limits=Limits(), random=random, map_bytes=64 * MIB, reserve_bytes=MIB, sync=False)
        try:
            async with open_house(commit_s=0.001, store=store) as house:
                await play(house, steps)
        finally:
            store.close()

    with TemporaryDirectory() as folder:
        trio.run(main, Path(folder), clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize("removed", ["remove", "remove by admin"])
@in_house(commit_s=0.05)
async def test_a_removal_that_races_with_publishes(house: House, removed: Deed) -> None:
    """The same with nothing left to chance: publishes before it, in its batch, and after it."""
    publishes = [Step("publish", by, after_s=0.004) for _ in range(12) for by in ("alice", "carol", "bob")]
    sends = [Step("send", after_s=0.004) for _ in range(6)]
    await play(house, [*publishes[:18], *sends[:3], Step(removed), *publishes[18:], *sends[3:]])
    (place,) = [
        (batch, number)
        for batch in house.store.batches
        for number, operation in enumerate(batch)
        if isinstance(operation, ChangeMembers)
    ]
    batch, number = place
    assert any(isinstance(each, PublishMessage) for each in batch[:number]), "some came before it in its batch"
    assert any(isinstance(each, PublishMessage) for each in batch[number + 1 :]), "and some after"


@in_house()
async def test_whoever_was_removed_may_not_write_and_keeps_what_he_had(house: House) -> None:
    await house.broker.admin.groups.create(GroupCreate(name="team", owner="alice", members=("bob",)))
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await alice.publish(1, GROUP, "before")
    await house.broker.admin.groups.change("team", GroupChange(remove=("bob",)))
    await alice.publish(2, GROUP, "after")
    assert (await bob.publish(1, GROUP, "me too")).reason == Reason.NOT_A_MEMBER
    with pytest.raises(NotDone) as refused:
        await house.broker.admin.messages.send(MessageSend(sender="bob", to=GROUP, text="me too"))
    assert refused.value.reason == Reason.NOT_A_MEMBER
    await bob.rest()
    for conversation in (GROUP, None):
        await bob.say(Fetch(request=1, conversation=conversation))
        assert texts_of((await bob.expect(Page)).entries) == ["before"]
    await alice.say(Ephemeral(to=GROUP, text="typing"))
    await bob.say(Ephemeral(to=GROUP, text="typing"))
    await bob.expect_silence()
    assert not [frame for frame in await alice.rest() if isinstance(frame, Ephemeral)]


@in_house()
async def test_a_publish_that_was_refused_stays_refused_when_he_is_a_member_again(house: House) -> None:
    """Decided once: a retransmission is told the first outcome."""
    await house.broker.admin.groups.create(GroupCreate(name="team", owner="alice", members=()))
    bob = await house.log_in("bob")
    assert (await bob.publish(1, GROUP, "hello")).reason == Reason.NOT_A_MEMBER
    await house.broker.admin.groups.change("team", GroupChange(add=("bob",)))
    again = await bob.publish(1, GROUP, "hello")
    assert (again.reason, again.retransmission) == (Reason.NOT_A_MEMBER, True)
    assert (await bob.publish(2, GROUP, "hello")).reason == Reason.SUCCESS


@in_house()
async def test_a_publish_that_was_stored_stays_stored_when_he_is_no_member_any_more(house: House) -> None:
    await house.broker.admin.groups.create(GroupCreate(name="team", owner="alice", members=("bob",)))
    bob = await house.log_in("bob")
    first = await bob.publish(1, GROUP, "hello")
    await house.broker.admin.groups.change("team", GroupChange(remove=("bob",)))
    again = await bob.publish(1, GROUP, "hello")
    assert (again.reason, again.seq, again.retransmission) == (Reason.SUCCESS, first.seq, True)


@in_house()
async def test_a_group_of_the_same_name_shows_nothing_of_the_one_before(house: House) -> None:
    groups = house.broker.admin.groups
    await groups.create(GroupCreate(name="team", owner="alice", members=("bob",)))
    alice = await house.log_in("alice")
    await alice.publish(1, GROUP, "of the first")
    await groups.delete("team")
    await groups.create(GroupCreate(name="team", owner="alice", members=("carol",)))
    await alice.publish(2, GROUP, "of the second")
    for name, expected in (("bob", ["of the first"]), ("carol", ["of the second"])):
        device = await house.log_in(name)
        assert texts_of(await device.rest()) == expected
        await device.say(Fetch(request=1))
        assert texts_of((await device.expect(Page)).entries) == expected
    assert not [frame for frame in await alice.rest() if isinstance(frame, Puback) and frame.reason]
