"""What is in memory stays there: passwords, tokens, keys and messages are in no core dump, and in no debugger.

A limit on the size of core dumps is not enough: where the kernel hands them to a program (systemd-coredump, apport), it
does not look at it. A process that is not dumpable leaves none at all, and of its `/proc` other processes of the same
user can read neither memory nor environment.
"""

import ctypes
import os
import resource

from roost_admin.failures import EX_CONFIG, Failure

PR_SET_DUMPABLE = 4
"""prctl(2); from <linux/prctl.h>."""


def keep_memory_private() -> None:
    """Forbid core dumps of this process, and that others of the same user look into it. Raises Failure."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
        why = os.strerror(ctypes.get_errno())
        raise Failure(f"core dumps cannot be forbidden ({why}); to do without, set core_dumps = true", EX_CONFIG)
