"""A device with the real client library on it: started and left by a person, killed, cut off, slow, by plan."""

from random import Random
from typing import Protocol

import trio

import roost
from roost.backoff import Backoff
from roost.errors import ConnectionFailed, LoginRefused, PublishRefused, RoostError, SessionEnded
from roost.simulation import plan as p
from roost.simulation.application import Application
from roost.simulation.messages import body_of
from roost.simulation.network import Weather, Wire, sleep_while
from roost.simulation.tap import Tap, Tapped
from roost.simulation.trace import Trace
from roost.state import Changes, MemoryState, Saved
from roost_broker.transport.memory import MemoryStream

PASSWORD = "the same for everybody"  # noqa: S105 - of accounts that live for seconds

TRIES = 4
"""How often a person tries to log in before giving up."""

ASKING_S = 60.0
"""How long anybody waits for an answer."""


class Surroundings(Protocol):
    """What devices share."""

    trace: Trace
    complaints: list[str]
    nursery: trio.Nursery
    terms: p.Terms

    async def dial(self, host: str) -> MemoryStream:
        """Connect to the broker. Raises OSError."""
        ...


class KillableState(MemoryState):
    """A state of which a killed process saves nothing more."""

    def __init__(self) -> None:
        super().__init__()
        self.killed = False

    def save(self, changes: Changes) -> None:
        """See `State.save`."""
        if not self.killed:
            super().save(changes)

    @property
    def saved(self) -> Saved | None:
        """What it holds."""
        return self._saved


class Device:
    """One installation, over all its restarts."""

    def __init__(self, installation: p.Installation, around: Surroundings, random: Random) -> None:
        self.name, self.user, self.terminal = installation
        self.tap = Tap(self.name, around.trace)
        self.weather = Weather(around.terms.lag_s)
        self.application = Application(self.name, around.complaints)
        self.session: roost.Session | None = None
        self.running = False
        self.wires: list[Wire] = []
        """Those that are half open, and the newest."""
        self.slow_until = 0.0
        self.gone = False
        """Its user is being erased: it never comes back."""
        self._around = around
        self._random = random
        self._state = KillableState()
        self._said = 0
        self._life = trio.CancelScope()
        self._stopping = False
        self._next: p.Start | None = None

    # --- its life -----------------------------------------------------------------------------------------------------

    def start(self, how: p.Start) -> None:
        """A person starts the application: once more, if it is running."""
        if self.gone:
            return
        if self.running:
            self.stop()
            self._next = how
        else:
            self.running = True
            self._around.nursery.start_soon(self._run, how)

    def stop(self, *, killed: bool = False) -> None:
        """The application ends: it says goodbye, or it is killed, and nothing of it happens any more."""
        if not self.running:
            return
        self._next = None
        self._stopping = True
        if killed:
            self._state.killed = True
            self.cut()
        self._life.cancel()

    async def _run(self, first: p.Start) -> None:
        how: p.Start | None = first
        while how is not None:
            self._stopping = self._state.killed = False
            self._around.trace.note(self.name, f"runs ({how})")
            await self._live(how)
            how, self._next = self._next, None
        self.running = False

    async def _live(self, how: p.Start) -> None:
        """One process, with a person who tries a few times."""
        with trio.CancelScope() as self._life:
            for attempt in range(TRIES):
                try:
                    await self._use(how)
                    break
                except ConnectionFailed as error:
                    self._around.trace.note(self.name, f"cannot log in: {error}")
                except LoginRefused as refused:
                    self._around.trace.note(self.name, f"may not log in: {refused}")
                    if refused.retry_after_s is None:
                        break
                await trio.sleep(1.0 + attempt * self._random.random() * 4)
        self.session = None

    async def _use(self, how: p.Start) -> None:
        terms, saved = self._around.terms, self._state.saved
        try:
            async with roost.connect(
                "memory:1",
                user=self.user,
                terminal=self.terminal,
                password=PASSWORD,
                device=self.name,
                state=self._state,
                newest=how.newest,
                receive_max=how.receive_max,
                receive_bytes_max=how.receive_bytes_max,
                keepalive_s=terms.keepalive_s,
                want_token=terms.tokens,
                resume=how.resume,
                dial=self._dial,
                random=self._random,
                backoff=Backoff(first_s=terms.first_wait_s, most_s=15.0),
            ) as session:
                self.session = session
                self.application.begins(saved.last_seq if saved else None)
                async for event in session:
                    self.application.take(event)
                    await sleep_while(lambda: self.slow_until)
        finally:
            self.session = None

    async def _dial(self) -> Wire:
        weather = self.weather
        if self._stopping and self._state.killed:
            raise ConnectionRefusedError("this process is dead")
        if weather.swallowed_until > trio.current_time():
            self._around.trace.note(self.name, "dials, and gets no answer")
            await trio.sleep_until(weather.swallowed_until)
        if weather.refused_until > trio.current_time():
            raise ConnectionRefusedError("the network is down")
        if weather.lag_s:
            await trio.sleep(self._random.uniform(0, weather.lag_s))
        stream = await self._around.dial(self.name)
        wire = Wire(stream, weather, self._random, Tapped(self.tap))
        self.wires = [*(each for each in self.wires if each.half_open), wire]
        return wire

    @property
    def on_line(self) -> bool:
        """Whether it is logged in, on a connection that both ends have."""
        return self.session is not None and self.tap.online and not (self.wires and self.wires[-1].half_open)

    # --- what it does -------------------------------------------------------------------------------------------------

    async def say(self, incident: p.Say) -> None:
        """Publish, as often as the incident says."""
        for number in range(incident.count):
            if number and incident.every_s:
                await trio.sleep(incident.every_s)
            session = self.session
            if session is None:
                return
            self._said += 1
            try:
                body = body_of(f"{self.name}:{self._said}", incident.padding)
                self.application.publishes(session.publish_nowait(incident.to, body))
            except trio.WouldBlock:
                self._around.trace.note(self.name, "has too much unsettled to publish more")
                return
            except (SessionEnded, PublishRefused):
                return

    async def ask(self, incident: p.Ask | p.ChangeGroup | p.Block | p.LogOut) -> None:
        """Ask the broker for something, and wait for the answer."""
        session = self.session
        if session is None:
            return
        with trio.move_on_after(ASKING_S):
            try:
                await _ask(session, incident)
            except RoostError as error:
                self._around.trace.note(self.name, f"asked in vain: {type(error).__name__}")

    def vanish(self) -> None:
        """It loses its connection, and the broker is told nothing."""
        for wire in self.wires[-1:]:
            wire.lose("device")

    def cut(self) -> None:
        """Its connection breaks."""
        for wire in self.wires[-1:]:
            wire.cut()


async def _ask(session: roost.Session, incident: p.Ask | p.ChangeGroup | p.Block | p.LogOut) -> None:
    match incident:
        case p.ChangeGroup(action="add", user=user):
            await session.add_members("team", [user])
        case p.ChangeGroup(action="remove", user=user):
            await session.remove_members("team", [user])
        case p.ChangeGroup():
            await session.leave_group("team")
        case p.Block(user=user, blocked=True):
            await session.block(user)
        case p.Block(user=user):
            await session.unblock(user)
        case p.LogOut(other=other):
            await session.log_out(other)
        case p.Ask(what="fetch"):
            await session.fetch(limit=5)
        case p.Ask(what="subscribe", user=user):
            await session.subscribe([user])
        case p.Ask(what="ephemeral", user=user):
            await session.send_ephemeral(f"user/{user}", "…")
        case p.Ask(what="devices"):
            await session.devices()
        case p.Ask(what="groups"):
            await session.groups()
        case p.Ask():
            # The same again: it ends every token but this device's.
            await session.set_password(PASSWORD, PASSWORD)
