"""Which close code says which reason."""

from roost_protocol.reasons import Reason
from roost_protocol.websocket import CLOSE_CODES, OWN_CODES, close_code


def test_every_reason_has_a_code_that_may_be_said() -> None:
    """RFC 6455, 7.4: 1004 to 1006 and 1015 may not, 4000 to 4999 are free."""
    for reason in Reason:
        code = close_code(reason)
        assert code in (1000, 1002, 1007, 1009, 1011, 1012, 1013) or 4000 < code < 5000, reason


def test_a_reason_without_a_code_of_its_own_can_be_told_from_all_others() -> None:
    own = [close_code(reason) for reason in Reason if reason not in CLOSE_CODES]
    assert own == [OWN_CODES + reason for reason in Reason if reason not in CLOSE_CODES]
    assert close_code(Reason.SESSION_TAKEN_OVER) == 4142
    assert close_code(0xFE) == 4254, "also one that is not known here"
