"""The oracle: reads a history of a run and says which of the promises G1 to G7 were broken.

It knows nothing of how roost works inside, only what was promised. `history` says what a history is made of, `facts`
replays one, `promises` has one checker for each promise. `judge` puts them together:

    verdict = judge(load("run.ndjson"))
    for violation in verdict.violations: ...

The stateful tests, the simulation, the crash tests, the demo and `roost verify-history` all use this one.
"""

from roost.oracle.history import (
    Acked,
    Acknowledged,
    AnyEvent,
    BlockAsked,
    BlockConfirmed,
    BrokerRestarted,
    CaughtUp,
    Connected,
    Delivered,
    Disconnected,
    Enrolled,
    Erased,
    ErasedTold,
    ErasureAsked,
    Event,
    GapTold,
    History,
    Kicked,
    LoginAsked,
    MembershipAsked,
    MembershipConfirmed,
    Recorder,
    Sent,
    StartedOver,
    TrimAsked,
    Trimmed,
    dump,
    load,
)
from roost.oracle.promises import Verdict, Violation, judge

__all__ = [
    "Acked",
    "Acknowledged",
    "AnyEvent",
    "BlockAsked",
    "BlockConfirmed",
    "BrokerRestarted",
    "CaughtUp",
    "Connected",
    "Delivered",
    "Disconnected",
    "Enrolled",
    "Erased",
    "ErasedTold",
    "ErasureAsked",
    "Event",
    "GapTold",
    "History",
    "Kicked",
    "LoginAsked",
    "MembershipAsked",
    "MembershipConfirmed",
    "Recorder",
    "Sent",
    "StartedOver",
    "TrimAsked",
    "Trimmed",
    "Verdict",
    "Violation",
    "dump",
    "judge",
    "load",
]
