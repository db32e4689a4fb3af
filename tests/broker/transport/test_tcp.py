"""TCP on real sockets over loopback: parts, ends, resets, and closing while somebody waits."""

import errno
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from roost_broker.transport import ConnectionLost, Transport
from roost_broker.transport.tcp import TcpListener, TcpTransport


@asynccontextmanager
async def listening(host: str = "127.0.0.1") -> AsyncIterator[TcpListener]:
    listener = TcpListener.open(host, 0)
    try:
        yield listener
    finally:
        listener.close()


def port_of(listener: TcpListener) -> int:
    return int(listener.address.rpartition(":")[2])


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Transport, socket.socket]]:
    """The broker's side, and the peer's socket (blocking, but everything it does is there at once)."""
    async with listening() as listener:
        with socket.create_connection(("127.0.0.1", port_of(listener)), timeout=5) as peer:
            transport = await listener.accept()
            try:
                yield transport, peer
            finally:
                transport.close()


async def received(transport: Transport, count: int) -> bytes:
    """So many bytes; fewer at the end of the stream."""
    data = b""
    while len(data) < count:
        await transport.wait_readable()
        piece = transport.recv_nowait(65_536)
        if piece == b"":
            break
        data += piece or b""
    return data


async def test_bytes_go_both_ways() -> None:
    async with pair() as (transport, peer):
        assert transport.recv_nowait(100) is None
        peer.sendall(b"hello")
        await transport.wait_readable()
        assert transport.recv_nowait(2) == b"he"
        assert transport.recv_nowait(100) == b"llo"
        assert transport.recv_nowait(100) is None
        assert transport.try_send(b"world") == 5
        assert peer.recv(100) == b"world"
        assert transport.try_send(memoryview(b"again")) == 5
        assert peer.recv(100) == b"again"


async def test_it_knows_where_the_peer_is() -> None:
    async with pair() as (transport, peer):
        host, port = peer.getsockname()
        assert (transport.address, transport.host) == (f"{host}:{port}", host)


async def test_small_frames_are_not_held_back() -> None:
    async with pair() as (transport, _):
        assert isinstance(transport, TcpTransport)
        assert transport._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_full_buffer_takes_a_part_and_then_nothing_until_the_peer_reads() -> None:
    data = bytes(range(256)) * 40_000
    async with pair() as (transport, peer):
        sent = 0
        while taken := transport.try_send(memoryview(data)[sent:]):
            sent += taken
        assert 0 < sent < len(data)
        with trio.move_on_after(0.05) as scope:
            await transport.wait_writable()
        assert scope.cancelled_caught, "there is no room"

        got = bytearray()

        async def read() -> None:
            while len(got) < len(data):
                got.extend(await trio.to_thread.run_sync(peer.recv, 1_000_000))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            while sent < len(data):
                await transport.wait_writable()
                sent += transport.try_send(memoryview(data)[sent:])
        assert got == data


async def test_the_end_of_the_peer_is_an_empty_read() -> None:
    async with pair() as (transport, peer):
        peer.sendall(b"last words")
        peer.shutdown(socket.SHUT_WR)
        assert await received(transport, 1_000) == b"last words"
        assert transport.recv_nowait(100) == b""
        assert transport.try_send(b"still heard") == 11
        assert peer.recv(100) == b"still heard"


async def test_our_end_arrives_after_what_was_taken() -> None:
    async with pair() as (transport, peer):
        transport.try_send(b"farewell")
        transport.send_eof()
        assert peer.recv(100) == b"farewell"
        assert peer.recv(100) == b""
        peer.sendall(b"bye")
        assert await received(transport, 3) == b"bye"
        transport.close()
        transport.send_eof()


async def test_a_reset_is_a_lost_connection() -> None:
    async with pair() as (transport, peer):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        await transport.wait_readable()
        with pytest.raises(ConnectionLost):
            transport.recv_nowait(100)
        with pytest.raises(ConnectionLost):
            transport.try_send(b"x")
        transport.send_eof()


@pytest.mark.parametrize("what", ["wait_readable", "wait_writable"])
async def test_close_wakes_who_waits(what: str) -> None:
    lost: list[ConnectionLost] = []

    async def wait(transport: Transport) -> None:
        with pytest.raises(ConnectionLost) as error:
            await getattr(transport, what)()
        lost.append(error.value)

    async with pair() as (transport, _):
        while what == "wait_writable" and transport.try_send(bytes(1_000_000)):
            pass
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, transport)
            await wait_all_tasks_blocked()
            transport.close()
    assert lost


async def test_after_close_everything_is_a_lost_connection() -> None:
    async with pair() as (transport, peer):
        transport.close()
        transport.close()
        for call in (lambda: transport.try_send(b"x"), lambda: transport.recv_nowait(1)):
            with pytest.raises(ConnectionLost):
                call()
        for wait in (transport.wait_readable, transport.wait_writable):
            with pytest.raises(ConnectionLost):
                await wait()
        assert peer.recv(1) == b""


async def test_waiting_may_be_cancelled_and_nothing_is_lost() -> None:
    async with pair() as (transport, peer):
        with trio.move_on_after(0.01) as scope:
            await transport.wait_readable()
        assert scope.cancelled_caught
        peer.sendall(b"x")
        await transport.wait_readable()
        assert transport.recv_nowait(1) == b"x"


# --- the listener -------------------------------------------------------------------------------------------------


async def test_connections_are_accepted_in_order_and_none_is_lost_by_a_cancellation() -> None:
    async with listening() as listener:
        with trio.move_on_after(0.01) as scope:
            await listener.accept()
        assert scope.cancelled_caught
        peers = [socket.create_connection(("127.0.0.1", port_of(listener))) for _ in range(3)]
        for peer in peers:
            transport = await listener.accept()
            assert transport.address == f"127.0.0.1:{peer.getsockname()[1]}"
            transport.close()
            peer.close()


async def test_close_wakes_who_accepts_and_leaves_connections_alone() -> None:
    async with pair() as (transport, peer), trio.open_nursery() as nursery:
        listener = TcpListener.open("127.0.0.1", 0)

        async def accept() -> None:
            with pytest.raises(ConnectionLost):
                await listener.accept()

        nursery.start_soon(accept)
        await wait_all_tasks_blocked()
        listener.close()
        listener.close()
        with pytest.raises(ConnectionLost):
            await listener.accept()
        transport.try_send(b"x")
        assert peer.recv(1) == b"x"


async def test_ipv6_addresses_are_written_in_brackets() -> None:
    try:
        listener = TcpListener.open("::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    assert listener.address.startswith("[::1]:")
    with socket.create_connection(("::1", port_of(listener))) as peer:
        transport = await listener.accept()
        assert (transport.host, transport.address) == ("::1", f"[::1]:{peer.getsockname()[1]}")
        transport.close()
    listener.close()


def test_what_cannot_be_listened_on_is_an_os_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        TcpListener.open(*taken.getsockname())
    with pytest.raises(OSError, match="assign requested address"):
        TcpListener.open("192.0.2.1", 0)


class FailingSocket(socket.socket):
    """A listening socket whose accept fails as a kernel's does now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[int] = []

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        if self.errors:
            raise OSError(self.errors.pop(0), "made to fail")
        return super().accept()


@pytest.mark.parametrize(
    "error",
    [
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.ECONNABORTED,
        errno.EPERM,
        errno.EPROTO,
        errno.ENETDOWN,
        errno.EHOSTUNREACH,
    ],
    ids=errno.errorcode.get,
)
async def test_a_failure_of_one_accept_is_not_the_end_of_listening(error: int) -> None:
    """accept(2): errors of the network are passed on by accept, and are to be taken as 'try again'."""
    listening_socket = FailingSocket()
    listening_socket.setblocking(False)
    listening_socket.bind(("127.0.0.1", 0))
    listening_socket.listen()
    listening_socket.errors = [error, error]
    with listening_socket, socket.create_connection(listening_socket.getsockname()):
        with trio.fail_after(5):
            transport = await TcpListener(listening_socket).accept()
        transport.close()
