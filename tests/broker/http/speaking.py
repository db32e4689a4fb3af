"""An HTTP server in memory under virtual time, and a peer that may say anything to it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast

import msgspec
import trio
from trio.testing import lockstep_stream_pair, memory_stream_pair

from roost_broker.http.server import HttpServer, Respond
from roost_protocol.limits import Limits


class Answer(NamedTuple):
    """One response as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)


class Peer:
    """A client that sends bytes as they are, and reads responses one by one."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._rest = b""
        self.gone = False
        """Whether the server did not listen any more, the last time that something was said."""

    async def send(self, data: bytes) -> None:
        """Say these bytes; a server that does not listen any more is no error here."""
        try:
            await self.stream.send_all(data)
        except trio.BrokenResourceError:
            self.gone = True

    async def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request, and its response."""
        await self.send(request(method, target, body, **headers))
        return await self.answer(head=method == "HEAD")

    async def answer(self, *, head: bool = False) -> Answer:
        """The next response. Interim ones (100) come as any other."""
        while b"\r\n\r\n" not in self._rest:
            self._rest += await self._more()
        top, _, self._rest = self._rest.partition(b"\r\n\r\n")
        first, *lines = top.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        size = 0 if head else int(headers.get("content-length", 0))
        while len(self._rest) < size:
            self._rest += await self._more()
        body, self._rest = self._rest[:size], self._rest[size:]
        matched = re.fullmatch(r"HTTP/1\.1 (\d{3}) ?.*", first)
        assert matched, first
        return Answer(int(matched[1]), headers, body)

    def take_rest(self) -> bytes:
        """What came behind the last response, if that is no HTTP any more."""
        rest, self._rest = self._rest, b""
        return rest

    async def _more(self) -> bytes:
        data = await self.stream.receive_some()
        assert data, f"the server closed amid {self._rest!r}"
        return bytes(data)

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        rest, self._rest = self._rest, b""
        async for data in self.stream:
            rest += data
        return rest

    async def expect_end(self) -> None:
        """The server has closed, and said nothing more."""
        assert not self._rest
        assert not await self.stream.receive_some()


def request(method: str, target: str, body: bytes | None = None, **headers: str) -> bytes:
    """The bytes of a request, with a body of JSON if there is one. Underscores in names of headers are hyphens."""
    sent = {"host": "roost"}
    if body is not None:
        sent |= {"content-type": "application/json", "content-length": str(len(body))}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items() if value), "", ""]
    return "\r\n".join(lines).encode() + (body or b"")


class Door(trio.abc.Listener[trio.abc.Stream]):
    """Where peers come in, without a socket."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[trio.abc.Stream](100)

    def dial(self, *, lockstep: bool = False) -> Peer:
        """A new connection; with `lockstep` nothing is buffered: what is said has to be taken."""
        ours, theirs = lockstep_stream_pair() if lockstep else memory_stream_pair()
        self._send.send_nowait(theirs)
        return Peer(ours)

    async def accept(self) -> trio.abc.Stream:
        """See `trio.abc.Listener.accept`."""
        return await self._receive.receive()

    async def aclose(self) -> None:
        """See `trio.abc.AsyncResource.aclose`."""
        await self._receive.aclose()


@asynccontextmanager
async def serving(respond: Respond, limits: Limits | None = None) -> AsyncIterator[Door]:
    """A server that answers with `respond`."""
    door = Door()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(HttpServer(respond, limits or Limits()).serve, cast("trio.SocketListener", door))
        yield door
        nursery.cancel_scope.cancel()
