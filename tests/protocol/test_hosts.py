"""Which hosts are this machine."""

import pytest

from roost_protocol.hosts import is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "192.0.2.1", "::", "10.0.0.1", "localhost.example", "127.example.com", "::2"])
def test_others(host: str) -> None:
    assert not is_loopback(host)
