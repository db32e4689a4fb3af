"""Checking a whole store: whatever was done to it by operations is clean; a check keeps to its bounds."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.store.damaging import damaging, make_store
from broker.store.test_differential import STEPS, USERS, Both, Plan, afterwards_do, log_in, operations_of
from broker.store.world import World, seeded
from roost_broker.store.account_operations import RemoveUser
from roost_broker.store.errors import ReadFailed
from roost_broker.store.fsck import STAGES, check, walk
from roost_broker.store.fsck_folder import check_folder
from roost_broker.store.fsck_inboxes import SLICE_ENTRIES
from roost_broker.store.fsck_messages import SLICE_MESSAGES
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.lmdb_open import READERS_MAX
from roost_broker.store.lmdb_tables import NUMBER, PAIR, SCROLL, WITH_USER, Tables, name_in_file
from roost_broker.store.operations import CreateGroup, CreateUser, MoveCursors, Operation, Retention, SendMessage, Trim
from roost_protocol.admin.fsck import Finding, FsckProgress, FsckVerdict
from roost_protocol.limits import FINDINGS_MAX, Limits

# --- clean ---


def as_a_broker(both: Both, operation: Operation) -> Operation | None:
    """What a broker would ask of its store.

    No session acknowledges what it was not sent: no cursor moves beyond the head of its inbox. And an admin sends for a
    user who is there, so that the name beside his number is his.
    """
    if isinstance(operation, SendMessage) and both.model.user_name(operation.sender) is None:
        return None
    if not isinstance(operation, MoveCursors):
        return operation
    heads: dict[int, int] = {}
    for user in range(1, len(USERS) + 1):
        for device in both.model.devices(user):
            heads[device.device] = both.model.read_inbox(user, 0, 1, 1).head
    return MoveCursors(cursors=tuple((device, min(seq, heads.get(device, 0))) for device, seq in operation.cursors))


@given(st.lists(STEPS, min_size=4, max_size=30))
def test_whatever_operations_do_is_clean(steps: list[tuple[list[Plan], list[Plan], int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        both = Both(Path(folder) / "store")
        both.commit([CreateUser(name=name, password_hash=name) for name in USERS[:3]])
        both.commit([CreateGroup(name="g", owner=1, members=("b", "c"))])
        both.commit([log_in(both, user, "x", 0, 0, 5) for user in (1, 2, 3)])
        try:
            for plans, afterwards, passed_ms, _ in steps:
                both.now_ms += passed_ms
                operations = [operation for plan in plans for operation in operations_of(both, plan)]
                both.commit([asked for each in operations if (asked := as_a_broker(both, each)) is not None])
                for what, user, limit in afterwards:
                    afterwards_do(both, what, user, limit)
            *told, verdict = both.lmdb.check()
        finally:
            both.lmdb.close()
        assert [event for event in told if isinstance(event, Finding)] == []
        assert isinstance(verdict, FsckVerdict)
        assert verdict.complete


# --- more than a slice ---


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An inbox of more entries than are compared at a time, and more messages than are in memory at a time."""
    path = tmp_path_factory.mktemp("large")
    store = LmdbStore(path, limits=Limits(), random=seeded(), sync=False)
    world = World(store)
    world.users("alice", "bob", "carol")
    alice = world.login("alice")
    count = SLICE_MESSAGES + 2 * SLICE_ENTRIES
    for _ in range(0, count, 8_192):
        world.do(*[world.message(alice, f"user/{'alice' if n % 3 else 'bob'}", None, data=b"") for n in range(8_192)])
    world.do(Trim(retention=Retention(count=1_000), after=1, users_max=1, entries_max=100_000))
    store.close()
    return path


@contextmanager
def changed(path: Path) -> Iterator[None]:
    """What is done to a store is undone at the end."""
    data = path / "data.mdb"
    before = data.read_bytes()
    try:
        yield
    finally:
        data.write_bytes(before)


def findings(path: Path) -> list[Finding]:
    found: list[Finding] = []
    check_folder(path, pages=False, found=found.append)
    return found


def test_a_store_of_several_slices_is_clean(large: Path) -> None:
    verdict = check_folder(large, pages=False)
    assert verdict.clean
    assert verdict.messages > SLICE_MESSAGES + SLICE_ENTRIES


LATE = SLICE_MESSAGES + SLICE_ENTRIES + 7
"""An entry in the last slices, and by its number a message to Alice herself."""


@pytest.mark.parametrize("seq", [5, SLICE_ENTRIES + 1, LATE])
def test_the_scroll_index_is_compared_slice_by_slice(large: Path, seq: int) -> None:
    with changed(large):
        with damaging(large) as rows:
            before = rows.keys("scroll")
            lost = next(key for key in before if key[-8:] == NUMBER.pack(seq) and key.startswith(NUMBER.pack(1)))
            rows.delete("scroll", lost)
            rows.put("scroll", SCROLL.pack(1, WITH_USER, 3, seq))  # a conversation that Alice has not
        told = {(finding.code, finding.user, finding.seq) for finding in findings(large)}
    assert told == {("scroll-lost", "alice", seq), ("scroll-astray", "alice", seq)}


def test_scroll_rows_beyond_the_last_entry_are_found(large: Path) -> None:
    with changed(large):
        with damaging(large) as rows:
            rows.put("scroll", SCROLL.pack(1, WITH_USER, 1, 1 << 40))
            rows.put("scroll", SCROLL.pack(1, WITH_USER, 2, 0))
        told = {(finding.code, finding.user, finding.seq) for finding in findings(large)}
    assert told == {("scroll-astray", "alice", 1 << 40), ("scroll-astray", "alice", 0)}


@pytest.mark.parametrize("seq", [5, SLICE_MESSAGES, LATE])
def test_messages_are_counted_slice_by_slice(large: Path, seq: int) -> None:
    with changed(large):
        with damaging(large) as rows:
            key = rows.message_key(1, seq)
            rows.delete("messages", key)
        told = {(finding.code, finding.user, finding.seq, finding.message) for finding in findings(large)}
        assert told == {("message-lost", "alice", seq, key.hex())}


def test_a_message_id_out_of_order_hides_nothing_that_follows(large: Path) -> None:
    """The walk through an inbox goes by message ids: one that is far ahead must not make it stop there."""
    with changed(large):
        with damaging(large) as rows:
            rows.edit_entry(1, 5, _0=1 << 63)
            rows.delete("messages", rows.message_key(1, LATE))
        told = {(finding.code, finding.seq) for finding in findings(large)}
    assert {("ids-fall", 6), ("message-lost", 5), ("message-lost", LATE)} <= told
    assert {code for code, _ in told} == {"ids-fall", "message-lost", "orphan", "counter"}


def test_the_last_entry_that_can_be_is_looked_at(large: Path) -> None:
    with changed(large):
        with damaging(large) as rows:
            rows.put("inbox", PAIR.pack(2**64 - 1, 2**64 - 1), rows.get("inbox", PAIR.pack(1, 5)))
        told = {(finding.code, finding.user_number, finding.seq) for finding in findings(large)}
    assert {("inbox-astray", 2**64 - 1, None), ("hole", 2**64 - 1, 1), ("scroll-lost", 2**64 - 1, 2**64 - 1)} <= told


# --- bounds ---


def test_a_check_stops_with_so_many_findings(large: Path) -> None:
    found: list[Finding] = []
    with changed(large):
        with damaging(large) as rows:
            rows.clear("messages")
        verdict = check_folder(large, pages=False, found=found.append)
    assert len(found) == verdict.damages == FINDINGS_MAX
    assert not verdict.complete


@contextmanager
def opened(path: Path) -> Iterator[tuple[lmdb.Environment, Tables]]:
    with lmdb.open(os.fspath(path), max_dbs=64, readonly=True) as env:
        yield env, Tables(*(env.open_db(name_in_file(name), create=False) for name in Tables._fields))


def test_a_check_that_is_closed_lets_its_snapshot_go(tmp_path: Path) -> None:
    make_store(tmp_path)
    with opened(tmp_path) as (env, tables):
        for _ in range(2 * READERS_MAX):  # each has one of the places for readers, until it is closed
            steps = walk(env, tables)
            next(steps)
            steps.close()
        assert 2 < _places(env, tables) <= READERS_MAX  # LMDB keeps a few for later


def _places(env: lmdb.Environment, tables: Tables) -> int:
    """How many checks may be under way at once before the next is told that it cannot read."""
    held = []
    try:
        for _ in range(READERS_MAX + 1):
            held.append(walk(env, tables))
            next(held[-1])
    except ReadFailed:
        return len(held) - 1
    finally:
        for steps in held:
            steps.close()
    raise AssertionError("more checks than there are places for readers")


def test_progress_and_pace_are_told_between_rows(large: Path) -> None:
    stages: list[str] = []
    rests: list[None] = []
    with opened(large) as (env, tables):
        found = list(check(env, tables, progress=lambda at: stages.append(at.stage), pace=lambda: rests.append(None)))
        rows = sum(1 for event in walk(env, tables) if isinstance(event, FsckProgress))
    assert found == []
    assert len(stages) == len(rests) == rows > 1_000
    assert list(dict.fromkeys(stages)) == [stage.name for stage in STAGES if stage.name in stages]


def test_a_removed_user_of_whom_something_is_left_is_no_damage(tmp_path: Path) -> None:
    """He is cleared away later; until then, and after it, the number that he would come back to is his."""
    store = LmdbStore(tmp_path / "store", limits=Limits(), random=seeded())
    world = World(store)
    world.users("alice", "bob")
    world.publish(world.login("alice"), "user/bob")
    world.one(RemoveUser(user=2))
    store.close()
    assert findings(tmp_path / "store") == []
