"""The connection, as one table for both roles. `docs/protocol.md` has the diagram that is drawn from it.

::

    opening ──CONNECT──▶ connecting ──CONNACK──▶ live ──DISCONNECT──▶ closed
                              └────CONNACK (refused)──────────────────▶┘

A move is a frame and the side that says it. What is not in the table is a protocol error, whoever says it: a
frame before CONNECT, a second CONNECT, a frame from the wrong side.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from roost_protocol.frames import Connack, Frame
from roost_protocol.reasons import FAILURE


class Role(Enum):
    """The two sides of a connection."""

    DEVICE = "device"
    BROKER = "broker"

    @property
    def peer(self) -> "Role":
        """The other side."""
        return Role.BROKER if self is Role.DEVICE else Role.DEVICE


class State(Enum):
    """How far a connection has come. Both sides go through the same states."""

    OPENING = "opening"
    CONNECTING = "connecting"
    LIVE = "live"
    CLOSED = "closed"


class Move(NamedTuple):
    """A frame, by its name on the wire, and the side that says it."""

    by: Role
    what: str


REFUSED = "CONNACK (refused)"

_SAID_BY_DEVICE = (
    "PUBLISH",
    "ACK",
    "SUBSCRIBE",
    "FETCH",
    "PING",
    "EPHEMERAL",
    "GROUP",
    "RELATION",
    "SESSIONS",
)
_SAID_BY_BROKER = ("PUBACK", "DELIVER", "GAP", "PRESENCE", "PAGE", "PONG", "EPHEMERAL", "RESULT")

TRANSITIONS: Mapping[State, Mapping[Move, State]] = MappingProxyType(
    {
        State.OPENING: {
            Move(Role.DEVICE, "CONNECT"): State.CONNECTING,
            Move(Role.DEVICE, "DISCONNECT"): State.CLOSED,
            Move(Role.BROKER, "DISCONNECT"): State.CLOSED,
        },
        State.CONNECTING: {
            Move(Role.BROKER, "CONNACK"): State.LIVE,
            Move(Role.BROKER, REFUSED): State.CLOSED,
            Move(Role.DEVICE, "DISCONNECT"): State.CLOSED,
            Move(Role.BROKER, "DISCONNECT"): State.CLOSED,
        },
        State.LIVE: {
            **{Move(Role.DEVICE, what): State.LIVE for what in _SAID_BY_DEVICE},
            **{Move(Role.BROKER, what): State.LIVE for what in _SAID_BY_BROKER},
            Move(Role.DEVICE, "DISCONNECT"): State.CLOSED,
            Move(Role.BROKER, "DISCONNECT"): State.CLOSED,
        },
        State.CLOSED: {},
    }
)
"""State → what may be said in it and by whom → the state after it."""


def name_of(frame: Frame) -> str:
    """The name of the move that a frame makes: its own, but for a CONNACK that refuses."""
    if isinstance(frame, Connack) and frame.reason >= FAILURE:
        return REFUSED
    return frame.frame_type.name


def allowed(state: State, by: Role) -> list[str]:
    """What `by` may say in `state`, for an error that teaches."""
    return sorted({move.what for move in TRANSITIONS[state] if move.by is by})


def diagram() -> str:
    """The table as a Mermaid state diagram; every frame that leaves the state as it is stands on one loop."""
    lines = ["stateDiagram-v2", "    [*] --> opening"]
    for state, moves in TRANSITIONS.items():
        for by in Role:
            loops = [move.what for move, after in moves.items() if move.by is by and after is state]
            if loops:
                lines.append(f"    {state.value} --> {state.value}: {by.value} {', '.join(loops)}")
        lines += [
            f"    {state.value} --> {after.value}: {move.by.value} {move.what}"
            for move, after in moves.items()
            if after is not state
        ]
    return "\n".join([*lines, "    closed --> [*]"])
