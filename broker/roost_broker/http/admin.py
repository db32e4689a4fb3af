"""The admin API over HTTP: a request is matched with the table of routes, checked, answered by its act, and audited.

Whoever asks is known before anything else is looked at. An act that changes something is answered when the audit log
says so on the disk; also when it was refused, or cut short and nobody knows what became of it.
"""

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
import trio
from msgspec import Struct

from roost_broker.administration import Administration, NotDone, ReadFailed
from roost_broker.audit import AuditLine, AuditLog, NotAudited, without_secrets
from roost_broker.http.callers import Callers, role_needed
from roost_broker.http.openapi import PATH as OPENAPI_PATH
from roost_broker.http.openapi import openapi_document
from roost_broker.http.prometheus import CONTENT_TYPE, Exposition
from roost_broker.http.reading import read_body, read_name, read_query, read_target
from roost_broker.http.server import EventStream, Request, RequestFailed, Response, ending
from roost_broker.readiness import ReadinessCheck
from roost_protocol.admin.health import LIVE_PATH, READY_PATH, Alive
from roost_protocol.admin.route import ROLES, Asked, Caller, Problem, Role, Route
from roost_protocol.admin.table import ROUTES
from roost_protocol.reasons import Reason

_log = logging.getLogger(__name__)

AUDIT_AT_THE_END_S = 5.0
"""An act that is cancelled has so long to get its line into the audit log."""

LOOK_AGAIN_S = 1.0
"""Who is told events is looked at again after so long: a token that was revoked ends them."""

METRICS_PATH = "/metrics"
"""No route of the API: what is there is text, for Prometheus. Whoever may read may have it."""

_STATUS = {
    Reason.NOT_FOUND: (404, "Not Found"),
    Reason.ALREADY_EXISTS: (409, "Conflict"),
    Reason.NOT_A_MEMBER: (409, "Conflict"),
    Reason.UNKNOWN_RECIPIENT: (404, "Not Found"),
    Reason.PACKET_TOO_LARGE: (413, "Content Too Large"),
    Reason.QUOTA_EXCEEDED: (507, "Insufficient Storage"),
    Reason.SERVER_BUSY: (503, "Service Unavailable"),
}

Answer = Response | EventStream


class Matched(NamedTuple):
    """The route that a request means, and what stands in its path for each `{word}`."""

    route: Route[Any]
    names: tuple[str, ...]


class _Asking(Struct, kw_only=True):
    """A request to a route, as far as it has been read."""

    request: Request
    search: str
    caller: Caller
    route: Route[Any]
    names: tuple[str, ...]
    query: Asked | None = None
    body: Asked | None = None


class AdminApi:
    """Answers requests of admins. `callers` says who asks; every act that has to be is written to `audit`."""

    def __init__(
        self, administration: Administration, callers: Callers, audit: AuditLog, readiness: ReadinessCheck
    ) -> None:
        self._acts = administration.acts
        self._callers = callers
        self._exposition = Exposition(administration.core, administration.server)
        self._audit = audit
        self._readiness = readiness
        self._for_anybody: dict[str, Callable[[], Awaitable[Response]]] = {
            LIVE_PATH: self._alive,
            READY_PATH: self._ready,
        }
        """What is answered without asking who it is, by path."""

    async def respond(self, request: Request) -> Answer:
        """The answer to a request. Raises RequestFailed."""
        target = read_target(request)
        anybody = self._for_anybody.get(target.path)
        if anybody is not None:
            _check_method(request.method, "GET", target.path)
            return await anybody()
        caller = await self._callers(request)
        if target.path == OPENAPI_PATH:
            _check_method(request.method, "GET", target.path)
            _check_role("read", caller, target.path)
            return Response(status=200, body=openapi_document())
        if target.path == METRICS_PATH:
            _check_method(request.method, "GET", target.path)
            try:
                text = await self._exposition.text()
            except ReadFailed as error:
                raise RequestFailed(500, "Internal Server Error", str(error)) from error
            return Response(status=200, body=text, content_type=CONTENT_TYPE)
        route, segments = match(request.method, target.path)
        asking = _Asking(request=request, search=target.query, caller=caller, route=route, names=segments)
        if not (route.changes or route.audited):
            return await self._answer(asking)
        return await self._answer_audited(asking)

    async def _alive(self) -> Response:
        return Response(status=200, body=msgspec.json.encode(Alive()))

    async def _ready(self) -> Response:
        found = await self._readiness.look()
        return Response(status=200 if found.ready else 503, body=msgspec.json.encode(found))

    async def _answer(self, asking: _Asking) -> Answer:
        route = asking.route
        _check_role(route.role, asking.caller, f"{route.method} {route.path}")
        asking.names = tuple(read_name(segment) for segment in asking.names)
        args: list[Any] = list(asking.names)
        if route.query is not None:
            asking.query = read_query(route.query, asking.search)
            args.append(asking.query)
        elif asking.search:
            raise RequestFailed(400, "Bad Request", f"{route.method} {route.path} takes no query")
        if route.takes is not None:
            asking.body = read_body(route.takes, asking.request)
            args.append(asking.body)
        if route.changes or route.told_caller:
            args.append(asking.caller)
        try:
            answer = await self._acts[route](*args)
        except ReadFailed as error:
            _log.error("%s %s: %s", route.method, asking.request.target, error)
            raise RequestFailed(500, "Internal Server Error", f"{error}; `roost fsck` says more") from error
        except NotDone as error:
            status, title = _STATUS.get(error.reason, (422, "Unprocessable Content"))
            raise RequestFailed(status, title, str(error)) from error
        if route.streams:
            return EventStream(events=self._told(asking.request, answer))
        return Response(status=200, body=msgspec.json.encode(answer))

    async def _told(self, request: Request, events: AsyncIterator[Struct]) -> AsyncIterator[bytes]:
        """Events as JSON, for as long as whoever asked may ask."""
        looked = trio.current_time()
        async with ending(events):
            try:
                async for event in events:
                    if trio.current_time() - looked >= LOOK_AGAIN_S:
                        looked = trio.current_time()
                        try:
                            await self._callers(request)
                        except RequestFailed:
                            return
                    yield msgspec.json.encode(event)
            except (
                ReadFailed
            ) as error:  # what ends the events is missing then: whoever asked knows that they are cut short
                _log.error("%s %s: cut short: %s", request.method, request.target, error)

    # --- the audit log ---

    async def _answer_audited(self, asking: _Asking) -> Answer:
        try:
            await self._audit.recover()
        except NotAudited as error:
            raise RequestFailed(503, "Service Unavailable", f"nothing is changed now: {error}") from error
        try:
            answer = await self._answer(asking)
        except RequestFailed as failed:
            await self._write(asking, failed.problem)
            raise
        except trio.Cancelled:
            with trio.move_on_after(AUDIT_AT_THE_END_S, shield=True):
                await self._write(asking, "unknown: it took too long, or the broker stopped")
            raise
        except Exception:
            await self._write(asking, "unknown: it failed; the broker's log says more")
            raise
        written = await self._write(asking, "begun" if isinstance(answer, EventStream) else "done")
        if not written:
            raise RequestFailed(500, "Internal Server Error", f"it was done, but is not audited: {self._audit.failure}")
        return answer

    async def _write(self, asking: _Asking, result: Problem | str) -> bool:
        """Write a line; whether that could be done. What could not is kept, and nothing more is begun until it is."""
        line = AuditLine(
            time=self._audit.time(),
            who=asking.caller.name,
            role=asking.caller.role,
            address=asking.caller.address,
            route=f"{asking.route.method} {asking.route.path}",
            names=tuple(without_secrets(asking.names)),
            query=without_secrets(asking.query),
            body=without_secrets(asking.body),
            result=result,
        )
        try:
            await self._audit.write(line)
        except NotAudited:
            return False
        return True


_PATTERNS = tuple((re.compile(re.sub(r"\{\w+\}", "([^/]+)", route.path)), route) for route in ROUTES)


def match(method: str, path: str) -> Matched:
    """The route that a request means, with the segments of its path as they were sent. Raises RequestFailed."""
    other_methods: list[str] = []
    for pattern, route in _PATTERNS:
        found = pattern.fullmatch(path)
        if found is None:
            continue
        if route.method == ("GET" if method == "HEAD" else method):
            return Matched(route, found.groups())
        other_methods.append(route.method)
    if other_methods:
        raise _method_not_allowed(method, other_methods, path)
    raise RequestFailed(404, "Not Found", f"there is nothing at {path}")


def _check_method(method: str, allowed: str, path: str) -> None:
    if ("GET" if method == "HEAD" else method) != allowed:
        raise _method_not_allowed(method, [allowed], path)


def _method_not_allowed(method: str, allowed: list[str], path: str) -> RequestFailed:
    """RFC 9110, 15.5.6: the answer says what is allowed."""
    all_allowed = ", ".join(sorted({*allowed, *(["HEAD"] if "GET" in allowed else [])}))
    detail = f"{path} takes {all_allowed}, not {method}"
    return RequestFailed(405, "Method Not Allowed", detail, (("allow", all_allowed),))


def _check_role(needed: Role, caller: Caller, what: str) -> None:
    if ROLES.index(caller.role) < ROLES.index(needed):
        text = f"{caller.name} has the role {caller.role}; {what} needs {needed}"
        raise RequestFailed(403, "Forbidden", text, role_needed(needed))
