"""A whole broker with its devices, in memory under virtual time, playing one plan; then the oracle judges.

The broker is the product's own, from the listener down; only the network, the clock, chance and the threads of the
store are others. It stops and starts as the plan says, on a store that is kept. At the end the faults stop, every
device logs in and catches up, and whatever a device lacks then is the broker's fault.
"""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import NamedTuple, cast

import trio

from model import plan as p
from model.around import PASSWORD, Around
from model.determinism import run_seeded
from model.device import Device
from model.steps import begin_step
from model.watched_store import WatchedStore
from roost.oracle import BrokerRestarted, CaughtUp, Enrolled, History, Recorder, Verdict, judge
from roost_broker.app import Broker
from roost_broker.config import DAY_MS, Config, PasswordConfig, RetentionConfig
from roost_broker.core import Surroundings
from roost_broker.offload import InlineOffload, Offload
from roost_broker.store import OutcomeUnknown, Store
from roost_broker.store.memory import MemoryStore
from roost_broker.transport.memory import MemoryListener, MemoryStream
from roost_protocol.admin.groups import GroupCreate
from roost_protocol.limits import Limits

EPOCH_MS = 1_700_000_000_000
"""Unix time at which every run begins."""

PATIENCE_S = 120.0
"""Virtual time for one device to settle or to catch up, once the faults have stopped."""

SETTLING_S = 0.2
"""After the last step: what the steps set going has come to its end."""

LOOK_S = 0.02
"""How often to look meanwhile."""

DOWN_S = 0.05
"""How long the broker is down when it stops."""

OpenStore = Callable[[Limits, Random], Store]


class Outcome(NamedTuple):
    """What came of a run. `complaints` are what no promise speaks of: a crash, a traceback, a frame out of place."""

    verdict: Verdict
    complaints: tuple[str, ...]
    history: History

    @property
    def faults(self) -> list[str]:
        """Everything that is wrong, as one line each."""
        broken = (f"{violation.promise}: {violation.text}" for violation in self.verdict.violations)
        return [*broken, *self.complaints]

    def check(self) -> None:
        """Raise AssertionError with everything that is wrong, and the history that shows it."""
        if self.faults:
            events = (f"{index:4} {event}" for index, event in enumerate(self.history.events))
            raise AssertionError("\n".join(["", *self.faults, "", *events]))


def play(plan: p.Plan, open_store: OpenStore | None = None, patience_s: float = PATIENCE_S) -> Outcome:
    """Play the plan on a store (by default one in memory), and judge. The same plan gives the same outcome."""
    world = World(plan, open_store or in_memory(), patience_s)
    with _errors_logged(world.complaints):
        run_seeded(plan.seed, world.run)
    history = world.record.history()
    return Outcome(judge(history), tuple(world.complaints), history)


def in_memory() -> OpenStore:
    """Opens the same store each time."""
    kept: list[Store] = []

    def open_store(limits: Limits, random: Random) -> Store:
        if not kept:
            kept.append(MemoryStore(limits=limits, random=random))
        return kept[0]

    return open_store


@contextmanager
def _errors_logged(complaints: list[str]) -> Iterator[None]:
    """Whatever is logged as an error is a complaint; but that retention may say that a commit was made to fail."""

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "was made to fail" not in record.getMessage():
                complaints.append(f"logged: {self.format(record)}")

    logger = logging.getLogger("roost_broker")
    listening = Listening(logging.ERROR)
    logger.addHandler(listening)
    try:
        yield
    finally:
        logger.removeHandler(listening)


class World:
    """One run under way."""

    def __init__(self, plan: p.Plan, open_store: OpenStore, patience_s: float) -> None:
        self.plan = plan
        self.patience_s = patience_s
        self.terms = plan.terms
        self.nursery: trio.Nursery
        self.acts: trio.Nursery | None = None
        """What an admin does; it ends with the broker."""
        self.random = Random(plan.seed)  # noqa: S311  # for delays and ids
        # Of its own, so that two stores that draw alike are told the same things at the same times.
        self.store_random = Random(plan.seed + 1)  # noqa: S311  # for ids
        self.record = Recorder(trims_known=True)
        self.config = _config(plan.terms)
        self.complaints: list[str] = []
        self._open_store = open_store
        self.store: WatchedStore | None = None
        self.devices: dict[str, Device] = {}
        self.streams: list[MemoryStream] = []
        self.skew_ms = 0
        self.sent_by_admin = 0
        self.listener: MemoryListener | None = None
        self.broker: Broker | None = None
        self.life = trio.CancelScope()
        self.drain = trio.Event()
        self.up = trio.Event()
        self.gone = trio.Event()
        self.over = False

    async def run(self) -> None:
        """Play the whole plan, and the end of it."""
        async with trio.open_nursery() as nursery:
            self.nursery = nursery
            self._enroll()
            nursery.start_soon(self._keep_broker)
            await self._begin()
            for step in self.plan.steps:
                begin_step(self, step)
                await trio.sleep(step.pause)
            await self._finish()
            nursery.cancel_scope.cancel()

    # --- the broker ---

    async def _keep_broker(self) -> None:
        """Run the broker, and again after each stop, on the same store."""
        while not self.over:
            self.life, self.drain = trio.CancelScope(), trio.Event()
            try:
                with self.life:
                    await self._run_broker()
            except OutcomeUnknown as error:
                if "was made to fail" not in str(error):
                    self.complaints.append(f"the broker stopped: {error!r}")
            except Exception:  # noqa: BLE001 - whatever it is, it is what the plan has found
                self.complaints.append(f"the broker crashed: {traceback.format_exc()}")
                self.over = True
            self.broker = self.listener = None
            if not self.over:
                self.up = trio.Event()
                self.record.record(BrokerRestarted())
                await trio.sleep(DOWN_S)
        self.up.set()  # whoever waits for it need not wait any more
        self.gone.set()

    async def _run_broker(self) -> None:
        inner = self._open_store(self.config.limits, self.store_random)
        if self.store is None:
            self.store = WatchedStore(inner, self.record)
        self.store.reopened(inner)
        self.listener = MemoryListener(pipe_bytes=self.terms.pipe_bytes)
        around = Surroundings(now_ms=self._now_ms, random=self.random, offload=self._offload)
        store = cast(Store, self.store)
        async with (
            Broker(
                self.config, store=store, listeners=[self.listener], surroundings=around, admin_socket=False
            ) as self.broker,
            trio.open_nursery() as acts,
        ):
            self.acts = acts
            self.up.set()
            try:
                await self.drain.wait()
            finally:
                self.acts = None
            acts.cancel_scope.cancel()

    def _now_ms(self) -> int:
        return EPOCH_MS + int(trio.current_time() * 1_000) + self.skew_ms

    def _offload(self, threads: int) -> Offload:
        most = self.terms.store_delay_s
        delay = (lambda: self.random.uniform(0, most)) if most else None
        return InlineOffload(delay, serial=threads == 1)

    async def _dial(self, host: str) -> MemoryStream:
        if self.listener is None:
            raise ConnectionRefusedError("the broker is down")
        stream = await self.listener.dial(host)
        self.streams.append(stream)
        return stream

    # --- the beginning ---

    def _enroll(self) -> None:
        for origin in p.BY_ADMIN:
            self.record.record(Enrolled(*origin))
        around = Around(
            dial=self._dial,
            record=self.record,
            random=self.random,
            nursery=self.nursery,
            wire_delay_s=self.terms.wire_delay_s,
            publish_max=self.terms.publish_max,
            tokens=self.terms.tokens,
            complaints=self.complaints,
        )
        for installation in p.INSTALLATIONS:
            self.record.record(Enrolled(*installation))
            self.devices[installation.name] = Device(around, installation)

    async def _begin(self) -> None:
        """Users, a group, and whoever is on line from the beginning."""
        await self.up.wait()
        assert self.broker is not None
        for user in p.USERS:
            await self.broker.create_user(user, PASSWORD)
        await self.broker.admin.groups.create(
            GroupCreate(name="team", owner="ann", members=tuple(sorted(self.plan.members)))
        )
        for name in sorted(self.plan.online):
            self.devices[name].log_in(p.LogIn(device=name))
        await trio.sleep(0.1)

    # --- the end ---

    async def _finish(self) -> None:
        """The faults stop: every publish is settled, every device catches up, the broker drains."""
        await trio.sleep(SETTLING_S)
        assert self.store is not None
        self.store.fail(None)
        for device in self.devices.values():
            if device.link is not None:
                device.link.stall(False)
                device.link.ack_every = 1
                device.link.acknowledge()
        for device in self.devices.values():
            if device.unsettled:
                await self._wait_for(device, f"{device.name} to settle its publishes", lambda d: not d.unsettled)
        await self.up.wait()
        if self.broker is not None:
            await self.broker.core.batcher.wait_idle()
        for device in self.devices.values():
            head = self.store.head(device.user)
            await self._wait_for(device, f"{device.name} to catch up", lambda d: d.last_seq >= head)  # noqa: B023
            if not self.over:
                self.record.record(CaughtUp(device.name))
        self.over = True
        self.drain.set()
        await self.gone.wait()

    async def _wait_for(self, device: Device, what: str, done: Callable[[Device], bool]) -> None:
        """Keep the device logged in, and what is unsettled on its way, until it is `done`."""
        again_at = trio.current_time() + 1
        log_in_at = 0.0
        with trio.move_on_after(self.patience_s) as scope:
            while not (device.online and done(device)) and not self.over:
                if device.link is None and trio.current_time() >= log_in_at:
                    device.log_in(p.LogIn(device=device.name))
                    log_in_at = trio.current_time() + 1  # a broker that keeps ending it is not asked at once
                elif device.link is not None and trio.current_time() >= again_at:
                    device.retransmit()
                    again_at += 5
                await trio.sleep(LOOK_S)
        if scope.cancelled_caught:
            self.complaints.append(f"waited {self.patience_s:g} s in vain for {what}")


def _config(terms: p.Terms) -> Config:
    return Config(
        passwords=PasswordConfig(memory_kib=8, passes=1),
        retention=RetentionConfig(
            age_days=terms.keep_age_s * 1_000 / DAY_MS,
            count=terms.keep_count,
            bytes=terms.keep_bytes,
            interval_s=terms.trim_interval_s,
            hold_days=terms.hold_s * 1_000 / DAY_MS,
            hold_bytes_max=terms.hold_bytes,
        ),
        limits=Limits(
            tail_entries_max=terms.tail_entries,
            tail_bytes_max=32_768,
            page_entries_max=terms.page_entries,
            page_bytes_max=32_768,
            batch_operations_max=terms.batch_operations,
            queue_operations_max=max(terms.queue_operations, terms.batch_operations),
            publish_max=terms.publish_max,
            readers_max=terms.readers,
            trim_slice_max=terms.trim_slice,
            takeovers_max=terms.takeovers_max,
            takeover_window_s=5,
            write_buffer_bytes_max=65_536,
            keepalive_s=3_600,
        ),
    )
