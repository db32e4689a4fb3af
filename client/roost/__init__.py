"""roost for Python programs: the Trio client, and the broker to embed.

::

    async with roost.connect("localhost:7300", user="alice", terminal="phone", password="…") as session:
        await session.publish("user/bob", "hi")
        async for event in session:
            ...

`docs/client.md` shows it all. Names are loaded when they are first used, so that importing this costs next to nothing,
and a program that only is a client never loads the broker.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roost.backoff import Backoff
    from roost.connecting import connect
    from roost.errors import (
        ConnectionFailed,
        LoginRefused,
        PublishRefused,
        RequestRefused,
        RoostError,
        SessionEnded,
        StateUnusable,
    )
    from roost.events import (
        Body,
        Connected,
        Disconnected,
        Ended,
        EphemeralReceived,
        Event,
        Gap,
        Message,
        Page,
        PresenceChanged,
        Receipt,
        StartedOver,
        TakenOver,
    )
    from roost.publication import Publication
    from roost.session import Session, SessionStatistics
    from roost.state import MemoryState, State
    from roost.state_file import FileState
    from roost.version import __version__
    from roost_broker.app import Broker
    from roost_protocol.frames import DeviceState, Member, Origin
    from roost_protocol.reasons import Reason

__all__ = [
    "Backoff",
    "Body",
    "Broker",
    "Connected",
    "ConnectionFailed",
    "DeviceState",
    "Disconnected",
    "Ended",
    "EphemeralReceived",
    "Event",
    "FileState",
    "Gap",
    "LoginRefused",
    "Member",
    "MemoryState",
    "Message",
    "Origin",
    "Page",
    "PresenceChanged",
    "Publication",
    "PublishRefused",
    "Reason",
    "Receipt",
    "RequestRefused",
    "RoostError",
    "Session",
    "SessionEnded",
    "SessionStatistics",
    "StartedOver",
    "State",
    "StateUnusable",
    "TakenOver",
    "__version__",
    "connect",
]

_NAMES_IN = {
    "roost.backoff": "Backoff",
    "roost.connecting": "connect",
    "roost.errors": "ConnectionFailed LoginRefused PublishRefused RequestRefused RoostError SessionEnded StateUnusable",
    "roost.events": "Body Connected Disconnected Ended EphemeralReceived Event Gap Message Page PresenceChanged Receipt"
    " StartedOver TakenOver",
    "roost.publication": "Publication",
    "roost.session": "Session SessionStatistics",
    "roost.state": "MemoryState State",
    "roost.state_file": "FileState",
    "roost.version": "__version__",
    "roost_broker.app": "Broker",
    "roost_protocol.frames": "DeviceState Member Origin",
    "roost_protocol.reasons": "Reason",
}
_HOMES = {name: module for module, names in _NAMES_IN.items() for name in names.split()}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load a name from where it lives (PEP 562)."""
        if name not in _HOMES:
            raise AttributeError(f"module 'roost' has no attribute {name!r}")
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
