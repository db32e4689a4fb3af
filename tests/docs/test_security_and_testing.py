"""`docs/security.md` and `docs/testing.md`: what they name is there."""

import re
from pathlib import Path

import pytest

from roost_broker.config import Config
from roost_protocol.limits import Limits

ROOT = Path(__file__).parents[2]
PAGES = ("security.md", "testing.md")


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_every_test_that_is_named_is_there(name: str) -> None:
    named = set(re.findall(r"\btests/[\w./*-]*[\w*/]", page(name)))
    assert len(named) > 20
    assert [path for path in sorted(named) if not list(ROOT.glob(path.rstrip("/")))] == []


@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_make_that_is_named_is_there(name: str) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"`(?:\w+=\S+ )*make ([a-z0-9-]+)", page(name))) - targets == set()


def test_every_limit_that_the_security_page_names_is_one() -> None:
    known = set(Limits.__struct_fields__) | set(Config.__struct_fields__)
    named = set(re.findall(r"`([a-z_]+_(?:max|s))`", page("security.md")))
    assert len(named) > 10
    assert named - known == set()
