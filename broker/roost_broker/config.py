"""The configuration: one tree of typed values, every one with a default that is safe on loopback.

Read from a TOML file whose tables are the classes below. An unknown key is an error with a suggestion, so that a
typing mistake never silently leaves a default in force.
"""

import difflib
import math
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from roost_broker.store.operations import Hold, Retention
from roost_protocol.limits import MIB, Limits
from roost_protocol.names import check_terminal

DEFAULT_PORT = 7300
DAY_MS = 24 * 3600 * 1000
TERMINAL_TYPES = ("phone", "pc", "pad", "web", "watch", "tv", "bot")


class ConfigurationError(Exception):
    """The configuration cannot be used; the message says which value, what was found and what is allowed."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class RetentionConfig(Section, frozen=True, kw_only=True):
    """What each inbox keeps. 0 means no bound."""

    age_days: float = 90
    """The three months that message roaming usually promises."""
    count: int = 1_000_000
    bytes: int = 1024 * MIB
    interval_s: float = 60
    """From one walk through all inboxes to the next."""
    forget_devices_days: float = 180
    """A device not seen for so long is forgotten."""
    hold_days: float = 0
    """What a device seen within so many days has not acknowledged is kept against the rules above; 0: nothing is."""
    hold_bytes_max: int = 2 * 1024 * MIB
    """The most that an inbox has because of that: twice what it may have anyway."""

    def hold(self, now_ms: int, live: frozenset[int]) -> Hold | None:
        """The same as the store understands it; `live` are the devices that have a session now."""
        if not self.hold_days:
            return None
        return Hold(seen_since=now_ms - int(self.hold_days * DAY_MS), live=live, bytes_max=self.hold_bytes_max)

    def policy(self) -> Retention:
        """The same as the store understands it."""
        return Retention(age_ms=int(self.age_days * DAY_MS) or None, count=self.count or None, bytes=self.bytes or None)


class StoreConfig(Section, frozen=True, kw_only=True):
    """The LMDB store."""

    map_bytes: int = 1024 * 1024 * MIB
    """The most the data file may ever hold. Costs address space, not disk."""
    reserve_bytes: int = 64 * MIB
    """Kept free of new messages, so that trims work when the map is full."""


class PasswordConfig(Section, frozen=True, kw_only=True):
    """argon2id. The defaults are the first choice of the OWASP password storage cheat sheet: 19 MiB, 2 passes."""

    memory_kib: int = 19_456
    passes: int = 2


class Config(Section, frozen=True, kw_only=True):
    """Everything that `roost serve` can be told."""

    data: str = "roost-data"
    """Folder of the store and of the admin socket."""
    listen: str = f"127.0.0.1:{DEFAULT_PORT}"
    """host:port; port 0 takes a free one. Without TLS, keep it on loopback or behind something that has it."""
    listen_beyond_loopback: bool = False
    """Say so in as many words, to listen in the clear on an address that others can reach."""
    admin_socket: str = ""
    """Path of the admin socket; by default `admin.sock` in the data folder."""
    terminal_types: tuple[str, ...] = TERMINAL_TYPES
    drain_s: float = 5
    """The grace period at the end: what is under way is finished, devices are told."""
    log_level: str = "INFO"
    retention: RetentionConfig = RetentionConfig()
    store: StoreConfig = StoreConfig()
    passwords: PasswordConfig = PasswordConfig()
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        """Check what the types cannot say. Raises ValueError."""
        for terminal in self.terminal_types:
            check_terminal(terminal)
        if not self.terminal_types:
            raise ValueError("terminal_types is empty: nobody could log in")
        if self.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError(f"log_level is DEBUG, INFO, WARNING or ERROR, not {self.log_level!r}")
        amounts = {
            "drain_s": self.drain_s,
            **{f"retention.{k}": v for k, v in msgspec.structs.asdict(self.retention).items()},
        }
        for name, amount in amounts.items():
            if not 0 <= amount < math.inf:
                raise ValueError(f"{name} is a number from 0 on, not {amount}")
        if not self.retention.interval_s:
            raise ValueError("retention.interval_s is above 0")
        if self.retention.hold_days and not self.retention.hold_bytes_max:
            raise ValueError("retention.hold_bytes_max is above 0 where hold_days is: a hold has a bound")
        # RFC 9106, 3.1: at least one pass, and 8 KiB for each lane.
        if self.passwords.passes < 1 or self.passwords.memory_kib < 8:
            raise ValueError("passwords.passes is at least 1, passwords.memory_kib at least 8")
        if not 0 < self.store.reserve_bytes < self.store.map_bytes:
            raise ValueError("store.reserve_bytes is above 0 and below store.map_bytes")
        parse_listen(self.listen)

    @property
    def admin_path(self) -> Path:
        """Where the admin socket is."""
        return Path(self.admin_socket) if self.admin_socket else Path(self.data) / "admin.sock"


class HostPort(NamedTuple):
    """Where to listen."""

    host: str
    port: int


def parse_listen(listen: str) -> HostPort:
    """Take `host:port` or `[v6]:port` apart. Raises ValueError."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"listen is host:port with a port of 0 to 65535, not {listen!r}")
    return HostPort(host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port))


def load(path: Path | None, **overrides: Any) -> Config:
    """The configuration: the defaults, then the file, then `overrides` that are not None.

    Raises ConfigurationError for a file that cannot be read, for unknown keys and for values out of range.
    """
    tree: dict[str, Any] = {}
    if path is not None:
        tree = _read(path)
        _refuse_unknown(tree, Config, f"{path}: ")
    tree |= {key: value for key, value in overrides.items() if value is not None}
    try:
        return msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{path or 'command line'}: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: is not TOML: {error}") from error


def _refuse_unknown(tree: dict[str, Any], section: type[msgspec.Struct], where: str) -> None:
    """Raise ConfigurationError for the first key that is not one of ours, with the nearest that is."""
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(section)}
    for key, value in tree.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(fields)}"
            raise ConfigurationError(f"{where}unknown key {key!r}{hint}")
        inner = fields[key]
        if isinstance(value, dict) and isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            _refuse_unknown(value, inner, f"{where}[{key}] ")
