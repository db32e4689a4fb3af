"""Memory of the C library that is free, and not the kernel's: given back after a rush is over.

What is larger than 512 bytes (buffers of what slow devices have not read, frames, pages) comes from malloc, and glibc
keeps what was freed, unless it lies at the very end of its heap. After a rush that may be most of what there was at its
height. Elsewhere than with glibc nothing is done.
"""

import ctypes
from typing import ClassVar

import trio

LOOK_EVERY_S = 10.0

FREE_BYTES_MAX = 16 * 2**20
"""So much may be free and kept: it will be used again soon, and giving it back costs a page fault for each 4 KiB."""


class _Mallinfo2(ctypes.Structure):
    """`struct mallinfo2` (mallinfo(3)), of which only `fordblks` is of interest: free bytes in the heaps."""

    _fields_: ClassVar = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip

    fordblks: int


class Heap:
    """What malloc has free in this process."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._trim = getattr(library, "malloc_trim", None)
        self._info = getattr(library, "mallinfo2", None)  # since glibc 2.33
        if self._info is not None:
            self._info.restype = _Mallinfo2
        self._least_free = self._free_bytes()

    def give_back(self) -> bool:
        """Give free memory back to the kernel if more than `FREE_BYTES_MAX` has become free; whether it had.

        Milliseconds, in which nobody else gets memory from malloc: call it seldom, and in a thread.
        """
        free = self._free_bytes()
        self._least_free = min(self._least_free, free)
        if self._trim is None or free - self._least_free <= FREE_BYTES_MAX:
            return False
        self._trim(ctypes.c_size_t(0))
        self._least_free = self._free_bytes()  # what the kernel has still counts as free
        return True

    def _free_bytes(self) -> int:
        if self._info is None:
            return 0
        info: _Mallinfo2 = self._info()
        return info.fordblks


async def keep_giving_back() -> None:
    """Look now and then, until cancelled."""
    heap = Heap()
    while True:
        await trio.sleep(LOOK_EVERY_S)
        await trio.to_thread.run_sync(heap.give_back)
