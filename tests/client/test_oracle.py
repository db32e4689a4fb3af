"""The oracle finds each fault, excuses what may be excused, and reads and writes its files.

A right history is spoilt in one way for each case, and must break exactly the promises named. That no history of a
right broker breaks any is in `test_oracle_plans`.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from client.ideal import TAKEN_OVER, Ideal, right_history
from roost.oracle import (
    Acked,
    Acknowledged,
    AnyEvent,
    BlockAsked,
    BlockConfirmed,
    BrokerRestarted,
    CaughtUp,
    Connected,
    Delivered,
    Disconnected,
    Enrolled,
    GapTold,
    History,
    Kicked,
    LoginAsked,
    MembershipAsked,
    MembershipConfirmed,
    Recorder,
    Sent,
    StartedOver,
    TrimAsked,
    Trimmed,
    Verdict,
    dump,
    judge,
    load,
)


class Tape:
    """The right history, to be spoilt. Events are found by kind and fields; the first such one is meant."""

    def __init__(self) -> None:
        self.events = list(right_history().events)

    def all(self, kind: type[Any], **fields: object) -> list[int]:
        return [
            index
            for index, event in enumerate(self.events)
            if isinstance(event, kind) and all(getattr(event, name) == value for name, value in fields.items())
        ]

    def at(self, kind: type[Any], nth: int = 0, **fields: object) -> int:
        return self.all(kind, **fields)[nth]

    def drop(self, *indexes: int) -> list[AnyEvent]:
        return [self.events.pop(index) for index in sorted(indexes, reverse=True)]

    def change(self, *indexes: int, **fields: Any) -> None:
        for index in indexes:
            self.events[index] = msgspec.structs.replace(self.events[index], **fields)

    def insert(self, index: int, *events: AnyEvent) -> None:
        self.events[index:index] = events

    def move(self, index: int, to: int) -> None:
        self.events.insert(to, self.events.pop(index))


def judged(events: list[AnyEvent], trims_known: bool = True) -> set[str]:
    return {violation.promise for violation in judge(History(tuple(events), trims_known)).violations}


X = [f"{commit:016x}" for commit in range(10)]
"""Message ids of the right history, by order of commit."""

Spoil = Callable[[Tape], None]
SPOILT: list[tuple[str, Spoil]] = []


def breaks(promises: str) -> Callable[[Spoil], Spoil]:
    """Register a way to spoil the right history, with exactly the promises that are broken then."""

    def register(spoil: Spoil) -> Spoil:
        SPOILT.append((promises, spoil))
        return spoil

    return register


@breaks("G1")
def acknowledged_and_in_no_inbox_of_the_recipient(tape: Tape) -> None:
    for index in tape.all(Connected, head=7):
        tape.change(index, head=6)
    tape.change(tape.at(Connected, position=7), position=6, asked=6)
    tape.drop(*(tape.at(Delivered, device=name, id=X[7]) for name in ("alice/phone", "alice/pc", "alice/pc-2")))


@breaks("G1 G3")
def acknowledged_and_missing_on_one_device(tape: Tape) -> None:
    tape.drop(tape.at(Delivered, device="alice/pc", seq=7))


@breaks("G1 G3")
def acknowledged_and_missing_on_another_device_of_the_sender(tape: Tape) -> None:
    tape.drop(*(tape.at(Delivered, device="bob/phone", seq=6), tape.at(Connected, device="bob/phone", position=6)))


@breaks("G2")
def other_content(tape: Tape) -> None:
    tape.change(tape.at(Delivered, device="bob/phone", seq=1), content="hullo")


@breaks("G2")
def other_sender(tape: Tape) -> None:
    tape.change(tape.at(Delivered, device="alice/pc", id=X[5]), sender="carol")


@breaks("G2")
def delivered_to_somebody_else(tape: Tape) -> None:
    stray = tape.events[tape.at(Delivered, device="bob/pc", id=X[6])]
    tape.insert(tape.at(CaughtUp, device="carol/phone"), msgspec.structs.replace(stray, device="carol/phone", seq=1))


@breaks("G2")
def delivered_to_a_former_member(tape: Tape) -> None:
    tape.insert(
        tape.at(Sent, to="group/team"),
        MembershipAsked("team", "bob", False),
        MembershipConfirmed("team", "bob", False),
    )


@breaks("G2")
def stored_for_a_group_that_the_sender_is_not_in(tape: Tape) -> None:
    tape.drop(tape.at(MembershipAsked, user="alice"), tape.at(MembershipConfirmed, user="alice"))


@breaks("G2")
def stored_against_a_block(tape: Tape) -> None:
    tape.change(tape.at(BlockAsked), other="alice")
    tape.change(tape.at(BlockConfirmed), other="alice")


@breaks("G2")
def delivered_and_sent_by_nobody(tape: Tape) -> None:
    phantom = Delivered("carol/phone", 1, X[8], "bob", "user/carol", "boo")
    tape.insert(tape.at(CaughtUp, device="carol/phone"), phantom)


@breaks("G2")
def delivered_before_it_was_sent(tape: Tape) -> None:
    tape.move(tape.at(Sent, content="the last word"), to=tape.at(Acked))
    tape.drop(tape.at(Acknowledged, device="bob/pc"))


@breaks("G2")
def delivered_though_refused(tape: Tape) -> None:
    echo = Delivered("carol/phone", 1, X[8], "carol", "user/bob", "let me in", "carol/phone", 1)
    tape.insert(tape.at(CaughtUp, device="carol/phone"), echo)


@breaks("G2")
def in_the_inbox_of_one_side_only(tape: Tape) -> None:
    tape.drop(*tape.all(Delivered, seq=5, id=X[6]))
    for index in (*tape.all(Delivered, seq=6, id=X[7]), tape.at(Acknowledged, seq=6)):
        tape.change(index, seq=5)
    tape.change(*tape.all(Connected, head=6), head=5, position=5, asked=5)


@breaks("G2")
def without_body_on_another_device(tape: Tape) -> None:
    tape.change(tape.at(Delivered, device="alice/pc", seq=1), content=None)


@breaks("G2")
def against_the_order_of_commit(tape: Tape) -> None:
    for first, second in ((X[1], X[9]), (X[2], X[1]), (X[9], X[2])):
        tape.change(*tape.all(Delivered, id=first), *tape.all(Acknowledged, id=first), id=second)


@breaks("G2 G5")
def in_another_order_on_one_device(tape: Tape) -> None:
    first, second = tape.at(Delivered, device="alice/pc", seq=6), tape.at(Delivered, device="alice/pc", seq=7)
    tape.events[first], tape.events[second] = tape.events[second], tape.events[first]
    tape.change(first, seq=6)
    tape.change(second, seq=7)


@breaks("G3")
def head_goes_back(tape: Tape) -> None:
    tape.change(tape.at(Connected, device="alice/phone", position=5, head=7), head=4)


@breaks("G3")
def acknowledged_with_another_number(tape: Tape) -> None:
    tape.change(tape.at(Acknowledged, device="bob/phone", n=1), seq=3)


@breaks("G3")
def caught_up_short_of_the_head(tape: Tape) -> None:
    tape.change(tape.at(Connected, device="alice/pc-2", position=7), head=8)


@breaks("G3 G4")
def a_number_left_out_for_everybody(tape: Tape) -> None:
    tape.change(*tape.all(Delivered, seq=7), seq=8)
    tape.change(*tape.all(Connected, head=7), head=8)
    tape.change(tape.at(Connected, position=7), position=8, asked=8)


@breaks("G4")
def delivered_after_the_kick(tape: Tape) -> None:
    late = msgspec.structs.replace(tape.events[tape.at(Delivered, device="bob/pc", id=X[5])], device="alice/pc")
    tape.insert(tape.at(Kicked) + 1, late)


@breaks("G4")
def acknowledged_without_a_connection(tape: Tape) -> None:
    tape.insert(tape.at(Disconnected, device="bob/phone") + 1, Acknowledged("bob/phone", 2, "server busy"))


@breaks("G1 G3 G4")
def a_number_left_out(tape: Tape) -> None:
    tape.drop(tape.at(Delivered, device="alice/phone", seq=2))


@breaks("G4")
def a_number_twice(tape: Tape) -> None:
    index = tape.at(Delivered, device="alice/phone", seq=2)
    tape.insert(index, tape.events[index])


@breaks("G4")
def numbers_out_of_order(tape: Tape) -> None:
    tape.move(tape.at(Delivered, device="alice/pc-2", seq=3), to=tape.at(Delivered, device="alice/pc-2", seq=2))


@breaks("G4")
def delivery_starts_too_early(tape: Tape) -> None:
    tape.change(tape.at(Connected, device="bob/pc", position=6), position=5)
    again = msgspec.structs.replace(tape.events[tape.at(Delivered, device="bob/phone", seq=6)], device="bob/pc")
    tape.insert(tape.at(CaughtUp, device="bob/pc"), msgspec.structs.replace(again, content="the last word"))


@breaks("G4")
def started_over_for_nothing(tape: Tape) -> None:
    again = [
        msgspec.structs.replace(tape.events[index], device="alice/pc-2")
        for seq in range(1, 8)
        for index in [tape.at(Delivered, device="alice/pc" if seq != 3 else "alice/phone", seq=seq)]
    ]
    connected = tape.at(Connected, device="alice/pc-2", position=7)
    tape.change(connected, position=0)
    tape.insert(connected + 1, *again)
    tape.insert(connected, StartedOver("alice/pc-2"))


@breaks("G1 G3 G5")
def a_retransmission_stored_anew(tape: Tape) -> None:
    tape.change(tape.at(Acknowledged, device="bob/phone", n=2), id=X[8])


@breaks("G5")
def stored_once_more_in_all_inboxes(tape: Tape) -> None:
    for name, seq in (("bob/pc", 7), ("bob/phone", 7), ("alice/pc-2", 8), ("alice/pc", 8), ("alice/phone", 8)):
        copied = tape.events[tape.at(Delivered, device=name, id=X[6])]
        tape.insert(tape.at(CaughtUp, device=name), msgspec.structs.replace(copied, seq=seq, id=X[8]))
    tape.change(tape.at(Connected, device="alice/pc", head=7), tape.at(Connected, position=7), head=8)
    tape.change(tape.at(Connected, device="bob/pc", head=6), head=7)


@breaks("G5")
def stored_once_more_for_the_recipient(tape: Tape) -> None:
    for name in ("bob/pc", "bob/phone"):
        copied = tape.events[tape.at(Delivered, device=name, id=X[6])]
        tape.insert(tape.at(CaughtUp, device=name), msgspec.structs.replace(copied, seq=7, id=X[8]))
    tape.change(tape.at(Connected, device="bob/pc", head=6), head=7)


@breaks("G5")
def in_one_inbox_twice(tape: Tape) -> None:
    for name in ("bob/pc", "bob/phone"):
        copied = tape.events[tape.at(Delivered, device=name, id=X[6])]
        tape.insert(tape.at(CaughtUp, device=name), msgspec.structs.replace(copied, seq=7))
    tape.change(tape.at(Connected, device="bob/pc", head=6), head=7)


@breaks("G5")
def said_to_be_stored_just_now_twice(tape: Tape) -> None:
    again = tape.at(Acknowledged, device="bob/phone", n=2)
    tape.change(again, retransmission=False)
    tape.insert(tape.at(Disconnected, device="bob/phone"), tape.events[again])


@breaks("G3 G5")
def said_to_have_two_numbers(tape: Tape) -> None:
    again = tape.events[tape.at(Acknowledged, device="bob/phone", n=2)]
    first = msgspec.structs.replace(again, seq=3, retransmission=False)
    tape.insert(tape.at(Disconnected, device="bob/phone"), first)


@breaks("G5")
def other_content_accepted(tape: Tape) -> None:
    tape.change(tape.at(Sent, device="bob/phone", n=2, nth=1), content="another answer")


@breaks("G5")
def later_content_delivered(tape: Tape) -> None:
    tape.change(tape.at(Sent, device="bob/phone", n=2, nth=1), content="another answer")
    refused = Acknowledged("bob/phone", 2, "packet identifier in use")
    tape.events[tape.at(Acknowledged, device="bob/phone", n=2)] = refused
    tape.change(tape.at(Delivered, device="bob/pc", id=X[5]), content="another answer")


@breaks("G5")
def answered_and_never_sent(tape: Tape) -> None:
    tape.drop(tape.at(Sent, device="carol/phone"))


@breaks("G5")
def refused_and_then_stored(tape: Tape) -> None:
    tape.insert(tape.at(Disconnected, device="bob/phone"), Acknowledged("bob/phone", 2, "blocked"))


@breaks("G5")
def called_a_retransmission(tape: Tape) -> None:
    tape.change(tape.at(Acknowledged, device="alice/phone", n=1), retransmission=True)


@breaks("G5")
def two_publishes_with_one_outcome(tape: Tape) -> None:
    tape.change(tape.at(Acknowledged, device="alice/pc-2", n=1), id=X[3], seq=3)


@breaks("G6")
def never_told_of_the_takeover(tape: Tape) -> None:
    tape.drop(*range(tape.at(LoginAsked, device="alice/pc", nth=1), tape.at(LoginAsked, device="alice/pc-2", nth=2)))
    tape.drop(tape.at(Kicked))


@breaks("G6")
def kicks_back_by_itself(tape: Tape) -> None:
    tape.change(tape.at(LoginAsked, device="alice/pc", nth=1), resume=True)
    tape.change(tape.at(Connected, device="alice/pc", nth=1), resumed=True)


@breaks("G6")
def kicks_back_by_itself_and_is_called_new(tape: Tape) -> None:
    tape.change(tape.at(LoginAsked, device="alice/pc", nth=1), resume=True)


@breaks("G6")
def kicks_back_by_itself_without_having_been_told(tape: Tape) -> None:
    tape.events[tape.at(Kicked)] = Disconnected("alice/pc")
    kicks_back_by_itself(tape)


@breaks("G6")
def one_epoch_for_two_devices(tape: Tape) -> None:
    tape.change(tape.at(Connected, device="alice/pc-2"), epoch=2)


@breaks("G6")
def an_epoch_that_goes_back(tape: Tape) -> None:
    tape.change(tape.at(Connected, device="alice/pc-2", nth=1), epoch=4)


@breaks("G6")
def a_fenced_session_stores(tape: Tape) -> None:
    tape.change(tape.at(Sent, device="alice/pc-2"), device="alice/pc", n=2)
    tape.change(tape.at(Acknowledged, device="alice/pc-2"), device="alice/pc", n=2)
    tape.change(*tape.all(Delivered, id=X[4]), own_device="alice/pc", n=2, content="note to myself")
    tape.move(tape.at(Kicked), to=tape.at(Acknowledged, id=X[4]))


@breaks("G6")
def a_fenced_session_is_delivered_to(tape: Tape) -> None:
    delivered = tape.drop(tape.at(Delivered, device="alice/pc", id=X[4]))
    tape.change(tape.at(Connected, device="alice/pc", nth=1), position=4, asked=4)
    kicked = tape.drop(tape.at(Kicked))
    tape.insert(tape.at(Acknowledged, id=X[4]), *delivered, *kicked)


@breaks("G6")
def the_wrong_device_is_kicked(tape: Tape) -> None:
    kicked = Kicked("alice/phone", "alice/pc-2", TAKEN_OVER)
    tape.insert(tape.at(Disconnected, device="alice/phone"), kicked)
    tape.change(tape.at(LoginAsked, device="alice/phone", nth=1), resume=False)


@breaks("G6")
def kicked_by_one_that_is_not_there(tape: Tape) -> None:
    tape.insert(0, Enrolled("alice/pc-3", "alice", "pc"))
    tape.change(tape.at(Kicked), by="alice/pc-3")


@breaks("G7")
def a_gap_over_what_is_still_there(tape: Tape) -> None:
    tape.change(tape.at(GapTold), last=3)
    tape.drop(tape.at(Delivered, device="bob/pc", seq=3))


@breaks("G7")
def a_gap_without_a_trim(tape: Tape) -> None:
    tape.drop(tape.at(TrimAsked), tape.at(Trimmed))


@breaks("G1 G4 G7")
def a_silent_skip(tape: Tape) -> None:
    tape.drop(tape.at(GapTold))
    tape.change(tape.at(Connected, device="bob/pc"), position=2)


@breaks("G7")
def delivered_from_below_the_floor(tape: Tape) -> None:
    kept = [tape.events[tape.at(Delivered, device="bob/phone", seq=seq)] for seq in (1, 2)]
    gap = tape.at(GapTold)
    tape.events[gap : gap + 1] = [
        msgspec.structs.replace(event, device="bob/pc", content=content)
        for event, content in zip(kept, ("hello", "hello yourself"), strict=True)
    ]


@breaks("G4 G7")
def a_gap_over_what_the_device_holds(tape: Tape) -> None:
    tape.insert(tape.at(CaughtUp, device="bob/phone"), GapTold("bob/phone", 1, 6, "age"))


@pytest.mark.parametrize(("promises", "spoil"), [pytest.param(*case, id=case[1].__name__) for case in SPOILT])
def test_a_spoilt_history_breaks_exactly_these_promises(promises: str, spoil: Spoil) -> None:
    tape = Tape()
    spoil(tape)
    assert judged(tape.events) == set(promises.split())


def test_the_right_history_passes_and_is_counted() -> None:
    verdict = judge(right_history())
    assert verdict == Verdict(
        passed=True,
        violations=(),
        figures={
            "events": 121,
            "users": 3,
            "devices": 6,
            "devices_caught_up": 6,
            "connections": 17,
            "publishes": 8,
            "retransmissions": 1,
            "messages": 7,
            "messages_acknowledged": 6,
            "deliveries": 31,
            "gaps": 1,
            "numbers_lost": 2,
            "kicks": 1,
            "restarts": 1,
        },
    )


def test_a_violation_says_who_lacks_what() -> None:
    tape = Tape()
    acknowledged_and_missing_on_one_device(tape)
    first = judge(History(tuple(tape.events), trims_known=True)).violations[0]
    assert first.text == (f"alice/pc never got message {X[7]} (n=1 of bob/pc, acknowledged), though it caught up at 6")
    assert (first.device, tape.events[first.index or 0]) == ("alice/pc", CaughtUp("alice/pc"))


# --- what a gap excuses -------------------------------------------------------------------------------------------


def gap_history(said: int, gap: tuple[int, int], sent_before: int) -> History:
    """Bob's only device is told a gap; alice sent him `sent_before` messages before that, all acknowledged.

    After the gap he gets the last of `said` messages, with the number after it.
    """
    events: list[AnyEvent] = [
        Enrolled("alice/phone", "alice", "phone"),
        Enrolled("bob/phone", "bob", "phone"),
        Connected("alice/phone", 1, 0, 0, "first", False, 0),
    ]
    sent = [
        event
        for n in range(1, said + 1)
        for event in (
            Sent("alice/phone", n, "user/bob", f"text {n}"),
            Acknowledged("alice/phone", n, "success", n, f"{n:016x}"),
        )
    ]
    told: list[AnyEvent] = [
        Connected("bob/phone", 2, gap[0] - 1, gap[1], "first", False, gap[0] - 1),
        GapTold("bob/phone", *gap, "age"),
    ]
    last = Delivered("bob/phone", gap[1] + 1, f"{said:016x}", "alice", "user/bob", f"text {said}")
    split = 2 * sent_before
    return History((*events, *sent[:split], *told, *sent[split:], last, CaughtUp("bob/phone")))


def test_a_gap_excuses_messages_that_it_has_room_for() -> None:
    assert judge(gap_history(said=4, gap=(1, 3), sent_before=4)).passed


def test_a_gap_does_not_excuse_more_messages_than_numbers() -> None:
    violations = judge(gap_history(said=5, gap=(1, 3), sent_before=5)).violations
    assert [violation.promise for violation in violations] == ["G1"]
    assert "no gap it was told has room for it" in violations[0].text


def test_a_gap_does_not_excuse_what_was_sent_after_it_was_told() -> None:
    violations = judge(gap_history(said=4, gap=(1, 3), sent_before=2)).violations
    assert [violation.promise for violation in violations] == ["G1"]


def test_a_gap_does_not_excuse_what_comes_after_it_in_the_conversation() -> None:
    history = gap_history(said=4, gap=(1, 3), sent_before=4)
    swapped = [
        msgspec.structs.replace(event, id=X[1], content="text 1") if isinstance(event, Delivered) else event
        for event in history.events
    ]
    violations = judge(History(tuple(swapped))).violations
    assert {violation.promise for violation in violations} == {"G1"}
    assert len(violations) == 3


def test_a_gap_over_a_number_that_was_given_only_later_is_no_true_gap() -> None:
    tape = Tape()
    tape.change(tape.at(GapTold), last=5)
    tape.drop(*(tape.at(Delivered, device="bob/pc", seq=seq) for seq in (3, 4, 5)))
    tape.change(tape.at(Connected, device="bob/pc", position=4), position=5, asked=5)
    assert judged(tape.events, trims_known=False) == {"G7"}


def test_without_known_trims_a_gap_is_believed() -> None:
    tape = Tape()
    tape.drop(tape.at(TrimAsked), tape.at(Trimmed))
    assert judged(tape.events, trims_known=False) == set()


def test_asking_for_the_newest_passes_over_the_rest() -> None:
    run = Ideal()
    run.enroll("alice/phone", "alice/pc")
    run.online("alice/phone")
    for content in ("one", "two", "three"):
        run.say("alice/phone", "user/alice", content)
    run.log_in("alice/pc", newest=1)
    run.settle()
    run.all_catch_up()
    assert judge(run.seen.history()).passed
    assert sum(isinstance(event, Delivered) and event.device == "alice/pc" for event in run.seen.events) == 1


# --- what is left open, and what a restored store may do ----------------------------------------------------------


@pytest.mark.parametrize("delivered", [True, False])
def test_a_member_that_is_just_leaving_may_get_the_message_or_not(delivered: bool) -> None:
    tape = Tape()
    tape.insert(tape.at(Sent, content="in doubt"), MembershipAsked("team", "bob", False))
    tape.insert(tape.at(Sent, content="the last word"), MembershipConfirmed("team", "bob", False))
    if not delivered:
        in_the_inbox_of_one_side_only(tape)
    assert judged(tape.events) == set()


def test_of_two_log_ins_at_once_either_may_be_the_first() -> None:
    enrolled = [Enrolled("alice/pc", "alice", "pc"), Enrolled("alice/pc-2", "alice", "pc")]
    asked = [LoginAsked("alice/pc"), LoginAsked("alice/pc-2")]
    second, first = (
        Connected(name, epoch, 0, 0, "first", False, 0) for name, epoch in (("alice/pc", 2), ("alice/pc-2", 1))
    )
    told = Kicked("alice/pc-2", "alice/pc", TAKEN_OVER)
    assert judged([*enrolled, *asked, second, first, told]) == set()
    assert judged([*enrolled, asked[0], second, asked[1], first, told]) == {"G6"}


@pytest.mark.parametrize(("head", "broken"), [(1, set()), (0, {"G6"})])
def test_what_was_sent_before_a_takeover_is_stored_before_it(head: int, broken: set[str]) -> None:
    events: list[AnyEvent] = [
        *(Enrolled(f"alice/{name}", "alice", "pc") for name in ("pc", "pc-2")),
        LoginAsked("alice/pc", False),
        Connected("alice/pc", 1, 0, 0, "first", False, 0),
        Sent("alice/pc", 1, "user/alice", "note"),
        LoginAsked("alice/pc-2", False),
        Connected("alice/pc-2", 2, 0, head, "first", False, 0),
        Acknowledged("alice/pc", 1, "success", 1, X[1]),
        Kicked("alice/pc", "alice/pc-2", TAKEN_OVER),
    ]
    assert judged(events) == broken


@pytest.mark.parametrize(("restored", "broken"), [(True, set()), (False, {"G1", "G2", "G3", "G4", "G5"})])
def test_a_store_put_back_to_a_backup_may_have_lost_what_came_after_it(restored: bool, broken: set[str]) -> None:
    phone = "alice/phone"
    events: list[AnyEvent] = [
        Enrolled(phone, "alice", "phone"),
        Connected(phone, 1, 0, 0, "first", False, 0),
        *(Sent(phone, n, "user/alice", f"text {n}") for n in (1, 2)),
        *(Acknowledged(phone, n, "success", n, X[n]) for n in (1, 2)),
        *(Delivered(phone, n, X[n], "alice", "user/alice", None, phone, n) for n in (1, 2)),
        BrokerRestarted(restored),
        Disconnected(phone),
        StartedOver(phone),
        Connected(phone, 2, 0, 1, "first", True, 2),
        Delivered(phone, 1, X[1], "alice", "user/alice", "text 1", phone, 1),
        Sent(phone, 2, "user/alice", "text 2"),
        Acknowledged(phone, 2, "success", 2, X[3]),
        Delivered(phone, 2, X[3], "alice", "user/alice", None, phone, 2),
        CaughtUp(phone),
    ]
    assert judged(events) == broken


# --- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trims_known", [True, False])
def test_a_history_survives_being_written_and_read(tmp_path: Path, trims_known: bool) -> None:
    history = History(right_history().events, trims_known)
    dump(history, tmp_path / "run.ndjson")
    assert load(tmp_path / "run.ndjson") == history


def test_a_recorder_writes_each_event_at_once(tmp_path: Path) -> None:
    stream = io.StringIO()
    recorder = Recorder(stream=stream)
    recorder.record(Enrolled("bob/pc", "bob", "pc"))
    assert stream.getvalue().splitlines() == [
        '{"trims_known":false}',
        '{"event":"Enrolled","device":"bob/pc","user":"bob","terminal":"pc"}',
    ]
    (tmp_path / "run.ndjson").write_text(stream.getvalue())
    assert load(tmp_path / "run.ndjson") == recorder.history()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        ('{"event":"CaughtUp","device":"bob/pc"}\n', "line 1"),
        ('{"trims_known":true}\n{"event":"Vanished"}\n', "line 2.*Vanished"),
        ('{"trims_known":true}\n{"event":"CaughtUp","devise":"bob/pc"}\n', "line 2.*devise"),
        ('{"trims_known":true}\n{"event":"Caug', "line 2"),
        ('{"trims_known":true}\n{"event":"CaughtUp","more":' + "[" * 50_000, "line 2"),
        ('{"trims_known":true}\n{"event":"Acknowledged","device":"b","n":1,"reason":"success"}\n', "seq and id"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "run.ndjson").write_text(text)
    with pytest.raises(ValueError, match=complaint):
        load(tmp_path / "run.ndjson")


def test_a_device_must_be_enrolled_before_it_does_anything() -> None:
    with pytest.raises(ValueError, match="event 0 is about the device 'bob/pc'"):
        judge(History((CaughtUp("bob/pc"),)))
