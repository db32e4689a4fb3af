"""The stages of a check but for the echo: each asks, judges, and says so in a line. None raises."""

import os
import socket
import time

from roost_admin.api import AdminApi
from roost_admin.check.report import Figure, Stage, State, judged, worst
from roost_admin.output import byte_size, local_time
from roost_protocol.admin.health import Health
from roost_protocol.admin.status import BrokerStatus

CONNECT_S = 5.0
"""For a TCP connection to this machine: far more than it ever takes."""

WAIT_WARNING_MS, WAIT_CRITICAL_MS = 1_000, 10_000
"""What an operation waits for the writer: people notice the one, and devices give up at the other."""

RETENTION_WARNING_MS = 3_600_000
"""An hour behind: much can come in meanwhile, and a disk gets full."""

RESERVES_WARNING = 4
"""Less room than so many times the reserve, in which publishes are refused: time to act."""

DISK_WARNING = 0.05
"""Or less than this part of the disk."""

CLOCK_WARNING_MS, CLOCK_CRITICAL_MS = 2_000, 60_000
"""The broker's clock against this machine's. Messages get their time from it, and retention by age goes by it."""

DAY_MS = 86_400_000

EXPIRY_WARNING_DAYS, EXPIRY_CRITICAL_DAYS = 21, 3
"""A certificate that renews itself does so a month before its end: later than three weeks, something is wrong."""

MOVED_MS = 60_000
"""A clock that moved by so much against the monotonic one was set, or the machine slept."""


def process(status: BrokerStatus) -> Stage:
    """The process that answers: since when, and whether it is about to stop."""
    try:
        os.kill(status.pid, 0)
        here = ""
    except PermissionError:
        here = ""
    except ProcessLookupError:
        here = ", not on this machine"
    text = f"roost {status.version}, process {status.pid}{here}, since {local_time(status.started)}"
    if status.draining:
        return Stage("process", "warning", f"{text}: it is draining and will stop")
    return Stage("process", "ok", text)


def listeners(status: BrokerStatus) -> Stage:
    """Whether each address takes a connection."""
    failures = []
    for address in status.listeners:
        try:
            socket.create_connection(dialled(address), CONNECT_S).close()
        except (OSError, ValueError) as error:
            failures.append(f"{address}: {error}")
    if failures:
        return Stage("listeners", "critical", "; ".join(failures))
    if not status.listeners:
        return Stage("listeners", "critical", "the broker listens nowhere")
    return Stage("listeners", "ok", f"connections are taken on {', '.join(status.listeners)}")


def dialled(address: str) -> tuple[str, int]:
    """Host and port that reach a listener; one on every address is reached by loopback. Raises ValueError."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host), int(port)  # noqa: S104


def writer(health: Health) -> Stage:
    """Whether what is to be stored waits for the disk, or retention is behind."""
    waited = max(health.oldest_queued_ms, health.commit_under_way_ms)
    lag = Figure("writer_lag", waited, "ms", WAIT_WARNING_MS, WAIT_CRITICAL_MS)
    retention = Figure("retention_lag", health.retention_lag_ms, "ms", RETENTION_WARNING_MS)
    last = "none yet" if health.last_commit_ago_ms is None else f"{health.last_commit_ago_ms / 1000:.1f} s ago"
    text = f"{health.queued} operations wait, for {waited} ms; last commit {last}"
    if judged(retention) != "ok":
        text += f"; retention is {health.retention_lag_ms // 1000} s behind"
    state = worst((judged(lag), judged(retention)))
    if health.commit_refused:
        state, text = "critical", f"the last commit was not done: {health.commit_refused}"
    return Stage("writer", state, text, (lag, retention, Figure("queued", health.queued)))


def disk(health: Health) -> Stage:
    """Whether there is room for messages, in the store's map and on its disk."""
    reserve = health.store_reserve_bytes
    map_left = health.store_map_bytes - health.store_used_bytes
    states = [_room(map_left, reserve)]
    figures = [Figure("map_used", health.store_used_bytes, "B"), Figure("map_left", map_left, "B")]
    text = f"the store has {byte_size(health.store_used_bytes)} of {byte_size(health.store_map_bytes)}"
    if health.disk_free_bytes is not None and health.disk_bytes is not None:
        states.append(_room(health.disk_free_bytes, reserve))
        if health.disk_free_bytes < health.disk_bytes * DISK_WARNING:
            states.append("warning")
        figures.append(Figure("disk_free", health.disk_free_bytes, "B"))
        text += f"; the disk has {byte_size(health.disk_free_bytes)} free of {byte_size(health.disk_bytes)}"
    state = worst(states)
    if health.store_damaged:
        figures.append(Figure("damaged", health.store_damaged))
        text += f"; {health.store_damaged} records are damaged: `roost fsck` says which"
        return Stage("disk", "critical", text, tuple(figures))
    if state == "critical":
        text += f"; that is within the reserve of {byte_size(reserve)}, where publishes are refused"
    return Stage("disk", state, text, tuple(figures))


def _room(left: int, reserve: int) -> State:
    if left <= reserve:
        return "critical"
    return "warning" if left < RESERVES_WARNING * reserve else "ok"


def clock(api: AdminApi) -> Stage:
    """The broker's clock against this machine's, and whether it has moved since the broker began. Raises Failure."""
    from roost_protocol.admin.health import HEALTH

    before = time.time_ns() // 1_000_000
    health = api.ask(HEALTH)
    after = time.time_ns() // 1_000_000
    # Whenever it was looked at between the two, that is no difference.
    difference = max(before - health.now, health.now - after, 0)
    apart = Figure("clock_apart", difference, "ms", CLOCK_WARNING_MS, CLOCK_CRITICAL_MS)
    moved = abs(health.clock_moved_ms)
    text = f"{difference} ms apart from this machine's" if difference else "as this machine's"
    state = judged(apart)
    if moved >= MOVED_MS:
        state = worst((state, "warning"))
        text += f"; it has moved by {health.clock_moved_ms / 1000:.0f} s since the start: set, or the machine slept"
    return Stage("clock", state, text, (apart, Figure("clock_moved", moved, "ms", MOVED_MS)))


def certificates(health: Health) -> Stage:
    """When the certificate of the listeners ends."""
    if health.certificate_expires is None:
        return Stage("certificates", "skipped", "none is configured, and nothing is encrypted")
    left_days = (health.certificate_expires - health.now) / DAY_MS
    end = local_time(health.certificate_expires)
    if left_days <= EXPIRY_CRITICAL_DAYS:
        state: State = "critical"
    else:
        state = "warning" if left_days <= EXPIRY_WARNING_DAYS else "ok"
    text = f"ended on {end}: devices refuse it" if left_days <= 0 else f"ends on {end}, in {left_days:.0f} days"
    return Stage("certificates", state, text, (Figure("certificate_left", round(left_days, 2), "d"),))
