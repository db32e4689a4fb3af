"""A broker leaves no core dump, and nobody of its own user looks into its memory, unless that is configured."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from admin.running import CHEAP, RunningBroker

PROBE = """
import ctypes, resource
from roost_admin.core_dumps import keep_memory_private
keep_memory_private()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE))
"""
"""PR_GET_DUMPABLE is 3."""

CRASH = """
import os, resource, sys
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
from roost_admin.core_dumps import keep_memory_private
if sys.argv[1] == "private":
    keep_memory_private()
os.abort()
"""


def test_a_process_can_be_made_not_dumpable() -> None:
    told = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["0", "0", "0"]


def test_a_crash_leaves_nothing_behind(tmp_path: Path) -> None:
    """As the kernel tells whoever waits: WCOREDUMP of its status."""
    child = subprocess.Popen(
        [sys.executable, "-c", CRASH, "private"], cwd=tmp_path, stderr=subprocess.DEVNULL, process_group=0
    )
    _, status = os.waitpid(child.pid, 0)
    child.returncode = -signal.SIGABRT  # waited for already
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGABRT
    assert not os.WCOREDUMP(status)
    assert list(tmp_path.iterdir()) == []


def core_limits(broker: RunningBroker) -> list[str]:
    lines = Path(f"/proc/{broker.process.pid}/limits").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("Max core file size"))
    return line.split()[4:6]


@pytest.mark.process
def test_a_broker_has_it_so(tmp_path: Path) -> None:
    with RunningBroker(tmp_path) as broker:
        assert core_limits(broker) == ["0", "0"]


@pytest.mark.process
def test_unless_core_dumps_are_wanted(tmp_path: Path) -> None:
    with RunningBroker(tmp_path, config="core_dumps = true\n" + CHEAP) as broker:
        ours = Path("/proc/self/limits").read_text()
        (line,) = (line for line in ours.splitlines() if line.startswith("Max core file size"))
        assert core_limits(broker) == line.split()[4:6]
