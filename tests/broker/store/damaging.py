"""A store with some of everything in it, and hands to damage its rows with."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lmdb
from msgspec.structs import replace

from broker.store.world import SMALL_LIMITS, World, seeded
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.lmdb_seal import SEAL_BYTES, sealed
from roost_broker.store.lmdb_tables import ENTRY, NUMBER, OWN_ENTRY, PAIR, Tables, name_in_file, pack_record
from roost_broker.store.operations import (
    CreateGroup,
    EndSession,
    ForgetDevices,
    MoveCursors,
    Retention,
    SetRelation,
    Trim,
)
from roost_protocol.codec import decode_entry, encode_entry
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from struct import Struct

    from roost_broker.store.lmdb_seal import SealedLayout
    from roost_broker.store.lmdb_tables import Transaction

ALICE, BOB, CAROL, DAVE = 1, 2, 3, 4
PHONE, PC, BOBS, CAROLS = 1, 2, 3, 4
"""Devices: two of Alice's, one of Bob's, one of Carol's. Dave's is forgotten."""
TEAM, PAIR_OF_TWO = 1, 2
SEALED_WITH_KEY = ("inbox", "messages")
NOBODY = 77
"""A number that was never given."""


def make_store(path: Path) -> None:
    """Users who have written to each other and to themselves, in a group too; some is trimmed, a device forgotten."""
    store = LmdbStore(path, limits=SMALL_LIMITS, random=seeded(), sync=False)
    world = World(store)
    world.users("alice", "bob", "carol", "dave")
    phone = world.login("alice", new_token_digest=b"token of a phone")
    pc = world.login("alice", terminal="pc", new_token_digest=b"token of a pc")
    bobs, carols = world.login("bob"), world.login("carol")
    world.do(
        CreateGroup(name="team", owner=ALICE, members=("bob", "carol")),
        CreateGroup(name="pair", owner=CAROL, members=("dave",)),
        SetRelation(user=ALICE, kind="contact", other="bob", present=True),
        SetRelation(user=CAROL, kind="block", other="bob", present=True),
    )
    away = world.login("dave", "away", "tv")
    world.publish(away, "user/alice", "from a device that will be forgotten")
    for number in range(3):
        world.publish(phone, "user/bob", f"to bob {number}")
        world.publish(bobs, "user/alice", f"to alice {number}")
        world.publish(pc, "group/team", f"to all {number}")
        world.publish(carols, "group/team", f"from carol {number}")
        world.publish(phone, "user/alice", f"to myself {number}")
        world.publish(bobs, "user/carol")  # who has blocked him
    world.now_ms += 10_000
    world.do(
        MoveCursors(cursors=((PHONE, 9), (PC, 4), (BOBS, 5), (CAROLS, 2))),
        Trim(retention=Retention(count=6), after=ALICE, users_max=1, entries_max=100),  # Bob's inbox alone
        EndSession(user=BOB, terminal="phone", reason=Reason.LOGGED_OUT, by="bob"),
        ForgetDevices(seen_before=world.now_ms - 5_000, keep=frozenset(), devices_max=10),
    )
    store.close()


class Rows:
    """The rows of a store, to be changed as no operation would."""

    def __init__(self, txn: "Transaction", tables: dict[str, "lmdb._Database"]) -> None:
        self._txn = txn
        self._tables = tables

    def get(self, table: str, key: bytes) -> bytes:
        """A row that is there; of inboxes and messages, without its seal."""
        value = self._txn.get(key, db=self._tables[table])
        assert value is not None, (table, key)
        return value[:-SEAL_BYTES] if table in SEALED_WITH_KEY else value

    def keys(self, table: str) -> list[bytes]:
        """Every key."""
        return [key for key, _ in self._txn.cursor(self._tables[table])]

    def put(self, table: str, key: bytes, value: bytes = b"") -> None:
        """Add or overwrite a row; of inboxes and messages, with a seal that fits."""
        self._txn.put(key, sealed(value, key) if table in SEALED_WITH_KEY else value, db=self._tables[table])

    def flip(self, table: str, key: bytes, bit: int) -> None:
        """Change one bit of what is stored, seal and all."""
        value = bytearray(self._txn.get(key, db=self._tables[table]) or b"")
        value[bit // 8] ^= 1 << bit % 8
        self._txn.put(key, bytes(value), db=self._tables[table])

    def delete(self, table: str, key: bytes) -> None:
        """Remove a row that is there."""
        assert self._txn.delete(key, db=self._tables[table]), (table, key)

    def clear(self, table: str) -> None:
        """Remove every row."""
        self._txn.drop(self._tables[table], delete=False)

    def edit(self, table: str, key: bytes, layout: "Struct | SealedLayout", **fields: int) -> None:
        """Change fields of a row by their places: `_3=…`."""
        values = list(layout.unpack(self.get(table, key)))
        for name, value in fields.items():
            values[int(name[1:])] = value
        self.put(table, key, layout.pack(*values))

    def edit_entry(self, user: int, seq: int, **fields: int) -> None:
        """Change fields of an inbox entry."""
        key = PAIR.pack(user, seq)
        self.edit("inbox", key, OWN_ENTRY if len(self.get("inbox", key)) == OWN_ENTRY.size else ENTRY, **fields)

    def edit_record(self, table: str, key: bytes, decode: Callable[[bytes], Any], **fields: Any) -> None:
        """Change fields of a record."""
        self.put(table, key, pack_record(replace(decode(self.get(table, key)), **fields)))

    def message_key(self, user: int, seq: int) -> bytes:
        """The key of the message that an entry refers to."""
        return self.get("inbox", PAIR.pack(user, seq))[: NUMBER.size]

    def edit_message(self, user: int, seq: int, **fields: Any) -> None:
        """Change fields of a message, but not its length in bytes, unless the fields do."""
        key = self.message_key(user, seq)
        self.put("messages", key, encode_entry(replace(decode_entry(self.get("messages", key)), **fields)))


@contextmanager
def damaging(path: Path) -> Iterator[Rows]:
    """The rows of the store in this folder; what is done to them is in the file when the block is left."""
    with lmdb.open(os.fspath(path), max_dbs=64, map_size=1 << 30, sync=False) as env:
        tables = {name: env.open_db(name_in_file(name), create=False) for name in Tables._fields}
        with env.begin(write=True) as txn:
            yield Rows(txn, tables)
