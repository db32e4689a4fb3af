"""Those who never log in: they say nothing, or a byte now and then, or that much will follow, or anything else."""

from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from hostile.peers import SILENCE, End
from hostile.siege import DEFECT, FULL, PEERS, Siege, besieged
from protocol.test_connection import SAYABLE
from roost_broker.strangers import LINES_MAX, LINES_WINDOW_S
from roost_protocol import codec
from roost_protocol.frames import Connect, Disconnect, Ping
from roost_protocol.limits import KIB, MIB

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

LOGIN_TIMEOUT_S = 10 if FULL else 2
LATE_S = 5.0 if DEFECT else 20.0
"""How much later than its deadline a connection may be closed: noise of a busy machine, not a promise."""

LIMITS = {"login_timeout_s": LOGIN_TIMEOUT_S, "connections_before_login_max": PEERS, "connections_max": 4 * PEERS}
"""In proportion to the defaults, which are these for 5,000 peers."""

STRANGER_BYTES_MAX = 32 * KIB
"""What a stranger may cost: a task, a place, and what he may say before he has logged in (4 KiB)."""
BESIDE_BYTES = 16 * MIB

WITHIN_S = LOGIN_TIMEOUT_S + LATE_S

DRIP_S = 2.0 if FULL else 0.4
"""From one byte to the next."""

AGAIN_AFTER_S = 0.5
"""A peer that has lost its place tries again after so long."""

CONNECT = codec.encode(Connect(user="nobody", password="x", terminal="pc", device="d"))

Crowd = Callable[[Siege, int], Awaitable[End]]


async def idle(siege: Siege, number: int) -> End:
    """Says nothing."""
    with await siege.dial(number) as peer:
        return await peer.end(WITHIN_S)


async def one_byte_at_a_time(siege: Siege, number: int) -> End:
    """Says its CONNECT, but so slowly that it never comes to the end of it."""
    with await siege.dial(number) as peer:
        for byte in CONNECT:
            with trio.move_on_after(DRIP_S):
                return await peer.end(WITHIN_S)
            await peer.send(bytes([byte]))
        return await peer.end(WITHIN_S)


async def of_length_2_31(siege: Siege, number: int) -> End:
    """Says that a frame of 2 GiB follows, and begins to send it."""
    with await siege.dial(number) as peer:
        await peer.send((2**31).to_bytes(4) + b"\x01" + bytes(8 * KIB))
        return await peer.end(WITHIN_S)


async def all_at_once(siege: Siege, *crowds: Crowd) -> dict[str, list[End]]:
    """Have `PEERS` of each crowd come together; how each of them ended."""
    ends: dict[str, list[End]] = {}

    async def one(crowd: Crowd, number: int) -> None:
        ends[crowd.__name__].append(await crowd(siege, number))

    async with trio.open_nursery() as nursery:
        for which, crowd in enumerate(crowds):
            ends[crowd.__name__] = []
            for peer in range(PEERS):
                nursery.start_soon(one, crowd, which * PEERS + peer)
    return ends


def hows(ends: list[End]) -> Counter[str]:
    """How often each end was met with."""
    return Counter(end.how for end in ends)


async def test_three_crowds_at_once(tmp_path: Path) -> None:
    """Idle, one byte at a time, and "length 2^31": as many in all as three times the places for strangers."""
    async with besieged(tmp_path, "three crowds before log-in", limits=LIMITS) as siege:
        siege.memory_bound_bytes = PEERS * STRANGER_BYTES_MAX + BESIDE_BYTES
        ends = await all_at_once(siege, idle, one_byte_at_a_time, of_length_2_31)
        told = hows([end for crowd in ends.values() for end in crowd])
        siege.expect_closed(told)
    assert told.total() == 3 * PEERS
    # Each was told why; a giant whose place was taken while it was still sending may have lost that to a reset.
    assert not hows(ends["idle"]) - Counter(login_timeout=PEERS, server_busy=PEERS)
    assert not hows(ends["one_byte_at_a_time"]) - Counter(login_timeout=PEERS, server_busy=PEERS)
    assert not hows(ends["of_length_2_31"]) - Counter(packet_too_large=PEERS, server_busy=PEERS, reset=PEERS)
    assert hows(ends["of_length_2_31"])["packet_too_large"]
    timed_out = [end.after_s for crowd in ends.values() for end in crowd if end.how == "login_timeout"]
    assert timed_out
    assert max(timed_out) < LOGIN_TIMEOUT_S + LATE_S


async def test_a_door_that_is_kept_full_lets_others_in(tmp_path: Path) -> None:
    """Twice as many as there are places, for twice the deadline: whoever says who he is at once gets in."""
    ends: list[End] = []

    async def comes_again_and_again(siege: Siege, number: int) -> None:
        while trio.current_time() < until:
            ends.append(await idle(siege, number))
            await trio.sleep(AGAIN_AFTER_S)

    async with besieged(tmp_path, "a door kept full", limits=LIMITS) as siege:
        siege.memory_bound_bytes = PEERS * STRANGER_BYTES_MAX + BESIDE_BYTES
        until = trio.current_time() + 2 * LOGIN_TIMEOUT_S
        async with trio.open_nursery() as nursery:
            for number in range(2 * PEERS):
                nursery.start_soon(comes_again_and_again, siege, number)
        siege.expect_closed(hows(ends))
    assert hows(ends)["server_busy"] > 2 * PEERS


SAID_FIRST: list[tuple[bytes, str]] = [
    *((codec.encode(frame), "protocol_error") for frame in SAYABLE if type(frame) not in (Connect, Disconnect)),
    (codec.encode(Disconnect()), SILENCE),
    (CONNECT + CONNECT, "protocol_error"),
    (CONNECT + codec.encode(Ping()), "protocol_error"),
    (CONNECT + bytes(5), "malformed_packet"),
    (b"\0\0\0\1\0", "protocol_error"),
    (b"\0\0\0\1\xff", "protocol_error"),
    (b"\0\0\0\0", "malformed_packet"),
    (b"\0\0\0\3\1\xc1\xc1", "malformed_packet"),
    (b"\0\0\0\2\1\x80", "malformed_packet"),
    (b"\0\0\0\x06\1\xdf\xff\xff\xff\xff", "malformed_packet"),
    (b"\0\0\x0f\xff\1" + b"\x91" * 4094, "malformed_packet"),
    (b"\0\0\x10\1\1", "packet_too_large"),
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "packet_too_large"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "packet_too_large"),
]
"""What a stranger must not say first, and why it is closed: every frame but CONNECT; CONNECT and more, before it has an
answer; types that there are not; no length; what is no MessagePack, an empty map, a map that says it has
2^32 - 1 keys, 4,094 lists in each other; a byte more than a stranger may say; HTTP; a TLS handshake."""

FLOODS = 10
"""Connections that each peer of the flood makes, one after the other."""


async def test_anything_but_connect_first(tmp_path: Path) -> None:
    """A flood of them, each closed with its reason, and none of it more than a few lines in the log."""
    expected = Counter[str]()
    found = Counter[str]()

    async def says_it(siege: Siege, number: int) -> None:
        for turn in range(FLOODS):
            data, reason = SAID_FIRST[(number + turn) % len(SAID_FIRST)]
            with await siege.dial(number) as peer:
                await peer.send(data)
                end = await peer.end(WITHIN_S)
            expected[reason] += 1
            found[end.how] += 1
            assert end.how in (reason, "server_busy"), f"{data[:40]!r}: {end}"

    # All of them have a place: what is asked here is not who gets one.
    limits = LIMITS | {"connections_before_login_max": 2 * PEERS}
    async with besieged(tmp_path, "bad frames first", limits=limits) as siege:
        siege.memory_bound_bytes = PEERS * STRANGER_BYTES_MAX + BESIDE_BYTES
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            for number in range(PEERS):
                nursery.start_soon(says_it, siege, number)
        quiet = found.pop(SILENCE)
        siege.expect_closed(found | {"peer_gone": quiet})
        lines_max = LINES_MAX * (2 + (trio.current_time() - begun) / LINES_WINDOW_S)
        assert siege.broker.log.read_text().count("before log-in") <= lines_max, "lines in the log"
    assert found + Counter({SILENCE: quiet}) == expected
