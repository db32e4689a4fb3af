"""Devices that play scenarios: each is an application on the Python client, with a network that can be cut.

What its user would see is written down in the words of `scenarios.json`; see there.
"""

import socket
from random import Random
from typing import Any, NamedTuple

import trio

import roost
from roost.errors import LoginRefused, PublishRefused, RequestRefused
from roost_protocol.frames import TEXT_TYPE, Origin

WAIT_S = 30.0
"""Far more than anything takes, even on a busy machine."""

BYTES_TYPE = "application/octet-stream"
NOTICE_TYPE = "application/vnd.roost.erased"
LETTERS_SHOWN = 100


class Names:
    """Names of users and groups in a story, and the fresh ones that the broker knows."""

    def __init__(self, names: set[str], number: int) -> None:
        self._fresh = {name: f"{name}{number}" for name in names}
        self._told = {fresh: name for name, fresh in self._fresh.items()}

    def fresh(self, word: str) -> str:
        """The broker's name, or address, for a word of the story that is one; else the word."""
        kind, slash, name = word.rpartition("/")
        return f"{kind}{slash}{self._fresh.get(name, name)}"

    def told(self, word: str) -> str:
        """The story's name, or address, for one of the broker's."""
        kind, slash, name = word.rpartition("/")
        return f"{kind}{slash}{self._told.get(name, name)}"


class Wire(trio.abc.HalfCloseableStream):
    """One connection, over a network that can be cut."""

    def __init__(self, stream: trio.SocketStream, network: "Network") -> None:
        self._stream = stream
        self._network = network

    def cut(self) -> None:
        """Nothing passes any more, either way."""
        try:
            self._stream.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was faster

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See `trio.abc.SendStream`."""
        if self._network.loses("question"):
            raise trio.BrokenResourceError("the network was cut")
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream`."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """See `trio.abc.ReceiveStream`."""
        data = await self._stream.receive_some(max_bytes)
        if data and self._network.loses("answer"):
            raise trio.BrokenResourceError("the network was cut")
        return data

    async def send_eof(self) -> None:
        """See `trio.abc.HalfCloseableStream`."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """See `trio.abc.AsyncResource`."""
        await self._stream.aclose()


class Network:
    """What is between one device and the broker."""

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.rpartition(":")
        self._wires: list[Wire] = []
        self.up = True
        self._lose: str | None = None

    async def dial(self) -> trio.abc.Stream:
        """A connection to the broker."""
        if not self.up:
            raise ConnectionRefusedError("there is no network")
        wire = Wire(await trio.open_tcp_stream(self._host, int(self._port)), self)
        self._wires.append(wire)
        return wire

    def cut(self) -> None:
        """Break every connection; there is no other until it is `up` again."""
        self.up = False
        for wire in self._wires:
            wire.cut()
        self._wires.clear()

    def lose_next(self, what: str) -> None:
        """Cut it when the device (`question`) or the broker (`answer`) says something next, which is lost."""
        if what not in ("question", "answer"):
            raise ValueError(f"what is lost is a question or an answer, not {what!r}")
        self._lose = what

    def loses(self, what: str) -> bool:
        """Whether this is what is to be lost; then the network is cut."""
        if self._lose != what:
            return False
        self._lose = None
        self.cut()
        return True


class Ending(NamedTuple):
    """How a session ended, or why it did not begin: the name of the reason, and who did it, if that is known."""

    reason: str
    by: str | None


class Player:
    """One device of one user: its application, and the state that outlives it."""

    def __init__(self, address: str, names: Names, device: str) -> None:
        user, _, self.id = device.partition("/")
        self.user = names.fresh(user)
        self.network = Network(address)
        self.ending: Ending | None = None
        self.online = False
        self.starts = 0
        """Times that it was told to start over."""
        self.took_over: str | None = None
        self.signals: list[str] = []
        self.presence: dict[str, set[str]] = {}
        self.written: dict[int, roost.Publication] = {}
        """What it published and nobody asked about yet, by its count."""
        self._names = names
        self._held: list[roost.Message | roost.Gap] = []
        self._state = roost.MemoryState()
        self._session: roost.Session | None = None
        self._leave = trio.Event()
        self._left = trio.Event()
        self._changed = trio.Event()

    @property
    def session(self) -> roost.Session:
        """The session it has."""
        assert self._session is not None, f"{self.id} is not logged in"
        return self._session

    @property
    def position(self) -> int:
        """The last number it holds."""
        last = self._held[-1] if self._held else None
        return 0 if last is None else last.last if isinstance(last, roost.Gap) else last.seq

    def items(self) -> list[str]:
        """What it holds, in lines."""
        return [self.line(item) for item in self._held]

    async def start(self, nursery: trio.Nursery, **terms: Any) -> Ending | None:
        """Log in; what was refused, and why, if it was. Ends what there was of a session before."""
        await self.leave()
        self.ending, self._leave, self._left = None, trio.Event(), trio.Event()
        return await nursery.start(self._run, terms)  # type: ignore[no-any-return]

    async def leave(self) -> None:
        """End the application."""
        if self._session is not None:
            self._leave.set()
            await self._left.wait()

    async def until(self, what: str, look: Any) -> None:
        """Wait until `look()` is true, looking again whenever the application was told something."""
        with trio.move_on_after(WAIT_S) as waiting:
            while not look():
                await self._changed.wait()
        assert not waiting.cancelled_caught, f"{self.id} waited in vain until it {what}"

    def line(self, item: roost.Message | roost.Gap) -> str:
        """An item as the scenarios write it."""
        if isinstance(item, roost.Gap):
            return f"{item.first} to {item.last} are gone: {item.reason}"
        if item.erased:
            return f"{item.seq} is erased"
        sender = self._names.told(item.sender)
        if item.content_type == NOTICE_TYPE:
            return f"{item.seq} {sender} was erased"
        assert item.body is not None, f"entry {item.seq} came without its body"
        assert item.own is (item.sender == self.user)
        device = f"/{item.device}" if item.own and item.device else ""
        plain = TEXT_TYPE if isinstance(item.body, str) else BYTES_TYPE
        type_ = f" ({item.content_type})" if item.content_type != plain else ""
        return f"{item.seq} {sender}{device} to {self._names.told(item.to)}{type_}: {_shown(item.body)}"

    async def _run(self, terms: dict[str, Any], *, task_status: trio.TaskStatus[Ending | None]) -> None:
        connecting = roost.connect(
            "the town", user=self.user, terminal=self.id.partition("-")[0], device=self.id, state=self._state,
            dial=self.network.dial, want_token=True, backoff=roost.Backoff(first_s=0.05, most_s=0.2), random=Random(),  # noqa: S311
            **terms,
        )  # fmt: skip
        try:
            async with connecting as self._session:
                self.written |= {one.n: one for one in self._session.unsettled}
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._apply)
                    await self.until("was live", lambda: self.online or self.ending)
                    task_status.started(None)
                    await self._leave.wait()
                    nursery.cancel_scope.cancel()
        except LoginRefused as refused:
            task_status.started(Ending(refused.reason.name, _by(refused.origin)))
        except ValueError as error:
            if "give connect() a password, a token" not in str(error):
                raise
            task_status.started(Ending("BAD_USER_NAME_OR_PASSWORD", None))  # it was told so, and dropped the token
        finally:
            self._session, self.online = None, False
            self._left.set()

    async def _apply(self) -> None:
        async for event in self.session:
            self._told(event)
            self._changed.set()
            self._changed = trio.Event()

    def _told(self, event: roost.Event) -> None:
        match event:
            case roost.Message():
                self._erase(event)
                self._held.append(event)
            case roost.Gap():
                self._held.append(event)
            case roost.StartedOver():
                self._held.clear()
                self.starts += 1
            case roost.Connected(took_over=origin):
                self.online, self.took_over = True, _by(origin)
                self.presence.clear()
            case roost.Disconnected():
                self.online = False
            case roost.PresenceChanged(user=user, terminal=terminal, online=online):
                self._note_presence(self._names.told(user), terminal, online=online)
            case roost.EphemeralReceived(sender=sender, to=to, body=body):
                self.signals.append(f"{self._names.told(sender)} to {self._names.told(to)}: {body!s}")
            case roost.TakenOver(by=by):
                self._end(Ending("SESSION_TAKEN_OVER", by))
            case roost.Ended(reason=reason, origin=origin):
                self._end(Ending(reason.name, _by(origin)))

    def _end(self, ending: Ending) -> None:
        self.ending, self.online = ending, False

    def _erase(self, notice: roost.Message) -> None:
        """What docs/protocol.md asks of who stores messages: a notice blanks those that its sender wrote before it."""
        if notice.content_type != NOTICE_TYPE:
            return
        for at, item in enumerate(self._held):
            if (
                isinstance(item, roost.Message)
                and (item.sender, item.conversation) == (notice.sender, notice.conversation)
                and item.content_type != NOTICE_TYPE
            ):
                self._held[at] = roost.Message(
                    seq=item.seq, id="", sender="", to="", time_ms=0, content_type="", body=None, erased=True
                )

    def _note_presence(self, user: str, terminal: str | None, *, online: bool) -> None:
        terminals = self.presence.setdefault(user, set())
        if terminal is None:
            terminals.clear()
        elif online:
            terminals.add(terminal)
        else:
            terminals.discard(terminal)


def published(
    session: roost.Session, to: str, body: roost.Body, content_type: str | None
) -> roost.Publication | PublishRefused:
    """Publish without waiting; what is too large for any broker is refused at once."""
    try:
        return session.publish_nowait(to, body, content_type)
    except PublishRefused as refused:
        return refused


async def outcome_of(publication: roost.Publication | PublishRefused) -> str:
    """What became of a publish: `stored`, or the name of the reason."""
    if isinstance(publication, PublishRefused):
        return publication.reason.name
    with trio.fail_after(WAIT_S):
        try:
            await publication.settled()
        except PublishRefused as refused:
            return refused.reason.name
    return "stored"


async def refusal_of(asking: Any) -> str | None:
    """Wait for the answer to a request; the name of the reason if it was refused."""
    with trio.fail_after(WAIT_S):
        try:
            await asking
        except RequestRefused as refused:
            return refused.reason.name
    return None


def _by(origin: Origin | None) -> str | None:
    return origin.by if origin is not None else None


def _shown(body: roost.Body) -> str:
    if isinstance(body, bytes):
        return f"{body.hex()} in hex"
    return body if len(body) <= LETTERS_SHOWN else f"{len(body)} letters"
