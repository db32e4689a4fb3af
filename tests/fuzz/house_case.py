"""A broker in memory for one case, which has to stand it: nothing of the broker's own fails, and others go on.

A defect of ours on a connection is caught there, so that it costs nobody else his (`Server.serve_connection`); so
whatever is logged as an error is what came of the case.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

import trio
from trio.testing import MockClock

from broker.house import House, open_house
from roost_broker.transport.memory import MemoryListener, MemoryStream
from roost_protocol.reasons import Reason

ANSWER_S = 400.0
"""Of virtual time, for a broker to be done with a peer that says nothing more: every time limit has passed by then."""

HEARD_BYTES_MAX = 4 * 1024 * 1024
"""More than any answer to a case has."""


class _Errors(logging.Handler):
    """Keeps what was logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        self.records.append(record)


@contextmanager
def no_errors_logged() -> Iterator[None]:
    """Raises, at the end, what was logged as an error. What is less is formatted, and nobody reads it."""
    root, errors, quiet = logging.getLogger(), _Errors(), _Formatting()
    handlers, level = root.handlers[:], root.level
    root.handlers = [errors, quiet]
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(level)
    for record in errors.records:
        error = record.exc_info[1] if record.exc_info else None
        raise AssertionError(f"the broker logged an error: {record.getMessage()}") from error


class _Formatting(logging.Handler):
    """Makes the text of everything that is logged: that fails, too, if it can."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        record.getMessage().encode()


def play(case: Callable[[House], Awaitable[None]], *, web: bool = False) -> None:
    """Open a house, let the case happen in it, and see that it still serves; then it drains."""

    async def main() -> None:
        async with open_house(web=web, drain_s=1.0, listener=_listener) as house:
            await case(house)
            healthy = await house.log_in("bob", device="healthy")
            puback = await healthy.publish(healthy.connack.settled_n + 1, "user/carol")
            assert puback.reason == Reason.SUCCESS, puback
            await healthy.stream.aclose()

    with no_errors_logged():
        trio.run(main, clock=MockClock(autojump_threshold=0))


def _listener() -> MemoryListener:
    return MemoryListener(pipe_bytes=1024 * 1024)


async def say_and_hear(stream: MemoryStream, *parts: bytes) -> bytes:
    """Say these bytes and the end, as far as anybody listens; everything that comes until the connection is closed."""
    heard = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(_say, stream, parts))
        with trio.fail_after(ANSWER_S):
            try:
                while data := await stream.receive_some():
                    heard += data
                    assert len(heard) <= HEARD_BYTES_MAX, "the broker talks without end"
            except trio.BrokenResourceError:
                pass
        nursery.cancel_scope.cancel()
    await stream.aclose()
    return bytes(heard)


async def _say(stream: MemoryStream, parts: tuple[bytes, ...]) -> None:
    try:
        for part in parts:
            await stream.send_all(part)
        await stream.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
