"""What can go wrong on the wire, with the blame as the type.

::

    ProtocolError
    ├── LocalProtocolError    this side tried to say what the protocol does not allow now: a defect here
    └── RemoteProtocolError   the other side said it; carries the reason code to close the connection with
"""

from typing import Self

from roost_protocol.reasons import Reason


class ProtocolError(Exception):
    """Either side broke the protocol. Never raised itself, only its two subclasses."""


class LocalProtocolError(ProtocolError):
    """This side tried to send a frame that the protocol does not allow in this state; nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """The other side broke the protocol; the connection is over.

    `reason` is the code that the DISCONNECT in answer carries, `text` says what was found and what is allowed.
    """

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(f"{text} ({reason.phrase}, 0x{reason:02X})")
        self.reason = reason
        self.text = text

    def detached(self) -> Self:
        """The same without where it was raised, and from what: an event that is kept in a list keeps no frames alive.

        The frames would keep that list, and all that was there when it was raised, until the collector finds them.
        """
        self.__traceback__ = self.__cause__ = self.__context__ = None
        return self

    def __eq__(self, other: object) -> bool:
        """Two violations are the same when they say the same: events of a stream are compared in tests."""
        if not isinstance(other, RemoteProtocolError):
            return NotImplemented
        return (self.reason, self.text) == (other.reason, other.text)

    def __hash__(self) -> int:
        return hash((self.reason, self.text))
