"""The client library and the real broker, in one process, over a network in memory, in virtual time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
import trio
import trio.testing
from msgspec import structs

import roost
from client.scripted import next_of
from roost_broker.config import Config, PasswordConfig, RetentionConfig
from roost_broker.core import Surroundings
from roost_broker.offload import InlineOffload
from roost_broker.store import Store
from roost_broker.store.memory import MemoryStore
from roost_broker.transport.memory import MemoryListener, MemoryStream
from roost_protocol.limits import Limits
from roost_protocol.reasons import Reason

EPOCH_MS = 1_700_000_000_000
CONFIG = Config(
    passwords=PasswordConfig(memory_kib=8, passes=1),
    drain_s=1,
)


class _Town:
    """One broker after the other on one store, and the devices that dial it."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.random = Random(5)  # noqa: S311
        self.store: Store = MemoryStore(limits=CONFIG.limits, random=self.random)
        self.nursery = nursery
        self.config = CONFIG
        self.listener: MemoryListener | None = None
        self.broker: roost.Broker | None = None
        self.streams: dict[str, MemoryStream] = {}
        self._stop = trio.Event()
        self._up = trio.Event()
        self._down = trio.Event()

    async def start(self) -> roost.Broker:
        """Start a broker."""
        self._stop, self._up, self._down = trio.Event(), trio.Event(), trio.Event()
        self.nursery.start_soon(self._run)
        await self._up.wait()
        assert self.broker is not None
        return self.broker

    async def stop(self) -> None:
        """Stop it, as SIGTERM would."""
        self._stop.set()
        await self._down.wait()

    async def _run(self) -> None:
        self.listener = MemoryListener()
        around = Surroundings(
            now_ms=lambda: EPOCH_MS + int(trio.current_time() * 1_000),
            random=self.random,
            offload=lambda threads: InlineOffload(serial=threads == 1),
        )
        async with roost.Broker(
            self.config, store=self.store, listeners=[self.listener], surroundings=around, admin_socket=False
        ) as self.broker:
            self._up.set()
            await self._stop.wait()
        self.listener = None
        self._down.set()

    def cut(self, device: str) -> None:
        """Break the connection of this device."""
        self.streams[device].cut()

    @asynccontextmanager
    async def device(self, user: str, device: str, **arguments: Any) -> AsyncIterator[roost.Session]:
        """Log `user` in; the terminal type is the first word of the device's id."""

        async def dial() -> trio.abc.Stream:
            if self.listener is None:
                raise ConnectionRefusedError("nobody is there")
            self.streams[device] = await self.listener.dial(device)
            return self.streams[device]

        terminal = device.partition("-")[0]
        plain: dict[str, Any] = {"password": "correct horse", "random": self.random, "device": device}
        async with roost.connect(
            "memory:1", user=user, terminal=terminal, dial=dial, **{**plain, **arguments}
        ) as session:
            yield session


@pytest.fixture
async def town(nursery: trio.Nursery) -> AsyncIterator[_Town]:
    town = _Town(nursery)
    broker = await town.start()
    for user in ("alice", "bob", "carol"):
        await broker.create_user(user, "correct horse")
    yield town
    await town.stop()


async def _messages(session: roost.Session, count: int) -> list[roost.Message]:
    return [await next_of(session, roost.Message) for _ in range(count)]


def _told(messages: list[roost.Message]) -> list[tuple[int, str, str, object, bool]]:
    return [(message.seq, message.sender, message.to, message.body, message.own) for message in messages]


async def test_a_whole_round_trip_shows_every_device_both_sides(town: _Town, autojump_clock: object) -> None:
    async with (
        town.device("alice", "phone-a") as phone,
        town.device("alice", "pc-a") as pc,
        town.device("bob", "phone-b") as bob,
    ):
        receipt = await phone.publish("user/bob", "hi bob")
        await bob.publish("user/alice", "hi alice")
        await pc.create_group("team", ["bob", "carol"])
        await bob.publish("group/team", b"\x00data")
        alices = [
            (1, "alice", "user/bob", "hi bob", True),
            (2, "bob", "user/alice", "hi alice", False),
            (3, "bob", "group/team", b"\x00data", False),
        ]
        assert _told(await _messages(phone, 3)) == _told(await _messages(pc, 3)) == alices
        messages = await _messages(bob, 3)
        assert [message.conversation for message in messages] == ["user/alice", "user/alice", "group/team"]
        assert messages[0].id == receipt.id
        assert messages[2].content_type == "application/octet-stream"
    async with town.device("carol", "pad-c") as late:
        assert _told(await _messages(late, 1)) == [(1, "bob", "group/team", b"\x00data", False)]


async def test_publishes_survive_cuts_and_a_restart_of_the_broker(town: _Town, autojump_clock: object) -> None:
    texts = [f"{i}" for i in range(12)]
    async with town.device("alice", "phone-a") as phone, town.device("bob", "pc-b") as bob:

        async def disturb() -> None:
            for _ in range(3):
                await trio.sleep(0.7)
                town.cut("phone-a")
            await town.stop()
            await trio.sleep(2)
            await town.start()

        async def publish() -> None:
            for text in texts:
                await phone.publish("user/bob", text)
                await trio.sleep(0.3)

        async with trio.open_nursery() as tasks:
            tasks.start_soon(disturb)
            tasks.start_soon(publish)
            received = await _messages(bob, len(texts))
        assert [message.body for message in received] == texts
        assert [message.body for message in await _messages(phone, len(texts))] == texts
        assert phone.unsettled == ()
        assert phone.statistics().connects >= 3


async def test_a_second_phone_takes_over_and_the_first_stays_away(town: _Town, autojump_clock: object) -> None:
    async with town.device("alice", "phone-a") as first:
        await next_of(first, roost.Connected)
        async with town.device("alice", "phone-b") as second:
            connected = await next_of(second, roost.Connected)
            assert connected.took_over.by == "phone-a"
            taken = await next_of(first, roost.TakenOver)
            assert (taken.by, taken.address.partition(":")[0]) == ("phone-b", "phone-b")
            await trio.sleep(600)
            assert second.connected
            with pytest.raises(roost.SessionEnded):
                await first.publish("user/bob", "too late")


async def test_a_device_logs_itself_out(town: _Town, autojump_clock: object) -> None:
    state = roost.MemoryState()
    async with town.device("alice", "phone-a", state=state, want_token=True) as phone:
        await phone.publish("user/alice", "note")
        page = await phone.fetch()
        assert ([entry.body for entry in page.entries], page.floor, page.head) == (["note"], 1, 1)
        await phone.set_password("correct horse", "battery staple")
    async with town.device("alice", "phone-a", password=None, state=state) as phone:  # with the token in the state
        await phone.log_out("phone-a")
        assert (await next_of(phone, roost.Ended)).reason is Reason.LOGGED_OUT


async def test_a_stopping_broker_is_waited_for(town: _Town, autojump_clock: object) -> None:
    async with town.device("alice", "phone-a") as phone:
        await town.stop()
        lost = await next_of(phone, roost.Disconnected)
        assert lost.reason is Reason.SERVER_SHUTTING_DOWN
        publication = phone.publish_nowait("user/bob", "written while the broker was down")
        await trio.sleep(5)
        await town.start()
        assert (await publication.settled()).seq == 1


async def test_a_slow_device_gets_everything_within_its_window(town: _Town, autojump_clock: object) -> None:
    async with (
        town.device("bob", "phone-b") as bob,
        town.device("alice", "phone-a", receive_max=2) as slow,
        town.device("alice", "pc-a", receive_max=2, auto_acknowledge=False) as manual,
    ):
        for i in range(15):
            await bob.publish("user/alice", f"{i}")
        await trio.sleep(1)
        assert slow.statistics().entries_waiting == manual.statistics().entries_waiting == 2
        assert [message.seq for message in await _messages(slow, 15)] == [*range(1, 16)]
        for seq in range(1, 16):
            assert (await next_of(manual, roost.Message)).seq == seq
            await manual.acknowledge(seq)


async def test_many_publishers_at_once(town: _Town, autojump_clock: object) -> None:
    async with town.device("alice", "phone-a") as phone, town.device("bob", "pc-b") as bob:
        receipts: list[roost.Receipt] = []

        async def publish(i: int) -> None:
            receipts.append(await phone.publish("user/bob", f"{i}"))

        async with trio.open_nursery() as publishers:
            for i in range(600):
                publishers.start_soon(publish, i)
        received = await _messages(bob, 600)
        assert {message.id for message in received} == {receipt.id for receipt in receipts}
        assert [message.n for message in await _messages(phone, 600)] == [*range(1, 601)]


async def test_who_publishes_too_much_is_slowed_and_loses_neither_messages_nor_their_order(
    town: _Town, autojump_clock: object
) -> None:
    """First the broker does not read on, then it says when to try again; whoever uses the library sees neither."""
    limits = Limits(user_messages_max=10, user_rate_window_s=10, rate_wait_max_s=5)
    town.config = structs.replace(CONFIG, limits=limits, retention=RetentionConfig(count=0, age_days=0))
    await town.stop()
    broker = await town.start()
    async with town.device("alice", "phone-a") as alice, town.device("bob", "phone-b") as bob:
        begun = trio.current_time()
        published = [alice.publish_nowait("user/bob", str(number)) for number in range(100)]
        came = await _messages(bob, 100)
        took_s = trio.current_time() - begun
        receipts = [await publication.settled() for publication in published]
        assert [message.body for message in came] == [str(number) for number in range(100)]
        assert [receipt.seq for receipt in receipts] == list(range(1, 101))
        assert 89 < took_s < 200, "one a second after the first ten, and what is waited longer than was asked"
    assert broker.core.metrics.publishes_refused[Reason.MESSAGE_RATE_TOO_HIGH] > 0
