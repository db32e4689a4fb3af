"""Connections that lag, stall, break at any byte, or are lost to one side alone."""

from random import Random

import pytest
import trio
import trio.testing

from broker.house import in_virtual_time
from roost.simulation.network import Direction, Weather, Wire
from roost_broker.transport import ConnectionLost, Transport
from roost_broker.transport.memory import MemoryListener


class Watching:
    def __init__(self) -> None:
        self.told: list[str] = []

    def said(self, data: bytes) -> None:
        self.told.append(f"said {data.decode()}")

    def heard(self, data: bytes) -> None:
        self.told.append(f"heard {data.decode()}")

    def over(self) -> None:
        self.told.append("over")


class Line:
    """A wire, the broker's end of it, and who watches."""

    def __init__(self, wire: Wire, broker: Transport, watching: Watching, weather: Weather) -> None:
        self.wire = wire
        self.broker = broker
        self.watching = watching
        self.weather = weather


async def open_line(lag_s: float = 0.0, **cut_next: int) -> Line:
    listener = MemoryListener()
    weather, watching = Weather(lag_s), Watching()
    weather.cut_next.update({direction: cut_next[direction] for direction in DIRECTIONS if direction in cut_next})
    wire = Wire(await listener.dial(), weather, Random(1), watching)  # noqa: S311
    return Line(wire, await listener.accept(), watching, weather)


DIRECTIONS: tuple[Direction, ...] = ("up", "down")


@in_virtual_time
async def test_bytes_pass_both_ways() -> None:
    line = await open_line()
    await line.wire.send_all(b"hello")
    assert line.broker.recv_nowait(100) == b"hello"
    line.broker.try_send(b"well met")
    assert await line.wire.receive_some(100) == b"well met"
    await line.wire.aclose()
    assert line.watching.told == ["said hello", "heard well met", "over"]


@in_virtual_time
async def test_what_is_said_is_told_before_it_is_on_its_way() -> None:
    line = await open_line(lag_s=5.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.wire.send_all, b"hello")
        await trio.testing.wait_all_tasks_blocked()
        assert line.watching.told == ["said hello"]
        assert line.broker.recv_nowait(100) is None
    assert line.broker.recv_nowait(100) == b"hello"


@in_virtual_time
async def test_a_stalled_direction_lets_nothing_pass_until_then() -> None:
    line = await open_line()
    line.weather.stalled_until["down"] = trio.current_time() + 30
    line.broker.try_send(b"late")
    before = trio.current_time()
    assert await line.wire.receive_some(100) == b"late"
    assert trio.current_time() == before + 30


@in_virtual_time
async def test_weather_that_clears_ends_a_stall_soon() -> None:
    line = await open_line()
    line.weather.stalled_until["down"] = trio.current_time() + 1_000
    line.broker.try_send(b"late")
    with trio.fail_after(2):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(line.wire.receive_some, 100)
            await trio.testing.wait_all_tasks_blocked()
            line.weather.clear()


@in_virtual_time
@pytest.mark.parametrize("size", [0, 1, 4, 5])
async def test_it_breaks_at_any_byte_on_the_way_up(size: int) -> None:
    line = await open_line(up=size)
    got = b""
    if size < 5:
        with pytest.raises(trio.BrokenResourceError):
            await line.wire.send_all(b"hello")
        with pytest.raises(ConnectionLost):
            line.broker.recv_nowait(100)
        return
    await line.wire.send_all(b"hello")
    got += line.broker.recv_nowait(100) or b""
    assert got == b"hello"
    with pytest.raises(trio.BrokenResourceError):
        await line.wire.send_all(b"!")


@in_virtual_time
@pytest.mark.parametrize("size", [0, 1, 4, 5])
async def test_it_breaks_at_any_byte_on_the_way_down(size: int) -> None:
    line = await open_line(down=size)
    line.broker.try_send(b"hello" + b"!" * 3)
    if size:
        assert await line.wire.receive_some(100) == b"hello"[:size]
    with pytest.raises(trio.BrokenResourceError):
        await line.wire.receive_some(100)
    assert line.watching.told == [*([f"heard {'hello'[:size]}"] if size else []), "over"]


@in_virtual_time
async def test_a_device_that_loses_it_knows_at_once_and_the_broker_does_not() -> None:
    line = await open_line()
    async with trio.open_nursery() as nursery:

        async def lose_soon() -> None:
            await trio.sleep(1)
            line.wire.lose("device")

        nursery.start_soon(lose_soon)
        with trio.fail_after(2), pytest.raises(trio.BrokenResourceError):
            await line.wire.receive_some(100)
    await line.wire.aclose()
    assert line.wire.half_open
    assert line.broker.recv_nowait(100) is None, "the broker's end is as it was"
    assert line.broker.try_send(b"anybody there?")


@in_virtual_time
async def test_a_broker_that_loses_it_leaves_the_device_waiting() -> None:
    line = await open_line()
    line.wire.lose("broker")
    with pytest.raises(ConnectionLost):
        line.broker.recv_nowait(100)
    for act in (line.wire.receive_some(100), line.wire.send_all(b"hello")):
        with trio.move_on_after(1_000) as scope:
            await act
        assert scope.cancelled_caught, "nobody tells the device"


@in_virtual_time
async def test_a_connection_on_which_nothing_passes_is_open_at_both_ends() -> None:
    line = await open_line()
    line.wire.lose("both")
    with trio.move_on_after(1_000) as scope:
        await line.wire.receive_some(100)
    assert scope.cancelled_caught
    assert line.broker.recv_nowait(100) is None
