"""Sessions whose device is not there any more, or acts as if it were not: nothing comes, and nobody says so."""

from pathlib import Path

import pytest
import trio

from hostile.healthy import USERS as HEALTHY
from hostile.peers import Peer
from hostile.siege import PEERS, Siege, besieged
from roost_broker.config import TERMINAL_TYPES
from roost_protocol.limits import KIB, MIB

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

SESSIONS = PEERS
USERS = tuple(f"sleeper-{number}" for number in range(-(-SESSIONS // len(TERMINAL_TYPES))))

KEEPALIVE_S = 10
"""What devices ask for; closed after 1.5 times that."""

LOGGING_IN_MAX = 40
"""Log-ins under way at once: as many as wait for their password to be checked."""

SESSION_BYTES_MAX = 48 * KIB
"""What a session may cost that has nothing to say."""
HALF_FRAME_BYTES = 200 * KIB
BESIDE_BYTES = 24 * MIB

KEEPALIVE_TIMEOUTS = 'roost_connections_closed_total{reason="keep_alive_timeout"}'


async def sessions(siege: Siege, count: int, **connect: int) -> list[Peer]:
    """So many sessions, each from an address of its own."""
    peers: list[Peer] = []
    limiter = trio.CapacityLimiter(LOGGING_IN_MAX)

    async def log_in(number: int) -> None:
        async with limiter:
            peer = await siege.dial(number)
            user, terminal = USERS[number // len(TERMINAL_TYPES)], TERMINAL_TYPES[number % len(TERMINAL_TYPES)]
            await peer.log_in(user, terminal, **connect)
            peers.append(peer)

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(log_in, number)
    return peers


async def test_devices_that_vanish(tmp_path: Path) -> None:
    """Half of them without a word, as those whose power fails; half go on to be there, and are silent."""
    async with besieged(tmp_path, "half-open sessions", users=USERS, connections=2 * SESSIONS) as siege:
        siege.memory_bound_bytes = SESSIONS * SESSION_BYTES_MAX + BESIDE_BYTES
        peers = await sessions(siege, SESSIONS, keepalive_s=KEEPALIVE_S)
        if not all(peer.vanish() for peer in peers[::2]):
            pytest.skip("needs CAP_NET_ADMIN: sockets that close without a word")
        ends = [await peer.end(60) for peer in peers[1::2]]
        assert {end.how for end in ends} == {"keep_alive_timeout"}
        siege.expect_closed({"keep_alive_timeout": SESSIONS})


async def test_half_a_frame(tmp_path: Path) -> None:
    """The largest frame that is allowed, but for its end: that much is kept for each, and as long as its keepalive."""
    count = max(SESSIONS // 10, 20)
    async with besieged(tmp_path, "half a frame", users=USERS, connections=2 * SESSIONS) as siege:
        siege.memory_bound_bytes = count * (2 * HALF_FRAME_BYTES + SESSION_BYTES_MAX) + BESIDE_BYTES
        peers = await sessions(siege, count, keepalive_s=KEEPALIVE_S)
        for peer in peers:
            await peer.send((250 * KIB).to_bytes(4) + b"\x03" + bytes(HALF_FRAME_BYTES))
        ends = [await peer.end(60) for peer in peers]
        assert {end.how for end in ends} == {"keep_alive_timeout"}
        siege.expect_closed({"keep_alive_timeout": count})


async def test_devices_that_say_the_end_and_stay(tmp_path: Path) -> None:
    """They close their direction, and never the other: the broker does not wait for that."""
    async with besieged(tmp_path, "half-closed sessions", users=USERS, connections=2 * SESSIONS) as siege:
        siege.memory_bound_bytes = SESSIONS * SESSION_BYTES_MAX + BESIDE_BYTES
        peers = await sessions(siege, SESSIONS)
        for peer in peers:
            peer.say_end()
        await siege.wait_until(lambda found: found["roost_connections"] <= len(HEALTHY) + 1, "them to be closed")
        siege.expect_closed({"peer_gone": SESSIONS})
