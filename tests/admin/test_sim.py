"""`roost sim`: seeds, verdicts, stories."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from model import defects
from roost.oracle import load
from roost_admin.main import root


def sim(*arguments: str) -> Result:
    return CliRunner().invoke(root, ["sim", *arguments])


def test_a_seed_passes() -> None:
    done = sim("--seed", "3")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("seed 3: ")
    assert re.search(r"^trace: [0-9a-f]{32}$", done.output, re.MULTILINE)
    assert done.output.endswith("verdict: pass\n")


def test_a_seed_as_a_document(tmp_path: Path) -> None:
    done = sim("--seed", "3", "--json", "--trace", "--history", str(tmp_path / "history"))
    document = json.loads(done.stdout)
    assert (document["seed"], document["passed"], document["faults"]) == (3, True, [])
    assert document["figures"]["events"] == len(load(tmp_path / "history").events)
    assert len(document["trace"]) > document["figures"]["events"]


def test_several_seeds_give_one_line() -> None:
    done = sim("--seeds", "0..3")
    assert done.exit_code == 0, done.output
    assert re.fullmatch(r"4 seeds, 0 went wrong; .* messages, .* to 1 for each job\)\n", done.stdout)


def test_several_seeds_as_a_stream() -> None:
    done = sim("--seeds", "3..4", "--json")
    assert [json.loads(line)["seed"] for line in done.stdout.splitlines()] == [3, 4]


def test_a_run_that_goes_wrong_is_told_and_can_be_played_again(monkeypatch: pytest.MonkeyPatch) -> None:
    defects.log_in_starts_at_the_head(monkeypatch)  # of the model in memory; a plan on files has it not
    seed = next(seed for seed in range(20) if sim("--seed", str(seed), "--json").exit_code == 1)
    done = sim("--seed", str(seed))
    assert done.exit_code == 1
    assert "verdict: FAIL" in done.output
    command = re.search(
        r"^play it again with: roost sim (--seed \d+ --only '([\d,]+)' --trace)$", done.output, re.MULTILINE
    )
    assert command, done.output
    again = sim("--seed", str(seed), "--only", command[2], "--trace")
    assert again.exit_code == 1
    assert "broken: " in again.output
    assert len(command[2].split(",")) < 20, "the story is short"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--seed", "1", "--seeds", "1..2"),
        ("--seeds", "5..1"),
        ("--seeds", "0..9999999"),
        ("--seeds", "many"),
        ("--seed", "-1"),
        ("--seed", "1", "--only", "1;2"),
        ("--seed", "1", "--only", "99999"),
        ("--seeds", "1..2", "--trace"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(arguments: tuple[str, ...]) -> None:
    done = sim(*arguments)
    assert done.exit_code == 64, done.output
    assert "Traceback" not in done.output


def test_a_history_that_cannot_be_written(tmp_path: Path) -> None:
    done = sim("--seed", "3", "--history", str(tmp_path / "nowhere/history"))
    assert done.exit_code == 66
    assert "No such file" in done.output
