"""Backups of a broker that runs: copied in a thread, checked in a process of its own, one at a time.

The work belongs to whoever asked for it: when he ends the request, or the broker ends, it is given up, and nothing is
left of it.
"""

import logging
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from roost_broker.administration.acts import Act, Acts, NotDone
from roost_broker.store import CopyFailed, backup_check
from roost_broker.store.backup import Backup
from roost_broker.store.port import Copier
from roost_broker.version import installed_version
from roost_protocol.admin.backup import BACKUP, BackupAsked, BackupRecord, BackupStep, BackupTold
from roost_protocol.admin.route import PROGRAM, Caller, Route
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.core import Core

_log = logging.getLogger(__name__)

TELL_S = 0.5
"""From one event about the progress to the next."""

GIVE_UP_S = 10.0
"""The most that removing what is left of a backup may hold up the end of the broker."""


class Backups(Acts):
    """Acts on backups."""

    def __init__(self, core: "Core") -> None:
        super().__init__(core)
        self._under_way: Path | None = None

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {BACKUP: self.make}

    async def make(self, asked: BackupAsked, caller: Caller = PROGRAM) -> AsyncIterator[BackupTold]:
        """Make a backup: its progress, and what came of it at the end. It is given up when the iterator is closed."""
        del caller
        copier = self._core.store.copier()
        if copier is None:
            raise NotDone(Reason.UNSPECIFIED_ERROR, "this broker keeps nothing on a disk: there is nothing to back up")
        if self._under_way is not None:
            raise NotDone(Reason.ALREADY_EXISTS, self._busy())
        try:
            backup = await trio.to_thread.run_sync(Backup, Path(asked.folder))
        except CopyFailed as error:
            raise NotDone(error.reason, str(error)) from error
        expected = (await self._core.readers.run(self._core.store.statistics)).used_bytes
        return self._told(_Work(backup, copier, expected, self._core.now_ms))

    async def _told(self, work: "_Work") -> AsyncIterator[BackupTold]:
        if self._under_way is not None:  # somebody was faster
            yield work.told("failed", reason=Reason.ALREADY_EXISTS, text=self._busy())
            return
        self._under_way = work.backup.folder
        try:
            self._core.nursery.start_soon(self._do, work)
            async for told in work.receive:
                yield told
        finally:
            work.scope.cancel()

    async def _do(self, work: "_Work") -> None:
        try:
            with work.scope, work.send:
                await work.run()
        finally:
            self._under_way = None

    def _busy(self) -> str:
        return f"a backup to {self._under_way} is being made; there is one at a time"


class _Work:
    """One backup being made."""

    def __init__(self, backup: Backup, copier: Copier, expected: int, now_ms: Callable[[], int]) -> None:
        self.backup = backup
        self.scope = trio.CancelScope()
        self.send, self.receive = trio.open_memory_channel[BackupTold](1)
        self._copier = copier
        self._expected = expected
        self._now_ms = now_ms
        self._bytes = 0
        self._step: BackupStep = "copying"

    def told(self, step: BackupStep, **more: Any) -> BackupTold:
        """What is said of it now."""
        return BackupTold(step=step, bytes=self._bytes, bytes_expected=max(self._expected, self._bytes), **more)

    async def run(self) -> None:
        """Make it, and say how far it is. Never raises, but Cancelled; then nothing is left of it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell)
            try:
                record = await self._make()
            except CopyFailed as error:
                _log.error("no backup was made: %s", error)
                last = self.told("failed", reason=error.reason, text=str(error))
            except Exception:  # noqa: BLE001 - a defect of ours must not end the broker
                _log.exception("no backup was made, for an internal error")
                last = self.told("failed", reason=Reason.UNSPECIFIED_ERROR, text="see the broker's log")
            else:
                _log.info("backup made: %s, %d bytes", self.backup.folder, record.data_bytes)
                last = self.told("done", record=record)
            nursery.cancel_scope.cancel()
        await self.send.send(last)

    async def _make(self) -> BackupRecord:
        made_ms = self._now_ms()
        try:
            await trio.to_thread.run_sync(self.backup.copy, self._copier, self._watch)
            self._step = "checking"
            record = await self._check(made_ms)
            await trio.to_thread.run_sync(self.backup.finish, record)
        except BaseException:
            with trio.move_on_after(GIVE_UP_S, shield=True):
                await trio.to_thread.run_sync(self.backup.give_up, abandon_on_cancel=True)
            raise
        return record

    def _watch(self, written: int) -> None:
        """Called by the thread that copies."""
        trio.from_thread.check_cancelled()
        self._bytes = written

    async def _tell(self) -> None:
        while True:
            await self.send.send(self.told(self._step))
            await trio.sleep(TELL_S)

    async def _check(self, made_ms: int) -> BackupRecord:
        """Have the copy checked and measured by a process of its own. Raises CopyFailed."""
        # -P: nothing is imported from the current folder, which may be anybody's.
        command = [sys.executable, "-P", "-m", backup_check.__name__]
        arguments = [os.fspath(self.backup.partial), str(made_ms), installed_version()]
        try:
            done = await trio.run_process(
                [*command, *arguments], capture_stdout=True, capture_stderr=True, check=False, env=_environment()
            )
        except OSError as error:
            raise CopyFailed(f"cannot start the check of the backup: {error}", Reason.UNSPECIFIED_ERROR) from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            text = said[-1] if said else f"its check ended with status {done.returncode}"
            raise CopyFailed(text, Reason.UNSPECIFIED_ERROR)
        return msgspec.json.decode(done.stdout, type=BackupRecord)


def _environment() -> dict[str, str]:
    """That of this process; and what it imports, the check can import, whatever the program has done to its path."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
