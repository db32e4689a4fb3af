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
from model.determinism import run_seeded
from model.device import PASSWORD, Around, Device
from model.fence import stored_after_the_fence
from model.watched_store import WatchedStore
from roost.oracle import BrokerRestarted, CaughtUp, Enrolled, History, Recorder, Verdict, judge
from roost_broker.administration import NotDone
from roost_broker.app import Broker
from roost_broker.config import DAY_MS, Config, PasswordConfig, RetentionConfig
from roost_broker.core import Surroundings
from roost_broker.offload import InlineOffload, Offload
from roost_broker.store import CommitRefused, OutcomeUnknown, Store
from roost_broker.store.memory import MemoryStore
from roost_broker.transport.memory import MemoryListener, MemoryStream
from roost_protocol.frames import Ephemeral, Fetch, Group, Ping, Relation, Sessions, Subscribe
from roost_protocol.limits import Limits

EPOCH_MS = 1_700_000_000_000
"""Unix time at which every run begins."""

PATIENCE_S = 120.0
"""Virtual time for one device to settle or to catch up, once the faults have stopped."""

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


def play(plan: p.Plan, open_store: OpenStore | None = None) -> Outcome:
    """Play the plan on a store (by default one in memory), and judge. The same plan gives the same outcome."""
    world = _World(plan, open_store or in_memory())
    with _errors_logged(world.complaints):
        run_seeded(plan.seed, world.run)
    history = world.record.history()
    complaints = (*stored_after_the_fence(history), *world.complaints)
    return Outcome(judge(history), complaints, history)


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


class _World:
    def __init__(self, plan: p.Plan, open_store: OpenStore) -> None:
        self.plan = plan
        self.terms = plan.terms
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
                self._begin_step(step)
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
        async with Broker(
            self.config, store=store, listeners=[self.listener], surroundings=around, admin_socket=False
        ) as self.broker:
            self.up.set()
            await self.drain.wait()

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
        await self.broker.admin.create_group("team", "ann", tuple(sorted(self.plan.members)))
        for name in sorted(self.plan.online):
            self.devices[name].log_in(p.LogIn(device=name))
        await trio.sleep(0.1)

    # --- steps ---

    def _begin_step(self, step: p.Step) -> None:
        device = self._device_for(step)
        match step:
            case p.LogIn() if device:
                device.log_in(step)
            case p.Reconnect() if device:
                ask = p.LogIn(device=step.device, receive_max=step.receive_max, ack_every=step.ack_every)
                device.log_in(ask, resume=True)
            case p.Part(how=how) if device:
                {"leave": device.leave, "cut": device.cut, "vanish": device.vanish}[how]()
            case p.Stall(stalled=stalled) if device and device.link:
                device.link.stall(stalled)
            case p.Acknowledge(short_by=short_by, every=every) if device and device.link:
                device.link.acknowledge(short_by)
                device.link.ack_every = every
            case p.Publish() if device:
                for _ in range(step.count):
                    device.publish(step.to, step.padding, step.data)
                if step.cut_after_s is not None and device.link:
                    self.nursery.start_soon(self._cut_later, device, step.cut_after_s)
            case p.Race(other=other) if device:
                self.devices[other].log_in(p.LogIn(device=other))
                self.nursery.start_soon(self._publish_on, device, step)
            case p.Overtake(other=other, back_after_s=back_after_s) if device:
                device.cut()
                self.devices[other].log_in(p.LogIn(device=other))
                self.nursery.start_soon(self._come_back, device, back_after_s)
            case p.Retransmit(conflict=True, back=back, to=to) if device:
                device.contradict(back, to)
            case p.Retransmit() if device:
                device.retransmit()
            case p.FailCommit() if self.store:
                self.store.fail(step)
            case p.Restart(how=how):
                self._stop_broker(how)
            case p.JumpClock(by_s=by_s):
                self.skew_ms += by_s * 1_000
            case p.Trim() | p.Kick():
                if self.broker is not None:
                    self.nursery.start_soon(self._administer, self.broker, step)
            case _ if device and device.link and device.online:
                self._request(device, step)
            case _:
                pass

    def _device_for(self, step: p.Step) -> Device | None:
        """The device that does the step, if any does; see `Step`."""
        name = getattr(step, "device", None)
        if name is None or isinstance(step, p.LogIn | p.Reconnect):
            return self.devices.get(name or "")
        names = list(self.devices)
        start = names.index(name)
        for other in (*names[start:], *names[:start]):
            if self.devices[other].online:
                return self.devices[other]
        self.devices[name].log_in(p.LogIn(device=name))
        return None

    def _request(self, device: Device, step: p.Step) -> None:
        link = device.link
        assert link is not None
        request = link.next_request()
        match step:
            case p.ChangeGroup(action=action, group=group, user=user):
                others = (user,) if action != "leave" else ()
                link.say(Group(request=request, action=action, group=group, users=others))
            case p.Block(user=user, blocked=blocked):
                action = "add" if blocked else "remove"
                link.say(Relation(request=request, action=action, kind="block", user=user))
            case p.LogOut(other=other):
                link.say(Sessions(request=request, action="log_out", device=other))
            case p.Ask(what="ping"):
                link.say(Ping())
            case p.Ask(what="fetch"):
                link.say(Fetch(request=request))
            case p.Ask(what="subscribe", user=user):
                link.say(Subscribe(request=request, users=(user,)))
            case p.Ask(what="ephemeral", user=user):
                link.say(Ephemeral(to=f"user/{user}", text="…"))
            case p.Ask(what="sessions"):
                link.say(Sessions(request=request, action="list"))
            case _:
                pass

    async def _publish_on(self, device: Device, race: p.Race) -> None:
        for _ in range(race.count):
            device.publish(race.to)
            await trio.sleep(race.every_s)

    async def _come_back(self, device: Device, after_s: float) -> None:
        await trio.sleep(after_s)
        device.log_in(p.LogIn(device=device.name), resume=True)

    async def _cut_later(self, device: Device, after_s: float) -> None:
        link = device.link
        await trio.sleep(after_s)
        if link is not None:
            link.cut()

    def _stop_broker(self, how: str) -> None:
        if how == "drain":
            self.drain.set()
            return
        if how == "crash and cut":
            for stream in self.streams:
                stream.cut()
        self.life.cancel()

    async def _administer(self, broker: Broker, step: p.Step) -> None:
        try:
            if isinstance(step, p.Kick):
                await broker.admin.kick(step.user, step.terminal)
            else:
                await broker.trim()
        except (NotDone, CommitRefused):
            pass  # there was no such session, or the commit was made to fail

    # --- the end ---

    async def _finish(self) -> None:
        """The faults stop: every publish is settled, every device catches up, the broker drains."""
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
            self.record.record(CaughtUp(device.name))
        self.over = True
        self.drain.set()
        await self.gone.wait()

    async def _wait_for(self, device: Device, what: str, done: Callable[[Device], bool]) -> None:
        """Keep the device logged in, and what is unsettled on its way, until it is `done`."""
        again_at = trio.current_time() + 1
        with trio.move_on_after(PATIENCE_S) as scope:
            while not (device.online and done(device)) and not self.over:
                if device.link is None:
                    device.log_in(p.LogIn(device=device.name))
                elif trio.current_time() >= again_at:
                    device.retransmit()
                    again_at += 5
                await trio.sleep(LOOK_S)
        if scope.cancelled_caught:
            self.complaints.append(f"waited {PATIENCE_S:g} s in vain for {what}")


def _config(terms: p.Terms) -> Config:
    return Config(
        passwords=PasswordConfig(memory_kib=8, passes=1),
        retention=RetentionConfig(
            age_days=terms.keep_age_s * 1_000 / DAY_MS,
            count=terms.keep_count,
            bytes=terms.keep_bytes,
            interval_s=terms.trim_interval_s,
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
