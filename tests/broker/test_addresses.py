"""What counts as one address."""

import pytest

from roost_broker.addresses import address_block, host_of


@pytest.mark.parametrize(
    ("host", "block"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
        ("memory", "memory"),
        ("", ""),
    ],
)
def test_an_address_by_itself_and_a_site_as_a_whole(host: str, block: str) -> None:
    assert address_block(host) == block


@pytest.mark.parametrize(
    ("address", "host"), [("192.0.2.7:99", "192.0.2.7"), ("[2001:db8::1]:99", "2001:db8::1"), ("admin socket", "")]
)
def test_the_host_of_an_address(address: str, host: str) -> None:
    assert host_of(address) == host
