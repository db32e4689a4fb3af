"""Admins: who may administer a broker over the network. Each has a role, and a token that is told once."""

from roost_protocol.admin.route import Asked, Page, Paging, Role, Route, Told
from roost_protocol.frames import Name


class AdminAdd(Asked, frozen=True, kw_only=True):
    """A new admin. The name is for the audit log, and for those who are kicked."""

    name: Name
    role: Role


class AdminAdded(Told, frozen=True, kw_only=True):
    """A new admin with his token. It is not kept: this is the only time that it is said."""

    name: str
    role: Role
    token: str


class AdminRow(Told, frozen=True, kw_only=True):
    """An admin in a listing."""

    name: str
    role: Role
    created: int


class AdminList(Page, frozen=True, kw_only=True):
    """Admins by name."""

    admins: tuple[AdminRow, ...]


class AdminRevoked(Told, frozen=True, kw_only=True):
    """The admin whose token does not count any more."""

    name: str


class Whoami(Told, frozen=True, kw_only=True):
    """Whoever asks: the name that the audit log has, the role, and where he is as the broker sees it."""

    name: str
    role: Role
    address: str


ADMINS_LIST = Route(method="GET", path="/v1/admins", summary="Admins by name", query=Paging, gives=AdminList)
ADMINS_ADD = Route(
    method="POST",
    path="/v1/admins",
    summary="Add an admin; the answer holds his token, this once",
    takes=AdminAdd,
    gives=AdminAdded,
    role="admin",
)
ADMINS_REVOKE = Route(
    method="DELETE",
    path="/v1/admins/{admin}",
    summary="Remove an admin; his token does not count any more",
    gives=AdminRevoked,
    role="admin",
)
WHOAMI = Route(
    method="GET",
    path="/v1/whoami",
    summary="Who asks, and what he may do",
    gives=Whoami,
    told_caller=True,
)

ROUTES = (ADMINS_LIST, ADMINS_ADD, ADMINS_REVOKE, WHOAMI)
