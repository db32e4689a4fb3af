"""Sessions whose device is not there any more, or acts as if it were not: nothing comes, and nobody says so."""

from pathlib import Path

import pytest
import trio

from hostile.healthy import USERS as HEALTHY
from hostile.peers import Peer
from hostile.siege import FULL, PEERS, Siege, besieged
from roost_broker.config import TERMINAL_TYPES
from roost_protocol.limits import KIB, MIB

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

SESSIONS = PEERS
USERS = tuple(f"sleeper-{number}" for number in range(-(-SESSIONS // len(TERMINAL_TYPES))))

KEEPALIVE_S = 10 if FULL else 2
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


async def test_devices_that_are_not_there_any_more(tmp_path: Path) -> None:
    """Some have vanished without a word, as those whose power fails; some are silent; some have sent half a frame, the
    largest there is; and some have closed their direction, and never the other."""
    vanished, silent, halves, half_closed = (SESSIONS // 3, SESSIONS // 3, SESSIONS // 10, SESSIONS // 5)
    count = vanished + silent + halves + half_closed
    async with besieged(tmp_path, "half-open sessions", users=USERS, connections=2 * SESSIONS) as siege:
        siege.memory_bound_bytes = count * SESSION_BYTES_MAX + halves * 2 * HALF_FRAME_BYTES + BESIDE_BYTES
        peers = await sessions(siege, count, keepalive_s=KEEPALIVE_S)
        for peer in peers[:half_closed]:
            peer.say_end()
        if not all(peer.vanish() for peer in peers[half_closed : half_closed + vanished]):
            pytest.skip("needs CAP_NET_ADMIN: sockets that close without a word")
        for peer in peers[-halves:]:
            await peer.send((250 * KIB).to_bytes(4) + b"\x03" + bytes(HALF_FRAME_BYTES))
        await siege.wait_until(lambda found: found["roost_connections"] <= len(HEALTHY) + 1, "all to be closed")
        ends = {(await peer.end(60)).how for peer in peers[-halves - silent :]}
        assert ends == {"keep_alive_timeout"}
        siege.expect_closed({"keep_alive_timeout": vanished + silent + halves, "peer_gone": half_closed})
