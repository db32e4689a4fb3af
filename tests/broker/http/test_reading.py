"""What is sent is read in one way or not at all."""

from typing import Annotated, Literal

import pytest
from msgspec import Meta

from roost_broker.http.reading import read_body, read_name, read_query, read_target
from roost_broker.http.server import Request, RequestFailed
from roost_protocol.admin.route import Asked


class Many(Asked, frozen=True, kw_only=True):
    """A field of every kind."""

    number: int | None = None
    small: Annotated[int, Meta(ge=0, le=9)] = 0
    amount: float = 0
    yes: bool = False
    text: str = ""
    maybe: str | None = None
    word: Literal["one", "two"] = "one"
    words: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()


@pytest.mark.parametrize(
    ("query", "means"),
    [
        ("", Many()),
        ("&&", Many()),
        ("number=5&small=9&amount=1.5&yes=true", Many(number=5, small=9, amount=1.5, yes=True)),
        ("number=-1&amount=1e3&yes=false", Many(number=-1, amount=1_000.0)),
        ("text=&maybe=null&word=two", Many(maybe="null", word="two")),
        ("text=a+b%26c&maybe=5", Many(text="a b&c", maybe="5")),
        ("text=NaN&maybe=%E2%99%9F", Many(text="NaN", maybe="♟")),
        ("words=a&words=b&words=a", Many(words=("a", "b", "a"))),
        ("numbers=1&text=x&numbers=2", Many(numbers=(1, 2), text="x")),
    ],
)
def test_a_query_is_as_its_type_has_it(query: str, means: Many) -> None:
    assert read_query(Many, query) == means


@pytest.mark.parametrize(
    "query",
    [
        *(f"number={value}" for value in ("", "null", "nan", "x", "+1", "01", "1_0", "%201", "0x1", "١", "true")),
        "number=1.5",
        *(f"amount={value}" for value in ("nan", "NaN", "inf", "-Infinity", "null", "", ".5", "1.")),
        *(f"yes={value}" for value in ("", "1", "TRUE", "yes", "null")),
        "small=10", "small=-1", f"small={2**63}", f"small={2**64}", "small=" + "9" * 10_000,
        "word=three", "word=", "word=null", "numbers=1&numbers=x", "numbers=",
        "text=a&text=b", "text=a&text=a", "number=1&number=1", "unknown=1", "=", "text=%FF", "%FF=1", "text=%ED%A0%80",
    ],
)  # fmt: skip
def test_a_query_that_could_mean_something_else_is_refused(query: str) -> None:
    with pytest.raises(RequestFailed, match="the query") as failed:
        read_query(Many, query)
    assert failed.value.problem.status == 400
    assert len(failed.value.problem.detail) < 300


def test_names_of_a_path_are_text() -> None:
    assert read_name("Zo%C3%AB%2F%00") == "Zoë/\0"
    for segment in ("%FF", "%C3", "%ED%A0%80"):
        with pytest.raises(RequestFailed, match="is not UTF-8"):
            read_name(segment)


def asked(target: str = "/", body: bytes = b"{}", content_type: str | None = "application/json") -> Request:
    headers = {} if content_type is None else {"content-type": content_type}
    return Request(method="POST", target=target, headers=headers, body=body)


def test_a_target_that_is_none() -> None:
    assert read_target(asked("/a?b=c#d")).path == "/a"
    with pytest.raises(RequestFailed, match="the target"):
        read_target(asked("http://[/"))


def test_a_body_is_json_of_its_type() -> None:
    assert read_body(Many, asked(body=b'{"number": 5, "words": ["a"]}')) == Many(number=5, words=("a",))
    for content_type in (None, "", "text/json", "application/json-patch+json"):
        with pytest.raises(RequestFailed) as failed:
            read_body(Many, asked(content_type=content_type))
        assert failed.value.problem.status == 415


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"5", b"{} {}", b"\xff", b'{"text": "\xff"}', b'{"text": "\\ud800"}',
        b'{"unknown": 1}', b'{"number": "5"}', b'{"number": 1.5}', b'{"amount": NaN}', b'{"amount": Infinity}',
        b'{"amount": 1e999}', b'{"number": ' + b"9" * 100_000 + b"}",
        b'{"text": "a", "text": "b"}', b'{"text": "a", "te\\u0078t": "b"}', b'{"words": null}',
        b"[" * 100_000, b'{"text":' * 100_000, b'{"words": ' + b"[" * 100_000,
    ],
    ids=range(22),
)  # fmt: skip
def test_a_body_that_is_not_is_refused(body: bytes) -> None:
    with pytest.raises(RequestFailed, match="the body") as failed:
        read_body(Many, asked(body=body))
    assert failed.value.problem.status == 400
    assert len(failed.value.problem.detail) < 300
