"""When there is no room: senders get a reason, nothing changes by halves, trims run, and it goes on without restart.

The disk is made to fail by putting another file under the descriptors that LMDB writes to: `/dev/full` refuses every
byte with ENOSPC, as a full disk does. The small file systems are real ones.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb.verify
import pytest

from broker.store.tables import check_tables
from broker.store.world import World, seeded
from roost_broker.store import CommitRefused, OutcomeUnknown
from roost_broker.store.errors import ReadFailed
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.lmdb_open import DATA_FILE
from roost_broker.store.lmdb_tables import COUNTERS, META_LAST, NUMBER, PAIR, name_in_file
from roost_broker.store.operations import CreateUser, Published, Retention, Trim
from roost_protocol.limits import KIB, MIB, Limits
from roost_protocol.reasons import Reason

LIMITS = Limits(batch_bytes_max=1 * MIB)
BODY = "x" * 2_000


@contextmanager
def opened(path: Path, *, map_bytes: int = 64 * MIB, reserve_bytes: int = 0) -> Iterator[LmdbStore]:
    store = LmdbStore(path, limits=LIMITS, random=seeded(), map_bytes=map_bytes, reserve_bytes=reserve_bytes)
    try:
        yield store
    finally:
        store.close()


class Talk:
    """Alice writes to bob, in batches."""

    def __init__(self, store: LmdbStore) -> None:
        self.world = World(store)
        self.world.users("alice", "bob")
        self.phone = self.world.login("alice")

    def write(self, count: int = 1, body: str = BODY) -> list[Published]:
        first = self.phone.n + 1
        batch = [self.world.message(self.phone, "user/bob", body, n=n) for n in range(first, first + count)]
        results = [result for result in self.world.do(*batch) if isinstance(result, Published)]
        self.phone.n += sum(result.settled for result in results)
        return results

    def write_until(self, full: Callable[[list[Published]], bool], batches_max: int = 1_000) -> None:
        for _ in range(batches_max):
            if full(self.write(10)):
                return
        raise AssertionError("it never became full")

    def trim(self, count: int, slices_max: int = 1_000) -> None:
        after: int | None = 0
        for _ in range(slices_max):
            (result,) = self.world.do(
                Trim(retention=Retention(count=count), after=after or 0, users_max=10, entries_max=20)
            )
            after = getattr(result, "next_after", None)
            if after is None:
                return
        raise AssertionError("the trim never came to an end")

    def check_dense(self) -> None:
        """Both inboxes hold every number from their floor to their head, and as many as were settled."""
        for user in (1, 2):
            page = self.world.store.read_inbox(user, 0, 1_000_000, 1 << 40)
            assert [entry.seq for entry in page.entries] == list(range(page.floor, page.head + 1))
            assert page.head == self.phone.n


def check_file(path: Path) -> None:
    assert lmdb.verify.verify(os.fspath(path)) == []  # type: ignore[no-untyped-call]
    check_tables(path)


# --- the map ------------------------------------------------------------------------------------------------------


def test_publishes_stop_at_the_reserve_and_go_on_after_a_trim(tmp_path: Path) -> None:
    with opened(tmp_path, map_bytes=3 * MIB, reserve_bytes=1 * MIB) as store:
        talk = Talk(store)
        for _ in range(3):
            assert store.statistics().has_room
            talk.write_until(lambda results: results[0].reason is Reason.QUOTA_EXCEEDED)
            sizes = store.statistics()
            assert not sizes.has_room
            assert sizes.map_bytes - sizes.reserve_bytes < sizes.used_bytes + 256 * KIB
            refused = talk.write(2)
            assert refused == [
                Published(n=n, reason=Reason.QUOTA_EXCEEDED, settled=False)
                for n in (talk.phone.n + 1, talk.phone.n + 2)
            ]
            assert talk.world.login("alice").logged_in.settled_n == talk.phone.n, "other operations run in the reserve"
            talk.phone.epoch = talk.world.login("alice").epoch
            talk.trim(count=50)
            assert talk.write()[0].reason is Reason.SUCCESS
            talk.check_dense()
    check_file(tmp_path)


def test_an_outcome_and_a_lasting_refusal_go_before_the_lack_of_room(tmp_path: Path) -> None:
    with opened(tmp_path, map_bytes=3 * MIB, reserve_bytes=1 * MIB) as store:
        talk = Talk(store)
        talk.write_until(lambda results: results[0].reason is Reason.QUOTA_EXCEEDED)
        again = talk.world.publish(talk.phone, "user/bob", BODY, n=talk.phone.n)
        assert (again.reason, again.retransmission) == (Reason.SUCCESS, True)
        unknown = talk.world.publish(talk.phone, "user/nobody", n=talk.phone.n + 1)
        assert (unknown.reason, unknown.settled) == (Reason.UNKNOWN_RECIPIENT, True)


@pytest.mark.parametrize("name", ["", "x" * 600])
def test_a_name_that_cannot_be_a_key_refuses_its_batch_and_no_other(tmp_path: Path, name: str) -> None:
    """Whoever embeds a broker may give it any name. It is no reason to stop."""
    with opened(tmp_path) as store:
        talk = Talk(store)
        talk.write(3)
        with pytest.raises(CommitRefused, match="a name is empty, or too long") as caught:
            talk.world.do(CreateUser(name="carol", password_hash=""), CreateUser(name=name, password_hash=""))
        assert caught.value.reason is Reason.MALFORMED_PACKET
        assert store.account("carol") is None
        assert store.account(name) is None
        assert store.group(name) is None
        assert talk.write()[0].reason is Reason.SUCCESS
        talk.check_dense()
    check_file(tmp_path)


def test_a_batch_that_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, map_bytes=2 * MIB) as store:
        talk = Talk(store)
        before = talk.write(3)
        with pytest.raises(CommitRefused, match="is full") as caught:
            talk.write(2_000)
        assert caught.value.reason is Reason.QUOTA_EXCEEDED
        assert store.read_inbox(2, 0, 10, MIB).head == 3
        after = talk.write(3)
        assert [result.seq for result in before + after] == [1, 2, 3, 4, 5, 6]
        assert after[0].id > before[-1].id  # type: ignore[operator]
        talk.check_dense()


def test_a_map_filled_to_the_last_page(tmp_path: Path) -> None:
    with opened(tmp_path, map_bytes=2 * MIB) as store:
        talk = Talk(store)
        with pytest.raises(CommitRefused):
            talk.write_until(lambda results: False)
        talk.check_dense()
        again = talk.world.store.read_inbox(1, talk.phone.n - 1, 10, MIB).entries
        assert len(again) == 1
    check_file(tmp_path)


# --- the disk -----------------------------------------------------------------------------------------------------


def descriptors(data: Path) -> Iterator[tuple[int, bool]]:
    """The open descriptors of the data file, and whether each waits for the disk (the one for the last page)."""
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # that of the listing itself
            continue
        if target == os.fspath(data):
            flags = Path(f"/proc/self/fdinfo/{name}").read_text().split("flags:")[1].split()[0]
            yield int(name), bool(int(flags, 8) & os.O_DSYNC)


@contextmanager
def full(data: Path, *, last_page: bool) -> Iterator[None]:
    """As long as this lasts, what LMDB writes (its last page, or all the others) meets a full disk."""
    ((data_fd, _),) = [found for found in descriptors(data) if found[1] is last_page]
    saved = os.dup(data_fd)
    full_fd = os.open("/dev/full", os.O_RDWR)
    try:
        os.dup2(full_fd, data_fd, inheritable=False)
        yield
    finally:
        os.dup2(saved, data_fd, inheritable=False)
        os.close(saved)
        os.close(full_fd)


def test_a_full_disk_changes_nothing_and_passes(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        talk = Talk(store)
        talk.write(3)
        with full(tmp_path / DATA_FILE, last_page=False):
            for _ in range(3):
                with pytest.raises(CommitRefused, match="No space left"):
                    talk.write(5)
                assert store.read_inbox(2, 0, 10, MIB).head == 3
        assert [result.seq for result in talk.write(2)] == [4, 5]
        talk.check_dense()
    check_file(tmp_path)


def test_a_failure_at_the_last_page_is_not_known_for_sure(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        talk = Talk(store)
        talk.write(3)
        with full(tmp_path / DATA_FILE, last_page=True), pytest.raises(OutcomeUnknown):
            talk.write(5)
        with pytest.raises(OutcomeUnknown):
            talk.write(1)
        with pytest.raises(ReadFailed):
            store.read_inbox(2, 0, 10, MIB)
    with opened(tmp_path) as store:
        head = store.read_inbox(2, 0, 10, MIB).head
        assert head in (3, 8), "after a restart the store says what is true"
        assert store.read_inbox(1, 0, 10, MIB).head == head
    check_file(tmp_path)


@contextmanager
def small_disk(path: Path, size_bytes: int) -> Iterator[Path]:
    """A file system of this size; skips the test where it cannot be mounted."""
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", os.fspath(path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no right to mount a file system")
    try:
        yield path
    finally:
        subprocess.run(["umount", os.fspath(path)], check=True)


@pytest.mark.process
def test_a_small_disk_without_reserve(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 3 * MIB) as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(1 * MIB))
        with opened(disk / "store") as store:
            talk = Talk(store)
            with pytest.raises(CommitRefused, match="no space is left"):
                talk.write_until(lambda results: False)
            talk.check_dense()
            with pytest.raises(CommitRefused):
                talk.write(200)
            ballast.unlink()
            assert talk.write()[0].reason is Reason.SUCCESS
            talk.check_dense()
        check_file(disk / "store")


@pytest.mark.process
def test_a_small_disk_with_a_reserve(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4 * MIB) as disk, opened(disk / "store", reserve_bytes=1 * MIB) as store:
        talk = Talk(store)
        for _ in range(3):
            talk.write_until(lambda results: results[0].reason is Reason.QUOTA_EXCEEDED)
            talk.trim(count=30)
            assert talk.write()[0].reason is Reason.SUCCESS
            talk.check_dense()


WRITE_TO_THE_LIMIT = """
import random, resource, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from broker.store.test_lmdb_space import Talk, opened
from roost_broker.store import CommitRefused
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
with opened(Path(sys.argv[1])) as store:
    talk = Talk(store)
    for _ in range(3):
        try:
            talk.write_until(lambda results: False)
        except CommitRefused as error:
            print(error)
    talk.check_dense()
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
    print(talk.write(100)[0].reason.phrase)
    talk.check_dense()
"""


@pytest.mark.process
def test_a_file_as_large_as_the_system_allows(tmp_path: Path) -> None:
    """The limit cuts a write short, which LMDB reports as EIO: the same as a disk that is about to be full."""
    tests = Path(__file__).parents[2]
    command = [sys.executable, "-c", WRITE_TO_THE_LIMIT, os.fspath(tmp_path), os.fspath(tests)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert len(lines) == 4
    assert all("no space is left" in line for line in lines[:3])
    assert lines[3] == "success"


# --- a store that contradicts itself ------------------------------------------------------------------------------


def test_a_damaged_page_stops_the_writer(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        talk = Talk(store)
        for _ in range(20):
            talk.write(50)
        data = tmp_path / DATA_FILE
        with data.open("r+b") as file:
            file.seek(2 * 4096)
            file.write(os.urandom(data.stat().st_size - 2 * 4096))
        with pytest.raises(OutcomeUnknown):
            talk.write(50)
        with pytest.raises(ReadFailed):
            store.read_inbox(2, 0, 1_000, MIB)


@contextmanager
def table(path: Path, name: str) -> Iterator["lmdb.Transaction[bytes]"]:
    """A table of a closed store, to be changed by hand."""
    env = lmdb.open(os.fspath(path), max_dbs=64)
    with env, env.begin(env.open_db(name_in_file(name), create=False), write=True) as txn:
        yield txn


@pytest.mark.parametrize(("name", "key"), [("inbox", PAIR.pack(1, 2)), ("inbox", PAIR.pack(1, 1)), ("messages", None)])
def test_an_entry_that_is_missing_is_not_passed_over(tmp_path: Path, name: str, key: bytes | None) -> None:
    with opened(tmp_path) as store:
        Talk(store).write(3)
    with table(tmp_path, name) as txn:
        cursor = txn.cursor()
        assert cursor.first()
        assert txn.delete(key or cursor.key())
    with opened(tmp_path) as store:
        page = store.read_inbox(1, 0, 10, MIB)
        assert [entry.seq for entry in page.entries] == [1, 2, 3]
        assert [entry.kind for entry in page.entries].count("damaged") == 1
        assert store.statistics().damaged == 1


def test_a_record_that_is_none(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        Talk(store)
    with table(tmp_path, "users") as txn:
        txn.put(NUMBER.pack(1), b"\xc1 nonsense")
    with opened(tmp_path) as store:
        with pytest.raises(ReadFailed):
            store.account("alice")
        world = World(store)
        world.numbers = {"alice": 1}
        refused = world.one(world.login_operation("alice", "alice-phone"))
        assert isinstance(refused, CommitRefused)
        assert (refused.reason, "damaged" in str(refused)) == (Reason.UNSPECIFIED_ERROR, True)


def test_a_message_id_that_was_given_before_stops_the_writer(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        talk = Talk(store)
        talk.write(3)
    with table(tmp_path, "meta") as txn:
        counters = COUNTERS.unpack(txn.get(META_LAST) or b"")
        txn.put(META_LAST, COUNTERS.pack(*counters[:-1], 0))
    with opened(tmp_path) as store:
        again = World(store)
        again.numbers = {"alice": 1, "bob": 2}
        again.now_ms = 1_000
        with pytest.raises(OutcomeUnknown, match="damaged"):
            again.publish(again.login("alice"), "user/bob")
        assert store.read_inbox(2, 0, 10, MIB).head == 3
