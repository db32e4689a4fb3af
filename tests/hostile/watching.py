"""What a process has of the machine, as the kernel says it, and the most that it had at any time."""

import os
import threading
from typing import NamedTuple, Self

from roost_benchmarks.machine import rss_anon_bytes

LOOK_EVERY_S = 0.1


class Has(NamedTuple):
    """Memory of its own, without pages of the store, and open file descriptors."""

    rss_bytes: int
    fds: int


def has(pid: int) -> Has:
    """What it has now."""
    return Has(rss_anon_bytes(pid), len(os.listdir(f"/proc/{pid}/fd")))


class Watcher:
    """Looks at a process again and again, in a thread, as long as it is entered."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self.before = has(pid)
        self.most = self.before

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            try:
                now = has(self._pid)
            except OSError:
                return  # it has ended
            self.most = Has(max(self.most.rss_bytes, now.rss_bytes), max(self.most.fds, now.fds))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
