"""`roost serve` as a process: ready, drained, and everything that it cannot work with."""

import os
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path
from urllib.request import urlopen

import lmdb
import pytest
import trio

import roost
from admin.running import CHEAP, COMMAND, PASSWORD, WAIT_S, RunningBroker, environment
from roost_admin.failures import EX_CONFIG, EX_IOERR, EX_USAGE
from roost_protocol.admin.status import STATUS

pytestmark = pytest.mark.process


def refused(folder: Path, *args: str) -> tuple[int, str]:
    """Try to serve; the exit status, and the one line that says why not."""
    tried = subprocess.run(
        [*COMMAND, "serve", "--listen", "127.0.0.1:0", *args],
        cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=WAIT_S, check=False,
    )  # fmt: skip
    assert tried.stdout == ""
    lines = tried.stderr.splitlines()
    assert len(lines) == 1, tried.stderr
    assert lines[0].startswith("roost: ")
    return tried.returncode, lines[0]


# --- ready, and stopped -------------------------------------------------------------------------------------------


def test_it_says_that_it_is_ready_and_keeps_everything_to_itself(tmp_path: Path) -> None:
    with RunningBroker(tmp_path) as broker:
        assert broker.process.stdout is not None
        ready = broker.process.stdout.readline()
        assert ready == f"roost is ready, listening on {broker.address}, admin socket {broker.socket}\n"
        assert stat.S_IMODE(broker.data.stat().st_mode) == 0o700
        for file in broker.data.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        assert broker.stop() == 0
        assert not broker.socket.exists()
    assert "listening on" in broker.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_it_drain_and_devices_are_told(tmp_path: Path, number: int) -> None:
    with RunningBroker(tmp_path) as broker:
        broker.create_users("alice", "bob")

        async def main() -> list[roost.Event]:
            async with roost.connect(
                broker.address, user="alice", terminal="pc", password=PASSWORD, reconnect=False
            ) as session:
                receipt = await session.publish("user/bob", "hello")
                assert receipt.seq == 1
                broker.process.send_signal(number)
                return [event async for event in session]

        events = trio.run(main)
        ended = events[-1]
        assert isinstance(ended, roost.Ended)
        assert int(ended.reason) == 0x8B
        assert broker.process.wait(WAIT_S) == 0
    assert "Traceback" not in broker.log.read_text()


def test_a_second_signal_stops_it_at_once(tmp_path: Path) -> None:
    """A device that does not go holds up the drain; with the second signal nobody waits for it."""
    with RunningBroker(tmp_path, config=CHEAP + "\n") as broker:
        host, _, port = broker.address.rpartition(":")
        with socket.create_connection((host, int(port))):
            broker.process.send_signal(signal.SIGINT)
            wait_for_line(broker.log, "stopping")
            assert broker.process.poll() is None
            assert broker.stop(signal.SIGINT) == 128 + signal.SIGINT
    assert "Traceback" not in broker.log.read_text()


def test_what_was_acknowledged_is_there_after_kill_9(tmp_path: Path) -> None:
    with RunningBroker(tmp_path) as broker:
        broker.create_users("alice", "bob")

        async def publish() -> str:
            async with roost.connect(broker.address, user="alice", terminal="pc", password=PASSWORD) as session:
                return (await session.publish("user/bob", "hello")).id

        id_ = trio.run(publish)
        broker.stop(signal.SIGKILL)
    with RunningBroker(tmp_path) as broker:

        async def read() -> tuple[str, str]:
            async with roost.connect(broker.address, user="bob", terminal="pc", password=PASSWORD) as session:
                async for event in session:
                    if isinstance(event, roost.Message):
                        return event.id, str(event.body)
            raise AssertionError("nothing came")

        assert trio.run(read) == (id_, "hello")


def test_systemd_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(WAIT_S)
        env = {**environment(tmp_path), "NOTIFY_SOCKET": str(tmp_path / "notify")}
        args = [*COMMAND, "serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data")]
        broker = subprocess.Popen(args, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            assert manager.recv(100) == b"READY=1"
            broker.send_signal(signal.SIGTERM)
            assert manager.recv(100) == b"STOPPING=1"
            assert broker.wait(WAIT_S) == 0
        finally:
            broker.kill()
            broker.wait(WAIT_S)


def test_no_service_manager_is_no_reason_to_fail(tmp_path: Path) -> None:
    env = {**environment(tmp_path), "NOTIFY_SOCKET": str(tmp_path / "nobody")}
    broker = subprocess.Popen(
        [*COMMAND, "serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data")],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert broker.stdout is not None
    with broker.stdout:
        assert broker.stdout.readline().startswith("roost is ready")
    broker.send_signal(signal.SIGTERM)
    assert broker.wait(WAIT_S) == 0


def wait_for_line(log: Path, words: str) -> None:
    """Wait until the log says something. Reads a growing file: there is nothing to wait on."""
    end = time.monotonic() + WAIT_S
    while words not in log.read_text():
        assert time.monotonic() < end, f"waited in vain for {words!r}"
        time.sleep(0.01)


# --- options and configuration ------------------------------------------------------------------------------------


def test_flags_go_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    config = tmp_path / "roost.toml"
    config.write_text('data = "from-file"\nlog_level = "ERROR"\n')
    env = {**environment(tmp_path), "ROOST_DATA": str(tmp_path / "from-env")}
    for options, folder in (((), "from-env"), (("--data", str(tmp_path / "from-flag")), "from-flag")):
        broker = subprocess.Popen(
            [*COMMAND, "serve", "--config", str(config), "--listen", "127.0.0.1:0", *options],
            cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert broker.stdout is not None
        ready = broker.stdout.readline()
        broker.send_signal(signal.SIGTERM)
        _, log = broker.communicate(timeout=WAIT_S)
        assert str(tmp_path / folder / "admin.sock") in ready
        assert log == "", "the log level of the file holds"
        assert (tmp_path / folder / "data.mdb").exists()
    assert not (tmp_path / "from-file").exists()


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("retension = 1", "did you mean retention?"),
        ("[retention]\ncuont = 1", "did you mean count?"),
        ('data = "unterminated', "is not TOML"),
        ('drain_s = "soon"', "drain_s"),
        ("[limits]\npublish_max = 0", "publish_max"),
        ("terminal_types = []", "terminal_types"),
    ],
)
def test_a_configuration_that_cannot_be_used(tmp_path: Path, toml: str, says: str) -> None:
    (tmp_path / "roost.toml").write_text(toml)
    status, line = refused(tmp_path, "--config", "roost.toml")
    assert status == EX_CONFIG
    assert says in line
    assert "roost.toml" in line


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    status, line = refused(tmp_path, "--config", "nowhere.toml")
    assert (status, "nowhere.toml" in line) == (EX_CONFIG, True)


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:99999", "0.0.0.0:0", "[::]:0", "192.0.2.1:7300"])
def test_an_address_that_cannot_be(tmp_path: Path, listen: str) -> None:
    status, line = refused(tmp_path, "--listen", listen)
    assert status == EX_CONFIG
    assert listen in line


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        status, line = refused(tmp_path, "--listen", listen)
    assert status == EX_CONFIG
    assert re.search(rf"cannot listen on listen = {listen}: .*in use", line)


def test_a_descriptor_that_is_not_open(tmp_path: Path) -> None:
    status, line = refused(tmp_path, "--ready-fd", "99")
    assert (status, "--ready-fd 99" in line) == (EX_USAGE, True)


def test_an_admin_socket_that_another_broker_has(tmp_path: Path) -> None:
    with RunningBroker(tmp_path) as broker:
        status, line = refused(tmp_path, "--data", str(tmp_path / "other"), "--admin-socket", str(broker.socket))
        assert status == EX_CONFIG
        assert str(broker.socket) in line
        assert broker.api.ask(STATUS).pid == broker.process.pid


def test_an_audit_log_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "roost-data" / "audit.log").mkdir(parents=True)
    status, line = refused(tmp_path)
    assert (status, "audit log roost-data/audit.log: Is a directory" in line) == (EX_CONFIG, True)


def test_an_admin_api_in_the_clear_where_others_reach_it(tmp_path: Path) -> None:
    (tmp_path / "roost.toml").write_text('admin_listen = "192.0.2.1:0"\n')
    status, line = refused(tmp_path, "--config", "roost.toml")
    assert (status, "admin_listen_beyond_loopback = true" in line) == (EX_CONFIG, True)


def test_an_admin_api_on_the_network_is_said(tmp_path: Path) -> None:
    with RunningBroker(tmp_path, config='admin_listen = "127.0.0.1:0"\n' + CHEAP) as broker:
        assert broker.process.stdout is not None
        ready = broker.process.stdout.readline()
        assert ready.endswith(f", admin socket {broker.socket}, admin API on http://{broker.admin_address}\n")
        assert broker.stop() == 0


def test_a_web_listener_is_said(tmp_path: Path) -> None:
    with RunningBroker(tmp_path, "--web", "127.0.0.1:0") as broker:
        assert broker.process.stdout is not None
        ready = broker.process.stdout.readline()
        assert ready.endswith(f", admin socket {broker.socket}, web on http://{broker.web_address}\n")
        assert urlopen(f"http://{broker.web_address}/livez").status == 200
        assert broker.stop() == 0


@pytest.mark.parametrize(
    ("web", "says"),
    [
        ("7380", "web_listen is host:port"),
        ("192.0.2.1:0", "web_listen_beyond_loopback = true"),
        ("[::2]:1", "cannot listen on web_listen = [::2]:1"),
    ],
)
def test_a_web_listener_that_cannot_be(tmp_path: Path, web: str, says: str) -> None:
    (tmp_path / "roost.toml").write_text("web_listen_beyond_loopback = true\n" if web.startswith("[") else "")
    status, line = refused(tmp_path, "--config", "roost.toml", "--web", web)
    assert (status, says in line) == (EX_CONFIG, True), line


def test_an_admin_socket_whose_path_is_too_long(tmp_path: Path) -> None:
    status, line = refused(tmp_path, "--admin-socket", str(tmp_path / ("x" * 120)))
    assert (status, "107 bytes" in line) == (EX_CONFIG, True)


# --- data folders that cannot be used -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with something in it, of a broker that has ended."""
    folder = tmp_path_factory.mktemp("stored")
    with RunningBroker(folder) as broker:
        broker.create_users("alice", "bob")
        assert broker.stop() == 0
    return folder / "data"


@pytest.fixture
def data(stored: Path, tmp_path: Path) -> Path:
    """A copy, to be spoilt."""
    return Path(shutil.copytree(stored, tmp_path / "data"))


def test_a_folder_in_use(tmp_path: Path) -> None:
    with RunningBroker(tmp_path) as broker:
        status, line = refused(tmp_path, "--data", str(broker.data))
        assert status == EX_CONFIG
        assert f"in use by another broker (process {broker.process.pid})" in line
        assert broker.api.ask(STATUS).users == 0, "the first is not disturbed"


@pytest.mark.skipif(os.geteuid() == 0, reason="to root every folder is readable")
def test_a_folder_that_is_unreadable(data: Path) -> None:
    data.chmod(0)
    status, line = refused(data.parent, "--data", str(data))
    data.chmod(0o700)
    assert status == EX_CONFIG
    assert "Permission denied" in line


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in ("file", "file/data"):
        status, line = refused(tmp_path, "--data", path)
        assert status == EX_CONFIG
        assert path in line


def test_a_folder_of_a_newer_version(data: Path) -> None:
    from roost_broker.store.lmdb_tables import META_SCHEMA, NUMBER, SCHEMA_VERSION

    with lmdb.open(str(data), max_dbs=64, lib_version=0) as env:
        meta = env.open_db(b"meta")
        with env.begin(write=True) as txn:
            txn.put(META_SCHEMA, NUMBER.pack(SCHEMA_VERSION + 1), db=meta)
    status, line = refused(data.parent, "--data", str(data))
    assert status == EX_CONFIG
    assert "newer roost" in line


def test_a_file_that_was_cut_short(data: Path) -> None:
    os.truncate(data / "data.mdb", 12_288)
    status, line = refused(data.parent, "--data", str(data))
    assert (status, "damaged" in line) == (EX_IOERR, True)


@pytest.mark.parametrize("content", [b"", b"this is no database" * 1000])
def test_a_file_of_something_else(data: Path, content: bytes) -> None:
    (data / "data.mdb").write_bytes(content)
    status, line = refused(data.parent, "--data", str(data))
    assert (status, "damaged" in line) == (EX_IOERR, True)


def test_the_soft_bound_of_descriptors_is_raised(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = 300
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    try:
        small = f"{CHEAP}[limits]\nconnections_max = 100\nconnections_before_login_max = 9\n"
        with RunningBroker(tmp_path, config=small) as broker:
            fewer = resource.prlimit(broker.process.pid, resource.RLIMIT_NOFILE)
        with RunningBroker(tmp_path) as broker:
            more = resource.prlimit(broker.process.pid, resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert fewer == (few, hard)
    assert more[0] > few
