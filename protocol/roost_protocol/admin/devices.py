"""Devices of a user, and their tokens."""

from roost_protocol.admin.route import Page, Paging, Route, Told
from roost_protocol.frames import GapReason, Name


class DeviceRow(Told, frozen=True, kw_only=True):
    """A device. Times are Unix time in ms.

    `cursor` is what it has acknowledged, `lag` how many entries that is behind the head of the inbox, and `oldest_at`
    when the first of them was stored. `loses` of them would go if retention came by now: the numbers from `loses_from`
    on, by the rule `loses_by`. `epoch`, `address` and `since` are those of its session, if it has one.
    """

    device: str
    terminal: str
    client: str
    online: bool
    address: str
    since: int | None
    epoch: int | None
    cursor: int
    head: int
    lag: int
    oldest_at: int | None
    last_seen: int
    loses: int
    loses_from: int | None
    loses_by: GapReason | None


class DeviceList(Told, frozen=True, kw_only=True):
    """Every device of a user, by id, and from where to where the inbox goes."""

    user: str
    floor: int
    head: int
    devices: tuple[DeviceRow, ...]


class DeviceChanged(Told, frozen=True, kw_only=True):
    """The device, and whether a session of it was ended."""

    user: str
    device: str
    logged_out: bool


class TokenQuery(Paging, frozen=True, kw_only=True):
    """A page of device tokens; with `user`, those of one user alone."""

    user: Name | None = None


class TokenRow(Told, frozen=True, kw_only=True):
    """A device that may log in with a token; the token itself is known to the device alone."""

    user: str
    device: str
    terminal: str
    last_seen: int
    online: bool


class TokenList(Page, frozen=True, kw_only=True):
    """Device tokens by user and device. A page may be empty and not the last: it looks at so many users."""

    tokens: tuple[TokenRow, ...]


DEVICES_LIST = Route(method="GET", path="/v1/users/{user}/devices", summary="Devices of a user", gives=DeviceList)
DEVICES_FORGET = Route(
    method="DELETE",
    path="/v1/users/{user}/devices/{device}",
    summary="Forget a device: its session ends, its cursor and token go",
    gives=DeviceChanged,
    role="operate",
)
TOKENS_LIST = Route(method="GET", path="/v1/tokens", summary="Device tokens by user", query=TokenQuery, gives=TokenList)
TOKENS_REVOKE = Route(
    method="DELETE",
    path="/v1/users/{user}/devices/{device}/token",
    summary="Revoke a device token; its session ends",
    gives=DeviceChanged,
    role="operate",
)

ROUTES = (DEVICES_LIST, DEVICES_FORGET, TOKENS_LIST, TOKENS_REVOKE)
