"""What is recorded: a store that commits batch after batch, in a process of its own.

    python workload.py FOLDER SEED BATCHES [--no-sync] [--early]

After each commit it marks in the recorder's log that the batch is acknowledged, and prints the digest of the whole
store, a line each. `--no-sync` and `--early` (the mark before the commit) are the two defects that must be found.
"""

import ctypes
import hashlib
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from random import Random

from broker.store.world import SMALL_LIMITS, START_MS, Session, World, seeded
from roost_broker.store.account_operations import EraseMessages, RemoveUser
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.lmdb_tables import Tables
from roost_broker.store.operations import CreateGroup, CreateUser, Hold, MoveCursors, Operation, Retention, Trim

NAMES = ("ann", "bob", "cem", "dag")
TEXTS = (8, 120, 120, 120, 900, 3_000, 9_000, 40_000)
"""Lengths of bodies: within a page, and over several."""


def digest(store: LmdbStore) -> str:
    """Of every row of every table, as of the last commit."""
    whole = hashlib.sha256()
    with store._env.begin() as txn:
        for name in Tables._fields:
            whole.update(name.encode())
            for key, value in txn.cursor(getattr(store._tables, name)):
                whole.update(b"%d:%b=%d:%b" % (len(key), key, len(value), value))
    return whole.hexdigest()


def batches(world: World, random: Random, count: int) -> Iterator[list[Operation]]:
    """What is committed, after the accounts are there."""
    sessions = [world.login(name, terminal=terminal) for name in NAMES for terminal in ("phone", "pc")]
    extra = 0
    for number in range(count):
        kind = random.random()
        if kind < 0.06:
            yield [Trim(retention=Retention(count=random.randint(5, 40)), users_max=9, entries_max=50)]
        elif kind < 0.08:
            hold = Hold(seen_since=0, bytes_max=20_000)
            yield [Trim(retention=Retention(bytes=9_000), hold=hold, users_max=9, entries_max=50)]
        elif kind < 0.11:
            extra += 1
            yield [CreateUser(name=f"extra{extra}", password_hash="x")]
        elif kind < 0.13 and extra:
            account = world.store.account(f"extra{random.randint(1, extra)}")
            yield [RemoveUser(user=account.user, erase=True)] if account else []
        elif kind < 0.15:
            yield [
                EraseMessages(user=removal.user, looked_at_max=200, erased_max=20)
                for removal in world.store.removals(0, 3)
            ]
        elif kind < 0.17:
            session = sessions[random.randrange(len(sessions))]
            again = world.login_operation(session.name, f"{session.name}-{session.terminal}", session.terminal)
            yield [again]
        else:
            yield _traffic(world, random, sessions, number, extra)


def _traffic(world: World, random: Random, sessions: list[Session], number: int, extra: int) -> list[Operation]:
    operations: list[Operation] = []
    for _ in range(random.choice((1, 1, 2, 5, 12))):
        session = random.choice(sessions)
        others = [f"user/{name}" for name in NAMES] + ["group/team"] + ([f"user/extra{extra}"] if extra else [])
        text = chr(97 + number % 26) * random.choice(TEXTS)
        operations.append(world.message(session, random.choice(others), text))
    operations.append(MoveCursors(cursors=tuple((each.device, world.head(each.name)) for each in sessions[::3])))
    return operations


def main() -> None:
    """Run it."""
    folder, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    early = "--early" in sys.argv
    mark: Callable[[int], None] = ctypes.CDLL(None).recorder_mark
    mark.argtypes = [ctypes.c_uint64]  # type: ignore[attr-defined]
    random = seeded(seed)
    store = LmdbStore(folder, limits=SMALL_LIMITS, random=random, sync="--no-sync" not in sys.argv)
    world = World(store)
    world.now_ms = START_MS
    world.users(*NAMES)
    world.one(CreateGroup(name="team", owner=1, members=NAMES[1:3]))
    prepared = batches(world, random, count)
    first = next(prepared)  # the sessions are there now
    _say(store)
    mark(0)
    for number, operations in enumerate(chain([first], prepared), 1):
        if early:
            mark(number)
        world.do(*operations)
        if not early:
            mark(number)
        _say(store)
    store.close()


def _say(store: LmdbStore) -> None:
    sys.stdout.write(f"{digest(store)}\n")


if __name__ == "__main__":
    main()
