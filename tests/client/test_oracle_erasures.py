"""The oracle on erasures: what is said to be erased is, and what is erased is not given out."""

from roost.oracle import (
    Acknowledged,
    AnyEvent,
    CaughtUp,
    Connected,
    Delivered,
    Disconnected,
    Enrolled,
    Erased,
    ErasedTold,
    ErasureAsked,
    History,
    LoginAsked,
    Sent,
    judge,
)

INCARNATION = "0" * 16


def connected(device: str, epoch: int, position: int, head: int) -> tuple[AnyEvent, ...]:
    return (
        LoginAsked(device),
        Connected(device, epoch, position, head, INCARNATION, False, position),
    )


def delivered(device: str, seq: int, content: str | None = "secret") -> Delivered:
    return Delivered(device, seq, "a" * 16, "alice", "user/bob", content)


BEGIN: tuple[AnyEvent, ...] = (
    Enrolled("a", "alice", "phone"),
    Enrolled("b", "bob", "phone"),
    *connected("a", 1, 0, 0),
    Sent("a", 1, "user/bob", "secret"),
    Acknowledged("a", 1, "success", 1, "a" * 16),
)
ERASED: tuple[AnyEvent, ...] = (ErasureAsked("alice"), Erased("alice"))


def faults(*events: AnyEvent) -> list[str]:
    return [f"{violation.promise} {violation.text}" for violation in judge(History((*BEGIN, *events), True)).violations]


def test_a_tombstone_stands_for_what_was_erased() -> None:
    assert faults(*ERASED, *connected("b", 2, 0, 1), ErasedTold("b", 1), CaughtUp("b")) == []


def test_a_body_may_still_come_on_a_connection_from_before() -> None:
    assert faults(*connected("b", 2, 0, 1), *ERASED, delivered("b", 1), CaughtUp("b")) == []


def test_a_body_may_come_while_it_is_being_erased() -> None:
    events = (ErasureAsked("alice"), *connected("b", 2, 0, 1), delivered("b", 1), Erased("alice"), CaughtUp("b"))
    assert faults(*events) == []


def test_a_body_does_not_come_on_a_connection_from_after() -> None:
    (fault,) = faults(*ERASED, *connected("b", 2, 0, 1), delivered("b", 1), CaughtUp("b"))
    assert fault.startswith("G7 b got the body of")
    assert "erased before it connected" in fault


def test_a_tombstone_that_nobody_asked_for() -> None:
    found = faults(
        *connected("b", 2, 0, 1), delivered("b", 1), Disconnected("b"), *connected("b", 3, 0, 1), ErasedTold("b", 1)
    )
    assert [fault for fault in found if "nobody had asked" in fault]


def test_a_tombstone_for_somebody_who_is_not_erased() -> None:
    (fault,) = faults(
        ErasureAsked("carol"),
        *connected("b", 2, 0, 1),
        delivered("b", 1),
        Disconnected("b"),
        *connected("b", 3, 0, 1),
        ErasedTold("b", 1),
    )
    assert fault.startswith("G7 b was told that number 1 is erased, but message")


def test_a_tombstone_has_its_place_in_the_order() -> None:
    assert any(
        fault.startswith("G4 b was told 2 after 0")
        for fault in faults(*ERASED, *connected("b", 2, 0, 2), ErasedTold("b", 2))
    )
