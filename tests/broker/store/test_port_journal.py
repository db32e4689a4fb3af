"""The journal: what operations record, what can be looked up by whom, and what is let go of."""

from typing import Any

import pytest

from broker.store.world import World
from roost_broker.store.journal import (
    BROKER,
    AnyEvent,
    BrokerStarted,
    DeviceForgotten,
    GroupChanged,
    InboxTrimmed,
    Progress,
    RelationChanged,
    SessionEnded,
    SessionOpened,
    Subject,
    UserChanged,
    first_number_at,
    group_subject,
    number_time_ms,
    user_subject,
)
from roost_broker.store.operations import (
    ChangeMembers,
    CreateGroup,
    EndSession,
    ForgetDevices,
    JournalTrimmed,
    Retention,
    SetPassword,
    SetRelation,
    Trim,
    TrimJournal,
    WriteJournal,
)
from roost_protocol.reasons import Reason


def journal(world: World, subject: Subject | None = None, **more: Any) -> list[AnyEvent]:
    """Everything about somebody."""
    return [row.event for row in world.store.read_journal(subject, limit=1_000, **more).rows]


def test_a_session_opens_is_taken_over_and_ends(world: World) -> None:
    (alice,) = world.users("alice")
    first = world.login("alice", "a", client="app 1", address="10.0.0.1:5")
    opened = journal(world, user_subject(alice))[-1]
    assert opened == SessionOpened(
        at=world.now_ms,
        user=alice,
        device=first.device,
        device_id="a",
        terminal="phone",
        epoch=first.epoch,
        last_seq=0,
        newest=None,
        position=0,
        head=0,
        floor=1,
        client="app 1",
        address="10.0.0.1:5",
        resumed=False,
        start_over=False,
        took_over=None,
    )
    world.login("alice", "b")
    second = journal(world, user_subject(alice))[-1]
    assert isinstance(second, SessionOpened)
    assert second.took_over == "a"
    world.one(EndSession(user=alice, terminal="phone", reason=Reason.ADMINISTRATIVE_ACTION, by="root", address="unix"))
    ended = journal(world, user_subject(alice))[-1]
    assert isinstance(ended, SessionEnded)
    assert (ended.device_id, ended.epoch, ended.by) == ("b", second.epoch, "root")


def test_a_wrong_credential_leaves_no_record(world: World) -> None:
    (alice,) = world.users("alice")
    before = journal(world)
    world.try_login("alice", "a", password_version=7)
    world.one(EndSession(user=alice, terminal="pc", reason=Reason.LOGGED_OUT, by="x"))
    assert journal(world) == before


def test_accounts_groups_and_relations(world: World) -> None:
    alice, bob, carol = world.users("alice", "bob", "carol")
    assert journal(world)[0] == UserChanged(at=world.now_ms - 2, user=alice, name="alice", what="created")
    world.one(SetPassword(user=alice, password_hash="x"))
    world.one(CreateGroup(name="g", owner=alice, members=("bob",)))
    created = GroupChanged(at=world.now_ms, group=1, name="g", by=alice, added=(alice, bob), removed=())
    assert journal(world, group_subject(1)) == [created]
    world.one(ChangeMembers(group="g", by=None, add=("carol",), remove=("bob",)))
    changed = GroupChanged(at=world.now_ms, group=1, name="g", by=None, added=(carol,), removed=(bob,))
    assert journal(world, group_subject(1)) == [created, changed]
    assert journal(world, user_subject(carol))[-1] == journal(world, user_subject(bob))[-1] == changed
    world.one(ChangeMembers(group="g", by=None, add=("carol",)))
    block = SetRelation(user=alice, kind="block", other="bob", present=True)
    world.do(block, block)
    world.one(SetRelation(user=alice, kind="contact", other="bob", present=False))
    blocked = RelationChanged(
        at=world.now_ms - 1, user=alice, relation="block", other=bob, other_name="bob", present=True
    )
    assert journal(world, user_subject(alice))[1:] == [
        UserChanged(at=created.at - 1, user=alice, name="alice", what="password"),
        created,
        blocked,
    ]


def test_trims_and_forgotten_devices(world: World) -> None:
    (alice,) = world.users("alice")
    phone = world.login("alice", "a")
    for _ in range(5):
        world.publish(phone, "user/alice")
    world.one(Trim(retention=Retention(count=2), users_max=9, entries_max=100))
    assert journal(world, user_subject(alice))[-1] == InboxTrimmed(
        at=world.now_ms, user=alice, first=1, last=3, reason="count"
    )
    world.one(Trim(retention=Retention(count=2), users_max=9, entries_max=100))
    world.one(ForgetDevices(seen_before=world.now_ms * 2, keep=frozenset(), devices_max=9))
    assert journal(world, user_subject(alice))[-1] == DeviceForgotten(
        at=world.now_ms, user=alice, device=phone.device, device_id="a"
    )
    assert len(journal(world, user_subject(alice))) == 4


def progress(user: int, seq: int) -> Progress:
    return Progress(at=1, user=user, device=1, epoch=1, pushed=seq, acknowledged=0)


def test_what_the_broker_tells_is_kept_as_it_is(world: World) -> None:
    events = (BrokerStarted(at=5, version="1"), progress(1, 1), progress(2, 1))
    world.one(WriteJournal(events=events))
    assert journal(world) == list(events)
    assert journal(world, BROKER) == [events[0]]
    assert journal(world, user_subject(2)) == [events[2]]
    assert journal(world, user_subject(3)) == []
    assert journal(world, group_subject(1)) == []


def test_numbers_rise_and_a_moment_can_be_found(world: World) -> None:
    for seq in range(1, 6):
        world.one(WriteJournal(events=(progress(1, seq), progress(1, seq))))
        if seq == 3:
            world.now_ms -= 1_000
    rows = world.store.read_journal(None, limit=100).rows
    numbers = [row.number for row in rows]
    assert numbers == sorted(set(numbers))
    assert number_time_ms(numbers[0]) == world.now_ms + 1_000 - 4
    third = first_number_at(world.now_ms + 1_000 - 2) - 1
    assert [row.event for row in world.store.read_journal(None, after=third, limit=100).rows] == [
        progress(1, seq) for seq in (3, 3, 4, 4, 5, 5)
    ]


@pytest.mark.parametrize("subject", [None, user_subject(1)])
def test_pages_in_both_directions(world: World, subject: Subject | None) -> None:
    world.one(WriteJournal(events=tuple(progress(1, seq) for seq in range(1, 8))))
    world.one(WriteJournal(events=(progress(2, 1),)))
    every = [row.number for row in world.store.read_journal(user_subject(1), limit=100).rows]
    page = world.store.read_journal(subject, limit=3)
    assert ([row.number for row in page.rows], page.more, page.first) == (every[:3], True, every[0])
    page = world.store.read_journal(subject, after=every[4], before=every[6] + 1, limit=3)
    assert ([row.number for row in page.rows], page.more) == (every[5:7], False)
    page = world.store.read_journal(subject, before=every[5], limit=2, newest=True)
    assert ([row.number for row in page.rows], page.more) == (every[3:5], True)
    page = world.store.read_journal(subject, before=every[2], limit=2, newest=True)
    assert ([row.number for row in page.rows], page.more) == (every[0:2], False)
    assert world.store.read_journal(subject, after=2**64, limit=2).rows == ()
    assert world.store.read_journal(subject, before=0, limit=2, newest=True).rows == ()


def test_the_oldest_go_by_count_and_by_time_but_never_the_newest(world: World) -> None:
    for seq in range(1, 8):
        world.one(WriteJournal(events=(progress(1, seq),)))
    everything = journal(world)
    assert world.one(TrimJournal(before=0, count=4, records_max=2)) == JournalTrimmed(records=2, more=True)
    assert world.one(TrimJournal(before=0, count=4, records_max=2)) == JournalTrimmed(records=1, more=False)
    assert journal(world) == journal(world, user_subject(1)) == everything[3:]
    assert world.store.statistics().journal == 4
    third_last = world.store.read_journal(None, limit=9).rows[1].number
    trim = TrimJournal(before=third_last, count=100, records_max=9)
    assert world.do(trim, TrimJournal(before=2**63, count=0, records_max=1)) == [
        JournalTrimmed(records=1, more=False),
        JournalTrimmed(records=1, more=True),
    ]
    assert world.one(TrimJournal(before=2**63, count=0, records_max=9)) == JournalTrimmed(records=1, more=False)
    assert journal(world) == everything[-1:]
    assert world.one(TrimJournal(before=2**63, count=0, records_max=9)) == JournalTrimmed(records=0, more=False)
