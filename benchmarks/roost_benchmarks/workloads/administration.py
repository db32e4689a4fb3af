"""W9, administration: what it costs an admin to ask, and what it costs the messages that an admin asks.

*Commands*: a broker with many accounts and many live sessions, and how long each read-only command takes from its start
to its end, Python's own start included. *Beside*: W2 at a fixed rate, with admins looking on (`top`, `events --follow`,
and one `fsck` after the other) or without; the suite alternates, and compares neighbours.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from msgspec import Struct, structs

from roost_benchmarks.brokers.port import PASSWORD
from roost_benchmarks.brokers.roost import Roost, cheap_hash
from roost_benchmarks.loop import Loop, allow_connections
from roost_benchmarks.prepared import Filler, Site, fill_site, site_users
from roost_benchmarks.progress import Progress
from roost_benchmarks.result import Generator, Oracle, Run
from roost_benchmarks.workloads import pairs
from roost_benchmarks.workloads.pairs import TERMINALS, PairsOptions
from roost_broker.store.port import Store

COMMAND: Final = (sys.executable, "-m", "roost_admin.main")
COMMAND_S: Final = 120.0
"""No command takes so long."""
READ_BYTES: Final = 1 << 20
SOCKET: Final = "admin.sock"
"""In the data folder."""


class CommandsOptions(Struct, frozen=True, kw_only=True):
    """W9, commands."""

    accounts: int = 100_000
    sessions: int = 10_000
    repeats: int = 5
    """Of each command; the median is the figure."""


class BesideOptions(Struct, frozen=True, kw_only=True):
    """W9, beside."""

    admins: bool = True
    """Whether anybody looks on."""
    entries: int = 200_000
    """In the store, for fsck to look at."""
    site_users: int = 2_000
    pairs: int = 20
    rate_per_s: float = 1_000
    body_bytes: int = 128
    warm_up_s: float = 1.0
    duration_s: float = 5.0


def commands(folder: Path, options: CommandsOptions, progress: Progress) -> Run:
    """Time every read-only command. Raises RuntimeError for one that fails."""
    users = [f"user{number}" for number in range(options.accounts)]

    def fill(store: Store) -> None:
        Filler(store).users(users, cheap_hash())

    with Roost(prepare=fill).start(folder, []) as started:
        target = structs.replace(started, users=tuple(users), password=lambda _: PASSWORD)
        count = allow_connections(options.sessions)
        logins = [target.login(user, terminal) for user in users for terminal in TERMINALS[:4]][:count]
        with Loop(target) as loop:
            loop.log_in(logins, lambda done: progress.update(0.5 * done / count, f"{done:,} of {count:,} logged in"))
            loop.run_for(1.0)
            live = loop.live
            figures = _timed(folder / SOCKET, (users[0], users[1]), options, progress, loop)
    return Run(
        workload="W9",
        name="commands",
        broker=target.name,
        options={"accounts": options.accounts, "sessions": live},
        figures=figures,
        generator=Generator.of(0.0),
        oracle=Oracle(entries_checked=live),
    )


def _timed(
    socket: Path, users: tuple[str, str], options: CommandsOptions, progress: Progress, loop: Loop
) -> dict[str, float]:
    """Seconds that each command takes; of a listing also until its first row is out."""
    user, other = users
    asked = {
        "status": ["status"],
        "users_show": ["users", "show", user],
        "devices": ["devices", user],
        "sessions_show": ["sessions", "show", f"{user}/{TERMINALS[0]}"],
        "sessions_of_one": ["sessions", "list", "--user", user],
        "sessions_list": ["sessions", "list"],
        "users_list": ["users", "list"],
        "events": ["events"],
        "inbox_stat": ["inbox", "stat", user],
        "sessions_history": ["sessions", "history", user],
        "explain": ["explain", f"{user}/{TERMINALS[0]}", "1"],
        "inbox_show": ["inbox", "show", user],
        "tokens_list": ["tokens", "list", "--user", user],
        "blocks_list": ["blocks", "list", user],
        "retention_show": ["retention", "show"],
        "config_show": ["config", "show", "--effective"],
        "groups_list": ["groups", "list"],
    }
    _run(socket, ["send", "to be explained", "--from", user, "--to", f"user/{other}"])
    figures: dict[str, float] = {}
    for done, (name, words) in enumerate(asked.items()):
        taken = [_run(socket, words) for _ in range(options.repeats)]
        loop.run_for(0.01)  # the devices answer what was asked of them meanwhile
        figures[f"{name}_s"] = round(median(whole for whole, _ in taken), 3)
        if name in ("users_list", "sessions_list"):
            figures[f"{name}_first_row_s"] = round(median(first for _, first in taken), 3)
        progress.update(0.5 + 0.5 * done / len(asked), name)
    return figures


def _run(socket: Path, words: Sequence[str]) -> tuple[float, float]:
    """Run a command; seconds until its end, and until its first line after the head. Raises RuntimeError."""
    began = time.perf_counter()
    with subprocess.Popen([*COMMAND, "--socket", str(socket), *words], stdout=subprocess.PIPE) as process:
        if process.stdout is None:
            raise AssertionError("a pipe was asked for")
        process.stdout.readline()
        process.stdout.readline()
        first = time.perf_counter() - began
        while process.stdout.read(READ_BYTES):
            pass
        status = process.wait(COMMAND_S)
    if status:
        raise RuntimeError(f"roost {' '.join(words)} ended with {status}")
    return time.perf_counter() - began, first


def beside(folder: Path, options: BesideOptions, progress: Progress) -> Run:
    """W2, with or without admins that look on. Raises BrokenPromise as W1 does, RuntimeError if a command fails."""
    site = Site(entries=options.entries, users=options.site_users, body_bytes=options.body_bytes)

    def fill(store: Store) -> None:
        fill_site(store, site, password_hash=cheap_hash(), progress=lambda _: None)

    load = PairsOptions(
        pairs=options.pairs, rate_per_s=options.rate_per_s, body_bytes=options.body_bytes,
        warm_up_s=options.warm_up_s, duration_s=options.duration_s,
    )  # fmt: skip
    with Roost(prepare=fill).start(folder, []) as started, ExitStack() as stack:
        users = tuple(site_users(site, 2 * options.pairs))
        target = structs.replace(started, users=users, password=lambda _: PASSWORD)
        if options.admins:
            stack.enter_context(_admins(folder / SOCKET))
        measured = pairs.run(target, load, progress)
    return structs.replace(
        measured,
        workload="W9",
        name="beside",
        options={
            "admins": options.admins,
            "rate_per_s": options.rate_per_s,
            "entries": options.entries,
            "body_bytes": options.body_bytes,
        },
    )


@contextmanager
def _admins(socket: Path) -> Iterator[None]:
    """`top` and `events` that go on, and one `fsck` after the other, for as long as the block lasts."""
    ask = f"{' '.join(COMMAND)} --socket {socket}"
    looking = [
        [*COMMAND, "--socket", str(socket), "top", "--json"],
        [*COMMAND, "--socket", str(socket), "events", "--follow"],
        ["/bin/sh", "-c", f"while {ask} fsck; do :; done"],
    ]
    with ExitStack() as stack:
        running: list[tuple[list[str], subprocess.Popen[bytes]]] = []
        for words in looking:
            process = subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True)
            stack.callback(_end, process)
            running.append((words, process))
        yield
        for words, process in running:
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(words)} did not go on: it ended with {process.returncode}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a command with whatever it has started."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
    except ProcessLookupError:
        pass  # it has ended by itself
    process.wait(COMMAND_S)
