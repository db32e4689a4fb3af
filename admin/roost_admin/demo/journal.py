"""What a device of the demo holds: a file of its own, as an application keeps its conversations."""

from pathlib import Path

import msgspec
from msgspec import Struct


class Line(Struct, frozen=True, tag_field="line", tag=True):
    """A line of a journal."""


class Entry(Line, frozen=True):
    """A message: `own` if this user sent it."""

    seq: int
    id: str
    sender: str
    to: str
    own: bool
    body: str


class Gap(Line, frozen=True):
    """The device was told that these numbers are lost."""

    first: int
    last: int
    reason: str


class Kick(Line, frozen=True):
    """The device was told that another one took its place."""

    by: str
    at_ms: int
    address: str
    text: str


class StartOver(Line, frozen=True):
    """The device was told to drop everything."""


_decoder = msgspec.json.Decoder(Entry | Gap | Kick | StartOver)


class Journal:
    """The lines so far, and the file they are in. An entry that is told again (after a crash) is kept once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.entries: dict[int, Entry] = {}
        """By number."""
        self.gaps: list[Gap] = []
        self.kicks: list[Kick] = []
        self.last = 0
        """The last number held or known to be lost."""
        if path.exists():
            for line in path.read_bytes().splitlines():
                self._take(_decoder.decode(line))

    def write(self, line: Entry | Gap | Kick | StartOver) -> None:
        """Append a line. A process that is killed keeps it; it need not survive a power cut."""
        if isinstance(line, Entry) and self.entries.get(line.seq) == line:
            self.last = max(self.last, line.seq)
            return
        self._take(line)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")

    def _take(self, line: Entry | Gap | Kick | StartOver) -> None:
        match line:
            case Entry(seq=seq):
                self.entries[seq] = line
                self.last = max(self.last, seq)
            case Gap(last=last):
                self.gaps.append(line)
                self.last = max(self.last, last)
            case Kick():
                self.kicks.append(line)
            case StartOver():
                self.entries.clear()
                self.gaps.clear()
                self.last = 0
