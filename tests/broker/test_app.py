"""The whole application: what it opens, in which order it starts and stops, and what it raises."""

import socket
import stat
import struct
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from broker.house import CHEAP_PASSWORDS, PASSWORD, FaultyStore, in_virtual_time, open_house
from roost_broker.app import Broker, real_surroundings
from roost_broker.audit import AuditLogUnusable
from roost_broker.config import Config, ConfigurationError, ListenerUnusable
from roost_broker.http.unix import AdminSocketUnusable
from roost_broker.store import StoreUnusable
from roost_broker.store.memory import MemoryStore
from roost_broker.transport.memory import MemoryListener
from roost_protocol import Connection, Role, codec
from roost_protocol.admin.admins import AdminAdd
from roost_protocol.frames import Connack, Connect, Deliver, Disconnect, Frame, Puback, Publish
from roost_protocol.limits import Limits
from roost_protocol.reasons import Reason


def config(folder: Path, **more: Any) -> Config:
    values: dict[str, Any] = {
        "data": str(folder / "data"),
        "listen": "127.0.0.1:0",
        "passwords": CHEAP_PASSWORDS,
        "drain_s": 2,
    }
    return Config(**(values | more))


def memory_store() -> FaultyStore:
    return FaultyStore(MemoryStore(limits=Limits(), random=Random(1)))  # noqa: S311  # for ids


async def speak(address: str, *frames: Frame, until: type[Frame]) -> list[Frame]:
    """Connect over TCP, say something, and hear until a frame of a kind."""
    host, _, port = address.rpartition(":")
    connection = Connection(Role.DEVICE)
    heard: list[Frame] = []
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        await stream.send_all(connection.send(frames[0]))
        said = frames[1:]
        while not any(isinstance(frame, until) for frame in heard):
            events = connection.receive_data(await stream.receive_some())
            heard += [event for event in events if isinstance(event, Frame)]
            if said and any(isinstance(frame, Connack) for frame in heard):
                await stream.send_all(b"".join(connection.send(frame) for frame in said))
                said = ()
    return heard


CONNECT = Connect(user="alice", password=PASSWORD, terminal="phone", device="a1")


async def test_a_broker_on_the_machine_itself(tmp_path: Path) -> None:
    """LMDB, TCP, threads, the admin socket; and again on what it left."""
    settings = config(tmp_path)
    async with Broker(settings) as broker:
        await broker.create_user("alice", PASSWORD)
        heard = await speak(broker.addresses[0], CONNECT, Publish(n=1, to="user/alice", text="hi"), until=Deliver)
        assert [type(frame) for frame in heard[:1]] == [Connack]
        mode = settings.admin_path.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    assert not settings.admin_path.exists()
    async with Broker(settings) as broker:
        heard = await speak(broker.addresses[0], CONNECT, until=Deliver)
        connack, deliver = heard
        assert isinstance(connack, Connack)
        assert isinstance(deliver, Deliver)
        assert (connack.head, connack.settled_n) == (1, 1)
        assert deliver.entry is not None
        assert deliver.entry.text == "hi"


async def test_a_peer_that_resets_its_connection_harms_nobody(tmp_path: Path) -> None:
    async with Broker(config(tmp_path), store=memory_store(), admin_socket=False) as broker:
        for user in ("alice", "bob"):
            await broker.create_user(user, PASSWORD)
        host, _, port = broker.addresses[0].rpartition(":")
        encoded = [codec.encode(frame) for frame in (CONNECT, Publish(n=1, to="user/bob", text="x"))]
        for said in (b"", encoded[0][:9], encoded[0], b"".join(encoded), b"\xff" * 100):
            peer = socket.create_connection((host, int(port)))
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.sendall(said)
            await wait_all_tasks_blocked()
            peer.close()
        bob = Connect(user="bob", password=PASSWORD, terminal="phone", device="b1")
        heard = await speak(broker.addresses[0], bob, Publish(n=1, to="user/bob", text="x"), until=Puback)
        assert isinstance(heard[0], Connack)
        with trio.fail_after(5):
            await broker.server.wait_no_connections()
        assert len(broker.core.directory) == 0


async def test_single_values_in_place_of_a_configuration(tmp_path: Path) -> None:
    async with Broker(data=str(tmp_path / "d"), listen="127.0.0.1:0", admin_socket=False) as broker:
        assert broker.addresses[0].startswith("127.0.0.1:")
        assert broker.config.data == str(tmp_path / "d")
    with pytest.raises(ConfigurationError, match="not both: data"):
        Broker(Config(), data="x")
    with pytest.raises(ConfigurationError, match="unknown key 'dta'; did you mean data"):
        Broker(dta="x")


async def entering(broker: Broker) -> None:
    async with broker:
        raise AssertionError("it must not start")


async def test_a_port_in_use_is_one_clear_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        store = memory_store()
        with pytest.raises(
            ListenerUnusable, match=rf"cannot listen on listen = 127\.0\.0\.1:{port}: Address already in use"
        ):
            await entering(Broker(config(tmp_path, listen=f"127.0.0.1:{port}"), store=store))
    assert store.closed


async def test_an_admin_socket_of_another_broker_is_left_alone(tmp_path: Path) -> None:
    settings = config(tmp_path, admin_socket=str(tmp_path / "admin.sock"))
    async with Broker(settings, store=memory_store()):
        second = memory_store()
        with pytest.raises(AdminSocketUnusable, match="another process listens on it"):
            await entering(Broker(settings, store=second))
        assert second.closed
        assert settings.admin_path.exists(), "it is still that of the first"
        async with await trio.open_unix_socket(str(settings.admin_path)) as stream:
            await stream.send_all(b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
    assert not settings.admin_path.exists()


async def http(address: str, target: str, token: str = "") -> bytes:
    host, _, port = address.rpartition(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        await stream.send_all(f"GET {target} HTTP/1.0\r\nauthorization: Bearer {token}\r\n\r\n".encode())
        return b"".join([bytes(data) async for data in stream])


async def test_the_admin_api_on_a_network_and_its_audit_log(tmp_path: Path) -> None:
    settings = config(tmp_path, admin_listen="127.0.0.1:0")
    async with Broker(settings) as broker:
        token = (await broker.admin.admins.add(AdminAdd(name="zoë", role="read"))).token
        assert (await http(broker.admin_address, "/v1/status", token)).startswith(b"HTTP/1.1 200")
        assert (await http(broker.admin_address, "/v1/status", token[::-1])).startswith(b"HTTP/1.1 401")
        assert (await http(broker.admin_address, "/readyz")).startswith(b"HTTP/1.1 200")
        assert stat.S_IMODE((tmp_path / "data" / "audit.log").stat().st_mode) == 0o600
    with pytest.raises(OSError, match=r"connect|refused"):
        await http(broker.admin_address, "/readyz")
    async with Broker(settings) as broker:
        assert (await http(broker.admin_address, "/v1/status", token)).startswith(b"HTTP/1.1 200"), "it is kept"


async def test_whoever_keeps_admins_waiting_gives_up_his_place(tmp_path: Path) -> None:
    """A stranger needs no token to open a connection; he must not keep those out who have one."""
    settings = config(tmp_path, admin_listen="127.0.0.1:0", limits=Limits(http_connections_max=2, http_timeout_s=600))
    async with Broker(settings) as broker, AsyncExitStack() as idle:
        host, _, port = broker.admin_address.rpartition(":")
        for _ in range(4):
            await idle.enter_async_context(await trio.open_tcp_stream(host, int(port)))
        with trio.fail_after(60):
            assert (await http(broker.admin_address, "/readyz")).startswith(b"HTTP/1.1 200")


async def test_a_web_listener_of_its_own(tmp_path: Path) -> None:
    settings = config(tmp_path, web_listen="127.0.0.1:0", web_admin=True)
    async with Broker(settings) as broker:
        token = (await broker.admin.admins.add(AdminAdd(name="zoë", role="read"))).token
        assert (await http(broker.web_address, "/readyz")).startswith(b"HTTP/1.1 200")
        assert (await http(broker.web_address, "/v1/status", token)).startswith(b"HTTP/1.1 200")
        assert (await http(broker.web_address, "/v1/status")).startswith(b"HTTP/1.1 401")
    with pytest.raises(OSError, match=r"connect|refused"):
        await http(broker.web_address, "/readyz")


@pytest.mark.parametrize(
    "more", [{"admin_listen": "192.0.2.1:0"}, {"admin_group": "no-such-group"}, {"web_listen": "192.0.2.1:0"}]
)
async def test_an_admin_api_that_cannot_be_leaves_nothing_behind(tmp_path: Path, more: dict[str, str]) -> None:
    settings = config(tmp_path, **more)
    store = memory_store()
    with pytest.raises((ListenerUnusable, AdminSocketUnusable), match=r"(admin|web)_(listen|group)"):
        await entering(Broker(settings, store=store))
    assert store.closed
    assert not settings.admin_path.exists()
    async with Broker(config(tmp_path)):
        pass


async def test_without_an_audit_log_it_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "data" / "audit.log").mkdir(parents=True)
    store = memory_store()
    with pytest.raises(AuditLogUnusable, match=r"audit\.log: Is a directory"):
        await entering(Broker(config(tmp_path), store=store))
    assert store.closed
    async with Broker(config(tmp_path), admin_socket=False):
        pass  # nobody administers it from outside


async def test_a_store_in_use_is_one_clear_error(tmp_path: Path) -> None:
    settings = config(tmp_path)
    async with Broker(settings, admin_socket=False):
        with pytest.raises(StoreUnusable) as error:
            await entering(Broker(settings, admin_socket=False))
        assert error.value.exit_status == 78
        assert "\n" not in str(error.value)


def test_what_does_not_run_says_so(tmp_path: Path) -> None:
    broker = Broker(config(tmp_path))
    for name in ("core", "admin"):
        with pytest.raises(RuntimeError, match="enter it with `async with` first"):
            getattr(broker, name)
    assert not (tmp_path / "data").exists(), "nothing is made before it is entered"


class Fault(Exception):
    """Raised in the block."""


@in_virtual_time
async def test_an_error_in_the_block_is_raised_as_it_is_and_closes_everything() -> None:
    store, listener = memory_store(), MemoryListener()
    fault = Fault("mine")

    async def main() -> None:
        async with Broker(Config(), store=store, listeners=[listener], admin_socket=False):
            raise fault from ZeroDivisionError()

    with pytest.raises(Fault) as error:
        await main()
    assert error.value is fault
    assert isinstance(fault.__cause__, ZeroDivisionError)
    assert store.closed
    with pytest.raises(ConnectionRefusedError):
        await listener.dial()


@in_virtual_time
async def test_leaving_by_cancellation_stops_at_once() -> None:
    store = memory_store()

    async def main() -> None:
        async with Broker(Config(drain_s=60), store=store, listeners=[MemoryListener()], admin_socket=False):
            await trio.sleep_forever()

    with trio.move_on_after(1) as scope:
        await main()
    assert scope.cancelled_caught
    assert trio.current_time() == 1
    assert store.closed


@in_virtual_time
async def test_leaving_tells_everybody_before_the_store_is_closed() -> None:
    async with open_house() as house:
        alice = await house.log_in("alice")
        store = house.store
    assert store.closed
    (farewell,) = await alice.rest()
    assert isinstance(farewell, Disconnect)
    assert (farewell.reason, farewell.reconnect) == (Reason.SERVER_SHUTTING_DOWN, True)
    assert alice.at_end


@in_virtual_time
async def test_several_listeners() -> None:
    doors = [MemoryListener("memory:1"), MemoryListener("memory:2")]
    async with Broker(Config(), store=memory_store(), listeners=doors, admin_socket=False) as broker:
        assert broker.addresses == ["memory:1", "memory:2"]
        for door in doors:
            stream = await door.dial()
            await stream.send_all(b"\0\0\0\0")
            assert await stream.receive_some()
            await stream.aclose()


def test_the_machines_own_surroundings() -> None:
    around = real_surroundings()
    assert around.now_ms() > 1_700_000_000_000
    assert len(around.random.randbytes(16)) == 16
