"""The network between devices and the broker: lag, stalls, cuts at any byte, connections that only one side has lost.

A `Wire` is the device's end of one connection, around the stream of the network in memory. What it is like is decided
by `Weather`, which belongs to a device and changes as the plan says. A connection that is half open stays open inside:
the broker has to find out by itself.
"""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Literal, Protocol

import trio

from roost_broker.transport.memory import MemoryStream

Direction = Literal["up", "down"]
"""To the broker, or from it."""

Fate = Literal["device", "broker", "both"]
"""Who has lost a connection of which the other end knows nothing; `both`: nothing passes, and nobody is told."""


LOOK_S = 1.0
"""How often whoever rests looks whether he may go on sooner."""


class Watcher(Protocol):
    """Who looks at one connection, at the device's end."""

    def said(self, data: bytes) -> None:
        """The device says this: told before it is on its way."""
        ...

    def heard(self, data: bytes) -> None:
        """This has come to the device."""
        ...

    def over(self) -> None:
        """The device has no connection any more. Called once."""
        ...


class Weather:
    """What the network is like for one device. Times are virtual seconds, by Trio's clock."""

    def __init__(self, lag_s: float) -> None:
        self.lag_s = lag_s
        """The most that bytes are under way."""
        self.stalled_until: dict[Direction, float] = {"up": 0.0, "down": 0.0}
        self.refused_until = 0.0
        """Nobody answers at the broker's address: connecting fails at once."""
        self.swallowed_until = 0.0
        """Connecting comes to no answer at all."""
        self.cut_next: dict[Direction, int] = {}
        """The next connection breaks when so many bytes have passed."""

    def clear(self) -> None:
        """From now on nothing fails."""
        now = trio.current_time()
        self.stalled_until = {"up": min(self.stalled_until["up"], now), "down": min(self.stalled_until["down"], now)}
        self.refused_until = self.swallowed_until = 0.0
        self.cut_next.clear()


async def sleep_while(until: Callable[[], float]) -> None:
    """Sleep until the time that `until` gives, which may change meanwhile. Not always a checkpoint."""
    while (left_s := until() - trio.current_time()) > 0:  # noqa: ASYNC110 - nobody says when it changes, and time is free
        await trio.sleep(min(LOOK_S, left_s))


class Wire(trio.abc.HalfCloseableStream):
    """The device's end of one connection. Raises what a socket would."""

    def __init__(self, inner: MemoryStream, weather: Weather, random: Random, watcher: Watcher) -> None:
        self._inner = inner
        self._weather = weather
        self._random = random
        self._watcher = watcher
        self._budget: dict[Direction, int] = dict(weather.cut_next)
        weather.cut_next.clear()
        self._fate: Fate | None = None
        self._closed = self._over = False
        self._scopes: set[trio.CancelScope] = set()

    # --- what the plan does -------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """The connection breaks, for both sides; what is under way is lost."""
        if self._fate is None:
            self._inner.cut()

    def cut_after(self, direction: Direction, size: int) -> None:
        """The connection breaks when so many more bytes have passed in this direction."""
        self._budget[direction] = size

    def lose(self, who: Fate) -> None:
        """`who` loses the connection; the other end is told nothing. Both: nothing passes any more."""
        if self._fate is not None or self._closed:
            return
        self._fate = who
        if who == "broker":
            self._inner.cut()
        for scope in self._scopes:
            scope.cancel()

    def broker_died(self) -> None:
        """The broker's process ended: what it has sent still arrives, then the end."""
        if self._fate is None:
            self._inner.lose_peer()

    @property
    def half_open(self) -> bool:
        """Whether the two ends differ in what they know."""
        return self._fate is not None

    # --- the stream ---------------------------------------------------------------------------------------------------

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See `trio.abc.SendStream.send_all`."""
        self._check()
        whole = bytes(data)
        self._watcher.said(whole)
        await self._through(lambda: self._send(whole))

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream.wait_send_all_might_not_block`."""
        self._check()
        await self._through(self._inner.wait_send_all_might_not_block)

    async def send_eof(self) -> None:
        """See `trio.abc.HalfCloseableStream.send_eof`."""
        self._check()
        await self._through(self._inner.send_eof)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See `trio.abc.ReceiveStream.receive_some`."""
        self._check()
        received: list[bytes] = []

        async def receive() -> None:
            try:
                data = bytes(await self._inner.receive_some(max_bytes))
                await self._pause("down")
                received.append(self._taken(data))
            except trio.BrokenResourceError:
                self._end()  # not where sending fails: what the broker said last may still be there to be read
                raise

        await self._through(receive)
        (data,) = received
        if data:
            self._watcher.heard(data)
        else:
            self._end()
        return data

    async def aclose(self) -> None:
        """See `trio.abc.AsyncResource.aclose`."""
        self._closed = True
        self._end()
        if self._fate in (None, "broker"):
            await self._inner.aclose()
        else:
            await trio.lowlevel.checkpoint()

    async def _through(self, act: Callable[[], Awaitable[None]]) -> None:
        """Do it, unless the connection is lost here, or meets its fate meanwhile."""
        if self._fate is None:
            with trio.CancelScope() as scope:
                self._scopes.add(scope)
                try:
                    await act()
                finally:
                    self._scopes.discard(scope)
            if not scope.cancelled_caught:
                return
        if self._fate == "device":
            self._end()
            raise trio.BrokenResourceError("the network is gone")
        await trio.sleep_forever()

    async def _send(self, data: bytes) -> None:
        await self._pause("up")
        budget = self._budget.get("up")
        if budget is not None and budget < len(data):
            await self._inner.send_all(data[:budget])
            self._inner.cut()
            raise trio.BrokenResourceError("the network broke")
        if budget is not None:
            self._budget["up"] = budget - len(data)
        await self._inner.send_all(data)

    def _taken(self, data: bytes) -> bytes:
        """What arrives of what was read. Raises BrokenResourceError where the connection breaks."""
        budget = self._budget.get("down")
        if budget is None or not data:
            return data
        self._budget["down"] = budget - len(data)
        if budget < len(data):
            self._inner.cut()
            self._budget["down"] = 0
            if not budget:
                raise trio.BrokenResourceError("the network broke")
        return data[:budget]

    async def _pause(self, direction: Direction) -> None:
        weather = self._weather
        if weather.lag_s:
            await trio.sleep(self._random.uniform(0, weather.lag_s))
        await sleep_while(lambda: weather.stalled_until[direction])

    def _check(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this stream was closed here")

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._watcher.over()
