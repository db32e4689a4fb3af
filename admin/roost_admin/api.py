"""The admin API of a running broker, over its Unix socket: one request on one connection, blocking."""

import errno
import http.client
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec

from roost_admin.failures import (
    EX_CONFIG,
    EX_DATAERR,
    EX_NOPERM,
    EX_NOUSER,
    EX_SOFTWARE,
    EX_TEMPFAIL,
    EX_UNAVAILABLE,
    Failure,
)
from roost_protocol import admin

TIMEOUT_S = 40.0
"""Longer than a broker allows itself for a request (`Limits.http_timeout_s`)."""

_STATUS = {401: EX_NOPERM, 403: EX_NOPERM, 404: EX_NOUSER, 500: EX_SOFTWARE, 503: EX_TEMPFAIL, 507: EX_TEMPFAIL}
"""Exit status for each HTTP status; any other refusal is about what was given."""

T = TypeVar("T", bound=msgspec.Struct)
Row = TypeVar("Row")


class AdminApi:
    """What can be asked of the broker behind the socket at `path`. Every method raises Failure."""

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        self.path = path
        self._timeout_s = timeout_s

    def status(self) -> admin.BrokerStatus:
        """The broker as a whole."""
        return self._ask(admin.STATUS, admin.BrokerStatus)

    def users(self) -> list[admin.UserRow]:
        """Every user, by name."""
        return self._pages(admin.USERS_LIST, admin.UserList, lambda page: page.users, lambda page: page.next)

    def create_user(self, name: str, password: str) -> admin.UserRow:
        """Create an account."""
        return self._ask(admin.USERS_CREATE, admin.UserRow, admin.UserCreate(name=name, password=password))

    def sessions(self) -> list[admin.SessionRow]:
        """Every live session, by user and terminal type."""
        return self._pages(admin.SESSIONS_LIST, admin.SessionList, lambda page: page.sessions, lambda page: page.next)

    def kick(self, user: str, terminal: str | None, text: str) -> admin.Kicked:
        """End the session of a user on a terminal type, or on all."""
        return self._ask(admin.SESSIONS_KICK, admin.Kicked, admin.Kick(user=user, terminal=terminal, text=text))

    def groups(self) -> list[admin.GroupRow]:
        """Every group, by name."""
        return self._pages(admin.GROUPS_LIST, admin.GroupList, lambda page: page.groups, lambda page: page.next)

    def create_group(self, name: str, owner: str, members: tuple[str, ...]) -> admin.GroupRow:
        """Create a group."""
        return self._ask(
            admin.GROUPS_CREATE, admin.GroupRow, admin.GroupCreate(name=name, owner=owner, members=members)
        )

    def add_members(self, group: str, members: tuple[str, ...]) -> admin.GroupRow:
        """Add members to a group, all or none."""
        return self._ask(admin.GROUPS_CHANGE, admin.GroupRow, admin.GroupChange(add=members), name=group)

    def _pages(
        self,
        route: admin.Route,
        wanted: type[T],
        rows: Callable[[T], tuple[Row, ...]],
        following: Callable[[T], str | None],
    ) -> list[Row]:
        found: list[Row] = []
        after: str | None = ""
        while after is not None:
            page = self._ask(route, wanted, after=after)
            found += rows(page)
            after = following(page)
        return found

    def _ask(
        self,
        route: admin.Route,
        wanted: type[T],
        body: msgspec.Struct | None = None,
        *,
        name: str = "",
        after: str = "",
    ) -> T:
        path = route.path.replace("{name}", quote(name, safe=""))
        if after:
            path += "?" + urlencode({"after": after})
        status, answer = self._exchange(route.method, path, None if body is None else msgspec.json.encode(body))
        if status != http.client.OK:
            raise _refusal(status, answer)
        try:
            return msgspec.json.decode(answer, type=wanted)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Failure(
                f"{self.path}: the answer is not that of a broker of this version: {error}", EX_SOFTWARE
            ) from error

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        connection = _UnixConnection(self.path, self._timeout_s)
        try:
            connection.request(method, path, body, {"content-type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        except TimeoutError as error:
            raise Failure(f"the broker at {self.path} did not answer in {self._timeout_s:g} s", EX_TEMPFAIL) from error
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(self.path, error) from error
        finally:
            connection.close()


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Open the socket. Raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _refusal(status: int, answer: bytes) -> Failure:
    try:
        problem = msgspec.json.decode(answer, type=admin.Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = admin.Problem(status=status, title=f"HTTP status {status}")
    return Failure(problem.detail or problem.title, _STATUS.get(status, EX_DATAERR))


def _unreachable(path: Path, error: OSError | http.client.HTTPException) -> Failure:
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOENT, errno.ENOTDIR):
        return Failure(
            f"no broker here: there is no admin socket {path}; start one with `roost serve`, "
            "or name another with --data DIR or --socket PATH",
            EX_UNAVAILABLE,
        )
    if number == errno.ECONNREFUSED:
        return Failure(
            f"no broker: nobody listens on the admin socket {path}; start one with `roost serve`", EX_UNAVAILABLE
        )
    if number in (errno.EACCES, errno.EPERM):
        return Failure(f"no right to the admin socket {path}: only the user that runs the broker may use it", EX_NOPERM)
    if type(error) is OSError and number is None:
        # What Python says before it asks the system: the path is too long for a socket.
        return Failure(f"admin socket {path}: {error}", EX_CONFIG)
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    return Failure(f"the broker at {path} did not answer: {reason}", EX_UNAVAILABLE)
