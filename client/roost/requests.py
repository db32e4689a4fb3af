"""Requests that wait for their answer, matched by number, on however many connections that takes.

A request whose connection is lost is sent again on the next one if that can do no harm (it reads, or doing it twice is
doing it once); if not, its caller learns that the outcome is unknown.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

import trio

from roost.bounds import REQUEST_TRIES_MAX
from roost.errors import ConnectionFailed, RoostError
from roost_protocol import codec
from roost_protocol.errors import RemoteProtocolError
from roost_protocol.frames import Fetch, Frame, Group, Page, Relation, Result, Sessions, Subscribe
from roost_protocol.limits import HEADER_BYTES

RequestFrame = Fetch | Group | Relation | Sessions | Subscribe
Answer = Result | Page
RequestMaker = Callable[[int], RequestFrame]
"""Makes the frame of a request from its number."""
F = TypeVar("F", bound=Frame)


class Request:
    """One request on its way. `again`: it may be sent a second time."""

    __slots__ = ("_done", "answer", "failure", "frame", "again", "on_wire", "tries")  # noqa: RUF023 - as they come

    def __init__(self, frame: RequestFrame, again: bool) -> None:
        self.frame = frame
        self.again = again
        self.on_wire = False
        self.tries = 0
        self.answer: Answer | None = None
        self.failure: RoostError | None = None
        self._done = trio.Event()

    async def answered(self) -> Answer:
        """Wait for the answer, whatever it says. Raises what the request failed with."""
        await self._done.wait()
        if self.failure is not None:
            raise self.failure
        assert self.answer is not None  # noqa: S101 - done one way or the other
        return self.answer

    def finish(self, answer: Answer | None, failure: RoostError | None) -> None:
        """Wake whoever waits."""
        self.answer, self.failure = answer, failure
        self._done.set()


class Requests:
    """The requests that have no answer yet, in order of their numbers."""

    def __init__(self) -> None:
        self._last = 0
        self._waiting: dict[int, Request] = {}
        self._unsent = False

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, frame_of: RequestMaker, *, again: bool) -> Request:
        """Take in the request that `frame_of` makes for a number. Raises ValueError if no broker would take it."""
        self._last += 1
        request = Request(checked(frame_of(self._last)), again)
        self._waiting[self._last] = request
        self._unsent = True
        return request

    def forget(self, request: Request) -> None:
        """Nobody waits for it any more."""
        self._waiting.pop(request.frame.request, None)

    def take(self) -> Iterator[RequestFrame]:
        """The frames that are to be sent now; they count as on the wire from here on."""
        if not self._unsent:
            return
        self._unsent = False
        for request in [*self._waiting.values()]:
            if not request.on_wire:
                request.on_wire = True
                request.tries += 1
                yield request.frame

    def answered(self, answer: Answer) -> None:
        """An answer came. One to a number that nobody waits for is ignored: its caller was cancelled."""
        request = self._waiting.pop(answer.request, None)
        if request is not None:
            request.finish(answer, None)

    def connection_lost(self) -> None:
        """Put back what may be sent again; fail the rest with ConnectionFailed."""
        for request in [*self._waiting.values()]:
            if not request.on_wire:
                continue
            if request.again and request.tries < REQUEST_TRIES_MAX:
                request.on_wire = False
                self._unsent = True
            else:
                self.forget(request)
                text = "the connection was lost before the answer came; whether the request was carried out is unknown"
                request.finish(None, ConnectionFailed(text))

    def fail(self, failure_of: Callable[[], RoostError]) -> None:
        """The session is over: no answer will come."""
        waiting, self._waiting = self._waiting, {}
        for request in waiting.values():
            request.finish(None, failure_of())


def checked(frame: F) -> F:
    """Return the frame if the other side would take it; raise ValueError, saying what is wrong, if not.

    A struct made by hand checks less than one that is decoded, and what the broker cannot decode costs the connection.
    """
    encoded = codec.encode(frame)
    try:
        codec.decode_body(frame.frame_type, encoded[HEADER_BYTES:])
    except RemoteProtocolError as error:
        raise ValueError(error.text) from None
    return frame
