"""`make fuzz`: what it prints, what it keeps, and that it finds something where something is."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fuzz import run
from fuzz.table import TARGETS
from fuzz.target import Memory, Target


def broken(folder: Path) -> Target:
    """A target that does not stand a byte, whose corpus is in `folder`."""

    def one(data: bytes) -> None:
        if b"\xff" in data:
            raise ZeroDivisionError("there it is")
        if data[:1] == b"v":
            raise ValueError("as documented")

    class Elsewhere(Target):
        @property
        def folder(self) -> Path:
            return folder

    return Elsewhere("broken", one, (ValueError,), Memory(1, 1), lambda: (b"value", b"seed"))


def without_atheris(name: str) -> Any:
    return None


def test_a_target_that_stands_everything(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "find_spec", without_atheris)
    assert run.main(["--seconds", "0.3", "codec_json"]) == 0
    line, last = capsys.readouterr().out.splitlines()
    assert line.startswith("codec_json ")
    assert line.endswith("- edges  0 findings")
    assert last.startswith("fuzz: ")
    assert last.endswith("0 findings")


def test_a_finding_is_told_and_kept(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run, "find_spec", without_atheris)
    monkeypatch.setattr(run, "TARGETS", {"broken": broken(tmp_path)})
    assert run.main(["--seconds", "20"]) == 1
    said = capsys.readouterr().out
    assert "ZeroDivisionError: there it is" in said
    assert said.splitlines()[-1].endswith("1 findings")
    (kept,) = tmp_path.iterdir()
    assert kept.name.startswith("crash-")
    assert b"\xff" in kept.read_bytes()


def test_what_is_no_target(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(["nonsense"])
    assert "there is no target nonsense" in capsys.readouterr().err


@pytest.mark.process
def test_atheris_searches_and_counts_places(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="there is no wheel of atheris for this machine")
    command = [sys.executable, "-m", "fuzz.explore", "connection", "-runs=300", "-print_final_stats=1", str(tmp_path)]
    path = os.pathsep.join((str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])))
    env = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60)
    assert "stat::number_of_executed_units: 300" in done.stderr
    assert "cov: " in done.stderr
    assert list(tmp_path.iterdir()), "nothing new was reached"


def test_all_targets_are_in_modules_of_their_name() -> None:
    for name, target in TARGETS.items():
        assert target.one.__module__ == f"fuzz.{name}"
