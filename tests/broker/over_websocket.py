"""One thing said over a WebSocket, as a browser would say it first, and what the broker answers."""

import json
import ssl
from typing import Any

import trio
from trio_websocket import ConnectionClosed, wrap_client_stream


async def answer_to(address: tuple[str, int], said: Any, context: ssl.SSLContext | None = None) -> str:
    """The broker's first message, in JSON; empty if it says none. With a context, over TLS."""
    host, port = address
    below = await trio.open_tcp_stream(host, port)
    stream = below if context is None else trio.SSLStream(below, context, server_hostname=host)
    try:
        async with trio.open_nursery() as nursery:
            socket = await wrap_client_stream(nursery, stream, host, "/ws", subprotocols=["roost.v1.json"])
            try:
                await socket.send_message(json.dumps(said))
                return str(await socket.get_message())
            except ConnectionClosed:
                return ""
            finally:
                nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(below)
