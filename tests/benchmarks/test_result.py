"""What a run ends with survives a file, and says by itself whether it counts."""

import csv
import io
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost_benchmarks.result import (
    GENERATOR_SHARE_MAX,
    Generator,
    Goal,
    Oracle,
    Process,
    Report,
    Run,
    figure_words,
    read_report,
    shown_number,
    to_csv,
    to_json,
)

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(st.characters(categories=["L", "N"], include_characters="_."), min_size=1, max_size=12)
FIGURES = st.dictionaries(NAMES, NUMBERS, max_size=4)
OPTIONS = st.dictionaries(NAMES, st.integers(-(2**53), 2**53) | st.text(max_size=8) | st.booleans(), max_size=4)
RUNS = st.builds(
    Run,
    workload=st.sampled_from([f"W{number}" for number in range(1, 9)]),
    name=NAMES,
    broker=st.sampled_from(["roost", "mosquitto", "prosody"]),
    round=st.integers(0, 10),
    options=OPTIONS,
    command=st.text(max_size=20),
    figures=FIGURES,
    latency_ms=st.none() | FIGURES,
    hdr=st.none() | NAMES,
    process=st.none()
    | st.builds(Process, cpu_share=NUMBERS, cpu_us_per_message=NUMBERS, rss_anon_bytes=st.integers(0, 2**50)),
    generator=st.builds(Generator.of, st.floats(0, 2)),
    oracle=st.builds(
        Oracle, entries_checked=st.integers(0, 10**9), missed=st.integers(0, 3), doubled=st.integers(0, 3)
    ),
    floor=FIGURES,
    failure=st.none() | st.text(min_size=1, max_size=10),
)


def report_of(runs: list[Run]) -> Report:
    return Report(
        taken="2026-01-01T00:00:00Z", machine={"cores": 2, "packages": {"lmdb": "1"}}, commit="abc",
        versions={"roost": "1"}, durability={"roost": "fsync"}, floor={"send_us": 1.5}, runs=runs,
        goals=[Goal(workload="W1", goal="fast", measured="very", met=True)], notes=["a note"],
    )  # fmt: skip


@given(st.lists(RUNS, max_size=3))
def test_a_report_survives_its_json(runs: list[Run]) -> None:
    report = report_of(runs)
    data = to_json(report)
    assert data.endswith(b"}\n")
    assert msgspec.json.decode(data, type=Report) == report


@given(st.lists(RUNS, min_size=1, max_size=3))
def test_every_run_is_a_line_of_csv_with_all_that_it_has(runs: list[Run]) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(runs))))
    assert len(rows) == len(runs)
    for row, run in zip(rows, runs, strict=True):
        assert row["broker"] == run.broker
        for name, value in run.figures.items():
            assert float(row[f"figures.{name}"]) == value
        assert "hdr" not in row


def test_a_report_of_another_format_is_not_misread(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_bytes(to_json(report_of([])))
    assert read_report(path) == report_of([])
    path.write_bytes(to_json(msgspec.structs.replace(report_of([]), format=2)))
    with pytest.raises(ValueError, match="format 2"):
        read_report(path)
    path.write_text("{}")
    with pytest.raises(ValueError, match="missing required field"):
        read_report(path)


def _run(oracle: Oracle, cpu_share: float, failure: str | None = None) -> Run:
    return Run(
        workload="W1", name="pairs", broker="roost", options={}, figures={}, generator=Generator.of(cpu_share),
        oracle=oracle, failure=failure,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("run", "refusal"),
    [
        (_run(Oracle(entries_checked=9), GENERATOR_SHARE_MAX), None),
        (_run(Oracle(entries_checked=9), 0.95), "the generator was the bottleneck (95% of a core)"),
        (_run(Oracle(entries_checked=9, missed=1), 0.1), "1 entries missed and 0 doubled"),
        (_run(Oracle(entries_checked=9, doubled=2), 0.1), "0 entries missed and 2 doubled"),
        (_run(Oracle(entries_checked=0), 0.1, "the broker died"), "the broker died"),
    ],
)
def test_a_run_counts_only_if_nothing_speaks_against_it(run: Run, refusal: str | None) -> None:
    assert run.refusal == refusal
    assert run.counts is (refusal is None)
    assert report_of([run]).refused == ([] if run.counts else [run])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (2.0, "2"), (1_234_567.8, "1,234,568"), (12.34, "12.3"), (1.234, "1.23"), (0.01234, "0.012")],
)
def test_a_number_has_as_many_decimals_as_it_deserves(value: float, text: str) -> None:
    assert shown_number(value) == text


def test_figures_are_said_with_their_units() -> None:
    figures = {"messages_per_s": 1_234.56, "memory_growth_bytes": 14_405_632.0, "time_to_head_s": 0.3258}
    assert figure_words(figures) == ["1,235 messages/s", "memory growth bytes 14,405,632", "time to head s 0.326"]


@pytest.mark.parametrize(
    ("own", "broker", "bottleneck"),
    [
        (0.89, 0.5, False),
        (0.91, 0.5, True),
        (0.91, None, True),
        (0.99, 0.94, True),
        (0.99, 0.95, False),
        (1.0, 1.6, False),
    ],
)
def test_a_busy_generator_is_no_bottleneck_beside_a_busier_broker(
    own: float, broker: float | None, bottleneck: bool
) -> None:
    assert Generator.of(own, broker).was_the_bottleneck is bottleneck
