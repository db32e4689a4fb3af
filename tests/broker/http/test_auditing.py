"""Who may ask what over HTTP, and that every act that has to be is in the audit log before it is answered."""

import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import msgspec
import pytest
import trio

from broker.house import START_MS, House, in_house
from broker.http.admin_door import acting, admin_door
from broker.http.speaking import Peer
from broker.http.test_admin import body
from roost_broker.http.callers import BearerCallers, Callers
from roost_broker.http.server import Request, RequestFailed
from roost_broker.store import CommitRefused
from roost_protocol.admin.admins import AdminAdd
from roost_protocol.admin.health import Alive, Readiness
from roost_protocol.admin.route import ROLES, Caller, Role, Route
from roost_protocol.admin.table import ROUTES
from roost_protocol.admin.users import USERS_LIST


def zoe(role: Role) -> Callers:
    return acting(Caller(name="zoë", role=role, address="192.0.2.7:99"))


def example(path: str) -> str:
    return path.replace("{", "").replace("}", "")


# --- who may what ---


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
@in_house()
async def test_every_route_asks_for_its_role(house: House, route: Any) -> None:
    for role in ROLES[: ROLES.index(route.role)]:
        async with admin_door(house, zoe(role)) as door:
            peer = door.dial()
            answer = await peer.ask(route.method, example(route.path), b"{}")
            assert answer.status == 403
            assert f"zoë has the role {role}" in answer.json["detail"]
            assert f'error="insufficient_scope", scope="{route.role}"' in answer.headers["www-authenticate"]
            (line,) = door.audited()
            assert (line["who"], line["role"], line["result"]["status"]) == ("zoë", role, 403)


@in_house()
async def test_a_token_lets_in_and_nothing_else_does(house: House) -> None:
    token = (await house.broker.admin.admins.add(AdminAdd(name="zoë", role="read"))).token
    async with admin_door(house, BearerCallers(house.core)) as door:
        peer = door.dial()
        for target in ("/v1/status", "/v1/openapi.json", "/nothing"):
            answer = await peer.ask("GET", target)
            assert answer.status == 401, "not even what there is"
            assert answer.headers["www-authenticate"] == 'Bearer realm="roost"'
        assert (await peer.ask("GET", "/v1/status", authorization=f"Bearer {token}x")).status == 401
        assert (await peer.ask("GET", "/v1/status", authorization=f"Bearer {token}")).status == 200
        assert (await peer.ask("GET", "/nothing", authorization=f"Bearer {token}")).status == 404
        asked = body(name="dave", password="x")
        assert (await peer.ask("POST", "/v1/users", asked, authorization=f"Bearer {token}")).status == 403
        assert [line["who"] for line in door.audited()] == ["zoë"], "strangers cannot fill the log"


@in_house()
async def test_the_document_is_served_to_whoever_may_look(house: House) -> None:
    async with admin_door(house, zoe("read")) as door:
        peer = door.dial()
        answer = await peer.ask("GET", "/v1/openapi.json")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert answer.json["openapi"] == "3.1.0"
        assert (await peer.ask("GET", USERS_LIST.path)).status == 200


# --- health ---


async def nobody(_: Request) -> Caller:
    raise RequestFailed(401, "Unauthorized", "nobody may")


@in_house()
async def test_health_is_told_to_anybody(house: House) -> None:
    async with admin_door(house, nobody) as door:
        peer = door.dial()
        assert (await peer.ask("GET", "/v1/status")).status == 401
        answer = await peer.ask("GET", "/livez")
        assert (answer.status, msgspec.json.decode(answer.body, type=Alive)) == (200, Alive())
        answer = await peer.ask("GET", "/readyz")
        assert (answer.status, msgspec.json.decode(answer.body, type=Readiness)) == (200, Readiness(ready=True))
        assert (await peer.ask("HEAD", "/readyz")).status == 200
        await house.core.drain()
        answer = await peer.ask("GET", "/readyz")
        assert answer.status == 503
        assert answer.json == {"ready": False, "reasons": [{"reason": "draining", "text": "the broker shuts down"}]}
        assert (await peer.ask("GET", "/livez")).status == 200
        for target in ("/livez", "/readyz"):
            refused = await peer.ask("POST", target, b"{}")
            assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


# --- the log ---


@in_house()
async def test_an_act_is_in_the_log_with_all_that_it_was(house: House) -> None:
    async with admin_door(house, zoe("admin")) as door:
        peer = door.dial()
        assert (await peer.ask("POST", "/v1/users", body(name="dave", password="correct horse"))).status == 200
        await peer.ask("POST", "/v1/groups", body(name="a b", owner="alice"))
        assert (await peer.ask("POST", "/v1/groups/a%20b/members", body(add=["dave"], remove=["bob"]))).status == 200
        lines = door.audited()
    assert lines[0] == {
        "time": lines[0]["time"],
        "who": "zoë",
        "role": "admin",
        "address": "192.0.2.7:99",
        "route": "POST /v1/users",
        "names": [],
        "query": None,
        "body": {"name": "dave", "password": "…"},
        "result": "done",
    }
    assert START_MS / 1000 < datetime.fromisoformat(lines[0]["time"]).timestamp() < START_MS / 1000 + 1
    assert (lines[2]["route"], lines[2]["names"]) == ("POST /v1/groups/{group}/members", ["a b"])
    assert lines[2]["body"] == {"add": ["dave"], "remove": ["bob"]}


@in_house()
async def test_looking_is_not_in_it(house: House) -> None:
    async with admin_door(house, zoe("admin")) as door:
        peer = door.dial()
        for target in ("/v1/status", "/v1/users", "/v1/openapi.json", "/readyz", "/nothing"):
            await peer.ask("GET", target)
        assert door.audited() == []


@pytest.mark.parametrize(
    ("target", "sent", "status", "kept"),
    [
        ("/v1/users", {"name": "alice", "password": "correct horse"}, 409, {"name": "alice", "password": "…"}),
        ("/v1/users", {"name": 5, "password": "correct horse"}, 400, None),
        ("/v1/groups/g%FF/members", {"add": ["alice"]}, 400, None),
        ("/v1/groups/g/members", {"add": ["alice"]}, 404, {"add": ["alice"], "remove": []}),
    ],
)
@in_house()
async def test_what_is_refused_is_in_it_with_the_reason(
    house: House, target: str, sent: dict[str, Any], status: int, kept: Any
) -> None:
    async with admin_door(house, zoe("operate")) as door:
        peer = door.dial()
        answer = await peer.ask("POST", target, msgspec.json.encode(sent))
        assert answer.status == status
        (line,) = door.audited()
        assert (line["result"], line["body"]) == (answer.json, kept)
        assert "correct horse" not in door.path.read_text()


@in_house()
async def test_a_token_is_never_in_it(house: House) -> None:
    async with admin_door(house, zoe("admin")) as door:
        peer = door.dial()
        answer = await peer.ask("POST", "/v1/admins", body(name="ann", role="read"))
        assert answer.json["token"]
        assert answer.json["token"] not in door.path.read_text()
        assert door.audited()[0]["body"] == {"name": "ann", "role": "read"}


@in_house(commit_s=40)
async def test_what_is_cut_short_is_not_known(house: House) -> None:
    async with admin_door(house, zoe("admin")) as door:
        peer = door.dial()
        await peer.send(b"POST /v1/groups HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n")
        sent = body(name="g", owner="alice")
        await peer.send(b"content-length: %d\r\n\r\n" % len(sent) + sent)
        await peer.expect_end()
        (line,) = door.audited()
        assert line["result"].startswith("unknown: it took too long")


@in_house()
async def test_a_defect_is_in_it(house: House, caplog: pytest.LogCaptureFixture) -> None:
    async with admin_door(house, zoe("admin")) as door:
        peer = door.dial()
        house.store.faults.append(CommitRefused("full"))
        assert (await peer.ask("POST", "/v1/groups", body(name="g", owner="alice"))).status == 507

        def account(name: str) -> None:
            raise ZeroDivisionError

        vars(house.store)["account"] = account
        assert (await peer.ask("POST", "/v1/groups", body(name="g", owner="alice"))).status == 500
        assert [type(line["result"]) for line in door.audited()] == [dict, str]
        assert door.audited()[1]["result"].startswith("unknown: it failed")
    assert "ZeroDivisionError" in caplog.text


async def users_of(peer: Peer) -> int:
    return int((await peer.ask("GET", "/v1/status")).json["users"])


@in_house()
async def test_nothing_is_changed_while_it_cannot_be_written(house: House) -> None:
    async with admin_door(house, zoe("admin")) as door:
        peer = door.dial()
        door.path.unlink()
        door.path.mkdir()
        answer = await peer.ask("POST", "/v1/users", body(name="dave", password="x"))
        assert (answer.status, "it was done, but is not audited" in answer.json["detail"]) == (500, True)
        answer = await peer.ask("POST", "/v1/users", body(name="erin", password="x"))
        assert (answer.status, "nothing is changed now" in answer.json["detail"]) == (503, True)
        assert await users_of(peer) == 4, "dave, and not erin; looking is not held up"
        assert (await peer.ask("GET", "/readyz")).json["reasons"][0]["reason"] == "audit log"
        door.path.rmdir()
        assert (await peer.ask("POST", "/v1/users", body(name="erin", password="x"))).status == 200
        assert [line["body"]["name"] for line in door.audited()] == ["dave", "erin"]
        assert (await peer.ask("GET", "/readyz")).status == 200


# --- streams ---


TICKS = Route(method="GET", path="/v1/ticks", summary="Something now and then", gives=Alive, streams=True)


@in_house()
async def test_events_end_when_the_token_of_whoever_is_told_is_revoked(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    admins = house.broker.admin.admins
    token = (await admins.add(AdminAdd(name="zoë", role="read"))).token
    ended = trio.Event()

    async def ticking() -> AsyncIterator[Alive]:
        try:
            while True:
                await trio.sleep(0.4)
                yield Alive()
        finally:
            ended.set()

    async def ticks() -> AsyncIterator[Alive]:
        return ticking()

    house.broker.admin.acts[TICKS] = ticks
    monkeypatch.setattr("roost_broker.http.admin._PATTERNS", ((re.compile(TICKS.path), TICKS),))
    async with admin_door(house, BearerCallers(house.core)) as door:
        peer = door.dial()
        await peer.send(f"GET {TICKS.path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n".encode())
        assert (await peer.answer()).status == 200
        await trio.sleep(10)
        assert not ended.is_set()
        await admins.revoke("zoë")
        with trio.fail_after(10):
            assert (await peer.rest()).endswith(b"0\r\n\r\n")
        assert ended.is_set()
