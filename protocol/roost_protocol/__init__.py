"""The wire of roost: limits, names, reason codes, frames, codec and the connection state machine of both roles.

Sans-I/O: bytes come in, events go out; nothing here opens a socket, reads a clock or knows a store. Imports
msgspec and the standard library only. `docs/protocol.md` is the specification of what this package does.

The way in: `Connection` for a whole conversation, `frames` for what can be said, `codec` for single frames.
"""

from roost_protocol.connection import Connection, Event
from roost_protocol.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from roost_protocol.frames import Frame
from roost_protocol.limits import Limits
from roost_protocol.reasons import Reason
from roost_protocol.states import Role, State

__all__ = [
    "Connection",
    "Event",
    "Frame",
    "Limits",
    "LocalProtocolError",
    "ProtocolError",
    "Reason",
    "RemoteProtocolError",
    "Role",
    "State",
]
