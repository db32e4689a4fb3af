"""Which pages may speak with a broker, and by which names it is this machine."""

import pytest

from roost_broker.web.origins import may_connect, names_loopback


@pytest.mark.parametrize(
    ("origin", "host", "may"),
    [
        (None, "anything", True),
        ("http://127.0.0.1:7380", "127.0.0.1:7380", True),
        ("http://127.0.0.1:7381", "127.0.0.1:7380", False),
        ("http://localhost:7380", "127.0.0.1:7380", False),
        ("https://chat.example.com", "chat.example.com", True),
        ("https://chat.example.com", "CHAT.example.com:443", True),
        ("http://chat.example.com", "chat.example.com:443", False),
        ("http://chat.example.com", "chat.example.com:80", True),
        ("https://allowed.example", "chat.example.com", True),
        ("https://Allowed.example", "chat.example.com", True),
        ("http://allowed.example", "chat.example.com", False),
        ("null", "null", False),
        ("", "", False),
        ("http://", "", False),
        ("ftp://chat.example.com", "chat.example.com", False),
        ("chat.example.com", "chat.example.com", False),
    ],
)
def test_pages_that_may_connect(origin: str | None, host: str, may: bool) -> None:
    assert may_connect(origin, host, ("https://allowed.example",)) is may


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:7380", "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:7380"])
def test_names_of_this_machine(host: str) -> None:
    assert names_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:7380", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1@x",
             "192.0.2.1", "[2001:db8::1]", "::1", "localhost:7380:1", "localhost/"],
)  # fmt: skip
def test_names_that_may_be_anybodys(host: str) -> None:
    assert not names_loopback(host)
