"""A transport as a stream: as Trio's own check has it, and the end of the listener."""

import pytest
import trio

from broker.house import in_virtual_time
from roost_broker.http.stream import StreamListener, TransportStream
from roost_broker.transport.memory import MemoryListener, MemoryStream


async def pair() -> tuple[TransportStream, MemoryStream]:
    listener = MemoryListener()
    theirs = await listener.dial("192.0.2.1")
    return await StreamListener(listener).accept(), theirs


@in_virtual_time
async def test_bytes_go_both_ways_and_more_than_fits() -> None:
    ours, theirs = await pair()
    data = bytes(range(256)) * 2_000
    received = bytearray()

    async def receive() -> None:
        while len(received) < len(data):
            received.extend(await theirs.receive_some(1_000))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await ours.send_all(data)
    assert received == data
    await theirs.send_all(b"hello")
    assert await ours.receive_some(2) == b"he"
    assert await ours.receive_some() == b"llo"
    assert ours.transport.host == "192.0.2.1"


@in_virtual_time
async def test_the_ends() -> None:
    ours, theirs = await pair()
    await ours.send_eof()
    assert await theirs.receive_some() == b""
    await theirs.send_eof()
    assert await ours.receive_some() == b""
    await ours.aclose()
    with pytest.raises(trio.BrokenResourceError):
        await ours.receive_some()
    with pytest.raises(trio.BrokenResourceError):
        await ours.send_all(b"x")


@in_virtual_time
async def test_a_listener_that_is_closed() -> None:
    listener = StreamListener(MemoryListener())
    await listener.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await listener.accept()
