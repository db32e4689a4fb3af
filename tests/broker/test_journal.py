"""What the broker records of its sessions, when, and what becomes of it when the store has no room."""

import trio

from broker.house import House, in_house
from roost_broker.journal import RECORDS_WAITING_MAX, REFUSAL_S
from roost_broker.store import CommitRefused
from roost_broker.store.journal import (
    AnyEvent,
    BrokerStarted,
    BrokerStopped,
    Event,
    GapTold,
    LoginRefused,
    Progress,
    RecordsLost,
    SessionClosed,
    SessionOpened,
    user_subject,
)
from roost_broker.store.operations import PublishMessage, Retention, Trim, WriteJournal
from roost_protocol.admin.sessions import Kick
from roost_protocol.frames import Ack, Disconnect, Gap, Publish
from roost_protocol.reasons import Reason


async def journal(house: House, user: str | None = None) -> list[AnyEvent]:
    """Everything that is in the journal, about somebody, once what waits is written."""
    await trio.sleep(2.5)
    account = house.store.account(user) if user else None
    return [row.event for row in house.store.read_journal(account and user_subject(account.user), limit=1_000).rows]


def of(kind: type[Event], events: list[AnyEvent]) -> list[AnyEvent]:
    return [event for event in events if isinstance(event, kind)]


@in_house(users=[])
async def test_the_first_record_is_that_the_broker_started(house: House) -> None:
    first, *more = await journal(house)
    assert isinstance(first, BrokerStarted)
    assert not of(BrokerStarted, more)


@in_house()
async def test_how_far_a_session_is_is_recorded_once_a_second_and_only_when_it_moved(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await journal(house)
    for n in range(1, 101):
        await alice.publish(n, "user/bob")
        await trio.sleep(0.05)
    assert await bob.seqs() == list(range(1, 101))
    await bob.say(Ack(seq=60))
    found = of(Progress, await journal(house, "bob"))
    assert 5 <= len(found) <= 8
    last = found[-1]
    assert isinstance(last, Progress)
    assert (last.epoch, last.pushed, last.acknowledged) == (bob.connack.epoch, 100, 60)
    steps = [event.pushed for event in found if isinstance(event, Progress)]
    assert steps == sorted(steps)
    assert of(Progress, await journal(house, "bob")) == found
    assert of(Progress, await journal(house, "carol")) == []


@in_house()
async def test_how_a_session_ends(house: House) -> None:
    """Every way has its reason, and how far the session was."""
    alice = await house.log_in("alice")
    await alice.publish(1, "user/alice")
    assert await alice.seqs() == [1]
    await alice.say(Ack(seq=1))
    await trio.sleep(0.1)
    await alice.say(Disconnect())
    bob = await house.log_in("bob")
    bob.stream.cut()
    carol = await house.log_in("carol", "pc")
    await house.log_in("carol", "pc", "other", host="10.0.0.7")
    await carol.expect_dismissal(Reason.SESSION_TAKEN_OVER)
    await house.broker.admin.sessions.kick(Kick(user="carol", text="go home"))
    events = await journal(house)
    closed = {event.device_id: event for event in events if isinstance(event, SessionClosed)}
    assert set(closed) == {"alice-phone", "bob-phone", "carol-pc", "other"}
    said = closed["alice-phone"]
    assert (said.reason, said.pushed, said.acknowledged, said.epoch) == (0, 1, 1, alice.connack.epoch)
    assert closed["bob-phone"].reason is None
    taken = closed["carol-pc"]
    assert (taken.reason, taken.by, taken.address.partition(":")[0]) == (
        Reason.SESSION_TAKEN_OVER,
        "other",
        "10.0.0.7",
    )
    kicked = closed["other"]
    assert (kicked.reason, kicked.by, kicked.text) == (Reason.ADMINISTRATIVE_ACTION, "admin", "go home")


@in_house()
async def test_a_gap_that_is_told(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 5)
    house.store.commit([Trim(retention=Retention(count=2), users_max=9, entries_max=99)], house.core.now_ms())
    bob = await house.log_in("bob")
    (gap,) = of(GapTold, await journal(house, "bob"))
    assert isinstance(gap, GapTold)
    assert (gap.first, gap.last, gap.reason, gap.epoch) == (1, 3, "count", bob.connack.epoch)


@in_house(limits={"takeovers_max": 2})
async def test_refused_log_ins_are_recorded_once_in_a_while(house: House) -> None:
    first = await house.log_in("alice", "pc", "a")
    await house.log_in("alice", "pc", "b")
    for _ in range(3):
        await house.refusal("alice", "pc", "a", epoch=first.connack.epoch)
    await house.log_in("alice", "pc", "a")
    for _ in range(3):
        await house.refusal("alice", "pc", "b")
    await house.refusal("alice", "pc", "c", password="wrong")
    refused = [event for event in await journal(house, "alice") if isinstance(event, LoginRefused)]
    assert [(event.device_id, event.reason, event.by) for event in refused] == [
        ("a", Reason.SESSION_TAKEN_OVER, "b"),
        ("b", Reason.CONNECTION_RATE_EXCEEDED, "a"),
    ]
    await trio.sleep(REFUSAL_S)
    await house.refusal("alice", "pc", "b", epoch=first.connack.epoch)
    assert len(of(LoginRefused, await journal(house, "alice"))) == 3


@in_house()
async def test_a_drain_ends_every_session_in_the_journal(house: House) -> None:
    await house.log_in("alice")
    await house.core.drain()
    rows = house.store.read_journal(None, limit=1_000).rows
    opened, closed, stopped = [row.event for row in rows[-3:]]
    assert isinstance(opened, SessionOpened)
    assert isinstance(closed, SessionClosed)
    assert closed.reason == Reason.SERVER_SHUTTING_DOWN
    assert isinstance(stopped, BrokerStopped)


@in_house()
async def test_records_wait_while_the_store_has_no_room(house: House) -> None:
    alice = await house.log_in("alice")
    await journal(house)
    house.store.faults.extend([CommitRefused("full")] * 3)
    alice.stream.cut()
    await journal(house)
    assert not house.store.faults
    assert len(of(SessionClosed, await journal(house))) == 1


@in_house()
async def test_what_waits_is_bounded_and_what_is_lost_is_counted(house: House) -> None:
    house.store.faults.append(CommitRefused("full"))
    for _ in range(RECORDS_WAITING_MAX + 5):
        house.core.journal.stopped()
    await house.core.journal.flush()
    await house.core.journal.flush()
    events = [row.event for row in house.store.read_journal(None, limit=2 * RECORDS_WAITING_MAX).rows]
    lost = [event.count for event in events if isinstance(event, RecordsLost)]
    assert lost
    assert sum(lost) + len(of(BrokerStopped, events)) == RECORDS_WAITING_MAX + 5


@in_house()
async def test_records_ride_with_the_batches(house: House) -> None:
    """While there is traffic, the journal has no commits of its own."""
    alice = await house.log_in("alice")
    await journal(house)
    before = len(house.store.batches)
    for n in range(1, 41):
        await alice.publish(n, "user/alice")
        await trio.sleep(0.1)
    batches = house.store.batches[before:]
    with_records = [batch for batch in batches if any(isinstance(each, WriteJournal) for each in batch)]
    alone = [batch for batch in with_records if not any(isinstance(each, PublishMessage) for each in batch)]
    assert 3 <= len(with_records) <= 6
    assert not alone


@in_house(commit_s=0.4)
async def test_records_are_written_in_the_order_in_which_things_happened(house: House) -> None:
    """Also when a commit is always under way, and when one fails: what was taken before comes before what is next."""
    alice = await house.log_in("alice")
    house.store.faults.extend([CommitRefused("full")] * 2)
    for n in range(1, 31):
        await alice.say(Publish(n=n, to="user/alice", text="x"))
        house.core.journal.gap(house.session("alice"), Gap(first=n, last=n, reason="age"))
        await trio.sleep(0.13)
        if n % 7 == 0:
            house.core.journal.write()
    await house.core.journal.flush()
    told = [event.first for event in await journal(house) if isinstance(event, GapTold)]
    assert told == list(range(1, 31))
