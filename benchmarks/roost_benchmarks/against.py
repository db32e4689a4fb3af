"""What a verb of `roost bench` runs against: a broker that is there, or one of its own for the run.

`Where` is what the options said. A running broker is found as every admin command finds it, through its admin socket,
unless an address and a file of accounts say everything that is needed.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from roost_admin.failures import EX_CONFIG, EX_DATAERR, EX_NOINPUT, EX_UNAVAILABLE, EX_USAGE, Failure, say
from roost_benchmarks import accounts, screen

if TYPE_CHECKING:
    from roost_admin.api import AdminApi
    from roost_benchmarks.target import Address, Target


class Where(Struct, frozen=True, kw_only=True):
    """The broker as the options have it."""

    socket: Path
    """Its admin socket, which need not be there."""
    connect: str | None = None
    """`HOST:PORT` instead of what the admin API says."""
    users: Path | None = None
    """A file of accounts instead of new ones."""
    save_users: Path | None = None
    """Where to keep the accounts that are made."""
    temporary: bool = False
    """A broker of its own."""
    folder: Path | None = None
    """Where the temporary broker's data is: the disk to measure."""


@contextmanager
def target(where: Where, count: int) -> "Iterator[Target]":
    """A broker with `count` accounts for this run. Raises Failure."""
    if where.temporary:
        with _temporary(where.folder, count) as found:
            yield found
        return
    given = where.users is not None
    credentials = _given(where.users, count) if where.users else _made(where, count)
    try:
        yield _running(where, credentials)
    finally:
        if not given:
            _say_what_is_left(credentials, where.save_users)


@contextmanager
def _temporary(folder: Path | None, count: int) -> "Iterator[Target]":
    from roost_benchmarks.brokers.roost import Roost

    with tempfile.TemporaryDirectory(prefix="roost-bench-", dir=folder) as name:
        users = [f"{accounts.PREFIX}{number}" for number in range(count)]
        with Roost().start(Path(name), users) as found:
            yield found


def _given(path: Path, count: int) -> dict[str, str]:
    try:
        return accounts.given(path, count)
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}", EX_NOINPUT) from error
    except (accounts.UnusableAccounts, UnicodeDecodeError) as error:
        raise Failure(str(error), EX_DATAERR) from error


def _made(where: Where, count: int) -> dict[str, str]:
    from roost_admin.api import AdminApi

    if where.save_users is not None and where.save_users.exists():
        raise Failure(f"{where.save_users} is there already", EX_USAGE)
    api = AdminApi(where.socket)
    with screen.shown(f"making {count} accounts") as shown:
        made = accounts.made(count, partial(_create_user, api), lambda done: shown.update(done, ""))
    if where.save_users is not None:
        try:
            accounts.keep(made, where.save_users)
        except OSError as error:
            raise Failure(f"cannot write {where.save_users}: {error.strerror}", EX_CONFIG) from error
    return made


def _say_what_is_left(made: dict[str, str], kept: Path | None) -> None:
    names = list(made)
    if not names:
        return
    which = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
    again = f"--users {kept} uses them again" if kept else "--save-users FILE would have kept them for another run"
    say(f"left on the broker: {len(names)} accounts, {which}; {again}")


def _running(where: Where, credentials: dict[str, str]) -> "Target":
    from roost_admin.api import AdminApi
    from roost_benchmarks.brokers.roost import DURABILITY, make_in_pieces
    from roost_benchmarks.dialects.roost import RoostDialect
    from roost_benchmarks.target import Target
    from roost_protocol.admin.status import STATUS

    api = AdminApi(where.socket)
    pids: tuple[int, ...] = ()
    if where.connect and where.users:
        # Everything is said already; a broker elsewhere has no admin socket here.
        address, version = parsed(where.connect), "unknown"
    else:
        status = api.ask(STATUS)
        address, version, pids = parsed(where.connect or status.listeners[0]), status.version, (status.pid,)
    return Target(
        name="roost",
        version=version,
        durability=DURABILITY,
        dialect=RoostDialect(),
        address=address,
        pids=pids if all(Path(f"/proc/{pid}/stat").exists() for pid in pids) else (),
        users=tuple(credentials),
        password=credentials.__getitem__,
        make_group=partial(make_in_pieces, partial(_create_group, api), partial(_add_members, api)),
    )


def _create_user(api: "AdminApi", name: str, password: str) -> None:
    from roost_protocol.admin.users import USERS_CREATE, UserCreate

    api.ask(USERS_CREATE, body=UserCreate(name=name, password=password))


def _create_group(api: "AdminApi", name: str, owner: str, members: tuple[str, ...]) -> None:
    from roost_protocol.admin.groups import GROUPS_CREATE, GroupCreate

    api.ask(GROUPS_CREATE, body=GroupCreate(name=name, owner=owner, members=members))


def _add_members(api: "AdminApi", name: str, members: tuple[str, ...]) -> None:
    from roost_protocol.admin.groups import GROUPS_CHANGE, GroupChange

    api.ask(GROUPS_CHANGE, name, body=GroupChange(add=members))


def parsed(address: str) -> "Address":
    """`HOST:PORT` or `[HOST]:PORT` as a pair; the loopback for one that listens on every address. Raises Failure."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise Failure(f"{address!r} is no HOST:PORT", EX_USAGE)
    if ":" not in host:
        return _resolved({"0.0.0.0": "127.0.0.1", "": "127.0.0.1"}.get(host, host)), int(port)  # noqa: S104 - found, not bound
    return ("::1" if host == "::" else host), int(port)


def _resolved(host: str) -> str:
    import socket

    try:
        return socket.gethostbyname(host)
    except OSError as error:
        raise Failure(f"there is no host {host}: {error}", EX_UNAVAILABLE) from error
