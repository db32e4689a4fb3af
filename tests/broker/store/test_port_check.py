"""`Store.check`: what is whole is said to be, on one snapshot, by every filling of the port."""

from contextlib import closing

import pytest

from broker.store.world import SMALL_LIMITS, World, make_store, seeded
from roost_broker.store.memory import MemoryStore
from roost_broker.store.operations import CreateGroup, Retention, Trim
from roost_broker.store.port import CheckEvent
from roost_protocol.admin.fsck import Finding, FsckProgress, FsckVerdict


def events(world: World) -> list[CheckEvent]:
    with closing(world.store.check()) as steps:
        return list(steps)


def verdict_of(world: World) -> FsckVerdict:
    *before, verdict = events(world)
    assert isinstance(verdict, FsckVerdict)
    assert all(isinstance(event, FsckProgress) for event in before)
    return verdict


def test_an_empty_store_is_clean(world: World) -> None:
    verdict = verdict_of(world)
    assert (verdict.damages, verdict.warnings, verdict.complete, verdict.clean) == (0, 0, True, True)
    assert (verdict.users, verdict.devices, verdict.groups, verdict.messages, verdict.entries) == (0, 0, 0, 0, 0)


def test_a_verdict_counts_what_was_looked_at(world: World) -> None:
    world.users("alice", "bob", "carol")
    alice, _ = world.login("alice"), world.login("bob")
    world.do(CreateGroup(name="team", owner=1, members=("bob", "carol")))
    for _ in range(4):
        world.publish(alice, "user/bob")
        world.publish(alice, "group/team")
    world.do(Trim(retention=Retention(count=5), users_max=1, entries_max=100))
    verdict = verdict_of(world)
    assert (verdict.damages, verdict.warnings, verdict.complete) == (0, 0, True)
    statistics = world.store.statistics()
    assert (verdict.users, verdict.devices, verdict.groups) == (3, 2, 1)
    assert (verdict.messages, verdict.entries) == (statistics.messages, statistics.entries) == (8, 5 + 8 + 4)


def test_progress_rises_to_its_end(world: World) -> None:
    world.users("alice", "bob")
    alice = world.login("alice")
    for _ in range(3):
        world.publish(alice, "user/bob")
    told = [event for event in events(world) if isinstance(event, FsckProgress)]
    assert [event.rows for event in told] == sorted(event.rows for event in told)
    assert {event.of for event in told} == {told[-1].rows}


@pytest.mark.parametrize("filling", ["memory", "lmdb"])
def test_a_check_sees_the_store_as_it_was(filling: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    store = make_store(filling, tmp_path_factory.mktemp("store") / "store")
    world = World(store)
    world.users("alice", "bob")
    alice = world.login("alice")
    world.publish(alice, "user/bob")
    with closing(store.check()) as steps:
        seen = [next(steps)]
        world.publish(alice, "user/bob")
        world.users("carol")
        seen += steps
    verdict = seen[-1]
    assert isinstance(verdict, FsckVerdict)
    assert (verdict.damages, verdict.users, verdict.messages, verdict.entries) == (0, 2, 1, 2)
    assert verdict_of(world).entries == 4
    store.close()


def test_the_model_finds_a_hole() -> None:
    store = MemoryStore(limits=SMALL_LIMITS, random=seeded())
    world = World(store)
    world.users("alice", "bob")
    alice = world.login("alice")
    for _ in range(3):
        world.publish(alice, "user/bob")
    del store._state.entries[2, 2]
    told = events(world)
    (finding,) = [event for event in told if isinstance(event, Finding)]
    assert (finding.code, finding.table, finding.user, finding.user_number, finding.seq) == (
        "hole",
        "inbox",
        "bob",
        2,
        2,
    )
    assert isinstance(told[-1], FsckVerdict)
    assert (told[-1].damages, told[-1].clean) == (1, False)
