"""Every reason why a broker is not ready, and that it is again."""

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from broker.house import House, in_house
from roost_broker.audit import AuditLine, AuditLog, NotAudited
from roost_broker.offload import InlineOffload
from roost_broker.readiness import ReadinessCheck
from roost_broker.store import CommitRefused, ReadFailed
from roost_broker.store.memory import MemoryStore
from roost_broker.store.readings import StoreStatistics
from roost_protocol.limits import Limits

SMALL = MemoryStore(limits=Limits(), random=Random(1), map_bytes=2_000, reserve_bytes=500)  # noqa: S311  # for ids


class Looking:
    """A check of a house, with an audit log of its own."""

    def __init__(self, house: House) -> None:
        self._folder = TemporaryDirectory()
        self.path = Path(self._folder.name) / "audit.log"
        self.audit = AuditLog(self.path, InlineOffload(), house.core.now_ms)
        self._check = ReadinessCheck(house.core, self.audit)

    async def reasons(self) -> list[str]:
        found = await self._check.look()
        assert found.ready == (not found.reasons)
        assert all(reason.text and "/" not in reason.text for reason in found.reasons)
        return [reason.reason for reason in found.reasons]

    def close(self) -> None:
        self.audit.close()
        self._folder.cleanup()


@in_house()
async def test_ready_until_it_drains(house: House) -> None:
    looking = Looking(house)
    assert await looking.reasons() == []
    await house.core.drain()
    assert await looking.reasons() == ["draining"]
    looking.close()


@in_house()
async def test_not_while_commits_are_refused(house: House) -> None:
    looking = Looking(house)
    house.store.faults.append(CommitRefused("no space is left in /somewhere"))
    with pytest.raises(CommitRefused):
        await house.broker.trim()
    assert await looking.reasons() == ["commit refused"]
    await house.broker.trim()
    assert await looking.reasons() == []
    looking.close()


@in_house(store=SMALL)
async def test_not_while_there_is_no_room_for_messages(house: House) -> None:
    looking = Looking(house)
    assert await looking.reasons() == []
    alice = await house.log_in("alice")
    await alice.publish(1, "user/bob", "x" * 1_800)
    assert await looking.reasons() == ["no room"]
    looking.close()


@in_house()
async def test_not_when_the_store_cannot_be_read(house: House) -> None:
    looking = Looking(house)

    def statistics() -> StoreStatistics:
        raise ReadFailed("the store in /somewhere is damaged")

    vars(house.store)["statistics"] = statistics
    assert await looking.reasons() == ["store"]
    del vars(house.store)["statistics"]
    assert await looking.reasons() == []
    looking.close()


@in_house()
async def test_not_while_the_audit_log_cannot_be_written(house: House) -> None:
    looking = Looking(house)
    line: dict[str, Any] = {"time": "", "who": "", "role": "", "address": "", "route": "", "names": (), "result": ""}
    looking.path.unlink()
    looking.path.mkdir()
    with pytest.raises(NotAudited):
        await looking.audit.write(AuditLine(**line))
    assert await looking.reasons() == ["audit log"]
    looking.path.rmdir()
    assert await looking.reasons() == []
    assert looking.path.read_bytes().count(b"\n") == 1, "the line that was kept"
    looking.close()
