"""What must hold between the tables of an LMDB store, checked on its file when the store is closed."""

import os
from collections import Counter
from pathlib import Path

import lmdb

from roost_broker.store.journal import subjects
from roost_broker.store.lmdb_seal import unsealed
from roost_broker.store.lmdb_tables import (
    CURSOR,
    ENTRY,
    ERASED,
    FLOOR,
    KIND_OWN,
    NUMBER,
    OUTCOME,
    OWN_ENTRY,
    PAIR,
    RELEASED,
    SCROLL,
    SLOT,
    SUBJECT,
    Tables,
    device_record,
    event_record,
    name_in_file,
    name_key,
    removal_record,
    user_record,
)
from roost_protocol.codec import decode_entry

Rows = dict[bytes, bytes]


def read_tables(path: Path) -> dict[str, Rows]:
    """Every row of every table; of inboxes and messages, without their seals, which must fit."""
    with lmdb.open(os.fspath(path), max_dbs=64, readonly=True) as env:
        tables: dict[str, Rows] = {}
        for name in Tables._fields:
            table = env.open_db(name_in_file(name), create=False)
            with env.begin(table) as txn:
                tables[name] = dict(txn.cursor())
            if name in ("inbox", "messages"):
                tables[name] = {key: unsealed(value, name, key) for key, value in tables[name].items()}
    return tables


def check_tables(path: Path) -> None:
    """Each of the checks below, on the store in this folder."""
    tables = read_tables(path)
    _check_inboxes(tables)
    _check_messages(tables)
    _check_scroll(tables)
    _check_devices(tables)
    _check_groups(tables)
    _check_journal(tables)
    _check_removals(tables)


def _check_inboxes(tables: dict[str, Rows]) -> None:
    """Numbers are dense from the floor, and the bytes of an inbox add up."""
    before: dict[int, tuple[int, int]] = {}
    for key, value in tables["floors"].items():
        floor, cumulative, _ = FLOOR.unpack(value)
        before[NUMBER.unpack(key)[0]] = (floor - 1, cumulative)
    for key, value in tables["inbox"].items():
        user, seq = PAIR.unpack(key)
        assert NUMBER.pack(user) in tables["users"]
        last_seq, last_bytes = before.get(user, (0, 0))
        size, cumulative = ENTRY.unpack_from(value)[4], ENTRY.unpack_from(value)[6]
        assert (seq, cumulative) == (last_seq + 1, last_bytes + size)
        assert len(value) == (OWN_ENTRY if value[8] == KIND_OWN else ENTRY).size
        before[user] = (seq, cumulative)


def _check_messages(tables: dict[str, Rows]) -> None:
    """A message is there as long as an inbox holds it, and it is known how many have let go of it."""
    held = Counter(value[:8] for value in tables["inbox"].values())
    inboxes = {value[:8]: ENTRY.unpack_from(value)[5] for value in tables["inbox"].values()}
    sizes = {value[:8]: ENTRY.unpack_from(value)[4] for value in tables["inbox"].values()}
    assert set(held) == set(tables["messages"])
    for key, encoded in tables["messages"].items():
        if encoded == ERASED:
            continue
        assert len(encoded) == sizes[key]
        assert decode_entry(encoded).id == key.hex()
    rows = {key: RELEASED.unpack(value) for key, value in tables["released"].items()}
    assert all(row[1:] == (inboxes[key], sizes[key]) for key, row in rows.items())
    released = {key: row[0] for key, row in rows.items()}
    assert released == {key: inboxes[key] - held[key] for key in held if inboxes[key] != held[key]}


def _check_scroll(tables: dict[str, Rows]) -> None:
    """The scroll index holds exactly the entries of the inboxes."""
    expected = set()
    for key, value in tables["inbox"].items():
        user, seq = PAIR.unpack(key)
        _, _, kind, peer, *_ = ENTRY.unpack_from(value)
        expected.add(SCROLL.pack(user, kind, peer, seq))
    assert set(tables["scroll"]) == expected


def _check_devices(tables: dict[str, Rows]) -> None:
    """Everything that is kept for a device is there with it, and goes with it."""
    devices = {key: device_record(value) for key, value in tables["devices"].items()}
    assert {name_key(device.user, device.device_id): key for key, device in devices.items()} == tables["device_ids"]
    tokens = {device.token_digest: key for key, device in devices.items() if device.token_digest is not None}
    assert tokens == tables["tokens"]
    assert set(tables["cursors"]) == set(devices)
    for key, value in tables["outcomes"].items():
        number, slot = SLOT.unpack(key)
        n = OUTCOME.unpack(value)[0]
        if NUMBER.pack(number) not in tables["cursors"]:  # of a removed user: see below
            continue
        _, settled_n, _, slots, _ = CURSOR.unpack(tables["cursors"][NUMBER.pack(number)])
        assert slot == n % slots
        assert n <= settled_n


def _check_groups(tables: dict[str, Rows]) -> None:
    """Members and memberships are the same pairs, of groups that are there."""
    assert {(group, user) for group, user in map(PAIR.unpack, tables["members"])} == {
        (group, user) for user, group in map(PAIR.unpack, tables["memberships"])
    }
    assert {key[:8] for key in tables["members"]} == set(tables["groups"])
    assert set(tables["group_names"].values()) == set(tables["groups"])


def _check_journal(tables: dict[str, Rows]) -> None:
    """Every record can be found by whom it is about, and nothing else can."""
    found = {
        SUBJECT.pack(*subject) + key
        for key, value in tables["journal"].items()
        for subject in subjects(event_record(value))
    }
    assert set(tables["journal_subjects"]) == found


def _check_removals(tables: dict[str, Rows]) -> None:
    """What is left of a removed user is known, and nothing is that others could notice."""
    users = {key: user_record(value) for key, value in tables["users"].items()}
    removed = {key for key, user in users.items() if user.removed}
    assert {key for key in tables["removals"] if len(key) == NUMBER.size} == removed
    assert {key[: NUMBER.size] for key in tables["removals"]} == removed
    assert {NUMBER.pack(PAIR.unpack(key)[0]) for key in tables["inbox"]} <= set(users)
    assert {user.name: key for key, user in users.items() if not user.removed} == {
        name.decode(): key for name, key in tables["names"].items()
    }
    for table in ("device_ids", "sessions", "memberships", "relations"):
        assert not {key[: NUMBER.size] for key in tables[table]} & removed, table
    left = {number for key in removed for number in removal_record(tables["removals"][key]).devices}
    assert {NUMBER.unpack(key[: NUMBER.size])[0] for key in tables["outcomes"]} <= left | {
        NUMBER.unpack(key)[0] for key in tables["devices"]
    }
    named = {key[-NUMBER.size :] for key in tables["relations"]}
    assert named <= set(users), "a relation with a user of whom nothing is left"
