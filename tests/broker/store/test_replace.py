"""Restoring and compacting: one whole store or the other, whatever happens, and no number given twice."""

import os
import resource
import shutil
import stat
from functools import partial
from pathlib import Path

import lmdb
import pytest

from broker.store.filled import make_filled
from broker.store.killed import kills
from broker.store.tables import check_tables, read_tables
from broker.store.test_backup import back_up, ignore
from broker.store.test_lmdb_space import small_disk
from broker.store.world import START_MS, World, seeded
from roost_broker.store import CopyFailed, StoreInUse, StoreUnusable
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.lmdb_open import held
from roost_broker.store.lmdb_tables import COUNTERS, META_LAST
from roost_broker.store.operations import LoggedIn, Retention, Trim
from roost_broker.store.replace import compact, restore
from roost_protocol.limits import KIB, MIB, Limits
from roost_protocol.reasons import Reason


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder that no broker uses, with free pages in its file."""
    make_filled(tmp_path / "data", messages=400, keep=20)
    return tmp_path / "data"


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A backup of another store."""
    make_filled(tmp_path / "other", messages=7)
    back_up(tmp_path / "other", tmp_path / "backup")
    return tmp_path / "backup"


def files(data: Path) -> set[str]:
    return {each.name for each in data.iterdir()}


# --- compact ------------------------------------------------------------------------------------------------------


def test_a_compacted_store_is_smaller_and_holds_the_same(data: Path) -> None:
    before = read_tables(data)
    size = (data / "data.mdb").stat().st_size
    done = compact(data, ignore)
    assert (done.before_bytes, done.after_bytes) == (size, (data / "data.mdb").stat().st_size)
    assert done.after_bytes < size / 2
    assert read_tables(data) == before
    assert files(data) == {"data.mdb", "lock.mdb", "roost.lock"}
    assert stat.S_IMODE((data / "data.mdb").stat().st_mode) == 0o600
    check_tables(data)
    with_a_store(data)
    assert compact(data, ignore).after_bytes <= done.after_bytes + 16 * KIB


def test_a_store_in_use_is_not_compacted(data: Path) -> None:
    before = (data / "data.mdb").read_bytes()
    with held(data), pytest.raises(StoreInUse):
        compact(data, ignore)
    assert (data / "data.mdb").read_bytes() == before


def test_a_folder_without_a_store_is_not_compacted(tmp_path: Path) -> None:
    with pytest.raises(CopyFailed, match="there is no store in"):
        compact(tmp_path, ignore)
    assert files(tmp_path) == set()


def test_a_store_of_something_else_is_not_compacted(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path)) as env, env.begin(write=True) as txn:
        txn.put(b"a", b"b")
    content = (tmp_path / "data.mdb").read_bytes()
    with pytest.raises(StoreUnusable, match="is no store of roost"):
        compact(tmp_path, ignore)
    assert (tmp_path / "data.mdb").read_bytes() == content


def test_without_room_everything_is_as_it_was(data: Path) -> None:
    before = (data / "data.mdb").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40 * KIB, limits[1]))
    try:
        with pytest.raises(CopyFailed) as error:
            compact(data, ignore)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.value.reason == Reason.QUOTA_EXCEEDED
    assert (data / "data.mdb").read_bytes() == before
    assert files(data) == {"data.mdb", "lock.mdb", "roost.lock"}


def test_killed_at_any_point_a_compaction_leaves_one_whole_store(data: Path, tmp_path: Path) -> None:
    original = Path(shutil.copytree(data, tmp_path / "original"))
    before = read_tables(original)
    large = (original / "data.mdb").stat().st_size
    sizes = set()

    def prepare() -> None:
        # The folder stays as the kill before has left it, but for the store: leavings must be no harm.
        shutil.copy(original / "data.mdb", data / "data.mdb")

    points = 0
    for points in kills(partial(compact, data, ignore), prepare):  # noqa: B007
        assert read_tables(data) == before
        sizes.add((data / "data.mdb").stat().st_size)
    assert points > 10
    assert large in sizes
    assert len(sizes) == 2, "some were killed before the exchange, some after it"
    assert not list(data.glob("*.new-*")), "the last run has removed what those before had left"


# --- restore ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", ["nothing", "empty folder", "folder with a file"])
def test_a_backup_is_restored_where_no_store_is(backup: Path, tmp_path: Path, there: str) -> None:
    data = tmp_path / "deep/down/data" if there == "nothing" else tmp_path / "fresh"
    if there != "nothing":
        data.mkdir()
    if there == "folder with a file":
        (data / "roost.toml").write_text("mine")
    done = restore(backup, data, replace=False, now_ms=START_MS)
    assert done.aside is None
    assert done.record.messages == 7
    assert read_tables(data) == read_tables(tmp_path / "other")
    assert stat.S_IMODE((data / "data.mdb").stat().st_mode) == 0o600
    assert (there == "folder with a file") == (data / "roost.toml").exists()
    with_a_store(data)


def test_a_store_that_is_there_is_left_alone(backup: Path, data: Path) -> None:
    before = (data / "data.mdb").read_bytes()
    with pytest.raises(CopyFailed, match="say --replace") as error:
        restore(backup, data, replace=False, now_ms=START_MS)
    assert error.value.reason == Reason.ALREADY_EXISTS
    assert (data / "data.mdb").read_bytes() == before
    assert files(data) == {"data.mdb", "lock.mdb", "roost.lock"}


def test_what_is_replaced_is_moved_aside(backup: Path, data: Path, tmp_path: Path) -> None:
    before = read_tables(data)
    done = restore(backup, data, replace=True, now_ms=START_MS)
    assert done.aside == tmp_path / "data.before-restore-20231114T221320Z"
    assert done.counters_kept
    assert read_tables(done.aside) == before
    assert stat.S_IMODE(done.aside.stat().st_mode) == 0o700
    restored, saved = read_tables(data), read_tables(tmp_path / "other")
    assert {**restored, "meta": {}} == {**saved, "meta": {}}
    check_tables(data)
    with pytest.raises(CopyFailed, match="aside"):
        restore(backup, data, replace=True, now_ms=START_MS)  # that name is taken
    assert read_tables(data) == restored


@pytest.mark.process
def test_what_is_replaced_stays_on_its_own_file_system(backup: Path, data: Path, tmp_path: Path) -> None:
    """A volume that is mounted as the data folder."""
    before = read_tables(data)
    with small_disk(tmp_path / "volume", 8 * MIB) as volume:
        shutil.copy(data / "data.mdb", volume / "data.mdb")
        done = restore(backup, volume, replace=True, now_ms=START_MS)
        assert done.aside == volume / "before-restore-20231114T221320Z"
        assert read_tables(done.aside) == before
        assert len(read_tables(volume)["messages"]) == 7
        with_a_store(volume)
    assert not list(tmp_path.glob("*before-restore*"))


def test_a_store_in_use_is_not_replaced(backup: Path, data: Path) -> None:
    with held(data), pytest.raises(StoreInUse):
        restore(backup, data, replace=True, now_ms=START_MS)


def test_a_backup_that_is_damaged_is_not_restored(backup: Path, tmp_path: Path) -> None:
    os.truncate(backup / "data.mdb", 8192)
    with pytest.raises(CopyFailed, match="is damaged"):
        restore(backup, tmp_path / "fresh", replace=False, now_ms=START_MS)
    assert not (tmp_path / "fresh").exists()


def test_a_store_that_is_damaged_is_replaced_all_the_same(backup: Path, data: Path) -> None:
    os.truncate(data / "data.mdb", 8192)
    done = restore(backup, data, replace=True, now_ms=START_MS)
    assert not done.counters_kept
    assert done.aside is not None
    assert (done.aside / "data.mdb").stat().st_size == 8192
    with_a_store(data)


def test_numbers_that_were_lost_are_not_given_again_though_the_clock_goes_back(tmp_path: Path) -> None:
    data = tmp_path / "data"
    store = LmdbStore(data, limits=Limits(), random=seeded())
    world = World(store)
    world.users("alice", "bob")
    phone = world.login("alice")
    world.publish(phone, "user/bob")
    store.close()
    back_up(data, tmp_path / "backup")

    store = LmdbStore(data, limits=Limits(), random=seeded(2))
    world.store = store
    phone = world.login("alice")
    lost = [world.publish(phone, "user/bob") for _ in range(50)]
    last_lost = max(each.id or "" for each in lost)
    lost_epoch = phone.epoch
    counters = last_given(world)
    store.close()

    assert restore(tmp_path / "backup", data, replace=True, now_ms=world.now_ms).counters_kept
    world.store = LmdbStore(data, limits=Limits(), random=seeded(3))
    world.now_ms = START_MS  # the clock was set back to before all of it
    assert last_given(world) == counters
    phone = world.login("alice")
    assert phone.epoch > lost_epoch
    found = [world.publish(phone, "user/bob") for _ in range(50)]
    assert all((each.id or "") > last_lost for each in found)
    assert [each.seq for each in found] == list(range(2, 52))
    world.store.close()
    check_tables(data)


def test_a_device_ahead_of_the_backup_starts_over_also_when_its_last_number_was_trimmed_since(tmp_path: Path) -> None:
    """Else it would be told of a gap, and keep what nobody else has."""
    data = tmp_path / "data"
    world = World(LmdbStore(data, limits=Limits(), random=seeded()))
    world.users("alice", "bob")
    pc = world.login("alice", terminal="pc")
    kept = world.publish(pc, "user/bob")
    world.store.close()
    back_up(data, tmp_path / "backup")

    world.store = LmdbStore(data, limits=Limits(), random=seeded(2))
    lost = [world.publish(world.login("alice", terminal="pc"), "user/bob") for _ in range(3)]
    world.store.close()
    restored_at = world.now_ms
    assert restore(tmp_path / "backup", data, replace=True, now_ms=restored_at).counters_kept

    world.store = LmdbStore(data, limits=Limits(), random=seeded(3))
    pc = world.login("alice", terminal="pc", last_seq=1, last_id=kept.id)
    new = [world.publish(pc, "user/bob") for _ in range(6)]
    world.one(Trim(retention=Retention(count=1), users_max=10, entries_max=100))

    def starts_over(last_seq: int | None, last_id: str | None) -> bool:
        logged_in = world.try_login("alice", "alice-phone", last_seq=last_seq or 0, last_id=last_id)
        assert isinstance(logged_in, LoggedIn)
        return logged_in.start_over

    assert [starts_over(each.seq, each.id) for each in lost] == [True] * 3
    assert not starts_over(kept.seq, kept.id), "it is of the backup: a gap is all that it missed"
    assert not starts_over(new[0].seq, new[0].id)
    assert not starts_over(0, None)
    world.store.close()
    back_up(data, tmp_path / "second")
    fresh = tmp_path / "fresh"
    assert not restore(tmp_path / "second", fresh, replace=False, now_ms=world.now_ms).counters_kept
    world.store = LmdbStore(fresh, limits=Limits(), random=seeded(4))
    assert starts_over(lost[0].seq, lost[0].id), "a later restoration forgets none before"
    assert not starts_over(new[0].seq, new[0].id)
    world.store.close()
    check_tables(fresh)


def test_killed_at_any_point_a_restoration_leaves_one_whole_store_and_loses_none(
    backup: Path, data: Path, tmp_path: Path
) -> None:
    original = Path(shutil.copytree(data, tmp_path / "original"))
    before = read_tables(original)
    saved = read_tables(tmp_path / "other")["messages"]
    outcomes = set()

    def prepare() -> None:
        # The folder stays as the kill before has left it, but for the store.
        for aside in tmp_path.glob("*.before-restore-*"):
            shutil.rmtree(aside)
        (data / "data.mdb").unlink(missing_ok=True)  # never written over: it may have a second name
        shutil.copy(original / "data.mdb", data / "data.mdb")

    points = 0
    for points in kills(partial(restore, backup, data, replace=True, now_ms=START_MS), prepare):  # noqa: B007
        found = read_tables(data)
        asides = [aside for aside in tmp_path.glob("*.before-restore-*") if (aside / "data.mdb").exists()]
        if found == before:
            outcomes.add("before")
        else:
            assert found["messages"] == saved
            (aside,) = asides
            assert read_tables(aside) == before
            outcomes.add("restored")
    assert points > 20
    assert outcomes == {"before", "restored"}


def last_given(world: World) -> tuple[int, ...]:
    """The counters of the store, by its own file."""
    assert isinstance(world.store, LmdbStore)
    with world.store._env.begin() as txn:
        return COUNTERS.unpack(txn.get(META_LAST, b"", db=world.store._tables.meta))


def with_a_store(data: Path) -> None:
    """A store opens here, and works."""
    store = LmdbStore(data, limits=Limits(), random=seeded(9))
    world = World(store)
    world.now_ms += 1_000_000
    world.users("zoe")
    phone = world.login("zoe")
    world.publish(phone, "user/bob")
    store.close()
    check_tables(data)
