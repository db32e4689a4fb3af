"""`roost drain` on a real process: devices are told, and it ends with 0."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest
import trio

import roost
from admin.running import PASSWORD, WAIT_S, Chat, RunningBroker, command
from roost_admin.failures import EX_TEMPFAIL, EX_UNAVAILABLE

pytestmark = pytest.mark.process


def test_a_drain_tells_every_device_and_ends_the_process(tmp_path: Path) -> None:
    with RunningBroker(tmp_path) as broker:
        broker.create_users("alice")

        async def main() -> tuple[roost.Event, str]:
            async with roost.connect(
                broker.address, user="alice", terminal="pc", password=PASSWORD, reconnect=False
            ) as alice:
                said = await trio.to_thread.run_sync(broker.ask, "drain")
                assert (said.exit_code, said.stdout) == (0, "")
                return [event async for event in alice][-1], said.stderr

        ended, said = trio.run(main)
        assert isinstance(ended, roost.Ended)
        assert ended.reason == roost.Reason.SERVER_SHUTTING_DOWN
        assert said == "roost: the broker drains: 1 session is told; it takes 5 s at the most\n"
        assert broker.process.wait(WAIT_S) == 0
        assert not broker.socket.exists()
        gone = broker.ask("drain")
        assert gone.exit_code == EX_UNAVAILABLE
    assert "Traceback" not in broker.log.read_text()


def test_with_wait_it_returns_when_the_process_is_gone(tmp_path: Path) -> None:
    for _ in range(3):
        with RunningBroker(tmp_path) as broker:
            done = broker.ask("drain", "--wait", "--json")
            assert done.exit_code == 0, done.stderr
            assert json.loads(done.stdout) == {"sessions": 0, "connections": 0, "grace_s": 5.0, "ended": True}
            assert broker.process.poll() == 0
            # The store is free: who waits may open it.
            assert command("compact", "--data", str(broker.data)).exit_code == 0


def test_a_wait_has_an_end(tmp_path: Path) -> None:
    with RunningBroker(tmp_path, config="drain_s = 60\n[passwords]\nmemory_kib = 64\npasses = 1\n") as broker:
        host, _, port = broker.address.rpartition(":")
        with socket.create_connection((host, int(port))):
            done = broker.ask("drain", "--wait", "--timeout", "0.2")
            assert done.exit_code == EX_TEMPFAIL
            assert "has not ended within 0.2 s" in done.stderr
            assert broker.stop(signal.SIGINT) == 128 + signal.SIGINT, "a signal cuts it short"


def test_a_broker_whose_terminal_is_closed_ends(tmp_path: Path) -> None:
    """SIGHUP then means that nobody is there, and not that the configuration has changed."""
    with Chat(tmp_path, "--listen", "127.0.0.1:0", "--data", str(tmp_path / "d"), verb="serve", terminal=True,
              password=None) as serving:  # fmt: skip
        serving.expect("roost is ready")
        os.close(serving._out)
        serving._in = serving._out = -1
        # 129: it came before all was ready, when a signal stops it at once. By the signal itself it would be -1.
        assert serving.process.wait(WAIT_S) in (0, 128 + signal.SIGHUP)
