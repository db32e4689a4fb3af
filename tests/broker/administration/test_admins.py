"""Admins with tokens: told once, kept as a digest, gone at once."""

import msgspec
import pytest

from broker.house import House, in_house
from roost_broker.accounts import token_digest
from roost_broker.administration import NotDone
from roost_protocol.admin.admins import AdminAdd
from roost_protocol.admin.route import Caller, Paging
from roost_protocol.reasons import Reason


@in_house()
async def test_an_admin_is_added_listed_and_revoked(house: House) -> None:
    admins = house.broker.admin.admins
    added = await admins.add(AdminAdd(name="zoe", role="operate"))
    assert len(added.token) >= 43, "256 bits, as base64"
    assert added.token != (await admins.add(AdminAdd(name="ann", role="read"))).token
    listed = await admins.list()
    assert [(row.name, row.role) for row in listed.admins] == [("ann", "read"), ("zoe", "operate")]
    assert added.token.encode() not in msgspec.json.encode(listed)
    assert house.store.admin_by_digest(token_digest(added.token)).name == "zoe"
    assert (await admins.revoke("zoe")).name == "zoe"
    assert house.store.admin_by_digest(token_digest(added.token)) is None
    assert [row.name for row in (await admins.list()).admins] == ["ann"]


@in_house()
async def test_the_store_never_sees_a_token(house: House) -> None:
    added = await house.broker.admin.admins.add(AdminAdd(name="zoe", role="admin"))
    assert added.token not in repr(house.store.batches)


@in_house()
async def test_they_come_in_pages(house: House) -> None:
    admins = house.broker.admin.admins
    for name in ("c", "a", "b"):
        await admins.add(AdminAdd(name=name, role="read"))
    page = await admins.list(Paging(limit=2))
    assert ([row.name for row in page.admins], page.next) == (["a", "b"], "b")
    page = await admins.list(Paging(limit=2, after="b"))
    assert ([row.name for row in page.admins], page.next) == (["c"], None)


@in_house(limits={"admins_max": 2})
async def test_why_not(house: House) -> None:
    admins = house.broker.admin.admins
    await admins.add(AdminAdd(name="a", role="read"))
    for name, reason in (("a", Reason.ALREADY_EXISTS), ("a/b", Reason.MALFORMED_PACKET)):
        with pytest.raises(NotDone) as refused:
            await admins.add(AdminAdd(name=name, role="admin"))
        assert refused.value.reason == reason
    await admins.add(AdminAdd(name="b", role="read"))
    with pytest.raises(NotDone, match="at most 2 admins") as refused:
        await admins.add(AdminAdd(name="c", role="read"))
    assert refused.value.reason == Reason.QUOTA_EXCEEDED
    for name in ("nobody", "x" * 5_000):
        with pytest.raises(NotDone, match="there is no admin") as refused:
            await admins.revoke(name)
        assert refused.value.reason == Reason.NOT_FOUND


@in_house()
async def test_who_asks_is_told_what_he_may(house: House) -> None:
    found = await house.broker.admin.admins.whoami(Caller(name="zoe", role="read", address="192.0.2.7:4711"))
    assert (found.name, found.role, found.address) == ("zoe", "read", "192.0.2.7:4711")
