"""Devices that log in and say more than anybody wants to hear."""

from itertools import count
from pathlib import Path

import pytest
import trio

from hostile.healthy import USERS as HEALTHY
from hostile.peers import Peer
from hostile.siege import FULL, PEERS, Siege, besieged
from hostile.test_readers_that_stop import LIMITS, log_in_all, wait_given_up
from roost_protocol import codec
from roost_protocol.frames import Ack, Ephemeral, Ping, Publish
from roost_protocol.limits import KIB, MIB, Limits

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

SENDERS = max(PEERS // 100, 3)

ATTACK_S = 20.0 if FULL else 1.0
"""Those that are never closed go on for so long."""

DEFAULT = Limits()
SENDER_BYTES_MAX = DEFAULT.write_buffer_bytes_max + DEFAULT.frame_bytes_max + DEFAULT.publish_max * 2 * KIB
"""What a sender may cost: what it does not read, a frame that is not whole, and its unsettled publishes."""
QUEUE_BYTES = 4 * MIB
BESIDE_BYTES = 24 * MIB
"""The queue of the batcher, smaller than by default so that a sender who is not held back shows, and the batch under
way."""

BODY = "x" * KIB


FLOODS = (
    codec.encode(Ping()) * 10_000,
    codec.encode(Ack(seq=0)) * 10_000,
    codec.encode(Ephemeral(to="user/flooder-0", text="typing")) * 1_000,
)


async def test_publishing_without_reading_what_is_answered(tmp_path: Path) -> None:
    users = tuple(f"sender-{number}" for number in range(SENDERS))

    async def publish(peer: Peer) -> None:
        for n in count(1):
            if not await peer.say(Publish(n=n, to="user/nobody-home", text=BODY)):
                return

    limits = LIMITS | {"write_buffer_bytes_max": 64 * KIB, "queue_bytes_max": QUEUE_BYTES}
    async with besieged(tmp_path, "publishing without reading", limits=limits, users=users) as siege:
        siege.memory_bound_bytes = SENDERS * SENDER_BYTES_MAX + BESIDE_BYTES
        peers = await log_in_all(siege, users)
        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(publish, peer)
            await wait_given_up(siege, SENDERS)
        siege.expect_closed({"write_timeout": SENDERS})


async def flood(siege: Siege, users: tuple[str, ...], data: bytes) -> int:
    """Have each say this again and again for a time, and read whatever is answered; how many bytes were said."""
    said = 0

    async def say(peer: Peer) -> None:
        nonlocal said
        while await peer.send(data):
            said += len(data)

    async def read(peer: Peer) -> None:
        while await peer.listen():
            peer.heard.clear()

    peers = [await siege.dial(number) for number, _ in enumerate(users)]
    for peer, user in zip(peers, users, strict=True):
        await peer.log_in(user)
    with trio.move_on_after(ATTACK_S):
        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(say, peer)
                nursery.start_soon(read, peer)
    for peer in peers:
        peer.reset()  # what has come of it already is not read
    return said


async def test_frames_without_an_end(tmp_path: Path) -> None:
    """Small ones, as many in a read as there is room for: nobody else waits until all of them are answered."""
    users = tuple(f"flooder-{number}" for number in range(SENDERS))
    async with besieged(tmp_path, "frames without an end", limits=LIMITS, users=users) as siege:
        siege.memory_bound_bytes = SENDERS * SENDER_BYTES_MAX + BESIDE_BYTES
        for data in FLOODS:
            assert await flood(siege, users, data) > len(data)
            await siege.wait_until(lambda found: found["roost_connections"] <= len(HEALTHY) + 1, "them to be gone")
        siege.expect_closed({"peer_gone": SENDERS * len(FLOODS)})
