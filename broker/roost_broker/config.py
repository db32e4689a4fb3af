"""The configuration: one tree of typed values, every one with a default that is safe on loopback.

The classes below are the tables of the TOML file; `settings` reads it, and whatever goes over it.
"""

import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from roost_broker.store.operations import Hold, Retention
from roost_protocol.admin.route import ROLES
from roost_protocol.hosts import is_loopback
from roost_protocol.limits import MIB, NUMBER_MAX, Limits, Unfit
from roost_protocol.names import check_terminal

DEFAULT_PORT = 7300
DAY_MS = 24 * 3600 * 1000
DAYS_MOST = 1_000_000
"""Days that something may be kept for: in milliseconds they are still an exact number."""
MAP_BYTES_MOST = 2**46
"""64 TiB: half of the address space of a process on x86-64."""
PASSES_MOST, MEMORY_KIB_MOST = 1_000, 4 * 1024 * 1024
"""What no log-in can wait for, and no machine has to spare."""
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


class JournalConfig(Section, frozen=True, kw_only=True):
    """What the journal keeps: as far back as `explain` and `events` can answer. 0 means no bound."""

    age_days: float = 30
    """A month: as long as anybody asks why a message did not come."""
    count: int = 2_000_000
    """Records: about 100 bytes each, so 200 MB."""


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


USER_SIGN = "{user}"

CLIENT_CERTIFICATES = ("off", "accepted", "required")
CLIENT_USERS = ("", "common_name", "email", "uri", "dns")


class TlsConfig(Section, frozen=True, kw_only=True):
    """TLS on every listener but the admin socket, if there is a certificate."""

    certificate: str = ""
    """PEM file: the certificate, then those of its issuers. Empty: nothing is encrypted."""
    key: str = ""
    """PEM file of its key, without a password; empty: it is in the file of the certificate."""
    client_certificates: str = "off"
    """Certificates of devices, on `listen` and `web_listen`: `off`, `accepted` (whoever has none logs in otherwise), or
    `required` (whoever has none gets no connection)."""
    client_ca: str = ""
    """PEM file: the authorities that sign certificates of devices, and their revocation lists, if they have any."""
    client_user: str = ""
    """Where in a device's certificate its user stands: `common_name`, `email`, `uri` or `dns` (subject alternative
    names); empty: nowhere, and a certificate lets nobody in that has no password or token."""
    client_user_form: str = USER_SIGN
    """How that value is written, with `{user}` in the place of the name: `{user}@example.com`."""

    def problems(self) -> Iterator[str]:
        """What the types cannot say."""
        if self.key and not self.certificate:
            yield "tls.key is of use only with tls.certificate"
        if self.client_certificates not in CLIENT_CERTIFICATES:
            yield f"tls.client_certificates is {' or '.join(CLIENT_CERTIFICATES)}, not {self.client_certificates!r}"
        elif self.client_certificates != "off":
            if not self.certificate:
                yield "tls.client_certificates needs tls.certificate: without TLS nobody shows one"
            if not self.client_ca:
                yield "tls.client_certificates needs tls.client_ca: the authorities that sign them"
        elif self.client_ca or self.client_user:
            yield 'tls.client_ca and tls.client_user are of use only with tls.client_certificates other than "off"'
        if self.client_user not in CLIENT_USERS:
            yield f"tls.client_user is {', '.join(CLIENT_USERS[1:])} or empty, not {self.client_user!r}"
        if self.client_user_form.count(USER_SIGN) != 1:
            yield f"tls.client_user_form has {USER_SIGN} once, and text around it; not {self.client_user_form!r}"
        elif self.client_user_form != USER_SIGN and not self.client_user:
            yield "tls.client_user_form is of use only with tls.client_user"


LEEWAY_S_MAX = 300
"""Clocks that are further apart than this are to be set, not put up with."""


class JwtConfig(Section, frozen=True, kw_only=True):
    """Log-in with a JWT of the site's own sign-on, if there is a key of its issuer."""

    secret: str = ""
    """File of the secret that the issuer signs with (HS256): 32 bytes or more, for nobody but the broker (0600)."""
    public_key: str = ""
    """PEM file of the issuer's public key: Ed25519 (EdDSA) or RSA (RS256)."""
    key_set: str = ""
    """JWKS file of the issuer's public keys (RFC 7517), from which the `kid` of a JWT chooses."""
    audience: str = ""
    """What `aud` has to say, or to hold: without it, JWTs made for other services would let people in."""
    issuer: str = ""
    """What `iss` has to say; empty: it is not looked at."""
    user_claim: str = "sub"
    """The claim that is the user's name."""
    terminals_claim: str = ""
    """The claim that lists the terminal types the JWT is for, where it has one; empty: every JWT is for all of them."""
    leeway_s: int = 30
    """By how much the clocks of issuer and broker may differ."""
    create: bool = False
    """Create an account, without a password, for a user who has a JWT and no account."""
    end_at_expiry: bool = False
    """End a session when the JWT that began it expires, and issue no device tokens, which would outlive it."""

    @property
    def configured(self) -> bool:
        """Whether anybody can log in with a JWT."""
        return bool(self.secret or self.public_key or self.key_set)

    def problems(self) -> Iterator[str]:
        """What the types cannot say."""
        if self.configured and not self.audience:
            yield "jwt.audience is needed: without it, a JWT made for another service would let its user in"
        if not self.configured and self != JwtConfig():
            yield "jwt has settings, and no key: set jwt.secret, jwt.public_key or jwt.key_set"
        if not self.user_claim:
            yield "jwt.user_claim is the name of a claim, and must not be empty"
        if not 0 <= self.leeway_s <= LEEWAY_S_MAX:
            yield f"jwt.leeway_s is 0 to {LEEWAY_S_MAX} seconds, not {self.leeway_s}"


class Config(Section, frozen=True, kw_only=True):
    """Everything that `roost serve` can be told."""

    data: str = "roost-data"
    """Folder of the store and of the admin socket."""
    listen: str = f"127.0.0.1:{DEFAULT_PORT}"
    """host:port; port 0 takes a free one. Without `tls`, keep it on loopback or behind something that has it."""
    listen_beyond_loopback: bool = False
    """Say so in as many words, to listen in the clear on an address that others can reach."""
    admin_socket: str = ""
    """Path of the admin socket; by default `admin.sock` in the data folder."""
    admin_group: str = ""
    """A group of the system whose members may use the admin socket as well, with all rights; the socket then has mode
    0660 and that group. It has to stand in a folder that they can get into, which the data folder is not."""
    admin_listen: str = ""
    """host:port of the admin API for admins with a token; empty: there is none. Without TLS, as `listen`."""
    admin_listen_beyond_loopback: bool = False
    """Say so in as many words, to have admins and their tokens in the clear where others may listen."""
    web_listen: str = ""
    """host:port for browsers: WebSocket, the pages, health, metrics; empty: there is none. Without TLS, as `listen`."""
    web_listen_beyond_loopback: bool = False
    """Say so in as many words, as for `listen`."""
    web_origins: tuple[str, ...] = ()
    """Origins of pages that may connect, beside those that the broker serves itself: `https://chat.example.com`."""
    web_admin: bool = False
    """Whether the admin API and what the console needs of it are on `web_listen` as well, for admins with a token."""
    web_admin_loopback: str = ""
    """The role of whoever comes to `web_admin` from this machine without a token: read, operate, admin; empty: none.
    For a demo or a machine of one person: with a proxy on this machine, everybody comes from this machine."""
    terminal_types: tuple[str, ...] = TERMINAL_TYPES
    drain_s: float = 5
    """The grace period at the end: what is under way is finished, devices are told."""
    log_level: str = "INFO"
    core_dumps: bool = False
    """Whether `roost serve` may leave a core dump, and be looked into by a debugger: both show what is in memory,
    passwords and messages too."""
    retention: RetentionConfig = RetentionConfig()
    journal: JournalConfig = JournalConfig()
    store: StoreConfig = StoreConfig()
    passwords: PasswordConfig = PasswordConfig()
    tls: TlsConfig = TlsConfig()
    jwt: JwtConfig = JwtConfig()
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
        yield from self._amount_problems()
        if not self.retention.interval_s:
            yield "retention.interval_s is above 0"
        if self.retention.hold_days and not self.retention.hold_bytes_max:
            yield "retention.hold_bytes_max is above 0 where hold_days is: a hold has a bound"
        # RFC 9106, 3.1: at least one pass, and 8 KiB for each lane.
        if not 1 <= self.passwords.passes <= PASSES_MOST or not 8 <= self.passwords.memory_kib <= MEMORY_KIB_MOST:
            yield f"passwords.passes is 1 to {PASSES_MOST}, passwords.memory_kib 8 to {MEMORY_KIB_MOST}"
        if not 0 < self.store.reserve_bytes < self.store.map_bytes:
            yield "store.reserve_bytes is above 0 and below store.map_bytes"
        yield from self.tls.problems()
        yield from self.jwt.problems()
        yield from _why_not(parse_listen, self.listen)
        if self.admin_listen:
            yield from _why_not(partial(parse_listen, key="admin_listen"), self.admin_listen)
        yield from self._web_problems()

    def _amount_problems(self) -> Iterator[str]:
        amounts = {
            "drain_s": self.drain_s,
            **{f"retention.{k}": v for k, v in msgspec.structs.asdict(self.retention).items()},
            **{f"journal.{k}": v for k, v in msgspec.structs.asdict(self.journal).items()},
        }
        for name, amount in amounts.items():
            most = DAYS_MOST if name.endswith("_days") else NUMBER_MAX
            if not 0 <= amount < math.inf:
                yield f"{name} is a number from 0 on, not {amount}"
            elif amount > most:
                yield f"{name} is at most {most}"
        if self.store.map_bytes > MAP_BYTES_MOST:
            yield f"store.map_bytes is at most {MAP_BYTES_MOST}: what a process can have of address space"

    def _web_problems(self) -> Iterator[str]:
        if self.web_listen:
            yield from _why_not(partial(parse_listen, key="web_listen"), self.web_listen)
        for origin in self.web_origins:
            yield from _why_not(check_origin, origin)
        if self.web_admin_loopback not in ("", *ROLES):
            yield f"web_admin_loopback is {', '.join(ROLES)} or empty, not {self.web_admin_loopback!r}"
        if self.web_admin_loopback and not self.web_admin:
            yield "web_admin_loopback is set, and web_admin is not: there is nothing to have a role for"

    @property
    def admin_path(self) -> Path:
        """Where the admin socket is."""
        return Path(self.admin_socket) if self.admin_socket else Path(self.data) / "admin.sock"


class HostPort(NamedTuple):
    """Where to listen."""

    host: str
    port: int


def parse_listen(listen: str, key: str = "listen") -> HostPort:
    """Take `host:port` or `[v6]:port` apart; `key` is where it was said. Raises ValueError."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"{key} is host:port with a port of 0 to 65535, not {listen!r}")
    return HostPort(host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port))


DEFAULT_PORTS = {"http": ":80", "https": ":443"}
"""What a browser leaves out of an origin, by scheme."""

_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


def check_origin(origin: str) -> None:
    """Check an entry of `web_origins`: as a browser says it (RFC 6454, 6.2). Raises ValueError."""
    if not _ORIGIN.fullmatch(origin) or origin.endswith(DEFAULT_PORTS[origin.partition(":")[0]]):
        raise ValueError(
            f"web_origins has origins as browsers say them, lower case, without a path or the scheme's own port "
            f"(https://chat.example.com, http://localhost:8080), not {origin!r}"
        )


class ListenerUnusable(Exception):
    """The broker cannot listen where it should; the message says why."""


LISTEN_KEYS = ("listen", "admin_listen", "web_listen")
"""Where the broker may listen on a network; each has its `…_beyond_loopback` beside it."""


def reachable_by_others(config: Config) -> list[str]:
    """Why the broker must not listen where it should: in the clear where others reach it, and nobody said so."""
    found = [beyond_loopback(config, key) for key in LISTEN_KEYS]
    return [why_not for why_not in found if why_not is not None]


def beyond_loopback(config: Config, key: str) -> str | None:
    """The same for one of `LISTEN_KEYS`; None if the broker may listen there, or does not."""
    listen: str = getattr(config, key)
    said: bool = getattr(config, f"{key}_beyond_loopback")
    if not listen or said or config.tls.certificate or is_loopback(parse_listen(listen, key).host):
        return None
    return (
        f"{key} = {listen}: others could reach it, and nothing is encrypted; give it a certificate (tls.certificate), "
        f"or, to do so all the same, set {key}_beyond_loopback = true"
    )


def _why_not(check: Callable[[str], object], value: str) -> Iterator[str]:
    """What a check has against a value."""
    try:
        check(value)
    except ValueError as error:
        yield str(error)
