"""WebSocket from the other side: a peer that may say any frame, and devices that speak roost over one."""

import struct
from collections import deque
from typing import Any, NamedTuple

from broker.house import PASSWORD, Device, House
from broker.http.speaking import Answer, Peer, request
from roost_broker.transport.memory import MemoryStream
from roost_protocol import RemoteProtocolError
from roost_protocol.frames import Connack, Connect, Frame
from roost_protocol.reasons import Reason
from roost_protocol.websocket import BINARY as BINARY_PROTOCOL
from roost_protocol.websocket import JSON as JSON_PROTOCOL

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"\x37\xfa\x21\x3d"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""RFC 6455, 1.3: the sample key, and what a server makes of it."""


class Heard(NamedTuple):
    """A frame of the server's."""

    opcode: int
    payload: bytes


def masked(data: bytes, mask: bytes = MASK) -> bytes:
    """RFC 6455, 5.3."""
    return bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None = MASK, declared: int = -1
) -> bytes:
    """A frame as a client says it, or as it must not. `declared`: a length that is not that of the payload."""
    length = len(payload) if declared < 0 else declared
    if length < 126:
        size = bytes([length])
    elif length <= 0xFFFF:
        size = b"\x7e" + struct.pack(">H", length)
    else:
        size = b"\x7f" + struct.pack(">Q", length)
    first = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if mask is None:
        return first + size + payload
    return first + bytes([size[0] | 0x80]) + size[1:] + mask + masked(payload, mask)


def parse(data: bytes) -> tuple[list[Heard], bytes]:
    """The whole frames of a server in these bytes, and the rest. Every frame is final, and none is masked."""
    heard = []
    while len(data) >= 2:
        first, size = data[0], data[1]
        assert first & 0xF0 == 0x80, "final, and no reserved bit"
        assert not size & 0x80, "a server masks nothing"
        start = 2
        if size == 126:
            start = 4
            size = int.from_bytes(data[2:4], "big")
        elif size == 127:
            start = 10
            size = int.from_bytes(data[2:10], "big")
        if len(data) < start + size:
            break
        heard.append(Heard(first & 0x0F, data[start : start + size]))
        data = data[start + size :]
    return heard, data


def closing(code: int, text: bytes = b"") -> bytes:
    """The payload of a Close."""
    return struct.pack(">H", code) + text


def handshake(sub_protocol: str | None = BINARY_PROTOCOL, target: str = "/ws", **headers: str) -> bytes:
    """A request for a WebSocket; a header that is empty is left out."""
    sent = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec_websocket_version": "13",
        "sec_websocket_key": KEY,
        "sec_websocket_protocol": sub_protocol or "",
        **headers,
    }
    return request("GET", target, None, **sent)


class WebPeer:
    """A connection to the web listener: HTTP first, frames after."""

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream
        self.http = Peer(stream)
        self._rest = b""
        self._at_end = False
        self._frames: deque[Heard] = deque()

    async def open(self, sub_protocol: str | None = BINARY_PROTOCOL, **headers: str) -> Answer:
        """Ask for a WebSocket; the answer, whatever it is."""
        await self.http.send(handshake(sub_protocol, **headers))
        return await self.http.answer()

    async def send(self, data: bytes) -> None:
        """Say these bytes."""
        await self.stream.send_all(data)

    async def hear(self) -> Heard | None:
        """The next frame; None at the end."""
        while not self._frames:
            self._rest += self.http.take_rest() or await self._more()
            frames, self._rest = parse(self._rest)
            self._frames += frames
            if self._at_end and not self._frames:
                assert not self._rest, f"the end inside a frame: {self._rest!r}"
                return None
        return self._frames.popleft()

    async def _more(self) -> bytes:
        data = await self.stream.receive_some()
        self._at_end = not data
        return data


class WebDevice(Device):
    """A device over a WebSocket. `pongs` are what the server answered pings with, `closed` is its Close."""

    def __init__(self, peer: WebPeer, *, json: bool) -> None:
        super().__init__(peer.stream)
        self.peer = peer
        self.json = json
        self.pongs: list[bytes] = []
        self.closed: tuple[int | None, str] | None = None

    async def say(self, *frames: Frame) -> None:
        """See `Device.say`: in one binary message, or each in a text."""
        if self.json:
            said = b"".join(frame(TEXT, self.connection.send_text(each).encode()) for each in frames)
        else:
            said = frame(BINARY, b"".join(self.connection.send(each) for each in frames))
        await self.peer.send(said)

    async def hear(self) -> Frame | None:
        """See `Device.hear`; the Close of the server is the end."""
        while not self.heard and not self.at_end:
            heard = await self.peer.hear()
            if heard is None or heard.opcode == CLOSE:
                self.at_end = True
                payload = heard.payload if heard is not None else b""
                code = int.from_bytes(payload[:2], "big") if payload else None
                self.closed = None if heard is None else (code, payload[2:].decode())
            elif heard.opcode == PONG:
                self.pongs.append(heard.payload)
            else:
                self._receive(heard)
        return self.heard.popleft() if self.heard else None

    def _receive(self, heard: Heard) -> None:
        assert heard.opcode == (TEXT if self.json else BINARY)
        receive = self.connection.receive_text if self.json else self.connection.receive_data
        for event in receive(heard.payload):
            if isinstance(event, RemoteProtocolError):
                raise AssertionError(f"the broker broke the protocol: {event}")
            self.heard.append(event)

    async def expect_close(self, code: int | None) -> str:
        """The server closes with this code; the text it gives. Frames before it stay to be heard."""
        before = []
        while (each := await self.hear()) is not None:
            before.append(each)
        self.heard.extend(before)
        assert self.closed is not None, "the end without a Close"
        assert self.closed[0] == code, self.closed
        return self.closed[1]

    async def expect_gone(self) -> None:
        """The server has closed the connection below, too."""
        assert await self.peer.hear() is None


async def dial_web(house: House, *, json: bool = False, host: str = "memory", **headers: str) -> WebDevice:
    """An opened WebSocket on which nothing was said yet."""
    peer = WebPeer(await house.web.dial(host))
    answer = await peer.open(JSON_PROTOCOL if json else BINARY_PROTOCOL, **headers)
    assert answer.status == 101, answer
    return WebDevice(peer, json=json)


async def log_in_web(
    house: House, user: str, terminal: str = "web", device: str | None = None, *, json: bool = False, **connect: Any
) -> WebDevice:
    """A live session over a WebSocket."""
    came = await dial_web(house, json=json, host=connect.pop("host", "memory"))
    connect.setdefault("password", PASSWORD)
    await came.say(Connect(user=user, terminal=terminal, device=device or f"{user}-{terminal}", **connect))
    came.connack = await came.expect(Connack)
    assert came.connack.reason == Reason.SUCCESS, came.connack
    return came
