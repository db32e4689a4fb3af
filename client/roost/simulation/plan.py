"""Plans: what happens in one run, as data. `drawing` makes one out of a seed; here is what it can consist of.

A `Plan` is a seed (for lags, ids, the order of tasks), `Terms` (how small everything is, what is kept) and a list of
incidents, each at its time. An incident only sets something going; what several set going runs side by side. Any of
them can be left out, and what is left is a plan again: that is how a story is made short.
"""

from dataclasses import dataclass, field, fields
from typing import Literal, NamedTuple

from roost.simulation.network import Direction, Fate

What = Literal["fetch", "subscribe", "ephemeral", "devices", "groups", "password"]
Manner = Literal["deaf", "mute", "hasty", "liar", "forgetful", "babbler"]
CommitFault = Literal["refused", "unknown, not done", "unknown, done"]


class Installation(NamedTuple):
    """A device as it is set up: its id, whose it is, and on which terminal type it logs in."""

    name: str
    user: str
    terminal: str


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How small everything is in this run. Sizes are in bytes, times in virtual seconds; 0 of retention: no bound."""

    store: Literal["memory", "lmdb"] = "memory"
    """LMDB: the real store, on real files in a folder of its own."""
    tail_entries: int = 512
    page_entries: int = 512
    batch_operations: int = 1_024
    queue_operations: int = 16_384
    publish_max: int = 256
    trim_slice: int = 1_000
    pipe_bytes: int = 65_536
    takeovers_max: int = 1_000
    keepalive_s: int = 60
    keep_age_s: float = 0
    keep_count: int = 0
    keep_bytes: int = 0
    trim_interval_s: float = 60
    hold_s: float = 0
    store_delay_s: float = 0.002
    """The most that each half of a call to the store takes."""
    lag_s: float = 0.0
    """The most that bytes are under way."""
    tokens: bool = False
    """Devices ask for a token and log in with it."""
    first_wait_s: float = 1.0
    """What a device's back-off begins with."""


@dataclass(frozen=True, kw_only=True)
class Incident:
    """Something that happens at a time. That of a device which is not running begins with somebody starting it."""

    at_s: float

    def __str__(self) -> str:
        given = (
            f"{each.name}={value!r}"
            for each in fields(self)
            if each.name != "at_s" and (value := getattr(self, each.name)) != each.default
        )
        return " ".join((type(self).__name__, *given))


# --- devices ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Start(Incident):
    """A person starts the application on the device (again, if it is running); `resume`: it starts by itself."""

    device: str
    resume: bool = False
    receive_max: int = 4_096
    receive_bytes_max: int = 1 << 20
    newest: int | None = None


@dataclass(frozen=True, kw_only=True)
class Stop(Incident):
    """The application ends: it is left, or killed with whatever it had not saved."""

    device: str
    killed: bool = False


@dataclass(frozen=True, kw_only=True)
class Say(Incident):
    """The device publishes, `count` times, `every_s` apart."""

    device: str
    to: str
    count: int = 1
    every_s: float = 0.0
    padding: int = 0


@dataclass(frozen=True, kw_only=True)
class Slow(Incident):
    """For so long, the application asks for no event: nothing is acknowledged, and the window fills."""

    device: str
    for_s: float = 5.0


@dataclass(frozen=True, kw_only=True)
class Ask(Incident):
    """The device asks for something that no message depends on."""

    device: str
    what: What = "fetch"
    user: str = "bob"


@dataclass(frozen=True, kw_only=True)
class ChangeGroup(Incident):
    """The device asks for a change of the group `team`."""

    device: str
    action: Literal["add", "remove", "leave"]
    user: str = "bob"


@dataclass(frozen=True, kw_only=True)
class Block(Incident):
    """The device asks that a user be blocked, or no longer."""

    device: str
    user: str
    blocked: bool = True


@dataclass(frozen=True, kw_only=True)
class LogOut(Incident):
    """The device logs out another device of its user, or itself."""

    device: str
    other: str


@dataclass(frozen=True, kw_only=True)
class Intrude(Incident):
    """Somebody with the right password and no manners connects as a further device of the user.

    deaf: never reads; mute: never acknowledges; hasty: comes back at once, `count` times; liar: says it holds what it
    cannot; forgetful: counts its publishes from 1 again; babbler: says what no device may.
    """

    user: str
    terminal: str
    how: Manner
    for_s: float = 5.0
    count: int = 5


# --- the network --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Cut(Incident):
    """The device's connection breaks: now, or when `after` more bytes have passed in one direction."""

    device: str
    direction: Direction = "up"
    after: int | None = None
    following: bool = False
    """Not this connection but the next, counted from its first byte."""


@dataclass(frozen=True, kw_only=True)
class Stall(Incident):
    """Nothing passes in one direction for a while."""

    device: str
    direction: Direction = "down"
    for_s: float = 5.0


@dataclass(frozen=True, kw_only=True)
class HalfOpen(Incident):
    """One side loses the connection, and the other is told nothing; or both are left waiting."""

    device: str
    who: Fate = "device"


@dataclass(frozen=True, kw_only=True)
class Unreachable(Incident):
    """The device cannot connect for a while: it is refused, or gets no answer."""

    device: str
    for_s: float = 10.0
    silent: bool = False


# --- the broker ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Crash(Incident):
    """The broker's process ends at once, after so many further steps of its tasks, and is started anew."""

    after_steps: int = 0
    down_s: float = 0.5
    cut: bool = True
    """Connections break; else what had been sent still arrives."""


@dataclass(frozen=True, kw_only=True)
class Drain(Incident):
    """The broker is stopped as it should be, and started anew."""

    down_s: float = 0.5


@dataclass(frozen=True, kw_only=True)
class FailCommit(Incident):
    """One of the next commits fails. If its outcome is unknown, the broker ends and is started anew."""

    how: CommitFault = "refused"
    after: int = 0


@dataclass(frozen=True, kw_only=True)
class SlowCommits(Incident):
    """For a while, each commit takes up to so long."""

    for_s: float = 3.0
    each_s: float = 1.0


@dataclass(frozen=True, kw_only=True)
class DiskFull(Incident):
    """For a while there is no room: every commit is refused, or (`reserve`) only new messages are."""

    for_s: float = 5.0
    reserve: bool = False


@dataclass(frozen=True, kw_only=True)
class JumpClock(Incident):
    """The wall clock jumps."""

    by_s: int


@dataclass(frozen=True, kw_only=True)
class Trim(Incident):
    """Retention walks now."""


@dataclass(frozen=True, kw_only=True)
class Kick(Incident):
    """An admin ends the session of a user on a terminal type."""

    user: str
    terminal: str


@dataclass(frozen=True, kw_only=True)
class Send(Incident):
    """An admin sends a message in the name of a user."""

    user: str
    to: str
    padding: int = 0


@dataclass(frozen=True, kw_only=True)
class Erase(Incident):
    """An admin erases a user with all that he sent."""

    user: str


@dataclass(frozen=True)
class Plan:
    """One run. `length_s`: when the faults stop."""

    seed: int
    terms: Terms
    installations: tuple[Installation, ...]
    members: tuple[str, ...]
    """Of the group `team`, beside its owner, who is the first user."""
    length_s: float
    incidents: tuple[Incident, ...] = field(repr=False)

    @property
    def users(self) -> tuple[str, ...]:
        """Every user, the first one first."""
        return tuple(dict.fromkeys(each.user for each in self.installations))

    def only(self, numbers: tuple[int, ...]) -> "Plan":
        """The same with nothing but the incidents of these numbers (from 0). Raises ValueError for one out of range."""
        wrong = [number for number in numbers if not 0 <= number < len(self.incidents)]
        if wrong:
            raise ValueError(f"this plan has the incidents 0 to {len(self.incidents) - 1}, and no {wrong[0]}")
        some = tuple(self.incidents[number] for number in sorted(set(numbers)))
        return Plan(self.seed, self.terms, self.installations, self.members, self.length_s, some)
