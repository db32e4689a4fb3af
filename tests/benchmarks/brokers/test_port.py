"""Starting and stopping processes: what ends too early is an error, and what does not end is ended."""

import resource
import socket
import subprocess
import sys

import pytest

from roost_benchmarks.brokers import port
from roost_benchmarks.brokers.port import allow_files, free_port, listens, stop, wait_until

pytestmark = pytest.mark.process


def python(code: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)


def heard(process: "subprocess.Popen[bytes]") -> bytes:
    """Its next line: it runs, and has come so far."""
    assert process.stdout is not None
    return process.stdout.readline()


def test_a_free_port_has_no_listener_until_somebody_listens() -> None:
    number = free_port()
    assert not listens(number)
    with socket.create_server(("127.0.0.1", number)):
        assert listens(number)


def test_a_broker_that_is_ready_is_waited_for() -> None:
    answers = iter([False, False, True])
    with python("import time; time.sleep(60)") as process:
        wait_until(lambda: next(answers), process, "it")
        stop(process)
        assert process.returncode is not None


def test_a_broker_that_ends_is_not_waited_for() -> None:
    with python("raise SystemExit(3)") as process, pytest.raises(RuntimeError, match="it ended with status 3"):
        wait_until(lambda: False, process, "it")


def test_a_broker_that_does_not_come_up_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "START_S", 0.05)
    with python("import time; time.sleep(60)") as process:
        with pytest.raises(RuntimeError, match=r"not ready within 0\.05 s"):
            wait_until(lambda: False, process, "it")
        stop(process)


def test_a_process_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "STOP_S", 0.05)
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    )
    with python(stubborn) as process:
        assert heard(process)
        stop(process)
        assert process.returncode == -9


def test_a_broker_may_have_many_files() -> None:
    allow_files()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard or soft >= port.FILES
