"""A whole broker with its devices, in memory under virtual time: one run under way.

The broker is the product's own, from the listener down, and so is the client library on the devices; only the
network, the clock, chance, the threads and the disk are others. The broker stops, dies and starts as the plan says. At
the end the faults stop, every device logs in and catches up, and whatever a device lacks then is a fault of theirs.
"""

import traceback
from random import Random
from typing import Literal, cast

import trio

from roost.oracle import BrokerRestarted, Enrolled
from roost.simulation.device import PASSWORD, Device
from roost.simulation.plan import Crash, Plan
from roost.simulation.steps import StepCount
from roost.simulation.stores import ON_PURPOSE, BrokerGone, Disk, OpenStore, Watch, WatchedStore
from roost.simulation.terms import config_of
from roost.simulation.trace import Trace
from roost_broker.app import Broker
from roost_broker.core import Surroundings
from roost_broker.offload import InlineOffload, Offload
from roost_broker.store import OutcomeUnknown, Store
from roost_broker.transport.memory import MemoryListener, MemoryStream
from roost_protocol.admin.groups import GroupCreate

EPOCH_MS = 1_700_000_000_000
"""Unix time at which every run begins."""

GROUP = "team"

STEPS_MAX = 3_000_000
"""Steps of tasks in one run: thirty times what the longest takes."""


class Life:
    """The broker from one start to the next."""

    def __init__(self, store: WatchedStore, listener: MemoryListener) -> None:
        self.store = store
        self.listener = listener
        self.scope = trio.CancelScope()
        self.drain = trio.Event()
        self.streams: list[MemoryStream] = []
        self.down_s = 0.5
        self.died = False


class World:
    """One run under way: what the plan's incidents act upon."""

    def __init__(self, plan: Plan, open_store: OpenStore | None) -> None:
        self.plan = plan
        self.terms = plan.terms
        self.trace = Trace()
        self.complaints: list[str] = []
        self.config = config_of(plan.terms)
        self.nursery: trio.Nursery
        self.acts: trio.Nursery | None = None
        """What an admin does; it ends with the broker."""
        self.broker: Broker | None = None
        self.life: Life | None = None
        self.disk = Disk(plan.terms.store, open_store, self.config.limits, self.chance("store"))
        self.watch = Watch(self.trace)
        self.watch.groups = (GROUP,)
        self.devices: dict[str, Device] = {}
        self.enrolled: set[str] = set()
        self.skew_ms = 0
        self.slow_until = 0.0
        self.slow_s = 0.0
        self.slow_until_in_all = 0.0
        """By then the slow commits that have begun have ended."""
        self.sent_by_admin = 0
        self.up = trio.Event()
        self.up_since = 0.0
        self.over = False
        self.waited_in_vain = False
        """At the end, for some device."""
        self.steps = StepCount(STEPS_MAX, self._never_ends)
        self._random = self.chance("broker")
        self._delays = self.chance("store delays")
        self._gone = trio.Event()

    def chance(self, what: str) -> Random:
        """Chance of its own for one thing, so that leaving something out changes nothing elsewhere."""
        return Random(f"roost simulation {self.plan.seed}: {what}")  # noqa: S311  # it shall be foreseen

    @property
    def quiet_since(self) -> float:
        """Since when the broker has been up, and no commit has failed or been slow."""
        return max(self.disk.failed_at, self.slow_until, self.slow_until_in_all, self.up_since)

    def _never_ends(self) -> None:
        self.complaints.append(f"the run came to no end in {STEPS_MAX:,} steps, at {trio.current_time():.3f} s")
        self.over = True
        self.nursery.cancel_scope.cancel()
        if self.life is not None:
            self.life.died = True
            self.life.scope.cancel()

    # --- the broker -------------------------------------------------------------------------------------------------

    async def keep_broker(self) -> None:
        """Run the broker, and again after each stop, on the same disk, until the run is over."""
        while not self.over:
            life = self._new_life()
            try:
                with life.scope:
                    await self._run_broker(life)
            except OutcomeUnknown as error:
                if ON_PURPOSE not in str(error):
                    self.complaints.append(f"the broker stopped: {error!r}")
            except BrokerGone:
                if not life.died:
                    raise
            except Exception:  # noqa: BLE001 - whatever it is, it is what the run has found
                if not life.died:
                    self.complaints.append(f"the broker crashed: {traceback.format_exc()}")
                    self.over = True
            await self._died(life)
        self.up.set()  # whoever waits for it need not wait any more
        self._gone.set()

    async def stop_broker(self) -> None:
        """Drain it for good."""
        self.over = True
        if self.life is not None:
            self.life.drain.set()
        await self._gone.wait()

    def drain(self, down_s: float) -> None:
        """Stop the broker as it should be stopped, to be started anew."""
        if self.life is not None:
            self.trace.note("broker", "drains")
            self.life.down_s = down_s
            self.life.drain.set()

    def crash(self, how: Crash) -> None:
        """The broker's process ends, after so many further steps of tasks: nothing that it does then has any effect."""
        life = self.life
        if life is None or life.died:
            return
        life.down_s = how.down_s
        if how.after_steps:
            self.steps.after(how.after_steps, lambda: self._kill(life, "cut" if how.cut else "ended"))
        else:
            self._kill(life, "cut" if how.cut else "ended")

    def _kill(self, life: Life, connections: Literal["cut", "ended"]) -> None:
        if life.died or self.life is not life:
            return
        self.trace.note("broker", "crashes")
        life.died = life.store.dead = True
        life.listener.close()
        for stream in life.streams:
            if connections == "cut":
                stream.cut()
            else:
                stream.lose_peer()
        life.scope.cancel()

    def _new_life(self) -> Life:
        store = WatchedStore(self.disk.open(), self.disk, self.watch)
        self.life = Life(store, MemoryListener(pipe_bytes=self.terms.pipe_bytes))
        return self.life

    async def _run_broker(self, life: Life) -> None:
        around = Surroundings(now_ms=self.now_ms, random=self._random, offload=self._offload)
        store = cast(Store, life.store)
        async with (
            Broker(
                self.config, store=store, listeners=[life.listener], surroundings=around, admin_socket=False
            ) as self.broker,
            trio.open_nursery() as acts,
        ):
            self.acts = acts
            self.trace.note("broker", "is up")
            self.up_since = trio.current_time()
            self.up.set()
            try:
                await life.drain.wait()
            finally:
                self.acts = None
            acts.cancel_scope.cancel()

    async def _died(self, life: Life) -> None:
        self.steps.disarm()
        self.broker = self.life = None
        for stream in life.streams:
            stream.lose_peer()  # whatever was left open went with the process
        self.trace.note("broker", "is down")
        if not self.over:
            self.up = trio.Event()
            self.trace.record(BrokerRestarted())
            await trio.sleep(life.down_s)

    # --- what surrounds it ------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """The wall clock, which may jump."""
        return EPOCH_MS + int(trio.current_time() * 1_000) + self.skew_ms

    def _offload(self, threads: int) -> Offload:
        most, delays, serial = self.terms.store_delay_s, self._delays, threads == 1

        def delay() -> float:
            now = trio.current_time()
            if serial and self.slow_until > now:
                slow_s = delays.uniform(0, self.slow_s)
                self.slow_until_in_all = max(self.slow_until_in_all, now + 2 * slow_s)
                return slow_s
            return delays.uniform(0, most)

        return InlineOffload(delay if most or serial else None, serial=serial)

    async def dial(self, host: str) -> MemoryStream:
        """Connect to the broker. Raises OSError."""
        life = self.life
        if life is None or life.died:
            await trio.lowlevel.checkpoint()
            raise ConnectionRefusedError("the broker is down")
        stream = await life.listener.dial(host)
        life.streams.append(stream)
        return stream

    # --- the beginning ----------------------------------------------------------------------------------------------

    async def enrol(self) -> None:
        """Accounts, a group, and the devices, none of which runs yet."""
        for user in self.plan.users:
            self.trace.record(Enrolled(f"{user}-by-admin", user, "admin"))
        for installation in self.plan.installations:
            self.trace.record(Enrolled(*installation))
            random = self.chance(f"device {installation.name}")
            self.devices[installation.name] = Device(installation, self, random)
        await self.up.wait()
        if self.broker is None:
            raise AssertionError("the broker did not start")
        for user in self.plan.users:
            await self.broker.create_user(user, PASSWORD)
        owner = self.plan.users[0]
        group = GroupCreate(name=GROUP, owner=owner, members=tuple(sorted(self.plan.members)))
        await self.broker.admin.groups.create(group)
