"""The curves: each has its points, and a point of each runs, small, against a real broker."""

from pathlib import Path

import pytest
from msgspec import structs

from roost_benchmarks.progress import Unseen
from roost_benchmarks.report.pictures import CURVES
from roost_benchmarks.workloads import growth

SMALL = {"users": 90, "sessions": 20, "devices": 16, "members": 2, "body_bytes": 65_536, "backlogged": 10}


def test_every_curve_of_the_pictures_is_measured() -> None:
    found = growth.points()
    assert {point.curve for point in found} == set(CURVES)
    assert [(point.curve, point.value) for point in found] == [
        (curve, value) for curve, values in growth.POINTS.items() for value in values
    ]
    for values in growth.POINTS.values():
        assert list(values) == sorted(set(values))


def test_a_curve_that_is_not_known_is_an_error() -> None:
    with pytest.raises(KeyError):
        growth.points(["nonsense"])


@pytest.mark.process
@pytest.mark.parametrize("curve", SMALL)
def test_a_point_of_each_curve(curve: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "LOAD", structs.replace(growth.LOAD, pairs=2, warm_up_s=0.1, duration_s=0.3))
    monkeypatch.setattr(growth, "GROUP_S", 0.3)
    monkeypatch.setattr(growth, "POINTS", {curve: (SMALL[curve],)})
    (run,) = growth.measured(tmp_path, growth.points([curve]), Unseen())
    assert (run.workload, run.name) == ("growth", curve)
    assert run.options[curve] == SMALL[curve]
    assert run.latency_ms is not None
    assert run.figures.keys() & {"cost_us_per_message", "entries_per_s"}
    assert run.oracle.entries_checked > 0
