"""W8, small, against a real broker."""

from pathlib import Path

import pytest

from roost_benchmarks.progress import Unseen
from roost_benchmarks.workloads import size
from roost_benchmarks.workloads.size import SizeOptions

pytestmark = pytest.mark.process


def test_pairs_write_into_a_store_with_a_history(tmp_path: Path) -> None:
    options = SizeOptions(entries=5_000, site_users=100, pairs=4, window=2, warm_up_s=0.1, duration_s=0.4)
    assert len(set(options.users)) == 8
    run = size.measured(tmp_path, options, Unseen())
    assert (run.workload, run.name) == ("W8", "size")
    assert run.options == {"entries": 5_000, "pairs": 4, "window": 2, "site_users": 100, "body_bytes": 128}
    assert run.process is not None
    assert run.figures["cost_us_per_message"] == run.process.cpu_us_per_message
    assert run.figures["messages_per_s"] > 0
