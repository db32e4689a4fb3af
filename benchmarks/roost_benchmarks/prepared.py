"""Stores that are full before the broker starts: users by the thousand, devices with tokens, backlogs, a long history.

Everything goes through `Store.commit`, the broker's own code, in batches far larger than the broker's, and without
waiting for the disk; `prepared` waits for it once, at the end. Ten million entries take about 80 seconds (measured:
100,000 to 150,000 entries/s). What that needs:

- large batches, since the rows of a batch are sorted and then put side by side (of 300,000 entries: 98,000 entries/s;
  of 20,000: 72,000);
- no cyclic collector, which would walk over a million live tuples again and again;
- a history made community by community, since the rows of a thousand users lie in few pages and those of all do not
  (147,000 entries/s against 85,000).

Times lie in the past and rise, so that retention by age (90 days by default) leaves everything where it is.
"""

import gc
import hashlib
import os
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final, NamedTuple, TypeVar

from msgspec import Struct

from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.lmdb_open import DATA_FILE
from roost_broker.store.operations import (
    CreateGroup,
    CreateUser,
    Done,
    LoggedIn,
    LogIn,
    Operation,
    Published,
    PublishMessage,
    UserCreated,
)
from roost_broker.store.port import Store
from roost_protocol.limits import Limits
from roost_protocol.reasons import Reason

NOBODY: Final = "-"
"""A password hash that no password has: such users log in with tokens, or never."""

BATCH_ENTRIES: Final = 300_000
"""Inbox entries in one commit; larger batches gain nothing more and cost memory."""
BATCH_BODY_BYTES: Final = 64 * 1024 * 1024
"""Bodies in one commit."""
BATCH_ACCOUNTS: Final = 20_000
"""Users or devices in one commit."""

HISTORY_MS: Final = 60 * 24 * 3600 * 1000
"""A history begins so long ago: within the age that is kept by default."""

HISTORY_TERMINAL: Final = "bot"
"""Of the devices that a history came from."""

SENDERS: Final = 16
"""Users who write a backlog: their own inboxes grow by it too."""

T = TypeVar("T")


class Sender(NamedTuple):
    """A device that messages of a filling come from. `epoch` is that of its session."""

    user: int
    name: str
    device: int
    terminal: str
    epoch: int


class Message(NamedTuple):
    """One message of a filling. `entries`: about how many inboxes get it, the sender's too."""

    sender: Sender
    to: str
    entries: int


class Site(Struct, frozen=True, kw_only=True):
    """A history as at a real site: people who write to few others, some more than others, and in groups."""

    entries: int
    """In all inboxes; the last message may add a few more than asked for."""
    users: int = 20_000
    community: int = 1_000
    """Users who write to each other; a group lies within a community."""
    group_members: int = 20
    group_share: float = 0.1
    """Of messages that go to a group."""
    body_bytes: int = 128
    seed: int = 1


def device_id(terminal: str) -> str:
    """The id of a user's device of this terminal type, here as in every benchmark."""
    return f"bench-{terminal}"


def token_of(user: str, terminal: str) -> str:
    """The token of a prepared device. Anyone can tell it: such a store is for one run on loopback."""
    return urlsafe_b64encode(hashlib.sha256(f"{user}/{terminal}".encode()).digest()).decode().rstrip("=")


def _digest(token: str) -> bytes:
    """What the store keeps of a token (the broker's `accounts.token_digest`)."""
    return hashlib.sha256(token.encode()).digest()


class Filler:
    """Puts users, devices, groups and messages into a store. Raises AssertionError if the store refuses anything."""

    def __init__(
        self,
        store: Store,
        *,
        body_bytes: int = 128,
        history_entries: int = 0,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self._store = store
        self._history_entries = history_entries
        self._made_entries = 0
        self._body = b"x" * body_bytes
        self._batch_entries = min(BATCH_ENTRIES, max(1, BATCH_BODY_BYTES // max(body_bytes, 1)))
        self._counts: dict[int, int] = {}
        self._progress = progress
        self._begin_ms = self._now_ms = time.time_ns() // 1_000_000 - HISTORY_MS
        self._numbers: dict[str, int] = {}

    def users(self, names: Sequence[str], password_hash: str = NOBODY) -> None:
        """Create accounts, all with the same password."""
        for part in _parts(names, BATCH_ACCOUNTS):
            created = self._commit([CreateUser(name=name, password_hash=password_hash) for name in part], UserCreated)
            self._numbers.update(zip(part, (each.user for each in created), strict=True))

    def devices(self, names: Sequence[str], terminal: str, *, tokens: bool = True) -> list[Sender]:
        """A device of `terminal` for each of these users (whoever created them), with the token `token_of` says."""
        made = []
        for part in _parts(names, BATCH_ACCOUNTS):
            operations = [self._log_in(name, terminal, tokens=tokens) for name in part]
            begun = self._commit(operations, LoggedIn)
            made += [
                Sender(self.number(name), name, each.device, terminal, each.epoch)
                for name, each in zip(part, begun, strict=True)
            ]
        return made

    def number(self, name: str) -> int:
        """The number of a user in the store."""
        known = self._numbers.get(name)
        if known is None:
            account = self._store.account(name)
            if account is None:
                raise AssertionError(f"there is no user {name}")
            known = self._numbers[name] = account.user
        return known

    def _log_in(self, name: str, terminal: str, *, tokens: bool) -> LogIn:
        return LogIn(
            user=self.number(name), password_version=1, device_id=device_id(terminal), terminal=terminal,
            new_token_digest=_digest(token_of(name, terminal)) if tokens else None,
        )  # fmt: skip

    def groups(self, members: Mapping[str, Sequence[str]]) -> None:
        """Create groups; the first member owns each."""
        operations = [
            CreateGroup(name=name, owner=self.number(names[0]), members=tuple(names)) for name, names in members.items()
        ]
        self._commit(operations, Done)

    def backlog(self, names: Sequence[str], entries_each: int) -> None:
        """Give each of these users so many entries, from senders made for it (`backlog-…`)."""
        prefix = f"backlog-{self._now_ms:x}-{len(self._counts)}"
        writers = [f"{prefix}-{number}" for number in range(min(SENDERS, len(names)))]
        self.users(writers)
        senders = self.devices(writers, HISTORY_TERMINAL, tokens=False)
        self.messages(
            Message(senders[place % len(senders)], f"user/{name}", 2)
            for _ in range(entries_each)
            for place, name in enumerate(names)
        )

    def messages(self, messages: Iterable[Message]) -> int:
        """Store messages in their order; how many entries they made."""
        before, waiting = self._made_entries, 0
        operations: list[Operation] = []
        with _no_collector():
            for message in messages:
                operations.append(self._publish(message))
                waiting += message.entries
                if waiting >= self._batch_entries:
                    self._send(operations)
                    operations, waiting = [], 0
            self._send(operations)
        return self._made_entries - before

    def _publish(self, message: Message) -> PublishMessage:
        user, name, device, terminal, epoch = message.sender
        n = self._counts[device] = self._counts.get(device, 0) + 1
        return PublishMessage(
            sender=user, sender_name=name, device=device, terminal=terminal, epoch=epoch, n=n, to=message.to,
            content_type="text/plain", data=self._body, body_bytes=len(self._body), digest=n.to_bytes(16, "big"),
        )  # fmt: skip

    def _send(self, operations: list[Operation]) -> None:
        for result in self._commit(operations, Published):
            if result.reason != Reason.SUCCESS:
                raise AssertionError(f"not stored: {result!r}")
            self._made_entries += len(result.entries)
        if self._history_entries:
            done = min(1.0, self._made_entries / self._history_entries)
            self._now_ms = max(self._now_ms, self._begin_ms + int(HISTORY_MS * 0.999 * done))
            if self._progress:
                self._progress(done)

    def _commit(self, operations: Sequence[Operation], wanted: type[T]) -> list[T]:
        self._now_ms += 1
        done: list[T] = []
        for operation, result in zip(operations, self._store.commit(operations, self._now_ms), strict=True):
            if not isinstance(result, wanted):
                raise AssertionError(f"{type(operation).__name__} was refused: {result!r}")
            done.append(result)
        return done


def fill_site(
    store: Store, site: Site, *, password_hash: str = NOBODY, progress: Callable[[float], None] | None = None
) -> None:
    """Put the history of a site into a store. Its users are called as `site_users` says, all with this password.

    The history came from devices of the terminal type `HISTORY_TERMINAL`: the other types are free for new devices.
    """
    filler = Filler(store, body_bytes=site.body_bytes, history_entries=site.entries, progress=progress)
    size = min(site.community, site.users)
    communities = max(site.users // size, 1)
    names = site_users(site, communities * size)
    made = 0
    for number in range(communities):
        people = names[number * size : (number + 1) * size]
        filler.users(people, password_hash)
        community = _Community(filler, people, site, Random(site.seed + number))  # noqa: S311 - not a secret
        made += filler.messages(community.messages(site.entries * (number + 1) // communities - made))


def site_users(site: Site, count: int) -> list[str]:
    """So many users of a site, from all over it: their inboxes lie apart from each other."""
    count = min(count, site.users)
    return [f"site{number * site.users // count}" for number in range(count)]


class _Community:
    """Users who write to each other: a few neighbours each, the first more often than the last, and in groups."""

    def __init__(self, filler: Filler, names: Sequence[str], site: Site, random: Random) -> None:
        self._names = names
        self._site = site
        self._random = random
        self._senders = filler.devices(names, HISTORY_TERMINAL, tokens=False)
        size = min(site.group_members, len(names))
        self._groups = [random.sample(range(len(names)), size) for _ in range(max(len(names) // 10, 1))]
        self._group_names = [f"group-of-{names[0]}-{number}" for number in range(len(self._groups))]
        members = ([names[member] for member in group] for group in self._groups)
        filler.groups(dict(zip(self._group_names, members, strict=True)))

    def messages(self, entries: int) -> Iterator[Message]:
        """Messages that make at least so many entries."""
        random, share, count = self._random.random, self._site.group_share, len(self._names)
        while entries > 0:
            if random() < share:
                chosen = int(random() * len(self._groups))
                group = self._groups[chosen]
                sender = self._senders[group[int(random() * len(group))]]
                message = Message(sender, f"group/{self._group_names[chosen]}", len(group))
            else:
                writer = int(random() ** 2 * count)
                reader = (writer * 7 + int(random() * 8) + 1) % count
                inboxes = 1 if reader == writer else 2
                message = Message(self._senders[writer], f"user/{self._names[reader]}", inboxes)
            entries -= message.entries
            yield message


@contextmanager
def prepared(path: Path) -> Iterator[LmdbStore]:
    """The store in the folder `path`, to be filled; closed and on disk when the block is left. Raises StoreError."""
    store = LmdbStore(path, limits=Limits(), random=Random(1), sync=False)  # noqa: S311 - not a secret
    try:
        yield store
    finally:
        store.close()
    data = os.open(path / DATA_FILE, os.O_RDWR)
    try:
        os.fdatasync(data)
    finally:
        os.close(data)


@contextmanager
def _no_collector() -> Iterator[None]:
    """What is made here has no cycles."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _parts(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (names[at : at + size] for at in range(0, len(names), size))
