"""Peers of the web listener: HTTP that never comes to its end, or means two things, and WebSockets that say nothing."""

import base64
import re
import struct
from collections import Counter
from pathlib import Path

import pytest
import trio

from hostile.peers import LEFT_OPEN, End, Peer
from hostile.siege import FULL, PEERS, Siege, besieged
from hostile.test_before_login import (
    BESIDE_BYTES,
    CONNECT,
    LATE_S,
    LIMITS,
    LOGIN_TIMEOUT_S,
    STRANGER_BYTES_MAX,
    WITHIN_S,
)
from roost_protocol.limits import KIB
from roost_protocol.websocket import BINARY, JSON

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

WEB = ("--web", "127.0.0.1:0")

HTTP_TIMEOUT_S = 30 if FULL else 2
WEB_LIMITS = LIMITS | {"http_timeout_s": HTTP_TIMEOUT_S, "web_connections_max": 512 if FULL else 50}

HTTP_BYTES_MAX = 64 * KIB
"""What an HTTP connection may cost: h11's buffer of 16 KiB, and what one read brings."""

POST = b"POST /csp-report HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
HEAD = b"GET /livez HTTP/1.1\r\nHost: x\r\n"

ENDED = "roost_web_connections_closed_total"


def asks_for_websocket(sub_protocol: str) -> bytes:
    """A right opening handshake."""
    return (
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\n"
        b"Sec-WebSocket-Protocol: " + sub_protocol.encode() + b"\r\n\r\n"
    )


def frame(first: int, data: bytes, declared: int | None = None) -> bytes:
    """A frame of a client, masked with zeros, that says it is so long."""
    length = len(data) if declared is None else declared
    if length < 126:
        return struct.pack(">BB", first, 0x80 | length) + bytes(4) + data
    if length < 2**16:
        return struct.pack(">BBH", first, 0x80 | 126, length) + bytes(4) + data
    return struct.pack(">BBQ", first, 0x80 | 127, length) + bytes(4) + data


async def is_served(siege: Siege, number: int) -> bool:
    """Whether a browser that comes now is answered."""
    with await siege.dial_web(number) as peer:
        await peer.send(HEAD + b"Connection: close\r\n\r\n")
        await peer.end(WITHIN_S)
        return peer.raw.startswith(b"HTTP/1.1 200")


async def drips(siege: Siege, number: int) -> End:
    """Sends the head of a request drop by drop, and never the end of it."""
    with await siege.dial_web(number) as peer:
        await peer.send(HEAD)
        return await peer.drip(b"X-A: b\r\n", 1, HTTP_TIMEOUT_S + LATE_S)


async def test_requests_drop_by_drop(tmp_path: Path) -> None:
    """Ten times as many as there are places; whoever asks properly meanwhile is answered."""
    ends: list[End] = []
    served: list[bool] = []
    async with besieged(tmp_path, "HTTP drop by drop", *WEB, limits=WEB_LIMITS) as siege:
        siege.memory_bound_bytes = WEB_LIMITS["web_connections_max"] * HTTP_BYTES_MAX + BESIDE_BYTES

        async def one(number: int) -> None:
            ends.append(await drips(siege, number))

        async with trio.open_nursery() as nursery:
            for number in range(PEERS):
                nursery.start_soon(one, number)
            await trio.sleep(1)
            for number in range(3):
                served.append(await is_served(siege, PEERS + number))
        after = await siege.metrics()
    assert all(served)
    assert {end.how for end in ends} <= {"silence", "reset"}
    counted = Counter({why: int(after[f'{ENDED}{{reason="{why}"}}']) for why in ("place_taken", "timeout", "answered")})
    assert counted["answered"] == len(served)
    assert counted["place_taken"] + counted["timeout"] == PEERS
    assert counted["place_taken"] >= PEERS - WEB_LIMITS["web_connections_max"]


SHAPES = {
    "both lengths": POST + b"Content-Length: 40\r\n" + CHUNKED + b"0\r\n\r\n",
    "lengths that differ": POST + b"Content-Length: 0\r\nContent-Length: 40\r\n\r\n",
    "a length that is none": POST + b"Content-Length: +40\r\n\r\n",
    "a length beyond every number": POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
    "chunked that is not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked spelled otherwise": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a line that goes on, with a null byte": POST + b"X: y\r\n Content-Length: 5\x00\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "a null byte": b"GET / HTTP/1.1\r\nHost: x\r\nX: \0\r\n\r\n",
    "a carriage return alone": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\rGET /livez HTTP/1.1\r\n\r\n",
    "a chunk whose size is none": POST + CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "a chunk longer than it says": POST + CHUNKED + b"1\r\nabc\r\n0\r\n\r\n",
    "a flood of headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Flood: yes\r\n" * 20_000,
    "a header without an end": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 300_000,
    "a target without an end": b"GET /" + b"a" * 300_000,
    "a body without an end": POST + CHUNKED + (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 20,
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "CONNECT of roost": CONNECT,
    "a TLS handshake": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
}
"""What two readers may take for different requests, and what has no end. Each is refused, and nothing after it is
answered."""

SMUGGLED = b"GET /livez HTTP/1.1\r\nHost: smuggled\r\n\r\n"


async def test_requests_that_mean_two_things_or_have_no_end(tmp_path: Path) -> None:
    async with besieged(tmp_path, "HTTP smuggling and floods", *WEB, limits=WEB_LIMITS) as siege:
        siege.memory_bound_bytes = WEB_LIMITS["web_connections_max"] * HTTP_BYTES_MAX + BESIDE_BYTES
        wrong: list[str] = []
        refused = 0

        async def one(number: int, what: str, said: bytes) -> None:
            nonlocal refused
            with await siege.dial_web(number) as peer:
                await peer.send(said + SMUGGLED)
                end = await peer.end(WITHIN_S + HTTP_TIMEOUT_S)
            answers = len(re.findall(rb"HTTP/1\.1 \d{3} ", peer.raw))
            ended = end.how != LEFT_OPEN
            if answers != 1 or not peer.raw.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505")) or not ended:
                wrong.append(f"{what}: {answers} answers, {peer.raw[:60]!r}, {end}")
            refused += 1

        async with trio.open_nursery() as nursery:
            for turn in range(max(PEERS // 100, 2)):
                for number, (what, said) in enumerate(SHAPES.items()):
                    nursery.start_soon(one, turn * len(SHAPES) + number, what, said)
        after = await siege.metrics()
        assert not wrong
        assert after[f'{ENDED}{{reason="bad_request"}}'] == refused


async def opened(siege: Siege, number: int, sub_protocol: str = BINARY) -> Peer:
    """A WebSocket."""
    peer = await siege.dial_web(number)
    await peer.send(asks_for_websocket(sub_protocol))
    while b"\r\n\r\n" not in peer.raw:
        assert await peer.listen(), peer.raw
    assert peer.raw.startswith(b"HTTP/1.1 101"), peer.raw
    peer.raw = peer.raw.partition(b"\r\n\r\n")[2]
    return peer


CONTINUES, TEXT, PING = 0x00, 0x01, 0x89
BINARY_BEGINS = 0x02


async def says_nothing(siege: Siege, number: int) -> None:
    """Asks for a WebSocket, and is silent."""
    with await opened(siege, number) as peer:
        await peer.end(WITHIN_S)
        assert b"not logged in within" in peer.raw, peer.raw


async def in_endless_fragments(siege: Siege, number: int) -> None:
    """Sends a message in fragments, of nothing or a byte, and never the last."""
    json = number % 2 == 0
    with await opened(siege, number, JSON if json else BINARY) as peer:
        await peer.send(frame(TEXT if json else BINARY_BEGINS, b""))
        await peer.drip(frame(CONTINUES, b"") * 20 + frame(CONTINUES, b" " if json else b""), 0.5, WITHIN_S)
        assert b"not logged in within" in peer.raw, peer.raw


async def pings(siege: Siege, number: int) -> None:
    """Only pings."""
    with await opened(siege, number) as peer:
        await peer.drip(frame(PING, b"x" * 100) * 20, 0.5, WITHIN_S)
        assert b"not logged in within" in peer.raw, peer.raw


async def of_length_2_62(siege: Siege, number: int) -> None:
    """Says that a message of 2^62 bytes follows."""
    with await opened(siege, number) as peer:
        await peer.send(frame(0x82, bytes(2 * KIB), declared=2**62))
        await peer.end(WITHIN_S)
        assert b"are allowed here" in peer.raw, peer.raw


async def fragments_too_many(siege: Siege, number: int) -> None:
    """A message of fragments that are small, each for itself."""
    with await opened(siege, number, JSON) as peer:
        await peer.send(frame(TEXT, b" " * KIB) + frame(CONTINUES, b" " * KIB) * 8)
        await peer.end(WITHIN_S)
        assert b"are allowed here" in peer.raw, peer.raw


LATE = (says_nothing, in_endless_fragments, pings)
LARGE = (of_length_2_62, fragments_too_many)


async def test_websockets_that_never_log_in(tmp_path: Path) -> None:
    """All of them have a place for strangers; their deadline is the same as on TCP, however much they say."""
    crowds = (*LATE, *LARGE)
    each = PEERS // 5
    limits = WEB_LIMITS | {"web_connections_max": 512}
    async with besieged(tmp_path, "WebSockets before log-in", *WEB, limits=limits) as siege:
        siege.memory_bound_bytes = each * len(crowds) * 2 * STRANGER_BYTES_MAX + 512 * HTTP_BYTES_MAX + BESIDE_BYTES
        async with trio.open_nursery() as nursery:
            for which, crowd in enumerate(crowds):
                for number in range(each):
                    nursery.start_soon(crowd, siege, which * each + number)
        siege.expect_closed({"login_timeout": each * len(LATE), "packet_too_large": each * len(LARGE)})
    assert LOGIN_TIMEOUT_S < WITHIN_S
