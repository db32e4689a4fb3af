"""A scripted broker for the client's tests: the other side of the wire, played line by line over streams in memory.

Each connection runs one *script*, an async function that gets a `Peer`. What a script does not say does not happen.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from random import Random
from typing import Any, TypeVar, cast

import trio
import trio.testing

import roost
from roost.connecting import Connecting
from roost_protocol.connection import Connection
from roost_protocol.frames import (
    Ack,
    Connack,
    Connect,
    Deliver,
    Disconnect,
    Entry,
    Frame,
    Granted,
    Ping,
    Pong,
    Puback,
    Publish,
)
from roost_protocol.limits import MIB
from roost_protocol.states import Role

F = TypeVar("F", bound=Frame)

GRANTED = Granted(
    frame_bytes_max=256 * 1024,
    body_bytes_max=64 * 1024,
    publish_max=8,
    receive_max=256,
    receive_bytes_max=MIB,
    keepalive_s=60,
)
INCARNATION = "00000000000000aa"
NOW_MS = 1_700_000_000_000


def id_of(seq: int) -> str:
    """The id of the message that has this number here."""
    return f"{seq:016x}"


def deliver(seq: int, text: str | None = "…", *, sender: str = "bob", to: str = "user/alice") -> Deliver:
    """A message to alice."""
    entry = Entry(id=id_of(seq), sender=sender, to=to, time=NOW_MS + seq, text=text)
    return Deliver(seq=seq, entry=entry)


def echo(seq: int, publish: Publish, device: str, *, with_body: bool = False) -> Deliver:
    """alice's own message as her stream shows it."""
    entry = Entry(
        id=id_of(seq),
        sender="alice",
        to=publish.to,
        time=NOW_MS + seq,
        content_type=publish.content_type,
        text=publish.text if with_body else None,
        data=publish.data if with_body else None,
    )
    return Deliver(seq=seq, kind="own", device=device, n=publish.n, entry=entry)


def puback(seq: int, publish: Publish, **fields: Any) -> Puback:
    """The good outcome of a publish."""
    return Puback(n=publish.n, seq=seq, id=id_of(seq), time=NOW_MS + seq, **fields)


class Gone(Exception):
    """The device said goodbye, or closed the connection, while a script waited for a frame."""


class Peer:
    """The broker's side of one connection."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.connection = Connection(Role.BROKER)
        self.heard: list[Frame] = []
        """Every frame that came, but for PINGs that were answered by the way."""
        self.connect: Connect | None = None
        self._events: list[Any] = []

    async def next(self, *, pings: bool = False) -> Frame:
        """The next frame. PINGs are answered by the way, unless `pings`. Raises Gone."""
        while True:
            while not self._events:
                try:
                    data = await self.stream.receive_some()
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    raise Gone from None
                if not data:
                    raise Gone
                self._events += self.connection.receive_data(data)
            event = self._events.pop(0)
            if isinstance(event, Exception):
                raise event
            if isinstance(event, Ping) and not pings:
                await self.say(Pong())
                continue
            self.heard.append(event)
            if isinstance(event, Disconnect):
                raise Gone
            return cast(Frame, event)

    async def expect(self, kind: type[F]) -> F:
        """The next frame but ACKs (unless one is wanted), which must be of this kind."""
        while True:
            frame = await self.next(pings=kind is Ping)
            if isinstance(frame, kind):
                return frame
            assert isinstance(frame, Ack), f"{frame} came, {kind.__name__} was expected"

    async def say(self, *frames: Frame) -> None:
        """Send frames, in one piece."""
        try:
            await self.stream.send_all(b"".join([self.connection.send(frame) for frame in frames]))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise Gone from None

    async def accept(self, **fields: Any) -> Connect:
        """Take CONNECT, and answer with a CONNACK that has these fields instead of the plain ones."""
        self.connect = connect = await self.expect(Connect)
        plain: dict[str, Any] = {
            "epoch": 7,
            "head": connect.last_seq,
            "position": connect.last_seq,
            "incarnation": INCARNATION,
            "granted": GRANTED,
        }
        await self.say(Connack(**{**plain, **fields}))
        return connect

    async def refuse(self, **fields: Any) -> Connect:
        """Take CONNECT, and refuse it."""
        connect = await self.expect(Connect)
        await self.say(Connack(**fields))
        return connect

    async def rest(self) -> None:
        """Listen until the device goes, and close then."""
        try:
            while True:
                await self.next()
        except Gone:
            pass
        await self.cut()

    async def cut(self) -> None:
        """Break the connection."""
        await trio.aclose_forcefully(self.stream)


Script = Callable[[Peer], Awaitable[object]]


class Network:
    """Where the device dials: the first connection runs the first script, and so on; the last one again and again."""

    def __init__(self, nursery: trio.Nursery, *scripts: Script) -> None:
        self.nursery = nursery
        self.scripts = list(scripts)
        self.peers: list[Peer] = []
        self.dialled_at: list[float] = []

    async def dial(self) -> trio.abc.Stream:
        """Connect. A checkpoint."""
        await trio.lowlevel.checkpoint()
        self.dialled_at.append(trio.current_time())
        device, broker = trio.testing.memory_stream_pair()
        peer = Peer(broker)
        script = self.scripts[min(len(self.peers), len(self.scripts) - 1)]
        self.peers.append(peer)
        self.nursery.start_soon(self._play, script, peer)
        return device

    async def _play(self, script: Script, peer: Peer) -> None:
        try:
            await script(peer)
            await peer.rest()
        except Gone:
            await peer.cut()


def connect(network: Network | Callable[[], Awaitable[trio.abc.Stream]], **arguments: Any) -> Connecting:
    """`roost.connect` as alice's phone on this network."""
    plain: dict[str, Any] = {"user": "alice", "terminal": "phone", "device": "phone-1", "random": Random(1)}  # noqa: S311
    if "token" not in arguments and "state" not in arguments:
        plain["password"] = "secret"
    dial = network.dial if isinstance(network, Network) else network
    return roost.connect("nowhere:1", dial=dial, **{**plain, **arguments})


async def next_of(session: roost.Session, kind: type[Any]) -> Any:
    """The next event of this kind; those before it are passed over."""
    async for event in session:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"the session ended before a {kind.__name__} came")


async def all_of(session: roost.Session) -> list[roost.Event]:
    """Every event until the session ends."""
    return [event async for event in session]


Context = AbstractAsyncContextManager[roost.Session]
