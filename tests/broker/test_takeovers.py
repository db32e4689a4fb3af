"""Damping of kick ping-pong: the damper by itself against a plain model. What a takeover does is in `test_login`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost_broker import takeovers
from roost_broker.takeovers import TakeoverDamper


def test_so_many_takeovers_in_a_window_are_free() -> None:
    damper = TakeoverDamper(takeovers_max=3, window_s=60)
    for now in (0.0, 10.0, 20.0):
        assert damper.wait_s(1, "pc", now) is None
        damper.record(1, "pc", now)
    assert damper.wait_s(1, "pc", 20.0) == 40
    assert damper.damped == 1
    assert damper.wait_s(1, "pc", 59.5) == 1
    assert damper.wait_s(1, "pc", 60.0) is None


def test_each_user_and_terminal_type_counts_by_itself() -> None:
    damper = TakeoverDamper(takeovers_max=2, window_s=60)
    damper.record(1, "pc", 0)
    damper.record(1, "pc", 0)
    assert damper.wait_s(1, "pc", 1) is not None
    assert damper.wait_s(1, "phone", 1) is None
    assert damper.wait_s(2, "pc", 1) is None


def test_other_bounds_hold_from_now_on_and_what_happened_counts() -> None:
    damper = TakeoverDamper(takeovers_max=3, window_s=60)
    for now in (0.0, 1.0, 2.0):
        damper.record(1, "pc", now)
    damper.change(5, 60)
    assert damper.wait_s(1, "pc", 3.0) is None
    for now in (3.0, 4.0):
        damper.record(1, "pc", now)
    assert damper.wait_s(1, "pc", 5.0) == 55
    damper.change(2, 10)
    assert damper.wait_s(1, "pc", 5.0) == 8, "from the older of the newest two"


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeovers, "KEYS_MAX", 3)
    damper = TakeoverDamper(takeovers_max=2, window_s=60)
    for user in range(3):
        damper.record(user, "pc", float(user))
        damper.record(user, "pc", float(user))
    damper.record(0, "pc", 5.0)  # the latest now: 1 is the oldest
    damper.record(3, "pc", 6.0)
    assert damper.wait_s(1, "pc", 6.0) is None, "the oldest had to go"
    assert damper.wait_s(0, "pc", 6.0) is not None
    assert damper.wait_s(2, "pc", 6.0) is not None
    damper.record(4, "pc", 100.0)
    assert damper.wait_s(0, "pc", 100.0) is None, "those of a window long past go first, all at once"
    assert len(vars(damper)["_recent"]) == 1


def test_who_flaps_most_comes_first() -> None:
    damper = TakeoverDamper(takeovers_max=3, window_s=60)
    damper.record(1, "pc", 0.0)
    for now in (1.0, 2.0):
        damper.record(2, "pc", now)
    for now in (3.0, 4.0, 5.0):
        damper.record(3, "pad", now)
    for _ in range(2):
        damper.wait_s(3, "pad", 10.0)
    assert damper.flapping(10.0, 5) == [(3, "pad", 3, 2, 53), (2, "pc", 2, 0, None)]
    assert damper.flapping(10.0, 1) == [(3, "pad", 3, 2, 53)]
    assert damper.flapping(61.5, 5) == [(3, "pad", 3, 2, 2)]
    assert damper.flapping(64.5, 5) == [(3, "pad", 1, 2, None)], "one takeover is left, but log-ins were made to wait"
    assert damper.flapping(65.0, 5) == []
    assert damper.recent(1, "pc", 10.0) == (1, "pc", 1, 0, None), "once is no flapping, but told of the session"
    assert damper.recent(1, "pc", 60.0) is None
    assert damper.recent(4, "pc", 10.0) is None
    assert damper.damped == 2


def test_the_log_ins_told_to_wait_are_those_of_the_latest_row_of_takeovers(monkeypatch: pytest.MonkeyPatch) -> None:
    damper = TakeoverDamper(takeovers_max=2, window_s=60)
    for now in (0.0, 1.0):
        damper.record(1, "pc", now)
    damper.wait_s(1, "pc", 2.0)
    damper.record(1, "pc", 61.5)  # the one before is out of the window
    damper.record(1, "pc", 62.0)
    assert damper.flapping(63.0, 5) == [(1, "pc", 2, 0, 59)]
    damper.wait_s(1, "pc", 63.0)
    monkeypatch.setattr(takeovers, "KEYS_MAX", 1)
    damper.change(2, 60)
    damper.record(2, "pc", 64.0)
    damper.record(1, "pc", 65.0)
    assert damper.recent(1, "pc", 65.0) == (1, "pc", 1, 0, None), "nothing is kept of a pair that is forgotten"


def test_only_so_many_pairs_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeovers, "LOOKED_AT_MAX", 2)
    damper = TakeoverDamper(takeovers_max=5, window_s=60)
    for user in range(4):
        for _ in range(2):
            damper.record(user, "pc", float(user))
    assert [pair.user for pair in damper.flapping(5.0, 10)] == [3, 2], "the latest"


# Eighths of a second, which floating point adds without rounding.
PAUSES = st.integers(0, 160).map(lambda eighths: eighths / 8)
MOMENTS = st.lists(st.tuples(st.sampled_from([1, 2]), PAUSES, st.booleans()), max_size=60)


@given(moments=MOMENTS, takeovers_max=st.integers(2, 4), window_s=st.integers(1, 30))
def test_as_a_plain_list_would_have_it(
    moments: list[tuple[int, float, bool]], takeovers_max: int, window_s: int
) -> None:
    """The wait is the least after which fewer than `takeovers_max` takeovers are in the window, rounded up."""
    damper = TakeoverDamper(takeovers_max, window_s)
    taken: list[tuple[int, float]] = []
    now = 0.0
    for user, pause, insists in moments:
        now += pause
        inside = [at for who, at in taken if who == user and at + window_s > now]
        wait = damper.wait_s(user, "pc", now)
        if len(inside) < takeovers_max:
            assert wait is None
        else:
            assert wait is not None
            assert 1 <= wait <= window_s
            assert sum(at + window_s > now + wait for at in inside) < takeovers_max
            assert sum(at + window_s > now + wait - 1 for at in inside) >= takeovers_max
        if wait is None or insists:
            damper.record(user, "pc", now)
            taken.append((user, now))
