"""Checking the store of a broker that works: one check at a time, which whoever asks for it may leave."""

from collections.abc import Generator
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
import trio

from broker.house import House, in_house, in_virtual_time, open_house
from broker.http.admin_door import admin_door
from broker.http.speaking import Peer, request
from broker.store.world import seeded
from roost_broker.administration import NotDone
from roost_broker.administration.fsck import CORE_SHARE, FAST_WORK_S, PROGRESS_S, WORK_S, Pace
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.memory import MemoryStore
from roost_broker.store.port import CheckEvent
from roost_protocol.admin.fsck import FSCK, Finding, FsckEvent, FsckHow, FsckProgress, FsckVerdict
from roost_protocol.limits import Limits
from roost_protocol.reasons import Reason


async def verdict_of(house: House, how: FsckHow | None = None) -> tuple[list[Finding], FsckVerdict]:
    """A check from its beginning to its end."""
    events: list[FsckEvent] = []
    async with aclosing(await house.broker.admin.fsck.check(how)) as told:
        events += [event async for event in told]
    *before, last = events
    assert last.verdict is not None
    assert all(event.verdict is None for event in before)
    return [event.finding for event in before if event.finding is not None], last.verdict


@in_house()
async def test_a_whole_store_is_clean(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 20)
    for how in (None, FsckHow(), FsckHow(fast=True)):
        findings, verdict = await verdict_of(house, how)
        assert findings == []
        assert (verdict.damages, verdict.complete, verdict.users, verdict.entries) == (0, True, 3, 40)


@in_house()
async def test_what_is_found_is_told_before_the_verdict(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 500)
    store = house.store._inner
    assert isinstance(store, MemoryStore)
    for seq in range(100, 400):
        del store._state.entries[house.number("bob"), seq]
    findings, verdict = await verdict_of(house)
    assert [finding.seq for finding in findings] == list(range(100, 400))
    assert {finding.user for finding in findings} == {"bob"}
    assert (verdict.damages, verdict.clean) == (300, False)


@in_house()
async def test_one_check_at_a_time(house: House) -> None:
    fsck = house.broker.admin.fsck
    async with aclosing(await fsck.check()) as first:
        await anext(first)
        with pytest.raises(NotDone) as error:
            await fsck.check()
        assert error.value.reason == Reason.ALREADY_EXISTS
    await verdict_of(house)


@in_house()
async def test_one_that_nobody_has_begun_keeps_nobody_out(house: House) -> None:
    fsck = house.broker.admin.fsck
    early, late = await fsck.check(), await fsck.check()
    await early.aclose()
    async with aclosing(late):
        assert [event async for event in late]


@in_house()
async def test_two_asked_for_in_one_moment_come_one_after_the_other(house: House) -> None:
    fsck = house.broker.admin.fsck
    first, second = await fsck.check(), await fsck.check()
    async with aclosing(first), aclosing(second):
        await anext(first)
        with trio.move_on_after(60) as waited:
            await anext(second)
        assert waited.cancelled_caught
    await verdict_of(house)


class LongStore(MemoryStore):
    """A store whose check comes to no end, and notes when it is let go."""

    held = 0

    def check(self) -> Generator[CheckEvent, None, None]:
        """See `Store.check`."""
        self.held += 1
        try:
            for rows in range(2**40):
                yield FsckProgress(stage="inboxes", rows=rows, of=2**40)
        finally:
            self.held -= 1


@in_virtual_time
async def test_a_check_that_is_cancelled_lets_its_snapshot_go() -> None:
    store = LongStore(limits=Limits(), random=seeded())
    async with open_house(store=store) as house:
        with trio.move_on_after(1):
            await verdict_of(house)
        assert store.held == 0
        async with aclosing(await house.broker.admin.fsck.check()) as again:
            assert (await anext(again)).progress is not None
            assert store.held == 1
        assert store.held == 0


@in_virtual_time
async def test_progress_is_told_now_and_then() -> None:
    async with open_house(store=LongStore(limits=Limits(), random=seeded())) as house:
        times: list[float] = []
        with trio.move_on_after(4):
            async with aclosing(await house.broker.admin.fsck.check()) as events:
                async for _ in events:
                    times.append(trio.current_time())
    assert len(times) > 4
    assert all(later - earlier >= PROGRESS_S for earlier, later in pairwise(times))


@in_virtual_time
async def test_the_store_on_disk_is_whole_while_devices_publish(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, limits=Limits(), random=seeded(), sync=False)
    async with open_house(store=store) as house:
        alice, bob = await house.log_in("alice"), await house.log_in("bob")
        checked = trio.Event()
        published = 0

        async def publish() -> None:
            nonlocal published
            while not checked.is_set():
                await house.fill(alice, "user/bob", 10, first=published + 1)
                published += 10
                bob.heard.clear()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish)
            entries = []
            for how in (FsckHow(), FsckHow(fast=True)) * 3:
                findings, verdict = await verdict_of(house, how)
                assert (findings, verdict.clean, verdict.warnings) == ([], True, 0)
                entries.append(verdict.entries)
            checked.set()
        assert entries == sorted(entries)
        assert 0 < entries[-1] <= 2 * published
        assert len(set(entries)) > 1, "nothing was published beside the checks"


def test_a_check_leaves_most_of_a_core() -> None:
    pace = Pace(WORK_S, CORE_SHARE)
    worked_s = 0.006
    assert worked_s / (worked_s + pace.rest_s(worked_s)) == pytest.approx(CORE_SHARE)
    assert Pace(FAST_WORK_S, 1.0).rest_s(worked_s) == 0


# --- over HTTP ---


def events_in(answer: bytes) -> list[FsckEvent]:
    lines = answer.split(b"\r\n\r\n", 1)[1].splitlines()
    return [msgspec.json.decode(line[6:], type=FsckEvent) for line in lines if line.startswith(b"data: ")]


async def begin(peer: Peer, query: str = "") -> None:
    await peer.send(request(FSCK.method, FSCK.path + query, b""))


@in_house()
async def test_a_check_is_followed_over_http(house: House) -> None:
    async with admin_door(house) as door:
        peer = door.dial()
        await begin(peer, "?fast=true")
        events = events_in(await peer.rest())
        assert events[-1].verdict is not None
        assert events[-1].verdict.users == 3


@in_virtual_time
async def test_a_second_check_is_a_conflict_until_the_first_peer_goes() -> None:
    store = LongStore(limits=Limits(), random=seeded())
    async with (
        open_house(store=store) as house,
        admin_door(house) as door,
    ):
        first, second = door.dial(), door.dial()
        await begin(first)
        await trio.sleep(1)
        for _ in range(2):
            answer = await second.ask(FSCK.method, FSCK.path, b"")
            assert (answer.status, answer.json["title"]) == (409, "Conflict")
        await first.stream.aclose()
        await trio.sleep(1)
        assert store.held == 0
        await begin(second)
        await trio.sleep(1)
        assert store.held == 1


@in_house()
async def test_what_cannot_be_asked_of_a_check(house: House) -> None:
    async with admin_door(house) as door:
        peer = door.dial()
        for query in ("?fast=perhaps", "?slow=true", "?fast=2"):
            assert (await peer.ask(FSCK.method, FSCK.path + query, b"")).status == 400
        assert (await peer.ask("GET", FSCK.path)).status == 405
