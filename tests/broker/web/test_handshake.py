"""Who gets a WebSocket, and who is told why not."""

import pytest

from broker.house import House, in_house
from broker.web.wires import ACCEPT, KEY, WebPeer, handshake
from roost_protocol.websocket import BINARY, JSON


async def peer_of(house: House) -> WebPeer:
    return WebPeer(await house.web.dial())


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (BINARY, BINARY),
        (JSON, JSON),
        (f"{JSON}, {BINARY}", JSON),
        (f"chat,{BINARY} , {JSON}", BINARY),
        (f"{BINARY}\r\nsec-websocket-protocol: {JSON}", BINARY),
        (f"chat\r\nsec-websocket-protocol: {JSON}", JSON),
    ],
)
@in_house(web=True)
async def test_the_first_sub_protocol_of_ours_is_spoken(house: House, offered: str, chosen: str) -> None:
    answer = await (await peer_of(house)).open(offered)
    assert (answer.status, answer.headers["sec-websocket-protocol"]) == (101, chosen)
    assert answer.headers["sec-websocket-accept"] == ACCEPT
    assert answer.headers["upgrade"] == "websocket"
    assert answer.headers["connection"].lower() == "upgrade"
    assert house.core.metrics.web.handshakes == {chosen: 1}


@in_house(web=True)
async def test_no_extension_is_accepted(house: House) -> None:
    """One that compresses has no bound on what comes out."""
    answer = await (await peer_of(house)).open(sec_websocket_extensions="permessage-deflate; client_max_window_bits")
    assert answer.status == 101
    assert "sec-websocket-extensions" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"upgrade": "WebSocket"},
        {"connection": "keep-alive, Upgrade"},
        {"upgrade": "h2c, websocket"},
        {"origin": "http://roost"},
        {"origin": "HTTP://ROOST"},
        {"origin": "https://roost", "host": "roost:443"},
        {"origin": "http://[::1]:7380", "host": "[::1]:7380"},
        {"origin": "https://chat.example.com"},
    ],
)
@in_house(web=True, web_origins=("https://chat.example.com",))
async def test_what_is_allowed(house: House, headers: dict[str, str]) -> None:
    answer = await (await peer_of(house)).open(**headers)
    assert answer.status == 101, answer


@pytest.mark.parametrize(
    ("headers", "status", "why"),
    [
        ({"upgrade": ""}, 426, "headers"),
        ({"upgrade": "h2c"}, 426, "headers"),
        ({"connection": ""}, 400, "headers"),
        ({"connection": "keep-alive"}, 400, "headers"),
        ({"sec_websocket_version": ""}, 426, "version"),
        ({"sec_websocket_version": "8"}, 426, "version"),
        ({"sec_websocket_key": ""}, 400, "headers"),
        ({"sec_websocket_key": "x"}, 400, "headers"),
        ({"sec_websocket_key": KEY[:-4]}, 400, "headers"),
        ({"sec_websocket_key": "ü" * 24}, 400, "headers"),
        ({"sec_websocket_protocol": ""}, 400, "sub_protocol"),
        ({"sec_websocket_protocol": "chat, mqtt"}, 400, "sub_protocol"),
        ({"sec_websocket_protocol": BINARY.upper()}, 400, "sub_protocol"),
        ({"origin": "http://evil.example"}, 403, "origin"),
        ({"origin": "https://roost:80"}, 403, "origin"),
        ({"origin": "null"}, 403, "origin"),
        ({"origin": "http://roost.evil.example"}, 403, "origin"),
        ({"origin": "http://chat.example.com"}, 403, "origin"),
        ({"origin": "https://chat.example.com.evil.example"}, 403, "origin"),
        ({"origin": "https://chat.example.com/"}, 403, "origin"),
        ({"origin": "file://"}, 403, "origin"),
        ({"origin": "http://"}, 403, "origin"),
    ],
)
@in_house(web=True, web_origins=("https://chat.example.com",))
async def test_what_is_refused(house: House, headers: dict[str, str], status: int, why: str) -> None:
    peer = await peer_of(house)
    await peer.send(handshake(**{"sec_websocket_protocol": BINARY, **headers}).replace("ü".encode(), b"\xfc"))
    answer = await peer.http.answer()
    assert answer.status == status
    assert answer.json["detail"]
    assert house.core.metrics.web.handshakes_refused == {why: 1}
    if status == 426 and why == "version":
        assert answer.headers["sec-websocket-version"] == "13"
    assert not house.core.metrics.accepted, "it was none of the broker's connections"
    assert (await peer.open()).status == 101, "it may ask again"


@in_house(web=True)
async def test_other_methods_and_versions(house: House) -> None:
    for said, status in (
        (handshake().replace(b"GET", b"POST"), 405),
        (handshake().replace(b"HTTP/1.1", b"HTTP/1.0"), 426),
    ):
        peer = await peer_of(house)
        await peer.send(said)
        assert (await peer.http.answer()).status == status
    assert house.core.metrics.web.handshakes_refused == {"method": 1, "headers": 1}


@pytest.mark.parametrize("twice", ["origin: http://roost", f"sec-websocket-key: {KEY}", "sec-websocket-version: 13"])
@in_house(web=True)
async def test_headers_that_may_come_once(house: House, twice: str) -> None:
    peer = await peer_of(house)
    await peer.send(handshake(origin="http://roost").replace(b"\r\n\r\n", b"\r\n" + twice.encode() + b"\r\n\r\n"))
    assert (await peer.http.answer()).status == 400


@in_house(web=True)
async def test_a_handshake_that_is_too_long(house: House) -> None:
    peer = await peer_of(house)
    await peer.send(handshake(cookie="x" * 100_000))
    assert (await peer.http.answer()).status == 400


@in_house(web=True, limits={"http_timeout_s": 5})
async def test_a_handshake_that_does_not_come(house: House) -> None:
    peer = await peer_of(house)
    await peer.send(handshake()[:40])
    await peer.http.expect_end()
