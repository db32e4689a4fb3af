"""The simulation finds what is wrong: each deliberate defect, by the first seed of the table in `docs/testing.md`.

`make sim-defects` makes that table anew, by looking through the seeds from 0 on.
"""

import re
from pathlib import Path

import pytest

from client.simulation.defects import DEFECTS, Known
from client.simulation.find_defects import SEEDS_MAX, outcome_with, shows, title

TABLE = Path(__file__).parents[3] / "docs/testing.md"


def first_seeds() -> dict[str, int]:
    """The seed that finds each defect, by what the table calls it."""
    rows = re.findall(r"^\| (.+?) \| .+? \| \d+ \| (\d+) \|$", TABLE.read_text("utf-8"), re.MULTILINE)
    return {words: int(seed) for words, seed in rows}


@pytest.mark.parametrize("known", DEFECTS, ids=lambda known: known.defect.__name__)
def test_a_defect_is_found(known: Known) -> None:
    seed = first_seeds()[title(known)]
    assert seed < SEEDS_MAX
    assert shows(known, outcome_with(known, seed)), f"make sim-defects: seed {seed} shows it no more"
