"""Nothing stays behind in the tables, and what is written for a message is small."""

from pathlib import Path

from broker.store.tables import check_tables, read_tables
from broker.store.world import SMALL_LIMITS, World, seeded
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.operations import (
    ChangeMembers,
    CreateGroup,
    ForgetDevices,
    Retention,
    SetRelation,
    Trim,
)

STAYS = {"meta", "names", "users", "floors", "sessions", "journal", "journal_subjects"}


def test_nothing_stays_behind(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, limits=SMALL_LIMITS, random=seeded())
    world = World(store)
    world.users("alice", "bob", "carol")
    world.one(CreateGroup(name="team", owner=1, members=("bob", "carol")))
    alice, bob = world.login("alice", new_token_digest=b"token"), world.login("bob")
    for number in range(6):
        world.publish(alice, "user/bob", f"text {number}")
        world.publish(bob, "group/team", "x" * 10_000)
        world.publish(alice, "user/alice")
    world.one(SetRelation(user=1, kind="block", other="carol", present=True))
    world.one(Trim(retention=Retention(count=3), users_max=2, entries_max=1_000))
    store.close()
    check_tables(tmp_path)

    store = LmdbStore(tmp_path, limits=SMALL_LIMITS, random=seeded())
    world = World(store)
    world.do(
        Trim(retention=Retention(count=0), users_max=10, entries_max=1_000),
        ForgetDevices(seen_before=world.now_ms * 2, keep=frozenset(), devices_max=10),
        ChangeMembers(group="team", by=None, remove=("alice", "bob", "carol")),
        SetRelation(user=1, kind="block", other="carol", present=False),
    )
    store.close()
    check_tables(tmp_path)
    assert {name for name, rows in read_tables(tmp_path).items() if rows} == STAYS


def test_the_file_does_not_grow_when_what_is_old_is_trimmed(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, limits=SMALL_LIMITS, random=seeded(), sync=False)
    world = World(store)
    world.users("alice", "bob")
    phone = world.login("alice")
    sizes = []
    for _ in range(60):
        messages = [world.message(phone, "user/bob", "x" * 300) for _ in range(100)]
        world.do(*messages, Trim(retention=Retention(count=500), users_max=2, entries_max=1_000))
        sizes.append((tmp_path / "data.mdb").stat().st_size)
    store.close()
    assert sizes[-1] <= sizes[19] * 1.2
    check_tables(tmp_path)
