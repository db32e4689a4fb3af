"""Messages in the name of a user: stored, delivered live and later, and nobody's publish."""

import pytest

from broker.house import House, in_house
from roost_broker.administration import NotDone
from roost_broker.store import CommitRefused
from roost_broker.store.operations import SetRelation
from roost_protocol.admin.groups import GroupCreate
from roost_protocol.admin.messages import MessageSend
from roost_protocol.frames import Deliver
from roost_protocol.reasons import Reason


@in_house()
async def test_everybody_who_is_here_gets_it(house: House) -> None:
    phone, pc, bob = await house.log_in("alice"), await house.log_in("alice", "pc"), await house.log_in("bob")
    sent = await house.broker.admin.messages.send(MessageSend(sender="alice", to="user/bob", text="from a script"))
    assert (sent.seq, sent.inboxes) == (1, 2)
    delivered = [await own.expect(Deliver) for own in (phone, pc)]
    for deliver in delivered:
        assert (deliver.seq, deliver.kind, deliver.device, deliver.n) == (1, "own", None, None)
        assert deliver.entry is not None
        assert (deliver.entry.text, deliver.entry.id, deliver.entry.sender) == ("from a script", sent.id, "alice")
    theirs = await bob.expect(Deliver)
    assert (theirs.seq, theirs.kind, theirs.entry) == (1, "message", delivered[0].entry)
    assert house.core.published == 1


@in_house()
async def test_whoever_comes_later_gets_the_same(house: House) -> None:
    await house.broker.admin.messages.send(MessageSend(sender="alice", to="user/bob", data=b"\xff"))
    deliver = await (await house.log_in("alice", last_seq=0)).expect(Deliver)
    assert (deliver.kind, deliver.device, deliver.n) == ("own", None, None)
    assert deliver.entry is not None
    assert deliver.entry.data == b"\xff"


@in_house()
async def test_it_takes_its_place_among_publishes(house: House) -> None:
    alice = await house.log_in("alice")
    await alice.publish(1, "user/bob")
    await house.broker.admin.messages.send(MessageSend(sender="alice", to="user/bob", text="x"))
    assert (await alice.publish(2, "user/bob")).seq == 3
    heard = [await alice.expect(Deliver) for _ in range(3)]
    assert [(each.seq, each.n) for each in heard] == [(1, 1), (2, None), (3, 2)]


@in_house()
async def test_a_group_of_a_service_user(house: House) -> None:
    await house.broker.admin.groups.create(GroupCreate(name="all", owner="carol", members=("alice", "bob")))
    bob = await house.log_in("bob")
    sent = await house.broker.admin.messages.send(MessageSend(sender="carol", to="group/all", text="down at 5"))
    assert sent.inboxes == 3
    assert (await bob.expect(Deliver)).entry is not None


@in_house(limits={"body_bytes_max": 1_024})
async def test_why_it_is_not_sent(house: House) -> None:
    await house.broker.admin.groups.create(GroupCreate(name="team", owner="bob"))
    block = SetRelation(user=house.number("bob"), kind="block", other="alice", present=True)
    await house.core.batcher.run(block)

    async def reason(sender: str, to: str, text: str = "x") -> Reason:
        with pytest.raises(NotDone) as error:
            await house.broker.admin.messages.send(MessageSend(sender=sender, to=to, text=text))
        assert str(error.value)
        return error.value.reason

    assert await reason("nobody", "user/bob") == Reason.NOT_FOUND
    assert await reason("alice", "user/nobody") == Reason.NOT_FOUND
    assert await reason("alice", "group/nobody") == Reason.NOT_FOUND
    assert await reason("alice", "user/bob") == Reason.BLOCKED
    assert await reason("alice", "group/team") == Reason.NOT_A_MEMBER
    assert await reason("alice", "user/carol", "ä" * 513) == Reason.PACKET_TOO_LARGE
    assert await reason("alice", "user/carol", "\ud800") == Reason.MALFORMED_PACKET
    house.store.faults.append(CommitRefused("full"))
    assert await reason("alice", "user/carol") == Reason.QUOTA_EXCEEDED
    with pytest.raises(NotDone, match="did you mean bob"):
        await house.broker.admin.messages.send(MessageSend(sender="alice", to="user/boob", text="x"))
    assert house.core.published == 0
    await house.broker.admin.messages.send(MessageSend(sender="alice", to="user/carol", text="ä" * 512))
