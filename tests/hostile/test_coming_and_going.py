"""Connections that come and go, one after the other, and the places that there are for those who stay."""

from collections import Counter
from pathlib import Path

import pytest
import trio

from hostile.healthy import USERS
from hostile.peers import RESET, SILENCE, Peer
from hostile.siege import PEERS, besieged
from hostile.test_before_login import BESIDE_BYTES, CONNECT, LIMITS, LOGIN_TIMEOUT_S, STRANGER_BYTES_MAX, WITHIN_S
from roost_broker.server import ACCEPTED_IN_A_ROW

pytestmark = [pytest.mark.process, pytest.mark.timeout(900)]

TURNS = 10
"""Connections in all: so many times those of a crowd."""

AT_ONCE = 200


async def test_connecting_and_closing(tmp_path: Path) -> None:
    """A third go properly, a third with a reset, a third in the middle of their CONNECT."""
    numbers = iter(range(TURNS * PEERS))

    async def come_and_go() -> None:
        for number in numbers:
            peer = await siege.dial(number)
            if number % 3 == 0:
                peer.close()
            elif number % 3 == 1:
                peer.reset()
            else:
                await peer.send(CONNECT[:-1])
                peer.close()

    async with besieged(tmp_path, "connecting and closing", limits=LIMITS) as siege:
        siege.memory_bound_bytes = AT_ONCE * STRANGER_BYTES_MAX + BESIDE_BYTES
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(come_and_go)
    # Of those who reset at once the kernel keeps a few to itself; and who is still in the door may lose his place.
    assert 0.99 * TURNS * PEERS < siege.closed.total() <= TURNS * PEERS
    assert not siege.closed.keys() - {"peer_gone", "malformed_packet", "server_busy"}
    assert not siege.refused


async def test_one_address_has_its_bound(tmp_path: Path) -> None:
    """All from one address: as many as it may have get a place, and the others are told, or just closed."""
    most = PEERS // 3
    found: Counter[str] = Counter()
    limits = LIMITS | {"connections_per_address_max": most}
    async with besieged(tmp_path, "all from one address", limits=limits) as siege:
        siege.memory_bound_bytes = PEERS * STRANGER_BYTES_MAX + BESIDE_BYTES

        async def one() -> None:
            with await siege.dial(0) as peer:
                found[(await peer.end(WITHIN_S)).how] += 1

        async with trio.open_nursery() as nursery:
            for _ in range(PEERS):
                nursery.start_soon(one)
        siege.expect_closed({"login_timeout": most})
    assert found["login_timeout"] == most
    assert siege.refused == {"connections_per_address_max": PEERS - most}
    assert found["server_busy"] + found[SILENCE] + found[RESET] == PEERS - most
    assert found["server_busy"]


async def test_places_in_all(tmp_path: Path) -> None:
    """Sessions have all but a few places: strangers get the others, in turn, and no session loses its own."""
    spare = 5
    limits = {
        "connections_max": len(USERS) + spare,
        "connections_before_login_max": spare,
        "login_timeout_s": LOGIN_TIMEOUT_S,
    }
    peers: list[Peer] = []
    async with besieged(tmp_path, "places in all", limits=limits) as siege:
        siege.memory_bound_bytes = BESIDE_BYTES
        siege.log_ins_may_wait = True  # of five places, it may lose its own before it has said who it is
        for number in range(PEERS):
            peers.append(await siege.dial(number))
        most = max([(await siege.metrics())["roost_connections"] for _ in range(20)])
        assert most <= len(USERS) + spare + ACCEPTED_IN_A_ROW, "those who gave way count until they were told"
        for peer in peers:
            await peer.end(WITHIN_S)
    assert not siege.refused
    # The newcomer may have lost his, too.
    assert siege.closed.total() - PEERS in range(spare)
    assert siege.closed["server_busy"] >= PEERS - spare
