"""What a disk may hold after the power has failed, built from a recording of one file.

Everything up to the last sync is there. Of the writes after it (and of the one that was under way) any may be there,
in part or not at all, in any order: a disk and a kernel promise nothing else. A write is torn at sectors at most.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

SECTOR_BYTES = 512
"""What a disk writes whole (and LMDB relies on for its meta pages)."""

WRITE, SYNC, TRUNCATE, MARK = 1, 2, 3, 4
_RECORD = struct.Struct("=BBHIQ")


class Event(NamedTuple):
    """One record of the log, see recorder.c."""

    kind: int
    durable: bool
    offset: int
    data: bytes


class Image(NamedTuple):
    """A file as it may be found, and how many batches had been acknowledged by then."""

    content: bytearray
    acknowledged: int
    point: int
    """How many events had happened."""


def read_log(path: Path) -> list[Event]:
    """Every event, in order."""
    data = path.read_bytes()
    events: list[Event] = []
    at = 0
    while at < len(data):
        kind, durable, _, length, offset = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        events.append(Event(kind, bool(durable), offset, data[at : at + length]))
        at += length
    return events


def images(events: list[Event], count: int, random: Random) -> Iterator[Image]:
    """Files that may be found after as many failures, at any moments after the first mark.

    Before that mark, everything written counts as durable.
    """
    first = next(number for number, event in enumerate(events) if event.kind == MARK)
    points = sorted(random.randint(first + 1, len(events)) for _ in range(count))
    content = bytearray()
    unsynced: list[Event] = []
    acknowledged = 0
    for number, event in enumerate([*events, Event(MARK, durable=False, offset=0, data=b"")]):
        while points and points[0] == number:
            yield _image(content, unsynced, event, acknowledged, points.pop(0), random)
        if event.kind == SYNC or number == first:
            for each in unsynced:
                _apply(content, each)
            unsynced = []
        elif event.kind == MARK:
            acknowledged = event.offset
        elif event.durable:
            _apply(content, event)
        else:
            unsynced.append(event)


def _image(
    durable: bytearray, unsynced: list[Event], under_way: Event, acknowledged: int, point: int, random: Random
) -> Image:
    content = bytearray(durable)
    maybe = [*unsynced, under_way] if under_way.kind in (WRITE, TRUNCATE) else unsynced
    for event in _some(maybe, random):
        _apply(content, event)
    return Image(content, acknowledged, point)


def _some(events: list[Event], random: Random) -> Iterator[Event]:
    """Any of them, whole or torn, in any order."""
    share = random.choice((0.0, 0.1, 0.5, 0.9, 1.0))
    chosen = [event for event in events if random.random() < share]
    if random.random() < 0.5:
        random.shuffle(chosen)
    for event in chosen:
        yield from _torn(event, random) if random.random() < 0.3 else (event,)


def _torn(event: Event, random: Random) -> Iterator[Event]:
    """Some of its sectors."""
    if event.kind != WRITE:
        return
    at = 0
    while at < len(event.data):
        length = SECTOR_BYTES - (event.offset + at) % SECTOR_BYTES
        if random.random() < 0.5:
            yield event._replace(offset=event.offset + at, data=event.data[at : at + length])
        at += length


def _apply(content: bytearray, event: Event) -> None:
    if event.kind == TRUNCATE:
        del content[event.offset :]
        content.extend(bytes(event.offset - len(content)))
        return
    end = event.offset + len(event.data)
    if end > len(content):
        content.extend(bytes(end - len(content)))
    content[event.offset : end] = event.data
