"""The server of the admin API: any bytes as HTTP, read by h11 and us. What may be asked is up to `admin_api`.

Whatever comes, each answer is one, none says that the broker failed, and the connection comes to its end.
"""

from collections.abc import Iterator

from broker.house import House
from fuzz.admin_house import admin_api, asks_for_a_file
from fuzz.codec_json import ODD_JSON
from fuzz.house_case import play, say_and_hear
from fuzz.target import Memory, Target
from fuzz.weighing import weighed
from roost_broker.http.server import Answered, HttpServer, Request, RequestFailed
from roost_broker.http.stream import StreamListener
from roost_broker.transport.memory import MemoryListener

ANSWERED = frozenset(
    {100, 200, 201, 204, 400, 401, 403, 404, 405, 409, 411, 413, 414, 415, 422, 426, 431, 501, 503, 505, 507}
)
"""What may be answered: 500 is a defect."""


def one(data: bytes) -> None:
    """Send it to the admin API's server, and hear it out."""
    play(lambda house: _case(house, data))


async def _case(house: House, data: bytes) -> None:
    listener = MemoryListener(pipe_bytes=1024 * 1024)
    with admin_api(house) as api:

        async def respond(request: Request) -> Answered:
            if asks_for_a_file(request.target):
                raise RequestFailed(403, "Forbidden", "not while it is anybody who asks")
            return await api.respond(request)

        house.core.nursery.start_soon(HttpServer(respond, house.core.limits).serve, StreamListener(listener))
        stream = await listener.dial()
        with weighed():
            heard = await say_and_hear(stream, data)
        listener.close()
    check_answers(heard)


def check_answers(heard: bytes) -> None:
    """Whole answers one after the other, and none that there must not be."""
    while heard:
        head, sign, heard = heard.partition(b"\r\n\r\n")
        assert sign, f"the answer ends inside a head: {head!r}"
        first, *lines = head.split(b"\r\n")
        version, status, *_ = first.split(b" ")
        assert version == b"HTTP/1.1"
        assert int(status) in ANSWERED, first
        headers = {name.lower(): value for name, value in (line.split(b": ", 1) for line in lines)}
        size = int(headers.get(b"content-length", b"0"))
        if not heard or heard.startswith(b"HTTP/1.1 "):
            continue  # the answer to a HEAD
        assert len(heard) >= size, f"{len(heard)} bytes of {size}"
        if headers.get(b"content-type") == b"text/event-stream":
            return  # chunks until the end
        heard = heard[size:]


def _request(line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((line, b"host: roost", *headers, b"", b"")) + body


def seeds() -> Iterator[bytes]:
    """Requests that are right; heads and bodies that are read in two ways, or have no end."""
    json = b"content-type: application/json"
    user = b'{"name":"dave","password":"open sesame"}'
    yield _request(b"GET /v1/status HTTP/1.1")
    yield _request(b"GET /v1/users?limit=2&after=a HTTP/1.1", b"connection: close")
    yield _request(b"POST /v1/users HTTP/1.1", json, b"content-length: %d" % len(user), body=user)
    yield _request(
        b"POST /v1/users HTTP/1.1",
        json,
        b"transfer-encoding: chunked",
        body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(user), user),
    )
    yield _request(b"GET /v1/status HTTP/1.1") * 3
    yield _request(b"HEAD /openapi.json HTTP/1.1") + _request(b"GET /metrics HTTP/1.0")
    yield _request(b"GET /v1/events/follow HTTP/1.1")
    yield _request(b"POST /v1/users HTTP/1.1", json, b"content-length: 4", b"transfer-encoding: chunked", body=user)
    yield _request(b"POST /v1/users HTTP/1.1", json, b"content-length: 4", b"content-length: 40", body=user)
    yield _request(b"POST /v1/users HTTP/1.1", json, b"content-length: 2147483648", body=user)
    yield _request(b"POST /v1/users HTTP/1.1", json, b"content-length: " + b"9" * 5_000)
    yield _request(b"POST /v1/users HTTP/1.1", json, b"content-length: -1", body=user)
    yield _request(b"POST /v1/users HTTP/1.1", json, b"transfer-encoding: chunked", body=b"ffffffffffffffff\r\n" + user)
    yield _request(b"POST /v1/users HTTP/1.1", json, b"transfer-encoding: chunked", body=b"5\r\nabcde0\r\n\r\n")
    yield _request(b"POST /v1/users HTTP/1.1", json, b"transfer-encoding: chunked", body=b"1;" + b"x" * 3_000)
    yield _request(b"POST /v1/users HTTP/1.1", json, b"expect: 100-continue", b"content-length: 40", body=user)
    yield b"GET /" + b"a" * 20_000
    yield b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5_000
    yield b"GET / HTTP/1.1\nhost: roost\n\n"
    yield b"GET / HTTP/1.1\r\nhost: roost\r\n folded: yes\r\n\r\n"
    yield b"GET http://[::1/v1/status HTTP/1.1\r\nhost: roost\r\n\r\n"
    yield b"GET /v1/users/%ff%00%2f..%2f HTTP/1.1\r\nhost: roost\r\n\r\n"
    yield b"GET //[/v1/status HTTP/1.1\r\nhost: roost\r\n\r\n"
    yield b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\0" * 50
    for value in ODD_JSON:
        body = b'{"name":%b,"password":"open sesame"}' % value
        yield _request(b"POST /v1/users HTTP/1.1", json, b"content-length: %d" % len(body), body=body)


TARGET = Target(
    name="http_request",
    one=one,
    documented=(),
    memory=Memory(for_each_byte=32, beside=512 * 1024),
    seeds=seeds,
    tokens=(
        b"GET ", b"HEAD ", b"PUT ", b" HTTP/1.0", b" HTTP/1.1", b"\r\n", b"\r\n\r\n", b"\n", b"content-length: ",
        b"transfer-encoding: chunked\r\n", b"expect: 100-continue\r\n", b"connection: close\r\n",
        b"upgrade: websocket\r\n",
        b"/v1/users", b"/v1/sessions/kick", b"/v1/events/follow", b"%ff", b"%00", b"?limit=1", b"0\r\n\r\n", b"\0",
    ),
    bytes_max=16_384,
)  # fmt: skip
