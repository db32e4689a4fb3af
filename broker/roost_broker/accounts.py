"""Passwords and device tokens: how they are made, kept and checked.

Passwords are hashed with argon2id, off the event loop and few at once, since each takes 19 MiB and 30 ms of a core
by design; past a bounded queue the answer is "busy" and not a time-out. A device token is 256 random bits, so a fast
hash is enough to keep it: a reconnect costs microseconds.
"""

import base64
import hashlib
from collections.abc import Callable
from random import Random
from typing import NamedTuple, TypeVar, TypeVarTuple

import argon2
import trio

from roost_broker.config import PasswordConfig
from roost_broker.offload import Offload
from roost_protocol.limits import PASSWORD_BYTES_MAX, Limits

TOKEN_RANDOM_BYTES = 32

Args = TypeVarTuple("Args")
T = TypeVar("T")


class PasswordsBusy(Exception):
    """Too many passwords are waiting to be checked."""


class PasswordUnfit(ValueError):
    """A new password that cannot be taken; the message says why."""


def nothing() -> None:
    """Have nothing against it."""


class Token(NamedTuple):
    """A new device token, and what the store keeps of it."""

    token: str
    digest: bytes


def token_digest(token: str) -> bytes:
    """What the store keeps of a device token (32 bytes)."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class Accounts:
    """Makes and checks credentials."""

    def __init__(self, config: PasswordConfig, offload: Offload, limits: Limits, random: Random) -> None:
        self._hasher = argon2.PasswordHasher(
            time_cost=config.passes, memory_cost=config.memory_kib, parallelism=1, type=argon2.Type.ID
        )
        self._offload = offload
        self._random = random
        self._turns = trio.Semaphore(limits.password_checks_max)
        self._waiting = 0
        self._waiting_max = limits.password_checks_max + limits.password_queue_max
        self.no_password = self._hasher.hash(random.randbytes(16))
        """The hash of a password that nobody knows, not even this process: of accounts that log in otherwise, and
        checked when there is no such user, so that the answer takes the same time."""

    async def check(self, password_hash: str | None, password: str, may_go_on: Callable[[], None] = nothing) -> bool:
        """Whether this is the password; with `None` (no such user) the answer is no, after the same time.

        `may_go_on` is called when the turn of this check has come, before anything is computed; what it raises ends
        the check. Raises PasswordsBusy. A checkpoint; when cancelled, a check under way goes on to its end.
        """
        return await self._run(may_go_on, self._check, password_hash, password)

    async def hash(self, password: str) -> str:
        """The hash of a new password. Raises PasswordsBusy and PasswordUnfit."""
        try:
            size = len(password.encode())
        except UnicodeEncodeError as error:
            raise PasswordUnfit(f"a password is Unicode text: {error.reason}") from error
        if not 1 <= size <= PASSWORD_BYTES_MAX:
            raise PasswordUnfit(f"a password has 1 to {PASSWORD_BYTES_MAX} bytes, this one has {size}")
        return await self._run(nothing, self._hasher.hash, password)

    def new_token(self) -> Token:
        """A new device token."""
        token = base64.urlsafe_b64encode(self._random.randbytes(TOKEN_RANDOM_BYTES)).decode().rstrip("=")
        return Token(token, token_digest(token))

    async def _run(self, may_go_on: Callable[[], None], function: Callable[[*Args], T], *args: *Args) -> T:
        if self._waiting >= self._waiting_max:
            raise PasswordsBusy(f"{self._waiting} passwords are waiting to be checked")
        self._waiting += 1
        try:
            async with self._turns:
                may_go_on()
                return await self._offload.run(function, *args)
        finally:
            self._waiting -= 1

    def _check(self, password_hash: str | None, password: str) -> bool:
        try:
            self._hasher.verify(password_hash or self.no_password, password)
        except argon2.exceptions.VerifyMismatchError:
            return False
        return password_hash is not None
