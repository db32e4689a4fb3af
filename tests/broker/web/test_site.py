"""What is at which path of the web listener, with what headers, and to whom the admin API is open there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
import trio
import trio.testing

import roost_web
from broker.house import House, in_house
from broker.http.speaking import Peer, request
from broker.web.wires import WebPeer
from roost_broker.audit import AuditLog
from roost_broker.config import Config
from roost_broker.http.admin import AdminApi
from roost_broker.http.server import IDLE_KEPT_S
from roost_broker.offload import InlineOffload
from roost_broker.readiness import ReadinessCheck
from roost_broker.transport.memory import MemoryListener
from roost_broker.web.door import WebDoor, web_callers
from roost_broker.web.site import CSP
from roost_protocol.limits import Limits


class Web(NamedTuple):
    """A web listener with an admin API behind it."""

    listener: MemoryListener
    door: WebDoor

    async def dial(self, host: str = "127.0.0.1") -> Peer:
        """A new connection."""
        return Peer(await self.listener.dial(host))


@asynccontextmanager
async def web(house: House, folder: Path, **values: object) -> AsyncIterator[Web]:
    """The web listener of a house as it would be with these values, and its own pages."""
    house.core.config = msgspec.structs.replace(house.core.config, **values)
    audit = AuditLog(folder / "audit.log", InlineOffload(), house.core.now_ms)
    api = AdminApi(house.broker.admin, web_callers(house.core), audit, ReadinessCheck(house.core, audit))
    listener = MemoryListener()
    door = WebDoor(house.core, house.broker.server, api)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(door.serve, listener)
        yield Web(listener, door)
        nursery.cancel_scope.cancel()
    audit.close()


@pytest.fixture(autouse=True)
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pages of our own, so that it does not matter what stands in the real ones."""
    root = tmp_path / "web"
    for name in ("chat", "console", "sdk"):
        (root / name).mkdir(parents=True)
    (root / "chat/index.html").write_text("<!doctype html><p>chat")
    (root / "console/index.html").write_text("<!doctype html><p>console")
    (root / "sdk/roost.js").write_text("export {};")
    monkeypatch.setattr(roost_web, "FILES", root)
    return root


@in_house()
async def test_a_page_and_the_headers_that_go_with_it(house: House, tmp_path: Path) -> None:
    async with web(house, tmp_path) as site:
        peer = await site.dial()
        answer = await peer.ask("GET", "/?x=1")
        assert (answer.status, answer.body) == (200, b"<!doctype html><p>chat")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["content-security-policy"] == CSP
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-cache"
        head = await peer.ask("HEAD", "/")
        assert (head.status, head.headers["content-length"]) == (200, str(len(answer.body)))
        known = await peer.ask("GET", "/", if_none_match=answer.headers["etag"])
        assert (known.status, known.body) == (304, b"")
        assert known.headers["etag"] == answer.headers["etag"]
        assert "content-length" not in known.headers
        assert (await peer.ask("GET", "/", if_none_match='"other"')).status == 200
        assert (await peer.ask("GET", "/sdk/roost.js")).body == b"export {};"
        assert (await peer.ask("GET", "/console")).body == b"<!doctype html><p>console"


def test_the_policy_lets_nothing_in_that_is_not_ours() -> None:
    allowed = dict(part.split(" ", 1) for part in CSP.split("; "))
    assert allowed["default-src"] == "'none'"
    assert allowed["script-src"] == "'self'"
    assert "unsafe" not in CSP
    assert allowed["report-uri"] == "/csp-report"


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/chat/%2e%2e/%2e%2e/etc/passwd", 404),
        ("GET", "/chat/../../pyproject.toml", 404),
        ("GET", "/chat\\..\\index.html", 404),
        ("GET", "//chat/index.html", 404),
        ("GET", "http://roost/../x", 404),
        ("GET", "/v1/status", 404),
        ("GET", "/v1/openapi.json", 404),
        ("POST", "/", 405),
        ("DELETE", "/sdk/roost.js", 405),
        ("GET", "/csp-report", 405),
        ("POST", "/livez", 405),
        ("GET", "/metrics", 401),
        ("OPTIONS", "/", 405),
    ],
)
@in_house()
async def test_what_is_not_there(house: House, tmp_path: Path, method: str, target: str, status: int) -> None:
    async with web(house, tmp_path) as site:
        answer = await (await site.dial()).ask(method, target)
        assert answer.status == status
        assert answer.headers["content-security-policy"] == CSP
        assert answer.headers["content-type"] == "application/problem+json"


@in_house()
async def test_health_is_said_to_anybody(house: House, tmp_path: Path) -> None:
    async with web(house, tmp_path) as site:
        peer = await site.dial("192.0.2.1")
        assert (await peer.ask("GET", "/livez")).json == {"alive": True}
        assert (await peer.ask("GET", "/readyz")).status == 200


@in_house()
async def test_the_admin_api_is_there_if_it_is_to_be(house: House, tmp_path: Path) -> None:
    async with web(house, tmp_path, web_admin=True, web_admin_loopback="read") as site:
        here, away = await site.dial(), await site.dial("192.0.2.1")
        assert (await here.ask("GET", "/v1/status", host="localhost:1")).json["users"] == 3
        assert (await here.ask("GET", "/metrics", host="localhost:1")).status == 200
        assert (await here.ask("POST", "/v1/users", b"{}", host="localhost:1")).status == 403
        assert (await here.ask("GET", "/v1/status", host="evil.example")).status == 403
        assert (await away.ask("GET", "/v1/status", host="localhost:1")).status == 401


@in_house()
async def test_strangers_have_little_to_say(house: House, tmp_path: Path) -> None:
    async with web(house, tmp_path) as site:
        report = await (await site.dial()).ask("POST", "/csp-report", b"{}")
        assert (report.status, report.body, "content-length" in report.headers) == (204, b"", False)
        assert house.core.metrics.web.csp_reports == {"other": 1}
        for target, size in (("/csp-report", 16_385), ("/", 1), ("/v1/users", 1), ("/ws", 1)):
            assert (await (await site.dial()).ask("POST", target, b"x" * size)).status == 413


@in_house(limits={"web_connections_max": 3, "http_timeout_s": 600})
async def test_whoever_asks_for_nothing_gives_his_place_to_who_does(house: House, tmp_path: Path) -> None:
    async with web(house, tmp_path) as site:
        idle = [await site.dial() for _ in range(2)]
        await trio.sleep(1)
        kept = await site.dial()
        assert (await kept.ask("GET", "/")).status == 200
        await trio.testing.wait_all_tasks_blocked()
        assert (await (await site.dial()).ask("GET", "/")).status == 200
        await idle[0].expect_end()
        assert (await kept.ask("GET", "/")).status == 200
        begun = trio.current_time()
        busy = [await site.dial() for _ in range(8)]
        for each in busy:
            assert (await each.ask("GET", "/")).status == 200, "everybody gets his turn"
        assert trio.current_time() - begun < 10 * IDLE_KEPT_S


@pytest.mark.parametrize("how", ["head", "body", "answer"])
@in_house(limits={"web_connections_max": 2, "http_timeout_s": 600})
async def test_whoever_keeps_the_broker_waiting_keeps_nobody_else_waiting(
    house: House, tmp_path: Path, pages: Path, how: str
) -> None:
    (pages / "sdk/large.js").write_bytes(b"x" * 1_000_000)
    said = {
        "head": b"GET / HTTP/1.1\r\nhost: x\r\n",
        "body": request("POST", "/csp-report", None, content_length="100") + b"{",
        "answer": request("GET", "/sdk/large.js"),
    }[how]
    async with web(house, tmp_path) as site:
        for _ in range(2):
            await (await site.dial()).send(said)
        begun = trio.current_time()
        for _ in range(3):
            assert (await (await site.dial()).ask("GET", "/")).status == 200
        assert trio.current_time() - begun < 5 * IDLE_KEPT_S


@in_house(limits={"web_connections_max": 1})
async def test_a_websocket_takes_no_place_of_http(house: House, tmp_path: Path) -> None:
    async with web(house, tmp_path) as site:
        for n in range(3):
            peer = WebPeer(await site.listener.dial())
            assert (await peer.open()).status == 101
            await trio.testing.wait_all_tasks_blocked()
            assert house.broker.server.connections == n + 1


def test_the_limits_fit_together() -> None:
    assert Limits().web_connections_max >= Limits().http_connections_max
    assert not Config().web_listen
