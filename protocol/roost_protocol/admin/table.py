"""The whole admin API, in one table."""

from typing import Any

from roost_protocol.admin import (
    admins,
    backup,
    config,
    devices,
    drain,
    erase,
    events,
    explain,
    export,
    fsck,
    groups,
    health,
    imports,
    inbox,
    messages,
    relations,
    retention,
    sessions,
    status,
    top,
    users,
)
from roost_protocol.admin.route import Route

ROUTES: tuple[Route[Any], ...] = (
    *status.ROUTES,
    *users.ROUTES,
    *sessions.ROUTES,
    *groups.ROUTES,
    *explain.ROUTES,
    *events.ROUTES,
    *top.ROUTES,
    *admins.ROUTES,
    *backup.ROUTES,
    *config.ROUTES,
    *drain.ROUTES,
    *fsck.ROUTES,
    *devices.ROUTES,
    *relations.ROUTES,
    *erase.ROUTES,
    *export.ROUTES,
    *imports.ROUTES,
    *inbox.ROUTES,
    *messages.ROUTES,
    *retention.ROUTES,
    *health.ROUTES,
)
"""Every route; no two have the same method and path."""
