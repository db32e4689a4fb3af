"""A whole broker in memory under virtual time, and devices that speak the wire's own frames with it.

::

    @in_house(limits={"publish_max": 4})
    async def test_something(house: House) -> None:
        alice = await house.log_in("alice")
        await alice.say(Publish(n=1, to="user/bob", text="hi"))
        assert (await alice.expect(Puback)).seq == 1

Accounts `alice`, `bob` and `carol` are there. Nothing sleeps: a second of virtual time costs nothing. A device checks
what it hears with the protocol core of the device's side, so that a number out of order is an error by itself.
"""

import functools
import inspect
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any, TypeVar, TypeVarTuple

import argon2
import trio
from msgspec.structs import replace
from trio.testing import MockClock

from roost_broker.app import Broker
from roost_broker.config import Config, PasswordConfig
from roost_broker.core import Core, Surroundings
from roost_broker.offload import InlineOffload, Offload
from roost_broker.session import Session
from roost_broker.store import Store
from roost_broker.store.memory import MemoryStore
from roost_broker.store.operations import CreateUser, Operation, OperationResult
from roost_broker.store.readings import InboxPage
from roost_broker.transport.memory import MemoryListener, MemoryStream
from roost_protocol import Connection, RemoteProtocolError, Role
from roost_protocol.frames import Connack, Connect, Deliver, Disconnect, Frame, Ping, Pong, Puback, Publish
from roost_protocol.limits import Limits
from roost_protocol.reasons import Reason

START_MS = 1_700_000_000_000
"""Unix time at which every test begins."""

PASSWORD = "open sesame"
CHEAP_PASSWORDS = PasswordConfig(memory_kib=8, passes=1)

OFFLOAD_S = 0.001
"""What a commit and a read take, before and after the deed."""

SOON_S = 1.0
"""By then whatever is under way has arrived."""

FILL_AT_ONCE = 100
"""Publishes under way while an inbox is filled."""

F = TypeVar("F", bound=Frame)
Args = TypeVarTuple("Args")
T = TypeVar("T")


class FaultyStore:
    """A store in memory that counts what is asked of it, and fails when it is told to."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.faults: deque[Exception] = deque()
        """What the next commits raise instead of being done; one each."""
        self.read_faults: deque[Exception] = deque()
        """What the next reads of an inbox raise."""
        self.batches: list[tuple[Operation, ...]] = []
        """What was committed."""
        self.holes: set[int] = set()
        """Numbers that no read finds, as in a damaged store."""
        self.reads = 0
        """Reads of an inbox."""
        self.closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def commit(self, operations: Sequence[Operation], now_ms: int) -> list[OperationResult]:
        """See `Store.commit`."""
        if self.faults:
            raise self.faults.popleft()
        self.batches.append(tuple(operations))
        return self._inner.commit(operations, now_ms)

    def read_inbox(self, user: int, after: int, entries_max: int, bytes_max: int) -> InboxPage:
        """See `Store.read_inbox`."""
        self.reads += 1
        if self.read_faults:
            raise self.read_faults.popleft()
        page = self._inner.read_inbox(user, after, entries_max, bytes_max)
        return replace(page, entries=tuple(entry for entry in page.entries if entry.seq not in self.holes))

    def close(self) -> None:
        """See `Store.close`."""
        self.closed = True


class Calls(Counter[str]):
    """How often each function ran off the event loop, by its name."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = trio.lowlevel.ParkingLot()

    def count(self, name: str) -> None:
        """It runs now."""
        self[name] += 1
        self._changed.unpark_all()

    async def wait(self, name: str) -> None:
        """Wait until it has run once."""
        while not self[name]:
            await self._changed.park()


class CountedOffload:
    """An inline offload that counts what it runs."""

    def __init__(self, inner: Offload, calls: Calls) -> None:
        self._inner = inner
        self._calls = calls

    async def run(self, function: Callable[[*Args], T], *args: *Args) -> T:
        """See `Offload.run`."""

        def counted(*args: *Args) -> T:
            self._calls.count(function.__name__)
            return function(*args)

        return await self._inner.run(counted, *args)


class Device:
    """The other end of a connection. `heard` are frames that came and were not asked for yet."""

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream
        self.connection = Connection(Role.DEVICE)
        self.heard: deque[Frame] = deque()
        self.at_end = False
        self.connack = Connack()
        """The answer to its log-in."""

    async def say(self, *frames: Frame) -> None:
        """Send frames, in one piece."""
        await self.stream.send_all(b"".join(self.connection.send(frame) for frame in frames))

    async def hear(self) -> Frame | None:
        """The next frame, however long it takes; None at the end of the connection."""
        while not self.heard and not self.at_end:
            data = await self.stream.receive_some(65_536)
            for event in self.connection.receive_data(data):
                if isinstance(event, RemoteProtocolError):
                    raise AssertionError(f"the broker broke the protocol: {event}")
                self.heard.append(event)
            self.at_end = not data
        return self.heard.popleft() if self.heard else None

    async def expect(self, kind: type[F]) -> F:
        """The next frame, which is of this kind."""
        frame = await self.hear()
        assert isinstance(frame, kind), f"expected {kind.__name__}, heard {frame!r}"
        return frame

    async def pick(self, kind: type[F]) -> F:
        """The next frame of this kind; those before it stay to be heard."""
        before: list[Frame] = []
        while not isinstance(frame := await self.hear(), kind):
            assert frame is not None, f"expected {kind.__name__}, found the end after {before!r}"
            before.append(frame)
        self.heard.extendleft(reversed(before))
        return frame

    async def expect_end(self) -> None:
        """The connection is closed, and nothing more was said."""
        frame = await self.hear()
        assert frame is None, f"expected the end, heard {frame!r}"

    async def expect_dismissal(self, reason: Reason) -> Disconnect:
        """DISCONNECT for this reason, and the end."""
        dismissal = await self.expect(Disconnect)
        assert dismissal.reason == reason, dismissal
        await self.expect_end()
        return dismissal

    async def rest(self, within_s: float = SOON_S) -> list[Frame]:
        """Everything that comes within a time."""
        frames: list[Frame] = []
        with trio.move_on_after(within_s):
            while (frame := await self.hear()) is not None:
                frames.append(frame)
        return frames

    async def expect_silence(self, within_s: float = SOON_S) -> None:
        """Nothing comes."""
        frames = await self.rest(within_s)
        assert not frames, f"expected nothing, heard {frames!r}"
        assert not self.at_end, "expected nothing, found the end"

    async def expect_alive(self) -> None:
        """The connection answers; what it said before stays to be heard."""
        await self.say(Ping())
        await self.pick(Pong)

    async def publish(self, n: int, to: str, text: str = "hello", **more: Any) -> Puback:
        """Publish, and wait for the answer; entries that come meanwhile stay to be heard."""
        await self.say(Publish(n=n, to=to, text=None if "data" in more else text, **more))
        return await self.pick(Puback)

    async def seqs(self, within_s: float = SOON_S) -> list[int]:
        """The numbers of the entries that come now; nothing else comes."""
        frames = await self.rest(within_s)
        assert all(isinstance(frame, Deliver) for frame in frames), frames
        return [frame.seq for frame in frames if isinstance(frame, Deliver)]


class House:
    """The broker, its door, and what surrounds it."""

    def __init__(
        self, broker: Broker, listener: MemoryListener, store: FaultyStore, calls: Calls, web: MemoryListener
    ) -> None:
        self.broker = broker
        self.listener = listener
        self.web = web
        """Where browsers come in; nobody listens there unless the house was opened so."""
        self.store = store
        self.calls = calls

    @property
    def core(self) -> Core:
        """The parts inside."""
        return self.broker.core

    def session(self, user: str, terminal: str = "phone") -> Session:
        """The live session, from the inside."""
        (found,) = (each for each in self.core.directory if (each.user_name, each.terminal) == (user, terminal))
        return found

    def number(self, user: str) -> int:
        """The number of a user."""
        account = self.store.account(user)
        assert account is not None
        return int(account.user)

    async def dial(self, host: str = "memory") -> Device:
        """A connection on which nothing was said yet."""
        return Device(await self.listener.dial(host))

    async def ask_in(self, user: str, terminal: str = "phone", device: str | None = None, **connect: Any) -> Device:
        """A connection that has said CONNECT; by default with the right password; `password=None` for none."""
        stranger = await self.dial(connect.pop("host", "memory"))
        if not {"token", "jwt", "password"} & connect.keys():
            connect.setdefault("password", PASSWORD)
        await stranger.say(Connect(user=user, terminal=terminal, device=device or f"{user}-{terminal}", **connect))
        return stranger

    async def log_in(self, user: str, terminal: str = "phone", device: str | None = None, **connect: Any) -> Device:
        """A live session."""
        came = await self.ask_in(user, terminal, device, **connect)
        came.connack = await came.expect(Connack)
        assert came.connack.reason == Reason.SUCCESS, came.connack
        return came

    async def refusal(self, user: str, terminal: str = "phone", device: str | None = None, **connect: Any) -> Connack:
        """The answer to a log-in that is refused; the connection is closed after it."""
        turned_away = await self.ask_in(user, terminal, device, **connect)
        connack = await turned_away.expect(Connack)
        assert Reason.of(connack.reason).failed, connack
        await turned_away.expect_end()
        return connack

    async def fill(self, sender: Device, to: str, count: int, *, first: int = 1, text: str = "hello") -> None:
        """Publish `count` messages from the n-th on, each with success; what else `sender` hears is dropped."""
        for start in range(first, first + count, FILL_AT_ONCE):
            ns = range(start, min(start + FILL_AT_ONCE, first + count))
            await sender.say(*(Publish(n=n, to=to, text=text) for n in ns))
            for n in ns:
                puback = await sender.pick(Puback)
                assert (puback.n, puback.reason) == (n, Reason.SUCCESS), puback
            sender.heard.clear()


@asynccontextmanager
async def open_house(
    *,
    users: Sequence[str] = ("alice", "bob", "carol"),
    limits: dict[str, int] | None = None,
    offload_s: float = OFFLOAD_S,
    commit_s: float | None = None,
    store: Store | None = None,
    listener: Callable[[], MemoryListener] = MemoryListener,
    now_ms: Callable[[], int] | None = None,
    web: bool = False,
    **config: Any,
) -> AsyncIterator[House]:
    """A broker that runs. `limits` are those that differ from the defaults, `config` what else does.

    Every user has the same password. `offload_s` is half the time of a read, of a check of a password, and of a commit
    unless `commit_s` says another. `web`: there is a listener for browsers.
    """
    if not isinstance(trio.lowlevel.current_clock(), MockClock):
        raise AssertionError("a house stands in virtual time: use in_house, in_virtual_time or autojump_clock")
    random = Random(1)  # noqa: S311  # for ids, not for secrets
    config.setdefault("passwords", CHEAP_PASSWORDS)
    whole = Config(limits=Limits(**(limits or {})), **config)
    faulty = FaultyStore(store or MemoryStore(limits=whole.limits, random=random))
    if users:
        faulty.commit([CreateUser(name=name, password_hash=_password_hash()) for name in users], START_MS)
        faulty.batches.clear()
    calls = Calls()

    def offload(threads: int) -> Offload:
        half_s = commit_s if threads == 1 and commit_s is not None else offload_s
        return CountedOffload(InlineOffload(lambda: half_s, serial=threads == 1), calls)

    around = Surroundings(now_ms=now_ms or wall_clock_ms, random=random, offload=offload)
    door, web_door = listener(), listener()
    broker = Broker(
        whole,
        store=faulty,
        listeners=[door],
        web_listener=web_door if web else None,
        surroundings=around,
        admin_socket=False,
    )
    async with broker:
        yield House(broker, door, faulty, calls, web_door)


@functools.cache
def _password_hash() -> str:
    cheap = CHEAP_PASSWORDS
    return argon2.PasswordHasher(time_cost=cheap.passes, memory_cost=cheap.memory_kib, parallelism=1).hash(PASSWORD)


def wall_clock_ms() -> int:
    """Unix time in ms, as far as it has come in virtual time."""
    return START_MS + round(trio.current_time() * 1000)


Test = Callable[..., Awaitable[None]]


def in_virtual_time(test: Test) -> Callable[..., None]:
    """Make an async test one that pytest can call. Fixtures and parameters are passed on."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        trio.run(functools.partial(test, **fixtures), clock=MockClock(autojump_threshold=0))

    return run


def in_house(**how: Any) -> Callable[[Test], Callable[..., None]]:
    """The same, with a `House` as the test's first argument: what `open_house` gives for these arguments."""

    def decorate(test: Test) -> Callable[..., None]:
        @in_virtual_time
        @functools.wraps(test)
        async def run(**fixtures: Any) -> None:
            async with open_house(**how) as house:
                await test(house, **fixtures)

        signature = inspect.signature(test)
        _, *others = signature.parameters.values()
        vars(run)["__signature__"] = signature.replace(parameters=others)
        return run

    return decorate
