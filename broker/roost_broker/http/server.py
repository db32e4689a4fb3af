"""A small HTTP/1.1 server on h11 over Trio streams: one request after the other on each connection, all within bounds.

It knows nothing of what is asked; `respond` turns a request into a response. Whatever goes wrong there becomes a
problem document (RFC 9457), never a traceback on the wire.
"""

import logging
from collections.abc import Awaitable, Callable

import h11
import msgspec
import trio

from roost_protocol.admin import Problem
from roost_protocol.limits import Limits

_log = logging.getLogger(__name__)

READ_BYTES = 64 * 1024


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request, read to its end. `target` is path and query as sent."""

    method: str
    target: str
    content_type: str
    body: bytes


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """An answer."""

    status: int
    body: bytes
    content_type: str = "application/json"


class RequestFailed(Exception):
    """The request gets this problem document."""

    def __init__(self, status: int, title: str, detail: str = "") -> None:
        super().__init__(f"{status} {title}: {detail}")
        self.problem = Problem(status=status, title=title, detail=detail)


Respond = Callable[[Request], Awaitable[Response]]


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

    async def run(self) -> None:
        """Answer requests until the peer closes, asks for something unfit, or takes too long."""
        while True:
            with trio.move_on_after(self._limits.http_timeout_s) as scope:
                if not await self._one():
                    return
            if scope.cancelled_caught:
                return
            self._connection.start_next_cycle()

    async def _one(self) -> bool:
        """Read and answer one request; whether there may be another on this connection."""
        try:
            request = await self._read()
        except RequestFailed as failed:
            await self._write(problem_response(failed.problem), close=True)
            return False
        except h11.RemoteProtocolError as error:
            await self._write(problem_response(Problem(status=400, title="Bad Request", detail=str(error))), close=True)
            return False
        if request is None:
            return False
        await self._write(await self._answer(request), close=False)
        return self._connection.our_state is h11.DONE and self._connection.their_state is h11.DONE

    async def _answer(self, request: Request) -> Response:
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
        headers = {name: value.decode("latin-1") for name, value in head.headers}
        return Request(
            method=head.method.decode(),
            target=head.target.decode("latin-1"),
            content_type=headers.get(b"content-type", ""),
            body=bytes(body),
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
        headers = [
            ("content-type", response.content_type),
            ("content-length", str(len(response.body))),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
        ]
        if close:
            headers.append(("connection", "close"))
        data = self._connection.send(h11.Response(status_code=response.status, headers=headers)) or b""
        if not self._is_head:
            data += self._connection.send(h11.Data(data=response.body)) or b""
        data += self._connection.send(h11.EndOfMessage()) or b""
        await self._stream.send_all(data)
