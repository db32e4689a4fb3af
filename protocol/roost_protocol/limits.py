"""Every bound of roost, in one place: its name, unit, default, range and reason.

The first part are numbers of the protocol itself, the same everywhere. `Limits` are those a site may set; the
units stand last in the names. `Limits.table()` gives them with unit and reason, for the docs and the command line.
"""

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

import msgspec

FINDINGS_MAX = 10_000
"""Findings of one check of the store: past it nobody reads them one by one, and the check stops."""

HEADER_BYTES = 5
"""Bytes before a frame's body: 4 of length, 1 of type."""

NAME_BYTES_MAX = 64
"""Bytes of UTF-8 in the name of a user or group: fits a table's column and a log line."""

DEVICE_ID_BYTES_MAX = 64
"""Bytes in a device's id: room for a UUID with a prefix."""

CONTENT_TYPE_BYTES_MAX = 64
"""Bytes in a content type: room for the longest registered media types with one parameter."""

PASSWORD_BYTES_MAX = 256
"""Bytes in a password: longer ones only cost time to hash."""

TOKEN_BYTES_MAX = 128
"""Bytes in a device token."""

JWT_BYTES_MAX = 8_192
"""Bytes in a JWT: room for a long list of roles and an RSA signature. `connect_bytes_max` may bound it lower."""

TEXT_CHARS_MAX = 512
"""Characters in an explanation that goes with a reason."""

LIST_MAX = 256
"""Names in one request or subscription."""

NUMBER_MAX = 2**53 - 1
"""Largest number on the wire: what a JSON number holds exactly in every language (RFC 8259, section 6)."""

FRAME_OVERHEAD_BYTES = 2_048
"""What a frame may need beside its body: every name, id and key at its longest, and the header."""

EXPORT_NAMES_MAX = 200_000
"""Groups, contacts and blocked users in one export: as many as the limits can allow a user; memory of who imports."""

KIB = 1024
MIB = 1024 * KIB

FRAME_BYTES_MOST = 16 * MIB
"""Bytes in a frame that no site may exceed, and no device need take."""


EXPORT_LINE_BYTES_MAX = 6 * 12 * MIB + FRAME_OVERHEAD_BYTES
"""Bytes in a line of an export: the largest body that a site can allow, of characters that JSON writes with six."""


class Bound(NamedTuple):
    """Unit, range and reason of one limit."""

    unit: str
    at_least: int
    at_most: int
    reason: str


class Row(NamedTuple):
    """One limit as shown to a person."""

    name: str
    default: int
    bound: Bound


class Unfit(ValueError):
    """Values that cannot be, all of them: `problems` has a line for each."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bounds that a site may set. Raises Unfit for one out of its range or at odds with another."""

    # --- the wire ---
    frame_bytes_max: Annotated[
        int, Bound("bytes", 8 * KIB, FRAME_BYTES_MOST, "memory a peer can claim with one length")
    ] = 256 * KIB
    body_bytes_max: Annotated[
        int, Bound("bytes", 1 * KIB, 12 * MIB, "a message, not a file; as base64 it fits a frame")
    ] = 128 * KIB
    connect_bytes_max: Annotated[
        int, Bound("bytes", 1 * KIB, 64 * KIB, "memory a stranger can claim before log-in")
    ] = 4 * KIB
    receive_max: Annotated[
        int, Bound("entries", 1, 65_535, "unacknowledged on the wire to one device; keeps a long link full")
    ] = 4_096
    receive_bytes_max: Annotated[
        int, Bound("bytes", 16 * KIB, 64 * MIB, "unacknowledged bytes to one device; keeps a long link full")
    ] = 1 * MIB
    publish_max: Annotated[
        int, Bound("publishes", 1, 4_096, "unsettled publishes of a device; outcomes kept to de-duplicate")
    ] = 256
    keepalive_s: Annotated[int, Bound("seconds", 5, 3_600, "silence allowed to a device, × 1.5 until it is closed")] = (
        60
    )
    login_timeout_s: Annotated[int, Bound("seconds", 1, 120, "from accept to CONNECT, and from there to CONNACK")] = 10
    write_timeout_s: Annotated[int, Bound("seconds", 1, 600, "a peer that takes no byte for so long is gone")] = 10
    write_buffer_bytes_max: Annotated[
        int, Bound("bytes", 64 * KIB, 64 * MIB, "past it a connection is neither read nor pumped")
    ] = 512 * KIB
    read_bytes_max: Annotated[
        int, Bound("bytes", 4 * KIB, 1 * MIB, "one read of a socket; bounds work between two yields")
    ] = 64 * KIB

    # --- connections and log-in ---
    connections_max: Annotated[int, Bound("connections", 1, 1_000_000, "file descriptors and memory in all")] = 20_000
    connections_before_login_max: Annotated[
        int, Bound("connections", 1, 1_000_000, "strangers at the door at once; past it the oldest gives way")
    ] = 5_000
    connections_before_login_per_address_max: Annotated[
        int, Bound("connections", 1, 1_000_000, "strangers from one address: it cannot keep everybody from the door")
    ] = 2_500
    connections_per_address_max: Annotated[
        int, Bound("connections", 1, 1_000_000, "one address cannot take every place")
    ] = 10_000
    password_checks_max: Annotated[int, Bound("checks", 1, 64, "argon2id at once: 19 MiB and 30 ms of a core each")] = 2
    password_queue_max: Annotated[int, Bound("checks", 1, 4_096, "waiting to be checked; past it: server busy")] = 64
    takeovers_max: Annotated[
        int, Bound("takeovers", 2, 1_000, "of one (user, terminal type) in a window, then log-ins wait")
    ] = 6
    takeover_window_s: Annotated[int, Bound("seconds", 1, 3_600, "window in which takeovers are counted")] = 60
    login_failures_per_address_max: Annotated[
        int, Bound("failures", 1, 10_000, "failed log-ins from one address in a window, then passwords wait")
    ] = 10
    login_failures_per_user_max: Annotated[
        int, Bound("failures", 1, 10_000, "of one user from anywhere; more, so that one address cannot reach it")
    ] = 30
    login_failures_window_s: Annotated[int, Bound("seconds", 1, 86_400, "window in which failed log-ins count")] = 300
    login_wait_max_s: Annotated[
        int, Bound("seconds", 1, 3_600, "longest wait after failed log-ins: it grows from 1 s, doubling")
    ] = 60
    login_failures_kept_max: Annotated[
        int, Bound("keys", 10, 1_000_000, "addresses, users, devices with failed log-ins, each; about 1 KiB of memory")
    ] = 10_000
    devices_per_user_max: Annotated[int, Bound("devices", 1, 1_024, "cursors and outcomes kept for one user")] = 32

    # --- users ---
    group_members_max: Annotated[int, Bound("members", 2, 10_000, "inbox entries of one message in one commit")] = 2_000
    groups_per_user_max: Annotated[int, Bound("groups", 1, 100_000, "memberships of one user")] = 1_000
    relations_per_user_max: Annotated[int, Bound("relations", 1, 100_000, "contacts and blocks of one user")] = 3_000
    subscriptions_max: Annotated[int, Bound("users", 1, 10_000, "users whose presence one session follows")] = 500

    user_messages_max: Annotated[
        int, Bound("messages", 0, 10_000_000, "published by one user at once, and again in each window; 0: no bound")
    ] = 0
    user_bytes_max: Annotated[
        int, Bound("bytes", 0, 64 * 1024 * MIB, "of bodies, likewise; a single message may exceed it; 0: no bound")
    ] = 0
    user_rate_window_s: Annotated[int, Bound("seconds", 1, 3_600, "in which a user has all of that again")] = 10
    user_rates_kept_max: Annotated[
        int, Bound("users", 100, 1_000_000, "users whose rate is remembered while it matters; about 0.5 KiB each")
    ] = 20_000
    rate_wait_max_s: Annotated[
        int, Bound("seconds", 1, 60, "a device beyond its user's rate is not read for so long, then told to wait")
    ] = 10

    # --- batches ---
    batch_operations_max: Annotated[int, Bound("operations", 1, 65_536, "work of one commit: bounds its latency")] = (
        1_024
    )
    batch_bytes_max: Annotated[int, Bound("bytes", 64 * KIB, 256 * MIB, "bodies in one commit")] = 4 * MIB
    batch_entries_max: Annotated[int, Bound("entries", 2, 1_000_000, "inbox entries in one commit")] = 20_000
    queue_operations_max: Annotated[
        int, Bound("operations", 1, 1_000_000, "waiting for a batch; past it sockets are not read")
    ] = 16_384
    queue_wait_max_s: Annotated[
        int, Bound("seconds", 1, 60, "a socket is not read for want of room there, then its publishes are: server busy")
    ] = 1
    queue_bytes_max: Annotated[
        int, Bound("bytes", 64 * KIB, 1024 * MIB, "bodies waiting for a batch; past it sockets are not read")
    ] = 32 * MIB

    # --- reading ---
    tail_entries_max: Annotated[
        int, Bound("entries", 1, 65_536, "newest entries of a live inbox kept encoded in memory")
    ] = 512
    tail_bytes_max: Annotated[int, Bound("bytes", 16 * KIB, 256 * MIB, "bytes of those entries, for each inbox")] = (
        1 * MIB
    )
    page_entries_max: Annotated[
        int, Bound("entries", 1, 16_384, "one read of cold history; bounds how long a page is pinned")
    ] = 512
    page_bytes_max: Annotated[int, Bound("bytes", 16 * KIB, 16 * MIB, "bytes in one read of cold history")] = 1 * MIB
    fetch_max: Annotated[int, Bound("entries", 1, 1_000, "entries in one PAGE")] = 200
    readers_max: Annotated[int, Bound("threads", 1, 64, "reads of cold history at once")] = 4
    trim_slice_max: Annotated[int, Bound("entries", 1, 100_000, "entries trimmed in one commit")] = 1_000

    # --- admin ---
    http_body_bytes_max: Annotated[int, Bound("bytes", 4 * KIB, 64 * MIB, "one admin request")] = 256 * KIB
    http_timeout_s: Annotated[int, Bound("seconds", 1, 600, "one admin request, read and answered")] = 30
    http_connections_max: Annotated[int, Bound("connections", 1, 10_000, "admin connections at once")] = 64
    web_connections_max: Annotated[
        int, Bound("connections", 1, 10_000, "HTTP connections at once on web_listen, WebSockets not counted")
    ] = 512
    admins_max: Annotated[int, Bound("admins", 1, 1_000, "who may administer over the network; each is looked at")] = 64
    listing_max: Annotated[int, Bound("rows", 1, 10_000, "rows in one answer of the admin API")] = 1_000

    def __post_init__(self) -> None:
        """Check each limit against its range, and those that hang together against each other. Raises Unfit."""
        # Only numbers within their ranges are held against each other: one mistake is told once.
        problems = tuple(self._out_of_range()) or tuple(self._at_odds())
        if problems:
            raise Unfit(*problems)

    def _out_of_range(self) -> Iterator[str]:
        for row in self.table():
            value, (unit, least, most, _) = getattr(self, row.name), row.bound
            if not least <= value <= most:
                yield f"limits.{row.name} = {value}: allowed are {least} to {most} {unit}"

    def _at_odds(self) -> Iterator[str]:
        # A body may cross the wire as base64 (JSON), which makes it a third longer (RFC 4648, section 4).
        yield from self._at_most(
            "body_bytes_max",
            (self.frame_bytes_max - FRAME_OVERHEAD_BYTES) * 3 // 4,
            "three quarters of frame_bytes_max",
        )
        yield from self._at_most("connect_bytes_max", self.frame_bytes_max, "frame_bytes_max")
        yield from self._at_most("body_bytes_max", self.batch_bytes_max, "batch_bytes_max")
        yield from self._at_most("group_members_max", self.batch_entries_max, "batch_entries_max")
        yield from self._at_most("batch_operations_max", self.queue_operations_max, "queue_operations_max")
        yield from self._at_most("connections_before_login_max", self.connections_max, "connections_max")

    def _at_most(self, name: str, most: int, why: str) -> Iterator[str]:
        if getattr(self, name) > most:
            yield f"limits.{name} = {getattr(self, name)}: at most {most} is allowed ({why})"

    @classmethod
    def table(cls) -> Iterator[Row]:
        """Every limit with its default, unit, range and reason, in the order of this file."""
        return iter(_TABLE)


def _rows() -> Iterator[Row]:
    hints: dict[str, Any] = get_type_hints(Limits, include_extras=True)
    for field in msgspec.structs.fields(Limits):
        yield Row(field.name, field.default, get_args(hints[field.name])[1])


_TABLE = tuple(_rows())
