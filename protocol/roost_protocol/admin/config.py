"""The configuration of a running broker: what is in force, where it comes from, and reading it again."""

from typing import Literal

from roost_protocol.admin.route import Asked, Route, Told

ConfigScalar = bool | int | float | str | tuple[str, ...]
"""What one value can be."""

ConfigOrigin = Literal["default", "program", "file", "environment", "flag"]
"""Each goes over those before it; `program` is the Python program that a broker is embedded in."""

ConfigEffect = Literal["at once", "new connections", "restart"]
"""When a changed value takes effect after a reload."""


class ConfigRow(Told, frozen=True, kw_only=True):
    """One value."""

    key: str
    """With the tables it is in: `limits.publish_max`."""
    value: ConfigScalar
    origin: ConfigOrigin
    source: str = ""
    """The file, the variable or the flag."""
    default: ConfigScalar
    effect: ConfigEffect
    unit: str = ""
    at_least: int | None = None
    at_most: int | None = None
    reason: str = ""
    """Why there is such a bound."""
    pending: ConfigScalar | None = None
    """What was read since, and will be in force after a restart."""


class ConfigShown(Told, frozen=True, kw_only=True):
    """Every value, in the order of the classes."""

    values: tuple[ConfigRow, ...]


class Reload(Asked, frozen=True, kw_only=True):
    """Read the configuration again."""


class ConfigChange(Told, frozen=True, kw_only=True):
    """One value that is not what it was."""

    key: str
    before: ConfigScalar
    after: ConfigScalar
    effect: ConfigEffect


class Reloaded(Told, frozen=True, kw_only=True):
    """What came of a reload. What needs a restart stays as it was until then, and is told by every reload again."""

    applied: tuple[ConfigChange, ...]
    needs_restart: tuple[ConfigChange, ...]


CONFIG_SHOW = Route(
    method="GET", path="/v1/config", summary="Every value of the configuration in force", gives=ConfigShown
)
CONFIG_RELOAD = Route(
    method="POST",
    path="/v1/reload",
    summary="Read the configuration again; one that cannot be used changes nothing",
    takes=Reload,
    gives=Reloaded,
    role="admin",
)

ROUTES = (CONFIG_SHOW, CONFIG_RELOAD)
