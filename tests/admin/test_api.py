"""The admin API as the command sees it: every way of not getting an answer has its line and its exit status."""

import http.client
import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from roost_admin.api import AdminApi
from roost_admin.failures import (
    EX_CONFIG,
    EX_DATAERR,
    EX_NOPERM,
    EX_NOUSER,
    EX_SOFTWARE,
    EX_TEMPFAIL,
    EX_UNAVAILABLE,
    Failure,
)
from roost_protocol.admin.groups import GROUPS_CHANGE, GROUPS_LIST, GroupChange
from roost_protocol.admin.status import STATUS

NOBODY = 65_534
"""The user that owns nothing, on every Linux."""


@contextmanager
def answering(path: Path, *answers: bytes) -> Iterator[list[bytes]]:
    """A stand-in for the broker: gives these answers, one on each connection, and keeps what it was asked."""
    asked: list[bytes] = []
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()

    def serve() -> None:
        for answer in answers:
            connection, _ = listening.accept()
            with connection:
                asked.append(whole_request(connection))
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked
    finally:
        thread.join(10)
        listening.close()


def whole_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65_536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    while length and len(body) < int(length[1]):
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


def answer(status: int, body: object) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} {http.client.responses[status]}\r\ncontent-length: {len(data)}\r\n\r\n"
    return head.encode() + data


@pytest.mark.parametrize(
    ("status", "exit_status"),
    [
        (400, EX_DATAERR),
        (403, EX_NOPERM),
        (404, EX_NOUSER),
        (409, EX_DATAERR),
        (413, EX_DATAERR),
        (422, EX_DATAERR),
        (500, EX_SOFTWARE),
        (503, EX_TEMPFAIL),
        (507, EX_TEMPFAIL),
    ],
)
def test_a_refusal_says_why(tmp_path: Path, status: int, exit_status: int) -> None:
    problem = {"status": status, "title": "In Short", "detail": "at length"}
    with answering(tmp_path / "s", answer(status, problem)), pytest.raises(Failure, match=r"^at length$") as caught:
        AdminApi(tmp_path / "s").ask(STATUS)
    assert caught.value.exit_code == exit_status


def test_a_refusal_that_is_no_problem_document(tmp_path: Path) -> None:
    with answering(tmp_path / "s", answer(503, b"<html>")), pytest.raises(Failure, match="503") as caught:
        AdminApi(tmp_path / "s").ask(STATUS)
    assert caught.value.exit_code == EX_TEMPFAIL


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"version": 1}', b'{"version": ' + b"[" * 50_000])
def test_an_answer_of_another_shape(tmp_path: Path, body: bytes) -> None:
    with answering(tmp_path / "s", answer(200, body)), pytest.raises(Failure, match="version") as caught:
        AdminApi(tmp_path / "s").ask(STATUS)
    assert caught.value.exit_code == EX_SOFTWARE


@pytest.mark.parametrize("data", [b"", b"SSH-2.0\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"])
def test_an_answer_that_is_none(tmp_path: Path, data: bytes) -> None:
    with answering(tmp_path / "s", data), pytest.raises(Failure, match="did not answer") as caught:
        AdminApi(tmp_path / "s").ask(STATUS)
    assert caught.value.exit_code == EX_UNAVAILABLE


def test_an_answer_that_does_not_come(tmp_path: Path) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "s"))
    listening.listen()
    with listening, pytest.raises(Failure, match=r"did not answer in 0\.05 s") as caught:
        AdminApi(tmp_path / "s", timeout_s=0.05).ask(STATUS)
    assert caught.value.exit_code == EX_TEMPFAIL


def test_pages_are_followed_to_the_end(tmp_path: Path) -> None:
    def page(name: str, following: str | None) -> bytes:
        return answer(200, {"groups": [{"name": name, "owner": "o", "members": ["o"]}], "next": following})

    with answering(tmp_path / "s", page("a", "a/ü"), page("b", None)) as asked:
        groups = list(AdminApi(tmp_path / "s").rows(GROUPS_LIST, lambda page: page.groups))
    assert [group.name for group in groups] == ["a", "b"]
    assert asked[0].startswith(b"GET /v1/groups HTTP/1.1")
    assert asked[1].startswith(b"GET /v1/groups?after=a%2F%C3%BC HTTP/1.1")


def test_names_are_escaped_in_a_path(tmp_path: Path) -> None:
    group = {"name": "a b/?#", "owner": "o", "members": ["o"]}
    with answering(tmp_path / "s", answer(200, group)) as asked:
        AdminApi(tmp_path / "s").ask(GROUPS_CHANGE, "a b/?#", body=GroupChange(add=("x",)))
    assert asked[0].startswith(b"POST /v1/groups/a%20b%2F%3F%23/members HTTP/1.1")


def test_no_socket(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="roost serve") as caught:
        AdminApi(tmp_path / "nothing").ask(STATUS)
    assert caught.value.exit_code == EX_UNAVAILABLE
    assert str(tmp_path / "nothing") in str(caught.value)


def test_a_socket_that_nobody_listens_on(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(tmp_path / "s"))
    with pytest.raises(Failure, match="nobody listens") as caught:
        AdminApi(tmp_path / "s").ask(STATUS)
    assert caught.value.exit_code == EX_UNAVAILABLE


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="too long") as caught:
        AdminApi(tmp_path / ("x" * 200)).ask(STATUS)
    assert caught.value.exit_code == EX_CONFIG


def test_no_right_to_the_socket(tmp_path: Path) -> None:
    """Only the broker's user may. Root may everything, and becomes nobody for this test."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        (tmp_path / "s").chmod(0)
        try:
            if os.getuid() == 0:
                os.seteuid(NOBODY)
            with pytest.raises(Failure, match="no right") as caught:
                AdminApi(tmp_path / "s").ask(STATUS)
        finally:
            os.seteuid(os.getuid())
    assert caught.value.exit_code == EX_NOPERM
