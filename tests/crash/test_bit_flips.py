"""Bits of a store's file change: what was in them is said to be damaged, and nothing is given out that was never so.

Each store with its flipped bits is tried in a process of its own (`flipping`), since LMDB trusts its own pages: a bit
in one of those may end it. What holds then is that nothing wrong is said before that, and that fsck, which reads the
pages without LMDB, says what is wrong and does not end that way.
"""

import os
import shutil
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import lmdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.store.world import World, seeded
from crash.flipping import open_store
from crash.observed import DAMAGED, differences, observe
from crash.workload import NAMES, batches
from roost_broker.store.lmdb_tables import Tables, name_in_file
from roost_broker.store.operations import CreateGroup, SetRelation

HERE = Path(__file__).parent
FLIPS = int(os.environ.get("CRASH_FLIPS", "50"))
"""Stores that are tried by each test, in the gate; `make crash` tries 2,000."""

BATCHES = 60
PAGE_BYTES = 4096
PAGE = struct.Struct("=8x2xHH")  # after the number: flags, and the end of the list of rows
BRANCH, LEAF = 1, 2

HARMLESS_IN_VALUES = ("same", "told", "stopped", "refused")
IN_PAGES = ("same", "told", "missing", "stopped", "refused", "signal", "endless")
"""What a bit in LMDB's own pages may come to. `missing`: what a page has lost is not found any more, and only
fsck knows that it was there."""

pytestmark = [pytest.mark.process, pytest.mark.timeout(120 + 3 * FLIPS)]
_some = settings(
    max_examples=FLIPS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


class Tried(NamedTuple):
    """What became of a store with flipped bits; see `flipping`."""

    worked: str
    checked: str


class Whole:
    """A store, and a process that tries it with bits of it flipped."""

    def __init__(self, path: Path) -> None:
        self.path = path / "store"
        store = open_store(self.path)
        world = World(store)
        world.users(*NAMES)
        world.one(CreateGroup(name="team", owner=1, members=NAMES[1:3]))
        world.one(SetRelation(user=1, kind="contact", other="bob", present=True))
        for operations in batches(world, seeded(3), BATCHES):
            world.do(*operations)
        store.close()
        self.content = (self.path / "data.mdb").read_bytes()
        self.process = subprocess.Popen(
            [sys.executable, HERE / "flipping.py", self.path, path / "scratch"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path])},
        )  # fmt: skip
        self.counts: Counter[str] = Counter()

    def rows(self) -> dict[str, list[tuple[bytes, bytes]]]:
        """What is stored in each table that stores anything, seals and all."""
        with lmdb.open(os.fspath(self.path), max_dbs=64, readonly=True, lock=False) as env:
            tables = {name: env.open_db(name_in_file(name), create=False) for name in Tables._fields}
            with env.begin() as txn:
                stored = {name: [row for row in txn.cursor(table) if row[1]] for name, table in tables.items()}
        return {name: rows for name, rows in stored.items() if rows}

    def tried(self, *bits: int) -> Tried:
        """What becomes of it with these bits of its file flipped."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(" ".join(map(str, bits)) + "\n")
        self.process.stdin.flush()
        tried = Tried(*self.process.stdout.readline().rstrip("\n").split("\t"))
        self.counts[tried.worked.split()[0]] += 1
        return tried


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    made = Whole(tmp_path_factory.mktemp("flips"))
    try:
        yield made
    finally:
        made.process.kill()
        with made.process:
            pass


def places(content: bytes, key: bytes, value: bytes) -> Iterator[int]:
    """Where in the file a value stands: behind its key, or by itself in pages of its own.

    It may also be there in a page that is free since.
    """
    before = key if key + value in content else b""
    at = content.find(before + value)
    while at >= 0:
        yield at + len(before)
        at = content.find(before + value, at + 1)


def test_bits_of_what_is_stored(whole: Whole) -> None:
    """In whatever table: it is said, fsck finds it, and everything else is as it was."""
    rows = whole.rows()

    @_some
    @given(st.data())
    def flip(data: st.DataObject) -> None:
        key, value = data.draw(st.sampled_from(rows[data.draw(st.sampled_from(sorted(rows)))]))
        bit = data.draw(st.integers(0, 8 * len(value) - 1))
        tried = whole.tried(*(8 * at + bit for at in places(whole.content, key, value)))
        assert tried.worked in HARMLESS_IN_VALUES, tried
        assert tried.checked == "damage"

    flip()
    assert whole.counts["told"] > FLIPS // 3


def test_any_bits_of_the_file(whole: Whole) -> None:
    @_some
    @given(st.lists(st.integers(0, 8 * len(whole.content) - 1), min_size=1, max_size=4, unique=True))
    def flip(bits: list[int]) -> None:
        check_pages(whole.tried(*bits))

    flip()


def test_bits_of_the_pages_of_the_engine(whole: Whole) -> None:
    """Of its two first pages, and of the heads of the others: what LMDB itself goes by."""
    kinds = {number: PAGE.unpack_from(whole.content, number * PAGE_BYTES) for number in range(2, pages_of(whole))}
    heads = [
        number * PAGE_BYTES + offset
        for number, (flags, lower) in kinds.items()
        if flags in (BRANCH, LEAF)
        for offset in range(min(lower, PAGE_BYTES))
    ]
    metas = [page * PAGE_BYTES + offset for page in (0, 1) for offset in range(152)]

    @_some
    @given(st.sampled_from(heads) | st.sampled_from(metas), st.integers(0, 7))
    def flip(offset: int, bit: int) -> None:
        check_pages(whole.tried(8 * offset + bit))

    flip()


def pages_of(whole: Whole) -> int:
    """How many pages the file has."""
    return len(whole.content) // PAGE_BYTES


def check_pages(tried: Tried) -> None:
    """Nothing wrong was said, no traceback was shown; and fsck knows, unless everything is as it was."""
    assert tried.worked.split()[0] in IN_PAGES, tried
    assert tried.checked in ("clean", "damage"), tried
    if tried.worked.split()[0] in ("told", "missing", "refused", "stopped"):
        assert tried.checked == "damage", tried


@pytest.mark.parametrize("bit", [0, 2, 3, 5, 40, 63])
@pytest.mark.parametrize("page", [0, 1])
def test_a_store_does_not_go_back_by_a_commit(whole: Whole, page: int, bit: int) -> None:
    """Of the number of the last transaction and of the one before; all but the bit that makes one two more or less."""
    assert whole.tried(8 * (page * PAGE_BYTES + 144) + bit) == ("refused", "damage")


def test_wrong_content_is_found_out(whole: Whole, tmp_path: Path) -> None:
    """What compares two stores says so when one says something else."""
    shutil.copytree(whole.path, tmp_path / "other")
    store = open_store(tmp_path / "other")
    before = observe(store)
    store.close()
    assert differences(before, before) == ([], [])
    key = next(key for key in before if key[0] == "entry")
    other = next(value for each, value in before.items() if each[0] == "entry" and value != before[key])
    assert differences(before, {**before, key: other}).wrong
    assert differences(before, {**before, key: DAMAGED}) == ([], [])
    assert differences(before, {each: value for each, value in before.items() if each != key}).missing
