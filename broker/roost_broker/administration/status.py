"""The broker as a whole."""

import os
from typing import TYPE_CHECKING, Any

from roost_broker.administration.acts import Act, Acts
from roost_broker.version import installed_version
from roost_protocol.admin.route import Route
from roost_protocol.admin.status import STATUS, BrokerStatus

if TYPE_CHECKING:
    from roost_broker.core import Core
    from roost_broker.server import Server


class Status(Acts):
    """The state of the node."""

    def __init__(self, core: "Core", server: "Server", listeners: list[str]) -> None:
        super().__init__(core)
        self._server = server
        self._listeners = listeners

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {STATUS: self.show}

    async def show(self) -> BrokerStatus:
        """The broker as a whole."""
        core = self._core
        store = await core.readers.run(core.store.statistics)
        return BrokerStatus(
            version=installed_version(),
            pid=os.getpid(),
            started=core.started_ms,
            listeners=tuple(self._listeners),
            draining=core.draining,
            connections=self._server.connections,
            sessions=len(core.directory),
            published=core.published,
            users=store.users,
            devices=store.devices,
            groups=store.groups,
            messages=store.messages,
            store_used_bytes=store.used_bytes,
            store_map_bytes=store.map_bytes,
        )
