"""What a target of the fuzzers is: something that takes any bytes, and lets nothing out but what it says."""

import traceback
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

CORPUS = Path(__file__).parent / "corpus"
"""A folder for each target: inputs that reach something of their own, and `crash-…` that once broke it."""


class Memory(NamedTuple):
    """The most that a case may take: so many bytes for each byte of it, and so many in any case."""

    for_each_byte: int
    beside: int

    def bound(self, data: bytes) -> int:
        """In bytes, for this case."""
        return self.for_each_byte * len(data) + self.beside


class Target(NamedTuple):
    """One of them. `one` raises what is `documented`, and nothing else, whatever it is given."""

    name: str
    one: Callable[[bytes], object]
    documented: tuple[type[Exception], ...]
    memory: Memory
    seeds: Callable[[], Iterable[bytes]]
    """Inputs to begin with: some that are right, and some that nobody finds by chance."""
    tokens: tuple[bytes, ...] = ()
    """What inputs are made of: to be put anywhere."""
    bytes_max: int = 4_096
    """Longer inputs find nothing more."""

    @property
    def folder(self) -> Path:
        """Where its corpus is."""
        return CORPUS / self.name

    def corpus(self) -> list[bytes]:
        """Its seeds, and what was found before; in an order that is always the same."""
        kept = sorted(path for path in self.folder.glob("*") if path.is_file())
        return [*self.seeds(), *(path.read_bytes() for path in kept)]


class Finding(NamedTuple):
    """An input that a target did not stand, and what came out of it."""

    data: bytes
    error: BaseException

    @property
    def file_name(self) -> str:
        """Under which it is kept."""
        return f"crash-{sha256(self.data).hexdigest()[:16]}"

    def told(self) -> str:
        """For a person."""
        trace = "".join(traceback.format_exception(self.error))
        return f"{self.data[:400]!r} ({len(self.data)} bytes)\n{trace}"


def attempt(target: Target, data: bytes) -> Finding | None:
    """Give it one input; what is wrong, if anything is."""
    try:
        target.one(data)
    except target.documented:
        return None
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
        return Finding(data, error)
    return None
