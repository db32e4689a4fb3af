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

SHORT = SlowOptions(
    healthy=8, rate_per_s=200, burst_s=0.2, burst_window=8, stalled_window=4, warm_up_s=0.1, duration_s=0.4
)


@pytest.mark.parametrize("stalled", [0, 6])
def test_the_healthy_and_the_woken_get_everything(tmp_path: Path, stalled: int) -> None:
    options = structs.replace(SHORT, stalled=stalled)
    with Roost().start(tmp_path, [f"user{number}" for number in range(options.users)]) as target:
        run = slow.run(target, options, Unseen())
    assert run.workload == "W7"
    assert run.options == {"healthy": 8, "stalled": stalled, "rate_per_s": 200, "body_bytes": 128}
    assert "memory_growth_bytes" in run.figures
    assert run.latency_ms is not None
    assert run.oracle.entries_checked > 0
    # By construction: what a pair has in flight in the burst is more than the window.
    assert ("least_behind_entries" in run.figures) == (stalled > 0)
    assert run.figures.get("least_behind_entries", 4) >= SHORT.burst_window - SHORT.stalled_window


def test_the_burst_fills_the_windows_of_the_stalled_by_construction() -> None:
    assert SlowOptions().stalled_window < SlowOptions().burst_window


def test_a_device_with_a_window_of_32_wakes_up(tmp_path: Path) -> None:
    """The broker frees a window in steps of 32 entries; whatever reads those come in, all of them are acknowledged."""
    options = structs.replace(SHORT, stalled=8, burst_window=64, stalled_window=32)
    with Roost().start(tmp_path, [f"user{number}" for number in range(options.users)]) as target:
        run = slow.run(target, options, Unseen())
    assert run.figures["least_behind_entries"] >= 64 - 32


def test_devices_that_were_not_behind_are_no_run(tmp_path: Path) -> None:
    """A window that holds all there is: the kernel takes it, and nobody is stalled."""
    options = structs.replace(SHORT, stalled=6, stalled_window=65_535, burst_s=0.05)
    with (
        Roost(toml="[limits]\nreceive_max = 65535\n").start(
            tmp_path, [f"user{number}" for number in range(options.users)]
        ) as target,
        pytest.raises(RuntimeError, match="was never stalled"),
    ):
        slow.run(target, options, Unseen())


def test_too_few_accounts_are_no_run(tmp_path: Path) -> None:
    with Roost().start(tmp_path, ["ann"]) as target, pytest.raises(RuntimeError, match="needs 4 accounts"):
        slow.run(target, SHORT, Unseen())


def test_a_stalled_device_is_logged_in_and_its_connection_stays(tmp_path: Path) -> None:
    with Roost().start(tmp_path, ["ann"]) as target:
        with slow.stalled(target, [target.login("ann", "pad")]) as (device,):
            assert device.began_at == 0
            device.connection.setblocking(False)
            with pytest.raises(BlockingIOError):
                device.connection.recv(1, socket.MSG_PEEK)
        assert device.connection.fileno() == -1


def test_a_stalled_device_that_cannot_log_in_breaks_the_run(tmp_path: Path) -> None:
    with Roost().start(tmp_path, ["ann"]) as target:
        login = target.login("ann", "pad")._replace(password="wrong")
        with pytest.raises(BrokenPromise, match="ann/pad"), slow.stalled(target, [login]):
            pass


@pytest.mark.parametrize(("healthy", "users"), [(100, 50), (8, 4), (1, 2)])
def test_how_many_users_there_have_to_be(healthy: int, users: int) -> None:
    assert SlowOptions(healthy=healthy).users == users
