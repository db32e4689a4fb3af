"""One hostile connection: a bare socket, from an address of its own, that does and hears whatever a test says."""

import math
import socket
import struct
from contextlib import suppress
from typing import Any, NamedTuple, Self

import trio

from admin.running import PASSWORD
from roost_protocol import codec
from roost_protocol.errors import RemoteProtocolError
from roost_protocol.frames import Connack, Connect, Disconnect, Frame
from roost_protocol.limits import FRAME_BYTES_MOST
from roost_protocol.reasons import Reason

READ_BYTES = 64 * 1024

BIND_ADDRESS_NO_PORT = 24
"""IP_BIND_ADDRESS_NO_PORT (ip(7)): the port is chosen when the other side is known, so that there are enough."""

REPAIR, REPAIR_ON = 19, 1
"""TCP_REPAIR (linux/tcp.h): a socket that is closed in this state says nothing to its peer. Needs CAP_NET_ADMIN."""

SILENCE = "silence"
"""The broker closed, and said nothing in its protocol."""
RESET = "reset"
LEFT_OPEN = "left open"
"""The broker did not close while it was waited for."""


def source(number: int) -> str:
    """An address of 127.0.0.0/8 of this peer's own: no bound for each address is what holds it off."""
    return f"127.{1 + number // 64_000 % 250}.{number // 250 % 256}.{1 + number % 250}"


class End(NamedTuple):
    """How a connection ended, as its peer saw it."""

    how: str
    """The reason in the broker's last frame, in lower case, or one of the words above."""
    after_s: float
    """Since it was opened."""


class Peer:
    """A connection to `address` from `source(number)`."""

    def __init__(self, opened: socket.socket, among: "set[Peer]") -> None:
        self._socket = opened
        self._among = among
        among.add(self)
        self.opened_at = trio.current_time()
        self._frames = codec.ReceiveBuffer(FRAME_BYTES_MOST)
        self.heard: list[Frame] = []
        """What the broker has said, but for what is only counted."""
        self.raw = b""
        """What it said in other words than those of roost: all of it."""
        self.speaks_roost = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @classmethod
    async def dial(cls, address: str, number: int, among: "set[Peer]", *, receive_buffer_bytes: int = 0) -> Self:
        """Open it; it is `among` those that are open until it is closed. Raises OSError.

        With a small receive buffer the kernel soon takes nothing more from the broker.
        """
        host, _, port = address.rpartition(":")
        opened = socket.socket()
        opened.setblocking(False)
        try:
            opened.setsockopt(socket.IPPROTO_IP, BIND_ADDRESS_NO_PORT, 1)
            if receive_buffer_bytes:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
            opened.bind((source(number), 0))
            with suppress(BlockingIOError):
                opened.connect((host, int(port)))
            await trio.lowlevel.wait_writable(opened)
            if error := opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, "connect")
        except BaseException:
            opened.close()
            raise
        return cls(opened, among)

    async def log_in(self, user: str, terminal: str = "pc", **connect: Any) -> None:
        """Become a session."""
        device = f"{user}-{terminal}"
        await self.say(Connect(user=user, password=PASSWORD, terminal=terminal, device=device, **connect))
        while not self.heard:
            assert await self.listen(), f"{user} was closed"
        (connack,) = self.heard
        assert isinstance(connack, Connack), connack
        assert connack.reason == Reason.SUCCESS, connack
        self.heard.clear()

    async def say(self, *frames: Frame) -> bool:
        """Send whole frames, as `send`."""
        return await self.send(b"".join(codec.encode(frame) for frame in frames))

    async def send(self, data: bytes) -> bool:
        """Send all of it; whether the broker's side still took it."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._socket)
            except OSError:
                return False
        await trio.lowlevel.checkpoint()
        return True

    def send_nowait(self, data: bytes) -> int:
        """Send what the kernel takes; how many bytes it took. Raises OSError when the connection is gone."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    async def wait_writable(self) -> None:
        """Wait until the kernel takes something, or the connection is gone."""
        await trio.lowlevel.wait_writable(self._socket)

    async def listen(self) -> bool:
        """Hear what comes next; False at the end. Raises ConnectionError for a reset."""
        while True:
            try:
                data = self._socket.recv(READ_BYTES)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._socket)
                continue
            break
        if not data:
            return False
        if not self.speaks_roost:
            self.raw += data
            return True
        try:
            self.heard += self._frames.cut(data)
        except RemoteProtocolError:
            self.speaks_roost = False
        return True

    async def end(self, within_s: float) -> End:
        """Listen until the broker closes."""
        how = LEFT_OPEN
        with trio.move_on_after(within_s):
            try:
                while await self.listen():
                    pass
            except ConnectionError:
                how = RESET
            else:
                how = SILENCE
        after_s = trio.current_time() - self.opened_at
        if how != LEFT_OPEN and self.heard and isinstance(last := self.heard[-1], Disconnect | Connack):
            how = Reason.of(last.reason).name.lower()
        return End(how, after_s)

    async def drip(self, data: bytes, every_s: float, within_s: float) -> End:
        """Send this again and again, until the broker closes."""
        until = trio.current_time() + within_s
        while (now := trio.current_time()) < until:
            with trio.move_on_at(min(now + every_s, until)):
                return await self.end(math.inf)
            await self.send(data)
        return End(LEFT_OPEN, now - self.opened_at)

    def say_end(self) -> None:
        """Send nothing more."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Go, as whoever goes properly. Idempotent."""
        self._among.discard(self)
        self._socket.close()

    def reset(self) -> None:
        """Go, with a reset."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def vanish(self) -> bool:
        """Go without a word, as a machine that loses its power; False where that is not allowed."""
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, REPAIR, REPAIR_ON)
        except OSError:
            return False
        self.close()
        return True
