"""A small HTTP/1.1 server on h11 over Trio streams: one request after the other on each connection, all within bounds.

It knows nothing of what is asked; `respond` turns a request into a response, or into events that follow one another
(server-sent events, as the HTML standard has them). Whatever goes wrong there becomes a problem document (RFC 9457),
never a traceback on the wire.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import h11
import msgspec
import trio

from roost_broker.http.unix import Credentials, peer_credentials
from roost_protocol.admin.route import Problem
from roost_protocol.limits import Limits

_log = logging.getLogger(__name__)

READ_BYTES = 64 * 1024

EVENT_SILENCE_S = 15.0
"""A comment goes out when nothing has happened for so long: a peer that went away is noticed, proxies stay patient."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request, read to its end. `target` is path and query as sent; names of `headers` are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    peer: Credentials | None = None
    """Whose process it is, on a Unix socket."""
    address: str = ""
    """Where the peer is, on a network."""


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """An answer."""

    status: int
    body: bytes
    content_type: str = "application/json"


class EventStream(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that goes on: a JSON document for each event. It is cancelled when the peer is gone."""

    events: AsyncIterator[bytes]


class RequestFailed(Exception):
    """The request gets this problem document."""

    def __init__(self, status: int, title: str, detail: str = "") -> None:
        super().__init__(f"{status} {title}: {detail}")
        self.problem = Problem(status=status, title=title, detail=detail)


Respond = Callable[[Request], Awaitable[Response | EventStream]]


def problem_response(problem: Problem) -> Response:
    """The response that carries a problem document."""
    return Response(status=problem.status, body=msgspec.json.encode(problem), content_type="application/problem+json")


class HttpServer:
    """Serves one listener."""

    def __init__(self, respond: Respond, limits: Limits) -> None:
        self._respond = respond
        self._limits = limits
        self._places = trio.CapacityLimiter(limits.http_connections_max)

    async def serve(self, listener: trio.SocketListener) -> None:
        """Serve connections until cancelled."""
        await trio.serve_listeners(self._serve_connection, [listener])

    async def _serve_connection(self, stream: trio.abc.Stream) -> None:
        async with stream, self._places:
            try:
                await _Exchange(stream, self._respond, self._limits).run()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # the peer went away: there is nobody to answer
            except Exception:  # noqa: BLE001 - a defect of ours must not end the broker
                _log.exception("connection closed after an internal error")


class _Exchange:
    """Requests and responses on one connection."""

    def __init__(self, stream: trio.abc.Stream, respond: Respond, limits: Limits) -> None:
        self._stream = stream
        self._respond = respond
        self._limits = limits
        self._connection = h11.Connection(h11.SERVER)
        self._is_head = False
        self._peer = peer_credentials(stream)
        self._address = _address(stream)

    async def run(self) -> None:
        """Answer requests until the peer closes, asks for something unfit, or takes too long."""
        while True:
            stream: EventStream | None = None
            with trio.move_on_after(self._limits.http_timeout_s) as scope:
                request = await self._next()
                if request is None:
                    return
                answer = await self._answer(request)
                if isinstance(answer, EventStream):
                    stream = answer
                else:
                    await self._write(answer, close=False)
            if stream is not None:
                await self._stream_events(stream)
                return
            if scope.cancelled_caught or not self._may_go_on():
                return
            self._connection.start_next_cycle()

    async def _next(self) -> Request | None:
        """The next request; None when there is none that can be answered, and what was wrong with it is said."""
        try:
            return await self._read()
        except RequestFailed as failed:
            await self._write(problem_response(failed.problem), close=True)
        except h11.RemoteProtocolError as error:
            await self._write(problem_response(Problem(status=400, title="Bad Request", detail=str(error))), close=True)
        return None

    def _may_go_on(self) -> bool:
        return self._connection.our_state is h11.DONE and self._connection.their_state is h11.DONE

    async def _answer(self, request: Request) -> Response | EventStream:
        try:
            return await self._respond(request)
        except RequestFailed as failed:
            return problem_response(failed.problem)
        except Exception:  # noqa: BLE001 - a defect of ours: it is logged whole, and this connection goes on
            _log.exception("%s %s failed", request.method, request.target)
            return problem_response(Problem(status=500, title="Internal Server Error", detail="see the broker's log"))

    async def _read(self) -> Request | None:
        """The next request; None when the peer has closed. Raises RequestFailed and h11.RemoteProtocolError."""
        head = await self._event()
        if not isinstance(head, h11.Request):
            return None
        self._is_head = head.method == b"HEAD"
        body = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            body += event.data
            if len(body) > self._limits.http_body_bytes_max:
                allowed = f"a body has at most {self._limits.http_body_bytes_max} bytes"
                raise RequestFailed(413, "Content Too Large", allowed)
        return Request(
            method=head.method.decode(),
            target=head.target.decode("latin-1"),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers},
            body=bytes(body),
            peer=self._peer,
            address=self._address,
        )

    async def _event(self) -> h11.Event | type[h11.PAUSED] | type[h11.NEED_DATA]:
        while True:
            if self._connection.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                await self._stream.send_all(self._connection.send(go_on) or b"")
            event = self._connection.next_event()
            if event is not h11.NEED_DATA:
                return event
            self._connection.receive_data(bytes(await self._stream.receive_some(READ_BYTES)))

    async def _write(self, response: Response, *, close: bool) -> None:
        if self._connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        headers = [("content-length", str(len(response.body)))]
        if close:
            headers.append(("connection", "close"))
        data = self._head(response.status, response.content_type, headers)
        if not self._is_head:
            data += self._connection.send(h11.Data(data=response.body)) or b""
        data += self._connection.send(h11.EndOfMessage()) or b""
        await self._stream.send_all(data)

    def _head(self, status: int, content_type: str, more: list[tuple[str, str]]) -> bytes:
        headers = [
            ("content-type", content_type),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            *more,
        ]
        return self._connection.send(h11.Response(status_code=status, headers=headers)) or b""

    # --- events ---

    async def _stream_events(self, stream: EventStream) -> None:
        """Send events until there are no more, the peer goes, or it takes nothing for too long."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_when_gone, nursery.cancel_scope)
            if await self._send(self._head(200, "text/event-stream", [("connection", "close")])) and not self._is_head:
                source, events = trio.open_memory_channel[bytes](0)
                nursery.start_soon(_pass_on, stream.events, source)
                await self._send_events(events)
            nursery.cancel_scope.cancel()

    async def _send_events(self, events: trio.MemoryReceiveChannel[bytes]) -> None:
        while True:
            data = b": still here\n\n"
            with trio.move_on_after(EVENT_SILENCE_S):
                try:
                    data = b"data: " + await events.receive() + b"\n\n"
                except trio.EndOfChannel:
                    break
            if not await self._send(self._connection.send(h11.Data(data=data)) or b""):
                return
        await self._send(self._connection.send(h11.EndOfMessage()) or b"")

    async def _send(self, data: bytes) -> bool:
        """Send a part of an answer; False if it is not taken in time: half of it may be sent, so nothing can follow."""
        with trio.move_on_after(self._limits.http_timeout_s) as scope:
            await self._stream.send_all(data)
        return not scope.cancelled_caught

    async def _cancel_when_gone(self, scope: trio.CancelScope) -> None:
        """Whatever the peer says while it is told events, it has nothing more to ask on this connection."""
        try:
            while await self._stream.receive_some(READ_BYTES):
                pass
        except trio.BrokenResourceError:
            pass
        scope.cancel()


async def _pass_on(events: AsyncIterator[bytes], to: trio.MemorySendChannel[bytes]) -> None:
    async with to, closing_events(events):
        async for event in events:
            await to.send(event)


@asynccontextmanager
async def closing_events(events: AsyncIterator[Any]) -> AsyncIterator[None]:
    """When the block is left, whoever makes the events lets go of what he holds, now and not when he is collected."""
    try:
        yield
    finally:
        if isinstance(events, AsyncGenerator):
            await events.aclose()


def _address(stream: trio.abc.Stream) -> str:
    """`host:port` of the peer, on a network."""
    if not isinstance(stream, trio.SocketStream) or stream.socket.family not in (
        trio.socket.AF_INET,
        trio.socket.AF_INET6,
    ):
        return ""
    host, port, *_ = stream.socket.getpeername()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
