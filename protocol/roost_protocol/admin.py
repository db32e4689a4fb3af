"""The typed messages of the admin API: HTTP/1.1 with JSON bodies, under `/v1`.

`ROUTES` is the table of it: method and path, what goes in, what comes out. Both the broker and the command line are
written against these types. An error is a problem document (RFC 9457).
"""

from typing import NamedTuple

from msgspec import Struct

from roost_protocol.frames import Name, Names, Secret, Text


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was not done (RFC 9457)."""

    status: int
    title: str
    detail: str = ""


class BrokerStatus(Struct, frozen=True, kw_only=True):
    """The broker as a whole. Times are Unix time in ms."""

    version: str
    pid: int
    started: int
    listeners: tuple[str, ...]
    draining: bool
    connections: int
    sessions: int
    published: int
    users: int
    devices: int
    groups: int
    messages: int
    store_used_bytes: int
    store_map_bytes: int


class UserCreate(Struct, frozen=True, kw_only=True):
    """A new account."""

    name: Name
    password: Secret


class UserRow(Struct, frozen=True, kw_only=True):
    """A user in a listing."""

    name: str
    created: int
    disabled: bool
    head: int
    floor: int
    devices: int
    online: tuple[str, ...]
    """Terminal types that have a live session."""


class UserList(Struct, frozen=True, kw_only=True):
    """Users by name; `next` continues after the last one, None at the end."""

    users: tuple[UserRow, ...]
    next: str | None = None


class SessionRow(Struct, frozen=True, kw_only=True):
    """A live session. `backlog`: entries it has not been sent yet; `unacknowledged`: sent, not yet acknowledged."""

    user: str
    terminal: str
    device: str
    client: str
    address: str
    since: int
    epoch: int
    position: int
    acknowledged: int
    head: int
    backlog: int
    unacknowledged: int


class SessionList(Struct, frozen=True, kw_only=True):
    """Live sessions by user and terminal type; `next` continues after the last one, None at the end."""

    sessions: tuple[SessionRow, ...]
    next: str | None = None


class Kick(Struct, frozen=True, kw_only=True):
    """End a user's session on one terminal type, or all. The device is told, and does not come back by itself."""

    user: Name
    terminal: str | None = None
    text: Text = ""


class Kicked(Struct, frozen=True, kw_only=True):
    """The terminal types whose session was ended."""

    terminals: tuple[str, ...]


class GroupCreate(Struct, frozen=True, kw_only=True):
    """A new group; the owner is a member."""

    name: Name
    owner: Name
    members: Names = ()


class GroupChange(Struct, frozen=True, kw_only=True):
    """Change the members of a group, all or none."""

    add: Names = ()
    remove: Names = ()


class GroupRow(Struct, frozen=True, kw_only=True):
    """A group with its members."""

    name: str
    owner: str
    members: tuple[str, ...]


class GroupList(Struct, frozen=True, kw_only=True):
    """Groups by name; `next` continues after the last one, None at the end."""

    groups: tuple[GroupRow, ...]
    next: str | None = None


class Route(NamedTuple):
    """One thing that can be asked. `{name}` in a path is percent-encoded UTF-8."""

    method: str
    path: str
    takes: type[Struct] | None
    gives: type[Struct]


STATUS = Route("GET", "/v1/status", None, BrokerStatus)
USERS_LIST = Route("GET", "/v1/users", None, UserList)
USERS_CREATE = Route("POST", "/v1/users", UserCreate, UserRow)
SESSIONS_LIST = Route("GET", "/v1/sessions", None, SessionList)
SESSIONS_KICK = Route("POST", "/v1/sessions/kick", Kick, Kicked)
GROUPS_LIST = Route("GET", "/v1/groups", None, GroupList)
GROUPS_CREATE = Route("POST", "/v1/groups", GroupCreate, GroupRow)
GROUPS_CHANGE = Route("POST", "/v1/groups/{name}/members", GroupChange, GroupRow)

ROUTES = (
    STATUS,
    USERS_LIST,
    USERS_CREATE,
    SESSIONS_LIST,
    SESSIONS_KICK,
    GROUPS_LIST,
    GROUPS_CREATE,
    GROUPS_CHANGE,
)
"""The whole API."""
