"""The admin API behind HTTP: every route, with any names, query and body.

A case is: which route, and then what stands in its path for each word (with commas), its query, and its body,
with newlines between the three. The answer is one that the table of routes knows, or a refusal that says why;
none is an internal error.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import msgspec
import trio

from broker.house import House
from fuzz.admin_house import admin_api, asks_for_a_file
from fuzz.codec_json import JSON_TOKENS, ODD_JSON
from fuzz.house_case import play
from fuzz.http_request import ANSWERED
from fuzz.target import Memory, Target
from fuzz.weighing import weighed
from roost_broker.http.reading import read_body
from roost_broker.http.server import EventStream, Request, RequestFailed, Response, problem_response
from roost_protocol.admin.backup import BackupAsked
from roost_protocol.admin.export import ExportedEntry
from roost_protocol.admin.imports import ImportedLine, pack_lines
from roost_protocol.admin.table import ROUTES
from roost_protocol.frames import Entry

EVENTS_MAX = 20
EVENTS_S = 3.0


def one(data: bytes) -> None:
    """Ask for it."""
    play(lambda house: _case(house, data))


async def _case(house: House, data: bytes) -> None:
    request = request_of(data)
    device = await house.log_in("alice")
    await device.publish(1, "user/bob")
    with admin_api(house) as api, weighed():
        if asks_for_a_file(request.target):
            _only_read(request)
            return
        try:
            with trio.fail_after(house.core.limits.http_timeout_s + 1):
                answer = await api.respond(request)
        except RequestFailed as failed:
            answer = problem_response(failed.problem)
        if isinstance(answer, EventStream):
            await _follow(answer.events)
        elif isinstance(answer, Response):
            assert answer.status in ANSWERED
            if answer.content_type.endswith("json"):
                msgspec.json.decode(answer.body)


def _only_read(request: Request) -> None:
    try:
        read_body(BackupAsked, request)
    except RequestFailed:
        pass


async def _follow(events: AsyncIterator[bytes]) -> None:
    with trio.move_on_after(EVENTS_S):
        async with aclosing(events) as told:  # type: ignore[type-var]  # it is a generator
            count = 0
            async for event in told:
                msgspec.json.decode(event)
                count += 1
                if count == EVENTS_MAX:
                    break


def request_of(data: bytes) -> Request:
    """The request that a case stands for."""
    route = ROUTES[(data[0] if data else 0) % len(ROUTES)]
    names, _, rest = data[1:].partition(b"\n")
    query, _, body = rest.partition(b"\n")
    path = route.path
    for name in names.split(b","):
        before, sign, after = path.partition("{")
        if sign:
            path = before + name.decode("latin-1") + after.partition("}")[2]
    target = path + (f"?{query.decode('latin-1')}" if query else "")
    return Request(
        method=route.method,
        target=target,
        headers={"host": "roost", "content-type": "application/json"},
        body=body,
        version="1.1",
        peer=None,
        address="memory:1",
    )


_BODIES: dict[str, tuple[bytes, ...]] = {
    "POST /v1/users": (b'{"name":"dave","password":"open sesame"}',),
    "PUT /v1/users/{user}/password": (b'{"password":"another secret"}',),
    "POST /v1/sessions/kick": (b'{"user":"alice","terminal":"phone","reason":"why"}',),
    "POST /v1/groups": (b'{"name":"team","owner":"alice","members":["bob"]}',),
    "POST /v1/groups/{group}/members": (b'{"add":["bob"],"remove":["carol"]}',),
    "POST /v1/admins": (b'{"name":"olga","role":"operate"}',),
    "POST /v1/messages": (b'{"sender":"alice","to":"user/bob","text":"hi"}',),
    "POST /v1/users/{user}/import": (b'{"created":1,"incarnation":"0123456789abcdef","floor":1,"head":2}',),
    "POST /v1/users/{user}/import/relations": (b'{"contacts":["bob"],"groups":["team"],"check":true}',),
    "POST /v1/fsck": (b"{}",),
    "POST /v1/reload": (b"{}",),
    "POST /v1/drain": (b'{"stop":true}',),
}
_QUERIES = (
    b"",
    b"limit=5&after=alice",
    b"limit=0",
    b"limit=99999999999999999999999999",
    b"after=%ff&after=1",
    b"user=alice&since=1&until=9007199254740991",
    b"before=1&after=1&conversation=user/bob",
    b"newest=3",
)
_ENTRY = Entry(id="018bcfe568000001", time=1, sender="bob", to="user/alice", text="hi")
_LINES = pack_lines((ImportedLine(line=1, entry=ExportedEntry(seq=1, entry=_ENTRY)),))


def seeds() -> Iterator[bytes]:
    """Each route as it is meant, with other queries, and with bodies that make readers stumble."""
    for number, route in enumerate(ROUTES):
        head = bytes([number])
        bodies = _BODIES.get(f"{route.method} {route.path}", (b"{}",))
        names = b"alice,phone" if "{seq}" not in route.path and "{n}" not in route.path else b"alice,1,1"
        for body in bodies if route.takes else (b"",):
            yield head + names + b"\n\n" + body
        if route.query is not None:
            yield from (head + names + b"\n" + query + b"\n" for query in _QUERIES)
        if route.takes is not None:
            fields = [field.encode_name for field in msgspec.structs.fields(route.takes)]
            for place, value in enumerate(ODD_JSON[number % 4 :: 4]):
                key = fields[place % len(fields)] if fields else "a"
                yield head + names + b'\n\n{"%b":%b}' % (key.encode(), value)
        yield head + b"%ff%00,%2f..\nlimit=1\n" + b"[" * 2_000
    entries = msgspec.json.encode({"entries": _LINES, "check": True})
    (number,) = (n for n, route in enumerate(ROUTES) if route.path.endswith("/import/entries"))
    yield bytes([number]) + b"erin\n\n" + entries
    yield bytes([number]) + b"erin\n\n" + msgspec.json.encode({"entries": b"\xdd\xff\xff\xff\xff"})


TARGET = Target(
    name="admin_api",
    one=one,
    documented=(),
    # Bodies are read twice, for keys that come more than once; and a stream of events has its tasks.
    memory=Memory(for_each_byte=64, beside=512 * 1024),
    seeds=seeds,
    tokens=(b"alice", b"bob", b"user/bob", b"\n", b",", b"%ff", b"%00", b"limit=", b"&after=", b"null", *JSON_TOKENS),
    bytes_max=8_192,
)
