"""Peers of a listener with TLS: handshakes that are never finished, and what is no TLS at all."""

import ssl
from collections import Counter
from pathlib import Path

import pytest
import trio
import trustme

from hostile.peers import End
from hostile.siege import PEERS, Siege, besieged
from hostile.test_before_login import BESIDE_BYTES, LIMITS, WITHIN_S
from roost_protocol.limits import KIB

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

TLS_STRANGER_BYTES_MAX = 128 * KIB
"""What a stranger may cost in the middle of his handshake: OpenSSL's state and buffers beside all else."""


def client_hello() -> bytes:
    """What a right client says first."""
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="broker.example")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


HELLO = client_hello()

UNFINISHED = {"nothing": b"", "half a hello": HELLO[: len(HELLO) // 2], "a hello and no more": HELLO}

GARBAGE = {
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "connect of roost": b"\0\0\0\x05\1\x80\0\0\0" * 10,
    "zeros": bytes(1_000),
    "a record of another kind": b"\x17\x03\x03\x00\x10" + bytes(16),
    "a hello that is none": b"\x16\x03\x01\x00\x10" + b"\xff" * 16,
}


async def test_handshakes_that_are_never_finished(tmp_path: Path) -> None:
    """They end with the time for the log-in; what is no TLS ends at once. Healthy devices come over TLS, too."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "broker.pem")
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    config = f'[tls]\ncertificate = "{tmp_path / "broker.pem"}"'
    ends: dict[str, list[End]] = {what: [] for what in (*UNFINISHED, *GARBAGE)}
    limits = LIMITS | {"connections_before_login_max": 2 * PEERS}
    each = PEERS // 3

    async def one(siege: Siege, number: int, what: str, said: bytes) -> None:
        with await siege.dial(number) as peer:
            peer.speaks_roost = False
            await peer.send(said)
            ends[what].append(await peer.end(WITHIN_S))

    async with besieged(
        tmp_path, "TLS never finished", config=config, limits=limits, trusting=tmp_path / "authority.pem"
    ) as siege:
        siege.memory_bound_bytes = 2 * PEERS * TLS_STRANGER_BYTES_MAX + BESIDE_BYTES
        async with trio.open_nursery() as nursery:
            for which, (what, said) in enumerate(UNFINISHED.items()):
                for number in range(each):
                    nursery.start_soon(one, siege, which * each + number, what, said)
            for which, (what, said) in enumerate(GARBAGE.items()):
                for number in range(each):
                    nursery.start_soon(one, siege, PEERS + which * each + number, what, said)
        siege.expect_closed({"login_timeout": len(UNFINISHED) * each, "handshake_failed": len(GARBAGE) * each})
    for what, those in ends.items():
        assert {end.how for end in those} <= {"silence", "reset"}, (what, Counter(end.how for end in those))
        assert max(end.after_s for end in those) < WITHIN_S
