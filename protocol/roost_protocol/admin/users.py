"""Accounts."""

from roost_protocol.admin.route import Asked, Page, Paging, Route, Told
from roost_protocol.frames import Name, Secret


class UserCreate(Asked, frozen=True, kw_only=True):
    """A new account."""

    name: Name
    password: Secret


class UserRow(Told, frozen=True, kw_only=True):
    """A user in a listing."""

    name: str
    created: int
    disabled: bool
    head: int
    floor: int
    devices: int
    online: tuple[str, ...]
    """Terminal types that have a live session."""


class UserList(Page, frozen=True, kw_only=True):
    """Users by name."""

    users: tuple[UserRow, ...]


USERS_LIST = Route(method="GET", path="/v1/users", summary="Users by name", query=Paging, gives=UserList)
USERS_CREATE = Route(
    method="POST", path="/v1/users", summary="Create an account", takes=UserCreate, gives=UserRow, role="operate"
)

ROUTES = (USERS_LIST, USERS_CREATE)
