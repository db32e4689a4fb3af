"""Checking the store while the broker works."""

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import trio

from roost_broker.administration.acts import Act, Acts, NotDone
from roost_broker.store.port import CheckEvent
from roost_protocol.admin.fsck import FSCK, Finding, FsckEvent, FsckHow, FsckProgress, FsckVerdict
from roost_protocol.admin.route import PROGRAM, Caller, Route
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.core import Core

WORK_S = 0.0005
"""The thread of a check works so long at a time: meanwhile the event loop may have to wait for the interpreter's lock,
which a thread that works longer keeps for up to 5 ms. With 5 ms of work the p99 of messages beside a check was 2.6 ×
that without one, with half a millisecond 1.4 × (docs/performance.md, W9)."""

CORE_SHARE = 0.3
"""Of its time the thread of a check works so much, and rests for the rest, unless it is told to be fast."""

FAST_WORK_S = 0.05
"""The same, when it is: in between, the event loop notices that nobody listens any more."""

PROGRESS_S = 0.5
"""How far it is, is told so often."""

FINDINGS_AT_ONCE = 100
"""Findings taken from the thread at a time: whoever listens slowly makes the check wait."""


class Pace(NamedTuple):
    """How a check shares the machine: seconds of work at a time, and what part of all time that is."""

    work_s: float
    share: float

    def rest_s(self, worked_s: float) -> float:
        """How long to rest after so much work."""
        return worked_s * (1 - self.share) / self.share


class Fsck(Acts):
    """Checks of the whole store."""

    def __init__(self, core: "Core") -> None:
        super().__init__(core)
        self._place = trio.Semaphore(1)
        """Whoever checks the store has it."""

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {FSCK: self.check}

    async def check(self, how: FsckHow | None = None, caller: Caller = PROGRAM) -> AsyncGenerator[FsckEvent, None]:
        """Begin a check of the store as it is when the first event is asked for.

        One at a time: until the events end, or are closed. Raises NotDone.
        """
        del caller
        if self._place.value == 0:
            raise NotDone(Reason.ALREADY_EXISTS, "the store is being checked already; one check at a time")
        fast = how is not None and how.fast
        return self._events(Pace(FAST_WORK_S, 1.0) if fast else Pace(WORK_S, CORE_SHARE))

    async def _events(self, pace: Pace) -> AsyncGenerator[FsckEvent, None]:
        """What is found, how far it is now and then, and the verdict; for `contextlib.aclosing`. Raises ReadFailed."""
        progress_due = trio.current_time()
        async with self._place:  # two may have asked in one moment
            with closing(self._core.store.check()) as steps:
                while True:
                    done = await self._core.checker.run(_work, steps, pace.work_s)
                    for finding in done.findings:
                        yield FsckEvent(finding=finding)
                    if done.verdict is not None:
                        yield FsckEvent(verdict=done.verdict)
                        return
                    if done.progress is not None and trio.current_time() >= progress_due:
                        progress_due = trio.current_time() + PROGRESS_S
                        yield FsckEvent(progress=done.progress)
                    await trio.sleep(pace.rest_s(done.worked_s))


class _Done(NamedTuple):
    """What a while of work has come to."""

    findings: list[Finding]
    progress: FsckProgress | None
    verdict: FsckVerdict | None
    worked_s: float


def _work(steps: Iterator[CheckEvent], work_s: float) -> _Done:
    """Check for so long, or until there is enough to tell; in the thread."""
    began = time.monotonic()
    findings: list[Finding] = []
    progress: FsckProgress | None = None
    verdict: FsckVerdict | None = None
    for step in steps:
        match step:
            case FsckProgress():
                progress = step
            case FsckVerdict():
                verdict = step
            case Finding():
                findings.append(step)
        if len(findings) >= FINDINGS_AT_ONCE or time.monotonic() - began >= work_s:
            break
    return _Done(findings, progress, verdict, time.monotonic() - began)
