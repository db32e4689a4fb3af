"""The admin API: its routes on a whole broker, and an answer of the right kind to whatever else is asked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from broker.house import House, in_house
from broker.http.admin_door import acting, admin_door
from broker.http.speaking import Peer
from roost_broker.store import CommitRefused
from roost_protocol.admin.admins import ADMINS_ADD, ADMINS_LIST, ADMINS_REVOKE, WHOAMI
from roost_protocol.admin.config import CONFIG_SHOW
from roost_protocol.admin.devices import DEVICES_FORGET, DEVICES_LIST, TOKENS_LIST, TOKENS_REVOKE
from roost_protocol.admin.erase import ERASE
from roost_protocol.admin.export import EXPORT
from roost_protocol.admin.groups import GROUPS_CHANGE, GROUPS_CREATE, GROUPS_DELETE, GROUPS_LIST, GROUPS_OF, GROUPS_SHOW
from roost_protocol.admin.health import HEALTH
from roost_protocol.admin.inbox import INBOX_BODIES, INBOX_SHOW, INBOX_STAT
from roost_protocol.admin.messages import MESSAGES_SEND
from roost_protocol.admin.relations import (
    BLOCKS_ADD,
    BLOCKS_LIST,
    BLOCKS_REMOVE,
    CONTACTS_ADD,
    CONTACTS_LIST,
    CONTACTS_REMOVE,
)
from roost_protocol.admin.retention import RETENTION_RUN, RETENTION_SHOW
from roost_protocol.admin.route import Caller, Problem, Route
from roost_protocol.admin.sessions import SESSIONS_KICK, SESSIONS_LIST
from roost_protocol.admin.status import STATUS
from roost_protocol.admin.table import ROUTES
from roost_protocol.admin.users import (
    USERS_CREATE,
    USERS_DISABLE,
    USERS_ENABLE,
    USERS_LIST,
    USERS_PASSWORD,
    USERS_REMOVE,
    USERS_SHOW,
)
from roost_protocol.reasons import Reason


@asynccontextmanager
async def api(house: House) -> AsyncIterator[Peer]:
    """A connection to the admin API of the house, for somebody who may everything."""
    async with admin_door(house) as door:
        yield door.dial()


def body(**values: Any) -> bytes:
    return msgspec.json.encode(values)


@in_house()
async def test_every_route_has_an_act_and_is_answered_as_the_table_says(house: House) -> None:
    await house.log_in("alice", "pc")
    asked: list[tuple[Route[Any], str, bytes | None]] = [
        (STATUS, "/v1/status", None),
        (USERS_LIST, "/v1/users", None),
        (USERS_CREATE, "/v1/users", body(name="dave", password="x")),
        (SESSIONS_LIST, "/v1/sessions", None),
        (SESSIONS_KICK, "/v1/sessions/kick", body(user="alice", terminal="pc", text="bye")),
        (GROUPS_CREATE, "/v1/groups", body(name="Schach ♟", owner="alice", members=["bob"])),
        (GROUPS_LIST, "/v1/groups", None),
        (GROUPS_CHANGE, "/v1/groups/Schach%20%E2%99%9F/members", body(add=["carol"], remove=["alice"])),
        (ADMINS_ADD, "/v1/admins", body(name="Zoë", role="read")),
        (ADMINS_LIST, "/v1/admins", None),
        (ADMINS_REVOKE, "/v1/admins/Zo%C3%AB", None),
        (WHOAMI, "/v1/whoami", None),
        (CONFIG_SHOW, "/v1/config", None),
        (GROUPS_OF, "/v1/users/bob/groups", None),
        (GROUPS_SHOW, "/v1/groups/Schach%20%E2%99%9F", None),
        (GROUPS_DELETE, "/v1/groups/Schach%20%E2%99%9F", None),
        (USERS_SHOW, "/v1/users/alice", None),
        (USERS_PASSWORD, "/v1/users/alice/password", body(password="new", log_out=True)),
        (USERS_DISABLE, "/v1/users/alice/disable", None),
        (USERS_ENABLE, "/v1/users/alice/enable", None),
        (DEVICES_LIST, "/v1/users/alice/devices", None),
        (TOKENS_LIST, "/v1/tokens?user=alice", None),
        (TOKENS_REVOKE, "/v1/users/alice/devices/alice-pc/token", None),
        (DEVICES_FORGET, "/v1/users/alice/devices/alice-pc", None),
        (CONTACTS_ADD, "/v1/users/alice/contacts/bob", None),
        (CONTACTS_LIST, "/v1/users/alice/contacts", None),
        (CONTACTS_REMOVE, "/v1/users/alice/contacts/bob", None),
        (BLOCKS_ADD, "/v1/users/alice/blocks/bob", None),
        (BLOCKS_LIST, "/v1/users/alice/blocks", None),
        (BLOCKS_REMOVE, "/v1/users/alice/blocks/bob", None),
        (USERS_REMOVE, "/v1/users/dave", None),
        (INBOX_SHOW, "/v1/users/alice/inbox?from=1&to=9&newest=3&conversation=user/bob", None),
        (INBOX_BODIES, "/v1/users/alice/inbox/bodies", None),
        (INBOX_STAT, "/v1/users/alice/inbox/stat?conversations=1", None),
        (MESSAGES_SEND, "/v1/messages", body(**{"from": "carol", "to": "user/bob", "text": "hi"})),
        (RETENTION_SHOW, "/v1/retention", None),
        (RETENTION_RUN, "/v1/retention/run", None),
        (HEALTH, "/v1/health", None),
        (EXPORT, "/v1/users/alice/export", None),
        (ERASE, "/v1/users/alice/erase", None),
    ]
    assert set(house.broker.admin.acts) == set(ROUTES)
    answers: dict[Route[Any], Any] = {}
    for route, target, sent in asked:
        async with api(house) as peer:
            answer = await peer.ask(route.method, target, sent)
            assert answer.status == 200, answer
            if route.streams:
                last = b'"step":"done"' if route is ERASE else b'"kind":"end"'
                assert last in (await peer.rest()).rpartition(b"data: ")[2]
                continue
            answers[route] = msgspec.json.decode(answer.body, type=route.gives)
    assert answers[STATUS].sessions == 1
    assert (answers[WHOAMI].name, answers[WHOAMI].role) == ("admin", "admin")
    assert answers[GROUPS_OF].groups == ("Schach ♟",)
    assert answers[SESSIONS_KICK].terminals == ("pc",)
    assert answers[GROUPS_CHANGE].members == ("bob", "carol")


@in_house()
async def test_what_a_house_cannot_do(house: House) -> None:
    async with api(house) as peer:
        for target, sent in (("/v1/backup", body(folder="/b")), ("/v1/reload", body()), ("/v1/drain", body())):
            answer = await peer.ask("POST", target, sent)
            assert (answer.status, bool(answer.json["detail"])) == (422, True)


@in_house()
async def test_lists_come_in_pages(house: House) -> None:
    async with api(house) as peer:
        page = (await peer.ask("GET", "/v1/users?limit=2")).json
        assert ([row["name"] for row in page["users"]], page["next"]) == (["alice", "bob"], "bob")
        page = (await peer.ask("GET", "/v1/users?limit=2&after=bob")).json
        assert ([row["name"] for row in page["users"]], page["next"]) == (["carol"], None)
        page = (await peer.ask("GET", "/v1/users?after=%C3%BF%00&limit=1&&")).json
        assert page["users"] == []


@in_house()
async def test_head_is_get_without_a_body(house: House) -> None:
    async with api(house) as peer:
        size = len((await peer.ask("GET", "/v1/users")).body)
        answer = await peer.ask("HEAD", "/v1/users")
        assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", str(size))
        assert (await peer.ask("HEAD", "/nothing")).status == 404


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1", 404),
        ("GET", "/v1/users/", 404),
        ("GET", "//v1/status/../x", 404),
        ("GET", "//[", 400),
        ("GET", "http://[/v1/status", 400),
        ("GET", "/v1/groups/a/b/members", 404),
        ("OPTIONS", "*", 404),
        ("GET", "/v1/\0", 400),
        ("DELETE", "/v1/users", 405),
        ("PUT", "/v1/status", 405),
        ("POST", "/v1/sessions", 405),
        ("HEAD", "/v1/sessions/kick", 405),
        ("GET", "/v1/groups/g/members", 405),
        ("CONNECT", "/v1/status", 405),
        ("GET", "/v1/users?limit=0", 400),
        ("GET", "/v1/users?limit=-1", 400),
        ("GET", "/v1/users?limit=abc", 400),
        ("GET", "/v1/users?limit=", 400),
        ("GET", "/v1/users?limit=1.5", 400),
        ("GET", "/v1/users?limit=%D9%A3", 400),
        ("GET", f"/v1/users?limit={'9' * 5_000}", 400),
        ("GET", f"/v1/users?after={'x' * 101}", 400),
        ("GET", f"/v1/groups?after={'%C3%BC' * 100}", 200),
        ("GET", f"/v1/sessions?after={'x' * 100}", 200),
        ("GET", "/v1/users?nothing=1", 400),
        ("GET", "/v1/users?limit=NaN", 400),
        ("GET", "/v1/users?limit=null", 400),
        ("GET", "/v1/users?limit=true", 400),
        ("GET", f"/v1/users?limit={2**63}", 400),
        ("GET", f"/v1/users?limit=-{2**63}", 400),
        ("GET", f"/v1/users?limit={2**64}", 400),
        ("GET", "/v1/users?limit=1&limit=1", 400),
        ("GET", "/v1/users?after=a&after=b", 400),
        ("GET", "/v1/users?after=%FF", 400),
        ("GET", "/v1/users?after=%00", 200),
        ("GET", "/v1/users?&&=", 400),
        ("GET", "/v1/status?x=1", 400),
        ("GET", "/v1/users?" + "&".join(f"k{n}=" for n in range(1_500)), 400),
        ("GET", "/" + "a/" * 5_000, 404),
        ("GET", "/v1/users/../status", 404),
        ("GET", "/v1/%75sers", 404),
        ("GET", "/v1/users%00", 404),
        ("POST", "/v1/openapi.json", 405),
        ("POST", "/livez", 405),
        ("GET", "/livez/", 404),
        ("GET", "/v1/users/nobody/inbox", 404),
        ("GET", "/v1/users/nobody/inbox/tail", 404),
        ("GET", "/v1/users/alice/inbox?from=0", 400),
        ("GET", "/v1/users/alice/inbox?from=5&to=4", 400),
        ("GET", f"/v1/users/alice/inbox?to={2**53}", 400),
        ("GET", "/v1/users/alice/inbox?newest=10001", 400),
        ("GET", "/v1/users/alice/inbox?conversation=bob", 400),
        ("GET", "/v1/users/alice/inbox?conversation=nobody/x", 400),
        ("GET", "/v1/users/alice/inbox?conversation=user/nobody", 404),
        ("GET", "/v1/users/alice/inbox?conversation=group/nothing", 404),
        ("GET", "/v1/users/alice/inbox/tail?after=1", 404),
        ("GET", "/v1/users/alice/inbox/stat?conversations=0", 400),
        ("GET", "/v1/retention/plan?user=nobody", 404),
        ("POST", "/v1/health", 405),
    ],
)
@in_house()
async def test_what_cannot_be_asked_is_told_so(
    house: House, method: str, target: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with api(house) as peer:
        answer = await peer.ask(method, target)
        assert answer.status == status
        if status >= 400 and method != "HEAD":
            assert answer.headers["content-type"] == "application/problem+json"
            problem = msgspec.json.decode(answer.body, type=Problem)
            assert (problem.status, bool(problem.title), bool(problem.detail)) == (status, True, True)
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"name": "x"}',
        b'{"name": 5, "password": "x"}',
        b'{"name": "x", "password": null}',
        b'{"name": "x", "password": ""}',
        b'{"name": "", "password": "x"}',
        b'{"name": "x", "password": "\xff"}',
        b'{"name": "x", "password": "\\ud800"}',
        b'{"name": "' + b"x" * 65 + b'", "password": "x"}',
        b"[" * 50_000,
        b'{"x":' * 50_000,
        "\ufeff{}".encode(),
        b'{"name": "x", "password": "y", "name": "z"}',
        b'{"name": "x", "password": "y", "\\u006eame": "z"}',
        b'{"name": "x", "password": NaN}',
        b'{"name": "x", "password": 1e999}',
        b'{"name": "x", "password": ' + b"9" * 50_000 + b"}",
        b'{"name": "x", "password": ["y"]}',
        b'{"name": "x", "password": "y", "more": 1}',
        b'{"name": "x", "password": "y"} {}',
        b"NaN",
        b"-9223372036854775809",
    ],
)
@in_house()
async def test_a_body_that_does_not_fit_is_told_so(house: House, sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with api(house) as peer:
        answer = await peer.ask("POST", "/v1/users", sent)
        assert answer.status == 400, answer
        assert answer.json["detail"].startswith("the body")
        assert (await peer.ask("GET", "/v1/status")).json["users"] == 3
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
@in_house()
async def test_only_json_is_taken(house: House, content_type: str) -> None:
    """So that no page in a browser can post a form here."""
    async with api(house) as peer:
        sent = body(name="dave", password="x")
        assert (await peer.ask("POST", "/v1/users", sent, content_type=content_type)).status == 415
        answer = await peer.ask("POST", "/v1/users", sent, content_type="Application/JSON; charset=utf-8")
        assert answer.status == 200


@pytest.mark.parametrize(
    ("target", "sent", "status"),
    [
        ("/v1/users", {"name": "alice", "password": "x"}, 409),
        ("/v1/users", {"name": "a/b", "password": "x"}, 422),
        ("/v1/users", {"name": "dave", "password": "ä" * 200}, 422),
        ("/v1/sessions/kick", {"user": "nobody"}, 404),
        ("/v1/sessions/kick", {"user": "alice"}, 404),
        ("/v1/sessions/kick", {"user": "alice", "terminal": "x" * 64}, 404),
        ("/v1/sessions/kick", {"user": "alice", "terminal": ""}, 404),
        ("/v1/groups", {"name": "g", "owner": "nobody"}, 404),
        ("/v1/groups", {"name": "g", "owner": "alice", "members": ["nobody"]}, 404),
        ("/v1/groups", {"name": "\u200b", "owner": "alice"}, 422),
        ("/v1/groups/nothing/members", {"add": ["alice"]}, 404),
        ("/v1/groups/%00%2F%C3%BF/members", {"add": ["alice"]}, 404),
        ("/v1/groups/%00%2F%FF/members", {"add": ["alice"]}, 400),
        ("/v1/groups/%ED%A0%80/members", {"add": ["alice"]}, 400),
        ("/v1/groups/g/members", {"add": ["alice"] * 257}, 400),
        ("/v1/admins", {"name": "a/b", "role": "read"}, 422),
        ("/v1/admins", {"name": "a", "role": "root"}, 400),
        ("/v1/admins", {"name": "a", "role": None}, 400),
        (f"/v1/groups/{'x' * 5_000}/members", {"add": ["alice"]}, 404),
        ("/v1/messages", {"from": "nobody", "to": "user/bob", "text": ""}, 404),
        ("/v1/messages", {"from": "alice", "to": "user/nobody", "text": ""}, 404),
        ("/v1/messages", {"from": "alice", "to": "bob", "text": ""}, 400),
        ("/v1/messages", {"from": "alice", "to": "user/bob"}, 400),
        ("/v1/messages", {"from": "alice", "to": "user/bob", "text": "", "data": ""}, 400),
        ("/v1/messages", {"from": "alice", "to": "user/bob", "text": "", "type": "\n"}, 400),
        ("/v1/messages", {"from": "alice", "to": "user/bob", "text": "x" * 131_073}, 413),
    ],
)
@in_house()
async def test_what_cannot_be_done_is_told_so(
    house: House, target: str, sent: dict[str, Any], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with api(house) as peer:
        answer = await peer.ask("POST", target, msgspec.json.encode(sent))
        assert answer.status == status, answer
        assert answer.json["detail"]
    assert not [record for record in caplog.records if record.exc_info]


@in_house()
async def test_a_store_without_room_is_507(house: House) -> None:
    async with api(house) as peer:
        house.store.faults.append(CommitRefused("full", Reason.QUOTA_EXCEEDED))
        assert (await peer.ask("POST", "/v1/users", body(name="dave", password="x"))).status == 507
        assert (await peer.ask("POST", "/v1/users", body(name="dave", password="x"))).status == 200


@in_house()
async def test_a_password_is_never_said_again(house: House, caplog: pytest.LogCaptureFixture) -> None:
    async with api(house) as peer:
        secret = "correct horse"
        answers = [
            await peer.ask("POST", "/v1/users", body(name=name, password=secret)) for name in ("dave", "dave", "a/b")
        ]
        answers.append(await peer.ask("POST", "/v1/users", body(name=5, password=secret)))
    assert not [answer for answer in answers if secret.encode() in answer.body]
    assert secret not in caplog.text


@in_house()
async def test_whoever_asks_is_told_who_he_is(house: House) -> None:
    async with admin_door(house, acting(Caller(name="zoe", role="read", address="192.0.2.7:99"))) as door:
        answer = await door.dial().ask("GET", "/v1/whoami")
        assert (answer.status, answer.json) == (200, {"name": "zoe", "role": "read", "address": "192.0.2.7:99"})
        assert door.audited() == []
