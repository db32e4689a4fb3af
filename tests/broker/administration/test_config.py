"""What is in force, and what a reload makes of it: all of it in use, or nothing changed and the reason said."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from broker.house import CHEAP_PASSWORDS, Device, House, in_house, in_virtual_time
from roost_broker.administration import NotDone
from roost_broker.app import Broker
from roost_broker.config import Config, ConfigurationError, RetentionConfig
from roost_broker.core import Surroundings
from roost_broker.offload import InlineOffload
from roost_broker.process import Process
from roost_broker.settings import Settings, Source, settings_of
from roost_broker.store.memory import MemoryStore
from roost_broker.transport.memory import MemoryListener
from roost_protocol.admin.config import ConfigRow
from roost_protocol.frames import Connack, Connect
from roost_protocol.limits import KIB, Limits
from roost_protocol.reasons import Reason

BEFORE = Config(passwords=CHEAP_PASSWORDS, limits=Limits(connections_max=100, connections_before_login_max=50))


class Machine:
    """A process with a broker in it, and a configuration that can be changed."""

    def __init__(self, config: Config) -> None:
        self.read: Callable[[], Settings] = lambda: settings_of(config)
        self.adopted: list[Config] = []
        self.listener = MemoryListener()
        self.process = Process(reread=self._reread, adopt=self.adopted.append, end=lambda: None)
        random = Random(1)  # noqa: S311
        self.broker = Broker(
            config,
            store=MemoryStore(limits=config.limits, random=random),
            listeners=[self.listener],
            surroundings=Surroundings(
                now_ms=lambda: 1_700_000_000_000, random=random, offload=lambda _: InlineOffload()
            ),
            admin_socket=False,
            process=self.process,
        )

    def _reread(self) -> Settings:
        return self.read()

    def change(self, **values: Any) -> None:
        """From now on this is read."""
        self.read = lambda: settings_of(replace(BEFORE, **values))

    async def values(self) -> dict[str, ConfigRow]:
        return {row.key: row for row in (await self.broker.admin.configuration.show()).values}

    async def log_in(self, terminal: str = "pc") -> Connack:
        device = Device(await self.listener.dial())
        await device.say(Connect(user="alice", password="x", terminal=terminal, device=terminal))
        return await device.expect(Connack)


@asynccontextmanager
async def machine(config: Config = BEFORE) -> AsyncIterator[Machine]:
    made = Machine(config)
    async with made.broker:
        await made.broker.create_user("alice", "x")
        yield made


@in_virtual_time
async def test_what_can_change_changes_and_is_used() -> None:
    async with machine() as here:
        core = here.broker.core
        assert (await here.log_in("tv")).granted is not None
        changed = Config(
            passwords=CHEAP_PASSWORDS,
            terminal_types=("pc", "desk"),
            drain_s=1.5,
            log_level="ERROR",
            retention=RetentionConfig(count=5),
            limits=Limits(connections_max=200, connections_before_login_max=50, keepalive_s=30, takeovers_max=2),
        )
        here.read = lambda: settings_of(changed)
        done = await here.broker.admin.configuration.reload()
        assert [change.key for change in done.applied] == [
            "terminal_types",
            "drain_s",
            "log_level",
            "retention.count",
            "limits.keepalive_s",
            "limits.connections_max",
            "limits.takeovers_max",
        ]
        assert done.needs_restart == ()
        assert (done.applied[1].before, done.applied[1].after, done.applied[1].effect) == (5, 1.5, "at once")
        assert core.config == changed
        assert here.adopted == [changed]
        assert core.limits.connections_max == 200
        refused = await here.log_in("tv")
        assert refused.reason == Reason.UNKNOWN_TERMINAL_TYPE
        granted = (await here.log_in("desk")).granted
        assert granted is not None
        assert granted.keepalive_s == 30
        for at in (0, 1):
            core.damper.record(1, "desk", at)
        assert core.damper.wait_s(1, "desk", 2) is not None


@in_virtual_time
async def test_what_cannot_change_is_said_and_stays() -> None:
    async with machine() as here:
        limits = replace(BEFORE.limits, publish_max=8, listing_max=5)
        here.change(data="elsewhere", listen="127.0.0.1:1", limits=limits)
        done = await here.broker.admin.configuration.reload()
        assert [change.key for change in done.applied] == ["limits.listing_max"]
        assert [change.key for change in done.needs_restart] == ["data", "listen", "limits.publish_max"]
        assert {change.effect for change in done.needs_restart} == {"restart"}
        assert here.broker.core.config == replace(BEFORE, limits=replace(BEFORE.limits, listing_max=5))
        granted = (await here.log_in()).granted
        assert granted is not None
        assert granted.publish_max == BEFORE.limits.publish_max
        rows = await here.values()
        assert (rows["data"].value, rows["data"].pending) == (BEFORE.data, "elsewhere")
        assert (rows["limits.listing_max"].value, rows["limits.listing_max"].pending) == (5, None)
        again = await here.broker.admin.configuration.reload()
        assert (again.applied, again.needs_restart) == ((), done.needs_restart)
        here.change()
        back = await here.broker.admin.configuration.reload()
        assert [change.key for change in back.applied] == ["limits.listing_max"]
        assert back.needs_restart == ()
        assert (await here.values())["data"].pending is None


@in_virtual_time
async def test_a_reload_that_fails_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with machine() as here:

        def unreadable() -> Settings:
            raise ConfigurationError("roost.toml: unknown key 'x'")

        before = await here.values()
        here.read = unreadable
        with pytest.raises(NotDone, match=r"as it was: roost\.toml: unknown key 'x'"):
            await here.broker.admin.configuration.reload()
        assert await here.values() == before
        assert here.broker.core.config == BEFORE
        assert here.adopted == []
    assert any("as it was" in record.getMessage() for record in caplog.records if record.levelno == logging.ERROR)


@in_virtual_time
async def test_what_does_not_fit_with_what_stays_is_not_taken() -> None:
    """Fit by itself; but the larger frame needs a restart, and without it a CONNECT would be larger than a frame."""
    small = Limits(frame_bytes_max=8 * KIB, body_bytes_max=1 * KIB)
    config = Config(passwords=CHEAP_PASSWORDS, limits=small)
    async with machine(config) as here:
        larger = replace(small, frame_bytes_max=32 * KIB, connect_bytes_max=16 * KIB)
        here.read = lambda: settings_of(replace(config, limits=larger, drain_s=1))
        with pytest.raises(NotDone, match=r"limits\.connect_bytes_max"):
            await here.broker.admin.configuration.reload()
        assert here.broker.core.config == config


@in_house()
async def test_a_broker_in_a_program_has_nothing_to_read_again(house: House) -> None:
    with pytest.raises(NotDone, match="part of another program"):
        await house.broker.admin.configuration.reload()
    with pytest.raises(NotDone, match="part of another program"):
        await house.broker.admin.drains.drain()


@in_house(drain_s=3, limits={"fetch_max": 9})
async def test_every_value_is_shown(house: House) -> None:
    rows = {row.key: row for row in (await house.broker.admin.configuration.show()).values}
    assert (rows["drain_s"].value, rows["drain_s"].origin, rows["drain_s"].default) == (3, "program", 5)
    assert rows["drain_s"].unit == "seconds"
    fetch = rows["limits.fetch_max"]
    assert (fetch.value, fetch.default, fetch.unit, fetch.at_least, fetch.at_most) == (9, 200, "entries", 1, 1_000)
    assert fetch.reason == "entries in one PAGE"
    assert rows["listen"].origin == "default"
    assert {row.name for row in Limits.table()} == {key[7:] for key in rows if key.startswith("limits.")}


def test_where_a_value_comes_from_is_kept_through_a_reload() -> None:
    source = Source("file", "roost.toml")
    settings = Settings(replace(BEFORE, drain_s=2), {"drain_s": source})

    @in_virtual_time
    async def check() -> None:
        async with machine() as here:
            here.read = lambda: settings
            await here.broker.admin.configuration.reload()
            row = (await here.values())["drain_s"]
            assert (row.value, row.origin, row.source) == (2, "file", "roost.toml")

    check()
