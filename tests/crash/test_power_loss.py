"""The power fails at any moment: whatever the disk then holds, the store opens, and has all that was acknowledged.

A store commits in a process of its own while every write and every sync of its file is recorded. Of the recording,
files are built that a disk may hold after a failure (`images`). Each must open, be clean by fsck, and be exactly the
store after the last acknowledged batch, or after the one that was under way.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from broker.store.world import SMALL_LIMITS, seeded
from crash.compiled import compiled
from crash.images import MARK, SYNC, WRITE, Event, images, read_log
from crash.workload import digest
from roost_broker.store import ReadFailed, StoreUnusable
from roost_broker.store.fsck_folder import walk_folder
from roost_broker.store.lmdb import LmdbStore
from roost_protocol.admin.fsck import Finding

HERE = Path(__file__).parent
BATCHES = 120
RUN_S = 120.0

IMAGES = int(os.environ.get("CRASH_IMAGES", "250"))
"""In the gate; `make crash` builds 2,000."""

SEEDS = (1, 2, 3)


class Recorded(NamedTuple):
    """What was written, and the digest of the store after each batch; the first is that before the first batch."""

    events: list[Event]
    digests: list[str]


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library, compiled."""
    return compiled("recorder.c", tmp_path_factory.mktemp("recorder"))


def record(recorder: Path, folder: Path, *options: str, seed: int = 1, batches: int = BATCHES) -> Recorded:
    """Have a store commit so many batches."""
    log = folder / "log"
    done = subprocess.run(
        [sys.executable, HERE / "workload.py", folder / "store", str(seed), str(batches), *options],
        env={
            **os.environ,
            "LD_PRELOAD": str(recorder),
            "RECORDER_FILE": "data.mdb",
            "RECORDER_LOG": str(log),
            "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path]),
        },
        check=True, capture_output=True, text=True, timeout=RUN_S,
    )  # fmt: skip
    return Recorded(read_log(log), done.stdout.split())


def faults(recorded: Recorded, count: int, folder: Path, random: Random) -> Iterator[str]:
    """What is wrong with the stores that are found after so many failures."""
    for image in images(recorded.events, count, random):
        found = folder / "found"
        shutil.rmtree(found, ignore_errors=True)
        found.mkdir()
        (found / "data.mdb").write_bytes(image.content)
        wrong = _wrong(found, recorded.digests[image.acknowledged : image.acknowledged + 2])
        if wrong:
            yield f"power lost after {image.point} events, {image.acknowledged} batches acknowledged: {wrong}"


def _wrong(folder: Path, expected: list[str]) -> str:
    try:
        # Pages that are in no tree yet may be torn: what counts is what LMDB can reach.
        findings = [event for event in walk_folder(folder, pages=False) if isinstance(event, Finding)]
        if findings:
            return f"fsck: {findings[0].code}"
        store = LmdbStore(folder, limits=SMALL_LIMITS, random=seeded(), sync=False)
        try:
            return "" if digest(store) in expected else "it is another store than was acknowledged"
        finally:
            store.close()
    except (StoreUnusable, ReadFailed) as error:
        return f"it does not open: {error}"


def test_the_recorder_sees_what_lmdb_does(recorder: Path, tmp_path: Path) -> None:
    recorded = record(recorder, tmp_path, batches=20)
    assert len(recorded.digests) == 21
    assert [event.offset for event in recorded.events if event.kind == MARK] == list(range(21))
    content = bytearray()
    for event in recorded.events:
        if event.kind == WRITE:
            content.extend(bytes(max(0, event.offset + len(event.data) - len(content))))
            content[event.offset : event.offset + len(event.data)] = event.data
    assert content == (tmp_path / "store/data.mdb").read_bytes(), "the log is the file"
    assert sum(event.kind == SYNC for event in recorded.events) >= 15


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_acknowledged_is_lost(recorder: Path, tmp_path: Path, seed: int) -> None:
    recorded = record(recorder, tmp_path, seed=seed)
    assert list(faults(recorded, IMAGES // len(SEEDS), tmp_path, seeded(seed))) == []


@pytest.mark.parametrize("defect", ["--no-sync", "--early"])
def test_a_store_that_does_not_wait_for_the_disk_is_found_out(recorder: Path, tmp_path: Path, defect: str) -> None:
    recorded = record(recorder, tmp_path, defect)
    assert next(faults(recorded, IMAGES, tmp_path, seeded()), "") != ""
