"""What both sides of a WebSocket agree on: the names of the sub-protocols, and which close code says which reason."""

from collections.abc import Mapping
from types import MappingProxyType

from roost_protocol.reasons import Reason

BINARY = "roost.v1"
"""The byte stream of the binary form, in binary messages, cut anywhere."""

JSON = "roost.v1.json"
"""The JSON form: each text message is one frame."""

SUB_PROTOCOLS = (BINARY, JSON)

NORMAL = 1000
PROTOCOL_ERROR = 1002
UNSUPPORTED_DATA = 1003
NO_CODE = 1005
INVALID_DATA = 1007
TOO_BIG = 1009
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012
TRY_AGAIN_LATER = 1013
"""RFC 6455, 7.4.1, and the registry it has founded."""

OWN_CODES = 4000
"""Where codes for private use begin (RFC 6455, 7.4.2): a reason without a code of its own is this and its number."""

CLOSE_CODES: Mapping[int, int] = MappingProxyType(
    {
        Reason.SUCCESS: NORMAL,
        Reason.UNSPECIFIED_ERROR: INTERNAL_ERROR,
        Reason.MALFORMED_PACKET: INVALID_DATA,
        Reason.PROTOCOL_ERROR: PROTOCOL_ERROR,
        Reason.PACKET_TOO_LARGE: TOO_BIG,
        Reason.SERVER_SHUTTING_DOWN: SERVICE_RESTART,
        Reason.SERVER_BUSY: TRY_AGAIN_LATER,
        Reason.SERVER_UNAVAILABLE: TRY_AGAIN_LATER,
        Reason.QUOTA_EXCEEDED: TRY_AGAIN_LATER,
    }
)
"""The reasons that WebSocket has a word for."""

CLOSE_TEXT_BYTES_MAX = 123
"""RFC 6455, 5.5: 125 bytes in a control frame, of which the code takes 2."""


def close_code(reason: int) -> int:
    """The close code for a reason code, known or not."""
    return CLOSE_CODES.get(reason, OWN_CODES + reason)
