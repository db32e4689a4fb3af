"""How much a user may publish: the bucket by itself. What a session does of it is in `test_brakes`."""

from hypothesis import given
from hypothesis import strategies as st

from roost_broker.rates import Bounds, Rate, Rates
from roost_protocol.limits import Limits

TEN = Bounds(messages_max=10, bytes_max=0, window_s=5)


def test_a_burst_and_then_the_same_again_in_each_window() -> None:
    rate = Rate(TEN, 0.0)
    for _ in range(10):
        assert rate.wait_s(0.0) == 0
        rate.take(1_000_000, 0.0)
    assert rate.wait_s(0.0) == 0.5
    assert rate.wait_s(0.4) > 0
    assert rate.wait_s(0.5) == 0
    rate.take(1, 0.5)
    assert rate.wait_s(0.5) == 0.5
    assert not rate.is_full(5.4)
    assert rate.is_full(5.5)
    assert rate.is_full(100.0)
    assert rate.wait_s(100.0) == 0


def test_bytes_may_leave_a_debt_that_is_paid_before_the_next() -> None:
    rate = Rate(Bounds(messages_max=0, bytes_max=1_000, window_s=10), 0.0)
    rate.take(3_000, 0.0)
    assert rate.wait_s(0.0) == 20
    assert rate.retry_after_s(0.0) == 25, "half of the bucket more"
    assert rate.wait_s(20.0) == 0


def test_the_longer_of_two_waits_counts() -> None:
    rate = Rate(Bounds(messages_max=10, bytes_max=1_000, window_s=10), 0.0)
    rate.take(1_500, 0.0)
    assert rate.wait_s(0.0) == 5
    for _ in range(15):
        rate.take(0, 0.0)
    assert rate.wait_s(0.0) == 7


def test_nobody_is_told_to_wait_for_longer_than_a_minute() -> None:
    rate = Rate(Bounds(messages_max=10, bytes_max=0, window_s=3_600), 0.0)
    for _ in range(100):
        rate.take(0, 0.0)
    assert rate.retry_after_s(0.0) == 60


@given(
    moments=st.lists(st.tuples(st.floats(0, 3, allow_subnormal=False), st.integers(0, 400)), max_size=60),
    messages_max=st.integers(1, 20),
    bytes_max=st.integers(100, 1_000),
    window_s=st.integers(1, 10),
)
def test_never_more_than_a_burst_and_the_rate(
    moments: list[tuple[float, int]], messages_max: int, bytes_max: int, window_s: int
) -> None:
    """Over any stretch of time; and after the wait that is told, one may go on."""
    rate = Rate(Bounds(messages_max, bytes_max, window_s), 0.0)
    taken: list[tuple[float, int]] = []
    now = 0.0
    for pause, size in moments:
        now += pause
        if wait_s := rate.wait_s(now):
            now += wait_s
            assert rate.wait_s(now) <= 0.001
        rate.take(size, now)
        taken.append((now, size))
    for first, (since, _) in enumerate(taken):
        for last in range(first, len(taken)):
            share = (taken[last][0] - since) / window_s
            some = taken[first : last + 1]
            assert len(some) <= messages_max * (1 + share) + 1
            assert sum(size for _, size in some[:-1]) <= bytes_max * (1 + share) + 1


def test_a_rate_outlives_the_session_and_is_that_of_all_devices() -> None:
    rates, limits = Rates(), Limits(user_messages_max=10)
    phone, pc = rates.of(1, limits, 0.0), rates.of(1, limits, 0.0)
    assert phone is not None
    assert phone is pc
    assert rates.of(2, limits, 0.0) is not phone


def test_other_bounds_are_those_of_log_ins_from_then_on() -> None:
    rates = Rates()
    first = rates.of(1, Limits(user_messages_max=10), 0.0)
    second = rates.of(1, Limits(user_messages_max=20), 0.0)
    assert first is not None
    assert second is not None
    assert (first.bounds.messages_max, second.bounds.messages_max) == (10, 20)
    assert rates.of(1, Limits(), 0.0) is None
    assert len(rates) == 0


def test_what_is_remembered_is_bounded_and_what_does_not_matter_goes_first() -> None:
    rates, limits = Rates(), Limits(user_messages_max=10, user_rates_kept_max=100)
    spent = rates.of(0, limits, 0.0)
    assert spent is not None
    spent.take(1, 0.0)
    for user in range(1, 101):
        rates.of(user, limits, 0.0)
    assert len(rates) <= 100
    assert rates.of(0, limits, 0.0) is spent
    for user in range(200, 400):
        used = rates.of(user, limits, 0.0)
        assert used is not None
        used.take(1, 0.0)
        assert len(rates) <= 100
