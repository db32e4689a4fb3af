"""The suite's own part: turns, choice, failures, the report, the exit status. The runs here are made up."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report.example import run
from roost_benchmarks import plan, suite
from roost_benchmarks.progress import Progress
from roost_benchmarks.result import Run, read_report
from roost_benchmarks.steps import Measured, Step, chosen, in_turn
from roost_benchmarks.suite import carry_out, summary

ROUNDS = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 5)), unique_by=lambda pair: pair[0])


def step(shape: str = "64x20", broker: str = "roost", work: Callable[[Path, Progress], Measured] | None = None) -> Step:
    return Step("W1", "pairs", shape, broker, 0, work or _works)


def _works(folder: Path, shown: Progress) -> Measured:
    assert list(folder.iterdir()) == []
    (folder / "store").touch()
    shown.update(0.5, "half")
    return Measured(run("W1", "pairs", "roost", {"messages_per_s": 1_000.0}, pairs=20, window=64), "1.2", "fsync")


def _breaks(folder: Path, shown: Progress) -> Measured:
    raise RuntimeError("5 after 3\nand more")


@given(ROUNDS)
def test_brokers_take_turns(rounds: list[tuple[str, int]]) -> None:
    order = in_turn(rounds)
    for broker, count in rounds:
        assert [number for name, number in order if name == broker] == list(range(count))
    assert [number for _, number in order] == sorted(number for _, number in order)


def test_two_rounds_of_two_are_a_b_a_b() -> None:
    assert in_turn([("a", 2), ("b", 2), ("c", 1)]) == [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("b", 1)]


@pytest.mark.parametrize(
    ("only", "count"),
    [
        ((), 3),
        (("W1",), 3),
        (("W1/64x20",), 2),
        (("W1/64x20/roost",), 1),
        (("W1/6",), 0),
        (("W",), 0),
        (("W1/1x1", "W1/64x20/"), 3),
    ],
)
def test_a_part_is_chosen_by_the_beginning_of_its_key(only: tuple[str, ...], count: int) -> None:
    assert len(chosen([step(), step("1x1"), step(broker="mosquitto")], only)) == count


def test_each_run_has_a_fresh_folder_and_says_how_to_have_it_again(tmp_path: Path) -> None:
    (found,) = carry_out([step()], tmp_path, "full").values()
    assert found.run.command.endswith("suite full --only W1/64x20")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_leaves_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = carry_out([step("1x1", work=_breaks), step()], tmp_path, "full").values()
    assert first.run.failure == "RuntimeError: 5 after 3"
    assert second.run.counts
    lines = capsys.readouterr().err.splitlines()
    assert "FAILED: RuntimeError: 5 after 3" in lines[0]
    assert "1,000 messages/s" in lines[1]


def test_a_summary_says_when_a_run_does_not_count() -> None:
    from msgspec.structs import replace

    from roost_benchmarks.result import Generator

    bound: Run = replace(run("W1", "pairs", "roost", {}, 1.0), generator=Generator.of(0.95))
    assert "DOES NOT COUNT" in summary(bound)
    assert "p50 " in summary(bound)


def _invoke(monkeypatch: pytest.MonkeyPatch, steps: list[Step], *args: str) -> tuple[int, str]:
    monkeypatch.setattr(plan, "planned", lambda kind, brokers: steps)
    monkeypatch.setattr(suite, "floor_of", lambda folder: {"commit_1_ms": 0.5})
    result = CliRunner().invoke(suite.main, [*args])
    return result.exit_code, result.output


def test_a_whole_run_writes_json_pictures_and_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, output = _invoke(monkeypatch, [step()], "quick", "--output", str(tmp_path))
    assert (status, sorted(path.name for path in tmp_path.iterdir())) == (
        0, ["quick-throughput.png", "quick.html", "quick.json"],
    )  # fmt: skip
    report = read_report(tmp_path / "quick.json")
    assert (report.versions, report.durability, report.goals) == ({"roost": "1.2"}, {"roost": "fsync"}, [])
    assert report.runs[0].floor == {"commit_1_ms": 0.5}
    assert report.floor["commit_1_ms_before"] == 0.5
    assert "quick.html" in output


def test_a_full_run_has_goals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, output = _invoke(monkeypatch, [step()], "full", "--without-peers", "--output", str(tmp_path))
    assert status == 0
    assert "not measured: W1 of mosquitto" in output
    assert len(read_report(tmp_path / "bench.json").goals) > 10


def test_the_exit_status_says_that_a_run_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, output = _invoke(monkeypatch, [step(work=_breaks)], "quick", "--output", str(tmp_path))
    assert status == suite.DOES_NOT_COUNT
    assert "does not count: RuntimeError: 5 after 3" in output
    assert read_report(tmp_path / "quick.json").refused


def test_a_key_that_is_none_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    status, output = _invoke(monkeypatch, [step()], "quick", "--only", "W9")
    assert (status, "nothing of quick is called W9" in output) == (2, True)


def test_the_plan_can_be_seen_before_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    status, output = _invoke(monkeypatch, [step(work=_breaks)], "quick", "--plan")
    assert (status, output.split()) == (0, ["W1/64x20/roost", "#1"])
