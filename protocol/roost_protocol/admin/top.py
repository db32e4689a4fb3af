"""What a broker is busy with, as it goes on: rates, latencies, the busiest and the slowest."""

from typing import Annotated, Literal

from msgspec import Meta

from roost_protocol.admin.route import Asked, Route, Told

INTERVAL_S_MAX = 60
"""Past that, a metric that is scraped and drawn says more."""

ROWS_MAX = 100
"""More are a listing, and no view; the store is read once for each slow device shown."""

Sort = Literal["publishes", "deliveries", "acknowledgements", "backlog"]
"""By what the busiest users and devices are chosen and put in order: most first."""

SORTS: tuple[Sort, ...] = ("publishes", "deliveries", "acknowledgements", "backlog")


class TopQuery(Asked, frozen=True, kw_only=True):
    """How often, how many rows in each table, and which."""

    interval_s: Annotated[int, Meta(ge=1, le=INTERVAL_S_MAX)] = 2
    limit: Annotated[int, Meta(ge=1, le=ROWS_MAX)] = 10
    sort: Sort = "publishes"


class TopRates(Told, frozen=True, kw_only=True):
    """What happened in the interval, for each second of it."""

    publishes: float
    """Messages stored."""
    publishes_refused: float
    deliveries: float
    """Entries sent to sessions."""
    acknowledgements: float
    """Entries acknowledged by them."""
    received_bytes: float
    sent_bytes: float
    log_ins: float
    log_ins_refused: float
    takeovers: float
    commits: float


class TopLatency(Told, frozen=True, kw_only=True):
    """Percentiles of the interval, in seconds; None if nothing was measured in it."""

    count: int
    p50_s: float | None = None
    p99_s: float | None = None


class TopUser(Told, frozen=True, kw_only=True):
    """A user, with all his sessions. Publishes (whatever came of them), deliveries and acknowledgements a second."""

    user: str
    sessions: int
    publishes: float
    deliveries: float
    acknowledgements: float
    backlog: int


class TopDevice(Told, frozen=True, kw_only=True):
    """A live session. `backlog`: entries not sent yet; `unacknowledged`: sent, not acknowledged."""

    user: str
    terminal: str
    device: str
    publishes: float
    deliveries: float
    acknowledgements: float
    backlog: int
    unacknowledged: int


class TopSlow(Told, frozen=True, kw_only=True):
    """A device with a backlog, or that acknowledged nothing for a whole interval of what it was sent before."""

    user: str
    terminal: str
    device: str
    backlog: int
    unacknowledged: int
    oldest_s: float | None
    """Age of the oldest entry it has not acknowledged; None if that is not kept any more."""
    full: Literal["window", "outlet"] | None
    """What it rests for, if it does: it has to acknowledge, or to read its socket."""


class TopFlapping(Told, frozen=True, kw_only=True):
    """Two or more devices that take one terminal type from each other."""

    user: str
    terminal: str
    device: str
    """Which has it now; empty if none has."""
    takeovers: int
    """Within `limits.takeover_window_s`."""
    damped: int
    """Log-ins told to wait since this began."""
    wait_s: int | None
    """How long the next one has to wait."""


class TopThrottled(Told, frozen=True, kw_only=True):
    """Who has failed to log in so often that the next attempt waits, or did until a moment ago."""

    by: Literal["address", "user", "device", "admin_address"]
    who: str
    """The address (of IPv6 the /64), the name that was tried, or `user/device`."""
    failures: int
    """Within `limits.login_failures_window_s`; no more than make a difference."""
    refused: int
    """Attempts refused at once since this began."""
    wait_s: int | None
    """How long the next one has to wait."""


class Top(Told, frozen=True, kw_only=True):
    """One interval. Most first, in every table."""

    time: int
    """Unix time, ms, at its end."""
    interval_s: float
    """As long as it was."""
    connections: int
    sessions: int
    terminals: dict[str, int]
    """Live sessions by terminal type."""
    rates: TopRates
    send_to_deliver: TopLatency
    """From reading a publish until its entries are on the wire for live sessions."""
    commit: TopLatency
    backlog: int
    """Entries that live sessions were not sent yet."""
    unacknowledged: int
    slow_devices: int
    """Live sessions that rest with a backlog: their window or outlet is full."""
    users: tuple[TopUser, ...]
    devices: tuple[TopDevice, ...]
    slow: tuple[TopSlow, ...]
    flapping: tuple[TopFlapping, ...]
    throttled: tuple[TopThrottled, ...] = ()


TOP = Route(
    method="GET",
    path="/v1/top",
    summary="Rates, latencies, the busiest and the slowest, interval after interval",
    query=TopQuery,
    gives=Top,
    streams=True,
)

ROUTES = (TOP,)
