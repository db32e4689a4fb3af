"""What happens again and again: the table against plain lists, and its bound."""

from hypothesis import given
from hypothesis import strategies as st

from roost_broker.recurring import Recurring

PAUSES = st.integers(0, 80).map(lambda eighths: eighths / 8)  # which floating point adds without rounding


@given(
    moments=st.lists(st.tuples(st.sampled_from("abcd"), PAUSES), max_size=60),
    times_max=st.integers(1, 4),
    window_s=st.integers(1, 30),
)
def test_as_plain_lists_would_have_it(moments: list[tuple[str, float]], times_max: int, window_s: int) -> None:
    recent: Recurring[str] = Recurring(times_max, window_s, 10)
    happened: list[tuple[str, float]] = []
    now = 0.0
    for key, pause in moments:
        now += pause
        recent.record(key, now)
        happened.append((key, now))
        for other in "abcd":
            mine = [at for who, at in happened if who == other][-times_max:]
            assert recent.within(other, now) == [at for at in mine if at + window_s > now]
        latest = {who: at for who, at in happened if at + window_s > now}
        assert list(recent.latest_first(now)) == sorted(
            latest,
            key=lambda who: max(number for number, (other, _) in enumerate(happened) if other == who),
            reverse=True,
        )


def test_the_one_it_happened_to_longest_ago_is_forgotten_first() -> None:
    recent: Recurring[int] = Recurring(2, 60, 3)
    for key in (1, 2, 3, 1, 4):
        recent.record(key, 1.0)
    assert [len(recent.within(key, 1.0)) for key in (1, 2, 3, 4)] == [2, 0, 1, 1]
    recent.record(5, 61.0)
    assert len(recent) == 1, "those of a window long past go all at once"


def test_a_smaller_bound_holds_at_once() -> None:
    recent: Recurring[int] = Recurring(4, 60, 10)
    for key in range(10):
        for now in (1.0, 2.0, 3.0):
            recent.record(key, now)
    recent.change(2, 60, 4)
    assert len(recent) == 4
    assert recent.within(9, 3.0) == [2.0, 3.0]
    recent.change(2, 1, 4)
    assert recent.within(9, 3.5) == [3.0]


def test_refusals_count_from_when_it_began() -> None:
    recent: Recurring[str] = Recurring(4, 60, 10)
    recent.note_refusal("nobody")
    assert recent.refusals("nobody") == 0
    recent.record("a", 0.0)
    recent.note_refusal("a")
    recent.record("a", 59.0)
    assert recent.refusals("a") == 1
    recent.record("a", 119.0)
    assert recent.refusals("a") == 0, "nothing had happened for a window"
