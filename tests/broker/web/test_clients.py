"""WebSocket clients that others have written, against a real broker process."""

import asyncio
import http.client
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio_websocket
import websockets
import websockets.asyncio.client

from admin.running import CHEAP, PASSWORD, RunningBroker
from roost_protocol import Connection, Role
from roost_protocol.frames import Connect, Disconnect, Publish
from roost_protocol.websocket import BINARY, JSON

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    config = 'web_admin = true\nweb_admin_loopback = "read"\n' + CHEAP
    with RunningBroker(tmp_path_factory.mktemp("web"), "--web", "127.0.0.1:0", config=config) as running:
        running.create_users("alice", "bob")
        yield running
        assert running.stop() == 0


def connect(user: str, device: str) -> dict[str, Any]:
    return {"frame": "CONNECT", "user": user, "password": PASSWORD, "terminal": "web", "device": device}


@asynccontextmanager
async def trio_client(broker: RunningBroker, *sub_protocols: str) -> AsyncIterator[trio_websocket.WebSocketConnection]:
    """A client on a stream that we close: its own functions leave it open when the server has closed first."""
    host, _, port = broker.web_address.rpartition(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream, trio.open_nursery() as nursery:
        yield await trio_websocket.wrap_client_stream(
            nursery, stream, broker.web_address, "/ws", subprotocols=sub_protocols
        )
        nursery.cancel_scope.cancel()


async def test_trio_websocket_in_json(broker: RunningBroker) -> None:
    async with trio_client(broker, "other", JSON) as alice:
        assert alice.subprotocol == JSON
        await alice.send_message(json.dumps(connect("alice", "trio")))
        assert json.loads(await alice.get_message())["frame"] == "CONNACK"
        await alice.ping(b"are you there")
        await alice.send_message(json.dumps({"frame": "PUBLISH", "n": 1, "to": "user/bob", "text": "hi ☂"}))
        puback = json.loads(await alice.get_message())
        assert (puback["frame"], puback["n"]) == ("PUBACK", 1)
        async with trio_client(broker, JSON) as other:
            await other.send_message(json.dumps(connect("alice", "other")))
            assert json.loads(await other.get_message())["took_over"]["by"] == "trio"
            assert json.loads(await alice.get_message())["frame"] == "DELIVER"
            assert json.loads(await alice.get_message())["frame"] == "DISCONNECT"
            with pytest.raises(trio_websocket.ConnectionClosed):
                await alice.get_message()
        assert alice.closed is not None
        assert (alice.closed.code, alice.closed.reason) == (4142, "logged in elsewhere: other")


def test_websockets_in_the_binary_form(broker: RunningBroker) -> None:
    async def talk() -> None:
        async with websockets.asyncio.client.connect(
            f"ws://{broker.web_address}/ws", subprotocols=[websockets.Subprotocol(BINARY)], compression="deflate"
        ) as bob:
            assert not bob.protocol.extensions, "compression was offered and not accepted"
            core = Connection(Role.DEVICE)
            login = core.send(Connect(user="bob", password=PASSWORD, terminal="pc", device="websockets"))
            await bob.send([login[:7], login[7:]])  # in fragments
            events: list[object] = []
            while not events:
                events += core.receive_data(_bytes(await bob.recv()))
            await bob.send(core.send(Publish(n=1, to="user/alice", text="x" * 100_000)))
            while len(events) < 3:
                events += core.receive_data(_bytes(await bob.recv()))
            await (await bob.ping(b"x"))
            await bob.send("a text")
            async for message in _until_closed(bob):
                events += core.receive_data(message)
            assert bob.close_code == 1003
            assert isinstance(events[-1], Disconnect)

    asyncio.run(talk())


def test_websockets_from_a_page_elsewhere(broker: RunningBroker) -> None:
    async def talk() -> None:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.asyncio.client.connect(
                f"ws://{broker.web_address}/ws",
                subprotocols=[websockets.Subprotocol(JSON)],
                origin=websockets.Origin("https://evil.example"),
            )
        assert refused.value.response.status_code == 403

    asyncio.run(talk())


def test_a_client_of_http_on_one_connection(broker: RunningBroker) -> None:
    """Pages, health and the admin API, over one connection that is kept."""
    host, _, port = broker.web_address.rpartition(":")
    client = http.client.HTTPConnection(host, int(port), timeout=30)
    for target, status in (
        ("/livez", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/v1/status", 200),
        ("/nope.js", 404),
    ):
        client.request("GET", target)
        answer = client.getresponse()
        body = answer.read()
        assert answer.status == status, target
        if target == "/metrics":
            assert b'roost_websocket_handshakes_total{sub_protocol="roost.v1.json"}' in body
    client.close()


async def _until_closed(client: websockets.asyncio.client.ClientConnection) -> AsyncIterator[bytes]:
    while True:
        try:
            yield _bytes(await client.recv())
        except websockets.ConnectionClosed:
            return


def _bytes(message: str | bytes) -> bytes:
    assert isinstance(message, bytes)
    return message


def test_a_broker_without_it_has_no_such_listener(tmp_path: Path) -> None:
    with RunningBroker(tmp_path) as running:
        assert running.web_address == ""
        assert running.stop() == 0
