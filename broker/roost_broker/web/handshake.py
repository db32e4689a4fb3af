"""The opening handshake of WebSocket (RFC 6455, 4.2) on top of a request that HTTP has read.

No extension is ever accepted: one that compresses has no bound on what comes out of it.
"""

import base64
import binascii
from collections.abc import Callable, Sequence

import trio
from wsproto.utilities import generate_accept_token

from roost_broker.core import Core
from roost_broker.http.server import Answered, Headers, Request, RequestFailed, Upgrade
from roost_broker.http.stream import TransportStream
from roost_broker.server import Server
from roost_broker.transport.websocket import WebSocketTransport
from roost_broker.web.origins import may_connect
from roost_protocol.transcoding import JsonForm
from roost_protocol.websocket import JSON, SUB_PROTOCOLS

VERSION = "13"
KEY_BYTES = 16
"""RFC 6455, 4.1."""


class WebSocketDoor:
    """Opens WebSockets, and hands each to the server of all connections."""

    def __init__(self, core: Core, server: Server, origins: Sequence[str]) -> None:
        self._core = core
        self._server = server
        self._origins = origins
        self._json = JsonForm()

    def respond(self, request: Request) -> Answered:
        """The answer to who asks for a WebSocket. Raises RequestFailed."""
        try:
            sub_protocol = self._checked(request)
        except _Refused as refused:
            self._core.metrics.web.handshakes_refused[refused.why] += 1
            raise
        self._core.metrics.web.handshakes[sub_protocol] += 1
        token = generate_accept_token(request.headers["sec-websocket-key"].encode("latin-1")).decode()
        headers = (("upgrade", "websocket"), ("sec-websocket-accept", token), ("sec-websocket-protocol", sub_protocol))
        return Upgrade(headers=headers, take=self._taker(sub_protocol))

    def _checked(self, request: Request) -> str:
        """The sub-protocol to speak. Raises _Refused."""
        headers = request.headers
        if request.method != "GET":
            raise _Refused("method", 405, f"a WebSocket is asked for by GET, not {request.method}", (("allow", "GET"),))
        if request.version != "1.1" or not _has(headers.get("upgrade"), "websocket"):
            text = "this is a WebSocket: ask for it with Upgrade: websocket, in HTTP/1.1"
            raise _Refused("headers", 426, text, (("upgrade", "websocket"), ("connection", "upgrade")))
        if not _has(headers.get("connection"), "upgrade"):
            raise _Refused("headers", 400, "the header Connection has to say Upgrade")
        if headers.get("sec-websocket-version") != VERSION:
            found = headers.get("sec-websocket-version", "none")[:20]
            text = f"version {found} of WebSocket; {VERSION} is spoken here"
            raise _Refused("version", 426, text, (("sec-websocket-version", VERSION), ("upgrade", "websocket")))
        if not _is_key(headers.get("sec-websocket-key", "")):
            raise _Refused("headers", 400, f"Sec-WebSocket-Key is {KEY_BYTES} bytes in base64")
        if not may_connect(headers.get("origin"), headers.get("host", ""), self._origins):
            text = f"a page of {headers.get('origin', '')[:200]} may not connect here; see web_origins"
            raise _Refused("origin", 403, text)
        offered = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
        ours = [name for name in offered if name in SUB_PROTOCOLS]
        if not ours:
            text = f"none of the sub-protocols that are offered is one of {' and '.join(SUB_PROTOCOLS)}"
            raise _Refused("sub_protocol", 400, text)
        return ours[0]

    def _taker(self, sub_protocol: str) -> Callable[[trio.abc.Stream, bytes], None]:
        def take(stream: trio.abc.Stream, received: bytes) -> None:
            if not isinstance(stream, TransportStream):
                raise AssertionError(f"a WebSocket over {stream!r}")
            core = self._core
            transport = WebSocketTransport(
                stream.transport, core.limits, json=self._json if sub_protocol == JSON else None, received=received
            )
            core.nursery.start_soon(self._server.serve_connection, transport)

        return take


class _Refused(RequestFailed):
    """The handshake ends here; `why` is how it is counted."""

    def __init__(self, why: str, status: int, text: str, headers: Headers = ()) -> None:
        super().__init__(status, _TITLES[status], text, headers)
        self.why = why


_TITLES = {400: "Bad Request", 403: "Forbidden", 405: "Method Not Allowed", 426: "Upgrade Required"}


def _has(value: str | None, word: str) -> bool:
    """Whether a list of words with commas has this one, in whatever case."""
    return value is not None and word in (each.strip().lower() for each in value.split(","))


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == KEY_BYTES
    except (binascii.Error, ValueError):
        return False
