"""Prosody, if it is installed: it starts with accounts, does the workloads, and is gone at the end."""

from pathlib import Path

import pytest

from roost_benchmarks import peers
from roost_benchmarks.brokers.port import listens
from roost_benchmarks.brokers.prosody import Prosody
from roost_benchmarks.progress import Unseen
from roost_benchmarks.workloads import group, pairs
from roost_benchmarks.workloads.group import GroupOptions
from roost_benchmarks.workloads.pairs import PairsOptions

pytestmark = pytest.mark.skipif(peers.program("prosody") is None, reason="prosody is not installed")


def test_pairs_and_a_group(tmp_path: Path) -> None:
    users = ["bench-a", "b_2", "c.3", "d"]  # names that stand otherwise in the names of files
    with Prosody().start(tmp_path, users) as target:
        options = PairsOptions(pairs=2, window=2, warm_up_s=0.05, duration_s=0.2)
        assert pairs.run(target, options, Unseen()).oracle.entries_checked > 0
        done = group.run(target, GroupOptions(members=3, messages=2, warm_up_messages=1), Unseen())
        assert done.oracle.entries_checked == 3 * 6
        assert target.version[0].isdigit()
        port = target.address[1]
    assert not listens(port)
