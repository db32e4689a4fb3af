"""The fold from records to a verdict, record by record."""

from typing import Any

from roost_broker.explain import DeviceStory, Now
from roost_broker.store.journal import (
    AnyEvent,
    BrokerStarted,
    DeviceForgotten,
    GapTold,
    Progress,
    SessionClosed,
    SessionOpened,
)
from roost_protocol.admin.explain import DeviceExplained

SEQ = 5
STORED = 100
ME: dict[str, Any] = {"user": 1, "device": 7}


def opened(at: int, position: int, epoch: int = 1, **more: Any) -> SessionOpened:
    fields: dict[str, Any] = {
        "device_id": "d", "terminal": "pc", "last_seq": position, "newest": None, "head": 9, "floor": 1, "client": "",
        "address": "10.0.0.1:5", "resumed": False, "start_over": False, "took_over": None,
    }  # fmt: skip
    return SessionOpened(at=at, **ME, epoch=epoch, position=position, **{**fields, **more})


def moved(at: int, pushed: int, acknowledged: int, epoch: int = 1) -> Progress:
    return Progress(at=at, **ME, epoch=epoch, pushed=pushed, acknowledged=acknowledged)


def closed(at: int, pushed: int, acknowledged: int, epoch: int = 1) -> SessionClosed:
    return SessionClosed(
        at=at, **ME, device_id="d", terminal="pc", epoch=epoch, pushed=pushed, acknowledged=acknowledged,
        reason=None, text="", by="", address="",
    )  # fmt: skip


def told(*events: AnyEvent, cursor: int | None = 0, floor: int = 1, position: int | None = None) -> DeviceExplained:
    """What is said of entry 5, stored at 100, after these records."""
    story = DeviceStory(7, "d", "pc", seq=SEQ, stored=STORED)
    for event in events:
        story.take(event, broker_stopped=event.at - 1)
    return story.explained(Now(cursor=cursor, floor=floor, floor_reason="age", position=position))


def test_the_moments_of_pushing_and_acknowledging_are_bounded_from_both_sides() -> None:
    found = told(opened(10, 0), moved(90, 4, 4), moved(120, 5, 4), moved(150, 6, 6))
    assert found.verdict == "acknowledged"
    _, pushed, acknowledged = found.steps
    assert (pushed.since, pushed.at) == (STORED, 120)
    assert (acknowledged.since, acknowledged.at) == (120, 150)


def test_only_the_session_that_was_open_then_is_told_of_those_before() -> None:
    found = told(opened(10, 0), closed(20, 0, 0), opened(30, 0, epoch=2), closed(40, 4, 4, epoch=2))
    assert found.verdict == "offline"
    assert [(step.what, step.session) for step in found.steps] == [("logged in", 2), ("closed", 2)]


def test_what_was_passed_over_is_not_acknowledged_by_going_on() -> None:
    found = told(opened(110, 5), moved(120, 8, 8), cursor=8)
    assert found.verdict == "passed over"
    assert [step.what for step in found.steps] == ["passed over"]


def test_a_device_that_comes_back_with_less_gets_it_again() -> None:
    found = told(opened(110, 5), closed(120, 5, 5), opened(130, 3, epoch=2), moved(140, 6, 6, epoch=2))
    assert (found.verdict, found.steps[-1].session) == ("acknowledged", 2)
    found = told(opened(110, 5), closed(120, 5, 5), opened(130, 3, epoch=2), position=3)
    assert found.verdict == "waiting"


def test_what_was_lost_once_may_be_there_for_the_next_session() -> None:
    """The floor does not go back, but a device may log in again with a lower number and be told again."""
    gap = GapTold(at=112, **ME, epoch=1, first=1, last=6, reason="age")
    again = GapTold(at=132, **ME, epoch=2, first=4, last=6, reason="age")
    found = told(opened(110, 0), gap, closed(120, 6, 6), opened(130, 3, epoch=2), again, floor=7)
    assert found.verdict == "lost"
    assert [step.what for step in found.steps] == ["logged in", "gap told", "closed", "logged in", "gap told"]
    found = told(opened(110, 0), gap, closed(120, 6, 6), opened(130, 3, epoch=2), floor=7, position=3)
    assert (found.verdict, "about to be told" in found.text) == ("lost", True)


def test_numbers_inside_a_gap_are_neither_pushed_nor_acknowledged() -> None:
    gap = GapTold(at=112, **ME, epoch=1, first=1, last=6, reason="age")
    found = told(opened(110, 0), gap, moved(115, 6, 6), floor=7)
    assert [step.what for step in found.steps] == ["logged in", "gap told"]


def test_a_session_that_was_open_before_the_records_begin() -> None:
    found = told(moved(130, 6, 6))
    assert found.verdict == "acknowledged"
    assert [(step.what, step.since) for step in found.steps] == [("pushed", STORED), ("acknowledged", STORED)]


def test_a_cursor_that_the_records_do_not_account_for() -> None:
    found = told(opened(110, 0), BrokerStarted(at=120, version="1"), cursor=9)
    assert found.verdict == "acknowledged"
    assert "not recorded" in found.text
    cut = found.steps[-1]
    assert (cut.what, cut.since, cut.at) == ("cut off", 110, 119)


def test_a_session_that_has_ended_is_not_cut_off() -> None:
    found = told(opened(110, 0), closed(115, 0, 0), BrokerStarted(at=120, version="1"))
    assert [step.what for step in found.steps] == ["logged in", "closed"]


def test_a_device_that_is_not_known_any_more() -> None:
    found = told(opened(110, 0), closed(115, 0, 0), DeviceForgotten(at=200, **ME, device_id="d"), cursor=None)
    assert (found.verdict, found.steps[-1].what) == ("unknown", "forgotten")


def test_records_of_another_device_are_none_of_its_business() -> None:
    other = Progress(at=130, user=1, device=8, epoch=3, pushed=9, acknowledged=9)
    assert told(opened(110, 0), other, position=0).verdict == "waiting"


def test_trimmed_before_the_device_came() -> None:
    found = told(floor=6)
    assert (found.verdict, "will be told" in found.text) == ("lost", True)


def test_the_end_of_a_session_may_be_recorded_after_the_next_has_begun() -> None:
    """A log-in is recorded in its own commit, the end of the session before it with the one after."""
    gap = GapTold(at=112, **ME, epoch=1, first=1, last=6, reason="age")
    found = told(opened(110, 0), gap, opened(130, 0, epoch=2), closed(131, 6, 6), position=0)
    assert [step.what for step in found.steps] == ["logged in", "gap told", "logged in", "closed"]
    assert found.verdict == "waiting"


def test_since_when_it_is_offline_and_why() -> None:
    left = told(opened(10, 0), closed(20, 0, 0))
    assert (left.verdict, left.since, left.text.partition(";")[0]) == ("offline", 20, "the connection was lost")
    again = told(opened(10, 0), closed(20, 0, 0), opened(30, 0, epoch=2), closed(90, 0, 0, epoch=2))
    assert again.since == 90
    killed = told(opened(10, 0), BrokerStarted(at=80, version="1"))
    assert (killed.since, killed.text.partition(";")[0]) == (79, "the broker stopped without a word")


def test_the_end_of_an_earlier_session_is_not_that_of_the_newest() -> None:
    found = told(opened(10, 0), opened(30, 0, epoch=2), closed(31, 0, 0), cursor=0)
    assert (found.verdict, found.since) == ("offline", None), "its own end is not recorded yet"


def test_without_records_it_was_seen_last_when_the_store_says_so() -> None:
    story = DeviceStory(7, "d", "pc", seq=SEQ, stored=STORED)
    found = story.explained(Now(cursor=0, last_seen=60, floor=1, floor_reason=None))
    assert (found.verdict, found.since) == ("offline", 60)
    assert story.explained(Now(cursor=9, last_seen=60, floor=1, floor_reason=None)).since is None
