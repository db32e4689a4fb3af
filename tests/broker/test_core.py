"""The core: what concerns several sessions at once. Cursors, the end of sessions, the drain."""

import pytest
import trio

from broker.house import Device, House, in_house
from roost_broker.store import CommitRefused
from roost_broker.store.operations import MoveCursors
from roost_protocol.frames import Ack, Connack, Deliver, Disconnect, Frame, Puback, Publish
from roost_protocol.limits import KIB
from roost_protocol.reasons import Reason


def cursor(house: House, user: str, device: str | None = None) -> int:
    """The durable cursor of a device."""
    rows = {row.device_id: row.cursor for row in house.store.devices(house.number(user))}
    return int(rows[device or f"{user}-phone"])


def cursor_writes(house: House) -> int:
    return sum(isinstance(operation, MoveCursors) for batch in house.store.batches for operation in batch)


# --- cursors ------------------------------------------------------------------------------------------------------


@in_house()
async def test_cursors_are_written_at_most_twice_a_second_for_all_together(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await trio.sleep(1)
    house.store.batches.clear()
    for n in range(1, 101):
        await alice.publish(n, "user/bob")
        for device in (alice, bob):
            await device.expect(Deliver)
            await device.say(Ack(seq=n))
        await trio.sleep(0.04)
    assert trio.current_time() < 7
    assert cursor_writes(house) <= 12
    await trio.sleep(1)
    assert cursor(house, "bob") == cursor(house, "alice") == 100


@in_house()
async def test_nothing_is_written_when_nothing_was_acknowledged(house: House) -> None:
    await house.log_in("alice")
    await trio.sleep(1)
    house.store.batches.clear()
    await trio.sleep(50)
    assert not house.store.batches


@in_house()
async def test_a_cursor_that_could_not_be_written_is_written_later(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await house.fill(alice, "user/bob", 5)
    await bob.rest()
    await trio.sleep(1)
    house.store.faults.append(CommitRefused("full"))
    await bob.say(Ack(seq=4))
    await trio.sleep(0.7)
    assert not house.store.faults
    await trio.sleep(2)
    assert cursor(house, "bob") == 4


@in_house(commit_s=3.0)
async def test_of_two_writes_that_were_refused_the_newer_cursor_is_written_later(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await house.fill(alice, "user/bob", 5)
    await bob.rest()
    await trio.sleep(20)
    house.store.faults.extend([CommitRefused("full"), CommitRefused("full")])
    for seq in (3, 4, 5):  # while the commit that carries the first is under way, the others wait for the next
        await bob.say(Ack(seq=seq))
        await trio.sleep(0.7)
    await trio.sleep(30)
    assert not house.store.faults
    assert cursor(house, "bob") == 5


@in_house()
async def test_a_cursor_is_kept_when_the_device_goes_at_once(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await house.fill(alice, "user/bob", 5)
    await bob.rest()
    await bob.say(Ack(seq=5), Disconnect())
    await bob.expect_end()
    await trio.sleep(1)
    assert cursor(house, "bob") == 5


@in_house()
async def test_a_device_that_lost_what_it_held_has_the_cursor_it_says(house: House) -> None:
    """Installed anew under its old id while its old session is still here: what that one held, this one does not."""
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await house.fill(alice, "user/bob", 5)
    await bob.rest()
    await bob.say(Ack(seq=5))
    await trio.sleep(0.01)
    again = await house.log_in("bob", last_seq=2)
    assert again.connack.position == 2
    await trio.sleep(2)
    assert cursor(house, "bob") == 2


# --- the drain ----------------------------------------------------------------------------------------------------


async def drained(house: House) -> float:
    """Drain, and how long it took."""
    started = trio.current_time()
    await house.broker._drain()
    return trio.current_time() - started


async def hang_up(device: Device, into: list[Frame]) -> None:
    """What a device does: hear the end, and close."""
    while (frame := await device.hear()) is not None:
        into.append(frame)
    await device.stream.aclose()


@in_house(commit_s=0.1, drain_s=5)
async def test_a_drain_finishes_what_is_under_way_and_tells_everybody(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await alice.say(*(Publish(n=n, to="user/bob", text="x") for n in range(1, 6)))
    await trio.sleep(0.05)
    heard: dict[str, list[Frame]] = {"alice": [], "bob": []}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hang_up, alice, heard["alice"])
        nursery.start_soon(hang_up, bob, heard["bob"])
        assert await drained(house) < 1
    assert [frame.n for frame in heard["alice"] if isinstance(frame, Puback)] == [1, 2, 3, 4, 5]
    assert [frame.seq for frame in heard["bob"] if isinstance(frame, Deliver)] == [1, 2, 3, 4, 5]
    for last in (heard["alice"][-1], heard["bob"][-1]):
        assert isinstance(last, Disconnect)
        assert (last.reason, last.reconnect) == (Reason.SERVER_SHUTTING_DOWN, True)
        assert last.reconnect_after_s is not None
    with pytest.raises(ConnectionRefusedError):
        await house.dial()


@in_house(drain_s=5)
async def test_a_drain_under_load_ends_and_tells_everybody(house: House) -> None:
    """Somebody always has something under way: nothing new is taken, or it would never end."""

    async def flood(device: Device, ends: list[Frame]) -> None:
        n = 0
        while not device.connection.closed:
            n += 1
            await device.say(Publish(n=n, to="user/bob", text="x"))
            while not isinstance(await device.hear(), Puback | Disconnect):
                pass
        await hang_up(device, ends)
        assert device.at_end

    ends: list[Frame] = []
    async with trio.open_nursery() as nursery:
        for user in ("alice", "carol"):
            for terminal in ("phone", "pc", "pad", "web"):
                nursery.start_soon(flood, await house.log_in(user, terminal), ends)
        await trio.sleep(1)
        assert await drained(house) < 1
    assert all(end == house.core.farewell or isinstance(end, Deliver) for end in ends)


@in_house(drain_s=5, limits={"write_buffer_bytes_max": 64 * KIB, "write_timeout_s": 600})
async def test_a_drain_does_not_wait_for_ever_for_a_peer_that_is_stuck(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    n = 0
    while not house.session("bob").link.outlet.full:
        n += 1
        await alice.publish(n, "user/bob", "x" * 20_000)
    await alice.rest(0.1)
    assert 4 < await drained(house) <= 5.1
    assert "not everybody was gone within 5 s" in caplog.text
    heard = await alice.rest(0.1)
    assert isinstance(heard[-1], Disconnect), "who reads was told at once"
    assert bob.connack.head == 0


@in_house(drain_s=5)
async def test_a_drain_does_not_wait_for_strangers(house: House) -> None:
    """A connection on which nobody logs in (a load balancer's, say) does not hold up the end."""
    stranger = await house.dial()
    await trio.sleep(0.1)
    async with trio.open_nursery() as nursery:
        heard: list[Frame] = []
        nursery.start_soon(hang_up, stranger, heard)
        assert await drained(house) < 1
    assert [frame.reason for frame in heard if isinstance(frame, Disconnect)] == [Reason.SERVER_SHUTTING_DOWN]


@in_house(drain_s=5, offload_s=0.1)
async def test_a_log_in_under_way_is_told_by_a_drain(house: House) -> None:
    for wait in ("_account_and_device", "_check", "commit"):
        house.core.draining = False
        house.calls.clear()
        stranger = await house.ask_in("alice")
        await house.calls.wait(wait)
        await house.core.drain()
        frames = await stranger.rest(1)
        assert stranger.at_end
        assert isinstance(frames[-1], Disconnect | Connack)
        assert frames[-1].reason == Reason.SERVER_SHUTTING_DOWN
        await stranger.stream.aclose()


@in_house(drain_s=5)
async def test_a_drain_writes_the_cursors(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await house.fill(alice, "user/bob", 5)
    await bob.rest()
    await bob.say(Ack(seq=5))
    await trio.sleep(0.01)
    async with trio.open_nursery() as nursery:
        for device in (alice, bob):
            nursery.start_soon(hang_up, device, [])
        await drained(house)
    assert cursor(house, "bob") == 5
