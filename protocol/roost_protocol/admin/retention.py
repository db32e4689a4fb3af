"""Retention: what inboxes keep, what the next walk would trim and who would lose it, and a walk now."""

from roost_protocol.admin.route import Asked, Route, Told
from roost_protocol.frames import GapReason, Name


class RetentionWalk(Told, frozen=True, kw_only=True):
    """One walk through all inboxes. Times are Unix time in ms; `by_age`: whether age counted."""

    began: int
    ended: int
    entries: int
    """Entries that were trimmed."""
    inboxes: int
    """Inboxes that they were trimmed from."""
    by_age: bool


class RetentionStatus(Told, frozen=True, kw_only=True):
    """The rules as configured (0: no bound), the last walk, and what the store holds."""

    age_days: float
    count: int
    bytes: int
    interval_s: float
    forget_devices_days: float
    hold_days: float
    hold_bytes_max: int
    lag_s: float
    """How long ago a walk should have ended that has not."""
    failure: str
    """Why the last attempt came to nothing, if it did."""
    last: RetentionWalk | None
    users: int
    entries: int
    messages: int
    store_used_bytes: int
    store_map_bytes: int


class PlanQuery(Asked, frozen=True, kw_only=True):
    """Whose inbox to look at; none: everybody's."""

    user: Name | None = None


class PlannedLoss(Told, frozen=True, kw_only=True):
    """What one device would lose: the entries `first` to `last`, which it has not acknowledged."""

    device: str
    terminal: str
    acknowledged: int
    first: int
    last: int
    entries: int
    last_seen: int
    """Unix time, ms; of a device that is online, now."""
    online: bool


class PlannedTrim(Told, frozen=True, kw_only=True):
    """An inbox that would be trimmed: entries `floor` to `new_floor` - 1 would go, the last of them by `reason`."""

    user: str
    floor: int
    new_floor: int
    head: int
    entries: int
    reason: GapReason
    losses: tuple[PlannedLoss, ...]
    """Of the devices that have not acknowledged all of it."""


class PlanSummary(Told, frozen=True, kw_only=True):
    """The whole plan in numbers."""

    users: int
    """Inboxes looked at."""
    inboxes: int
    """Of these, those that would be trimmed."""
    entries: int
    devices: int
    """Devices that would lose something."""
    lost: int
    """Entries that they would lose, counted for each device."""


class PlanStep(Told, frozen=True, kw_only=True, omit_defaults=True):
    """One inbox of the plan; or, at the end, the summary."""

    inbox: PlannedTrim | None = None
    summary: PlanSummary | None = None


RETENTION_SHOW = Route(
    method="GET", path="/v1/retention", summary="The rules, the last walk, what is kept", gives=RetentionStatus
)
RETENTION_PLAN = Route(
    method="GET",
    path="/v1/retention/plan",
    summary="What a walk now would trim, and which devices would lose it",
    query=PlanQuery,
    gives=PlanStep,
    streams=True,
)
RETENTION_RUN = Route(
    method="POST", path="/v1/retention/run", summary="Trim every inbox now", gives=RetentionWalk, role="operate"
)

ROUTES = (RETENTION_SHOW, RETENTION_PLAN, RETENTION_RUN)
