"""The map in `docs/testing.md` leads somewhere: every file that it names is there, and every target of make."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/testing.md").read_text("utf-8")


@pytest.mark.parametrize("path", sorted(set(re.findall(r"tests/[\w./*]+", TEXT))))
def test_a_file_that_is_named_is_there(path: str) -> None:
    assert list(ROOT.glob(path.rstrip("."))), path


@pytest.mark.parametrize("target", sorted(set(re.findall(r"make ([\w-]+)`", TEXT))))
def test_a_target_that_is_named_is_there(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE), target
