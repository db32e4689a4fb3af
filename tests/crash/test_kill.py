"""kill -9 of a real broker under load from real clients, again and again: nothing acknowledged is lost or doubled."""

import os
import socket
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import count
from pathlib import Path
from random import Random

import pytest
import trio

import roost
from admin.running import PASSWORD, RunningBroker
from broker.store.world import seeded
from roost_protocol.admin.inbox import INBOX_STAT

KILLS = int(os.environ.get("CRASH_KILLS", "20"))
"""In the gate; `make crash` does 1,000."""

USERS = ("ann", "bob", "cem")
TERMINALS = ("phone", "pc")
PUBLISHERS = 4
"""Of each device: as many publishes are under way at a time."""
PAUSE_S = 0.005
"""Between two publishes of one of them: what is asked is not how fast it is."""

pytestmark = [pytest.mark.process, pytest.mark.timeout(120 + 5 * KILLS)]


class Device:
    """One device, which publishes to everybody else, and notes all that it is told."""

    def __init__(self, user: str, terminal: str) -> None:
        self.user = user
        self.terminal = terminal
        self.receipts: dict[str, str] = {}
        """Message ids by what was published."""
        self.seqs: list[int] = []
        self.bodies: list[str] = []
        self.ids: list[str] = []
        self.gaps = 0
        self.publishing = True
        self.idle = trio.Event()
        self._grown = trio.lowlevel.ParkingLot()

    async def run(self, address: str, task_status: trio.TaskStatus[None]) -> None:
        """Publish until told to stop, and listen until cancelled."""
        backoff = roost.Backoff(first_s=0.02, most_s=0.2)
        async with (
            roost.connect(
                address,
                user=self.user,
                terminal=self.terminal,
                password=PASSWORD,
                device=f"{self.user}-{self.terminal}",
                backoff=backoff,
            ) as session,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(self._publish, session)
            task_status.started()
            async for event in session:
                if isinstance(event, roost.Message):
                    assert isinstance(event.body, str)
                    self.seqs.append(event.seq)
                    self.bodies.append(event.body)
                    self.ids.append(event.id)
                    self._grown.unpark_all()
                elif isinstance(event, roost.Gap):
                    self.gaps += 1

    async def wait_for(self, seq: int) -> None:
        """Wait until it has been told of this number."""
        while not self.seqs or self.seqs[-1] < seq:
            await self._grown.park()

    async def _publish(self, session: roost.Session) -> None:
        others = [name for name in USERS if name != self.user]
        numbers = count()

        async def publisher() -> None:
            for number in numbers:
                if not self.publishing:
                    return
                body = f"{self.user}-{self.terminal}-{number}"
                receipt = await session.publish(f"user/{others[number % len(others)]}", body)
                self.receipts[body] = receipt.id
                await trio.sleep(PAUSE_S)

        async with trio.open_nursery() as nursery:
            for _ in range(PUBLISHERS):
                nursery.start_soon(publisher)
        self.idle.set()


async def kill_again_and_again(folder: Path, random: Random, kills: int) -> tuple[list[Device], list[float]]:
    """All devices at the end, and how long each restart took until the broker was ready, in seconds."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    broker = await trio.to_thread.run_sync(lambda: RunningBroker(folder, listen=address))
    restarts: list[float] = []
    try:
        broker.create_users(*USERS)
        devices = [Device(user, terminal) for user in USERS for terminal in TERMINALS]
        async with trio.open_nursery() as nursery:
            for device in devices:
                await nursery.start(device.run, address)
            for _ in range(kills):
                await trio.sleep(random.uniform(0.02, 0.4))
                broker.process.kill()
                with broker:
                    pass
                begun = time.perf_counter()
                broker = await trio.to_thread.run_sync(lambda: RunningBroker(folder, listen=address))
                restarts.append(time.perf_counter() - begun)
            for device in devices:
                device.publishing = False
            for device in devices:
                await device.idle.wait()
            with trio.fail_after(60):
                for device in devices:
                    await device.wait_for(broker.api.ask(INBOX_STAT, device.user).head)
            nursery.cancel_scope.cancel()
        assert broker.ask("fsck").exit_code == 0
    finally:
        with broker:
            pass
    return devices, restarts


def faults(devices: list[Device]) -> list[str]:
    """What went wrong."""
    found: list[str] = []
    inboxes: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for device in devices:
        name = f"{device.user}-{device.terminal}"
        if device.gaps or device.seqs != list(range(1, len(device.seqs) + 1)):
            found.append(f"{name} was not told every number once, in order")
        found += [f"{name} has {body} {times} times" for body, times in Counter(device.bodies).items() if times > 1]
        inboxes[device.user].add(tuple(device.ids))
    found += [f"the devices of {user} differ" for user, streams in inboxes.items() if len(streams) != 1]
    holds = {device.user: dict(zip(device.bodies, device.ids, strict=True)) for device in devices}
    for device in devices:
        for body, message_id in device.receipts.items():
            if sum(held.get(body) == message_id for held in holds.values()) != 2:
                found.append(f"{body} was acknowledged as {message_id}, and is not on both sides as that")
    return found


def test_nothing_is_lost_or_doubled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    devices, restarts = trio.run(kill_again_and_again, tmp_path, seeded(), KILLS)
    assert faults(devices) == []
    published = sum(len(device.receipts) for device in devices)
    assert published > KILLS
    restarts.sort()
    with capsys.disabled():
        sys.stdout.write(
            f"\n{KILLS} kills, {published:,} messages acknowledged, none lost or doubled; ready again after p50 "
            f"{restarts[len(restarts) // 2]:.2f} s, p99 {restarts[int(len(restarts) * 0.99)]:.2f} s\n"
        )


def test_the_faults_are_found() -> None:
    def devices() -> list[Device]:
        made = [Device(user, terminal) for user in ("ann", "bob") for terminal in TERMINALS]
        for device in made:
            device.seqs, device.bodies, device.ids = [1, 2], ["ann-pc-0", "bob-pc-0"], ["a", "b"]
        made[0].receipts = {"ann-pc-0": "a"}
        return made

    assert faults(devices()) == []
    spoils: list[tuple[Callable[[Device], object], str]] = [
        (lambda device: device.bodies.append("ann-pc-0"), "2 times"),
        (lambda device: device.seqs.append(4), "every number once"),
        (lambda device: device.ids.reverse(), "differ"),
        (lambda device: device.receipts.update({"ann-pc-1": "c"}), "not on both sides"),
    ]
    for spoil, what in spoils:
        some = devices()
        spoil(some[1])
        if len(some[1].bodies) > len(some[1].ids):
            some[1].ids.append("a")
        assert any(what in fault for fault in faults(some)), what
