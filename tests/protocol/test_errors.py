"""The errors of the wire: whose fault it was is their type, and a violation says what to answer."""

from roost_protocol.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from roost_protocol.reasons import Reason


def test_the_blame_is_the_type() -> None:
    assert issubclass(LocalProtocolError, ProtocolError)
    assert issubclass(RemoteProtocolError, ProtocolError)
    assert not issubclass(LocalProtocolError, RemoteProtocolError)


def test_a_violation_says_what_was_found_and_why_it_ends() -> None:
    violation = RemoteProtocolError(Reason.PROTOCOL_ERROR, "PONG from the device")
    assert str(violation) == "PONG from the device (protocol error, 0x82)"
    assert (violation.reason, violation.text) == (Reason.PROTOCOL_ERROR, "PONG from the device")


def test_two_violations_are_the_same_when_they_say_the_same() -> None:
    violation = RemoteProtocolError(Reason.PROTOCOL_ERROR, "x")
    assert violation == RemoteProtocolError(Reason.PROTOCOL_ERROR, "x")
    assert hash(violation) == hash(RemoteProtocolError(Reason.PROTOCOL_ERROR, "x"))
    assert violation != RemoteProtocolError(Reason.MALFORMED_PACKET, "x")
    assert violation != RemoteProtocolError(Reason.PROTOCOL_ERROR, "y")
    assert violation != "x"
