"""The admin API over HTTP: a request is matched with the table of routes, checked, and answered by its act."""

import re
from collections.abc import AsyncIterator
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from roost_broker.administration import Administration, NotDone
from roost_broker.http.callers import Callers
from roost_broker.http.server import EventStream, Request, RequestFailed, Response, closing_events
from roost_protocol.admin.route import ROLES, Asked, Caller, Route
from roost_protocol.admin.table import ROUTES
from roost_protocol.reasons import Reason

S = TypeVar("S", bound=msgspec.Struct)

_STATUS = {
    Reason.NOT_FOUND: (404, "Not Found"),
    Reason.ALREADY_EXISTS: (409, "Conflict"),
    Reason.NOT_A_MEMBER: (409, "Conflict"),
    Reason.UNKNOWN_RECIPIENT: (404, "Not Found"),
    Reason.PACKET_TOO_LARGE: (413, "Content Too Large"),
    Reason.QUOTA_EXCEEDED: (507, "Insufficient Storage"),
    Reason.SERVER_BUSY: (503, "Service Unavailable"),
}


class Matched(NamedTuple):
    """The route that a request means, and what stands in its path for each `{word}`."""

    route: Route[Any]
    names: tuple[str, ...]


class AdminApi:
    """Answers requests of admins. `callers` says who asks."""

    def __init__(self, administration: Administration, callers: Callers) -> None:
        self._acts = administration.acts
        self._callers = callers

    async def respond(self, request: Request) -> Response | EventStream:
        """The answer to a request. Raises RequestFailed."""
        caller = self._callers(request)
        try:
            split = urlsplit(request.target)
        except ValueError as error:
            raise RequestFailed(400, "Bad Request", f"the target: {error}") from error
        route, names = match(request.method, split.path)
        _check_role(route, caller)
        args: list[Any] = list(names)
        if route.query is not None:
            args.append(_query(route.query, split.query))
        if route.takes is not None:
            args.append(_body(route.takes, request))
        if route.changes:
            args.append(caller)
        return await self._answer(route, args)

    async def _answer(self, route: Route[Any], args: list[Any]) -> Response | EventStream:
        try:
            answer = await self._acts[route](*args)
        except NotDone as error:
            status, title = _STATUS.get(error.reason, (422, "Unprocessable Content"))
            raise RequestFailed(status, title, str(error)) from error
        if route.streams:
            return EventStream(events=_encoded(answer))
        return Response(status=200, body=msgspec.json.encode(answer))


async def _encoded(events: AsyncIterator[msgspec.Struct]) -> AsyncIterator[bytes]:
    async with closing_events(events):
        async for event in events:
            yield msgspec.json.encode(event)


_PATTERNS = tuple((re.compile(re.sub(r"\{\w+\}", "([^/]+)", route.path)), route) for route in ROUTES)


def match(method: str, path: str) -> Matched:
    """The route that a request means. Raises RequestFailed."""
    other_methods = []
    for pattern, route in _PATTERNS:
        found = pattern.fullmatch(path)
        if found is None:
            continue
        if route.method == ("GET" if method == "HEAD" else method):
            return Matched(route, tuple(unquote(name, errors="replace") for name in found.groups()))
        other_methods.append(route.method)
    if other_methods:
        raise RequestFailed(405, "Method Not Allowed", f"{path} takes {', '.join(other_methods)}, not {method}")
    raise RequestFailed(404, "Not Found", f"there is nothing at {path}")


def _check_role(route: Route[Any], caller: Caller) -> None:
    if ROLES.index(caller.role) < ROLES.index(route.role):
        text = f"{caller.name} has the role {caller.role}; {route.method} {route.path} needs {route.role}"
        raise RequestFailed(403, "Forbidden", text)


def _query(wanted: type[S], query: str) -> S:
    """The query as its type has it: one value for each key, or several where that is a tuple."""
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(wanted)}
    given: dict[str, object] = {}
    for key, values in parse_qs(query).items():
        many = getattr(fields.get(key), "__origin__", None) is tuple
        given[key] = values if many else values[-1]
    try:
        return msgspec.convert(given, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise RequestFailed(400, "Bad Request", f"the query: {error}") from error


def _body(wanted: type[Asked], request: Request) -> Asked:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RequestFailed(415, "Unsupported Media Type", "the body is application/json")
    try:
        return msgspec.json.decode(request.body, type=wanted)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestFailed(400, "Bad Request", f"the body: {error}") from error
