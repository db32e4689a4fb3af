"""Cases out of a seed: what is there already, changed a little. Fast, since there are 100,000 of them in seconds.

Each case begins with a known input. What is done to it is what breaks readers of bytes: single bits, bytes at their
bounds, lengths that are not so, parts cut out, doubled, or taken from elsewhere, and words that mean something.
The same seed gives the same cases.
"""

from collections.abc import Callable, Iterator, Sequence
from random import Random

_BOUNDS = (0, 1, 0x0F, 0x1F, 0x7E, 0x7F, 0x80, 0x8F, 0xC0, 0xC1, 0xD9, 0xFE, 0xFF)
_LENGTHS = (0, 1, 125, 126, 127, 255, 256, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1)
_STEPS_MAX = 4

_Change = Callable[[Random, bytearray, Sequence[bytes]], None]


def cases(seed: int, corpus: Sequence[bytes], tokens: Sequence[bytes] = (), bytes_max: int = 4_096) -> Iterator[bytes]:
    """Cases without end."""
    random = Random(seed)  # noqa: S311 - for cases, not for secrets
    known = [each[:bytes_max] for each in corpus] or [b""]
    words = tuple(tokens) or (b"\0",)
    while True:
        yield mutated(random, random.choice(known), known, words)[:bytes_max]


def mutated(random: Random, data: bytes, known: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """An input, changed in a few places. `known` are those to take parts from."""
    changed = bytearray(data)
    for _ in range(1 + int(random.random() * _STEPS_MAX)):
        kind = int(random.random() * len(_CHANGES))
        _CHANGES[kind](random, changed, known if kind == _SPLICE else words)
    return bytes(changed)


def _at(random: Random, data: bytearray) -> int:
    return int(random.random() * (len(data) + 1))


def _flip(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[_at(random, data) - 1] ^= 1 << int(random.random() * 8)


def _bound(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[_at(random, data) - 1] = _BOUNDS[int(random.random() * len(_BOUNDS))]


def _any(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[_at(random, data) - 1] = int(random.random() * 256)


def _length(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    size = (1, 2, 4, 8)[int(random.random() * 4)]
    value = _LENGTHS[int(random.random() * len(_LENGTHS))] & ((1 << 8 * size) - 1)
    start = _at(random, data)
    data[start : start + size] = value.to_bytes(size, "big")


def _add(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    start = _at(random, data)
    data[start:start] = random.randbytes(1 + int(random.random() * 8))


def _cut(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    start = _at(random, data)
    del data[start : start + 1 + int(random.random() * 16)]


def _end(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[_at(random, data) :]


def _double(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    start = _at(random, data)
    part = data[start : start + 1 + int(random.random() * 64)]
    at = _at(random, data)
    data[at:at] = part


def _word(random: Random, data: bytearray, words: Sequence[bytes]) -> None:
    word = words[int(random.random() * len(words))]
    start = _at(random, data)
    data[start : start + (len(word) if random.random() < 0.5 else 0)] = word


def _splice(random: Random, data: bytearray, known: Sequence[bytes]) -> None:
    other = known[int(random.random() * len(known))]
    data[_at(random, data) :] = other[int(random.random() * (len(other) + 1)) :]


_CHANGES: tuple[_Change, ...] = (_flip, _bound, _any, _length, _add, _cut, _end, _double, _word, _splice)
_SPLICE = _CHANGES.index(_splice)
