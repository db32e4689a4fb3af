"""The admin API of a running broker, wherever it is: one request on one connection, blocking."""

import http.client
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec

from roost_admin.endpoints import Endpoint, UnixEndpoint
from roost_admin.failures import EX_DATAERR, EX_NOPERM, EX_NOUSER, EX_SOFTWARE, EX_TEMPFAIL, EX_UNAVAILABLE, Failure
from roost_protocol.admin.route import FIRST_PAGE, Page, Paging, Problem, Route

TIMEOUT_S = 40.0
"""Longer than a broker allows itself for a request (`Limits.http_timeout_s`)."""

_STATUS = {401: EX_NOPERM, 403: EX_NOPERM, 404: EX_NOUSER, 500: EX_SOFTWARE, 503: EX_TEMPFAIL, 507: EX_TEMPFAIL}
"""Exit status for each HTTP status; any other refusal is about what was given."""

G = TypeVar("G", bound=msgspec.Struct)
P = TypeVar("P", bound=Page)
Row = TypeVar("Row")


class AdminApi:
    """What can be asked of a broker, behind the socket at a path or another endpoint. Every method raises Failure."""

    def __init__(self, where: Path | Endpoint, timeout_s: float = TIMEOUT_S) -> None:
        self.endpoint: Endpoint = UnixEndpoint(where) if isinstance(where, Path) else where
        self._timeout_s = timeout_s

    def ask(
        self, route: Route[G], *names: str, query: msgspec.Struct | None = None, body: msgspec.Struct | None = None
    ) -> G:
        """Ask for what a route gives; `names` stand in its path."""
        data = None if body is None else msgspec.json.encode(body)
        status, answer = self._exchange(route.method, target(route, names, query), data)
        if status != http.client.OK:
            raise _refusal(status, answer)
        return self._decoded(answer, route.gives)

    def rows(
        self,
        route: Route[P],
        rows: Callable[[P], tuple[Row, ...]],
        *names: str,
        query: Paging = FIRST_PAGE,
    ) -> Iterator[Row]:
        """All rows of a listing, asked for page by page as they are taken; `rows` gives those of a page."""
        after: str | None = query.after
        while after is not None:
            page = self.ask(route, *names, query=msgspec.structs.replace(query, after=after))
            yield from rows(page)
            after = page.next

    @contextmanager
    def follow(
        self, route: Route[G], *names: str, query: msgspec.Struct | None = None, body: msgspec.Struct | None = None
    ) -> Iterator[Iterator[G]]:
        """The events of a route that streams, until the broker ends them. Leaving the block ends them, too."""
        connection = self._connection()
        try:
            data = None if body is None else msgspec.json.encode(body)
            response = self._begin(connection, route.method, target(route, names, query), data)
            with response:
                if response.status != http.client.OK:
                    raise _refusal(response.status, response.read())
                yield self._events(response, route.gives)
        finally:
            connection.close()

    def ended(self) -> Failure:
        """What it means that events which go on for ever have ended."""
        return Failure(
            f"{self.endpoint}: the broker has ended the view: it stops, or you may look no more", EX_UNAVAILABLE
        )

    def _events(self, response: http.client.HTTPResponse, wanted: type[G]) -> Iterator[G]:
        while True:
            try:
                line = response.readline()
            except (OSError, http.client.HTTPException) as error:
                raise self.endpoint.unreachable(error) from error
            if not line:
                return
            if line.startswith(b"data: "):
                yield self._decoded(line.removeprefix(b"data: "), wanted)

    def _decoded(self, answer: bytes, wanted: type[G]) -> G:
        try:
            return msgspec.json.decode(answer, type=wanted)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Failure(
                f"{self.endpoint}: the answer is not that of a broker of this version: {error}", EX_SOFTWARE
            ) from error

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        connection = self._connection()
        try:
            response = self._begin(connection, method, path, body)
            try:
                return response.status, response.read()
            except (OSError, http.client.HTTPException) as error:
                raise self._no_answer(error) from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return self.endpoint.connection(self._timeout_s)

    def _begin(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None
    ) -> http.client.HTTPResponse:
        """Ask, and read the head of the answer. Raises Failure."""
        headers = self.endpoint.headers
        if body is not None:
            headers["content-type"] = "application/json"
        try:
            connection.request(method, path, body, headers)
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise self._no_answer(error) from error

    def _no_answer(self, error: OSError | http.client.HTTPException) -> Failure:
        if isinstance(error, TimeoutError):
            return Failure(f"the broker at {self.endpoint} did not answer in {self._timeout_s:g} s", EX_TEMPFAIL)
        return self.endpoint.unreachable(error)


def target(route: Route[G], names: tuple[str, ...], query: msgspec.Struct | None) -> str:
    """Path and query that ask for a route."""
    path = route.path
    for name in names:
        path = re.sub(r"\{\w+\}", lambda _, name=name: quote(name, safe=""), path, count=1)  # type: ignore[misc]
    if query is None:
        return path
    values: list[tuple[str, str]] = []
    for key, value in msgspec.to_builtins(query).items():
        for each in value if isinstance(value, list | tuple) else [value]:
            if each not in (None, ""):
                values.append((key, str(each).lower() if isinstance(each, bool) else str(each)))
    return path + ("?" + urlencode(values) if values else "")


def _refusal(status: int, answer: bytes) -> Failure:
    try:
        problem = msgspec.json.decode(answer, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problem = Problem(status=status, title=f"HTTP status {status}")
    return Failure(problem.detail or problem.title, _STATUS.get(status, EX_DATAERR))
