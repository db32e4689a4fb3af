"""Plans: what happens in one run, as data. `strategies` draws them; a plan that is printed can be pasted.

A `Plan` is a seed (for delays, ids, the order of tasks), `Terms` (how small everything is, what is kept) and a list
of steps. A step only begins something; its `pause` (virtual seconds) says how long the next one waits. So what two
steps begin runs side by side, at every interleaving that the delays and the seed make.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

USERS = ("ann", "bob", "cem")


class Installation(NamedTuple):
    """A device as it is set up: its id, whose it is, and on which terminal type it logs in."""

    name: str
    user: str
    terminal: str


INSTALLATIONS = (
    Installation("a1", "ann", "phone"),
    Installation("a2", "ann", "phone"),
    Installation("a3", "ann", "pc"),
    Installation("b1", "bob", "phone"),
    Installation("b2", "bob", "pc"),
    Installation("b3", "bob", "pc"),
    Installation("c1", "cem", "phone"),
)
"""Two on one terminal type take over from each other; two on several get both sides of every conversation."""

GROUPS = ("team", "duo")

BY_ADMIN = tuple(Installation(f"{user}-by-admin", user, "admin") for user in USERS)
"""What a history calls the origin of messages that an admin sends in the name of a user: nothing ever logs in there."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How small everything is in this run. Sizes are in bytes, times in (virtual) seconds; 0 of retention: no bound."""

    tail_entries: int = 512
    page_entries: int = 512
    batch_operations: int = 1_024
    queue_operations: int = 16_384
    """At least as many as a batch has."""
    publish_max: int = 256
    readers: int = 4
    trim_slice: int = 1_000
    pipe_bytes: int = 65_536
    takeovers_max: int = 1_000
    keep_age_s: float = 0
    keep_count: int = 0
    keep_bytes: int = 0
    trim_interval_s: float = 1_000
    hold_s: float = 0
    """What a device seen within so many seconds has not acknowledged is held; 0: nothing is."""
    hold_bytes: int = 1 << 30
    """The most that an inbox has because of that."""
    store_delay_s: float = 0.002
    """The most that each half of a call to the store takes."""
    wire_delay_s: float = 0.0
    """The most that bytes are under way."""
    tokens: bool = False
    """Devices ask for a token and log in with it."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step. Nothing happens in this very one: what a step shrinks to.

    A step of a device that has to be on line for it, and is not, is done by the next one that is (in the order of
    `INSTALLATIONS`); if there is none, the device logs in instead. So few steps of a drawn plan come to nothing.
    """

    pause: float = 0.0


@dataclass(frozen=True, kw_only=True)
class LogIn(Step):
    """A person logs in on the device (again, if it is on line already)."""

    device: str
    receive_max: int = 256
    receive_bytes_max: int = 1 << 20
    ack_every: int = 1
    """It acknowledges every so many entries; 0: never by itself."""
    read_bytes: int = 65_536
    keepalive_s: int = 3_600
    newest: int | None = None
    """It asks for the newest so many entries, whatever it holds."""
    back: int = 0
    """It has lost the last so many entries that it held."""


@dataclass(frozen=True, kw_only=True)
class Reconnect(Step):
    """The device comes back by itself, with its epoch, if it may."""

    device: str
    receive_max: int = 256
    ack_every: int = 1


@dataclass(frozen=True, kw_only=True)
class Part(Step):
    """The device goes off line: it says so, its connection breaks, or it falls silent with the connection open."""

    device: str
    how: Literal["leave", "cut", "vanish"] = "cut"


@dataclass(frozen=True, kw_only=True)
class Stall(Step):
    """The device stops reading, or goes on."""

    device: str
    stalled: bool = True


@dataclass(frozen=True, kw_only=True)
class Acknowledge(Step):
    """The device acknowledges some of what it holds, and from here on every so many entries."""

    device: str
    short_by: int = 0
    every: int = 1


@dataclass(frozen=True, kw_only=True)
class Publish(Step):
    """The device publishes, several times in one go, and perhaps loses its connection right after."""

    device: str
    to: str
    count: int = 1
    padding: int = 0
    data: bool = False
    cut_after_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Race(Step):
    """The device publishes on and on while another one logs in: on its own terminal type, and is it fenced in time?"""

    device: str
    other: str
    to: str
    count: int = 5
    every_s: float = 0.001


@dataclass(frozen=True, kw_only=True)
class Overtake(Step):
    """The device's connection breaks; another one logs in; the device comes back by itself, before it or after."""

    device: str
    other: str
    back_after_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Retransmit(Step):
    """The device sends what is unsettled once more; or, with `conflict`, one of its last counts with other content."""

    device: str
    conflict: bool = False
    back: int = 0
    to: str = "user/ann"


@dataclass(frozen=True, kw_only=True)
class ChangeGroup(Step):
    """The device asks for a change of a group."""

    device: str
    action: Literal["create", "add", "remove", "leave"]
    group: str = "team"
    user: str = "bob"


@dataclass(frozen=True, kw_only=True)
class Block(Step):
    """The device asks that a user be blocked, or no longer."""

    device: str
    user: str
    blocked: bool = True


@dataclass(frozen=True, kw_only=True)
class Ask(Step):
    """The device asks for something that no message depends on."""

    device: str
    what: Literal["ping", "fetch", "subscribe", "ephemeral", "sessions", "password"] = "ping"
    user: str = "bob"


@dataclass(frozen=True, kw_only=True)
class LogOut(Step):
    """The device logs out another device of its user."""

    device: str
    other: str


@dataclass(frozen=True, kw_only=True)
class Kick(Step):
    """An admin ends a session."""

    user: str
    terminal: str


@dataclass(frozen=True, kw_only=True)
class Send(Step):
    """An admin sends a message in the name of a user."""

    user: str
    to: str
    padding: int = 0


@dataclass(frozen=True, kw_only=True)
class Trim(Step):
    """Retention walks now."""


@dataclass(frozen=True, kw_only=True)
class FailCommit(Step):
    """One of the next commits fails. If its outcome is unknown, the broker stops and is started anew."""

    how: Literal["refused", "unknown, not done", "unknown, done"] = "refused"
    after: int = 0


@dataclass(frozen=True, kw_only=True)
class Restart(Step):
    """The broker stops and is started anew on the same store."""

    how: Literal["drain", "crash", "crash and cut"] = "crash"


@dataclass(frozen=True, kw_only=True)
class JumpClock(Step):
    """The wall clock jumps."""

    by_s: int = 0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run."""

    seed: int
    terms: Terms
    online: frozenset[str]
    """Devices that log in before the first step."""
    members: frozenset[str]
    """Members of the group `team`, with ann, who owns it."""
    steps: tuple[Step, ...]
