"""The application on a device notices what the library hands it wrongly."""

import pytest

from roost.events import Connected, Disconnected, Event, Gap, Message, StartedOver
from roost.publication import Publication, publish_frame
from roost.simulation.application import Application
from roost_protocol.reasons import Reason


def connected(position: int) -> Connected:
    return Connected(epoch=1, head=9, position=position, resumed=False, took_over=None)


def message(seq: int, id_: str = "", body: str | None = "b:1", n: int | None = None) -> Message:
    return Message(
        seq=seq, id=id_ or f"{seq:016x}", sender="ann", to="user/bob", time_ms=0, content_type="text/plain", body=body,
        own=n is not None, device="a1" if n else None, n=n,
    )  # fmt: skip


def gap(first: int, last: int) -> Gap:
    return Gap(first=first, last=last, reason="age")


def handed(*events: Event, last_seq: int | None = 0) -> list[str]:
    """What it complains of."""
    complaints: list[str] = []
    application = Application("a1", complaints)
    application.begins(last_seq)
    for event in events:
        application.take(event)
    return complaints


def test_what_is_right_is_not_complained_of() -> None:
    assert handed(connected(0), message(1), gap(2, 4), message(5), connected(5), message(6)) == []
    assert handed(connected(7), message(8), last_seq=None) == [], "a new device may begin anywhere"


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ((connected(0), message(2)), "was handed 2 after 0"),
        ((connected(0), message(1), message(1)), "was handed 1 after 1"),
        ((connected(0), gap(2, 3)), "was handed 2 after 0"),
        ((connected(0), message(1), connected(0)), "goes on after 0, though it was handed everything up to 1"),
        ((connected(3),), "goes on after 3"),
        ((connected(0), StartedOver(incarnation=None)), "was told to start over"),
        ((Disconnected(reason=Reason.SUCCESS, text="the broker broke the protocol: x", retry_in_s=1),), "lost its"),
    ],
)
def test_what_is_wrong_is(events: tuple[Event, ...], complaint: str) -> None:
    (found,) = handed(*events)
    assert complaint in found


def test_another_message_under_the_same_number_after_a_restart() -> None:
    complaints: list[str] = []
    application = Application("a1", complaints)
    for id_ in ("a" * 16, "b" * 16):
        application.begins(0)
        application.take(connected(0))
        application.take(message(1, id_))
    (complaint,) = complaints
    assert f"was handed {'b' * 16} at 1, where {'a' * 16} was before" in complaint


def test_its_own_words_come_back_as_they_were() -> None:
    complaints: list[str] = []
    application = Application("a1", complaints)
    application.begins(0)
    application.publishes(Publication(publish_frame(1, "user/bob", "a1:1", None), lambda _: None))
    application.take(connected(0))
    application.take(message(1, body="a1:2", n=1))
    (complaint,) = complaints
    assert "was handed its own 1 as 'a1:2'" in complaint
