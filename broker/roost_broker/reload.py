"""Which values of the configuration a running broker can change, and when a change takes effect.

This is the one table of it: the reload goes by it, `roost config show` and the docs tell it. A value belongs here only
if everything that goes by it reads it each time, or is told (`Core.adopt`). What was promised to a device at its
log-in (the size of a frame, publishes under way) cannot change under it, and what sizes something at the start (a
queue, a pool of threads, the map of the store) stays: those need a restart, as does every value that is not named.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from roost_broker.config import Config
from roost_broker.settings import Settings, values_of
from roost_protocol.admin.config import ConfigChange, ConfigEffect, ConfigRow
from roost_protocol.limits import Limits, Row

AT_ONCE = frozenset(
    {
        "terminal_types",
        "drain_s",
        "log_level",
        # Retention reads them at the beginning of each walk, the interval after it.
        "retention.age_days",
        "retention.count",
        "retention.bytes",
        "retention.interval_s",
        "retention.forget_devices_days",
        "retention.hold_days",
        "retention.hold_bytes_max",
        "limits.login_timeout_s",
        "limits.connections_max",
        "limits.connections_before_login_max",
        "limits.connections_before_login_per_address_max",
        "limits.connections_per_address_max",
        "limits.takeovers_max",
        "limits.takeover_window_s",
        "limits.login_failures_per_address_max",
        "limits.login_failures_per_user_max",
        "limits.login_failures_window_s",
        "limits.login_wait_max_s",
        "limits.login_failures_kept_max",
        "limits.rate_wait_max_s",
        "limits.queue_wait_max_s",
        "limits.subscriptions_max",
        "limits.fetch_max",
        "limits.trim_slice_max",
        "limits.listing_max",
    }
)
"""In force with the next use."""

NEW_CONNECTIONS = frozenset(
    {
        "limits.connect_bytes_max",
        "limits.receive_max",
        "limits.receive_bytes_max",
        "limits.keepalive_s",
        "limits.write_timeout_s",
        "limits.write_buffer_bytes_max",
        "limits.read_bytes_max",
        "limits.user_messages_max",
        "limits.user_bytes_max",
        "limits.user_rate_window_s",
        "limits.user_rates_kept_max",
    }
)
"""In force for connections that begin after it."""

RELOADABLE = AT_ONCE | NEW_CONNECTIONS


def effect(key: str) -> ConfigEffect:
    """When a changed value takes effect."""
    if key in AT_ONCE:
        return "at once"
    return "new connections" if key in NEW_CONNECTIONS else "restart"


def changes(before: Settings, after: Settings) -> Iterator[ConfigChange]:
    """The values that differ."""
    old, new = values_of(before.config), values_of(after.config)
    for key, value in old.items():
        if new[key] != value:
            yield ConfigChange(key=key, before=value, after=new[key], effect=effect(key))


_UNITS = {"_s": "seconds", "_days": "days", "bytes": "bytes", "bytes_max": "bytes", "_kib": "KiB", "count": "entries"}
"""By how the key of a value ends that is no limit: limits say their units themselves."""

_LIMITS: Mapping[str, Row] = MappingProxyType({f"limits.{row.name}": row for row in Limits.table()})


def config_rows(running: Settings, read: Settings) -> Iterator[ConfigRow]:
    """Every value as it is told: what is in force, and what was read since that waits for a restart."""
    defaults, latest = values_of(Config()), values_of(read.config)
    for key, value in values_of(running.config).items():
        source = running.source(key)
        unit, least, most, reason = _LIMITS[key].bound if key in _LIMITS else (_unit(key), None, None, "")
        yield ConfigRow(
            key=key,
            value=value,
            origin=source.origin,
            source=source.name,
            default=defaults[key],
            effect=effect(key),
            unit=unit,
            at_least=least,
            at_most=most,
            reason=reason,
            pending=latest[key] if latest[key] != value else None,
        )


def _unit(key: str) -> str:
    return next((unit for end, unit in _UNITS.items() if key.endswith(end)), "")
