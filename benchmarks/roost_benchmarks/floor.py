"""The floor under every figure: what nothing could be faster than, on this machine and this folder, in this minute.

- *the commit*: the same records as the broker writes, by the same code and in one thread, with nothing around it;
- *the disk*: an `fdatasync` of 4 KiB, which a commit cannot do without;
- *the sends*: one frame to each of n sockets from a bare loop, which a fan-out cannot do without.

Figures are named with their units: `commit_1_ms` is the median of commits of one message, `commit_1_p99_ms` the 99th
percentile, `commit_group_ms` one message to a group, `send_us` one send. Nothing here needs more than the broker does.
"""

import os
import random
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from roost_benchmarks import machine
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.operations import (
    CreateGroup,
    CreateUser,
    LoggedIn,
    LogIn,
    Operation,
    Published,
    PublishMessage,
    UserCreated,
)
from roost_protocol import codec
from roost_protocol.frames import Deliver, Entry
from roost_protocol.limits import MIB, Limits
from roost_protocol.reasons import Reason

ROUNDS: Final = 500
"""Commits of each size: their 99th percentile has five above it."""
SIZES: Final = (1, 16, 256)
"""Messages in a commit: alone, under some load, under much."""
PAIRS: Final = 20
"""Pairs that write in turn, as in W1 and W2: a commit of many messages touches many inboxes."""
MEMBERS: Final = 500
"""Of the group whose message is committed, as in W3."""
SOCKETS: Final = 1_000
"""That one frame is sent to, as in W3."""
SEND_ROUNDS: Final = 30

STORED_BYTES_MAX: Final = 64 * MIB
"""Bodies that commits of one size may store: large ones get fewer rounds, and the folder does not fill up."""
ROUNDS_MIN: Final = 3

PAGE: Final = 4_096
NOBODY: Final = "-"
"""A password hash that no password has."""

MAP_BYTES: Final = 1024 * MIB
RESERVE_BYTES: Final = 16 * MIB
BODY_BYTES: Final = 128


class _Sender(NamedTuple):
    """A device whose messages are committed."""

    user: int
    name: str
    device: int
    epoch: int
    to: str


def measure(folder: Path, body_bytes: int = BODY_BYTES, *, rounds: int = ROUNDS) -> dict[str, float]:
    """Everything that the suite holds its figures against; a few seconds. Raises OSError."""
    figures = {**commit_floor(folder, body_bytes, rounds=rounds), **group_floor(folder, body_bytes, rounds=rounds // 2)}
    return {**figures, **send_floor(body_bytes=body_bytes)}


def commit_floor(
    folder: Path, body_bytes: int = BODY_BYTES, *, rounds: int = ROUNDS, progress: Callable[[float], None] | None = None
) -> dict[str, float]:
    """Time of one commit of 1, 16 and 256 direct messages (`SIZES`), and of an fdatasync of 4 KiB; ms.

    Makes a store in `folder`, which must be fresh, and leaves it there. `progress` is told the share that is done.
    Raises OSError.
    """
    figures = _spread("fdatasync", _fdatasyncs(folder, rounds))
    store = _open(folder / "commits")
    try:
        senders = [_pair(store, number) for number in range(PAIRS)]
        counts = [0] * PAIRS
        for done, size in enumerate(SIZES):
            if progress:
                progress((1 + done) / (1 + len(SIZES)))
            times = []
            for round_ in range(rounds_of(size, body_bytes, rounds)):
                batch: list[Operation] = []
                for offset in range(size):
                    chosen = (round_ + offset) % PAIRS
                    counts[chosen] += 1
                    batch.append(_publish(senders[chosen], counts[chosen], body_bytes))
                times.append(_timed_commit(store, batch))
            figures |= _spread(f"commit_{size}", times)
    finally:
        store.close()
    return figures


def rounds_of(size: int, body_bytes: int, rounds: int) -> int:
    """How many of `rounds` commits of `size` messages are made: as many as `STORED_BYTES_MAX` has room for."""
    return min(rounds, max(ROUNDS_MIN, STORED_BYTES_MAX // (size * body_bytes)))


def group_floor(
    folder: Path, body_bytes: int = BODY_BYTES, *, members: int = MEMBERS, rounds: int = ROUNDS
) -> dict[str, float]:
    """Time of one commit of one message to a group of `members`: `commit_group_ms`. As for `commit_floor`."""
    store = _open(folder / "group")
    try:
        names = [f"member{number}" for number in range(members)]
        created = store.commit([CreateUser(name=name, password_hash=NOBODY) for name in names], 1)
        first = created[0]
        if not isinstance(first, UserCreated):
            raise AssertionError(f"no user: {first!r}")
        store.commit([CreateGroup(name="all", owner=first.user, members=tuple(names))], 1)
        sender = _log_in(store, first.user, names[0], "group/all")
        times = [_timed_commit(store, [_publish(sender, n, body_bytes)]) for n in range(1, rounds + 1)]
    finally:
        store.close()
    return _spread("commit_group", times)


def send_floor(sockets: int = SOCKETS, *, body_bytes: int = BODY_BYTES, rounds: int = SEND_ROUNDS) -> dict[str, float]:
    """Time of one non-blocking send of a DELIVER over loopback, from a bare loop over `sockets` of them.

    `send_us` is the median over the rounds of the mean of one send; `fan_out_1000_ms` is what 1,000 of them take. The
    other ends are read dry between two rounds, not while it is measured. Raises OSError.
    """
    entry = Entry(id="0" * 16, sender="member0", to="group/all", time=2**41, data=b"x" * body_bytes)
    frame = codec.encode(Deliver(seq=100_000, entry=entry))
    sockets = _allowed(sockets)
    ends: list[tuple[socket.socket, socket.socket]] = []
    try:
        with socket.create_server(("127.0.0.1", 0), backlog=sockets) as listening:
            for _ in range(sockets):
                ends.append(_connected(listening))
        sends = [near.send for near, _ in ends]
        times = []
        for _ in range(rounds):
            begin = time.perf_counter_ns()
            for send in sends:
                send(frame)
            times.append(time.perf_counter_ns() - begin)
            for _, far in ends:
                far.recv(PAGE)
    finally:
        for near, far in ends:
            near.close()
            far.close()
    each_us = _percentile(times, 50) / sockets / 1_000
    return {"send_us": round(each_us, 2), "fan_out_1000_ms": round(each_us, 3)}


def lower_of(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """The floor of a run from those before and after it: the lower of each figure, and both under their own names.

    The lower, not the mean: a floor says what the machine can do, and a stall of the disk in one of them must not
    make a goal easier to meet.
    """
    found = lower(before, after)
    found |= {f"{name}_before": before[name] for name in found}
    return found | {f"{name}_after": after[name] for name in after if name in before}


def lower(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """The lower of each figure that both have."""
    return {name: min(value, after[name]) for name, value in before.items() if name in after}


def _open(path: Path) -> LmdbStore:
    random_ = random.SystemRandom()
    return LmdbStore(path, map_bytes=MAP_BYTES, reserve_bytes=RESERVE_BYTES, limits=Limits(), random=random_)


def _pair(store: LmdbStore, number: int) -> _Sender:
    names = (f"a{number}", f"b{number}")
    created, _ = store.commit([CreateUser(name=name, password_hash=NOBODY) for name in names], 1)
    if not isinstance(created, UserCreated):
        raise AssertionError(f"no user: {created!r}")
    return _log_in(store, created.user, names[0], f"user/{names[1]}")


def _log_in(store: LmdbStore, user: int, name: str, to: str) -> _Sender:
    account = store.account(name)
    version = account.password_version if account else None
    (begun,) = store.commit([LogIn(user=user, password_version=version, device_id="d", terminal="phone")], 1)
    if not isinstance(begun, LoggedIn):
        raise AssertionError(f"no session: {begun!r}")
    return _Sender(user, name, begun.device, begun.epoch, to)


def _publish(sender: _Sender, n: int, body_bytes: int) -> PublishMessage:
    return PublishMessage(
        sender=sender.user, sender_name=sender.name, device=sender.device, terminal="phone", epoch=sender.epoch, n=n,
        to=sender.to, content_type="text/plain", data=b"x" * body_bytes, body_bytes=body_bytes,
        digest=n.to_bytes(16, "big"),
    )  # fmt: skip


def _timed_commit(store: LmdbStore, batch: Sequence[Operation]) -> int:
    """How long it took, in ns. A refusal would be fast, and measure nothing."""
    now_ms = time.time_ns() // 1_000_000
    begin = time.perf_counter_ns()
    results = store.commit(batch, now_ms)
    taken = time.perf_counter_ns() - begin
    for result in results:
        if not isinstance(result, Published) or result.reason != Reason.SUCCESS:
            raise AssertionError(f"not stored: {result!r}")
    return taken


def _fdatasyncs(folder: Path, rounds: int) -> list[int]:
    number = os.open(folder / "sync", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        times = []
        for _ in range(rounds):
            os.pwrite(number, os.urandom(PAGE), 0)
            begin = time.perf_counter_ns()
            os.fdatasync(number)
            times.append(time.perf_counter_ns() - begin)
        return times
    finally:
        os.close(number)


def _connected(listening: socket.socket) -> tuple[socket.socket, socket.socket]:
    near = socket.create_connection(listening.getsockname())
    near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    near.setblocking(False)
    far, _ = listening.accept()
    return near, far


def _allowed(sockets: int) -> int:
    """As many as the process may open both ends of; raises the soft limit as far as it may."""
    return min(sockets, (machine.allow_files(2 * sockets + machine.SPARE_FILES) - machine.SPARE_FILES) // 2)


def _spread(name: str, times_ns: Sequence[int]) -> dict[str, float]:
    return {
        f"{name}_ms": round(_percentile(times_ns, 50) / 1e6, 4),
        f"{name}_p99_ms": round(_percentile(times_ns, 99) / 1e6, 4),
    }


def _percentile(values: Sequence[int], percent: float) -> int:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
