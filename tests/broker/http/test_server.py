"""HTTP/1.1: requests one after the other within bounds, and an answer to whatever else comes."""

import errno
import logging
from collections import Counter
from collections.abc import AsyncIterator
from typing import cast

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from broker.house import in_virtual_time
from broker.http.speaking import Door, request, serving
from roost_broker.http.server import LINGER_S, EventStream, HttpServer, Request, RequestFailed, Response
from roost_broker.metrics import HTTP_ENDINGS
from roost_protocol.limits import KIB, Limits

LIMITS = Limits(http_body_bytes_max=4 * KIB, http_timeout_s=30, http_connections_max=2)


async def echo(asked: Request) -> Response:
    """What was asked, as text."""
    if asked.target == "/fail":
        raise RequestFailed(409, "Conflict", "not now")
    if asked.target == "/defect":
        raise ZeroDivisionError
    if asked.target == "/slow":
        await trio.sleep(60)
    return Response(
        status=200,
        body=f"{asked.method} {asked.target} {asked.headers.get('content-type', '')} {len(asked.body)}".encode(),
    )


@in_virtual_time
async def test_requests_one_after_the_other_on_one_connection() -> None:
    async with serving(echo, LIMITS) as door:
        peer = door.dial()
        for n in range(3):
            answer = await peer.ask("POST", f"/{n}", b"x" * n)
            assert (answer.status, answer.body) == (200, f"POST /{n} application/json {n}".encode())
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"


@in_virtual_time
async def test_requests_that_come_in_one_piece_are_answered_in_order() -> None:
    async with serving(echo, LIMITS) as door:
        peer = door.dial()
        await peer.send(b"".join(request("GET", f"/{n}") for n in range(10)))
        assert [(await peer.answer()).body for _ in range(10)] == [f"GET /{n}  0".encode() for n in range(10)]


@in_virtual_time
async def test_a_request_one_byte_at_a_time() -> None:
    async with serving(echo, LIMITS) as door:
        peer = door.dial()
        for byte in request("POST", "/a", b"xyz"):
            await peer.send(bytes([byte]))
        assert (await peer.answer()).body == b"POST /a application/json 3"


@in_virtual_time
async def test_head_has_the_headers_and_no_body() -> None:
    async with serving(echo, LIMITS) as door:
        peer = door.dial()
        answer = await peer.ask("HEAD", "/a")
        assert (answer.status, answer.headers["content-length"]) == (200, str(len("HEAD /a  0")))
        assert (await peer.ask("GET", "/b")).body == b"GET /b  0", "nothing of it came after"


@in_virtual_time
async def test_a_body_in_chunks() -> None:
    async with serving(echo, LIMITS) as door:
        peer = door.dial()
        await peer.send(
            b"POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        )
        assert (await peer.answer()).body == b"POST /a  5"


@in_virtual_time
async def test_a_client_that_waits_to_be_told_to_go_on_is_told() -> None:
    async with serving(echo, LIMITS) as door:
        peer = door.dial()
        await peer.send(request("POST", "/a", None, content_length="3", expect="100-continue"))
        assert (await peer.answer()).status == 100
        await peer.send(b"abc")
        assert (await peer.answer()).body == b"POST /a  3"


@in_virtual_time
async def test_a_client_that_wants_to_end_is_let_go() -> None:
    async with serving(echo, LIMITS) as door:
        peer = door.dial()
        assert (await peer.ask("GET", "/a", connection="close")).status == 200
        await peer.expect_end()
        old = door.dial()
        await old.send(b"GET /a HTTP/1.0\r\n\r\n")
        assert (await old.answer()).status == 200
        await old.expect_end()


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "DELETE"])
@pytest.mark.parametrize("chunked", [False, True])
@in_virtual_time
async def test_a_body_that_is_too_large(method: str, chunked: bool, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(echo, LIMITS) as door:
        peer = door.dial()
        body = b"x" * (5 * KIB)
        if chunked:
            sent = request(method, "/a", None, transfer_encoding="chunked")
            body = b"".join(b"400\r\n" + b"x" * 1024 + b"\r\n" for _ in range(5))
        else:
            sent = request(method, "/a", None, content_length="1000000000")
        await peer.send(sent + body)
        answer = await peer.answer(head=method == "HEAD")
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        await peer.expect_end()
        assert (await door.dial().ask("GET", "/b")).status == 200
    assert not caplog.records


@in_virtual_time
async def test_a_body_as_large_as_allowed() -> None:
    async with serving(echo, LIMITS) as door:
        assert (await door.dial().ask("POST", "/a", b"x" * 4 * KIB)).body.endswith(b"4096")


@pytest.mark.parametrize(
    "sent",
    [
        b"rubbish\r\n\r\n",
        b"\0\0\0\x05\x01\x80\x80\x80\x80\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # without Host
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\na: \0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzzz\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"x" * 70_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)
@in_virtual_time
async def test_what_is_no_request_is_told_so(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(echo, LIMITS) as door:
        peer = door.dial()
        await peer.send(sent)
        answer = await peer.answer()
        assert 400 <= answer.status < 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json["status"] == answer.status
        await peer.expect_end()
    assert not caplog.records


@pytest.mark.parametrize("method", ["CONNECT", "OPTIONS", "TRACE", "PATCH", "get", "X"])
@in_virtual_time
async def test_any_method_gets_an_answer(method: str, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(echo, LIMITS) as door:
        peer = door.dial()
        assert (await peer.ask(method, "/fail", upgrade="websocket", connection="upgrade")).status == 409
        assert (await door.dial().ask("GET", "/")).status == 200
    assert not caplog.records


@in_virtual_time
async def test_a_request_that_fails_is_a_problem_and_the_connection_goes_on() -> None:
    async with serving(echo, LIMITS) as door:
        peer = door.dial()
        answer = await peer.ask("GET", "/fail")
        assert (answer.status, answer.headers["content-type"]) == (409, "application/problem+json")
        assert answer.json == {"status": 409, "title": "Conflict", "detail": "not now"}
        assert (await peer.ask("GET", "/a")).status == 200


@in_virtual_time
async def test_a_defect_is_logged_whole_and_says_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(echo, LIMITS) as door:
        peer = door.dial()
        answer = await peer.ask("GET", "/defect")
        assert (answer.status, answer.json["detail"]) == (500, "see the broker's log")
        assert b"ZeroDivision" not in answer.body
        assert (await peer.ask("GET", "/a")).status == 200
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info


@pytest.mark.parametrize("sent", [b"", b"GET / HT", request("POST", "/a", None, content_length="10") + b"x"])
@in_virtual_time
async def test_a_peer_that_says_nothing_more_is_closed_in_time(sent: bytes) -> None:
    async with serving(echo, LIMITS) as door:
        peer = door.dial()
        await peer.send(sent)
        await peer.expect_end()
        assert trio.current_time() == pytest.approx(30, abs=0.1)


@in_virtual_time
async def test_an_answer_that_takes_too_long_ends_the_connection() -> None:
    async with serving(echo, LIMITS) as door:
        peer = door.dial()
        await peer.send(request("GET", "/slow"))
        await peer.expect_end()
        assert trio.current_time() == pytest.approx(30, abs=0.1)


@pytest.mark.parametrize("sent", [b"", b"GET / HT", request("GET", "/a"), request("POST", "/a", b"abc")[:-1]])
@in_virtual_time
async def test_a_peer_that_goes_away_is_no_error(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(echo, LIMITS) as door:
        for how in ("aclose", "send_eof"):
            peer = door.dial()
            await peer.send(sent)
            await getattr(peer.stream, how)()
            await trio.sleep(1)
        assert (await door.dial().ask("GET", "/a")).status == 200
    assert not caplog.records


@in_virtual_time
async def test_so_many_are_served_at_once() -> None:
    async with serving(echo, LIMITS) as door:
        first, second, third = door.dial(), door.dial(), door.dial()
        await trio.sleep(1)
        for peer in (first, second, third):
            await peer.send(b"GET")
        await trio.sleep(1)
        await third.send(b" /a HTTP/1.1\r\nhost: x\r\n\r\n")
        with trio.move_on_after(1) as scope:
            await third.answer()
        assert scope.cancelled_caught, "it has no place yet"
        for peer in (first, second):
            await peer.send(b" /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert (await peer.answer()).status == 200
        assert (await third.answer()).status == 200


@settings(max_examples=60)
@given(
    pieces=st.lists(
        st.one_of(
            st.sampled_from([request("GET", "/a"), request("POST", "/b", b"{}"), b"\r\n"]), st.binary(max_size=30)
        ),
        max_size=6,
    )
)
def test_whatever_comes_the_server_goes_on(pieces: list[bytes]) -> None:
    async def main() -> None:
        async with serving(echo, LIMITS) as door:
            peer = door.dial()
            for piece in pieces:
                await peer.send(piece)
            with trio.move_on_after(100):
                while data := await peer.stream.receive_some():
                    assert b"HTTP/1.1 5" not in data
            assert (await door.dial().ask("GET", "/a")).status == 200

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def ticks(asked: Request) -> EventStream:
    """An event now and then: `target` says how many, and how far apart."""
    count, seconds = map(int, asked.target.strip("/").split("/"))

    async def events() -> AsyncIterator[bytes]:
        for n in range(count):
            await trio.sleep(seconds)
            yield str(n).encode()

    return EventStream(events=events())


def chunks(data: bytes) -> bytes:
    """What chunked transfer coding carries (RFC 9112, 7.1)."""
    whole = b""
    while data and not data.startswith(b"0\r\n"):
        size, _, rest = data.partition(b"\r\n")
        whole, data = whole + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return whole


@in_virtual_time
async def test_events_follow_one_another_until_they_end() -> None:
    async with serving(ticks, LIMITS) as door:
        peer = door.dial()
        await peer.send(request("GET", "/3/1"))
        answer = await peer.answer()
        assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
        assert chunks(await peer.rest()) == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"


@in_virtual_time
async def test_a_silent_stream_says_that_it_is_there_longer_than_a_request_may_take() -> None:
    async with serving(ticks, LIMITS) as door:
        peer = door.dial()
        await peer.send(request("GET", "/1/40"))
        await peer.answer()
        assert chunks(await peer.rest()) == b": still here\n\n: still here\n\ndata: 0\n\n"


@in_virtual_time
async def test_a_peer_that_goes_ends_its_events() -> None:
    ended = trio.Event()

    async def wait_for_ever() -> AsyncIterator[bytes]:
        try:
            while True:
                await trio.sleep(1_000)
                yield b""
        finally:
            ended.set()

    async def forever(asked: Request) -> EventStream:
        return EventStream(events=wait_for_ever())

    async with serving(forever, LIMITS) as door:
        peer = door.dial()
        await peer.send(request("GET", "/"))
        await peer.answer()
        await peer.stream.aclose()
        with trio.fail_after(1):
            await ended.wait()


@in_virtual_time
async def test_a_peer_that_takes_no_events_is_let_go() -> None:
    async def many(asked: Request) -> EventStream:
        async def events() -> AsyncIterator[bytes]:
            while True:
                yield b"x"

        return EventStream(events=events())

    limits = Limits(http_timeout_s=1, http_connections_max=1)
    async with serving(many, limits) as door:
        peer = door.dial(lockstep=True)
        await peer.send(request("GET", "/"))
        with trio.fail_after(5):
            second = door.dial()
            await second.send(request("HEAD", "/"))
            assert (await second.answer(head=True)).status == 200


@in_virtual_time
async def test_a_peer_that_goes_amid_its_events_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    ended = trio.Event()

    async def many(asked: Request) -> EventStream:
        async def events() -> AsyncIterator[bytes]:
            try:
                while True:
                    await trio.sleep(0.001)
                    yield b"x" * 1_000
            finally:
                ended.set()

        return EventStream(events=events())

    async with serving(many, LIMITS) as door:
        for how in ("aclose", "send_eof"):
            peer = door.dial(lockstep=True)
            await peer.send(request("GET", "/"))
            await peer.answer()
            await peer.stream.receive_some(10)
            await getattr(peer.stream, how)()
            with trio.fail_after(5):
                await ended.wait()
            ended = trio.Event()
            await trio.sleep(1)
    assert not caplog.records


@in_virtual_time
async def test_events_that_nobody_waits_for_any_more_are_ended_at_once() -> None:
    """Not when the collector comes by: until then they would hold on to what they listen to."""
    ended = trio.Event()

    async def at_once(asked: Request) -> EventStream:
        async def events() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x"
                    await trio.lowlevel.checkpoint()
            finally:
                ended.set()

        return EventStream(events=events())

    async with serving(at_once, Limits(http_timeout_s=1)) as door:
        peer = door.dial(lockstep=True)
        await peer.send(request("GET", "/"))
        await peer.answer()
        await peer.stream.receive_some(10)
        await peer.stream.aclose()
        with trio.fail_after(5):
            await ended.wait()


@in_virtual_time
async def test_a_refusal_is_seen_by_a_peer_that_sends_its_whole_body_first(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(echo, LIMITS) as door:
        peer = door.dial(lockstep=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.stream.send_all, request("POST", "/a", b"x" * 10 * 1024 * KIB))
            answer = await peer.answer()
        assert answer.status == 413
        await peer.stream.aclose()
    assert not caplog.records


@in_virtual_time
async def test_but_not_for_ever() -> None:
    async with serving(echo, LIMITS) as door:
        peer = door.dial()
        await peer.send(request("POST", "/a", None, content_length="1000000000000"))
        assert (await peer.answer()).status == 413
        began = trio.current_time()
        while not peer.gone:
            await peer.send(b"x" * 1_000)
            await trio.sleep(0.1)
        assert trio.current_time() - began <= LINGER_S + 0.2


@in_virtual_time
async def test_what_is_wrong_after_head_has_its_body() -> None:
    async with serving(echo, LIMITS) as door:
        peer = door.dial()
        await peer.ask("HEAD", "/a")
        await peer.send(b"rubbish\r\n\r\n")
        answer = await peer.answer()
        assert (answer.status, answer.json["status"]) == (400, 400)


@pytest.mark.parametrize("name", ["Authorization", "content-type"])
@in_virtual_time
async def test_a_header_that_must_not_come_twice(name: str) -> None:
    async with serving(echo, LIMITS) as door:
        peer = door.dial()
        await peer.send(f"GET /a HTTP/1.1\r\nhost: x\r\n{name}: a\r\n{name.lower()}: b\r\n\r\n".encode())
        answer = await peer.answer()
        assert answer.status == 400
        assert "more than once" in answer.json["detail"]


@in_virtual_time
async def test_an_answer_may_have_headers_of_its_own() -> None:
    async def respond(asked: Request) -> Response:
        if asked.target == "/fail":
            raise RequestFailed(405, "Method Not Allowed", "not so", (("allow", "GET"),))
        return Response(status=200, body=b"{}", headers=(("x-more", "1"),))

    async with serving(respond, LIMITS) as door:
        peer = door.dial()
        assert (await peer.ask("GET", "/fail")).headers["allow"] == "GET"
        assert (await peer.ask("GET", "/")).headers["x-more"] == "1"


class CountingDoor(Door):
    """Counts how many were let in; fails for want of descriptors now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.accepted = 0
        self.faults: list[OSError] = []

    async def accept(self) -> trio.abc.Stream:
        if self.faults:
            raise self.faults.pop()
        stream = await super().accept()
        self.accepted += 1
        return stream


@in_virtual_time
async def test_whoever_has_no_place_is_not_let_in() -> None:
    """An open connection costs a descriptor, of which devices need most."""
    door = CountingDoor()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(HttpServer(echo, LIMITS).serve, cast("trio.SocketListener", door))
        peers = [door.dial() for _ in range(50)]
        await trio.sleep(1)
        assert door.accepted == LIMITS.http_connections_max
        for peer in peers:
            assert (await peer.ask("GET", "/a", connection="close")).status == 200
        nursery.cancel_scope.cancel()


@in_virtual_time
async def test_no_more_descriptors_are_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    door = CountingDoor()
    door.faults = [OSError(errno.EMFILE, "Too many open files"), OSError(errno.ENFILE, "Too many open files")]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(HttpServer(echo, LIMITS).serve, cast("trio.SocketListener", door))
        assert (await door.dial().ask("GET", "/a")).status == 200
        nursery.cancel_scope.cancel()
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2


@in_virtual_time
async def test_whoever_ends_the_server_can_wait_until_everybody_is_answered() -> None:
    """But not for streams, which have no end of their own, and not for peers that ask nothing."""
    asked = trio.Event()
    go_on = trio.Event()

    async def respond(request: Request) -> Response | EventStream:
        if request.target == "/stream":
            return EventStream(events=ticking())
        asked.set()
        await go_on.wait()
        return Response(status=200, body=b"")

    async def ticking() -> AsyncIterator[bytes]:
        while True:
            yield b"0"
            await trio.sleep(1)

    door = Door()
    server = HttpServer(respond, LIMITS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve, cast("trio.SocketListener", door))
        stream, peer = door.dial(), door.dial()
        await stream.send(request("GET", "/stream"))
        await stream.answer()
        with trio.fail_after(1):
            await server.wait_answered()
        await peer.send(request("GET", "/"))
        await asked.wait()
        with trio.move_on_after(1) as scope:
            await server.wait_answered()
        assert scope.cancelled_caught
        go_on.set()
        with trio.fail_after(1):
            await server.wait_answered()
        assert (await peer.answer()).status == 200
        nursery.cancel_scope.cancel()


@in_virtual_time
async def test_places_change_hands_as_fast_as_peers_come() -> None:
    """A crowd that asks for nothing is in front of the one who does: he waits as long as they may keep their places."""
    door = Door()
    closed: Counter[str] = Counter()
    server = HttpServer(echo, LIMITS, connections_max=40, idle_kept_s=1, closed=closed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve, cast("trio.SocketListener", door))
        crowd = [door.dial() for _ in range(80)]
        asked = await door.dial().ask("GET", "/a", connection="close")
        assert asked.status == 200
        assert trio.current_time() < 3
        assert closed["place_taken"] > 40
        assert closed["place_taken"] + closed["answered"] <= len(crowd) + 1
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (request("GET", "/a", connection="close"), "answered"),
        (b"GET / HTTP/1.1\r\n\r\n", "bad_request"),
        (b"", "peer_gone"),
        (b"GET / HTTP/1.1\r\n", "timeout"),
    ],
)
@in_virtual_time
async def test_why_connections_end_is_counted(said: bytes, why: str) -> None:
    door = Door()
    closed: Counter[str] = Counter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(HttpServer(echo, LIMITS, closed=closed).serve, cast("trio.SocketListener", door))
        peer = door.dial()
        await peer.send(said)
        if why == "peer_gone":
            await peer.stream.aclose()
        await trio.sleep(2 * LIMITS.http_timeout_s)
        assert closed == {why: 1}
        assert why in HTTP_ENDINGS
        nursery.cancel_scope.cancel()


@in_virtual_time
async def test_two_lengths_are_none() -> None:
    """Whoever stands in between may go by the other one, and take the rest for another's request."""
    async with serving(echo, LIMITS) as door:
        peer = door.dial()
        inner = request("GET", "/smuggled")
        head = b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        await peer.send(head % (len(inner) + 5) + inner)
        assert (await peer.answer()).status == 400
        await peer.expect_end()


@in_virtual_time
async def test_another_version_of_http() -> None:
    async with serving(echo, LIMITS) as door:
        peer = door.dial()
        await peer.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert (await peer.answer()).status == 505
        await peer.expect_end()
