"""`roost backup`, `restore` and `compact` on real processes, with real devices before and after."""

import json
import os
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest
import trio

import roost
from admin.running import COMMAND, PASSWORD, WAIT_S, RunningBroker, command, environment
from broker.store.tables import check_tables
from roost_admin.failures import EX_CONFIG, EX_DATAERR, EX_IOERR, EX_NOINPUT, EX_UNAVAILABLE, EX_USAGE
from roost_broker.store.backup import check_backup

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with something in it, of a broker that has ended."""
    folder = tmp_path_factory.mktemp("stopped")
    with RunningBroker(folder) as broker:
        broker.create_users("alice", "bob")
        assert broker.stop() == 0
    return folder / "data"


@pytest.fixture
def data(stopped: Path, tmp_path: Path) -> Path:
    """A copy of it, for one test."""
    return Path(shutil.copytree(stopped, tmp_path / "data"))


# --- backup -------------------------------------------------------------------------------------------------------


def test_a_backup_of_a_running_broker(broker: RunningBroker, tmp_path: Path) -> None:
    broker.create_users("bea")
    folder = tmp_path / "backup"
    made = broker.ask("backup", str(folder))
    assert (made.exit_code, made.stdout) == (0, "")
    assert made.stderr.startswith(f"roost: {folder}: ")
    assert made.stderr.count("\n") == 1
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {(each.name, stat.S_IMODE(each.stat().st_mode)) for each in folder.iterdir()} == {
        ("data.mdb", 0o600),
        ("backup.json", 0o600),
    }
    assert check_backup(folder).users >= 1
    again = broker.ask("backup", str(folder))
    assert (again.exit_code, again.stdout) == (EX_DATAERR, "")
    assert "is there already" in again.stderr
    assert list(tmp_path.iterdir()) == [folder]
    as_json = broker.ask("backup", str(tmp_path / "second"), "--json")
    assert (as_json.exit_code, as_json.stderr) == (0, "")
    assert json.loads(as_json.stdout) == json.loads((tmp_path / "second/backup.json").read_text())
    nowhere = broker.ask("backup", str(tmp_path / "no/backup"))
    assert (nowhere.exit_code, nowhere.stderr.count("\n")) == (EX_NOINPUT, 1)
    assert "Traceback" not in broker.log.read_text()


def test_a_path_is_that_of_the_folder_one_is_in(broker: RunningBroker, tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--socket", str(broker.socket), "backup", "here"],
        cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=WAIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    check_backup(tmp_path / "here")


def test_a_backup_of_a_stopped_folder(data: Path, tmp_path: Path) -> None:
    made = command("--data", str(data), "backup", str(tmp_path / "backup"))
    assert made.exit_code == 0, made.stderr
    assert "stopped folder" in made.stderr
    assert check_backup(tmp_path / "backup").users == 2


def test_a_backup_of_a_folder_whose_broker_listens_elsewhere(tmp_path: Path) -> None:
    """It is in use, so it is not taken for a stopped one."""
    with RunningBroker(tmp_path, "--admin-socket", str(tmp_path / "admin.sock")) as broker:
        made = command("--data", str(broker.data), "backup", str(tmp_path / "backup"))
        assert made.exit_code == EX_CONFIG
        assert f"in use by another broker (process {broker.process.pid})" in made.stderr
        assert not (tmp_path / "backup").exists()


def test_a_backup_of_nothing(tmp_path: Path) -> None:
    made = command("--data", str(tmp_path / "none"), "backup", str(tmp_path / "backup"))
    assert made.exit_code == EX_UNAVAILABLE
    assert "no broker here" in made.stderr
    assert list(tmp_path.iterdir()) == []
    assert command("backup").exit_code == EX_USAGE


def test_a_backup_under_load_is_of_one_moment(tmp_path: Path) -> None:
    """Both sides of every message, and no hole, however the copies fall between the commits."""
    with RunningBroker(tmp_path) as broker:
        broker.create_users("alice", "bob")

        async def main() -> None:
            async with (
                roost.connect(broker.address, user="alice", terminal="pc", password=PASSWORD) as alice,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(publish, alice)
                for each in range(5):
                    made = await trio.to_thread.run_sync(broker.ask, "backup", str(tmp_path / f"backup{each}"))
                    assert made.exit_code == 0, made.stderr
                nursery.cancel_scope.cancel()

        async def publish(alice: roost.Session) -> None:
            while True:
                await alice.publish("user/bob", "x" * 1_000)

        trio.run(main)
    messages = []
    for each in range(5):
        messages.append(check_backup(tmp_path / f"backup{each}").messages)
        check_tables(tmp_path / f"backup{each}")
    assert messages == sorted(messages)
    assert messages[0] < messages[-1]


# --- restore ------------------------------------------------------------------------------------------------------


class Phone:
    """A device of alice's that keeps what it is told, and its state through restarts of the broker."""

    def __init__(self, terminal: str = "phone") -> None:
        self.terminal = terminal
        self.state = roost.MemoryState()
        self.holds: dict[int, str] = {}
        self.ids: list[str] = []
        self.epochs: list[int] = []
        self.started_over = 0

    async def run(self, address: str, publish: tuple[str, ...] = ()) -> None:
        """Connect, publish, and take everything up to the head."""
        async with roost.connect(
            address, user="alice", terminal=self.terminal, password=PASSWORD, state=self.state, reconnect=False
        ) as session:
            for text in publish:
                self.ids.append((await session.publish("user/bob", text)).id)
            self.epochs.append(session.epoch)
            head = (await session.fetch("user/bob", limit=1)).head
            with trio.fail_after(WAIT_S):
                while session.last_seq < head or self._held() != session.last_seq:
                    await self._take(await anext(session), session)

    def _held(self) -> int:
        return max(self.holds, default=0)

    async def _take(self, event: roost.Event, session: roost.Session) -> None:
        if isinstance(event, roost.StartedOver):
            self.started_over += 1
            self.holds.clear()
        elif isinstance(event, roost.Message):
            self.holds[event.seq] = str(event.body)
            await session.acknowledge(event.seq)


def texts(*numbers: int) -> tuple[str, ...]:
    return tuple(f"message {n}" for n in numbers)


def test_a_device_that_is_ahead_of_the_backup_is_told_to_start_over(tmp_path: Path) -> None:
    phone, pc = Phone(), Phone("pc")
    with RunningBroker(tmp_path) as broker:
        broker.create_users("alice", "bob")
        trio.run(phone.run, broker.address, texts(1, 2, 3))
        trio.run(pc.run, broker.address)
        assert broker.ask("backup", str(tmp_path / "backup")).exit_code == 0
        trio.run(phone.run, broker.address, texts(4, 5, 6))
        assert phone.holds == dict(zip(range(1, 7), texts(1, 2, 3, 4, 5, 6), strict=True))
        in_use = command("restore", str(tmp_path / "backup"), "--data", str(broker.data), "--replace")
        assert in_use.exit_code == EX_CONFIG
        assert "stop it first" in in_use.stderr
        assert broker.stop() == 0
    restored = command("restore", str(tmp_path / "backup"), "--data", str(tmp_path / "data"), "--replace")
    assert restored.exit_code == 0, restored.stderr
    with RunningBroker(tmp_path) as broker:
        trio.run(pc.run, broker.address, texts(7))
        assert pc.started_over == 0, "it holds nothing that the backup has not"
        trio.run(phone.run, broker.address)
        assert phone.started_over == 1
        expected = dict(enumerate(texts(1, 2, 3, 7), start=1))
        assert phone.holds == pc.holds == expected
        trio.run(phone.run, broker.address, texts(8))
        trio.run(pc.run, broker.address)
        assert phone.holds == pc.holds == {**expected, 5: "message 8"}
        assert phone.started_over == 1
        assert broker.stop() == 0
    ids = phone.ids + pc.ids
    assert len(set(ids)) == len(ids) == 8
    assert phone.ids[:6] == sorted(phone.ids[:6])
    assert min(pc.ids[-1], phone.ids[-1]) > phone.ids[5], "no id of the lost future is given again"
    epochs = phone.epochs + pc.epochs
    assert len(set(epochs)) == len(epochs)
    (aside,) = tmp_path.glob("data.before-restore-*")
    check_tables(aside)
    check_tables(tmp_path / "data")


def test_a_restoration_into_a_new_folder(data: Path, tmp_path: Path) -> None:
    assert command("--data", str(data), "backup", str(tmp_path / "backup")).exit_code == 0
    fresh = tmp_path / "deep/fresh"
    restored = command("restore", str(tmp_path / "backup"), "--data", str(fresh), "--json")
    assert (restored.exit_code, restored.stderr) == (0, "")
    document = json.loads(restored.stdout)
    assert (document["folder"], document["aside"], document["record"]["users"]) == (str(fresh), None, 2)
    again = command("restore", str(tmp_path / "backup"), env={"ROOST_DATA": str(fresh)})
    assert again.exit_code == EX_DATAERR
    assert "say --replace" in again.stderr


@pytest.mark.parametrize("what", ["damaged", "none", "missing"])
def test_what_is_no_whole_backup_is_not_restored(data: Path, tmp_path: Path, what: str) -> None:
    backup = tmp_path / "backup"
    if what == "damaged":
        assert command("--data", str(data), "backup", str(backup)).exit_code == 0
        os.truncate(backup / "data.mdb", 8192)
    elif what == "none":
        backup = data
    restored = command("restore", str(backup), "--data", str(tmp_path / "fresh"))
    assert restored.exit_code == (EX_IOERR if what == "damaged" else EX_NOINPUT)
    assert restored.stderr.count("\n") == 1
    assert not (tmp_path / "fresh").exists()


# --- compact ------------------------------------------------------------------------------------------------------


def test_a_stopped_store_is_compacted(data: Path) -> None:
    before = (data / "data.mdb").stat().st_size
    done = command("compact", "--data", str(data))
    assert (done.exit_code, done.stdout) == (0, "")
    assert "before" in done.stderr
    after = (data / "data.mdb").stat().st_size
    assert after < before
    document = json.loads(command("compact", "--data", str(data), "--json").stdout)
    assert (document["before_bytes"], document["folder"]) == (after, str(data))
    with RunningBroker(data.parent) as broker:
        assert {row["name"] for row in json.loads(broker.ask("users", "list", "--json").stdout)["users"]} == {
            "alice",
            "bob",
        }


def test_a_store_in_use_is_not_compacted(broker: RunningBroker) -> None:
    done = command("compact", "--data", str(broker.data))
    assert (done.exit_code, done.stdout) == (EX_CONFIG, "")
    assert "stop it first" in done.stderr
    assert broker.ask("status").exit_code == 0


def test_a_folder_without_a_store_is_not_compacted(tmp_path: Path) -> None:
    assert command("compact", "--data", str(tmp_path)).exit_code == EX_NOINPUT
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_backup_leaves_nothing(broker: RunningBroker, tmp_path: Path) -> None:
    """SIGINT at any moment: whole, or nothing, and the broker goes on."""
    for each in range(3):
        asked = subprocess.Popen(
            [*COMMAND, "--socket", str(broker.socket), "backup", str(tmp_path / f"backup{each}")],
            env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        end = time.monotonic() + WAIT_S
        while asked.poll() is None and not list(tmp_path.glob(f"backup{each}*")):
            assert time.monotonic() < end
        asked.send_signal(signal.SIGINT)
        _, said = asked.communicate(timeout=WAIT_S)
        assert "Traceback" not in said
    for _ in range(100):  # the next backup begins when the one before has been given up
        if broker.ask("backup", str(tmp_path / "last")).exit_code == 0:
            break
    check_backup(tmp_path / "last")
    assert not list(tmp_path.glob("*.partial-*"))
    for folder in tmp_path.glob("backup*"):
        check_backup(folder)
