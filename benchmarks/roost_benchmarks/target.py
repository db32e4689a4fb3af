"""What a workload runs against, and the measuring of what the run costs there and here."""

import time
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from roost_benchmarks import machine
from roost_benchmarks.dialects.port import Dialect, Login
from roost_benchmarks.result import Generator, Process

Address = tuple[str, int]


def _no_groups(name: str, members: Sequence[str]) -> None:
    """Groups need no making where they are topics."""


class Target(Struct, frozen=True, kw_only=True):
    """A running broker: where it is, how to speak to it, and who may log in."""

    name: str
    """`roost`, `mosquitto`, `prosody`."""
    version: str
    durability: str
    """What it has done with a message when it acknowledges it."""
    dialect: Dialect
    address: Address
    addresses: Mapping[str, Address] = {}
    """By terminal type: of those that do not connect to `address`."""
    pids: tuple[int, ...]
    """Its processes; none if it is on another machine."""
    users: tuple[str, ...]
    """Accounts that are there for this run."""
    password: Callable[[str], str]
    make_group: Callable[[str, Sequence[str]], None] = _no_groups
    """Make a group of this name with these members, the first of which owns it. Raises RuntimeError."""

    def login(self, user: str, terminal: str = "phone") -> Login:
        """The log-in of one of the users, with its password."""
        return Login(user=user, terminal=terminal, password=self.password(user))

    def first_users(self, count: int) -> tuple[str, ...]:
        """So many of its users. Raises RuntimeError if it has fewer: the run would not be what its options say."""
        if len(self.users) < count:
            raise RuntimeError(f"the run needs {count} accounts, and there are {len(self.users)}")
        return self.users[:count]

    def rss_anon_bytes(self) -> int:
        """Memory of its processes, without the pages of the store's map."""
        return sum(machine.rss_anon_bytes(pid) for pid in self.pids)

    def cpu_s(self) -> float:
        """Processor time its processes have used."""
        return sum(machine.cpu_s(pid) for pid in self.pids)


class Meter:
    """What passes between its making and `stop`: time, and the processor's on both sides."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._cpu_s = target.cpu_s()
        self._own_s = time.process_time()
        self._began = time.perf_counter()
        self.seconds = 0.0

    def stop(self, messages: int) -> tuple[Process | None, Generator]:
        """What it came to, for so many messages."""
        self.seconds = time.perf_counter() - self._began
        own_share = (time.process_time() - self._own_s) / self.seconds
        if not self._target.pids:
            return None, Generator.of(own_share)
        used_s = self._target.cpu_s() - self._cpu_s
        process = Process(
            cpu_share=round(used_s / self.seconds, 3),
            cpu_us_per_message=round(used_s / messages * 1e6, 2) if messages else 0.0,
            rss_anon_bytes=self._target.rss_anon_bytes(),
        )
        return process, Generator.of(own_share, process.cpu_share)
