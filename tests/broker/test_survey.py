"""A look at all live sessions, in slices, while they come and go."""

import pytest
import trio

from broker.house import House, in_house
from roost_broker import survey as survey_module
from roost_broker.session import Session
from roost_broker.survey import slices, survey
from roost_protocol.frames import Ack, Deliver, Disconnect


def test_slices_are_everything_once_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey_module, "SLICE_SESSIONS", 3)
    assert [list(some) for some in slices(range(7))] == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(slices([])) == []


@in_house(terminal_types=("phone", "pc", "pad"))
async def test_sessions_by_terminal_type(house: House) -> None:
    for user, terminal in (("alice", "phone"), ("alice", "pc"), ("bob", "phone")):
        await house.log_in(user, terminal)
    assert (await survey(house.core)).terminals == {"phone": 2, "pc": 1, "pad": 0}


@in_house()
async def test_backlog_window_and_who_is_slow(house: House) -> None:
    alice = await house.log_in("alice")
    bob = await house.log_in("bob", receive_max=3)
    carol = await house.log_in("carol", receive_max=3)
    await house.fill(alice, "user/bob", 5)
    await house.fill(alice, "user/carol", 3, first=6)
    await bob.rest()
    await carol.rest()
    seen = await survey(house.core)
    assert (seen.backlog.count, seen.backlog.total) == (3, 2)
    assert (seen.window.count, seen.window.total) == (3, 8 + 3 + 3)
    assert seen.slow == 1, "carol's window is full as well, but there is nothing more for her"
    assert (seen.sent_entries, seen.freed_entries) == (8 + 3 + 3, 0)
    await bob.say(Ack(seq=3))
    await bob.rest()
    seen = await survey(house.core)
    assert (seen.backlog.total, seen.slow) == (0, 0)
    assert (seen.sent_entries, seen.freed_entries) == (8 + 5 + 3, 3)


@in_house(limits={"write_buffer_bytes_max": 64 * 1024, "receive_max": 65_535})
async def test_who_does_not_read_is_slow_too(house: House) -> None:
    alice, _ = await house.log_in("alice"), await house.log_in("bob")
    await alice.say(Disconnect())
    sender = await house.log_in("carol")
    for n in range(1, 60):
        await sender.publish(n, "user/bob", "x" * 10_000)
    session = house.session("bob")
    assert session.rests_for == "outlet"
    assert (await survey(house.core)).slow == 1
    assert house.session("carol").rests_for is None


@in_house()
async def test_what_ended_sessions_did_counts_on(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await house.fill(alice, "user/bob", 2)
    await bob.rest()
    await bob.say(Ack(seq=2))
    await bob.expect_alive()
    before = await survey(house.core)
    await bob.say(Disconnect())
    await bob.expect_end()
    after = await survey(house.core)
    assert (after.sent_entries, after.freed_entries) == (before.sent_entries, before.freed_entries) == (4, 2)
    assert after.terminals.total() == 1


@in_house()
async def test_a_session_that_ends_between_two_slices_is_counted_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey_module, "SLICE_SESSIONS", 1)
    alice = await house.log_in("alice")
    for user in ("bob", "carol"):
        await house.log_in(user)
    await house.fill(alice, "user/bob", 2)
    await house.fill(alice, "user/carol", 2, first=3)
    looked_at: list[str] = []

    def end_others(session: Session) -> None:
        """When the first is looked at, all end: one that was counted, and two that were not."""
        looked_at.append(session.user_name)
        for each in house.core.directory:
            each.disconnect(Disconnect())

    seen = await survey(house.core, end_others)
    assert looked_at == ["alice"]
    assert seen.sent_entries == 4 + 2 + 2
    assert seen.terminals.total() == 1
    assert (await survey(house.core)).sent_entries == 4 + 2 + 2


@in_house()
async def test_others_go_on_between_two_slices(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey_module, "SLICE_SESSIONS", 1)
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    for terminal in ("pc", "pad"):  # which of two tasks goes first in a turn is chance
        await house.log_in("carol", terminal)
    seen_at: list[int] = []

    def see(session: Session) -> None:
        seen_at.append(steps)

    steps = 0

    async def count() -> None:
        nonlocal steps
        while True:
            steps += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await survey(house.core, see)
        nursery.cancel_scope.cancel()
    assert seen_at[0] < seen_at[2]
    assert seen_at[1] < seen_at[3]
    await alice.publish(1, "user/bob")
    await bob.expect(Deliver)
