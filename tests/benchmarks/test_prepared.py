"""What a prepared store holds is what was asked for, seen through the port that the broker sees it through."""

from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roost_benchmarks.prepared import (
    BATCH_BODY_BYTES,
    Filler,
    Message,
    Site,
    fill_site,
    prepared,
    site_users,
    token_of,
)
from roost_broker.accounts import token_digest
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.memory import MemoryStore
from roost_broker.store.operations import LoggedIn, LogIn
from roost_broker.store.port import Store
from roost_broker.store.readings import StoredEntry
from roost_protocol.codec import decode_entry
from roost_protocol.frames import Entry
from roost_protocol.limits import Limits


def memory_store() -> MemoryStore:
    return MemoryStore(limits=Limits(), random=Random(1))  # noqa: S311


def inbox(store: Store, name: str) -> list[StoredEntry]:
    """Every entry of a user, page by page."""
    account = store.account(name)
    assert account is not None
    found: list[StoredEntry] = []
    while True:
        page = store.read_inbox(account.user, len(found), 1_000, 1 << 20)
        assert page.floor == 1
        found += page.entries
        if len(found) == page.head:
            assert [entry.seq for entry in found] == list(range(1, page.head + 1))
            return found


def entries(store: Store, name: str) -> list[Entry]:
    return [decode_entry(entry.encoded or b"") for entry in inbox(store, name)]


def test_devices_log_in_with_the_token_that_is_told() -> None:
    store = memory_store()
    filler = Filler(store)
    filler.users(["ann", "bob"])
    (device, _) = filler.devices(["ann", "bob"], "phone")
    owner = store.token_owner(token_digest(token_of("ann", "phone")))
    assert owner is not None
    assert (owner.account.user, owner.account.name, owner.device_id) == (device.user, "ann", "bench-phone")
    log_in = LogIn(
        user=device.user, token_digest=token_digest(token_of("ann", "phone")), device_id="bench-phone", terminal="phone"
    )
    (result,) = store.commit([log_in], 2**41)
    assert isinstance(result, LoggedIn)
    assert result.device == device.device


def test_a_device_without_a_token_has_none() -> None:
    store = memory_store()
    filler = Filler(store)
    filler.users(["ann"])
    filler.devices(["ann"], "phone", tokens=False)
    assert store.token_owner(token_digest(token_of("ann", "phone"))) is None


def test_a_backlog_is_there_entry_by_entry(tmp_path: Path) -> None:
    with prepared(tmp_path / "store") as filling:
        filler = Filler(filling, body_bytes=200)
        filler.users(["ann", "bob", "cat"])
        filler.backlog(["ann", "bob"], 700)
        filler.backlog(["ann"], 50)
    store = LmdbStore(tmp_path / "store", limits=Limits(), random=Random(1))  # noqa: S311
    try:
        assert not inbox(store, "cat")
        for name, count in (("ann", 750), ("bob", 700)):
            found = entries(store, name)
            assert len(found) == count
            assert all(entry.to == f"user/{name}" and entry.data == b"x" * 200 for entry in found)
            assert [entry.id for entry in found] == sorted({entry.id for entry in found})
    finally:
        store.close()


def test_messages_keep_their_order_over_many_batches() -> None:
    """Bodies are so large that every few messages are a batch."""
    store = memory_store()
    body = BATCH_BODY_BYTES // 1_024
    filler = Filler(store, body_bytes=body)
    filler.users(["ann", "bob"])
    (device,) = filler.devices(["ann"], "phone", tokens=False)
    assert filler.messages(Message(device, "user/bob", 600) for _ in range(5)) == 10
    own = inbox(store, "ann")
    assert [entry.n for entry in own] == [1, 2, 3, 4, 5]
    assert [entry.id for entry in entries(store, "bob")] == [entry.id for entry in entries(store, "ann")]


def test_a_refusal_is_no_filling() -> None:
    store = memory_store()
    filler = Filler(store)
    filler.users(["ann"])
    (device,) = filler.devices(["ann"], "phone")
    with pytest.raises(AssertionError, match="was refused"):
        filler.users(["ann"])
    with pytest.raises(AssertionError, match="not stored"):
        filler.messages([Message(device, "user/nobody", 2)])
    with pytest.raises(AssertionError, match="no user nobody"):
        filler.devices(["nobody"], "phone")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 800), st.integers(1, 40), st.integers(1, 20), st.floats(0, 1))
def test_a_site_has_as_many_entries_as_were_asked_for(
    wanted: int, users: int, community: int, group_share: float
) -> None:
    store = memory_store()
    site = Site(entries=wanted, users=users, community=community, group_members=5, group_share=group_share)
    shares: list[float] = []
    fill_site(store, site, progress=shares.append)
    statistics = store.statistics()
    assert wanted <= statistics.entries < wanted + 5
    assert shares == sorted(shares)
    rows = store.list_users("", 1_000)
    assert sum(row.head for row in rows) == statistics.entries
    for row in rows[:3]:
        inbox(store, row.name)


def test_the_same_site_is_made_again() -> None:
    first, second = memory_store(), memory_store()
    for store in (first, second):
        fill_site(store, Site(entries=500, users=20, community=10))
    for name in ("site0", "site13"):
        kinds = [[(entry.seq, entry.kind, entry.n) for entry in inbox(store, name)] for store in (first, second)]
        assert kinds[0] == kinds[1]
        assert kinds[0]


@given(st.integers(1, 300), st.integers(1, 300))
def test_the_users_that_are_measured_come_from_all_over_the_site(users: int, count: int) -> None:
    names = site_users(Site(entries=0, users=users), count)
    assert len(set(names)) == len(names) == min(users, count)
    numbers = [int(name.removeprefix("site")) for name in names]
    assert numbers[0] == 0
    assert all(later - earlier <= max(1, -(-users // count)) for earlier, later in pairwise([*numbers, users]))
