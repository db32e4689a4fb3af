"""A message on its way, from its making to its outcome; and the forms it takes on the wire and in the state."""

from collections.abc import Callable

import trio

from roost.errors import ConnectionFailed, PublishRefused, RoostError
from roost.events import Body, Receipt
from roost.state import SavedPublish
from roost_protocol.frames import TEXT_TYPE, Publish
from roost_protocol.reasons import Reason

BYTES_TYPE = "application/octet-stream"
"""The content type of a body of bytes for which none is given (RFC 2046, section 4.5.1)."""


class Publication:
    """A message on its way: `n` is this device's count of it.

    It is sent on each new connection until its outcome is known, or until it is given up.
    """

    __slots__ = ("_abandon", "_done", "_failure", "_receipt", "_size", "frame", "given_up", "on_wire", "sent")

    def __init__(self, frame: Publish, abandon: "Callable[[Publication], None]") -> None:
        self.frame = frame
        self.given_up = False
        self.on_wire = False
        self.sent = False
        """It may have been on some wire."""
        self._abandon = abandon
        self._done = trio.Event()
        self._receipt: Receipt | None = None
        self._failure: RoostError | None = None
        self._size = body_bytes(self.body)

    def __repr__(self) -> str:
        state = "given up" if self.given_up else "settled" if self._done.is_set() else "unsettled"
        return f"<Publication {self.n} to {self.to}: {state}>"

    @property
    def n(self) -> int:
        """This device's own count of it."""
        return self.frame.n

    @property
    def to(self) -> str:
        """The address it goes to."""
        return self.frame.to

    @property
    def content_type(self) -> str:
        """The content type it was given."""
        return self.frame.content_type

    @property
    def body(self) -> Body:
        """What it says."""
        text = self.frame.text
        return (self.frame.data or b"") if text is None else text

    @property
    def size(self) -> int:
        """Bytes of its body."""
        return self._size

    @property
    def receipt(self) -> Receipt | None:
        """What came of it, if it is stored."""
        return self._receipt

    async def settled(self) -> Receipt:
        """Wait for the outcome. Raises PublishRefused; SessionEnded if the session is over before it is known.

        A checkpoint. Cancelling only stops the waiting; see `give_up`.
        """
        await self._done.wait()
        if self._failure is not None:
            raise self._failure
        assert self._receipt is not None  # noqa: S101 - settled one way or the other
        return self._receipt

    def give_up(self) -> None:
        """Do not send it any more, and let `settled` raise ConnectionFailed.

        Whether it is stored already stays unknown, unless its entry comes back in the stream. Does nothing if the
        outcome is known.
        """
        if not self._done.is_set():
            self.given_up = True
            self.failed(ConnectionFailed("the publish was given up before its outcome was known"))
            self._abandon(self)

    def stored(self, receipt: Receipt) -> None:
        """Note its good outcome, unless it was given up before."""
        if not self._done.is_set():
            self._receipt = receipt
            self._done.set()

    def failed(self, failure: RoostError) -> None:
        """Note that it came to nothing, or that nobody will know; unless it was given up before."""
        if not self._done.is_set():
            self._failure = failure
            self._done.set()


def body_bytes(body: Body) -> int:
    """Bytes of a body on the wire. Raises UnicodeEncodeError (a ValueError) for text that is no Unicode."""
    if isinstance(body, bytes) or body.isascii():
        return len(body)
    return len(body.encode())


def publish_frame(n: int, to: str, body: Body, content_type: str | None) -> Publish:
    """The PUBLISH for a message. Raises ValueError for an address or a content type that cannot be one."""
    if isinstance(body, str):
        return Publish(n=n, to=to, content_type=content_type or TEXT_TYPE, text=body)
    return Publish(n=n, to=to, content_type=content_type or BYTES_TYPE, data=body)


def saved_publish(frame: Publish) -> SavedPublish:
    """What the state keeps of a publish."""
    body = (frame.data or b"") if frame.text is None else frame.text
    return SavedPublish(n=frame.n, to=frame.to, content_type=frame.content_type, body=body)


def check_body(size: int, body_bytes_max: int) -> None:
    """Raise PublishRefused if a body of `size` bytes is more than the broker takes."""
    if size > body_bytes_max:
        raise PublishRefused(
            Reason.PACKET_TOO_LARGE, f"a body of {size} bytes; the broker takes at most {body_bytes_max}"
        )
