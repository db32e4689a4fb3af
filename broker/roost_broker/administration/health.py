"""How the broker is: the writer, the disk, the clock."""

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import trio

from roost_broker.administration.acts import Act, Acts
from roost_protocol.admin.health import HEALTH, Health
from roost_protocol.admin.route import Route

if TYPE_CHECKING:
    from roost_broker.certificates import Certificates
    from roost_broker.core import Core


class _Disk(NamedTuple):
    free_bytes: int | None
    bytes: int | None


class HealthActs(Acts):
    """The act that looks after the node. Made when the broker starts: the clock is compared with that moment."""

    def __init__(self, core: "Core", certificates: "Certificates | None" = None) -> None:
        super().__init__(core)
        self._certificates = certificates
        self._clock_offset_ms = self._offset_ms()

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {HEALTH: self.show}

    async def show(self) -> Health:
        """Figures to judge the broker by."""
        core = self._core
        store = await core.readers.run(core.store.statistics)
        disk = await core.readers.run(_disk, core.config.data)
        lag = core.batcher.lag()
        return Health(
            pid=os.getpid(),
            started=core.started_ms,
            now=core.now_ms(),
            clock_moved_ms=self._offset_ms() - self._clock_offset_ms,
            queued=lag.queued,
            oldest_queued_ms=_ms(lag.oldest_s),
            commit_under_way_ms=_ms(lag.under_way_s),
            last_commit_ago_ms=None if lag.since_commit_s is None else _ms(lag.since_commit_s),
            commit_refused="" if core.batcher.refused is None else str(core.batcher.refused),
            retention_lag_ms=_ms(core.retention.lag_s),
            store_used_bytes=store.used_bytes,
            store_map_bytes=store.map_bytes,
            store_reserve_bytes=store.reserve_bytes,
            store_damaged=store.damaged,
            disk_free_bytes=disk.free_bytes,
            disk_bytes=disk.bytes,
            certificate_expires=None if self._certificates is None else int(self._certificates.expires_s * 1000),
        )

    def _offset_ms(self) -> int:
        return self._core.now_ms() - int(trio.current_time() * 1000)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _disk(folder: str) -> _Disk:
    """The file system of a folder."""
    try:
        found = os.statvfs(folder)
    except OSError:  # an embedded broker with a store of its own has no folder
        return _Disk(None, None)
    return _Disk(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)
