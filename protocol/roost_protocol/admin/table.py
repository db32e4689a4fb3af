"""The whole admin API, in one table."""

from typing import Any

from roost_protocol.admin import devices, erase, export, groups, relations, sessions, status, users
from roost_protocol.admin.route import Route

ROUTES: tuple[Route[Any], ...] = (
    *status.ROUTES,
    *users.ROUTES,
    *sessions.ROUTES,
    *groups.ROUTES,
    *devices.ROUTES,
    *relations.ROUTES,
    *erase.ROUTES,
    *export.ROUTES,
)
"""Every route; no two have the same method and path."""
