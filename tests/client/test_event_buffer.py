"""Events that wait: their order, their bounds, and what becomes one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import roost
from roost.bounds import EPHEMERAL_WAITING_MAX, PRESENCE_WAITING_MAX
from roost.event_buffer import EventBuffer, Held
from roost_protocol.reasons import Reason


def message(seq: int, body: str | None = "…") -> roost.Message:
    return roost.Message(
        seq=seq,
        id=f"{seq:016x}",
        sender="bob",
        to="user/alice",
        time_ms=0,
        content_type="text/plain",
        body=body,
    )


def gap(first: int, last: int, reason: str = "age") -> roost.Gap:
    return roost.Gap(first=first, last=last, reason=reason)  # type: ignore[arg-type]


def presence(user: str, terminal: str | None, online: bool = True, since_ms: int = 0) -> roost.PresenceChanged:
    return roost.PresenceChanged(user=user, terminal=terminal, online=online, since_ms=since_ms)


def signal(text: str) -> roost.EphemeralReceived:
    return roost.EphemeralReceived(sender="bob", to="user/alice", time_ms=0, content_type="text/plain", body=text)


def connected(epoch: int) -> roost.Connected:
    return roost.Connected(epoch=epoch, head=0, position=0, resumed=False, took_over=None)


def lost(text: str) -> roost.Disconnected:
    return roost.Disconnected(reason=Reason.UNSPECIFIED_ERROR, text=text, retry_in_s=1)


def filled(*events: roost.Event) -> EventBuffer:
    buffer = EventBuffer()
    for event in events:
        buffer.push(event)
    return buffer


def drained(buffer: EventBuffer) -> list[roost.Event]:
    events: list[roost.Event] = []
    while (event := buffer.peek()) is not None:
        assert buffer.pop() == event
        events.append(event)
    assert (len(buffer), buffer.entries) == (0, 0)
    return events


def test_events_come_out_in_the_order_in_which_they_came() -> None:
    events: list[roost.Event] = [
        connected(1),
        signal("a"),
        message(1),
        presence("bob", "pc"),
        gap(2, 3),
        signal("b"),
        message(4),
    ]
    buffer = filled(*events)
    assert (len(buffer), buffer.entries) == (7, 2)
    assert drained(buffer) == events
    with pytest.raises(IndexError):
        buffer.pop()


def test_the_oldest_ephemeral_messages_go_first() -> None:
    buffer = filled(*[signal(f"{i}") for i in range(EPHEMERAL_WAITING_MAX + 3)])
    assert buffer.ephemeral_dropped == 3
    first = buffer.peek()
    assert isinstance(first, roost.EphemeralReceived)
    assert first.body == "3"


def test_only_the_newest_presence_of_a_terminal_stays_in_the_place_of_the_first() -> None:
    buffer = filled(
        presence("bob", "pc", True), message(1), presence("bob", "pc", False), presence("bob", "phone", True)
    )
    assert drained(buffer) == [presence("bob", "pc", False), message(1), presence("bob", "phone", True)]


def test_offline_everywhere_outdoes_what_was_said_of_single_terminals() -> None:
    nowhere = presence("bob", None, False)
    buffer = filled(nowhere, presence("bob", "pc"), presence("carol", "pc"), nowhere)
    assert drained(buffer) == [presence("carol", "pc"), nowhere]


def test_presence_is_bounded() -> None:
    buffer = filled(*[presence(f"user{i}", "pc") for i in range(PRESENCE_WAITING_MAX + 2)])
    assert len(buffer) == PRESENCE_WAITING_MAX
    assert buffer.peek() == presence("user2", "pc")


def test_gaps_that_touch_are_one_if_they_have_one_reason() -> None:
    buffer = filled(gap(1, 2), gap(3, 9), gap(10, 11, "count"), message(12), gap(13, 14, "count"))
    assert drained(buffer) == [gap(1, 9), gap(10, 11, "count"), message(12), gap(13, 14, "count")]


def test_of_connections_that_came_and_went_only_the_last_word_stays() -> None:
    buffer = filled(connected(1), lost("a"), lost("b"), connected(2), lost("c"), connected(3), lost("d"), connected(4))
    assert drained(buffer) == [connected(1), lost("d"), connected(4)]
    buffer = filled(connected(1), message(1), lost("a"), connected(2), message(2), lost("b"), connected(3))
    assert len(buffer) == 7


def test_starting_over_drops_entries_and_gaps_and_nothing_else() -> None:
    buffer = filled(connected(1), message(1), lost("a"), connected(2), gap(2, 3), lost("b"), connected(3))
    over = roost.StartedOver(incarnation="bb")
    buffer.push(over)
    buffer.push(message(1))
    assert buffer.entries == 1
    assert drained(buffer) == [connected(1), lost("b"), connected(3), over, message(1)]


def test_cutting_keeps_the_oldest_and_says_where_it_stands() -> None:
    buffer = filled(message(1), gap(2, 3), message(4), gap(5, 6), lost("a"), message(7))
    assert buffer.cut(3, 10_000) is None
    assert len(buffer) == 6
    assert buffer.cut(2, 10_000) == Held(6, None)
    assert drained(buffer) == [message(1), gap(2, 3), message(4), gap(5, 6), lost("a")]

    buffer = filled(message(1), message(2), message(3, "x" * 50))
    assert buffer.cut(9, 10) == Held(2, f"{2:016x}")
    buffer = filled(message(1, "x" * 50), message(2))
    assert buffer.cut(9, 10) == Held(1, f"{1:016x}")


def test_a_body_that_was_missing_can_be_given() -> None:
    buffer = filled(message(1, None), message(2, "kept"), message(3, None))
    buffer.fill({1: "found", 2: "other"})
    assert drained(buffer) == [message(1, "found"), message(2, "kept"), message(3, None)]


@given(st.lists(st.sampled_from("mgcdpPes"), max_size=60), st.integers(1, 5))
def test_whatever_comes_entries_stay_in_order_and_the_rest_is_bounded(steps: list[str], window: int) -> None:
    """Letters: message, gap, connected, disconnected, presence, pop, ephemeral, cut (as at a reconnect)."""
    buffer = EventBuffer()
    seq, seen, online = 0, 0, False
    for index, step in enumerate(steps):
        match step:
            case "m":
                seq += 1
                buffer.push(message(seq))
            case "g":
                buffer.push(gap(seq + 1, seq + 2))
                seq += 2
            case "c" if not online:
                online = True
                buffer.push(connected(index))
            case "d":
                online = False
                buffer.push(lost(f"{index}"))
            case "p":
                buffer.push(presence("bob", "pc", since_ms=index))
            case "e":
                buffer.push(signal(f"{index}"))
            case "s":
                held = buffer.cut(window, 10_000)
                if held is not None:
                    seq = held.seq
                assert buffer.entries <= window
            case "P" if buffer.peek() is not None:
                seen = _follows(buffer.pop(), seen)
        entries_and_gaps = sum(isinstance(event, roost.Message | roost.Gap) for _, event in buffer._ordered)
        assert len(buffer._ordered) <= 3 * entries_and_gaps + 3
        assert buffer.entries == sum(isinstance(event, roost.Message) for _, event in buffer._ordered)
    for event in drained(buffer):
        seen = _follows(event, seen)
    assert seen == seq


def _follows(event: roost.Event, seen: int) -> int:
    """The last number after this event, which must begin where `seen` ends."""
    if isinstance(event, roost.Message):
        assert event.seq == seen + 1
        return event.seq
    if isinstance(event, roost.Gap):
        assert event.first == seen + 1
        return event.last
    return seen
