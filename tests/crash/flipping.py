"""A process that tries stores with flipped bits, each in a child of its own, since LMDB may end it.

    python flipping.py STORE SCRATCH

For each line on stdin, the offsets of bits in the data file, one on stdout: what became of a broker's work on such a
store. `same`; `told` (something was said to be damaged, and all else was as before); `missing` (something was left
out, and it was not said); `refused` (the store did not open, with a clear text); `stopped` (a commit ended in an
unknown outcome: the broker would exit with 74); `signal N`; `endless` (ended by SIGALRM); or what must not be
(`wrong`, `traceback`). After it, after a tab, what fsck says of the folder: `clean`, `damage`, or how it failed.
"""

import logging
import os
import pickle
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from broker.store.world import SMALL_LIMITS, Session, World, seeded
from crash.observed import DAMAGED, Observed, differences, observe
from roost_broker.store import CommitRefused, OutcomeUnknown, ReadFailed, StoreUnusable
from roost_broker.store.fsck_folder import check_folder
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.operations import LoggedIn, Published, Refused
from roost_protocol.reasons import Reason

MAP_BYTES = 64 * 1024 * 1024
CHILD_S = 10
MEMORY_BYTES = 1 << 30


def open_store(folder: Path) -> LmdbStore:
    """As a broker would, but without waiting for the disk."""
    return LmdbStore(folder, limits=SMALL_LIMITS, random=seeded(), sync=False, map_bytes=MAP_BYTES, reserve_bytes=1)


def work(folder: Path, before: Observed) -> str:
    """Read all, write a little, and read again; in the child."""
    try:
        store = open_store(folder)
    except StoreUnusable:
        return "refused"
    try:
        after = observe(store)
        wrong, missing = differences(before, after)
        if wrong:
            return f"wrong: {len(wrong)}: {wrong[0]}"
        try:
            write(store)
        except OutcomeUnknown:
            return "stopped"
        except (ReadFailed, CommitRefused):
            return "told"
        later = observe(store)
    except OutcomeUnknown:
        return "stopped"
    finally:
        store.close()
    told = any(
        value == DAMAGED or "kind='damaged'" in repr(value) for seen in (after, later) for value in seen.values()
    )
    return "told" if told else "missing" if missing else "same"


def write(store: LmdbStore) -> None:
    """Every user logs in and writes to the next: done, or refused with a reason."""
    world = World(store)
    world.now_ms += 10_000_000
    names = ("ann", "bob", "cem", "dag")
    world.numbers = {name: number for number, name in enumerate(names, 1)}
    for name, other in zip(names, (*names[1:], names[0]), strict=True):
        logged_in = world.one(world.login_operation(name, f"{name}-phone"))
        if not isinstance(logged_in, LoggedIn):
            assert isinstance(logged_in, CommitRefused | Refused), logged_in
            continue
        session = Session(world.numbers[name], name, "phone", logged_in)
        published = world.one(world.message(session, f"user/{other}", "after the flip"))
        assert isinstance(published, Published), published
        assert published.reason is Reason.SUCCESS or not published.entries, published


def check(folder: Path) -> str:
    """What fsck says; in the child."""
    try:
        return "clean" if check_folder(folder).clean else "damage"
    except (StoreUnusable, ReadFailed):
        return "damage"


def in_child(do: Callable[[], str]) -> str:
    """What a child of this process that does it says, or how it ended."""
    read_fd, write_fd = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_fd)
        signal.alarm(CHILD_S)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            said = do()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
            said = f"traceback {error!r} {traceback.format_exc()[-600:]!r}"
        os.write(write_fd, said.encode()[:4_000])
        os._exit(0)
    os.close(write_fd)
    with open(read_fd, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return "endless" if number == signal.SIGALRM else f"signal {number}"
    return said


def main() -> None:
    """Try one store after the other."""
    logging.disable()
    source, scratch = Path(sys.argv[1]), Path(sys.argv[2])
    store = open_store(source)
    before = observe(store)
    store.close()
    pickle.dumps(before)  # all of it is there, nothing is read later
    content = (source / "data.mdb").read_bytes()
    for line in sys.stdin:
        flipped = bytearray(content)
        for bit in map(int, line.split()):
            flipped[bit // 8] ^= 1 << bit % 8
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        (scratch / "data.mdb").write_bytes(flipped)
        checked = in_child(lambda: check(scratch))
        worked = in_child(lambda: work(scratch, before))
        sys.stdout.write(f"{worked}\t{checked}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
