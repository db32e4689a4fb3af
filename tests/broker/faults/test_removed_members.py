"""Who was removed from a group gets none of its later messages, however he asks, and keeps what he had.

Others checked the right where messages are live, and forgot those that are told again (CVE-2018-12546). Here it is
decided once, in the order of commits, whether an entry comes into an inbox; what is in no inbox can be got by nobody.
"""

from broker.house import Device, House, in_house
from roost_protocol.admin.inbox import InboxQuery
from roost_protocol.frames import Deliver, Ephemeral, Fetch, Group, Page, Puback, Publish, Result
from roost_protocol.reasons import Reason

TEAM = "group/team"


async def ask(device: Device, request: Group) -> None:
    await device.say(request)
    result = await device.pick(Result)
    assert result.reason == Reason.SUCCESS, result


async def texts(device: Device) -> list[str | None]:
    """What is delivered to a device now."""
    return [frame.entry.text for frame in await device.rest() if isinstance(frame, Deliver) and frame.entry]


async def page(device: Device, conversation: str | None) -> list[str | None]:
    """What a device finds that scrolls back."""
    await device.say(Fetch(request=9, conversation=conversation))
    return [each.entry.text for each in (await device.pick(Page)).entries if each.entry]


@in_house()
async def test_a_removed_member_gets_nothing_later_by_any_way(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await ask(alice, Group(request=1, action="create", group="team", users=("bob", "carol")))
    await alice.publish(1, TEAM, "before")
    # In one piece: the removal and what follows it may come into one batch.
    await alice.say(
        Group(request=2, action="remove", group="team", users=("bob",)), Publish(n=2, to=TEAM, text="at once")
    )
    assert (await alice.pick(Result)).reason == Reason.SUCCESS
    assert (await alice.pick(Puback)).reason == Reason.SUCCESS
    await alice.publish(3, TEAM, "after")
    await alice.say(Ephemeral(to=TEAM, text="typing"))

    heard = await bob.rest()
    assert [frame.entry.text for frame in heard if isinstance(frame, Deliver) and frame.entry] == ["before"]
    assert not any(isinstance(frame, Ephemeral) for frame in heard)
    for connect in ({"last_seq": 0}, {"newest": 10}):
        other = await house.log_in("bob", "pc", device="bobs-pc", **connect)
        assert await texts(other) == ["before"], connect
        assert await page(other, None) == ["before"]
        assert await page(other, TEAM) == ["before"]
    told = await house.broker.admin.inboxes.show_bodies("bob", InboxQuery())
    assert "after" not in repr(told)
    assert "at once" not in repr(told)
    refused = await bob.publish(1, TEAM, "let me in")
    assert refused.reason == Reason.NOT_A_MEMBER


@in_house()
async def test_who_comes_back_gets_what_comes_from_then_on(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await ask(alice, Group(request=1, action="create", group="team", users=("bob", "carol")))
    await ask(alice, Group(request=2, action="remove", group="team", users=("bob",)))
    await alice.publish(1, TEAM, "while he was out")
    await ask(alice, Group(request=3, action="add", group="team", users=("bob",)))
    await alice.publish(2, TEAM, "welcome back")
    assert await texts(bob) == ["welcome back"]
    assert await page(bob, TEAM) == ["welcome back"]


@in_house()
async def test_a_block_holds_on_every_way_as_well(house: House) -> None:
    """What a blocked user writes is in no inbox, his own included."""
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await house.broker.admin.relations.change("block", "alice", "bob", present=True)
    refused = await bob.publish(1, "user/alice", "hello?")
    assert refused.reason == Reason.BLOCKED
    assert await texts(alice) == []
    assert await page(alice, None) == []
    assert await page(bob, None) == []
