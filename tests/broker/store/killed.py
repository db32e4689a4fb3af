"""Killing a process at every point of what it does to files, one run for each point."""

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from itertools import count

POINTS_MAX = 500
"""Far more than anything here has."""

_TOUCHES_FILES = ("open", "os.", "fcntl.", "shutil.", "pathlib.")


def kills(act: Callable[[], object], prepare: Callable[[], None]) -> Iterator[int]:
    """Prepare, and have `act` killed (SIGKILL) at its first point, its second, and so on, until it comes to its end.

    After each kill the number of the point is given. A point is where Python asks the system for something about a
    file (PEP 578).
    """
    for point in count(1):
        assert point < POINTS_MAX
        prepare()
        if not _is_killed(act, point):
            return
        yield point


def _is_killed(act: Callable[[], object], point: int) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child goes on with this thread alone, and that is all
        child = os.fork()
    if child == 0:
        try:
            _die_at(point)
            act()
        except BaseException:  # noqa: BLE001 - nothing of pytest may run on in the child
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "it failed by itself"
    return False


def _die_at(point: int) -> None:
    left = point

    def hook(event: str, _: object) -> None:
        nonlocal left
        if event.startswith(_TOUCHES_FILES):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
