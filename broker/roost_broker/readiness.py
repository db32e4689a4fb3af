"""Whether the node is ready for work, and every reason why not: what `/readyz` says."""

from roost_broker.audit import AuditLog, NotAudited
from roost_broker.core import Core
from roost_broker.store.errors import ReadFailed
from roost_protocol.admin.health import NotReady, Readiness


class ReadinessCheck:
    """Looks at the parts of a node. What it says is said to anybody: no paths, and nothing that was stored."""

    def __init__(self, core: Core, audit: AuditLog) -> None:
        self._core = core
        self._audit = audit

    async def look(self) -> Readiness:
        """How it stands now. Safe to cancel."""
        reasons = [
            reason for reason in (self._draining(), self._refused(), await self._store(), await self._log()) if reason
        ]
        return Readiness(ready=not reasons, reasons=tuple(reasons))

    def _draining(self) -> NotReady | None:
        if not self._core.draining:
            return None
        return NotReady(reason="draining", text="the broker shuts down")

    def _refused(self) -> NotReady | None:
        refused = self._core.batcher.refused
        if refused is None:
            return None
        return NotReady(reason="commit refused", text=f"the last commit was not done: {refused.reason.phrase}")

    async def _store(self) -> NotReady | None:
        core = self._core
        try:
            statistics = await core.readers.run(core.store.statistics)
        except ReadFailed:
            return NotReady(reason="store", text="the store cannot be read; the broker's log says more")
        if statistics.has_room:
            return None
        return NotReady(
            reason="no room", text="messages are refused: only the reserve is left in the store or on its disk"
        )

    async def _log(self) -> NotReady | None:
        try:
            await self._audit.recover()
        except NotAudited as error:
            return NotReady(reason="audit log", text=str(error))
        return None
