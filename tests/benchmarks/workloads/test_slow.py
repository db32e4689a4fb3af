"""W7, small, against a real broker."""

import socket
from pathlib import Path

import pytest
from msgspec import structs

from roost_benchmarks.brokers.roost import Roost
from roost_benchmarks.dialects.port import BrokenPromise
from roost_benchmarks.progress import Unseen
from roost_benchmarks.workloads import slow
from roost_benchmarks.workloads.slow import SlowOptions

pytestmark = pytest.mark.process

SHORT = SlowOptions(healthy=8, rate_per_s=200, burst_s=0.2, burst_window=8, warm_up_s=0.1, duration_s=0.4)


@pytest.mark.parametrize("stalled", [0, 6])
def test_the_healthy_get_everything_beside_the_stalled(tmp_path: Path, stalled: int) -> None:
    options = structs.replace(SHORT, stalled=stalled)
    with Roost().start(tmp_path, [f"user{number}" for number in range(options.users)]) as target:
        run = slow.run(target, options, Unseen())
    assert run.workload == "W7"
    assert run.options == {"healthy": 8, "stalled": stalled, "rate_per_s": 200, "body_bytes": 128}
    assert "memory_growth_bytes" in run.figures
    assert run.latency_ms is not None
    assert run.oracle.entries_checked > 0


def test_a_stalled_device_is_logged_in_and_its_connection_stays(tmp_path: Path) -> None:
    with Roost().start(tmp_path, ["ann"]) as target:
        with slow.stalled(target, [target.login("ann", "pad")]) as (connection,):
            connection.setblocking(False)
            with pytest.raises(BlockingIOError):
                connection.recv(1, socket.MSG_PEEK)
        assert connection.fileno() == -1


def test_a_stalled_device_that_cannot_log_in_breaks_the_run(tmp_path: Path) -> None:
    with Roost().start(tmp_path, ["ann"]) as target:
        login = target.login("ann", "pad")._replace(password="wrong")
        with pytest.raises(BrokenPromise, match="ann/pad"), slow.stalled(target, [login]):
            pass


@pytest.mark.parametrize(("healthy", "users"), [(100, 50), (8, 4), (1, 2)])
def test_how_many_users_there_have_to_be(healthy: int, users: int) -> None:
    assert SlowOptions(healthy=healthy).users == users
