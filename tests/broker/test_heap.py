"""Memory that is free goes back to the kernel."""

import os

from roost_benchmarks.machine import rss_anon_bytes
from roost_broker.heap import FREE_BYTES_MAX, Heap

PIECE = 16 * 1024
"""Below what malloc asks the kernel for by itself, and gives back by itself."""


def test_a_rush_that_is_over_leaves_little() -> None:
    heap = Heap()
    rush = [bytearray(os.urandom(PIECE)) for _ in range(8 * FREE_BYTES_MAX // PIECE)]
    at_its_height = rss_anon_bytes(os.getpid())
    assert not heap.give_back(), "all of it is in use"
    last = rush[-1:]  # at the end of the heap, so that nothing before it goes back by itself
    del rush
    kept = rss_anon_bytes(os.getpid())
    assert heap.give_back()
    left = rss_anon_bytes(os.getpid())
    assert at_its_height - left > 6 * FREE_BYTES_MAX, (at_its_height, kept, left)
    assert len(last[0]) == PIECE
    assert not heap.give_back(), "there is nothing left to give back"
