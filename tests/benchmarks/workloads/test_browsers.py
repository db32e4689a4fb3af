"""W11 on a real broker and in real browsers, small."""

from pathlib import Path

import pytest

from roost_benchmarks.progress import Unseen
from roost_benchmarks.workloads import browsers
from roost_benchmarks.workloads.browsers import BrowsersOptions
from web.browser import require_chromium


@pytest.mark.process
def test_a_run(tmp_path: Path) -> None:
    require_chromium()
    measured = browsers.run(tmp_path, BrowsersOptions(messages=5, warm_up_messages=2), Unseen())
    assert (measured.workload, measured.failure) == ("W11", None)
    assert measured.oracle.entries_checked == 2 * 2 * (5 + 2)
    assert measured.latency_ms is not None
    assert measured.latency_ms["p50"] > 0


def test_without_a_browser_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsers, "CHROMIUM", tmp_path / "chromium")
    with pytest.raises(RuntimeError, match="there is no browser at"):
        browsers.run(tmp_path / "data", BrowsersOptions(), Unseen())
