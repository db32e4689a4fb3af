"""Letting a broker come to its end."""

from roost_protocol.admin.route import Asked, Route, Told


class Drain(Asked, frozen=True, kw_only=True):
    """Accept no more, finish what is under way, tell every device to come back later, and end."""


class Draining(Told, frozen=True, kw_only=True):
    """It has begun."""

    sessions: int
    """How many live sessions are told."""
    connections: int
    """All that have a place, with those that are not logged in."""
    grace_s: float
    """How long it takes at the most until whoever is left is cut off."""


DRAIN = Route(
    method="POST",
    path="/v1/drain",
    summary="Drain and end, as on SIGTERM",
    takes=Drain,
    gives=Draining,
    role="admin",
)

ROUTES = (DRAIN,)
