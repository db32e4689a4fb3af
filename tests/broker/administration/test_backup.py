"""Backups of a running broker: their events, one at a time, and given up with whoever asked for them."""

import resource
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from broker.house import CHEAP_PASSWORDS, PASSWORD
from broker.store.filled import fill
from broker.store.tables import check_tables
from broker.store.world import World, seeded
from roost_broker.administration import NotDone
from roost_broker.app import Broker
from roost_broker.config import Config
from roost_broker.store import CopyFailed
from roost_broker.store.backup import check_backup
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.port import Copier, Watch
from roost_broker.transport.memory import MemoryListener
from roost_protocol.admin.backup import BackupAsked, BackupTold
from roost_protocol.limits import KIB, Limits
from roost_protocol.reasons import Reason


class HeldStore(LmdbStore):
    """A store whose copies wait, before they begin, until they are let go or the watch has had enough."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, limits=Limits(), random=seeded())
        self.go = threading.Event()
        self.begun = threading.Event()

    def copier(self) -> Copier | None:
        return partial(self._copy, super().copier())

    def _copy(self, copier: Copier | None, file: Path, watch: Watch) -> int:
        assert copier is not None
        self.begun.set()
        while not self.go.wait(0.01):
            watch(0)
        return copier(file, watch)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[Broker, HeldStore]]:
    store = HeldStore(folder / "data")
    fill(World(store))
    config = Config(data=str(folder / "data"), passwords=CHEAP_PASSWORDS, drain_s=1)
    async with Broker(config, store=store, listeners=[MemoryListener()], admin_socket=False) as broker:
        yield broker, store


def there(folder: Path, pattern: str) -> list[Path]:
    """What is in the folder now."""
    return list(folder.glob(pattern))


async def begin(broker: Broker, folder: Path) -> AsyncIterator[BackupTold]:
    return await broker.admin.backups.make(BackupAsked(folder=str(folder)))


async def test_a_backup_says_how_far_it_is_and_what_it_holds(tmp_path: Path) -> None:
    async with running(tmp_path) as (broker, store):
        events = await begin(broker, tmp_path / "backup")
        first = await anext(events)
        assert (first.step, first.bytes) == ("copying", 0)
        assert first.bytes_expected > 0
        await broker.create_user("meanwhile", PASSWORD)  # nobody waits for the backup
        store.go.set()
        told = [first, *[each async for each in events]]
        last = told[-1]
        assert last.step == "done"
        assert {each.step for each in told[:-1]} <= {"copying", "checking"}
        assert last.record == check_backup(tmp_path / "backup")
        assert last.record is not None
        assert (last.record.users, last.record.messages) == (4, 60)
        assert last.bytes == last.record.data_bytes
        again = [each async for each in await begin(broker, tmp_path / "again")]
        assert again[-1].step == "done", "there may be another now"
    check_tables(tmp_path / "backup")


async def test_there_is_one_at_a_time(tmp_path: Path) -> None:
    async with running(tmp_path) as (broker, store):
        late = await begin(broker, tmp_path / "late")
        first = await begin(broker, tmp_path / "first")
        await anext(first)
        with pytest.raises(NotDone, match="one at a time") as error:
            await begin(broker, tmp_path / "second")
        assert error.value.reason == Reason.ALREADY_EXISTS
        (told,) = [each async for each in late]
        assert (told.step, told.reason) == ("failed", Reason.ALREADY_EXISTS)
        store.go.set()
        assert [each async for each in first][-1].step == "done"
    assert not there(tmp_path, "late*")
    assert not there(tmp_path, "second*")


async def test_it_is_given_up_with_whoever_asked_for_it(tmp_path: Path) -> None:
    async with running(tmp_path) as (broker, store):
        events = await begin(broker, tmp_path / "backup")
        await anext(events)
        await trio.to_thread.run_sync(store.begun.wait)
        assert len(there(tmp_path, "backup.partial-*")) == 1
        await events.aclose()  # type: ignore[attr-defined]
    assert not there(tmp_path, "backup*"), "nothing is left when the broker has ended"


async def test_it_is_given_up_when_the_broker_ends(tmp_path: Path) -> None:
    async with running(tmp_path) as (broker, _):
        events = await begin(broker, tmp_path / "backup")
        await anext(events)
    assert not there(tmp_path, "backup*")
    await events.aclose()  # type: ignore[attr-defined]


async def test_without_room_it_fails_and_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as (broker, store):
        store.go.set()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20 * KIB, limits[1]))
        try:
            told = [each async for each in await begin(broker, tmp_path / "backup")]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert (told[-1].step, told[-1].reason) == ("failed", Reason.QUOTA_EXCEEDED)
        assert "File too large" in told[-1].text
        await broker.create_user("later", PASSWORD)
    assert not there(tmp_path, "backup*")


async def test_a_copy_that_is_damaged_is_no_backup(tmp_path: Path) -> None:
    class SpoiltStore(HeldStore):
        def _copy(self, copier: Copier | None, file: Path, watch: Watch) -> int:
            size = super()._copy(copier, file, watch)
            content = bytearray(file.read_bytes())
            content[8192:8208] = b"\xff" * 16
            file.write_bytes(content)
            return size

    store = SpoiltStore(tmp_path / "data")
    store.go.set()
    fill(World(store))
    async with Broker(Config(), store=store, listeners=[MemoryListener()], admin_socket=False) as broker:
        told = [each async for each in await begin(broker, tmp_path / "backup")]
        assert (told[-1].step, told[-1].reason) == ("failed", Reason.UNSPECIFIED_ERROR)
        assert "is damaged" in told[-1].text
    assert not there(tmp_path, "backup*")


async def test_a_defect_does_not_end_the_broker(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class DefectiveStore(HeldStore):
        def _copy(self, copier: Copier | None, file: Path, watch: Watch) -> int:
            raise ZeroDivisionError

    store = DefectiveStore(tmp_path / "data")
    async with Broker(Config(), store=store, listeners=[MemoryListener()], admin_socket=False) as broker:
        told = [each async for each in await begin(broker, tmp_path / "backup")]
        assert (told[-1].step, told[-1].reason) == ("failed", Reason.UNSPECIFIED_ERROR)
        await broker.create_user("later", PASSWORD)
    assert not there(tmp_path, "backup*")
    assert [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("relative", Reason.MALFORMED_PACKET),
        ("/", Reason.MALFORMED_PACKET),
        ("/tmp", Reason.ALREADY_EXISTS),  # noqa: S108
        ("/a\0b", Reason.MALFORMED_PACKET),
    ],
)
async def test_where_it_cannot_go_it_does_not_begin(tmp_path: Path, folder: str, reason: Reason) -> None:
    async with running(tmp_path) as (broker, _):
        with pytest.raises(NotDone) as error:
            await begin(broker, Path(folder))
        assert error.value.reason == reason


async def test_where_nothing_can_be_made_it_fails(tmp_path: Path) -> None:
    async with running(tmp_path) as (broker, _):
        told = [each async for each in await begin(broker, tmp_path / "no/backup")]
        assert (told[-1].step, told[-1].reason) == ("failed", Reason.NOT_FOUND)
    with pytest.raises(CopyFailed):
        check_backup(tmp_path / "no/backup")
