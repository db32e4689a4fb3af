"""Where the broker listens on a network, and where not unless that is said; and that it speaks TLS there if it can."""

import json
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trio
from cryptography import x509
from msgspec import structs

import roost
from broker.certifying import Authority
from broker.house import CHEAP_PASSWORDS, PASSWORD
from broker.over_websocket import answer_to
from broker.test_certificates import AUTHORITY, issue
from roost_broker.app import Broker
from roost_broker.certificates import Certificates
from roost_broker.config import LISTEN_KEYS, Config, ConfigurationError, ListenerUnusable, TlsConfig
from roost_broker.listening import open_network_listener
from roost_protocol.admin.admins import AdminAdd
from roost_protocol.hosts import is_loopback
from roost_protocol.limits import Limits


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def config(key: str, listen: str, **more: Any) -> Config:
    return Config(**{key: listen, **more})


@pytest.mark.parametrize("key", LISTEN_KEYS)
@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.0.0.2:0", "localhost:0", "[::1]:0"])
async def test_it_listens_on_this_machine(key: str, listen: str) -> None:
    if listen.startswith("[") and not has_ipv6():
        pytest.skip("there is no IPv6 here")
    listener = open_network_listener(config(key, listen), key, None)
    host, _, port = listener.address.rpartition(":")
    stream = await trio.open_tcp_stream(host.strip("[]"), int(port))
    accepted = await listener.accept()
    assert is_loopback(accepted.host)
    accepted.close()
    await stream.aclose()
    listener.close()


@pytest.mark.parametrize("key", LISTEN_KEYS)
@pytest.mark.parametrize(
    "listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0", "127.example.com:0", "[::1:2]:0"]
)
def test_nothing_listens_in_the_clear_where_others_reach_it(key: str, listen: str) -> None:
    others = {f"{other}_beyond_loopback": other != key for other in LISTEN_KEYS}
    with pytest.raises(ListenerUnusable, match=rf"^{key} = .*tls.certificate.*set {key}_beyond_loopback = true"):
        open_network_listener(config(key, listen, **others), key, None)


@pytest.mark.parametrize("key", LISTEN_KEYS)
async def test_but_for_those_who_say_so_or_have_a_certificate(key: str, tmp_path: Path) -> None:
    everywhere = "0.0.0.0:0"
    open_network_listener(config(key, everywhere, **{f"{key}_beyond_loopback": True}), key, None).close()
    tls = issue(tmp_path)
    open_network_listener(config(key, everywhere, tls=tls), key, Certificates(tls)).close()


@pytest.mark.parametrize("key", LISTEN_KEYS)
@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1", "a..b", "x" * 70])
def test_a_host_that_is_not_here_is_one_clear_error(key: str, host: str) -> None:
    with pytest.raises(ListenerUnusable, match=f"cannot listen on {key} = {host}"):
        open_network_listener(config(key, f"{host}:0", **{f"{key}_beyond_loopback": True}), key, None)


@pytest.mark.parametrize("key", LISTEN_KEYS)
def test_a_port_in_use_is_one_clear_error(key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ListenerUnusable, match=f"{key} = {listen}: Address already in use"):
            open_network_listener(config(key, listen), key, None)


# --- TLS, on real sockets -----------------------------------------------------------------------------------------


def encrypted(folder: Path) -> Config:
    return Config(
        data=str(folder / "data"),
        listen="127.0.0.1:0",
        admin_listen="127.0.0.1:0",
        web_listen="127.0.0.1:0",
        tls=issue(folder, "localhost"),
        passwords=CHEAP_PASSWORDS,
    )


def trust() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


async def get(address: str, path: str, *headers: str) -> bytes:
    """The answer to one request, over TLS."""
    stream = await trio.open_ssl_over_tcp_stream("localhost", port_of(address), ssl_context=trust())
    lines = [f"GET {path} HTTP/1.1", "host: localhost", "connection: close", *headers, "", ""]
    await stream.send_all("\r\n".join(lines).encode())
    answer = b""
    while data := await stream.receive_some():
        answer += data
    await trio.aclose_forcefully(stream)
    return answer


async def test_every_listener_speaks_tls(tmp_path: Path) -> None:
    async with Broker(encrypted(tmp_path)) as broker:
        for name in ("alice", "bob"):
            await broker.create_user(name, PASSWORD)
        token = (await broker.admin.admins.add(AdminAdd(name="ann", role="read"))).token
        assert broker.http_scheme == "https"
        assert b" 200 " in await get(broker.admin_address, "/v1/status", f"authorization: Bearer {token}")
        assert b'"alive":true' in await get(broker.web_address, "/livez")
        server = ("localhost", port_of(broker.addresses[0]))
        async with (
            roost.connect(server, user="alice", terminal="pc", password=PASSWORD, tls=trust()) as alice,
            roost.connect(server, user="bob", terminal="pc", password=PASSWORD, tls=trust()) as bob,
        ):
            large = "x" * 100_000
            await alice.publish("user/bob", large)
            with trio.fail_after(10):
                async for event in bob:
                    if isinstance(event, roost.Message):
                        assert event.body == large
                        break


async def test_a_device_that_trusts_nobody_here_says_why(tmp_path: Path) -> None:
    async with Broker(encrypted(tmp_path)) as broker:
        await broker.create_user("alice", PASSWORD)
        server = ("localhost", port_of(broker.addresses[0]))
        with pytest.raises(roost.ConnectionFailed, match=r"no TLS with the broker: .*unable to get local issuer"):
            async with roost.connect(server, user="alice", terminal="pc", password=PASSWORD, tls=True):
                pass


async def test_a_device_in_the_clear_gets_nothing(tmp_path: Path) -> None:
    async with Broker(encrypted(tmp_path)) as broker:
        await broker.create_user("alice", PASSWORD)
        with pytest.raises(roost.ConnectionFailed):
            async with roost.connect(broker.addresses[0], user="alice", terminal="pc", password=PASSWORD):
                pass
        assert not broker.core.directory.of(1)


async def test_a_broker_with_a_bad_certificate_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("hello")
    bad = Config(data=str(tmp_path), listen="127.0.0.1:0", tls=TlsConfig(certificate=str(tmp_path / "bad.pem")))
    with pytest.raises(ConfigurationError, match=r"tls.certificate = .*bad.pem"):
        async with Broker(bad):
            pass


# --- versions, deadlines, certificates of devices -----------------------------------------------------------------


def addresses(broker: Broker) -> dict[str, int]:
    """The port of every listener on a network, by its key."""
    found = {"listen": broker.addresses[0], "admin_listen": broker.admin_address, "web_listen": broker.web_address}
    assert set(found) == set(LISTEN_KEYS)
    return {key: port_of(address) for key, address in found.items()}


async def handshake(port: int, context: ssl.SSLContext) -> str:
    """The version of TLS that is spoken, when the broker has let this side in. Raises OSError."""
    below = await trio.open_tcp_stream("localhost", port)
    stream = trio.SSLStream(below, context, server_hostname="localhost")
    try:
        await stream.do_handshake()
        await stream.send_all(b"GET / HTTP/1.0\r\n\r\n")  # what is wrong with a certificate comes after the handshake
        await stream.receive_some(1)
    except trio.BrokenResourceError as error:
        raise OSError(str(error.__cause__)) from error
    finally:
        await below.aclose()
    return str(stream.version())


async def test_old_versions_of_tls_are_spoken_nowhere(tmp_path: Path) -> None:
    old = trust()
    old.set_ciphers("DEFAULT:@SECLEVEL=0")  # or this side would not even ask
    with pytest.warns(DeprecationWarning, match="TLSv1 is deprecated"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    middling = trust()
    middling.maximum_version = ssl.TLSVersion.TLSv1_2
    async with Broker(encrypted(tmp_path)) as broker:
        for key, port in addresses(broker).items():
            with pytest.raises(OSError, match="protocol version"):
                await handshake(port, old)
            assert await handshake(port, middling) == "TLSv1.2", key
            assert await handshake(port, trust()) == "TLSv1.3", key


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01"], ids=["nothing", "the beginning of a handshake"])
async def test_a_handshake_that_does_not_come_to_an_end_is_ended(tmp_path: Path, said: bytes) -> None:
    config = structs.replace(encrypted(tmp_path), limits=Limits(login_timeout_s=1, http_timeout_s=1))
    async with Broker(config) as broker:
        streams = [await trio.open_tcp_stream("localhost", port) for port in addresses(broker).values()]
        with trio.fail_after(5):
            for stream in streams:
                await stream.send_all(said)
            for stream in streams:
                while await stream.receive_some():
                    pass
                await stream.aclose()
            await broker.server.wait_no_connections()
        assert broker.core.metrics.closed["login_timeout"] == 1


async def test_certificates_are_asked_of_devices_and_not_of_admins(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    config = encrypted(tmp_path)
    tls = structs.replace(config.tls, client_certificates="required", client_ca=str(authority.write()))
    alice = authority.issue("alice")
    certified = trust()
    certified.load_cert_chain(alice.certificate, alice.key)
    async with Broker(structs.replace(config, tls=tls)) as broker:
        for key, port in addresses(broker).items():
            assert await handshake(port, certified) == "TLSv1.3", key
            if key == "admin_listen":
                assert await handshake(port, trust()) == "TLSv1.3"
                continue
            with pytest.raises(OSError, match="certificate required"):
                await handshake(port, trust())
        server = ("localhost", addresses(broker)["listen"])
        with pytest.raises(roost.ConnectionFailed, match=r"broke during the log-in: .*certificate required"):
            async with roost.connect(server, user="alice", terminal="pc", password=PASSWORD, tls=trust()):
                pass


async def test_a_device_logs_in_by_its_certificate(tmp_path: Path) -> None:
    """Over TCP with the client, and over WebSocket; and as nobody else."""
    authority = Authority(tmp_path)
    config = encrypted(tmp_path)
    tls = structs.replace(
        config.tls, client_certificates="accepted", client_ca=str(authority.write()), client_user="email",
        client_user_form="{user}@example.com",
    )  # fmt: skip
    issued = authority.issue("a phone", x509.RFC822Name("alice@example.com"))
    certified = trust()
    certified.load_cert_chain(issued.certificate, issued.key)
    async with Broker(structs.replace(config, tls=tls)) as broker:
        for name in ("alice", "bob"):
            await broker.create_user(name, PASSWORD)
        server = ("localhost", port_of(broker.addresses[0]))
        async with roost.connect(server, user="alice", terminal="pc", tls=certified, by_certificate=True) as session:
            assert session.token is None
            await session.publish("user/bob", "hi")
        with pytest.raises(roost.LoginRefused) as refused:
            async with roost.connect(server, user="bob", terminal="pc", tls=certified, by_certificate=True):
                pass
        assert refused.value.reason is roost.Reason.NOT_AUTHORIZED
        with pytest.raises(roost.LoginRefused) as refused:
            async with roost.connect(server, user="alice", terminal="pc", tls=trust(), by_certificate=True):
                pass
        assert refused.value.reason is roost.Reason.BAD_USER_NAME_OR_PASSWORD
        async with roost.connect(server, user="bob", terminal="pc", password=PASSWORD, tls=trust()):
            pass
        for user, reason in (("alice", 0), ("bob", roost.Reason.NOT_AUTHORIZED)):
            connect = {"frame": "CONNECT", "user": user, "terminal": "web", "device": "w"}
            connack = await answer_to(("localhost", port_of(broker.web_address)), connect, certified)
            assert json.loads(connack).get("reason", 0) == reason
