"""The admin API on a network: where it listens, and where not unless that is said in as many words."""

import socket

import pytest
import trio

from roost_broker.config import Config, ListenerUnusable
from roost_broker.http.tcp import address_of, open_admin_listener


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:0", "[::1]:0"])
async def test_it_listens_on_this_machine(listen: str) -> None:
    if listen.startswith("[") and not has_ipv6():
        pytest.skip("there is no IPv6 here")
    async with open_admin_listener(Config(admin_listen=listen)) as listener:
        host, _, port = address_of(listener).rpartition(":")
        stream = await trio.open_tcp_stream(host.strip("[]"), int(port))
        await (await listener.accept()).aclose()
        await stream.aclose()


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0"])
def test_nowhere_else_unless_that_is_said(listen: str) -> None:
    with pytest.raises(ListenerUnusable, match=r"admin_listen = .*set admin_listen_beyond_loopback = true"):
        open_admin_listener(Config(admin_listen=listen, listen_beyond_loopback=True))


async def test_but_for_those_who_say_so() -> None:
    everywhere = "0.0.0.0:0"
    await open_admin_listener(Config(admin_listen=everywhere, admin_listen_beyond_loopback=True)).aclose()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1", "a..b", "x" * 70])
def test_a_host_that_is_not_here_is_one_clear_error(host: str) -> None:
    with pytest.raises(ListenerUnusable, match=f"cannot listen on admin_listen = {host}"):
        open_admin_listener(Config(admin_listen=f"{host}:0", admin_listen_beyond_loopback=True))


def test_a_port_in_use_is_one_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ListenerUnusable, match=f"admin_listen = {listen}: Address already in use"):
            open_admin_listener(Config(admin_listen=listen))
