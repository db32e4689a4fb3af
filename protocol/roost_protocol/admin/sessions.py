"""Live sessions."""

from typing import Annotated

from msgspec import Meta

from roost_protocol.admin.route import Asked, Count, Page, Paging, Route, Told
from roost_protocol.frames import Name, Text

TerminalText = Annotated[str, Meta(max_length=64)]
"""A terminal type, or what is taken for one."""


class SessionRow(Told, frozen=True, kw_only=True):
    """A live session. `backlog`: entries it has not been sent yet; `unacknowledged`: sent, not yet acknowledged.

    `takeovers`: how often devices took this terminal type from each other within `limits.takeover_window_s`; `damped`:
    the log-ins that were told to wait because of that, and `wait_s` how long one more would have to.
    """

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
    takeovers: int = 0
    damped: int = 0
    wait_s: int | None = None


class SessionList(Page, frozen=True, kw_only=True):
    """Live sessions by user and terminal type."""

    sessions: tuple[SessionRow, ...]


class SessionQuery(Paging, frozen=True, kw_only=True):
    """Which sessions: those that fit all that is given. `address` is what the address begins with."""

    user: Name | None = None
    terminal: TerminalText | None = None
    address: Annotated[str, Meta(max_length=64)] | None = None
    backlog_min: Count | None = None
    """Entries not sent or not acknowledged yet, at least."""
    since_before: Count | None = None
    """Unix time, ms: only older ones."""


class Kick(Asked, frozen=True, kw_only=True):
    """End a user's session on one terminal type, or all. The device is told, and does not come back by itself."""

    user: Name
    terminal: TerminalText | None = None
    text: Text = ""


class Kicked(Told, frozen=True, kw_only=True):
    """The terminal types whose session was ended."""

    terminals: tuple[str, ...]


SESSIONS_LIST = Route(
    method="GET",
    path="/v1/sessions",
    summary="Live sessions by user and terminal type",
    query=SessionQuery,
    gives=SessionList,
)
SESSIONS_SHOW = Route(method="GET", path="/v1/sessions/{user}/{terminal}", summary="One live session", gives=SessionRow)
SESSIONS_KICK = Route(
    method="POST", path="/v1/sessions/kick", summary="End sessions of a user", takes=Kick, gives=Kicked, role="operate"
)

ROUTES = (SESSIONS_LIST, SESSIONS_SHOW, SESSIONS_KICK)
