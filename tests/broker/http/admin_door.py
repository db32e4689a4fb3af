"""The admin API of a house, as it is served: with an audit log, to whoever may."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgspec

from broker.house import House
from broker.http.speaking import Door, Peer, serving
from roost_broker.audit import AuditLog
from roost_broker.http.admin import AdminApi
from roost_broker.http.callers import Callers
from roost_broker.http.server import Request
from roost_broker.offload import InlineOffload
from roost_broker.readiness import ReadinessCheck
from roost_protocol.admin.route import PROGRAM, Caller


class AdminDoor(NamedTuple):
    """Where admins come in, and the log of what they did."""

    door: Door
    path: Path

    def dial(self, *, lockstep: bool = False) -> Peer:
        """See `Door.dial`."""
        return self.door.dial(lockstep=lockstep)

    def audited(self) -> list[Any]:
        """Every line of the audit log."""
        return [msgspec.json.decode(line) for line in self.path.read_bytes().splitlines()]


def acting(caller: Caller = PROGRAM) -> Callers:
    """Whoever asks, it is this one."""

    async def callers(_: Request) -> Caller:
        return caller

    return callers


@asynccontextmanager
async def admin_door(house: House, callers: Callers | None = None) -> AsyncIterator[AdminDoor]:
    """The admin API for whom `callers` say; by default for the program, which may everything."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "audit.log"
        audit = AuditLog(path, InlineOffload(), house.core.now_ms)
        api = AdminApi(house.broker.admin, callers or acting(), audit, ReadinessCheck(house.core, audit))
        async with serving(api.respond, house.core.limits) as door:
            yield AdminDoor(door, path)
        audit.close()
