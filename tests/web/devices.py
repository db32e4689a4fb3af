"""A device on TCP (the Python client) beside the browsers of a test: it runs in a thread of its own."""

import queue
import threading
from typing import Self

import trio

import roost
from admin.running import PASSWORD, WAIT_S


class TcpDevice:
    """One user on one terminal type, over TCP. What comes is taken with `expect`."""

    def __init__(self, address: str, user: str, terminal: str) -> None:
        self._address = address
        self._user = user
        self._terminal = terminal
        self._events: queue.Queue[roost.Event] = queue.Queue()
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"{user}/{terminal}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(WAIT_S), "the device on TCP did not log in"
        if self._failed is not None:
            raise self._failed
        return self

    def __exit__(self, *_: object) -> None:
        self._token.run_sync_soon(self._scope.cancel)
        self._thread.join(WAIT_S)

    @property
    def device(self) -> str:
        """Its id."""
        return self._session.device

    def publish(self, to: str, body: roost.Body, content_type: str | None = None) -> roost.Receipt:
        """Publish, and wait until it is stored."""
        return trio.from_thread.run(self._session.publish, to, body, content_type, trio_token=self._token)

    def publish_many(self, to: str, bodies: list[str]) -> None:
        """Publish all of them, in order."""
        trio.from_thread.run(self._publish_many, to, bodies, trio_token=self._token)

    def create_group(self, name: str, *members: str) -> None:
        """Create a group, as its owner."""
        trio.from_thread.run(self._session.create_group, name, members, trio_token=self._token)

    def block(self, user: str) -> None:
        """Take no messages from this user any more."""
        trio.from_thread.run(self._session.block, user, trio_token=self._token)

    def log_out(self, device: str) -> None:
        """End the session of another device of the same user, and revoke its token."""
        trio.from_thread.run(self._session.log_out, device, trio_token=self._token)

    def expect(self, body: roost.Body) -> roost.Message:
        """Wait for the message with this body."""
        while True:
            event = self._next()
            if isinstance(event, roost.Message) and event.body == body:
                return event

    def expect_end(self) -> roost.Ended:
        """Wait until the session is over."""
        while True:
            event = self._next()
            if isinstance(event, roost.Ended):
                return event

    def bodies_until(self, body: roost.Body) -> list[roost.Body | None]:
        """The bodies of all messages up to and with this one."""
        bodies: list[roost.Body | None] = []
        while True:
            event = self._next()
            if isinstance(event, roost.Message):
                bodies.append(event.body)
                if event.body == body:
                    return bodies

    def _next(self) -> roost.Event:
        try:
            return self._events.get(timeout=WAIT_S)
        except queue.Empty:
            raise AssertionError(f"{self._user}/{self._terminal} waited in vain") from None

    def _run(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as error:  # noqa: BLE001  (told in the thread of the test)
            self._failed = error
            self._ready.set()

    async def _main(self) -> None:
        with trio.CancelScope() as self._scope:
            async with roost.connect(
                self._address, user=self._user, terminal=self._terminal, password=PASSWORD
            ) as self._session:
                self._token = trio.lowlevel.current_trio_token()
                self._ready.set()
                async for event in self._session:
                    self._events.put(event)
                await trio.sleep_forever()

    async def _publish_many(self, to: str, bodies: list[str]) -> None:
        waiting: list[roost.Publication] = []
        for body in bodies:
            while True:
                try:
                    waiting.append(self._session.publish_nowait(to, body))
                    break
                except trio.WouldBlock:
                    await waiting.pop(0).settled()
        for publication in waiting:
            await publication.settled()
