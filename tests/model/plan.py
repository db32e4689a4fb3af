"""Plans: what happens in one run, as data. Hypothesis draws them, shrinks them, and prints one that can be pasted.

A `Plan` is a seed (for delays, ids, the order of tasks), `Terms` (how small everything is, what is kept) and a list
of steps. A step only begins something; its `pause` (virtual seconds) says how long the next one waits. So what two
steps begin runs side by side, at every interleaving that the delays and the seed make.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st

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
    """The device asks for something that changes nothing."""

    device: str
    what: Literal["ping", "fetch", "subscribe", "ephemeral", "sessions"] = "ping"
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


# --- strategies ---------------------------------------------------------------------------------------------------

_names = tuple(installation.name for installation in INSTALLATIONS)
_same_user = tuple((a.name, b.name) for a in INSTALLATIONS for b in INSTALLATIONS if a.user == b.user)
_rivals = tuple(
    (a.name, b.name)
    for a in INSTALLATIONS
    for b in INSTALLATIONS
    for _ in range(4 if (a.user, a.terminal) == (b.user, b.terminal) else 1)
    if a is not b
)
_sessions = tuple(sorted({(i.user, i.terminal) for i in INSTALLATIONS}))

devices = st.sampled_from(_names)
users = st.sampled_from(USERS)
groups = st.sampled_from(GROUPS)
pauses = st.sampled_from((0.0, 0.0, 0.001, 0.003, 0.01, 0.05, 1.0))
addresses = st.sampled_from(("group/team", "user/ann", "user/bob", "user/cem", "group/duo", "group/team"))
windows = st.sampled_from((256, 1, 2, 3, 4))
acks = st.sampled_from((1, 1, 1, 0, 2, 3))
small = st.sampled_from((512, 1, 2, 3, 5, 8))
paddings = st.sampled_from((0, 0, 0, 0, 0, 0, 300, 9_000))

_log_ins = st.builds(
    LogIn,
    pause=pauses,
    device=devices,
    receive_max=windows,
    receive_bytes_max=st.sampled_from((1 << 20, 1 << 20, 1 << 20, 1, 200, 12_000)),
    ack_every=acks,
    read_bytes=st.sampled_from((65_536, 65_536, 65_536, 2_000, 100)),
    keepalive_s=st.sampled_from((3_600, 3_600, 3_600, 1)),
    newest=st.sampled_from((None,) * 12 + (0, 1, 3)),
    back=st.sampled_from((0,) * 8 + (1, 3)),
)
_reconnects = st.builds(Reconnect, pause=pauses, device=devices, receive_max=windows, ack_every=acks)
_partings = st.builds(Part, pause=pauses, device=devices, how=st.sampled_from(("cut", "cut", "leave", "vanish")))
_publishes = st.builds(
    Publish,
    pause=pauses,
    device=devices,
    to=addresses,
    count=st.sampled_from((1, 1, 2, 3, 5)),
    padding=paddings,
    data=st.sampled_from((False, False, False, True)),
    cut_after_s=st.sampled_from((None,) * 6 + (0.0, 0.001, 0.004)),
)
_races = st.sampled_from(_rivals).flatmap(
    lambda pair: (
        st.builds(
            Race,
            pause=pauses,
            device=st.just(pair[0]),
            other=st.just(pair[1]),
            to=addresses,
            count=st.integers(2, 10),
            every_s=st.sampled_from((0.0005, 0.001, 0.003)),
        )
        | st.builds(
            Overtake,
            pause=pauses,
            device=st.just(pair[0]),
            other=st.just(pair[1]),
            back_after_s=st.sampled_from((0.0, 0.001, 0.01, 0.1)),
        )
    )
)
_quiet = (
    st.builds(Stall, pause=pauses, device=devices, stalled=st.booleans())
    | st.builds(Acknowledge, pause=pauses, device=devices, short_by=st.integers(0, 3), every=acks)
    | st.builds(
        Ask,
        pause=pauses,
        device=devices,
        what=st.sampled_from(("ping", "fetch", "subscribe", "ephemeral", "sessions")),
        user=users,
    )
)
_retransmissions = st.builds(
    Retransmit, pause=pauses, device=devices, conflict=st.booleans(), back=st.integers(0, 4), to=addresses
)
_relations = st.builds(
    ChangeGroup,
    pause=pauses,
    device=devices,
    action=st.sampled_from(("add", "create", "remove", "leave")),
    group=groups,
    user=users,
) | st.builds(Block, pause=pauses, device=devices, user=users, blocked=st.sampled_from((True, False)))
_ends = st.sampled_from(_same_user).flatmap(
    lambda pair: st.builds(LogOut, pause=pauses, device=st.just(pair[0]), other=st.just(pair[1]))
) | st.sampled_from(_sessions).flatmap(
    lambda pair: st.builds(Kick, pause=pauses, user=st.just(pair[0]), terminal=st.just(pair[1]))
)
_failures = st.builds(
    FailCommit,
    pause=pauses,
    how=st.sampled_from(("refused", "refused", "unknown, not done", "unknown, done")),
    after=st.sampled_from((0, 0, 1, 2)),
)
_broker = (
    st.builds(Trim, pause=pauses)
    | st.builds(Restart, pause=pauses, how=st.sampled_from(("crash", "drain", "crash and cut")))
    | st.builds(JumpClock, pause=pauses, by_s=st.sampled_from((-5, 5, -7_200, 7_200)))
)
_waits = st.builds(Step, pause=st.sampled_from((0.0, 0.02, 1.0, 6.0, 15.0)))

_weights = (
    (_waits, 3),
    (_publishes, 12),
    (_races, 6),
    (_log_ins, 7),
    (_reconnects, 4),
    (_partings, 4),
    (_quiet, 6),
    (_retransmissions, 2),
    (_relations, 4),
    (_ends, 2),
    (_failures, 3),
    (_broker, 3),
)
# `one_of` would take each of them once, whatever its weight. A step shrinks to the first: nothing happens.
steps = st.sampled_from([kind for kind, weight in _weights for _ in range(weight)]).flatmap(lambda kind: kind)

terms = st.builds(
    Terms,
    tail_entries=small,
    page_entries=small,
    batch_operations=small,
    queue_operations=st.sampled_from((16_384, 1, 4)),
    publish_max=st.sampled_from((256, 1, 2, 3, 8)),
    readers=st.sampled_from((4, 1)),
    trim_slice=small,
    pipe_bytes=st.sampled_from((65_536, 65_536, 65_536, 4_000, 300)),
    takeovers_max=st.sampled_from((1_000, 1_000, 2)),
    keep_age_s=st.sampled_from((0, 0, 0, 0, 3, 10)),
    keep_count=st.sampled_from((0, 0, 0, 0, 1, 3, 8)),
    keep_bytes=st.sampled_from((0, 0, 0, 0, 100, 500)),
    trim_interval_s=st.sampled_from((1_000, 1, 5)),
    store_delay_s=st.sampled_from((0.002, 0.0, 0.02)),
    wire_delay_s=st.sampled_from((0.0, 0.002, 0.01)),
    tokens=st.sampled_from((False, False, True)),
)


def _those(on: list[bool]) -> frozenset[str]:
    return frozenset(name for name, is_on in zip(_names, on, strict=True) if is_on)


def plans(least: int = 15, most: int = 50) -> st.SearchStrategy[Plan]:
    """Plans of `least` to `most` steps (those that shrink to nothing still count)."""
    return st.builds(
        Plan,
        seed=st.integers(0, 2**32 - 1),
        terms=terms,
        online=st.lists(st.booleans(), min_size=len(_names), max_size=len(_names)).map(_those),
        members=st.sampled_from((frozenset(USERS), frozenset(USERS[:2]), frozenset(USERS[1:]))),
        steps=st.lists(steps, min_size=least, max_size=most).map(tuple),
    )


def examples(share: float) -> int:
    """So many examples for each one of the profile in use (see `conftest`)."""
    profile = settings.default
    return int(share * profile.max_examples) if profile is not None else 100
