"""The floor under every figure: the commit of the same records by the same code, with nothing around it."""

import os
import random
import time
from pathlib import Path
from statistics import median

from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.operations import CreateUser, LoggedIn, LogIn, PublishMessage, UserCreated
from roost_protocol.limits import MIB, Limits

ROUNDS = 100
NOBODY = "-"
"""A password hash that no password has."""


def commit_floor(folder: Path, body_bytes: int) -> dict[str, float]:
    """Median time of one commit of 1, 16 and 256 direct messages, and of an fdatasync of 4 KiB; ms."""
    store = LmdbStore(
        folder / "store", map_bytes=1024 * MIB, reserve_bytes=16 * MIB, limits=Limits(), random=random.SystemRandom()
    )
    try:
        sender, device, epoch = _log_in(store)
        figures = {"fdatasync_ms": _fdatasync_ms(folder)}
        n = 0
        for size in (1, 16, 256):
            times = []
            for _ in range(ROUNDS):
                batch = [_publish(sender, device, epoch, n + offset + 1, body_bytes) for offset in range(size)]
                n += size
                begin = time.perf_counter()
                store.commit(batch, time.time_ns() // 1_000_000)
                times.append(time.perf_counter() - begin)
            figures[f"commit_{size}_ms"] = round(median(times) * 1000, 3)
        return figures
    finally:
        store.close()


def _log_in(store: LmdbStore) -> tuple[int, int, int]:
    created, _ = store.commit([CreateUser(name=name, password_hash=NOBODY) for name in ("a", "b")], 1)
    if not isinstance(created, UserCreated):
        raise AssertionError(f"no user: {created!r}")
    account = store.account("a")
    version = account.password_version if account else None
    log_in = LogIn(user=created.user, password_version=version, device_id="d", terminal="phone")
    (begun,) = store.commit([log_in], 1)
    if not isinstance(begun, LoggedIn):
        raise AssertionError(f"no session: {begun!r}")
    return created.user, begun.device, begun.epoch


def _publish(sender: int, device: int, epoch: int, n: int, body_bytes: int) -> PublishMessage:
    return PublishMessage(
        sender=sender, sender_name="a", device=device, terminal="phone", epoch=epoch, n=n, to="user/b",
        content_type="text/plain", data=b"x" * body_bytes, digest=n.to_bytes(16, "big"),
    )  # fmt: skip


def _fdatasync_ms(folder: Path) -> float:
    number = os.open(folder / "sync", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        times = []
        for _ in range(ROUNDS):
            os.pwrite(number, os.urandom(4096), 0)
            begin = time.perf_counter()
            os.fdatasync(number)
            times.append(time.perf_counter() - begin)
        return round(median(times) * 1000, 3)
    finally:
        os.close(number)
