"""Delays between attempts."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import roost


def test_delays_grow_up_to_the_bound() -> None:
    backoff = roost.Backoff(first_s=1, factor=3, most_s=20, jitter=0)
    assert [backoff.delay_s(attempt, Random(1)) for attempt in range(5)] == [1, 3, 9, 20, 20]  # noqa: S311


@given(st.integers(0, 100_000), st.floats(0, 1), st.randoms(use_true_random=False))
def test_a_delay_is_within_its_bounds(attempt: int, jitter: float, random: Random) -> None:
    backoff = roost.Backoff(jitter=jitter)
    full = min(60.0, 2.0 ** min(attempt, 100))
    assert full * (1 - jitter) * 0.999 <= backoff.delay_s(attempt, random) <= full


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"first_s": 0}, "0 < first_s"),
        ({"first_s": 9, "most_s": 8}, "0 < first_s"),
        ({"factor": 0.5}, "at least 1"),
        ({"jitter": 2}, "0 to 1"),
    ],
)
def test_values_that_make_no_sense_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        roost.Backoff(**values)
