"""A small HTTP/1.1 server on h11 over Trio streams: one request after the other on each connection, all within bounds.

It knows nothing of what is asked; `respond` turns a request into a response, or into events that follow one another
(server-sent events, as the HTML standard has them). Whatever goes wrong there becomes a problem document (RFC 9457),
never a traceback on the wire.
"""

import errno
import logging
import math
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import h11
import msgspec
import trio

from roost_broker.http.stream import TransportStream
from roost_broker.http.unix import Credentials, peer_credentials
from roost_protocol.admin.route import Problem
from roost_protocol.limits import Limits

_log = logging.getLogger(__name__)

T = TypeVar("T")

Headers = tuple[tuple[str, str], ...]

READ_BYTES = 64 * 1024

LINGER_BYTES_MAX = 16 * 1024 * 1024
LINGER_S = 5.0
"""Of what a peer goes on to send after its request was refused, so much is read, for so long, and thrown away. If the
connection were closed at once, the rest on its way would be answered by a reset, and the peer might never see why."""

ACCEPT_PAUSE_S = 0.1
"""When there are no more file descriptors, until it is tried again."""

PLACE_PAUSE_S = 0.1
"""When there is no place for a further connection, and none that nobody uses, until it is looked for one again."""

IDLE_KEPT_S = 1.0
"""When every place of a listener on a network is taken, a connection that has kept the broker waiting for so long gives
up its own: by asking for nothing, by sending a request drop by drop, or by not taking the answer."""

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)

_ONCE = (b"authorization", b"content-type", b"origin", b"sec-websocket-key", b"sec-websocket-version")
"""Headers that must not come twice: which of them counts would be a guess (RFC 9110, 5.3)."""

_WITHOUT_LENGTH = (204, 304)
"""Answers that have no body and must not, or need not, say how long it is (RFC 9110, 8.6)."""

EVENT_SILENCE_S = 15.0
"""A comment goes out when nothing has happened for so long: a peer that went away is noticed, proxies stay patient."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request, read to its end. `target` is path and query as sent; names of `headers` are in lower case.

    What came in several lines of the same name is in one, with commas (RFC 9110, 5.3).
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    version: str = "1.1"
    peer: Credentials | None = None
    """Whose process it is, on a Unix socket."""
    address: str = ""
    """Where the peer is, on a network."""


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """An answer."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Headers = ()
    """Others than those that go with every answer."""
    cache: str = "no-store"
    """What `Cache-Control` says."""


class EventStream(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that goes on: a JSON document for each event. It is cancelled when the peer is gone."""

    events: AsyncIterator[bytes]


class Upgrade(msgspec.Struct, frozen=True, kw_only=True):
    """The answer 101 with these headers; from there on another protocol is spoken (RFC 9110, 7.8).

    `take` is given the stream, and what was read from it already.
    """

    headers: Headers
    take: Callable[[trio.abc.Stream, bytes], object]


class RequestFailed(Exception):
    """The request gets this problem document, with these headers."""

    def __init__(self, status: int, title: str, detail: str = "", headers: Headers = ()) -> None:
        super().__init__(f"{status} {title}: {detail}")
        self.problem = Problem(status=status, title=title, detail=detail)
        self.headers = headers


Answered = Response | EventStream | Upgrade

Respond = Callable[[Request], Awaitable[Answered]]


def problem_response(problem: Problem, headers: Headers = ()) -> Response:
    """The response that carries a problem document."""
    return Response(
        status=problem.status,
        body=msgspec.json.encode(problem),
        content_type="application/problem+json",
        headers=headers,
    )


@asynccontextmanager
async def ending(events: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Events to iterate over; on the way out they are ended, wherever they are, and not left to the collector."""
    try:
        yield events
    finally:
        if isinstance(events, AsyncGenerator):
            await events.aclose()


class HttpServer:
    """Serves one listener.

    Whoever comes when every place is taken waits in the listener's backlog, where he costs no file descriptor; he gets
    the place of whoever has kept the server waiting for the longest, if that is `idle_kept_s` or more. `headers` go
    with every answer; `body_bytes_max` says how long the body of a request may be, by the path; in `closed` is counted
    why connections end, but for those that become something else.
    """

    def __init__(
        self,
        respond: Respond,
        limits: Limits,
        *,
        connections_max: int | None = None,
        idle_kept_s: float = math.inf,
        headers: Headers = (),
        body_bytes_max: Callable[[str], int] | None = None,
        closed: Counter[str] | None = None,
    ) -> None:
        self._respond = respond
        self._limits = limits
        self._closed = Counter() if closed is None else closed
        self._places = trio.Semaphore(connections_max or limits.http_connections_max)
        self._idle_kept_s = idle_kept_s
        self._headers = headers
        self._body_bytes_max = body_bytes_max or (lambda _: limits.http_body_bytes_max)
        self._exchanges: set[_Exchange] = set()
        self._answered = trio.lowlevel.ParkingLot()

    async def serve(self, listener: trio.abc.Listener[Any]) -> None:
        """Serve connections until cancelled; the listener is closed then. A listener that is closed is no error."""
        async with listener, trio.open_nursery() as nursery:
            while True:
                await self._take_place()
                try:
                    stream = await self._accept(listener)
                except trio.ClosedResourceError:
                    return
                nursery.start_soon(self._serve_connection, stream)

    async def _take_place(self) -> None:
        if self._idle_kept_s == math.inf:
            await self._places.acquire()
            return
        while True:
            try:
                self._places.acquire_nowait()
            except trio.WouldBlock:
                self._give_up_one()
            else:
                await trio.lowlevel.checkpoint()
                return
            with trio.move_on_after(PLACE_PAUSE_S):
                await self._places.acquire()
                return

    def _give_up_one(self) -> None:
        """End the connection that has kept the server waiting for the longest, if it was long enough."""
        idle = [each for each in self._exchanges if each.idle_s >= self._idle_kept_s]
        if idle:
            longest = max(idle, key=lambda each: each.idle_s)
            longest.ending = "place_taken"
            longest.scope.cancel()

    async def _accept(self, listener: trio.abc.Listener[trio.abc.Stream]) -> trio.abc.Stream:
        while True:
            try:
                return await listener.accept()
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                _log.warning("cannot accept an admin connection: %s; trying again in %s s", error, ACCEPT_PAUSE_S)
            await trio.sleep(ACCEPT_PAUSE_S)

    async def wait_answered(self) -> None:
        """Wait until no request is being answered, but for those whose answer is a stream. Safe to cancel."""
        while any(exchange.answering for exchange in self._exchanges):
            await self._answered.park()

    async def _serve_connection(self, stream: trio.abc.Stream) -> None:
        exchange = _Exchange(
            stream, self._respond, self._limits, self._answered.unpark_all, self._headers, self._body_bytes_max
        )
        self._exchanges.add(exchange)
        upgraded = None
        try:
            with exchange.scope:
                upgraded = await exchange.run()
            if upgraded is None:
                await stream.aclose()
            else:
                upgraded.take(stream, exchange.trailing)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the peer went away: there is nobody to answer
        except Exception:  # noqa: BLE001 - a defect of ours must not end the broker
            _log.exception("connection closed after an internal error")
        finally:
            if upgraded is None:
                self._closed[exchange.ending] += 1
                await trio.aclose_forcefully(stream)
            self._exchanges.discard(exchange)
            self._answered.unpark_all()
            self._places.release()


class _Exchange:
    """Requests and responses on one connection."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        respond: Respond,
        limits: Limits,
        answered: Callable[[], object],
        headers: Headers = (),
        body_bytes_max: Callable[[str], int] | None = None,
    ) -> None:
        self.scope = trio.CancelScope()
        self.ending = "peer_gone"
        """Why the connection ends: one of `metrics.HTTP_ENDINGS`."""
        self.answering = False
        """Whether a request is read whose answer is not sent yet."""
        self._answered = answered
        self._stream = stream
        self._respond = respond
        self._limits = limits
        self._headers = headers
        self._body_bytes_max = body_bytes_max or (lambda _: limits.http_body_bytes_max)
        self._waiting_since: float | None = None
        self._connection = h11.Connection(h11.SERVER)
        self._is_head = False
        self._peer = peer_credentials(stream)
        self._address = _address(stream)

    @property
    def idle_s(self) -> float:
        """How long this side has waited for the peer to say what it asks, or to take the answer; 0 if it does not."""
        return 0.0 if self._waiting_since is None else trio.current_time() - self._waiting_since

    @property
    def trailing(self) -> bytes:
        """What was read beyond the last request."""
        return bytes(self._connection.trailing_data[0])

    async def run(self) -> Upgrade | None:
        """Answer requests until the peer closes, asks for something unfit, takes too long, or for an `Upgrade`."""
        while True:
            stream: EventStream | None = None
            upgraded: Upgrade | None = None
            with trio.move_on_after(self._limits.http_timeout_s) as scope:
                request = await self._next()
                if request is None:
                    return None
                self.answering = True
                answer = await self._answer(request)
                if isinstance(answer, EventStream):
                    stream = answer
                elif isinstance(answer, Upgrade):
                    await self._stream.send_all(self._switched(answer))
                    upgraded = answer
                else:
                    await self._write(answer, close=False)
            self.answering = False
            self._answered()
            if stream is not None:
                await self._stream_events(stream)
                self.ending = "answered"
                return None
            if upgraded is not None or scope.cancelled_caught or not self._may_go_on():
                self.ending = "timeout" if scope.cancelled_caught else "answered"
                return upgraded
            self._connection.start_next_cycle()

    async def _next(self) -> Request | None:
        """The next request; None when there is none that can be answered, and what was wrong with it is said."""
        try:
            return await self._read()
        except RequestFailed as failed:
            refused = problem_response(failed.problem)
        except h11.RemoteProtocolError as error:
            refused = problem_response(Problem(status=400, title="Bad Request", detail=str(error)))
        self.ending = "bad_request"
        await self._write(refused, close=True)
        await self._linger()
        return None

    async def _linger(self) -> None:
        """Read what the peer still has under way, within bounds; see LINGER_BYTES_MAX."""
        left = LINGER_BYTES_MAX
        self._waiting_since = trio.current_time()
        with trio.move_on_after(LINGER_S):
            if isinstance(self._stream, trio.abc.HalfCloseableStream):
                await self._stream.send_eof()
            while left > 0 and (data := await self._stream.receive_some(READ_BYTES)):
                left -= len(data)

    def _may_go_on(self) -> bool:
        return self._connection.our_state is h11.DONE and self._connection.their_state is h11.DONE

    def _switched(self, upgrade: Upgrade) -> bytes:
        headers = [("connection", "upgrade"), *upgrade.headers]
        return self._connection.send(h11.InformationalResponse(status_code=101, headers=headers)) or b""

    async def _answer(self, request: Request) -> Answered:
        try:
            return await self._respond(request)
        except RequestFailed as failed:
            return problem_response(failed.problem, failed.headers)
        except Exception:  # noqa: BLE001 - a defect of ours: it is logged whole, and this connection goes on
            _log.exception("%s %s failed", request.method, request.target)
            return problem_response(Problem(status=500, title="Internal Server Error", detail="see the broker's log"))

    async def _read(self) -> Request | None:
        """The next request; None when the peer has closed. Raises RequestFailed and h11.RemoteProtocolError."""
        self._is_head = False
        self._waiting_since = trio.current_time()
        head = await self._event()
        if not isinstance(head, h11.Request):
            return None
        if not head.http_version.startswith(b"1."):  # h11 takes any; what follows is no HTTP/1 (RFC 9110, 15.6.6)
            raise RequestFailed(505, "HTTP Version Not Supported", "HTTP/1.1 is spoken here")
        self._is_head = head.method == b"HEAD"
        names = [name for name, _ in head.headers]
        for name in _ONCE:
            if names.count(name) > 1:
                raise RequestFailed(400, "Bad Request", f"the header {name.decode()} comes more than once")
        if {b"content-length", b"transfer-encoding"} <= set(names):  # the two may say different lengths (RFC 9112, 6.3)
            raise RequestFailed(400, "Bad Request", "both Content-Length and Transfer-Encoding")
        bytes_max = self._body_bytes_max(head.target.decode("latin-1").partition("?")[0])
        _check_size(int(dict(head.headers).get(b"content-length", b"0")), bytes_max)
        body = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            body += event.data
            _check_size(len(body), bytes_max)
        self._waiting_since = None
        headers: dict[str, str] = {}
        for raw_name, raw_value in head.headers:
            key, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        return Request(
            method=head.method.decode(),
            target=head.target.decode("latin-1"),
            headers=headers,
            body=bytes(body),
            version=head.http_version.decode(),
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
        headers = [*response.headers]
        if response.status not in _WITHOUT_LENGTH:
            headers += [("content-type", response.content_type), ("content-length", str(len(response.body)))]
        if close:
            headers.append(("connection", "close"))
        data = self._head(response.status, response.cache, headers)
        if not self._is_head:
            data += self._connection.send(h11.Data(data=response.body)) or b""
        data += self._connection.send(h11.EndOfMessage()) or b""
        self._waiting_since = trio.current_time()
        await self._stream.send_all(data)
        self._waiting_since = None

    def _head(self, status: int, cache: str, more: list[tuple[str, str]]) -> bytes:
        headers = [*more, ("cache-control", cache), ("x-content-type-options", "nosniff"), *self._headers]
        return self._connection.send(h11.Response(status_code=status, headers=headers)) or b""

    # --- events ---

    async def _stream_events(self, stream: EventStream) -> None:
        """Send events until there are no more, the peer goes, or it takes nothing for too long."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_when_gone, nursery.cancel_scope)
            if await self._send(self._head(200, "no-store", _OF_EVENTS)) and not self._is_head:
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
        """Send a part of an answer; False if nothing can follow: the peer is gone, or took only half of it in time."""
        with trio.move_on_after(self._limits.http_timeout_s) as scope:
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return False
        return not scope.cancelled_caught

    async def _cancel_when_gone(self, scope: trio.CancelScope) -> None:
        """Whatever the peer says while it is told events, it has nothing more to ask on this connection."""
        try:
            while await self._stream.receive_some(READ_BYTES):
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # gone, as by its own close
        scope.cancel()


_OF_EVENTS = [("content-type", "text/event-stream"), ("connection", "close")]


def _check_size(size: int, bytes_max: int) -> None:
    if size > bytes_max:
        raise RequestFailed(413, "Content Too Large", f"a body has at most {bytes_max} bytes here")


async def _pass_on(events: AsyncIterator[bytes], to: trio.MemorySendChannel[bytes]) -> None:
    async with to, ending(events):
        async for event in events:
            await to.send(event)


def _address(stream: trio.abc.Stream) -> str:
    """`host:port` of the peer, on a network."""
    if isinstance(stream, TransportStream):
        return stream.transport.address
    if not isinstance(stream, trio.SocketStream) or stream.socket.family not in (
        trio.socket.AF_INET,
        trio.socket.AF_INET6,
    ):
        return ""
    host, port, *_ = stream.socket.getpeername()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
