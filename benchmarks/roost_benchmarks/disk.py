"""What a folder's disk allows, in figures and in words, before anyone deploys on it: `roost bench disk FOLDER`."""

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from roost_benchmarks import floor

FREE_BYTES_MIN: Final = 512 * 2**20
"""That the measurement may need with the largest bodies (`floor.STORED_BYTES_MAX` for each size, and pages around)."""

UNTRUE_MS: Final = 0.02
"""A faster sync has reached no medium: a round trip to the fastest flash alone takes as long."""
GOOD_MS: Final = 0.5
FAIR_MS: Final = 5.0

_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "ceph", "fuse.glusterfs"})


class Disk(Struct, frozen=True, kw_only=True):
    """What was measured in a folder. Times in ms."""

    folder: str
    file_system: str
    figures: dict[str, float]
    """As in `floor`."""
    messages_per_s_at_most: dict[str, float]
    """By how many messages share a commit."""
    expect: list[str]
    """In words, a sentence each."""


def measured(folder: Path, *, body_bytes: int, rounds: int, progress: Callable[[float], None] | None = None) -> Disk:
    """Measure a folder; what is written there is removed again. Raises OSError (also when there is no room)."""
    folder = folder.resolve(strict=True)
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    if free < FREE_BYTES_MIN:
        raise OSError(f"{folder} has {free >> 20} MiB free; measuring may need {FREE_BYTES_MIN >> 20} MiB")
    with tempfile.TemporaryDirectory(prefix="roost-bench-", dir=folder) as name:
        figures = floor.commit_floor(Path(name), body_bytes, rounds=rounds, progress=progress)
    kind = file_system(folder)
    return Disk(
        folder=str(folder),
        file_system=kind,
        figures=figures,
        messages_per_s_at_most={str(size): round(size * 1000 / figures[f"commit_{size}_ms"]) for size in floor.SIZES},
        expect=expectation(figures, kind),
    )


def expectation(figures: Mapping[str, float], kind: str) -> list[str]:
    """What to expect of a broker on such a disk, at best: a sentence each. `kind` is its file system."""
    alone, tail = figures["commit_1_ms"], figures["commit_1_p99_ms"]
    most = floor.SIZES[-1]
    per_s, batch = most * 1000 / figures[f"commit_{most}_ms"], figures[f"commit_{most}_ms"]
    return [
        _judgement(figures["fdatasync_ms"], kind),
        f"Latency at best: a message alone is on disk after {alone:.2f} ms (99 of 100 within {tail:.2f} ms); add what "
        "the network and the broker's own work take, some 0.2 to 0.5 ms.",
        f"One sender that waits for each answer: about {1000 / alone:,.0f} messages/s at best.",
        f"Many senders: up to {per_s:,.0f} messages/s in commits of {most}, {batch:.1f} ms each; a broker under "
        "such load has work of its own, so expect about half of it.",
    ]


def _judgement(sync_ms: float, kind: str) -> str:
    if kind in _MEMORY:
        return f"This is memory ({kind}), not a disk: it is fast, and nothing on it survives a restart of the machine."
    if kind in _NETWORK:
        return f"This is a network file system ({kind}): a store does not belong there, its locks and maps are local."
    if sync_ms < UNTRUE_MS:
        return (
            f"A sync takes {sync_ms * 1000:.0f} µs: no medium is that fast. Something on the way (a virtual disk, a "
            "cache without a battery) says `written` too early, and may lose messages when the power fails."
        )
    if sync_ms <= GOOD_MS:
        return f"A sync takes {sync_ms:.2f} ms: a good disk for a broker."
    if sync_ms <= FAIR_MS:
        return f"A sync takes {sync_ms:.1f} ms: fair; a message alone will feel it, throughput less so."
    return f"A sync takes {sync_ms:.0f} ms, as on a turning disk or a slow card: every message waits for it."


def file_system(folder: Path, mounts: str | None = None) -> str:
    """The type of the file system that a folder is on (proc(5), mounts); `unknown` where nothing says so."""
    try:
        text = Path("/proc/self/mounts").read_text("utf-8", "surrogateescape") if mounts is None else mounts
    except OSError:
        return "unknown"
    best, kind = "", "unknown"
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        place = _unescaped(fields[1])
        if folder.is_relative_to(place) and len(place) >= len(best):
            best, kind = place, fields[2]
    return kind


def _unescaped(place: str) -> str:
    """Blanks in a mount point are written as octal (proc(5))."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        place = place.replace(code, character)
    return place
