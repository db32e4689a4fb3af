"""How a broker is.

Whether it is alive and ready is asked by whatever watches it, so without a token, and not under `/v1`. The figures of
the writer, the disk and the clock are a route as any other.
"""

from typing import Literal

from roost_protocol.admin.route import Route, Told

LIVE_PATH = "/livez"
"""Answered while the event loop is."""
READY_PATH = "/readyz"
"""Answered with status 200 or, with the reasons, 503."""


class Alive(Told, frozen=True, kw_only=True):
    """The broker answers."""

    alive: bool = True


class NotReady(Told, frozen=True, kw_only=True):
    """One reason why a broker is not ready: a word for a program, a text for a person."""

    reason: Literal["draining", "commit refused", "no room", "store", "audit log"]
    text: str


class Readiness(Told, frozen=True, kw_only=True):
    """Whether a broker is ready for work; every reason why not."""

    ready: bool
    reasons: tuple[NotReady, ...] = ()


class Health(Told, frozen=True, kw_only=True):
    """Figures to judge a broker by, as of now. `now` and `started` are Unix time in ms by the broker's clock."""

    pid: int
    started: int
    now: int
    clock_moved_ms: int
    """How far the wall clock has moved against the monotonic one since the start: it was set, or the machine slept."""
    queued: int
    """Operations that wait for the writer."""
    oldest_queued_ms: int
    """How long the oldest of them has waited, to within one commit."""
    commit_under_way_ms: int
    """For how long the commit under way has been; 0 if there is none."""
    last_commit_ago_ms: int | None
    """How long ago the last commit succeeded; None: none has yet."""
    commit_refused: str = ""
    """Why the last commit was not done: no space, a disk that takes no writes; empty if it was."""
    retention_lag_ms: int
    """How long ago retention should have ended a walk that has not ended."""
    store_used_bytes: int
    store_map_bytes: int
    store_reserve_bytes: int
    disk_free_bytes: int | None
    """On the file system of the data folder; None if that cannot be told."""
    disk_bytes: int | None
    store_damaged: int = 0
    """Records that were found damaged when they were read, since the start, each counted once."""
    certificate_expires: int | None = None
    """When the certificate of the listeners ends (Unix time, ms); None: they have none, and encrypt nothing."""


HEALTH = Route(method="GET", path="/v1/health", summary="The writer, the disk, the clock", gives=Health)

ROUTES = (HEALTH,)
