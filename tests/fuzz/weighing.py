"""How much memory a case takes at most: what `tracemalloc` sees from the moment at which the target stands.

A target puts `weighed(data)` around the part that touches what it is given; whoever wants to know calls `weigh`. When
nobody does, `weighed` costs next to nothing.
"""

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_peaks: list[int] = []


@contextmanager
def weighed() -> Iterator[None]:
    """What is done in the block is what is weighed."""
    if not tracemalloc.is_tracing():
        yield
        return
    gc.disable()  # or what was garbage before would make room for what comes
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    try:
        yield
    finally:
        _, peak = tracemalloc.get_traced_memory()
        _peaks.append(peak - before)
        gc.enable()


def weigh(one: Callable[[bytes], object], data: bytes, expected: tuple[type[Exception], ...]) -> int:
    """The most bytes that a case took at once, beside what was there before. `expected` may come out of it."""
    _peaks.clear()
    tracemalloc.start()
    try:
        one(data)
    except expected:
        pass
    finally:
        tracemalloc.stop()
    assert _peaks, "the target weighs nothing"
    return max(_peaks)
