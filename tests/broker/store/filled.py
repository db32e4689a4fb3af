"""A store with something in it, for tests that copy it."""

from pathlib import Path

from broker.store.world import Session, World, seeded
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.operations import CreateGroup, Retention, Trim
from roost_protocol.limits import Limits
from roost_protocol.reasons import Reason

BODY = "x" * 500
BATCH = 100


def fill(world: World, messages: int = 60) -> Session:
    """Three users, a group, and messages of alice; the session of alice."""
    world.users("alice", "bob", "carol")
    world.one(CreateGroup(name="team", owner=world.numbers["alice"], members=("bob", "carol")))
    phone = world.login("alice")
    world.login("bob", terminal="pc")
    publish_many(world, phone, messages)
    return phone


def publish_many(world: World, phone: Session, messages: int) -> None:
    """Publish to bob, and each seventh to the group, in batches."""
    for first in range(0, messages, BATCH):
        numbers = range(first, min(first + BATCH, messages))
        to = {n: "group/team" if n % 7 == 0 else "user/bob" for n in numbers}
        results = world.do(*(world.message(phone, to[n], f"{n} {BODY}") for n in numbers))
        assert all(getattr(result, "reason", None) == Reason.SUCCESS for result in results), results


def make_filled(path: Path, *, messages: int = 60, keep: int | None = None) -> None:
    """A store in this folder, closed; with `keep`, all but so many entries of each inbox are trimmed again."""
    store = LmdbStore(path, limits=Limits(), random=seeded())
    world = World(store)
    fill(world, messages)
    if keep is not None:
        world.one(Trim(retention=Retention(count=keep), after=0, users_max=10, entries_max=100_000))
    store.close()
