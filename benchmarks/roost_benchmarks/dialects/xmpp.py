"""XMPP as a load generator speaks it: messages to bare addresses, carbons to the sender's other devices.

Nothing is parsed. A message is found by its body, which begins with who sent it and its number in a fixed form; a
carbon has the body of the message it copies. XMPP does not acknowledge that a message was stored: after each write the
sender asks the server for something with an `iq`, whose answer says that everything before it was taken.
"""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from zlib import crc32

from roost_benchmarks.dialects.counting import CountingWire
from roost_benchmarks.dialects.port import BrokenPromise, Login

DOMAIN = "localhost"

_REFUSALS = (b"<failure", b"<stream:error", b"id='bind' type='error'", b"type='error' id='bind'")

_ERROR = b"type='error'"
_BOUNCE = re.compile(rb"<message [^>]*type='error'")
"""A message that comes back. The answers to the questions are errors too, of a server that has no ping module."""

_BODY = b"<body>"
_SENDER_CHARS, _NUMBER_CHARS = 8, 10
_MARK_CHARS = _SENDER_CHARS + _NUMBER_CHARS
_SETTLED = b"id='settled-"
_NUMBER_END = b"'"
_KEPT_BYTES = 64
"""Bytes of the end of what was read that may be the beginning of something: more than any of the words looked for."""

_STREAM = (
    f"<?xml version='1.0'?><stream:stream to='{DOMAIN}' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
).encode()
_BIND = "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{}</resource></bind></iq>"
_CARBONS = b"<iq type='set' id='carbons'><enable xmlns='urn:xmpp:carbons:2'/></iq>"
_ASK = "<iq type='get' id='{}' to='" + DOMAIN + "'><ping xmlns='urn:xmpp:ping'/></iq>"


class XmppWire(CountingWire):
    """See `Wire`."""

    __slots__ = ("_step",)

    def __init__(self, login: Login) -> None:
        super().__init__(login)
        self._step = 0

    def opening(self) -> bytes:
        """See `Wire.opening`."""
        return _STREAM

    def receive(self, data: bytes) -> bytes:
        """See `Wire.receive`."""
        data = self._rest + data
        if not self.live:
            answer = self._log_in(data)
            if not self.live:
                return answer
        if _ERROR in data and (bounce := _BOUNCE.search(data)):
            raise BrokenPromise(f"{self._login.name}: refused: {data[bounce.start() :][:300].decode(errors='replace')}")
        at = 0
        while (found := data.find(_BODY, at)) >= 0:
            mark = found + len(_BODY)
            if len(data) < mark + _MARK_CHARS:
                break
            at = mark + _MARK_CHARS
            number = mark + _SENDER_CHARS
            self._count(int(data[mark:number], 16), int(data[number:at]))
        undecided = found if found >= 0 else max(at, len(data) - _KEPT_BYTES)
        self._rest = data[min(undecided, self._look_for_answer(data)) :]
        return b""

    def ping(self) -> bytes:
        """See `Wire.ping`: white space, which no server asks for here (RFC 6120, 4.6.1)."""
        return b" "

    def _look_for_answer(self, data: bytes) -> int:
        """Note how far the server has come; where an answer begins that is not all there, else the end."""
        found = data.rfind(_SETTLED)
        if found < 0:
            return len(data)
        number = found + len(_SETTLED)
        end = data.find(_NUMBER_END, number)
        if end < 0:
            return found
        self.settled = max(self.settled, int(data[number:end]))
        return len(data)

    def _log_in(self, data: bytes) -> bytes:
        """One step further for each answer that is all there.

        Messages may come from the presence on, before the last answer: `receive` counts what came with that.
        """
        awaited, said = self._steps()[self._step]
        if any(word in data for word in _REFUSALS):
            raise BrokenPromise(f"{self._login.name} could not log in: {data[-300:].decode(errors='replace')}")
        if not all(word in data for word in awaited):
            self._rest = data
            return b""
        self._rest = b""
        self._step += 1
        self.live = self._step == len(self._steps())
        return said

    def _steps(self) -> tuple[tuple[tuple[bytes, ...], bytes], ...]:
        """What is waited for, and what is said then (RFC 6120, sections 6 and 7; XEP-0280)."""
        login = self._login
        secret = b64encode(f"\0{login.user}\0{login.password}".encode()).decode()
        plain = f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>"
        return (
            ((b"</stream:features>",), plain.encode()),
            ((b"<success",), _STREAM),
            ((b"</stream:features>",), _BIND.format(login.terminal).encode()),
            ((b"id='bind'", b"</iq>"), _CARBONS),
            ((b"id='carbons'",), b"<presence/>" + _ASK.format("present").encode()),
            ((b"id='present'", b"</iq>"), b""),
        )


class XmppPublisher:
    """See `Publisher`: a message to each recipient, and one question to the server after each write."""

    def __init__(self, login: Login, users: Sequence[str], body_bytes: int) -> None:
        self._sender = f"{crc32(login.name.encode()):08x}"
        self._rest = "x" * max(0, body_bytes - _MARK_CHARS) + "</body></message>"
        self._heads = [f"<message to='{user}@{DOMAIN}' type='chat'><body>{self._sender}" for user in users]
        self.n = 0

    def frames(self, count: int) -> bytes:
        """See `Publisher.frames`."""
        parts: list[str] = []
        for n in range(self.n + 1, self.n + count + 1):
            tail = f"{n:0{_NUMBER_CHARS}d}{self._rest}"
            for head in self._heads:
                parts += (head, tail)
        self.n += count
        parts.append(_ASK.format(f"settled-{self.n}"))
        return "".join(parts).encode()


class XmppDialect:
    """See `Dialect`. A group is the list of its members, to each of whom the sender writes."""

    name = "xmpp"

    def __init__(self, groups: Mapping[str, Sequence[str]]) -> None:
        self._groups = groups

    def wire(self, login: Login) -> XmppWire:
        """See `Dialect.wire`."""
        return XmppWire(login)

    def publisher(self, login: Login, to: str, body_bytes: int) -> XmppPublisher:
        """See `Dialect.publisher`. A body has at least the 18 characters of its mark."""
        kind, _, name = to.partition("/")
        users = [name] if kind == "user" else [member for member in self._groups[name] if member != login.user]
        return XmppPublisher(login, users, body_bytes)
