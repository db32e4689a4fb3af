"""Devices on TCP (the Python client) for tests that watch them from outside: many, in one thread of their own."""

import threading
from typing import Any, Self

import trio

import roost
from admin.running import PASSWORD, WAIT_S


class FleetDevice:
    """A device of a fleet. With `silent` it takes what comes and acknowledges nothing."""

    def __init__(self, fleet: "Fleet", user: str, terminal: str, options: dict[str, Any]) -> None:
        self._fleet = fleet
        self._user = user
        self._terminal = terminal
        self._options = options
        self._scope = trio.CancelScope()
        self._over = trio.Event()
        self.events: list[roost.Event] = []

    def publish(self, to: str, body: roost.Body) -> roost.Receipt:
        """Publish, and wait until it is stored."""
        receipt = self._fleet.run(self._session.publish, to, body)
        assert isinstance(receipt, roost.Receipt)
        return receipt

    def wait_ended(self) -> roost.Ended:
        """Wait until the session is over; how it ended."""
        self._fleet.run(self._wait_over)
        ended = [event for event in self.events if isinstance(event, roost.Ended)]
        assert ended, f"{self._user}/{self._terminal} was told of no end"
        return ended[-1]

    def close(self) -> None:
        """Log out."""
        self._fleet.run(self._close)

    async def _close(self) -> None:
        self._scope.cancel()
        await self._wait_over()

    async def _wait_over(self) -> None:
        with trio.fail_after(WAIT_S):
            await self._over.wait()

    async def live(self, task_status: trio.TaskStatus[None]) -> None:
        """Be logged in until it ends."""
        try:
            with self._scope:
                async with roost.connect(
                    self._fleet.address, user=self._user, terminal=self._terminal, password=PASSWORD, **self._options
                ) as self._session:
                    task_status.started()
                    async for event in self._session:
                        self.events.append(event)
        finally:
            self._over.set()


class Fleet:
    """Devices that live until the block ends."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._ready = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._main,), name="fleet", daemon=True)

    def log_in(self, user: str, terminal: str, *, silent: bool = False, **options: Any) -> FleetDevice:
        """A new device that is logged in; `options` as for `roost.connect`."""
        device = FleetDevice(self, user, terminal, {"auto_acknowledge": not silent, **options})
        self.run(self._nursery.start, device.live)
        return device

    def run(self, function: Any, *args: Any) -> Any:
        """Run something in the thread of the fleet, and wait for it."""
        return trio.from_thread.run(function, *args, trio_token=self._token)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(WAIT_S), "the fleet did not begin"
        return self

    def __exit__(self, *_: object) -> None:
        self._token.run_sync_soon(self._nursery.cancel_scope.cancel)
        self._thread.join(WAIT_S)

    async def _main(self) -> None:
        async with trio.open_nursery() as self._nursery:
            self._token = trio.lowlevel.current_trio_token()
            self._nursery.start_soon(trio.sleep_forever)
            self._ready.set()
