"""Reads in other threads while commits are under way, and commits that come from one thread and then another."""

import threading
from pathlib import Path

from broker.store.world import World, seeded
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.operations import Retention, Trim
from roost_broker.store.readings import InboxPage
from roost_protocol.limits import Limits

BATCHES = 60
BATCH = 20
READERS = 3


def check_whole(page: InboxPage) -> None:
    """A page is what some whole commit left: batches are of 20, and what it shows is dense up to its head."""
    assert page.head % BATCH == 0
    assert [entry.seq for entry in page.entries] == list(range(page.floor, page.head + 1))


def test_readers_see_whole_commits(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, limits=Limits(), random=seeded(), sync=False)
    world = World(store)
    world.users("alice", "bob")
    phone = world.login("alice")
    done = threading.Event()
    failures: list[BaseException] = []
    pages: list[int] = []

    def read(user: int) -> None:
        try:
            while not done.is_set():
                page = store.read_inbox(user, 0, 1_000_000, 1 << 40)
                check_whole(page)
                pages.append(page.head)
        except BaseException as failure:  # noqa: BLE001  # it is raised in the thread of the test
            failures.append(failure)

    readers = [threading.Thread(target=read, args=(1 + number % 2,)) for number in range(READERS)]
    for reader in readers:
        reader.start()

    def write() -> None:
        messages = [world.message(phone, "user/bob", f"text {number}") for number in range(BATCH)]
        world.do(*messages, Trim(retention=Retention(count=3 * BATCH), users_max=2, entries_max=1_000))

    for _ in range(BATCHES):
        writer = threading.Thread(target=write)  # a new thread for each commit
        writer.start()
        writer.join()
    done.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert world.head("bob") == BATCHES * BATCH
    store.close()
