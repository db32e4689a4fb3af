"""A disk that fails under a real broker, call by call: what is told, what is done, what there is after a restart."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from admin.running import WAIT_S, RunningBroker
from crash.compiled import compiled
from crash.raw_device import RawDevice
from roost_protocol.admin.inbox import INBOX_STAT
from roost_protocol.frames import Publish
from roost_protocol.reasons import Reason

EX_IOERR = 74
"""sysexits.h."""

pytestmark = pytest.mark.process


class FailingDisk:
    """What the disk of a broker that is started here does."""

    def __init__(self, library: Path, folder: Path) -> None:
        self._library = library
        self._folder = folder
        self._control = folder / "faults"

    @contextmanager
    def broker(self, file: str = "data.mdb") -> Iterator[RunningBroker]:
        """A broker on this disk, of which only this file may come to harm."""
        variables = {
            "LD_PRELOAD": str(self._library), "FAULTS_FILE": file, "FAULTS_CONTROL": str(self._control),
        }  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            broker = RunningBroker(self._folder)
        with broker:
            yield broker

    def fail(self, call: str, number: int, *, meta: bool = False) -> None:
        """From now on, these calls fail with this errno; with `meta`, only that for the last page of a commit."""
        told = self._control.with_suffix(".new")
        told.write_text(f"{call} {number} {'meta' if meta else 'all'}\n")
        told.rename(self._control)

    def heal(self) -> None:
        """Nothing fails any more."""
        self._control.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled("faults.c", tmp_path_factory.mktemp("faults"))


@pytest.fixture
def disk(library: Path, tmp_path: Path) -> FailingDisk:
    return FailingDisk(library, tmp_path)


def stopped(broker: RunningBroker) -> str:
    """What the broker has logged, which has stopped by itself as it should."""
    assert broker.process.wait(WAIT_S) == EX_IOERR
    log = broker.log.read_text()
    assert "Traceback" not in log
    return log


UNKNOWN = [
    pytest.param("sync", errno.EIO, False, id="sync fails"),
    pytest.param("write", errno.EIO, True, id="last page is not written"),
    pytest.param("write", errno.EIO, False, id="no page is written"),
    pytest.param("write", errno.ENOSPC, True, id="no space for the last page"),
]


@pytest.mark.parametrize(("call", "number", "meta"), UNKNOWN)
def test_what_is_not_known_is_not_acknowledged(disk: FailingDisk, call: str, number: int, meta: bool) -> None:
    """The broker stops with 74 and says why; after the restart, the same publish is settled, once."""
    with disk.broker() as broker:
        broker.create_users("ann", "bob")
        with RawDevice(broker.address, "ann") as ann:
            assert ann.publish("user/bob", "before").reason == Reason.SUCCESS
            disk.fail(call, number, meta=meta)
            with pytest.raises(ConnectionError):
                ann.publish("user/bob", "meanwhile")
            assert ann.n not in ann.pubacks
        assert "cannot say what is durable" in stopped(broker)
    disk.heal()
    with disk.broker() as broker:
        with RawDevice(broker.address, "ann") as ann:
            again = ann.publish("user/bob", "meanwhile", n=2)
            assert (again.reason, again.seq) == (Reason.SUCCESS, 2)
            assert ann.publish("user/bob", "after", n=3).seq == 3
        with RawDevice(broker.address, "bob") as bob:
            bob.catch_up(3)
            texts = [each.entry.text for _, each in sorted(bob.delivered.items()) if each.entry is not None]
            assert texts == ["before", "meanwhile", "after"]
        assert broker.ask("fsck").exit_code == 0


KNOWN = [
    pytest.param(errno.ENOSPC, Reason.QUOTA_EXCEEDED, "the store has no room", id="no space"),
    pytest.param(errno.EDQUOT, Reason.QUOTA_EXCEEDED, "the store has no room", id="quota"),
    pytest.param(errno.EROFS, Reason.SERVER_UNAVAILABLE, "the store's disk takes no writes", id="read-only"),
]


@pytest.mark.parametrize(("number", "reason", "text"), KNOWN)
def test_what_was_not_done_is_said_and_service_comes_back(
    disk: FailingDisk, number: int, reason: Reason, text: str
) -> None:
    with disk.broker() as broker:
        broker.create_users("ann", "bob")
        with RawDevice(broker.address, "ann") as ann, RawDevice(broker.address, "bob") as bob:
            assert ann.publish("user/bob", "before").reason == Reason.SUCCESS
            disk.fail("write", number)
            refused = ann.publish("user/bob", "meanwhile")
            assert (refused.reason, refused.text, refused.seq) == (reason, text, None)
            assert refused.retry_after_s
            assert not refused.retransmission
            page = bob.fetch(1)
            assert len(page.entries) == 1, "reads go on"
            with RawDevice(broker.address, "ann", "pc") as other:
                assert (other.connack.reason, bool(other.connack.retry_after_s)) == (reason, True)
            assert broker.api.ask(INBOX_STAT, "bob").head == 1
            assert broker.ask("users", "list").exit_code == 0
            checked = broker.ask("check", "--json")
            assert checked.exit_code != 0
            assert "the last commit was not done" in checked.output
            disk.heal()
            assert ann.publish("user/bob", "meanwhile", n=2).seq == 2, "the same, without a restart"
            bob.catch_up(2)
        assert broker.process.poll() is None
        assert broker.ask("fsck").exit_code == 0
        assert "Traceback" not in broker.log.read_text()


def test_of_many_under_way_each_is_told_or_none(disk: FailingDisk) -> None:
    """Nothing is acknowledged that is not there after the restart."""
    with disk.broker() as broker:
        broker.create_users("ann", "bob")
        with RawDevice(broker.address, "ann") as ann:
            for n in range(1, 41):
                ann.say(Publish(n=n, to="user/bob", text=f"number {n}"))
                if n == 20:
                    disk.fail("sync", errno.EIO)
            with pytest.raises(ConnectionError):
                ann.publish("user/bob", "the last", n=41)
            acknowledged = {n: puback.id for n, puback in ann.pubacks.items() if puback.reason == Reason.SUCCESS}
        stopped(broker)
    disk.heal()
    with disk.broker() as broker, RawDevice(broker.address, "bob") as bob:
        bob.catch_up(broker.api.ask(INBOX_STAT, "bob").head) if acknowledged else None
        held = {each.entry.text: each.entry.id for each in bob.delivered.values() if each.entry is not None}
        assert all(held.get(f"number {n}") == message_id for n, message_id in acknowledged.items())


@pytest.mark.parametrize(("call", "number"), [("write", errno.ENOSPC), ("sync", errno.EIO)])
def test_nothing_is_changed_that_cannot_be_audited(disk: FailingDisk, call: str, number: int) -> None:
    """What was under way when the audit log failed is done, and says so; then nothing, until its line is written."""
    with disk.broker("audit.log") as broker:
        broker.create_users("ann", "bob")
        disk.fail(call, number)
        for name in ("one", "two"):
            made = broker.ask("groups", "create", name, "--owner", "ann")
            assert made.exit_code != 0
            assert os.strerror(number) in made.output
        with RawDevice(broker.address, "ann") as ann:
            assert ann.publish("user/bob", "messages go on").reason == Reason.SUCCESS
        disk.heal()
        assert broker.ask("groups", "create", "three", "--owner", "ann").exit_code == 0
        listed = broker.ask("groups", "list", "--json").output
        assert [name in listed for name in ("one", "two", "three")] == [True, False, True]
        audited = (broker.data / "audit.log").read_text()
        assert [f'"{name}"' in audited for name in ("one", "two", "three")] == [True, False, True]
        assert "Traceback" not in broker.log.read_text()


def test_a_start_on_a_disk_that_cannot_be_synced(disk: FailingDisk, tmp_path: Path) -> None:
    """A new store is not there before it is on the disk."""
    disk.fail("sync", errno.EIO)
    with pytest.raises(AssertionError, match="did not start") as error, disk.broker():
        pass
    assert "Traceback" not in str(error.value)
    assert os.strerror(errno.EIO) in str(error.value)
