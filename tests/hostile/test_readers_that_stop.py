"""Devices that log in, have much said to them, and never read it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from hostile.peers import Peer
from hostile.siege import DEFECT, FULL, PEERS, Siege, besieged
from roost_protocol import codec
from roost_protocol.frames import Ack, Deliver, Fetch, Group, Ping, Puback, Publish, Result
from roost_protocol.limits import KIB, LIST_MAX, MIB, Limits

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

READERS = max(PEERS // 10, 20)
PINGERS = max(READERS // 50, 1)
MEMBERS = min(PEERS // 5, LIST_MAX - 1)
MESSAGES = 60

WRITE_TIMEOUT_S = 10 if FULL else 2
LIMITS = {"write_timeout_s": WRITE_TIMEOUT_S}

DEFAULT = Limits()
READER_BYTES_MAX = DEFAULT.write_buffer_bytes_max + DEFAULT.frame_bytes_max + DEFAULT.tail_bytes_max
"""What a device that reads nothing may cost, the only one of its user: a full buffer, the answer that filled it,
and his newest entries."""
BESIDE_BYTES = 24 * MIB

NARROW = 4 * KIB
"""Of a peer's receive buffer: the kernel soon takes nothing more for it."""

WRITE_TIMEOUTS = 'roost_connections_closed_total{reason="write_timeout"}'

BODY = "x" * 64 * KIB
ASKED = 40
"""Pages that a reader asks for: 7 MB that it does not read."""


async def log_in_all(siege: Siege, users: Sequence[str], **connect: Any) -> list[Peer]:
    """A session of each, with a narrow receive buffer."""
    peers = [await siege.dial(number, receive_buffer_bytes=NARROW) for number, _ in enumerate(users)]
    for peer, user in zip(peers, users, strict=True):
        await peer.log_in(user, **connect)
    return peers


async def wait_given_up(siege: Siege, count: int) -> None:
    """Wait until so many connections were closed because their peer took nothing."""
    await siege.wait_until(lambda found: found[WRITE_TIMEOUTS] >= count, f"{count} write time-outs")


async def hears(peer: Peer, kind: type) -> None:
    """Wait for a frame of this kind; others count for nothing."""
    while not any(isinstance(frame, kind) for frame in peer.heard):
        assert await peer.listen(), peer.heard
    peer.heard.clear()


async def test_pages_that_nobody_reads(tmp_path: Path) -> None:
    """Each asks for dozens of pages of its own inbox."""
    users = tuple(f"reader-{number}" for number in range(READERS))
    async with besieged(tmp_path, "pages that nobody reads", limits=LIMITS, users=users) as siege:
        siege.memory_bound_bytes = READERS * READER_BYTES_MAX + BESIDE_BYTES
        peers = await log_in_all(siege, users)
        for peer in peers:
            for n in (1, 2, 3):
                await peer.say(Publish(n=n, to="user/nobody-home", text=BODY))
                await hears(peer, Puback)
        for peer in peers:
            await peer.say(*(Fetch(request=number) for number in range(1, ASKED + 1)))
        await wait_given_up(siege, READERS)
        siege.expect_closed({"write_timeout": READERS})


@pytest.mark.parametrize("window", ["narrow", "wide"] if FULL or DEFECT else ["wide"])
async def test_messages_that_nobody_reads(tmp_path: Path, window: str) -> None:
    """All are in one group, to which more is sent than any buffer takes; it is all there for whoever comes back.

    With the window that is the default, what is not acknowledged has room in the kernel, and the session rests until
    its keepalive is over; with a wide one the broker's own buffer fills up, and the deadline for writing counts.
    """
    users = tuple(f"member-{number}" for number in range(MEMBERS))
    bytes_max = (1 if window == "narrow" else 32) * MIB
    limits = LIMITS | {"receive_bytes_max": bytes_max}
    async with besieged(
        tmp_path, f"messages that nobody reads ({window} window)", limits=limits, users=(*users, "writer")
    ) as siege:
        siege.memory_bound_bytes = MEMBERS * READER_BYTES_MAX + BESIDE_BYTES
        await log_in_all(siege, users, receive_bytes_max=bytes_max)
        writer = await siege.dial(MEMBERS)
        await writer.log_in("writer")
        await writer.say(Group(request=1, action="create", group="crowd", users=users))
        await hears(writer, Result)
        for n in range(1, MESSAGES + 1):
            await writer.say(Publish(n=n, to="group/crowd", text=BODY))
            await hears(writer, Puback)
        if window == "wide":
            await wait_given_up(siege, MEMBERS)
            siege.expect_closed({"write_timeout": MEMBERS, "peer_gone": 2})
        else:
            await siege.wait_until(lambda found: found["roost_slow_devices"] == MEMBERS, "all to be slow")
            siege.expect_closed({"peer_gone": MEMBERS + 2})
        siege.close_peers()
        assert await reads_all(siege, users[0]) == list(range(1, MESSAGES + 1))


async def reads_all(siege: Siege, user: str) -> list[int]:
    """The numbers of the entries that a device of this user gets that has none, and reads."""
    with await siege.dial(MEMBERS + 1) as peer:
        await peer.log_in(user, "phone")
        with trio.fail_after(60):
            while len(peer.heard) < MESSAGES:
                assert await peer.listen()
                await peer.say(*(Ack(seq=frame.seq) for frame in peer.heard[-1:] if isinstance(frame, Deliver)))
        return [frame.seq for frame in peer.heard if isinstance(frame, Deliver)]


async def test_answers_that_nobody_reads(tmp_path: Path) -> None:
    """Each pings without an end, and does not read what is answered: a few bytes each time, so few fill a buffer."""
    users = tuple(f"pinger-{number}" for number in range(PINGERS))
    pings = codec.encode(Ping()) * 1_000
    limits = LIMITS | {"write_buffer_bytes_max": 64 * KIB}

    async with besieged(tmp_path, "answers that nobody reads", limits=limits, users=users) as siege:
        siege.memory_bound_bytes = PINGERS * READER_BYTES_MAX + BESIDE_BYTES
        peers = await log_in_all(siege, users)
        async with trio.open_nursery() as nursery:

            async def ping(peer: Peer) -> None:
                while await peer.send(pings):
                    pass

            for peer in peers:
                nursery.start_soon(ping, peer)
            await wait_given_up(siege, PINGERS)
        siege.expect_closed({"write_timeout": PINGERS})
