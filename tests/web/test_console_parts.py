"""The parts of the console that know no page: words for figures, problems and rights, under Node's test runner."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "console"
TIMEOUT_S = 100


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.test.js")), ids=lambda file: file.name)
def test_parts(file: Path) -> None:
    node = shutil.which("node")
    if node is None and not os.environ.get("CI"):
        pytest.skip("node is missing")
    assert node is not None, "node is missing, and in CI these tests have to run"
    ran = subprocess.run([node, "--test", str(file)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
