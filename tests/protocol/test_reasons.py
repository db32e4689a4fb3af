"""Reason codes: MQTT's numbers where the idea is MQTT's, roost's own from 0xC0 on, unknown ones told by their half."""

import pytest

from roost_protocol.reasons import FAILURE, Reason

# MQTT 5.0, table 2-6, by the names there.
MQTT = {
    0x00: "SUCCESS",
    0x80: "UNSPECIFIED_ERROR",
    0x81: "MALFORMED_PACKET",
    0x82: "PROTOCOL_ERROR",
    0x84: "UNSUPPORTED_PROTOCOL_VERSION",
    0x85: "CLIENT_IDENTIFIER_NOT_VALID",
    0x86: "BAD_USER_NAME_OR_PASSWORD",
    0x87: "NOT_AUTHORIZED",
    0x88: "SERVER_UNAVAILABLE",
    0x89: "SERVER_BUSY",
    0x8B: "SERVER_SHUTTING_DOWN",
    0x8D: "KEEP_ALIVE_TIMEOUT",
    0x8E: "SESSION_TAKEN_OVER",
    0x91: "PACKET_IDENTIFIER_IN_USE",
    0x93: "RECEIVE_MAXIMUM_EXCEEDED",
    0x95: "PACKET_TOO_LARGE",
    0x96: "MESSAGE_RATE_TOO_HIGH",
    0x97: "QUOTA_EXCEEDED",
    0x98: "ADMINISTRATIVE_ACTION",
    0x9F: "CONNECTION_RATE_EXCEEDED",
    0xA0: "MAXIMUM_CONNECT_TIME",
}
MQTT_LAST = 0xA2


def test_the_numbers_are_mqtts_where_the_idea_is() -> None:
    assert {reason.value: reason.name for reason in Reason if reason.value < 0xC0} == MQTT


def test_roosts_own_codes_lie_where_mqtt_has_none() -> None:
    own = [reason for reason in Reason if reason.name not in MQTT.values()]
    assert own
    assert all(MQTT_LAST < 0xC0 <= reason <= 0xFF for reason in own)


@pytest.mark.parametrize("reason", Reason)
def test_only_success_has_not_failed(reason: Reason) -> None:
    assert reason.failed == (reason is not Reason.SUCCESS)


@pytest.mark.parametrize("code", range(256))
def test_every_code_has_a_reason_that_fails_when_it_does(code: int) -> None:
    reason = Reason.of(code)
    assert reason.failed == (code >= FAILURE)
    if code in set(Reason):
        assert reason == code


def test_phrases_are_for_people() -> None:
    assert Reason.SESSION_TAKEN_OVER.phrase == "session taken over"
    assert len({reason.phrase for reason in Reason}) == len(Reason)
