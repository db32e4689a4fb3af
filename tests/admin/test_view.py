"""What a chat shows of each event."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost import (
    Connected,
    Disconnected,
    Ended,
    EphemeralReceived,
    Event,
    Gap,
    Message,
    Origin,
    Page,
    PresenceChanged,
    Reason,
    StartedOver,
    TakenOver,
)
from roost_admin.chat.view import STORED, Colours, View
from roost_admin.output import clock_time

NOON_MS = 1_700_000_000_000


def view(conversation: str = "user/bob", *, colours: bool = False) -> View:
    return View("alice", "phone-1", conversation, Colours(colours))


def message(
    body: str | bytes | None, *, seq: int = 1, sender: str = "bob", to: str = "user/alice", **more: object
) -> Message:
    own = sender == "alice"
    fields = {"device": "phone-1" if own else None, **more}
    return Message(
        seq=seq, id="0" * 16, sender=sender, to=to, time_ms=NOON_MS, content_type="text/plain", body=body, own=own,
        **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def connected(*, position: int = 0, head: int = 0, took_over: Origin | None = None) -> Connected:
    return Connected(epoch=1, head=head, position=position, resumed=False, took_over=took_over)


def last(shown: list[str]) -> str:
    return shown[-1].removeprefix(clock_time(NOON_MS)).strip()


def test_messages_of_both_sides_and_of_ones_other_devices() -> None:
    here = view()
    assert last(here.lines_of(message("hi"))) == "bob: hi"
    assert last(here.lines_of(message("hello", sender="alice", to="user/bob"))) == f"you: hello {STORED}"
    other = message("from there", sender="alice", to="user/bob", device="pc-1")
    assert last(here.lines_of(other)) == "you (pc-1): from there"


def test_a_new_day_is_said_once() -> None:
    here = view()
    first, *_ = here.lines_of(message("one"))
    assert first.startswith("· ")
    assert first.endswith("2023")
    assert len(here.lines_of(message("two"))) == 1


def test_lines_of_one_message_belong_together() -> None:
    assert view().lines_of(message("one\n  two\r\nthree"))[-2:] == ["           two", "         three"]


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"\x00\x01", "bob: (2 bytes of text/plain)"),
        (None, "bob: (no longer kept)"),
        ("\x1b[2J\x07", "bob: \\x1b[2J\\x07"),
        ("", "bob:"),
    ],
)
def test_bodies(body: str | bytes | None, shown: str) -> None:
    assert last(view().lines_of(message(body))) == shown


def test_an_erased_message_is_a_remark() -> None:
    erased = Message(seq=1, id="", sender="", to="", time_ms=0, content_type="", body=None, erased=True)
    assert view().history(Page(entries=(erased,), more=False, floor=1, head=1)) == ["· a message was erased"]
    assert view().lines_of(erased) == [], "whose it was is not known"


def test_other_conversations_are_one_line_each_and_counted_while_catching_up() -> None:
    here = view()
    here.lines_of(connected(position=0, head=3))
    assert here.lines_of(message("a", seq=1, sender="carol")) == []
    assert here.lines_of(message("b", seq=2, sender="carol", to="group/trip")) == []
    assert here.lines_of(message("c", seq=3, sender="carol")) == [
        "· 2 new in your talk with carol",
        "· 1 new in group trip",
    ]
    assert here.lines_of(message("live\nnow", seq=4, sender="carol")) == ["· carol in your talk with carol: live now"]
    assert here.lines_of(message("mine", seq=5, sender="alice", to="user/carol")) == []


def test_a_gap_at_the_end_of_the_backlog_ends_the_catching_up() -> None:
    here = view()
    here.lines_of(connected(position=0, head=3))
    here.lines_of(message("a", seq=1, sender="carol"))
    gap, count = here.lines_of(Gap(first=2, last=3, reason="age"))
    assert "2 to 3" in gap
    assert "age" in gap
    assert count == "· 1 new in your talk with carol"


def test_a_group() -> None:
    here = view("group/trip")
    assert here.title == "group trip"
    assert last(here.lines_of(message("hi", to="group/trip"))) == "bob: hi"
    assert here.lines_of(message("direct")) == ["· bob in your talk with bob: direct"]


def test_connections_come_and_go() -> None:
    here = view()
    (hello,) = here.lines_of(connected())
    assert "alice on phone-1, with bob" in hello
    before = here.online
    lost = Disconnected(reason=Reason.SERVER_SHUTTING_DOWN, text="", retry_in_s=1.0)
    assert here.lines_of(lost) == ["· connection lost (server shutting down); trying again by itself"]
    assert (before, here.online) == (True, False)
    assert here.lines_of(lost) == [], "said once"
    assert here.lines_of(connected()) == ["· connected again"]


def test_a_session_that_was_taken_over_is_named() -> None:
    origin = Origin(by="phone-0", at=NOON_MS, address="192.0.2.1:5")
    shown = view().lines_of(connected(took_over=origin))[-1]
    assert "phone-0" in shown
    assert "192.0.2.1:5" in shown


def test_the_end_says_who_when_and_from_where() -> None:
    (shown,) = view().lines_of(TakenOver(by="pc-2", at_ms=NOON_MS, address="192.0.2.1:5", text="logged in elsewhere"))
    assert shown.startswith("! logged in elsewhere: pc-2 took over at ")
    assert clock_time(NOON_MS) in shown
    assert "192.0.2.1:5" in shown
    origin = Origin(by="admin", at=NOON_MS)
    (shown,) = view().lines_of(Ended(reason=Reason.ADMINISTRATIVE_ACTION, text="lost\x1b laptop", origin=origin))
    assert shown == f"! the session was ended by admin at {clock_time(NOON_MS)}: lost\\x1b laptop"
    (shown,) = view().lines_of(Ended(reason=Reason.QUOTA_EXCEEDED, text=""))
    assert shown == "! the session is over: quota exceeded"


def test_presence_is_told_when_it_changes() -> None:
    here = view()
    on = PresenceChanged(user="bob", terminal="pc", online=True, since_ms=None)
    off = PresenceChanged(user="bob", terminal="pc", online=False, since_ms=None)
    assert here.lines_of(PresenceChanged(user="bob", terminal=None, online=False, since_ms=None)) == []
    assert here.lines_of(on) == ["· bob is online on pc"]
    assert here.lines_of(on) == []
    assert here.lines_of(off) == ["· bob is gone on pc"]


def test_what_waits_and_what_is_refused() -> None:
    assert view().waiting("a\nb") == ["· waiting: a", "· waiting: b"]
    assert view().refused("a", "blocked") == ["! not sent (blocked): a"]
    assert view().history(Page(entries=(), more=True, floor=1, head=9)) == ["· there are earlier messages"]
    (shown,) = view().lines_of(StartedOver(incarnation=None))
    assert shown.startswith("! ")


wild = st.text(st.characters(codec="utf-8"))
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(message, wild | st.binary(), sender=wild, to=st.sampled_from(["user/alice", "group/trip"])),
    st.builds(TakenOver, by=wild, at_ms=st.just(1), address=wild, text=wild),
    st.builds(Ended, reason=st.sampled_from(Reason), text=wild),
    st.builds(Disconnected, reason=st.sampled_from(Reason), text=wild, retry_in_s=st.just(1.0)),
    st.builds(PresenceChanged, user=wild, terminal=wild | st.none(), online=st.booleans(), since_ms=st.none()),
    st.builds(
        EphemeralReceived, sender=wild, to=st.just("user/alice"), time_ms=st.none(), content_type=wild, body=wild
    ),
)


@given(st.lists(events, max_size=8))
def test_nothing_that_others_wrote_reaches_the_terminal_raw(told: list[Event]) -> None:
    here = view("user/mallory")
    for event in told:
        for line in here.lines_of(event):
            assert all(char.isprintable() or char == "\u200d" for char in line), line


def test_colours_are_put_around_what_was_made_printable() -> None:
    shown = view(colours=True).lines_of(message("\x1b[2J"))[-1]
    assert "\\x1b[2J" in shown
    assert "\x1b[1;36mbob\x1b[0m" in shown
