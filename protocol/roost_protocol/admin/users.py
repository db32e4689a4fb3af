"""Accounts."""

from roost_protocol.admin.devices import DeviceRow
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
    importing: bool = False
    """Not all of an import is here yet."""


class UserList(Page, frozen=True, kw_only=True):
    """Users by name."""

    users: tuple[UserRow, ...]


class UserDetail(Told, frozen=True, kw_only=True):
    """A user with all that belongs to him, in numbers; `bytes` are those of the entries in his inbox."""

    name: str
    created: int
    disabled: bool
    online: tuple[str, ...]
    floor: int
    head: int
    bytes: int
    groups: int
    contacts: int
    blocks: int
    devices: tuple[DeviceRow, ...]
    importing: bool = False


class PasswordSet(Asked, frozen=True, kw_only=True):
    """A new password; every device token is revoked. With `log_out`, sessions that are there end, too."""

    password: Secret
    log_out: bool = False


class UserChanged(Told, frozen=True, kw_only=True):
    """The account as it is now, and the terminal types whose session was ended."""

    name: str
    disabled: bool
    logged_out: tuple[str, ...]


class UserRemoved(Told, frozen=True, kw_only=True):
    """The account is gone, and its name free; the terminal types whose session was ended."""

    name: str
    logged_out: tuple[str, ...]


USERS_LIST = Route(method="GET", path="/v1/users", summary="Users by name", query=Paging, gives=UserList)
USERS_CREATE = Route(
    method="POST", path="/v1/users", summary="Create an account", takes=UserCreate, gives=UserRow, role="operate"
)

USERS_SHOW = Route(method="GET", path="/v1/users/{user}", summary="A user with devices and inbox", gives=UserDetail)
USERS_REMOVE = Route(
    method="DELETE", path="/v1/users/{user}", summary="Remove an account", gives=UserRemoved, role="admin"
)
USERS_PASSWORD = Route(
    method="PUT",
    path="/v1/users/{user}/password",
    summary="Change a password and revoke device tokens",
    takes=PasswordSet,
    gives=UserChanged,
    role="admin",
)
USERS_DISABLE = Route(
    method="POST",
    path="/v1/users/{user}/disable",
    summary="Refuse log-ins and end sessions",
    gives=UserChanged,
    role="operate",
)
USERS_ENABLE = Route(
    method="POST", path="/v1/users/{user}/enable", summary="Let log-ins in again", gives=UserChanged, role="operate"
)

ROUTES = (USERS_LIST, USERS_CREATE, USERS_SHOW, USERS_REMOVE, USERS_PASSWORD, USERS_DISABLE, USERS_ENABLE)
