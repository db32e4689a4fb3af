"""A seed replays exactly: in other processes, with other hash seeds, beside others."""

import os
import subprocess
import sys

import pytest

from roost.simulation.seeds import play_seed, play_seeds

SEEDS = (2, 9, 13)
"""One of them on real files."""

SAY_DIGESTS = """
import sys
from roost.simulation.seeds import play_seed
print(*(play_seed(int(seed)).digest for seed in sys.argv[1:]))
"""


@pytest.mark.process
def test_other_processes_and_hash_seeds_see_the_same() -> None:
    here = [play_seed(seed).digest for seed in SEEDS]
    for hash_seed in ("0", "1", "4711", "random"):
        command = [sys.executable, "-c", SAY_DIGESTS, *map(str, SEEDS)]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        said = subprocess.run(command, env=environment, capture_output=True, check=True, text=True, timeout=100)
        assert said.stdout.split() == here, f"PYTHONHASHSEED={hash_seed}"


def test_a_run_does_not_depend_on_those_before_it() -> None:
    first = play_seed(5)
    play_seed(6)
    assert play_seed(5).digest == first.digest


@pytest.mark.process
def test_jobs_change_nothing() -> None:
    alone = [(result.seed, result.digest) for result in play_seeds(range(4))]
    assert [(result.seed, result.digest) for result in play_seeds(range(4), jobs=2)] == alone
