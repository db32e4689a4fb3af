"""Who asks: credentials of a Unix socket, tokens, and the same answer to everything that is none."""

import grp
import logging
import os
import pwd

import pytest
import trio

from broker.house import House, in_house
from roost_broker.http import callers as callers_module
from roost_broker.http.callers import BearerCallers, UnixCallers, group_number
from roost_broker.http.server import Request, RequestFailed
from roost_broker.http.unix import AdminSocketUnusable, Credentials
from roost_protocol.admin.admins import AdminAdd
from roost_protocol.admin.route import Caller, Role

STRANGER = 54_321
"""A user and a group that no system has."""


def from_peer(uid: int, gid: int = STRANGER) -> Request:
    return Request(method="GET", target="/", headers={}, body=b"", peer=Credentials(1, uid, gid))


def with_header(authorization: str | None) -> Request:
    headers = {} if authorization is None else {"authorization": authorization}
    return Request(method="GET", target="/", headers=headers, body=b"", address="192.0.2.7:99")


async def test_root_and_the_brokers_own_user_may_everything() -> None:
    for uid in {0, os.getuid()}:
        caller = await UnixCallers()(from_peer(uid))
        assert caller == Caller(name=pwd.getpwuid(uid).pw_name, role="admin", address="admin socket")


@pytest.mark.parametrize("group", [None, 0, 54_322])
async def test_nobody_else_may(group: int | None, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RequestFailed, match="user id 54321 may not administer") as failed:
        await UnixCallers(group)(from_peer(STRANGER))
    assert failed.value.problem.status == 403
    assert "54321" in caplog.text


async def test_members_of_the_group_may() -> None:
    caller = await UnixCallers(STRANGER)(from_peer(STRANGER, gid=STRANGER))
    assert caller == Caller(name="uid 54321", role="admin", address="admin socket")


def member_of_another_group() -> tuple[pwd.struct_passwd, int] | None:
    """Somebody of this system, and a group that he is in besides his own."""
    for group in grp.getgrall():
        for name in group.gr_mem:
            user = next((each for each in pwd.getpwall() if each.pw_name == name), None)
            if user is not None and user.pw_uid not in (0, os.getuid()) and user.pw_gid != group.gr_gid:
                return user, group.gr_gid
    return None


async def test_membership_is_that_of_the_user_whatever_group_his_process_runs_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = member_of_another_group()
    if found is None:  # a bare system: let it know of one
        nobody = pwd.getpwnam("nobody")
        found = nobody, STRANGER
        monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [gid, STRANGER] if name == "nobody" else [gid])
    user, gid = found
    caller = await UnixCallers(gid)(from_peer(user.pw_uid, user.pw_gid))
    assert caller.name == user.pw_name
    with pytest.raises(RequestFailed):
        await UnixCallers(STRANGER + 1)(from_peer(user.pw_uid, user.pw_gid))


async def test_who_cannot_be_told_is_nobody() -> None:
    with pytest.raises(RequestFailed) as failed:
        await UnixCallers(0)(Request(method="GET", target="/", headers={}, body=b""))
    assert failed.value.problem.status == 401


def test_the_group_is_looked_up() -> None:
    assert group_number("") is None
    name = grp.getgrgid(os.getgid()).gr_name
    assert group_number(name) == os.getgid()
    with pytest.raises(AdminSocketUnusable, match=r"admin_group = 'no-such-group': there is no such group"):
        group_number("no-such-group")


@pytest.mark.parametrize("role", ["read", "operate", "admin"])
@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER  {} "])
@in_house()
async def test_a_token_says_who_and_what_he_may(house: House, role: Role, form: str) -> None:
    added = await house.broker.admin.admins.add(AdminAdd(name="zoë", role=role))
    caller = await BearerCallers(house.core)(with_header(form.format(added.token)))
    assert caller == Caller(name="zoë", role=role, address="192.0.2.7:99")


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic {}", "{}", "Bearer {}x", "Bearer x{}", "Bearer {} {}", "Bearer \xe9", "Digest x",
     "Bearer " + "x" * 10_000, "Token {}", "Bearer,{}"],
)  # fmt: skip
@in_house()
async def test_anything_else_is_answered_alike(
    house: House, authorization: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = (await house.broker.admin.admins.add(AdminAdd(name="zoë", role="admin"))).token
    with pytest.raises(RequestFailed) as failed:
        await BearerCallers(house.core)(with_header(authorization.replace("{}", token)))
    assert failed.value.problem.status == 401
    assert failed.value.problem.detail == "the bearer token of an admin is needed, and none that counts was shown"
    assert failed.value.headers == (("www-authenticate", 'Bearer realm="roost", error="invalid_token"'),)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "192.0.2.7:99" in record.getMessage()
    assert token not in caplog.text


@in_house()
async def test_who_shows_nothing_is_told_no_error(house: House) -> None:
    with pytest.raises(RequestFailed) as failed:
        await BearerCallers(house.core)(with_header(None))
    assert failed.value.problem.status == 401
    assert failed.value.headers == (("www-authenticate", 'Bearer realm="roost"'),)


@in_house()
async def test_a_token_is_nothing_from_the_moment_it_is_revoked(house: House) -> None:
    admins = house.broker.admin.admins
    token = (await admins.add(AdminAdd(name="zoë", role="admin"))).token
    callers = BearerCallers(house.core)
    await callers(with_header(f"Bearer {token}"))
    await admins.revoke("zoë")
    with pytest.raises(RequestFailed):
        await callers(with_header(f"Bearer {token}"))
    assert trio.current_time() < 1


@in_house(limits={"login_failures_per_address_max": 3})
async def test_who_tries_tokens_waits_and_who_has_one_does_not(house: House) -> None:
    token = (await house.broker.admin.admins.add(AdminAdd(name="zoë", role="admin"))).token
    other = (await house.broker.admin.admins.add(AdminAdd(name="yves", role="read"))).token
    callers = BearerCallers(house.core)
    await callers(with_header(f"Bearer {token}"))
    refusals = []
    for number in range(5):
        with pytest.raises(RequestFailed) as failed:
            await callers(with_header(f"Bearer guess{number}"))
        refusals.append(failed.value)
    assert [refused.problem.status for refused in refusals] == [401, 401, 401, 429, 429]
    assert refusals[-1].headers == (("retry-after", "1"),)
    assert "try again in 1 s" in refusals[-1].problem.detail
    assert house.calls["admin_by_digest"] == 4, "what is refused is not looked for"
    assert (await callers(with_header(f"Bearer {token}"))).name == "zoë", "she was here before"
    with pytest.raises(RequestFailed):
        await callers(with_header(f"Bearer {other}"))
    await trio.sleep(1)
    assert (await callers(with_header(f"Bearer {other}"))).name == "yves"
    assert house.core.guesses.throttled == {"admin_address": 3}
    await house.log_in("alice", host="192.0.2.7")


@in_house(limits={"login_failures_per_address_max": 1})
async def test_a_token_that_was_right_and_is_revoked_is_tried_but_once(house: House) -> None:
    admins = house.broker.admin.admins
    token = (await admins.add(AdminAdd(name="zoë", role="admin"))).token
    callers = BearerCallers(house.core)
    await callers(with_header(f"Bearer {token}"))
    await admins.revoke("zoë")
    statuses = []
    for _ in range(2):
        with pytest.raises(RequestFailed) as failed:
            await callers(with_header(f"Bearer {token}"))
        statuses.append(failed.value.problem.status)
    assert statuses == [401, 429]


@in_house()
async def test_only_so_many_tokens_are_remembered(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers_module, "_TOKENS_REMEMBERED", 2)
    callers = BearerCallers(house.core)
    for number in range(4):
        token = (await house.broker.admin.admins.add(AdminAdd(name=f"a{number}", role="read"))).token
        await callers(with_header(f"Bearer {token}"))
    assert len(vars(callers)["_right"]) == 2
