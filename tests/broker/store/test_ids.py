"""Message ids, epochs and incarnations."""

from hypothesis import given
from hypothesis import strategies as st

from broker.store.world import START_MS, seeded
from roost_broker.store.ids import (
    first_message_id,
    message_id_text,
    message_time_ms,
    new_incarnation,
    next_epoch,
)

TIMES = st.integers(0, 2**43)
SEEDS = st.integers(0, 2**32)


@given(st.integers(0, 2**63), TIMES, SEEDS)
def test_the_first_id_is_larger_than_the_last_and_not_of_the_past(last_id: int, now_ms: int, seed: int) -> None:
    first = first_message_id(last_id, now_ms, seeded(seed))
    assert first > last_id + 1, "what follows would look as if committed together"
    assert message_time_ms(first) >= now_ms
    if message_time_ms(last_id) < now_ms:
        assert message_time_ms(first) == now_ms


def test_a_store_that_went_back_gives_other_ids_at_the_same_time() -> None:
    random = seeded()
    assert len({first_message_id(1, START_MS, random) for _ in range(100)}) > 90


@given(st.integers(0, 2**64 - 1))
def test_the_text_has_16_digits_and_the_order_of_the_numbers(message_id: int) -> None:
    text = message_id_text(message_id)
    assert len(text) == 16
    assert int(text, 16) == message_id
    assert text <= message_id_text(2**64 - 1)


@given(TIMES, TIMES)
def test_epochs_rise(last: int, now_ms: int) -> None:
    assert next_epoch(last, now_ms) > last
    assert next_epoch(last, now_ms) >= now_ms


def test_incarnations_differ() -> None:
    random = seeded()
    names = {new_incarnation(random) for _ in range(100)}
    assert len(names) == 100
    assert all(len(name) == 16 for name in names)
