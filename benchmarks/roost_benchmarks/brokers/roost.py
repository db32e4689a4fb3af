"""roost itself: a real process on a fresh folder, whose accounts are in the store before it starts."""

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from roost_benchmarks.brokers.port import PASSWORD, START_S, allow_files, stop, wait_until
from roost_benchmarks.dialects.roost import RoostDialect
from roost_benchmarks.prepared import Filler, prepared
from roost_benchmarks.target import Target
from roost_broker.store.lmdb import LmdbStore
from roost_protocol.limits import LIST_MAX

DURABILITY: Final = "fsync of every batch before it is acknowledged or delivered"
"""Of roost, whoever started it."""

Prepare = Callable[[LmdbStore], None]
"""Fills a store before the broker opens it."""


def cheap_hash(password: str = PASSWORD) -> str:
    """A hash of a password that costs next to nothing to check: the hash itself says what it costs."""
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(password)


def nothing(store: LmdbStore) -> None:
    """Prepare nothing."""


class Roost:
    """See `Broker`. `toml` is added to its configuration; `prepare` fills the store when the accounts are there."""

    name = "roost"

    def __init__(self, *, toml: str = "", prepare: Prepare = nothing, log_level: str = "WARNING") -> None:
        self._toml = toml
        self._prepare = prepare
        self._log_level = log_level

    @contextmanager
    def start(self, folder: Path, users: Sequence[str]) -> Iterator[Target]:
        """See `Broker.start`."""
        self._fill(folder, users)
        config = folder / "roost.toml"
        config.write_text(self._toml)
        command = [sys.executable, "-m", "roost_admin.main", "serve", "--data", str(folder), "--config", str(config)]
        command += ["--listen", "127.0.0.1:0", "--log-level", self._log_level]
        admin = folder / "admin.sock"
        allow_files()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            wait_until(partial(_answers, admin), process, "roost")
            host, _, port = str(ask(admin, "GET", "/v1/status")["listeners"][0]).rpartition(":")
            yield Target(
                name=self.name,
                version=version("roost"),
                durability=DURABILITY,
                dialect=RoostDialect(),
                address=(host, int(port)),
                pids=(process.pid,),
                users=tuple(users),
                password=lambda _: PASSWORD,
                make_group=partial(make_in_pieces, partial(_create_group, admin), partial(_add_members, admin)),
            )
        finally:
            stop(process)

    def _fill(self, folder: Path, users: Sequence[str]) -> None:
        """Write what is to be there before the broker starts, and see it on the disk.

        Otherwise the first commit of the broker would wait for all of it.
        """
        with prepared(folder) as store:
            Filler(store).users(users, cheap_hash())
            self._prepare(store)


def make_in_pieces(
    create: Callable[[str, str, tuple[str, ...]], object],
    add: Callable[[str, tuple[str, ...]], object],
    name: str,
    members: Sequence[str],
) -> None:
    """Make a group that its first member owns: with as many members at a time as one request may name."""
    create(name, members[0], tuple(members[:LIST_MAX]))
    for at in range(LIST_MAX, len(members), LIST_MAX):
        add(name, tuple(members[at : at + LIST_MAX]))


def _create_group(admin: Path, name: str, owner: str, members: tuple[str, ...]) -> None:
    ask(admin, "POST", "/v1/groups", {"name": name, "owner": owner, "members": members})


def _add_members(admin: Path, name: str, members: tuple[str, ...]) -> None:
    ask(admin, "POST", f"/v1/groups/{name}/members", {"add": members})


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=START_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self._path))


def ask(admin: Path, method: str, path: str, body: object = None) -> dict[str, Any]:
    """One request to the admin API. Raises RuntimeError for anything but success, OSError if nobody answers."""
    connection = _UnixConnection(admin)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"content-type": "application/json"})
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise RuntimeError(f"{method} {path}: {answer}")
    return answer


def _answers(admin: Path) -> bool:
    try:
        ask(admin, "GET", "/v1/status")
    except OSError:
        return False
    return True
