"""What the tests of the stores share: fillings of the port, and a world of users and sessions on one of them."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, cast

from roost_broker.store import Store
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.memory import MemoryStore
from roost_broker.store.operations import (
    CreateUser,
    LoggedIn,
    LogIn,
    Operation,
    OperationResult,
    Published,
    PublishMessage,
    Refused,
    UserCreated,
)
from roost_protocol.limits import Limits
from roost_protocol.reasons import Reason

START_MS = 1_700_000_000_000
SMALL_LIMITS = Limits(
    publish_max=4,
    devices_per_user_max=3,
    group_members_max=4,
    groups_per_user_max=3,
    relations_per_user_max=3,
)
"""Small enough that tests reach them."""


class Reopened:
    """A store that is closed and opened again before every call: nothing may live in memory alone."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open = open_store
        self._store = open_store()

    def __getattr__(self, name: str) -> Any:
        self._store.close()
        self._store = self._open()
        return getattr(self._store, name)

    def close(self) -> None:
        self._store.close()


FILLINGS = ("memory", "lmdb", "lmdb reopened")


def seeded(seed: int = 1) -> Random:
    """Randomness that is the same every time."""
    return Random(seed)  # noqa: S311  # for ids, not for secrets


def make_store(filling: str, path: Path, *, limits: Limits = SMALL_LIMITS, seed: int = 1) -> Store:
    """A fresh store of this filling; those on disk live in `path`."""
    random = seeded(seed)
    if filling == "memory":
        return MemoryStore(limits=limits, random=random)
    if filling == "lmdb":
        return LmdbStore(path, limits=limits, random=random)
    # What is asked here is whether all is in the file; that it is durable is asked of the filling above.
    return cast("Store", Reopened(lambda: LmdbStore(path, limits=limits, random=random, sync=False)))


class Session:
    """A session as its broker knows it, with the device's count of publishes."""

    def __init__(self, user: int, name: str, terminal: str, logged_in: LoggedIn) -> None:
        self.user = user
        self.name = name
        self.terminal = terminal
        self.logged_in = logged_in
        self.device = logged_in.device
        self.epoch = logged_in.epoch
        self.n = logged_in.settled_n


class World:
    """A store with a clock, and the shortest way to say what is done to it. Each call is one commit."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now_ms = START_MS
        self.numbers: dict[str, int] = {}

    def do(self, *operations: Operation) -> list[OperationResult]:
        """Commit the operations, one millisecond after those before."""
        self.now_ms += 1
        return self.store.commit(operations, self.now_ms)

    def one(self, operation: Operation) -> OperationResult:
        """Commit one operation."""
        (result,) = self.do(operation)
        return result

    def users(self, *names: str) -> list[int]:
        """Create users; return their numbers."""
        for name in names:
            created = self.one(CreateUser(name=name, password_hash=f"hash of {name}"))
            assert isinstance(created, UserCreated)
            self.numbers[name] = created.user
        return [self.numbers[name] for name in names]

    def login_operation(self, name: str, device_id: str, terminal: str = "phone", **more: Any) -> LogIn:
        if "token_digest" not in more:
            more.setdefault("password_version", 1)
        return LogIn(user=self.numbers[name], device_id=device_id, terminal=terminal, **more)

    def try_login(self, name: str, device_id: str, terminal: str = "phone", **more: Any) -> LoggedIn | Refused:
        result = self.one(self.login_operation(name, device_id, terminal, **more))
        assert isinstance(result, LoggedIn | Refused)
        return result

    def login(self, name: str, device_id: str | None = None, terminal: str = "phone", **more: Any) -> Session:
        result = self.try_login(name, device_id or f"{name}-{terminal}", terminal, **more)
        assert isinstance(result, LoggedIn), result
        return Session(self.numbers[name], name, terminal, result)

    def message(
        self, session: Session, to: str, text: str | None = "hello", n: int | None = None, **more: Any
    ) -> PublishMessage:
        """A publish of the session; without `n` it takes the next."""
        if n is None:
            session.n = n = session.n + 1
        fields: dict[str, Any] = {
            "sender": session.user,
            "sender_name": session.name,
            "device": session.device,
            "terminal": session.terminal,
            "epoch": session.epoch,
            "n": n,
            "to": to,
            "content_type": "text/plain",
            "text": text,
            "digest": f"{to} {text}".encode().ljust(16, b"\0")[:16],
        }
        return PublishMessage(**{**fields, **more})

    def publish(
        self, session: Session, to: str, text: str | None = "hello", n: int | None = None, **more: Any
    ) -> Published:
        result = self.one(self.message(session, to, text, n, **more))
        assert isinstance(result, Published)
        return result

    def head(self, name: str) -> int:
        return self.store.read_inbox(self.numbers[name], 0, 1, 1).head


def reason_of(result: OperationResult) -> Reason:
    """The reason of a refusal."""
    assert isinstance(result, Refused), result
    return result.reason
