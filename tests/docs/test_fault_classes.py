"""`docs/fault-classes.md`: every row has who taught it and a test, and every test is there."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "fault-classes.md").read_text("utf-8")


class Row(NamedTuple):
    """A class of faults."""

    fault: str
    taught_by: str
    in_roost: str
    tests: tuple[str, ...]


def rows() -> list[Row]:
    """Every row of every table, without their heads."""
    lines = re.findall(r"^\| (.*) \|$", PAGE, re.MULTILINE)
    cells = [line.split(" | ") for line in lines]
    return [
        Row(fault, taught_by, in_roost, tuple(re.findall(r"`([^`]+)`", tests)))
        for fault, taught_by, in_roost, tests in cells
        if fault != "fault"
    ]


ROWS = rows()


def test_there_are_all_that_were_known() -> None:
    assert len(ROWS) >= 27


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.fault[:50])
def test_a_row_is_whole(row: Row) -> None:
    assert row.tests, "no test"
    assert row.in_roost
    assert re.search(r"CVE-\d{4}-\d{4,}|GHSA(-\w{4}){3}|Pull request|Found", row.taught_by), row.taught_by


@pytest.mark.parametrize("test", sorted({test for row in ROWS for test in row.tests}))
def test_a_test_that_is_named_is_there(test: str) -> None:
    path, _, name = test.partition("::")
    file = ROOT / path
    assert file.is_file(), path
    if name:
        assert re.search(rf"^(async )?def {name}\(", file.read_text("utf-8"), re.MULTILINE), name
