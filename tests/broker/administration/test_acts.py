"""What an admin may do, and what is said when it cannot be done."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from broker.house import PASSWORD, House, in_house
from roost_broker.administration import NotDone
from roost_broker.store import CommitRefused
from roost_broker.version import installed_version
from roost_protocol.admin.groups import GroupChange, GroupCreate
from roost_protocol.admin.route import Paging
from roost_protocol.admin.sessions import Kick, SessionQuery
from roost_protocol.frames import Deliver
from roost_protocol.reasons import Reason

Act = Callable[[], Awaitable[Any]]


async def reason_of(act: Awaitable[Any]) -> Reason:
    """Why an act was not done."""
    with pytest.raises(NotDone) as error:
        await act
    assert str(error.value)
    return error.value.reason


@in_house(users=[])
async def test_a_user_is_created_and_may_log_in(house: House) -> None:
    row = await house.broker.create_user("dave", "secret")
    assert (row.name, row.head, row.floor, row.devices, row.online) == ("dave", 0, 1, 0, ())
    await house.log_in("dave", password="secret")
    assert (await house.refusal("dave", password="Secret")).reason == Reason.BAD_USER_NAME_OR_PASSWORD


@pytest.mark.parametrize("name", ["", "a/b", "\u200b", " x", "x" * 65, "e\u0301", "\0"])
@in_house()
async def test_a_name_that_nobody_may_have(house: House, name: str) -> None:
    admin = house.broker.admin
    assert await reason_of(house.broker.create_user(name, "x")) == Reason.MALFORMED_PACKET
    assert await reason_of(admin.groups.create(GroupCreate(name=name, owner="alice"))) == Reason.MALFORMED_PACKET


@in_house(limits={"password_checks_max": 1, "password_queue_max": 1}, offload_s=0.5)
async def test_why_a_user_is_not_created(house: House) -> None:
    assert await reason_of(house.broker.create_user("alice", "x")) == Reason.ALREADY_EXISTS
    assert await reason_of(house.broker.create_user("dave", "")) == Reason.NOT_AUTHORIZED
    assert await reason_of(house.broker.create_user("dave", "x" * 257)) == Reason.NOT_AUTHORIZED
    house.store.faults.append(CommitRefused("full"))
    assert await reason_of(house.broker.create_user("dave", "x")) == Reason.QUOTA_EXCEEDED
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(house.core.accounts.check, None, "x")
        await trio.sleep(0.1)
        assert await reason_of(house.broker.create_user("dave", "x")) == Reason.SERVER_BUSY


@in_house(users=["carol", "alice", "bob", "Ångström"])
async def test_users_come_in_pages(house: House) -> None:
    alice = await house.log_in("alice", "pc")
    await house.log_in("alice", "pad")
    await alice.publish(1, "user/bob")
    page = await house.broker.admin.users.list()
    assert [row.name for row in page.users] == ["alice", "bob", "carol", "Ångström"]
    assert page.next is None
    row = page.users[0]
    assert (row.head, row.floor, row.devices, row.online, row.disabled) == (1, 1, 2, ("pad", "pc"), False)
    page = await house.broker.admin.users.list(Paging(limit=2))
    assert ([row.name for row in page.users], page.next) == (["alice", "bob"], "bob")
    page = await house.broker.admin.users.list(Paging(after="bob", limit=2))
    assert ([row.name for row in page.users], page.next) == (["carol", "Ångström"], None)
    page = await house.broker.admin.users.list(Paging(after="Ångström", limit=2))
    assert (page.users, page.next) == ((), None)


@in_house(limits={"listing_max": 2})
async def test_a_page_has_so_many_rows_whatever_is_asked_for(house: House) -> None:
    admin = house.broker.admin
    for user in ("alice", "bob", "carol"):
        await house.log_in(user)
        await admin.groups.create(GroupCreate(name=f"g-{user}", owner=user))
    for limit in (None, 1_000):
        assert len((await admin.users.list(Paging(limit=limit))).users) == 2
        assert len((await admin.sessions.list(SessionQuery(limit=limit))).sessions) == 2
        assert len((await admin.groups.list(Paging(limit=limit))).groups) == 2


@in_house()
async def test_sessions_say_how_far_they_are(house: House) -> None:
    alice = await house.log_in("alice")
    bob = await house.log_in("bob", "pc", receive_max=3, client="app 1.0", host="10.0.0.9")
    await house.fill(alice, "user/bob", 5)
    await bob.expect(Deliver)
    rows = await house.broker.admin.sessions.list()
    assert [(row.user, row.terminal) for row in rows.sessions] == [("alice", "phone"), ("bob", "pc")]
    row = rows.sessions[1]
    assert (row.device, row.client, row.address, row.epoch) == ("bob-pc", "app 1.0", "10.0.0.9:2", bob.connack.epoch)
    assert (row.position, row.acknowledged, row.head, row.backlog, row.unacknowledged) == (3, 0, 5, 2, 3)


@in_house()
async def test_sessions_come_in_pages(house: House) -> None:
    for user, terminal in [("bob", "pc"), ("alice", "phone"), ("alice", "pad")]:
        await house.log_in(user, terminal)
    first = await house.broker.admin.sessions.list(SessionQuery(limit=2))
    assert [(row.user, row.terminal) for row in first.sessions] == [("alice", "pad"), ("alice", "phone")]
    assert first.next == "alice/phone"
    second = await house.broker.admin.sessions.list(SessionQuery(after=first.next, limit=2))
    assert [(row.user, row.terminal) for row in second.sessions] == [("bob", "pc")]
    assert second.next is None


@in_house()
async def test_a_kick_ends_sessions_and_says_why(house: House) -> None:
    phone, pc = await house.log_in("alice", "phone"), await house.log_in("alice", "pc")
    bob = await house.log_in("bob")
    assert (
        await house.broker.admin.sessions.kick(Kick(user="alice", terminal="pc", text="back to work"))
    ).terminals == ("pc",)
    dismissal = await pc.expect_dismissal(Reason.ADMINISTRATIVE_ACTION)
    assert (dismissal.text, dismissal.reconnect) == ("back to work", False)
    assert dismissal.origin is not None
    assert dismissal.origin.by == "admin"
    await house.log_in("alice", "pc")
    assert (await house.broker.admin.sessions.kick(Kick(user="alice"))).terminals == ("pc", "phone")
    await phone.expect_dismissal(Reason.ADMINISTRATIVE_ACTION)
    await bob.expect_alive()


@in_house()
async def test_why_nobody_is_kicked(house: House) -> None:
    admin = house.broker.admin
    assert await reason_of(admin.sessions.kick(Kick(user="nobody"))) == Reason.NOT_FOUND
    assert await reason_of(admin.sessions.kick(Kick(user="alice"))) == Reason.NOT_FOUND
    assert await reason_of(admin.sessions.kick(Kick(user="alice", terminal="pc"))) == Reason.NOT_FOUND
    await house.log_in("alice", "phone")
    for terminal in ("pc", "", "x" * 10_000):
        assert await reason_of(admin.sessions.kick(Kick(user="alice", terminal=terminal))) == Reason.NOT_FOUND
    house.store.faults.append(CommitRefused("full"))
    assert await reason_of(admin.sessions.kick(Kick(user="alice", terminal="phone"))) == Reason.QUOTA_EXCEEDED


@in_house()
async def test_groups(house: House) -> None:
    admin = house.broker.admin
    row = await admin.groups.create(GroupCreate(name="g", owner="alice", members=("bob",)))
    assert (row.name, row.owner, row.members) == ("g", "alice", ("alice", "bob"))
    row = await admin.groups.change("g", GroupChange(add=("carol",), remove=("alice",)))
    assert (row.owner, row.members) == ("bob", ("bob", "carol"))
    await admin.groups.create(GroupCreate(name="h", owner="carol"))
    page = await admin.groups.list(Paging(limit=1))
    assert ([each.name for each in page.groups], page.next) == (["g"], "g")
    page = await admin.groups.list(Paging(after="g", limit=1))
    assert ([each.name for each in page.groups], page.next) == (["h"], None)
    row = await admin.groups.change("g", GroupChange(remove=("bob", "carol")))
    assert (row.owner, row.members) == ("", ())
    assert [each.name for each in (await admin.groups.list()).groups] == ["h"]


@in_house(limits={"group_members_max": 2})
async def test_why_a_group_is_not_changed(house: House) -> None:
    admin = house.broker.admin
    assert await reason_of(admin.groups.create(GroupCreate(name="g", owner="nobody"))) == Reason.NOT_FOUND
    assert (
        await reason_of(admin.groups.create(GroupCreate(name="g", owner="alice", members=("nobody",))))
        == Reason.NOT_FOUND
    )
    assert (
        await reason_of(admin.groups.create(GroupCreate(name="g", owner="alice", members=("bob", "carol"))))
        == Reason.QUOTA_EXCEEDED
    )
    await admin.groups.create(GroupCreate(name="g", owner="alice"))
    assert await reason_of(admin.groups.create(GroupCreate(name="g", owner="bob"))) == Reason.ALREADY_EXISTS
    assert await reason_of(admin.groups.change("nothing", GroupChange(add=("bob",)))) == Reason.NOT_FOUND
    assert await reason_of(admin.groups.change("g", GroupChange(add=("nobody",)))) == Reason.NOT_FOUND


@in_house()
async def test_the_status_counts(house: House) -> None:
    alice = await house.log_in("alice")
    await house.dial()
    await alice.publish(1, "user/bob")
    await house.broker.admin.groups.create(GroupCreate(name="g", owner="alice"))
    status = await house.broker.admin.status.show()
    assert (status.users, status.devices, status.groups, status.messages, status.published) == (3, 1, 1, 1, 1)
    assert (status.sessions, status.connections, status.draining) == (1, 2, False)
    assert status.listeners == ("memory:1",)
    assert status.version == installed_version()
    assert status.store_used_bytes > 0


@in_house()
async def test_an_embedded_broker_creates_users(house: House) -> None:
    await house.broker.create_user("dave", PASSWORD)
    await house.log_in("dave")
