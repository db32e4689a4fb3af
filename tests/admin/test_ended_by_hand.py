"""However a person ends a command that goes on, it ends without a word, and a shell learns how."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from admin.running import COMMAND, WAIT_S, Chat, RunningBroker, environment
from roost_admin.failures import EX_NOUSER, EX_UNAVAILABLE
from roost_admin.main import INTERRUPTED, PIPE_CLOSED

pytestmark = pytest.mark.process


@pytest.fixture(scope="module", autouse=True)
def ann(broker: RunningBroker) -> None:
    """A user with something in her inbox and her journal."""
    broker.create_users("ann")
    for _ in range(3):
        assert broker.ask("send", "--from", "ann", "--to", "user/ann", "hello").exit_code == 0
    assert broker.ask("users", "disable", "ann").exit_code == 0
    assert broker.ask("users", "enable", "ann").exit_code == 0


def press_ctrl_c(running: Chat) -> None:
    """Until it helps: a signal that comes between the last look for one and the call that reads a line is not seen."""
    running.type("\x03")
    while True:
        try:
            running.process.wait(5)
            return
        except subprocess.TimeoutExpired:
            running.type("\x03")


@pytest.mark.parametrize(
    ("args", "seen"),
    [
        (("events", "--follow"), "broker started"),
        (("inbox", "tail", "ann", "--after", "0"), "user/ann"),
        (("top", "--interval", "1"), "flapping"),
        (("users", "add", "bert"), "Password of bert: "),
        (("users", "remove", "ann"), "to go on: "),
    ],
)
def test_ctrl_c(broker: RunningBroker, args: tuple[str, ...], seen: str) -> None:
    with Chat(
        broker.folder, str(broker.socket), *args, verb="--socket", terminal=True, password=None, TERM="xterm"
    ) as running:
        running.expect(seen)
        press_ctrl_c(running)
        rest = running.rest()
        assert "Traceback" not in rest
        assert "Abort" not in rest
        assert running.process.wait(WAIT_S) == INTERRUPTED


@pytest.mark.parametrize(
    "args", [("events", "--newest", "1000"), ("export", "ann"), ("inbox", "show", "ann"), ("users", "list", "--json")]
)
def test_a_pipe_that_closes(broker: RunningBroker, args: tuple[str, ...]) -> None:
    """Status 141, and not 0: whoever asks for a verdict must not take what was cut short for one."""
    with subprocess.Popen(
        [*COMMAND, "--socket", str(broker.socket), *args],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(broker.folder),
    ) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.wait(WAIT_S) == PIPE_CLOSED
        assert running.stderr.read() == b""


def test_a_signal_of_another_process_is_no_ctrl_c(broker: RunningBroker) -> None:
    with subprocess.Popen(
        [*COMMAND, "--socket", str(broker.socket), "events", "--follow"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(broker.folder),
    ) as running:  # fmt: skip
        assert running.stdout is not None
        running.stdout.readline()
        running.send_signal(signal.SIGTERM)
        assert running.wait(WAIT_S) == -signal.SIGTERM


@pytest.mark.parametrize("args", [("events", "--follow"), ("inbox", "tail", "zoe", "--after", "0"), ("top", "--json")])
def test_when_the_broker_stops_it_is_said(tmp_path: Path, args: tuple[str, ...]) -> None:
    with RunningBroker(tmp_path) as broker:
        broker.create_users("zoe")
        assert broker.ask("send", "--from", "zoe", "--to", "user/zoe", "hello").exit_code == 0
        with subprocess.Popen(
            [*COMMAND, "--socket", str(broker.socket), *args],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(tmp_path), text=True,
        ) as running:  # fmt: skip
            assert running.stdout is not None
            assert running.stderr is not None
            assert running.stdout.readline()
            assert broker.stop() == 0
            assert running.wait(WAIT_S) == EX_UNAVAILABLE
            (line,) = running.stderr.read().splitlines()
            assert line.startswith("roost: ")


def test_an_inbox_whose_user_is_removed(broker: RunningBroker) -> None:
    broker.create_users("tom")
    assert broker.ask("send", "--from", "tom", "--to", "user/tom", "hello").exit_code == 0
    with subprocess.Popen(
        [*COMMAND, "--socket", str(broker.socket), "inbox", "tail", "tom", "--after", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(broker.folder), text=True,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline()
        assert broker.ask("users", "remove", "tom", "--yes").exit_code == 0
        assert running.wait(WAIT_S) == EX_NOUSER
        assert "there is no user 'tom'" in running.stderr.read()


@pytest.mark.parametrize(("when", "status"), [("roost_admin.main", -signal.SIGINT), ("roost_admin.api", INTERRUPTED)])
def test_ctrl_c_while_it_loads(tmp_path: Path, when: str, status: int) -> None:
    """The signal comes as a module is about to be loaded; a shell has 130 for either end."""
    program = (
        "import os, signal, sys\n"
        f"wanted = ('import', {when!r})\n"
        "sys.addaudithook(lambda event, args: (event, *args[:1]) == wanted and os.kill(0, signal.SIGINT))\n"
        "sys.argv = ['roost', '--socket', '/nowhere/s', 'status']\n"
        "from roost_admin.entry import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=environment(tmp_path), start_new_session=True,
        timeout=WAIT_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (status, b"", b"")
