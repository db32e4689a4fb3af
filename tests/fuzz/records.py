"""Values out of the store's file: each is decoded by what decodes it in a broker.

The first byte chooses the decoder. What comes out is what the store takes for damage; what is decoded is the same when
it is encoded again. Records are given a seal that fits, or none would be decoded at all; the last decoder of the table
has them as they come.
"""

from collections.abc import Callable, Iterator
from typing import Any

from fuzz.codec_binary import ENTRY
from fuzz.target import Memory, Target
from fuzz.weighing import weighed
from roost_broker.store import lmdb_tables as tables
from roost_broker.store.errors import RecordDamaged
from roost_broker.store.journal import (
    BrokerStarted,
    GapTold,
    GroupChanged,
    SessionClosed,
    SessionOpened,
    decode_event,
    encode_event,
    subjects,
)
from roost_broker.store.lmdb_seal import SEAL_BYTES, sealed
from roost_protocol.codec import decode_entry, encode_entry
from roost_protocol.reasons import Reason


def _sealed(decode: Callable[[bytes], object]) -> Callable[[bytes], None]:
    def check(value: bytes) -> None:
        decode(sealed(value))

    return check


def _recorded(decode: Callable[[bytes], Any]) -> Callable[[bytes], None]:
    def check(value: bytes) -> None:
        record = decode(sealed(value))
        assert decode(tables.pack_record(record)) == record

    return check


def _entry(value: bytes) -> None:
    try:
        entry = decode_entry(value)
    except (UnicodeError, RecursionError) as error:  # whoever reads a message expects one error alone
        raise AssertionError("decode_entry lets out more than it says") from error
    assert repr(decode_entry(encode_entry(entry))) == repr(entry)


def _event(value: bytes) -> None:
    event = decode_event(value)
    assert decode_event(encode_event(event)) == event
    assert subjects(event)


DECODERS: tuple[Callable[[bytes], object], ...] = (
    _recorded(tables.user_record),
    _recorded(tables.device_record),
    _recorded(tables.session_record),
    _recorded(tables.group_record),
    _recorded(tables.admin_record),
    _recorded(tables.removal_record),
    _recorded(tables.erased_record),
    _entry,
    _event,
    _sealed(tables.read_released),
    tables.unpack_lost,
    _sealed(tables.FLOOR.unpack),
    _sealed(tables.CURSOR.unpack),
    _sealed(tables.OUTCOME.unpack),
    tables.ENTRY.unpack_from,
    tables.OWN_ENTRY.unpack,
    _sealed(tables.COUNTERS.unpack),
    tables.user_record,
)


def one(data: bytes) -> None:
    """Decode a value."""
    with weighed():
        DECODERS[data[0] % len(DECODERS) if data else 0](data[1:])


def seeds() -> Iterator[bytes]:
    """A record of each kind."""
    records: tuple[object, ...] = (
        tables.UserRecord(
            "alice", "hash", 1, False, "0" * 16, 1, 2, False, tables.ImportRecord("0" * 16, 1, "age", 9, 4)
        ),
        tables.DeviceRecord(1, "d1", "phone", "client 1", b"d" * 32),
        tables.SessionRecord(7, 1, "d1", 1, "memory:1", tables.EndRecord(Reason.LOGGED_OUT, "d2", 2, "memory:2")),
        tables.GroupRecord("team", 1),
        tables.AdminRecord("operate", b"d" * 32, 1),
        tables.RemovalRecord("alice", 1, 2, 3, True, (1, 2), b"\0" * 17),
        tables.ErasedRecord("user/bob", 1, 2),
    )
    for kind, record in enumerate(records):
        yield bytes([kind]) + tables.pack_record(record)[:-SEAL_BYTES]
        yield bytes([kind]) + b"\x91" * 3_000
        yield bytes([kind]) + b"\xdd\xff\xff\xff\xff"
        yield bytes([kind]) + b"\x98\xa1\xff"
    yield b"\x07" + encode_entry(ENTRY)
    yield b"\x07" + tables.ERASED
    events = (
        BrokerStarted(at=1, version="1"),
        SessionOpened(
            at=1, user=1, device=1, device_id="d1", terminal="phone", epoch=7, last_seq=0, newest=None, position=0,
            head=1, floor=1, client="", address="", resumed=False, start_over=False, took_over=None,
        ),
        SessionClosed(
            at=1, user=1, device=1, device_id="d1", terminal="phone", epoch=7, pushed=1, acknowledged=1, reason=None,
            text="", by="", address="",
        ),
        GapTold(at=1, user=1, device=1, epoch=7, first=1, last=2, reason="age"),
        GroupChanged(at=1, group=1, name="team", by=None, added=(1,), removed=(2,)),
    )  # fmt: skip
    yield from (b"\x08" + encode_event(event) for event in events)
    yield from (bytes([kind]) + bytes(40) for kind in range(9, len(DECODERS)))
    yield from (bytes([kind]) + b"\xff" * 25 for kind in range(9, len(DECODERS)))


TARGET = Target(
    name="records",
    one=one,
    documented=(RecordDamaged, *tables.DECODE_ERRORS),
    memory=Memory(for_each_byte=8, beside=16 * 1024),
    seeds=seeds,
    tokens=(b"\xc0", b"\xcf" + b"\xff" * 8, b"\xd9\xff", b"\xdd\xff\xff\xff\xff", b"\x91\x91\x91\x91", b"\xa3age"),
)
