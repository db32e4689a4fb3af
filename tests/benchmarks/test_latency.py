"""The histogram against a sorted list, and its standard forms against the package that reads them."""

from pathlib import Path

import pytest
from hdrh.log import HistogramLogReader
from hypothesis import given
from hypothesis import strategies as st

from roost_benchmarks.latency import LONGEST_NS, SHOWN, Latency

DURATIONS = st.lists(st.integers(0, LONGEST_NS - 1), min_size=1, max_size=200)

NEAR = 2e-3
"""Three significant digits, and the largest value of a bucket stands for it."""


@given(DURATIONS)
def test_percentiles_are_those_of_a_sorted_list(values: list[int]) -> None:
    latency, ordered = Latency().record_all(values), sorted(values)
    assert latency.count == len(values)
    assert latency.max_ms == pytest.approx(ordered[-1] / 1e6, rel=NEAR, abs=1e-9)
    for percent in SHOWN:
        rank = max(1, int(percent / 100 * len(values) + 0.5))
        assert latency.percentile_ms(percent) == pytest.approx(ordered[rank - 1] / 1e6, rel=NEAR, abs=1e-9)


@given(DURATIONS)
def test_many_at_once_is_the_same_as_one_by_one(values: list[int]) -> None:
    single = Latency()
    for value in values:
        single.record(value)
    many = Latency().record_all(values)
    assert many.shown_ms() == pytest.approx(single.shown_ms(), rel=1e-9, abs=1e-4)
    assert many.count == single.count


@given(DURATIONS, DURATIONS)
def test_merging_is_counting_both(left: list[int], right: list[int]) -> None:
    merged = Latency().record_all(left)
    merged.merge(Latency().record_all(right))
    assert merged.shown_ms() == Latency().record_all(left + right).shown_ms()
    assert merged.count == len(left) + len(right)


@given(st.lists(st.integers(0, LONGEST_NS - 1), max_size=100))
def test_what_is_encoded_is_decoded(values: list[int]) -> None:
    latency = Latency().record_all(values)
    again = Latency.decoded(latency.encoded())
    assert (again.count, again.shown_ms()) == (latency.count, latency.shown_ms())


def test_nothing_recorded_is_nothing_shown() -> None:
    empty = Latency()
    assert empty.count == 0
    assert set(empty.shown_ms().values()) == {0.0}
    assert empty.percentile_ms(99) == 0.0
    assert empty.curve_ms() == []
    other = Latency()
    other.merge(empty)
    assert other.count == 0


def test_a_curve_ends_where_the_count_says_no_more() -> None:
    assert [percent for percent, _ in Latency().record_all([1_000] * 10).curve_ms()][-1] == 90
    rising = [ms for _, ms in Latency().record_all(range(0, 5_000_000, 1_000)).curve_ms()]
    assert rising == sorted(rising)


def test_what_is_longer_than_an_hour_counts_as_one() -> None:
    assert Latency().record_all([LONGEST_NS * 5]).max_ms == pytest.approx(3_600_000, rel=NEAR)


@pytest.mark.parametrize("record", [lambda latency: latency.record(-1), lambda latency: latency.record_all([5, -1])])
def test_time_does_not_run_backwards(record: object) -> None:
    assert callable(record)
    with pytest.raises(ValueError, match="backwards"):
        record(Latency())


@pytest.mark.parametrize("text", ["", "hello", "HISTFAAAAA", "é"])
def test_what_is_no_histogram_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an HDR histogram"):
        Latency.decoded(text)


def test_an_interval_log_is_read_by_the_package(tmp_path: Path) -> None:
    latency = Latency().record_all([2_000_000] * 99 + [50_000_000])
    latency.write(tmp_path / "run.hlog", tag="W2", begin_s=1_000.0, length_s=5.0)
    reader = HistogramLogReader(str(tmp_path / "run.hlog"), Latency()._histogram)
    try:
        read = reader.get_next_interval_histogram()
    finally:
        reader.close()
    assert read.get_total_count() == 100
    assert read.get_value_at_percentile(50) == pytest.approx(2_000_000, rel=NEAR)
    assert "1000.000000,5.000000,50" in (tmp_path / "run.hlog").read_text()


def test_a_percentile_table_is_in_milliseconds(tmp_path: Path) -> None:
    Latency().record_all([2_000_000] * 100).write(tmp_path / "run.hgrm")
    lines = (tmp_path / "run.hgrm").read_text().splitlines()
    assert lines[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    assert float(lines[2].split()[0]) == pytest.approx(2.0, rel=NEAR)
    assert lines[-2].startswith("#[Max")
