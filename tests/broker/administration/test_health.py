"""The figures that a broker is judged by."""

import os
from pathlib import Path

import trio

from broker.house import House, in_house, in_virtual_time, open_house
from broker.test_retention import Calendar
from roost_broker.config import RetentionConfig


@in_house()
async def test_a_broker_at_rest(house: House) -> None:
    health = await house.broker.admin.health.show()
    assert (health.pid, health.queued, health.oldest_queued_ms, health.commit_under_way_ms) == (os.getpid(), 0, 0, 0)
    assert (health.clock_moved_ms, health.retention_lag_ms) == (0, 0)
    assert health.started <= health.now
    assert (health.disk_free_bytes, health.disk_bytes) == (None, None), "a store in memory has no folder"
    await house.log_in("alice")
    await trio.sleep(7)
    health = await house.broker.admin.health.show()
    assert health.last_commit_ago_ms is not None
    assert 1_000 < health.last_commit_ago_ms < 8_000


@in_house(commit_s=15.0)
async def test_a_writer_that_is_behind(house: House) -> None:
    async with trio.open_nursery() as nursery:
        for name in ("dave", "erin"):
            nursery.start_soon(house.broker.create_user, name, "x")
            await trio.sleep(10)
        health = await house.broker.admin.health.show()
        assert health.queued == 1
        assert 19_000 <= health.commit_under_way_ms <= 20_100
        assert 9_000 <= health.oldest_queued_ms <= 20_100, "to within one commit"


@in_virtual_time
async def test_a_clock_that_was_set() -> None:
    calendar = Calendar()
    async with open_house(now_ms=calendar.now_ms, retention=RetentionConfig(interval_s=9_999)) as house:
        await trio.sleep(50)
        assert abs((await house.broker.admin.health.show()).clock_moved_ms) <= 1
        calendar.skip(days=1)
        assert abs((await house.broker.admin.health.show()).clock_moved_ms - 86_400_000) <= 1


async def test_a_data_folder_is_on_a_disk(tmp_path: Path) -> None:
    import roost

    async with roost.Broker(data=str(tmp_path / "data"), listen="127.0.0.1:0") as broker:
        health = await broker.admin.health.show()
    assert health.disk_free_bytes is not None
    assert health.disk_bytes is not None
    assert 0 < health.disk_free_bytes <= health.disk_bytes
    assert 0 < health.store_used_bytes < health.store_map_bytes
