"""The whole admin API, in one table."""

from typing import Any

from roost_protocol.admin import groups, health, inbox, messages, retention, sessions, status, users
from roost_protocol.admin.route import Route

ROUTES: tuple[Route[Any], ...] = (
    *status.ROUTES,
    *users.ROUTES,
    *sessions.ROUTES,
    *groups.ROUTES,
    *inbox.ROUTES,
    *messages.ROUTES,
    *retention.ROUTES,
    *health.ROUTES,
)
"""Every route; no two have the same method and path."""
