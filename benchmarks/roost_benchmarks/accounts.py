"""The accounts that a workload logs in with, on a broker that somebody else runs.

Either they are given, in a file of `user:password` lines, or they are made for this run through the admin API: names
that begin with `bench-` and tell runs apart, all with one random password that is kept in memory alone, or in a file
if it is asked for. An account that was made stays: the broker has no way to remove one.
"""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

PREFIX: Final = "bench-"
TAG_BYTES: Final = 3
"""Of randomness in the names of a run: two runs at once do not take each other's accounts."""
PASSWORD_BYTES: Final = 18

Create = Callable[[str, str], object]
"""Create the account of this name with this password, or raise."""


class UnusableAccounts(Exception):
    """A file of accounts that cannot be used. The message says which line, never what a password is."""


def given(path: Path, count: int) -> dict[str, str]:
    """The first `count` accounts of a file, name to password. Raises UnusableAccounts and OSError."""
    accounts: dict[str, str] = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, password = line.partition(":")
        if not (name and colon and password):
            raise UnusableAccounts(f"{path}, line {number}: not `user:password`")
        if name in accounts:
            raise UnusableAccounts(f"{path}, line {number}: {name} is there already")
        accounts[name] = password
    if len(accounts) < count:
        raise UnusableAccounts(f"{path} has {len(accounts)} accounts, this run needs {count}")
    return dict(list(accounts.items())[:count])


def made(count: int, create: Create, progress: Callable[[float], None]) -> dict[str, str]:
    """Make so many accounts; `progress` is told the share that is done. Raises whatever `create` raises."""
    tag, password = secrets.token_hex(TAG_BYTES), secrets.token_urlsafe(PASSWORD_BYTES)
    accounts = {}
    for number in range(count):
        name = f"{PREFIX}{tag}-{number}"
        create(name, password)
        accounts[name] = password
        progress((number + 1) / count)
    return accounts


def keep(accounts: dict[str, str], path: Path) -> None:
    """Write accounts to a new file that nobody else may read, for `given` of a later run. Raises OSError."""
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "w", encoding="utf-8") as file:
        file.writelines(f"{name}:{password}\n" for name, password in accounts.items())
