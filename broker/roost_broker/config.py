"""The configuration: one tree of typed values, every one with a default that is safe on loopback.

The classes below are the tables of the TOML file; `settings` reads it, and whatever goes over it.
"""

import math
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import msgspec

from roost_broker.store.operations import Retention
from roost_protocol.limits import MIB, Limits, Unfit
from roost_protocol.names import check_terminal

DEFAULT_PORT = 7300
DAY_MS = 24 * 3600 * 1000
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
TERMINAL_TYPES = ("phone", "pc", "pad", "web", "watch", "tv", "bot")


class ConfigurationError(Exception):
    """The configuration cannot be used; `problems` say which values, what was found and what is allowed."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


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
        """Check what the types cannot say. Raises Unfit."""
        problems = tuple(self._problems())
        if problems:
            raise Unfit(*problems)

    def _problems(self) -> Iterator[str]:
        for terminal in self.terminal_types:
            yield from _why_not(check_terminal, terminal)
        if not self.terminal_types:
            yield "terminal_types is empty: nobody could log in"
        if self.log_level not in LOG_LEVELS:
            yield f"log_level is DEBUG, INFO, WARNING or ERROR, not {self.log_level!r}"
        amounts = {
            "drain_s": self.drain_s,
            **{f"retention.{k}": v for k, v in msgspec.structs.asdict(self.retention).items()},
        }
        for name, amount in amounts.items():
            if not 0 <= amount < math.inf:
                yield f"{name} is a number from 0 on, not {amount}"
        if not self.retention.interval_s:
            yield "retention.interval_s is above 0"
        # RFC 9106, 3.1: at least one pass, and 8 KiB for each lane.
        if self.passwords.passes < 1 or self.passwords.memory_kib < 8:
            yield "passwords.passes is at least 1, passwords.memory_kib at least 8"
        if not 0 < self.store.reserve_bytes < self.store.map_bytes:
            yield "store.reserve_bytes is above 0 and below store.map_bytes"
        yield from _why_not(parse_listen, self.listen)

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


def reachable_by_others(config: Config) -> str | None:
    """Why the broker must not listen where it should: in the clear where others reach it, and nobody said so."""
    host, _ = parse_listen(config.listen)
    if _is_loopback(host) or config.listen_beyond_loopback:
        return None
    return (
        f"listen = {config.listen}: others could reach it, and nothing is encrypted; "
        "to do so all the same, set listen_beyond_loopback = true"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _why_not(check: Callable[[str], object], value: str) -> Iterator[str]:
    """What a check has against a value."""
    try:
        check(value)
    except ValueError as error:
        yield str(error)
