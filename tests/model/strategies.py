"""Which plans are drawn, and how often each kind of step.

Everything is drawn small, so that every edge is near: windows of one to four entries, tails and pages of a few, pipes
that a single message fills.
"""

from hypothesis import settings
from hypothesis import strategies as st

from model.plan import (
    GROUPS,
    INSTALLATIONS,
    USERS,
    Acknowledge,
    Ask,
    Block,
    ChangeGroup,
    FailCommit,
    JumpClock,
    Kick,
    LogIn,
    LogOut,
    Overtake,
    Part,
    Plan,
    Publish,
    Race,
    Reconnect,
    Restart,
    Retransmit,
    Send,
    Stall,
    Step,
    Terms,
    Trim,
)

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
        what=st.sampled_from(("ping", "fetch", "subscribe", "ephemeral", "sessions", "password")),
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
_sends = st.builds(Send, pause=pauses, user=users, to=addresses, padding=paddings)
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
    (_sends, 2),
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
    hold_s=st.sampled_from((0, 0, 0, 0, 0, 4, 10_000)),
    hold_bytes=st.sampled_from((1 << 30, 100, 400)),
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
