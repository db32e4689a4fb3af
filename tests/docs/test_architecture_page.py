"""`docs/architecture.md`: its tables and its map are those of the code."""

import re
from pathlib import Path

from roost_broker.store.lmdb_tables import Tables

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def section(title: str) -> str:
    """What stands under a heading."""
    return PAGE[PAGE.index(f"\n## {title}\n") :].partition("\n## ")[2].partition("\n## ")[0]


def named(text: str) -> list[str]:
    """What stands in code letters in the first cell of each row of a table."""
    cells = re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_every_table_of_the_store_has_its_row() -> None:
    assert sorted(named(section("LMDB"))) == sorted(Tables._fields)


def test_the_map_of_the_core_names_every_file() -> None:
    core = ROOT / "broker" / "roost_broker"
    rows = PAGE[PAGE.index("Where to look in the core:") :].partition("\n## ")[0]
    there = {path.name for path in core.glob("*.py")} | {f"{path.parent.name}/" for path in core.glob("*/__init__.py")}
    elsewhere = {"__init__.py", "version.py", "app.py", "store/", "transport/", "http/"}
    assert sorted(named(rows)) == sorted(there - elsewhere)


def test_the_map_of_folders_is_right() -> None:
    rows = section("The house").partition("Where to look")[0]
    folders = [name for name in named(rows) if name.endswith("/")]
    assert len(folders) == 6
    assert all((ROOT / folder).is_dir() for folder in folders)
    for package in re.findall(r"\| `(roost[a-z_.]*)`(?: \(core\))? \|", rows):
        path = package.replace(".", "/")
        assert any((folder / path).exists() or (folder / f"{path}.py").exists() for folder in ROOT.iterdir()), package


def test_files_that_the_page_names_are_there() -> None:
    files = {
        path.relative_to(root).as_posix()
        for root in (ROOT / "broker" / "roost_broker", ROOT)
        for path in root.rglob("*.py")
    }
    for name in re.findall(r"`([a-z_/]+\.py)`", PAGE):
        assert any(file == name or file.endswith(f"/{name}") for file in files), name


def test_what_changed_of_late_has_its_invariants() -> None:
    for title in ("The journal", "Administration", "Accounts that end", "Retention"):
        assert section(title).count("**Invariant:**") >= 3, title
