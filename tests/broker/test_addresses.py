"""What counts as one address."""

import pytest

from roost_broker.addresses import Census, address_block, host_of


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


def test_a_census_keeps_nothing_of_a_block_of_which_nobody_is_left() -> None:
    census = Census()
    with census.one("a"), census.one("b"), census.one("a"):
        assert (census.total, census.of("a"), census.of("b"), census.of("c")) == (3, 2, 1, 0)
    assert census.total == 0
    assert vars(census)["_of"] == {}


def test_who_ends_with_an_error_is_gone_as_well() -> None:
    census = Census()

    def end_badly() -> None:
        with census.one("a"):
            raise ValueError("gone")

    with pytest.raises(ValueError, match="gone"):
        end_badly()
    assert (census.total, census.of("a")) == (0, 0)
