"""Reason codes: why a frame was refused or a connection ended.

The numbers are those of MQTT 5.0, section 2.4, wherever the idea is MQTT's. From 0xC0 on they are roost's own, a
range that MQTT leaves unused. A code of 0x80 or more is a failure; a peer that meets a code it does not know goes
by that alone.
"""

from enum import IntEnum


class Reason(IntEnum):
    """One reason code; `phrase` is how it is shown to a person."""

    SUCCESS = 0x00
    UNSPECIFIED_ERROR = 0x80
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    CLIENT_IDENTIFIER_NOT_VALID = 0x85
    BAD_USER_NAME_OR_PASSWORD = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SERVER_BUSY = 0x89
    SERVER_SHUTTING_DOWN = 0x8B
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    PACKET_IDENTIFIER_IN_USE = 0x91
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    PACKET_TOO_LARGE = 0x95
    MESSAGE_RATE_TOO_HIGH = 0x96
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE_ACTION = 0x98
    CONNECTION_RATE_EXCEEDED = 0x9F
    MAXIMUM_CONNECT_TIME = 0xA0
    UNKNOWN_RECIPIENT = 0xC0
    NOT_A_MEMBER = 0xC1
    BLOCKED = 0xC2
    SETTLED_LONG_AGO = 0xC3
    ALREADY_EXISTS = 0xC4
    NOT_FOUND = 0xC5
    UNKNOWN_TERMINAL_TYPE = 0xC6
    LOGIN_TIMEOUT = 0xC7
    LOGGED_OUT = 0xC8
    WRITE_TIMEOUT = 0xC9

    @property
    def phrase(self) -> str:
        """The code in words, lower case: `session taken over`."""
        return self.name.lower().replace("_", " ")

    @property
    def failed(self) -> bool:
        """Whether the code stands for a failure."""
        return self >= FAILURE

    @classmethod
    def of(cls, code: int) -> "Reason":
        """The reason with this code; one we do not know counts as `UNSPECIFIED_ERROR` (a failure) or success."""
        try:
            return cls(code)
        except ValueError:
            return cls.UNSPECIFIED_ERROR if code >= FAILURE else cls.SUCCESS


FAILURE = 0x80
"""The first code that stands for a failure (MQTT 5.0, 2.4)."""
