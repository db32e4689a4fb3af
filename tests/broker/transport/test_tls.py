"""TLS keeps the contract of a transport: every byte in order, no bytes forgotten, no waiting for a peer to accept."""

import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
import trustme
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from broker.certifying import Authority
from broker.house import House, open_house
from roost_broker.server import Server
from roost_broker.transport import ConnectionLost, PeerCertificate, Transport
from roost_broker.transport.memory import MemoryListener, MemoryStream
from roost_broker.transport.tls import RECORD_BYTES, TlsListener, TlsTransport

AUTHORITY = trustme.CA(key_type=trustme.KeyType.ECDSA)
CERTIFICATE = AUTHORITY.issue_cert("broker.example")


def of_broker() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATE.configure_cert(context)
    return context


def of_device(*, trusting: bool = True) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if trusting:
        AUTHORITY.configure_trust(context)
    return context


BROKER = of_broker()
DEVICE = of_device()

Sides = tuple[Transport, "trio.SSLStream[MemoryStream]", MemoryStream]


async def sides(pipe_bytes: int = 4_096) -> Sides:
    """Both ends; the handshake is still to come."""
    listener = MemoryListener(pipe_bytes=pipe_bytes)
    raw = await listener.dial("10.0.0.1")
    transport = await TlsListener(listener, lambda: BROKER).accept()
    return transport, trio.SSLStream(raw, DEVICE, server_hostname="broker.example"), raw


@asynccontextmanager
async def connected(pipe_bytes: int = 4_096) -> AsyncIterator[Sides]:
    transport, stream, raw = await sides(pipe_bytes)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.do_handshake)
        await transport.wait_readable()
    yield transport, stream, raw


async def send_all(transport: Transport, data: bytes) -> None:
    """As the outlet does: what was not taken is offered again."""
    rest = memoryview(data)
    while rest:
        taken = transport.try_send(rest)
        rest = rest[taken:]
        if not taken:
            await transport.wait_writable()


async def receive(transport: Transport, size: int, at_a_time: int = 65_536) -> bytes:
    got = b""
    while len(got) < size:
        await transport.wait_readable()
        data = transport.recv_nowait(at_a_time)
        if data == b"":
            break
        got += data or b""
    return got


async def test_nothing_goes_before_the_handshake(autojump_clock: MockClock) -> None:
    transport, stream, _ = await sides()
    assert transport.try_send(b"early") == 0
    assert transport.recv_nowait(10) is None
    assert (transport.address, transport.host) == ("10.0.0.1:1", "10.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, b"hello")
        assert await receive(transport, 5) == b"hello"
    assert transport.try_send(b"hi") == 2
    assert await stream.receive_some() == b"hi"


async def test_reader_and_writer_may_both_wait_for_the_handshake(autojump_clock: MockClock) -> None:
    transport, stream, _ = await sides()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.wait_writable)
        with trio.move_on_after(1):
            await transport.wait_readable()  # it has to leave the handshake to the other, or the other waits for ever
        nursery.start_soon(stream.do_handshake)
    assert transport.try_send(b"x") == 1


async def test_who_waits_for_the_handshake_may_be_cancelled(autojump_clock: MockClock) -> None:
    transport, stream, _ = await sides()
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(transport.wait_writable)
            await wait_all_tasks_blocked()
            scope.cancel()
        await wait_all_tasks_blocked()
        nursery.start_soon(stream.do_handshake)
        with trio.fail_after(1):
            await transport.wait_writable()


async def test_a_peer_that_does_not_speak_tls(autojump_clock: MockClock) -> None:
    transport, _, raw = await sides()
    await raw.send_all(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ConnectionLost, match="TLS: http request"):
        await transport.wait_readable()


async def test_a_peer_that_does_not_trust_us(autojump_clock: MockClock) -> None:
    listener = MemoryListener()
    raw = await listener.dial()
    transport = await TlsListener(listener, lambda: BROKER).accept()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    device = of_device(trusting=False).wrap_bio(incoming, outgoing, server_hostname="broker.example")

    async def distrust() -> None:
        with pytest.raises(ssl.SSLWantReadError):
            device.do_handshake()
        await raw.send_all(outgoing.read())
        incoming.write(await raw.receive_some())
        with pytest.raises(ssl.SSLCertVerificationError):
            device.do_handshake()
        await raw.send_all(outgoing.read())  # the alert; Trio's own stream would keep it to itself

    async with trio.open_nursery() as nursery:
        nursery.start_soon(distrust)
        with pytest.raises(ConnectionLost, match=r"TLS: .*alert unknown ca"), trio.fail_after(5):
            await receive(transport, 1)


async def test_a_peer_that_goes_in_the_middle_of_the_handshake(autojump_clock: MockClock) -> None:
    transport, _, raw = await sides()
    await raw.send_all(b"\x16\x03\x01\x02")
    await raw.aclose()
    with pytest.raises(ConnectionLost):
        await transport.wait_readable()


async def test_a_reader_that_stops_costs_one_record(autojump_clock: MockClock) -> None:
    async with connected(pipe_bytes=1_000) as (transport, stream, _):
        data = bytes(range(256)) * 400
        taken = transport.try_send(data)
        assert taken == 0, "the first record did not fit, so nothing of it is taken yet"
        assert transport.try_send(data) == 0
        got = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_all, transport, data)
            while len(got) < len(data):
                got += await stream.receive_some(777)
        assert got == data


async def test_many_records_in_one_call(autojump_clock: MockClock) -> None:
    async with connected(pipe_bytes=1_000_000) as (transport, stream, _):
        data = b"x" * (5 * RECORD_BYTES + 1)
        assert transport.try_send(data) == len(data)
        got = 0
        while got < len(data):
            got += len(await stream.receive_some())


async def test_what_is_decrypted_already_is_readable(autojump_clock: MockClock) -> None:
    async with connected(pipe_bytes=100_000) as (transport, stream, _):
        await stream.send_all(b"y" * 5_000)
        assert await receive(transport, 5_000, at_a_time=7) == b"y" * 5_000
        assert transport.recv_nowait(7) is None
        with trio.move_on_after(1) as scope:
            await transport.wait_readable()
        assert scope.cancelled_caught, "there is nothing more"


async def test_part_of_a_record_is_not_readable(autojump_clock: MockClock) -> None:
    async with connected() as (transport, _, raw):
        await raw.send_all(b"\x17\x03\x03")
        await transport.wait_readable()
        assert transport.recv_nowait(10) is None
        with trio.move_on_after(1) as scope:
            await transport.wait_readable()
        assert scope.cancelled_caught, "it would look again and again, and find nothing"


async def test_both_ends_end(autojump_clock: MockClock) -> None:
    async with connected() as (transport, stream, _):
        transport.try_send(b"last")
        transport.send_eof()
        assert await stream.receive_some() == b"last"
        assert await stream.receive_some() == b"", "close_notify, not a cut"
        await stream.aclose()
        await transport.wait_readable()
        assert transport.recv_nowait(10) == b""
        transport.close()
        with pytest.raises(ConnectionLost):
            transport.try_send(b"x")


async def test_a_damaged_record(autojump_clock: MockClock) -> None:
    async with connected() as (transport, _, raw):
        await raw.send_all(b"\x17\x03\x03\x00\x20" + b"z" * 32)
        await transport.wait_readable()
        with pytest.raises(ConnectionLost, match="TLS: "):
            transport.recv_nowait(10)


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=900), max_size=8),
    capacity=st.integers(60, 3_000),
    reads=st.lists(st.integers(1, 250), min_size=1, max_size=8),
)
def test_every_byte_arrives_in_order_both_ways(pieces: list[bytes], capacity: int, reads: list[int]) -> None:
    async def main() -> None:
        async with connected(capacity) as (transport, stream, _):
            whole = b"".join(pieces)
            up, down = b"", b""

            async def say() -> None:
                for piece in pieces:
                    await send_all(transport, piece)

            async def device() -> None:
                nonlocal down
                for piece in pieces:
                    await stream.send_all(piece)

            async def listen() -> None:
                nonlocal down
                while len(down) < len(whole):
                    down += await stream.receive_some(reads[0])

            async with trio.open_nursery() as nursery:
                nursery.start_soon(say)
                nursery.start_soon(device)
                nursery.start_soon(listen)
                turn = 0
                while len(up) < len(whole):
                    await transport.wait_readable()
                    up += transport.recv_nowait(reads[turn % len(reads)]) or b""
                    turn += 1
            assert up == down == whole

    trio.run(main, clock=MockClock(autojump_threshold=0))


# --- peers that never come to the end of it -----------------------------------------------------------------------


@asynccontextmanager
async def house_with_tls() -> AsyncIterator[tuple[House, MemoryListener]]:
    """A broker whose door has TLS."""
    async with open_house(limits={"login_timeout_s": 10, "write_timeout_s": 60}) as house:
        listener = MemoryListener()
        house.core.nursery.start_soon(Server(house.core).serve, TlsListener(listener, lambda: BROKER))
        yield house, listener


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01"])
async def test_a_handshake_that_is_never_finished(autojump_clock: MockClock, said: bytes) -> None:
    """It ends with the time for the log-in: what cannot be said to such a peer is not waited for."""
    async with house_with_tls() as (house, listener):
        begun = trio.current_time()
        raw = await listener.dial("10.0.0.1")
        await raw.send_all(said)
        assert await raw.receive_some(100) == b""
        assert trio.current_time() - begun == pytest.approx(10, abs=0.1)
        assert house.core.metrics.closed == {"login_timeout": 1}


async def test_what_is_no_tls_is_closed_at_once(autojump_clock: MockClock) -> None:
    async with house_with_tls() as (house, listener):
        begun = trio.current_time()
        raw = await listener.dial("10.0.0.1")
        await raw.send_all(b"GET / HTTP/1.1\r\n\r\n")
        with suppress(trio.BrokenResourceError):
            while await raw.receive_some(100):
                pass
        assert trio.current_time() - begun < 1
        assert house.core.metrics.closed == {"handshake_failed": 1}


# --- certificates of the other side -------------------------------------------------------------------------------


async def test_whose_certificate_it_is_is_known_after_the_handshake(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    names = [x509.RFC822Name("a@b.example"), x509.UniformResourceIdentifier("urn:x"), x509.DNSName("d.example")]
    issued = authority.issue("alice", *names)
    broker, device = of_broker(), of_device()
    broker.load_verify_locations(authority.write())
    broker.verify_mode = ssl.CERT_REQUIRED
    device.load_cert_chain(issued.certificate, issued.key)
    listener = MemoryListener()
    raw = await listener.dial()
    transport = await TlsListener(listener, lambda: broker).accept()
    stream = trio.SSLStream(raw, device, server_hostname="broker.example")
    assert transport.certificate is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.do_handshake)
        await transport.wait_readable()
    assert transport.certificate == PeerCertificate(("alice",), ("a@b.example",), ("urn:x",), ("d.example",))


async def test_who_shows_no_certificate_has_none() -> None:
    async with connected() as (transport, _, _):
        assert transport.certificate is None


async def test_a_session_that_is_resumed_ends_with_its_certificate(tmp_path: Path) -> None:
    """TLS 1.2 alone: the certificate is not shown again, and OpenSSL does not look at its dates again."""
    authority = Authority(tmp_path)
    issued = authority.issue("alice")
    broker, device = of_broker(), of_device()
    broker.load_verify_locations(authority.write())
    broker.verify_mode = ssl.CERT_REQUIRED
    broker.options |= ssl.OP_NO_TICKET
    device.load_cert_chain(issued.certificate, issued.key)
    device.maximum_version = ssl.TLSVersion.TLSv1_2

    async def shaken_hands(session: ssl.SSLSession | None, now_s: float) -> tuple[ssl.SSLObject, Transport]:
        listener = MemoryListener()
        raw = await listener.dial()
        transport = TlsTransport(await listener.accept(), broker, lambda: now_s)
        received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        side = device.wrap_bio(received, sent, server_hostname="broker.example", session=session)

        async def shake() -> None:
            while True:
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    await raw.send_all(sent.read())
                    received.write(await raw.receive_some())
                else:
                    await raw.send_all(sent.read())
                    return

        async with trio.open_nursery() as nursery:
            nursery.start_soon(shake)
            await transport.wait_readable()
        return side, transport

    side, transport = await shaken_hands(None, time.time())
    session = side.session
    transport.close()
    side, transport = await shaken_hands(session, time.time())
    assert side.session_reused
    assert transport.certificate == PeerCertificate(("alice",))
    transport.close()
    with pytest.RaisesGroup(pytest.RaisesExc(ConnectionLost, match="resumed session has expired")):
        await shaken_hands(session, time.time() + 86_400 * 2)
