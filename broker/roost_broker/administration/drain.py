"""Letting the broker come to its end."""

import logging
from typing import TYPE_CHECKING, Any

from roost_broker.administration.acts import Act, Acts, NotDone
from roost_protocol.admin.drain import DRAIN, Drain, Draining
from roost_protocol.admin.route import PROGRAM, Caller, Route
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.core import Core
    from roost_broker.process import Process
    from roost_broker.server import Server

_log = logging.getLogger(__name__)


class Drains(Acts):
    """The end."""

    def __init__(self, core: "Core", server: "Server", process: "Process | None") -> None:
        super().__init__(core)
        self._server = server
        self._process = process

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {DRAIN: self.drain}

    async def drain(self, asked: Drain | None = None, caller: Caller = PROGRAM) -> Draining:
        """Begin to drain, as on SIGTERM; who is there to be told."""
        del asked
        if self._process is None:
            text = "this broker is part of another program, which ends it: end that"
            raise NotDone(Reason.UNSPECIFIED_ERROR, text)
        _log.info("drain, asked for by %s", caller.name)
        core = self._core
        draining = Draining(
            sessions=len(core.directory), connections=self._server.connections, grace_s=core.config.drain_s
        )
        self._process.end()
        return draining
