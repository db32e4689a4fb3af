"""A device that says exactly what a test has it say, and shows every frame that it is answered with."""

import socket
from collections import deque
from typing import Self, TypeVar

from admin.running import PASSWORD, WAIT_S
from roost_protocol.connection import Connection
from roost_protocol.errors import RemoteProtocolError
from roost_protocol.frames import Ack, Connack, Connect, Deliver, Fetch, Frame, Page, Puback, Publish
from roost_protocol.states import Role

T = TypeVar("T", bound=Frame)


class RawDevice:
    """A connection and its log-in; `connack` says what came of that. It has no will of its own: it retries nothing."""

    def __init__(self, address: str, user: str, terminal: str = "phone", *, last_seq: int = 0) -> None:
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), WAIT_S)
        self._connection = Connection(Role.DEVICE)
        self._frames: deque[Frame] = deque()
        self.delivered: dict[int, Deliver] = {}
        self.pubacks: dict[int, Puback] = {}
        """The last for each `n`."""
        device = f"{user}-{terminal}"
        self.say(Connect(user=user, password=PASSWORD, terminal=terminal, device=device, last_seq=last_seq))
        self.connack = self.wait(Connack)
        self.n = self.connack.settled_n or 0

    def say(self, frame: Frame) -> None:
        """Send a frame."""
        self._socket.sendall(self._connection.send(frame))

    def wait(self, kind: type[T]) -> T:
        """The next frame of this kind. Raises ConnectionError when the broker goes before."""
        while True:
            while self._frames:
                frame = self._frames.popleft()
                if isinstance(frame, Deliver):
                    self.delivered[frame.seq] = frame
                    self.say(Ack(seq=frame.seq))
                elif isinstance(frame, Puback):
                    self.pubacks[frame.n] = frame
                if isinstance(frame, kind):
                    return frame
            data = self._socket.recv(65_536)
            if not data:
                raise ConnectionResetError("the broker has closed the connection")
            for event in self._connection.receive_data(data):
                assert not isinstance(event, RemoteProtocolError), event
                self._frames.append(event)

    def publish(self, to: str, text: str, n: int | None = None) -> Puback:
        """Publish, and wait for the outcome."""
        if n is None:
            self.n = n = self.n + 1
        self.say(Publish(n=n, to=to, text=text))
        return self.wait(Puback)

    def catch_up(self, seq: int) -> None:
        """Wait until everything up to this number was delivered."""
        while seq not in self.delivered:
            self.wait(Deliver)

    def fetch(self, request: int, limit: int = 50) -> Page:
        """The answer to a FETCH of the newest entries."""
        self.say(Fetch(request=request, limit=limit))
        return self.wait(Page)

    def close(self) -> None:
        """Go without a word."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
