"""Mosquitto, if it is installed: it starts on a fresh folder, does the workloads, and is gone at the end."""

from pathlib import Path

import pytest

from roost_benchmarks import peers
from roost_benchmarks.brokers.mosquitto import Mosquitto
from roost_benchmarks.brokers.port import listens
from roost_benchmarks.progress import Unseen
from roost_benchmarks.workloads import group, pairs
from roost_benchmarks.workloads.group import GroupOptions
from roost_benchmarks.workloads.pairs import PairsOptions

pytestmark = pytest.mark.skipif(peers.program("mosquitto") is None, reason="mosquitto is not installed")


def test_pairs_and_a_group(tmp_path: Path) -> None:
    users = [f"u{number}" for number in range(5)]
    with Mosquitto().start(tmp_path, users) as target:
        options = PairsOptions(pairs=2, window=4, warm_up_s=0.05, duration_s=0.2)
        assert pairs.run(target, options, Unseen()).oracle.entries_checked > 0
        done = group.run(target, GroupOptions(members=4, messages=5, warm_up_messages=1), Unseen())
        assert done.oracle.entries_checked == 6 * 8
        assert target.version[0].isdigit()
        assert target.rss_anon_bytes() > 0
        port = target.address[1]
    assert not listens(port)
