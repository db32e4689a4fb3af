"""The trace of a run: everything that happened, in order, with its virtual time, and one hash of it all.

Two runs are the same if their hashes are: the hash takes in every line with its time, to the microsecond.
"""

from hashlib import blake2b
from typing import NamedTuple

import trio

from roost.oracle import AnyEvent, History, Recorder


class Line(NamedTuple):
    """One thing that happened. `event`: its index in the history, where the oracle is told of it."""

    at_s: float
    who: str
    """A device, `broker`, `network`, or `fault`."""
    text: str
    event: int | None = None


class Trace:
    """Collects lines, and the history that the oracle judges beside them."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._recorder = Recorder(trims_known=True)
        self._hash = blake2b(digest_size=16)

    def note(self, who: str, text: str) -> None:
        """Something happened that the oracle need not know of."""
        self._add(who, text, None)

    def record(self, event: AnyEvent) -> None:
        """Something happened that the oracle has to know of."""
        index = len(self._recorder.events)
        self._recorder.record(event)
        self._add(_who(event), _words(event), index)

    def history(self) -> History:
        """Everything recorded so far."""
        return self._recorder.history()

    @property
    def digest(self) -> str:
        """The hash of all lines so far, 32 hexadecimal digits."""
        return self._hash.hexdigest()

    def _add(self, who: str, text: str, index: int | None) -> None:
        line = Line(trio.current_time(), who, text, index)
        self.lines.append(line)
        self._hash.update(f"{line.at_s:.6f} {who} {text}\n".encode())


def _who(event: AnyEvent) -> str:
    return str(getattr(event, "device", None) or "broker")


def _words(event: AnyEvent) -> str:
    """`Delivered seq=3 id=…`: what differs from the default."""
    fields = (
        f"{name}={value!r}"
        for name in event.__struct_fields__
        if name != "device" and (value := getattr(event, name)) not in (None, False)
    )
    return " ".join((type(event).__name__, *fields))
