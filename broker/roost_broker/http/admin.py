"""The admin API: the routes of `roost_protocol.admin`, each an act of `Administration`."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from roost_broker.administration import Administration, NotDone
from roost_broker.http.server import Request, RequestFailed, Response
from roost_protocol import admin
from roost_protocol.reasons import Reason

Query = dict[str, str]
Act = Callable[[Administration, Any, str, Query], Awaitable[msgspec.Struct]]

_STATUS = {
    Reason.NOT_FOUND: (404, "Not Found"),
    Reason.ALREADY_EXISTS: (409, "Conflict"),
    Reason.NOT_A_MEMBER: (409, "Conflict"),
    Reason.QUOTA_EXCEEDED: (507, "Insufficient Storage"),
    Reason.SERVER_BUSY: (503, "Service Unavailable"),
}


async def _status(acts: Administration, body: None, name: str, query: Query) -> msgspec.Struct:
    return await acts.status()


async def _users(acts: Administration, body: None, name: str, query: Query) -> msgspec.Struct:
    return await acts.users(query.get("after", ""), _limit(query))


async def _create_user(acts: Administration, body: admin.UserCreate, name: str, query: Query) -> msgspec.Struct:
    return await acts.create_user(body.name, body.password)


async def _sessions(acts: Administration, body: None, name: str, query: Query) -> msgspec.Struct:
    return acts.sessions(query.get("after", ""), _limit(query))


async def _kick(acts: Administration, body: admin.Kick, name: str, query: Query) -> msgspec.Struct:
    return await acts.kick(body.user, body.terminal, body.text)


async def _groups(acts: Administration, body: None, name: str, query: Query) -> msgspec.Struct:
    return await acts.groups(query.get("after", ""), _limit(query))


async def _create_group(acts: Administration, body: admin.GroupCreate, name: str, query: Query) -> msgspec.Struct:
    return await acts.create_group(body.name, body.owner, body.members)


async def _change_group(acts: Administration, body: admin.GroupChange, name: str, query: Query) -> msgspec.Struct:
    return await acts.change_group(name, body.add, body.remove)


_ACTS: dict[admin.Route, Act] = {
    admin.STATUS: _status,
    admin.USERS_LIST: _users,
    admin.USERS_CREATE: _create_user,
    admin.SESSIONS_LIST: _sessions,
    admin.SESSIONS_KICK: _kick,
    admin.GROUPS_LIST: _groups,
    admin.GROUPS_CREATE: _create_group,
    admin.GROUPS_CHANGE: _change_group,
}


class AdminApi:
    """Answers requests of admins."""

    def __init__(self, acts: Administration) -> None:
        self._acts = acts

    async def respond(self, request: Request) -> Response:
        """The answer to a request. Raises RequestFailed."""
        try:
            split = urlsplit(request.target)
        except ValueError as error:
            raise RequestFailed(400, "Bad Request", f"the target: {error}") from error
        route, name = _match(request.method, split.path)
        query = {key: values[-1] for key, values in parse_qs(split.query).items()}
        body = None if route.takes is None else _decode(route.takes, request)
        try:
            answer = await _ACTS[route](self._acts, body, name, query)
        except NotDone as error:
            status, title = _STATUS.get(error.reason, (422, "Unprocessable Content"))
            raise RequestFailed(status, title, str(error)) from error
        return Response(status=200, body=msgspec.json.encode(answer))


def _match(method: str, path: str) -> tuple[admin.Route, str]:
    """The route that a request means, and the `{name}` in its path. Raises RequestFailed."""
    other_methods = []
    for route in admin.ROUTES:
        before, _, after = route.path.partition("{name}")
        name = path.removeprefix(before).removesuffix(after) if after else ""
        if path != route.path.replace("{name}", name) or "/" in name:
            continue
        if route.method == ("GET" if method == "HEAD" else method):
            return route, unquote(name, errors="replace")
        other_methods.append(route.method)
    if other_methods:
        raise RequestFailed(405, "Method Not Allowed", f"{path} takes {', '.join(other_methods)}, not {method}")
    raise RequestFailed(404, "Not Found", f"there is nothing at {path}")


def _decode(wanted: type[msgspec.Struct], request: Request) -> msgspec.Struct:
    if request.content_type.partition(";")[0].strip().lower() != "application/json":
        raise RequestFailed(415, "Unsupported Media Type", "the body is application/json")
    try:
        return msgspec.json.decode(request.body, type=wanted)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestFailed(400, "Bad Request", f"the body: {error}") from error


def _limit(query: Query) -> int | None:
    text = query.get("limit")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text)):
        raise RequestFailed(400, "Bad Request", f"limit is a number from 1 on, not {text[:32]!r}")
    return int(text)
