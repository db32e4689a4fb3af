"""A disk that is full, and has space again, under a real broker: a file system in memory, of a few MiB.

Mounting takes root; where that is not allowed, those tests are skipped. A store at the bound of its own map, and
streams that take nothing, need no mount.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from admin.running import CHEAP, COMMAND, WAIT_S, RunningBroker, command, environment
from crash.raw_device import RawDevice
from roost_protocol.admin.health import HEALTH
from roost_protocol.admin.inbox import INBOX_STAT
from roost_protocol.admin.retention import RETENTION_RUN
from roost_protocol.frames import Puback
from roost_protocol.limits import KIB, MIB
from roost_protocol.reasons import Reason

DISK_BYTES = 12 * MIB
RESERVE_BYTES = MIB
CONFIG = f"{CHEAP}\n[store]\nreserve_bytes = {RESERVE_BYTES}\nmap_bytes = {{map_bytes}}\n"
ON_THE_DISK = CONFIG.format(map_bytes=1024 * MIB)
TEXT = "x" * 60 * KIB

pytestmark = pytest.mark.process


class SmallDisk:
    """A file system of `DISK_BYTES` at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._foreign = path / "foreign"

    def fill(self) -> None:
        """Somebody else fills it, to the last byte."""
        with self._foreign.open("ab", buffering=0) as file:
            for size in (64 * KIB, 4 * KIB, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def empty(self) -> None:
        """And lets go of it."""
        self._foreign.unlink()

    def read_only(self, *, on: bool) -> None:
        """Mount it anew."""
        subprocess.run(["mount", "-o", f"remount,{'ro' if on else 'rw'}", self.path], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    path = tmp_path / "data"
    path.mkdir(mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "tmpfs", path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"cannot mount a file system: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def publish_until_refused(device: RawDevice, to: str, most: int = 2_000) -> Puback:
    """Publish until the broker takes no more; what it says then."""
    for _ in range(most):
        puback = device.publish(to, TEXT)
        if puback.reason != Reason.SUCCESS:
            return puback
    raise AssertionError(f"{most} messages, and there is room still")


def check_refused(puback: Puback) -> None:
    """A sender is told why, and when to try again."""
    assert (puback.reason, puback.text, puback.seq) == (Reason.QUOTA_EXCEEDED, "the store has no room", None)
    assert puback.retry_after_s


def check_nothing_is_lost(broker: RunningBroker, sender: RawDevice, to: str) -> None:
    """Every acknowledged message is in the inbox it was sent to, in order, and the store is whole."""
    acknowledged = [puback.id for _, puback in sorted(sender.pubacks.items()) if puback.reason == Reason.SUCCESS]
    assert acknowledged
    with RawDevice(broker.address, to, "pc") as device:
        device.catch_up(broker.api.ask(INBOX_STAT, to).head)
        held = [each.entry.id for _, each in sorted(device.delivered.items()) if each.entry is not None]
    assert held[-len(acknowledged) :] == acknowledged
    checked = broker.ask("fsck")
    assert checked.exit_code == 0, checked.output
    assert "Traceback" not in broker.log.read_text()


# --- a disk that is full ------------------------------------------------------------------------------------------


def test_publishing_fills_the_disk(disk: SmallDisk, tmp_path: Path) -> None:
    """The reserve is kept: log-ins, catch-up and trims go on; and with the room that a trim makes, publishing does."""
    with RunningBroker(tmp_path, config=ON_THE_DISK) as broker:
        broker.create_users("ann", "bob")
        with RawDevice(broker.address, "ann") as ann:
            check_refused(publish_until_refused(ann, "user/bob"))
            assert os.statvfs(disk.path).f_bavail * 4096 < DISK_BYTES // 4
            check_nothing_is_lost(broker, ann, "bob")
            assert "within the reserve" in broker.ask("check", "--json").output
            changed = tmp_path / "roost.toml"
            changed.write_text(f"{ON_THE_DISK}\n[retention]\nbytes = {MIB}\n")
            assert broker.ask("reload").exit_code == 0
            assert broker.api.ask(RETENTION_RUN).entries
            assert ann.publish("user/bob", TEXT, n=ann.n).reason == Reason.SUCCESS


def test_somebody_else_fills_the_disk(disk: SmallDisk, tmp_path: Path) -> None:
    """To the last byte: who is logged in reads on, who asks to write is told, and without a restart all goes on."""
    with RunningBroker(tmp_path, config=ON_THE_DISK) as broker:
        broker.create_users("ann", "bob")
        with RawDevice(broker.address, "ann") as ann, RawDevice(broker.address, "bob") as bob:
            for _ in range(20):
                assert ann.publish("user/bob", TEXT).reason == Reason.SUCCESS
            disk.fill()
            check_refused(ann.publish("user/bob", TEXT))
            bob.catch_up(20)
            assert [each.seq for each in bob.fetch(1, 3).entries] == [18, 19, 20]
            assert broker.api.ask(INBOX_STAT, "bob").head == 20
            assert broker.ask("sessions", "list").exit_code == 0
            assert broker.ask("inbox", "show", "bob").exit_code == 0
            assert (broker.api.ask(HEALTH).disk_free_bytes or 0) < RESERVE_BYTES
            disk.empty()
            assert ann.publish("user/bob", TEXT, n=ann.n).reason == Reason.SUCCESS
            assert broker.ask("groups", "create", "team", "--owner", "ann").exit_code == 0
            check_nothing_is_lost(broker, ann, "bob")


def test_a_backup_that_has_no_space_leaves_nothing(disk: SmallDisk, tmp_path: Path) -> None:
    with RunningBroker(tmp_path, config=ON_THE_DISK) as broker:
        broker.create_users("ann", "bob")
        with RawDevice(broker.address, "ann") as ann:
            for _ in range(60):
                assert ann.publish("user/bob", TEXT).reason == Reason.SUCCESS
            disk.fill()
            before = sorted(os.listdir(disk.path))
            made = broker.ask("backup", str(disk.path / "backup"))
            assert made.exit_code != 0
            assert "No space left" in made.output
            assert sorted(os.listdir(disk.path)) == before
            disk.empty()
            check_nothing_is_lost(broker, ann, "bob")


def test_a_start_on_a_full_disk(disk: SmallDisk, tmp_path: Path) -> None:
    """A store that is there is served: what it holds can be read, and trimmed."""
    with RunningBroker(tmp_path, config=ON_THE_DISK) as broker:
        broker.create_users("ann", "bob")
        with RawDevice(broker.address, "ann") as ann:
            for _ in range(20):
                assert ann.publish("user/bob", TEXT).reason == Reason.SUCCESS
        assert broker.stop() == 0
    disk.fill()
    with RunningBroker(tmp_path, config=ON_THE_DISK) as broker:
        assert broker.api.ask(INBOX_STAT, "bob").head == 20
        assert broker.ask("fsck").exit_code == 0
        disk.empty()
        with RawDevice(broker.address, "ann") as ann:
            assert ann.publish("user/bob", TEXT).reason == Reason.SUCCESS
            check_nothing_is_lost(broker, ann, "bob")


def test_a_new_store_on_a_full_disk(disk: SmallDisk, tmp_path: Path) -> None:
    disk.fill()
    with pytest.raises(AssertionError, match="did not start") as error, RunningBroker(tmp_path, config=ON_THE_DISK):
        pass
    assert "No space left" in str(error.value)
    assert "Traceback" not in str(error.value)
    disk.empty()
    with RunningBroker(tmp_path, config=ON_THE_DISK) as broker:
        broker.create_users("ann")


def test_a_start_on_a_read_only_disk(disk: SmallDisk, tmp_path: Path) -> None:
    with RunningBroker(tmp_path, config=ON_THE_DISK) as broker:
        broker.create_users("ann", "bob")
        assert broker.stop() == 0
    disk.read_only(on=True)
    with pytest.raises(AssertionError, match="did not start") as error, RunningBroker(tmp_path, config=ON_THE_DISK):
        pass
    assert "Read-only file system" in str(error.value)
    assert "Traceback" not in str(error.value)
    stopped = command("fsck", "--data", str(disk.path))
    assert stopped.exit_code == 0, stopped.output
    disk.read_only(on=False)
    with RunningBroker(tmp_path, config=ON_THE_DISK) as broker:
        assert broker.api.ask(INBOX_STAT, "bob").head == 0


# --- a map at its bound -------------------------------------------------------------------------------------------


def test_a_map_at_its_bound(tmp_path: Path) -> None:
    config = CONFIG.format(map_bytes=8 * MIB)
    with RunningBroker(tmp_path, config=config) as broker:
        broker.create_users("ann", "bob")
        with RawDevice(broker.address, "ann") as ann:
            check_refused(publish_until_refused(ann, "user/bob"))
            check_nothing_is_lost(broker, ann, "bob")
            (tmp_path / "roost.toml").write_text(f"{config}\n[retention]\nbytes = {MIB}\n")
            assert broker.ask("reload").exit_code == 0
            assert broker.api.ask(RETENTION_RUN).entries
            assert ann.publish("user/bob", TEXT, n=ann.n).reason == Reason.SUCCESS
    larger = CONFIG.format(map_bytes=10 * MIB)
    with RunningBroker(tmp_path, config=larger) as broker, RawDevice(broker.address, "ann") as ann:
        check_refused(publish_until_refused(ann, "user/bob"))


# --- streams that take nothing ------------------------------------------------------------------------------------


def test_a_log_that_is_full_costs_nothing_but_the_log(tmp_path: Path) -> None:
    (tmp_path / "broker.log").symlink_to("/dev/full")
    with RunningBroker(tmp_path) as broker:
        broker.create_users("ann", "bob")
        with RawDevice(broker.address, "ann") as ann:
            assert ann.publish("user/bob", "hello").reason == Reason.SUCCESS
        with RawDevice(broker.address, "nobody") as nobody:
            assert nobody.connack.reason == Reason.BAD_USER_NAME_OR_PASSWORD, "which is logged"
        assert broker.stop() == 0


def test_streams_that_are_closed_are_not_taken_for_files(tmp_path: Path) -> None:
    """A file that got the number 2 would have everything in it that is said to stderr."""
    (tmp_path / "roost.toml").write_text(CHEAP)
    ready, told = os.pipe()
    args = [*COMMAND, "serve", "--data", str(tmp_path / "data"), "--config", str(tmp_path / "roost.toml")]
    broker = subprocess.Popen(
        ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *args, "--listen", "127.0.0.1:0", "--ready-fd", str(told)],
        pass_fds=(told,), env=environment(tmp_path),
    )  # fmt: skip
    os.close(told)
    try:
        with os.fdopen(ready) as line:
            assert line.readline()
        held = {os.readlink(f"/proc/{broker.pid}/fd/{number}") for number in (0, 1, 2)}
        assert held == {os.devnull}
        assert command("--data", str(tmp_path / "data"), "users", "list").exit_code == 0
        broker.terminate()
        assert broker.wait(WAIT_S) == 0
    finally:
        if broker.poll() is None:
            broker.kill()
            broker.wait(WAIT_S)
