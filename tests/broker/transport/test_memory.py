"""The network in memory keeps the same contract as sockets do, on both of its sides."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, check_half_closeable_stream, wait_all_tasks_blocked

from roost_broker.transport import ConnectionLost, Transport
from roost_broker.transport.memory import MemoryListener, MemoryStream, _Pipe


async def pair(pipe_bytes: int = 100) -> tuple[Transport, MemoryStream]:
    listener = MemoryListener(pipe_bytes=pipe_bytes)
    stream = await listener.dial("10.0.0.1")
    return await listener.accept(), stream


async def test_bytes_go_both_ways_in_parts(autojump_clock: object) -> None:
    transport, stream = await pair(pipe_bytes=4)
    assert transport.recv_nowait(10) is None
    assert transport.try_send(b"hello") == 4
    assert transport.try_send(b"o") == 0
    with trio.move_on_after(1) as scope:
        await transport.wait_writable()
    assert scope.cancelled_caught
    assert await stream.receive_some(2) == b"he"
    await transport.wait_writable()
    assert transport.try_send(memoryview(b"o!")) == 2
    assert await stream.receive_some() == b"llo!"
    await stream.send_all(b"up")
    await transport.wait_readable()
    assert transport.recv_nowait(1) == b"u"
    assert transport.recv_nowait(10) == b"p"


async def test_the_address_is_that_of_the_dialler(autojump_clock: object) -> None:
    transport, _ = await pair()
    assert (transport.host, transport.address) == ("10.0.0.1", "10.0.0.1:1")


async def test_ends_come_after_what_was_sent(autojump_clock: object) -> None:
    transport, stream = await pair()
    transport.try_send(b"last")
    transport.send_eof()
    assert await stream.receive_some() == b"last"
    assert await stream.receive_some() == b""
    await stream.send_all(b"bye")
    await stream.send_eof()
    assert transport.recv_nowait(10) == b"bye"
    await transport.wait_readable()
    assert transport.recv_nowait(10) == b""
    with pytest.raises(ConnectionLost):
        transport.try_send(b"x")


async def test_close_lets_the_other_side_read_what_was_sent(autojump_clock: object) -> None:
    transport, stream = await pair()
    transport.try_send(b"last")
    transport.close()
    transport.close()
    assert await stream.receive_some() == b"last"
    assert await stream.receive_some() == b""
    with pytest.raises(trio.BrokenResourceError):
        await stream.send_all(b"x")
    with pytest.raises(ConnectionLost):
        transport.recv_nowait(1)


@pytest.mark.parametrize("what", ["wait_readable", "wait_writable"])
async def test_close_and_cut_wake_who_waits(what: str, autojump_clock: object) -> None:
    for end in ("close", "cut"):
        transport, stream = await pair()
        while transport.try_send(b"x" * 100):
            pass

        async def wait(transport: Transport = transport, end: str = end) -> None:
            if end == "close" and what == "wait_writable":
                await transport.wait_writable()  # it may look again, and finds the end
                return
            with pytest.raises(ConnectionLost):
                await getattr(transport, what)()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            transport.close() if end == "close" else stream.cut()
        with pytest.raises(ConnectionLost):
            transport.try_send(b"x")


async def test_a_cut_loses_what_was_under_way(autojump_clock: object) -> None:
    transport, stream = await pair()
    transport.try_send(b"lost")
    stream.cut()
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some()
    with pytest.raises(ConnectionLost):
        transport.recv_nowait(1)


async def test_nobody_accepts_after_close(autojump_clock: object) -> None:
    listener = MemoryListener()
    waiting = await listener.dial()
    accepted = await listener.accept()
    late = await listener.dial()
    listener.close()
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        await listener.dial()
    with pytest.raises(ConnectionLost):
        await listener.accept()
    assert await late.receive_some() == b"", "it was never accepted"
    accepted.try_send(b"x")
    assert await waiting.receive_some() == b"x"


async def test_the_device_side_is_a_stream_as_trio_has_them() -> None:
    """Trio's own test of a stream, on two of them face to face."""

    async def make(capacity: int = 1_000) -> tuple[MemoryStream, MemoryStream]:
        one, other = _Pipe(capacity), _Pipe(capacity)
        return MemoryStream(one, other), MemoryStream(other, one)

    await check_half_closeable_stream(make, None)


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=30), max_size=20),
    capacity=st.integers(1, 20),
    reads=st.lists(st.integers(1, 25), min_size=1, max_size=10),
)
def test_every_byte_arrives_in_order(pieces: list[bytes], capacity: int, reads: list[int]) -> None:
    async def main() -> None:
        transport, stream = await pair(capacity)
        got = b""

        async def send() -> None:
            for piece in pieces:
                await stream.send_all(piece)
            await stream.send_eof()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            turn = 0
            while True:
                await transport.wait_readable()
                data = transport.recv_nowait(reads[turn % len(reads)])
                turn += 1
                if data == b"":
                    break
                got += data or b""
        assert got == b"".join(pieces)

    trio.run(main, clock=MockClock(autojump_threshold=0))
