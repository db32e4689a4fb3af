"""Live sessions."""

from roost_protocol.admin.route import Asked, Page, Paging, Route, Told
from roost_protocol.frames import Name, Text


class SessionRow(Told, frozen=True, kw_only=True):
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


class SessionList(Page, frozen=True, kw_only=True):
    """Live sessions by user and terminal type."""

    sessions: tuple[SessionRow, ...]


class Kick(Asked, frozen=True, kw_only=True):
    """End a user's session on one terminal type, or all. The device is told, and does not come back by itself."""

    user: Name
    terminal: str | None = None
    text: Text = ""


class Kicked(Told, frozen=True, kw_only=True):
    """The terminal types whose session was ended."""

    terminals: tuple[str, ...]


SESSIONS_LIST = Route(
    method="GET",
    path="/v1/sessions",
    summary="Live sessions by user and terminal type",
    query=Paging,
    gives=SessionList,
)
SESSIONS_KICK = Route(
    method="POST", path="/v1/sessions/kick", summary="End sessions of a user", takes=Kick, gives=Kicked, role="operate"
)

ROUTES = (SESSIONS_LIST, SESSIONS_KICK)
