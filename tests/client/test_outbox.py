"""Which publishes go on the wire: order, span, and retransmission, whatever happens to them."""

import math

import trio
from hypothesis import given
from hypothesis import strategies as st

import roost
from roost.bounds import ECHO_BODIES_MAX, ECHO_BYTES_MAX
from roost.outbox import EchoBodies, Outbox
from roost.publication import Publication, publish_frame


def _nothing(_: Publication) -> None:
    return None


def _add(outbox: Outbox, text: str = "…") -> Publication:
    return outbox.add(publish_frame(outbox.last_n + 1, "user/bob", text, None), _nothing)


def _taken(outbox: Outbox, now: float = 0, bytes_max: int = 1_000_000) -> list[int]:
    return [publication.n for publication in outbox.take(now, bytes_max)]


def test_one_take_is_bounded_in_bytes() -> None:
    outbox = Outbox(0)
    outbox.publish_max = 10
    for _ in range(5):
        _add(outbox, "x" * 100)
    assert [_taken(outbox, bytes_max=150) for _ in range(4)] == [[1, 2], [3, 4], [5], []]


def test_no_number_goes_out_too_far_beyond_the_oldest_unsettled() -> None:
    outbox = Outbox(0)
    outbox.publish_max = 3
    for _ in range(3):
        _add(outbox)
    assert outbox.room == 0
    assert _taken(outbox) == [1, 2, 3]
    outbox.remove(2)
    outbox.remove(3)
    assert outbox.room == 0  # 4 would share its slot with 1, which is unsettled
    outbox.remove(1)
    assert outbox.room == 3


def test_what_an_earlier_process_left_is_sent_in_spans_too() -> None:
    outbox = Outbox(9)
    for n in range(1, 10):
        outbox.add(publish_frame(n, "user/bob", "…", None), _nothing)
    outbox.publish_max = 4
    outbox.connection_lost()
    assert outbox.last_n == 9
    assert _taken(outbox) == [1, 2, 3, 4]
    outbox.remove(1)
    outbox.remove(2)
    assert _taken(outbox) == [5, 6]


def test_a_pause_holds_everything_back_and_keeps_the_order() -> None:
    outbox = Outbox(0)
    outbox.publish_max = 5
    first, second = _add(outbox), _add(outbox)
    assert _taken(outbox) == [1, 2]
    assert math.isinf(outbox.next_at(0))
    outbox.put_back(second, 10)
    outbox.put_back(first, 9)
    _add(outbox)
    assert (outbox.next_at(0), _taken(outbox, now=9.9)) == (10, [])
    assert _taken(outbox, now=10) == [1, 2, 3]
    assert math.isinf(outbox.next_at(10))


def test_bodies_kept_for_their_echo_are_bounded() -> None:
    echoes = EchoBodies()
    for n in range(ECHO_BODIES_MAX + 1):
        echoes.keep(n, "ü")
    assert echoes.take(0) is None
    assert echoes.take(1) == "ü"
    assert echoes.take(1) is None
    echoes.keep(9_999, b"x" * ECHO_BYTES_MAX)
    assert echoes.take(2) is None
    assert echoes.take(9_999) is not None


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.just(0)),
        st.tuples(st.sampled_from(["take", "lose"]), st.just(0)),
        st.tuples(st.sampled_from(["settle", "refuse", "give up"]), st.integers(0, 9)),
    ),
    max_size=80,
)


@given(STEPS, st.integers(1, 6))
def test_whatever_happens_order_and_span_hold_and_nothing_is_forgotten(
    steps: list[tuple[str, int]], publish_max: int
) -> None:
    async def main() -> None:
        outbox = Outbox(0)
        outbox.publish_max = publish_max
        wire: list[int] = []  # sent on this connection and not answered
        sent_last = 0  # on this connection, since the last refusal
        alive: set[int] = set()
        now = 0.0
        for step, index in steps:
            match step:
                case "add" if outbox.room:
                    alive.add(_add(outbox).n)
                case "take":
                    now += 1
                    for n in _taken(outbox, now):
                        assert n > sent_last
                        sent_last = n
                        wire.append(n)
                        assert n - min([*alive, *wire]) < publish_max
                case "lose":
                    outbox.connection_lost()
                    wire.clear()
                    sent_last = 0
                case "settle" if wire:
                    n = wire.pop(index % len(wire))
                    assert outbox.remove(n) is not None
                    alive.discard(n)
                case "refuse" if wire:
                    n = wire.pop(index % len(wire))
                    publication = outbox.get(n)
                    assert publication is not None
                    if publication.given_up:
                        outbox.remove(n)
                    else:
                        outbox.put_back(publication, now + 1)
                    sent_last = 0
                case "give up" if alive:
                    n = sorted(alive)[index % len(alive)]
                    publication = outbox.get(n)
                    assert publication is not None
                    publication.give_up()
                    alive.discard(n)
                    if not publication.on_wire:
                        outbox.remove(n)
            assert {publication.n for publication in outbox} == alive
            assert len(wire) <= publish_max
        outbox.connection_lost()
        gone: list[int] = []
        while alive - {*gone}:
            for n in _taken(outbox, now + 2):
                gone.append(n)
                outbox.remove(n)
        assert gone == sorted(alive)

    trio.run(main)


async def test_the_outcome_of_a_publication_is_for_everybody_who_waits() -> None:
    publication = _add(Outbox(0))
    receipt = roost.Receipt(n=1, seq=1, id="a", time_ms=0)
    publication.stored(receipt)
    publication.failed(roost.ConnectionFailed("too late to matter"))
    assert [await publication.settled() for _ in range(2)] == [receipt, receipt]
    assert publication.receipt == receipt
    assert repr(publication) == "<Publication 1 to user/bob: settled>"
