"""Names and addresses: what looks the same is the same, and nothing invisible gets in."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.strategies import addresses, user_names
from roost_protocol import limits, names
from roost_protocol.names import Address

GOOD = [
    "a",
    "alice",
    "Alice B",
    "李明",
    "José",
    "O'Brien",
    "a.b-c_d@e",
    "🦜",
    "x" * 64,
    "é" * 32,
    "𝄞" * 16,
    "user",
    "12",
]

BAD = {
    "": "1 to 64 bytes",
    "x" * 65: "this one has 65",
    "é" * 33: "this one has 66",
    "𝄞" * 17: "this one has 68",
    "a/b": "no '/'",
    "/": "no '/'",
    "a\x00b": "control",
    "a\nb": "control",
    "a\x7f": "control",
    "a\x85": "control",
    "\ufeffa": "control, format",
    "a\u200bb": "invisible",
    "a\u200db": "invisible",
    "a\u00adb": "invisible",
    "a\u202eb": "invisible",
    "a\u2066b": "invisible",
    "a\u061cb": "invisible",
    "a\u034fb": "invisible",
    "\u3164": "invisible",
    "\u115f": "invisible",
    "a\ufe0f": "invisible",
    "a\U000e0101": "invisible",
    "a\U000e0041": "invisible",
    "a\u00a0b": "invisible",
    "a\u2003b": "invisible",
    "a\u3000b": "invisible",
    "a\u2028b": "invisible",
    "a\ue000": "unassigned",
    "a\U0010ffff": "unassigned",
    "\ud800": "unassigned",
    "a\udfff": "unassigned",
    " a": "space",
    "a ": "space",
    " ": "space",
    "e\u0301": "normal form C",
    "\u212b": "normal form C",
    "\u1100\u1161": "normal form C",
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_name_is_returned(name: str) -> None:
    assert names.check_name(name) == name


@pytest.mark.parametrize(("name", "says"), BAD.items(), ids=[ascii(name)[:40] for name in BAD])
def test_a_bad_name_is_refused_and_the_error_says_why(name: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        names.check_name(name)
    str(refused.value).encode()  # whatever the name, the error can be logged and sent
    with pytest.raises(ValueError, match=says):
        names.parse_address(f"user/{name}")


@given(
    st.text(max_size=70)
    | st.text(st.characters(categories=("Cc", "Cf", "Cs", "Zs", "Zl", "Zp", "Mn", "Lo")), max_size=8)
)
def test_no_name_that_is_taken_breaks_a_rule(name: str) -> None:
    try:
        names.check_name(name)
    except ValueError:
        return
    assert 1 <= len(name.encode()) <= limits.NAME_BYTES_MAX
    assert unicodedata.normalize("NFC", name) == name
    assert name.strip() == name
    assert "/" not in name
    assert {unicodedata.category(char)[0] for char in name} <= set("LMNPSZ")
    assert all(char == " " for char in name if unicodedata.category(char)[0] == "Z")


@given(user_names(), st.sampled_from(["user", "group"]))
def test_an_address_comes_apart_in_one_way(name: str, kind: str) -> None:
    address = names.parse_address(f"{kind}/{name}")
    assert address == (kind, name)
    assert str(address) == f"{kind}/{name}"


def test_a_user_and_a_group_may_have_the_same_name() -> None:
    assert names.user_address("team") == "user/team"
    assert names.group_address("team") == "group/team"
    assert names.parse_address("user/team") == Address("user", "team")
    assert names.parse_address("group/team") == Address("group", "team")


@pytest.mark.parametrize(
    "address", ["", "user", "user/", "/bob", "User/bob", "users/bob", "user /bob", " user/bob", "bob"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"an address is|a name has"):
        names.parse_address(address)


@given(addresses())
def test_every_address_fits_its_field(address: str) -> None:
    assert 6 <= len(address) <= limits.NAME_BYTES_MAX + 6


@pytest.mark.parametrize("device", ["a", "phone-1", "A.b_c:9", "x" * 64, "0" * 36])
def test_a_good_device_id(device: str) -> None:
    assert names.check_device_id(device) == device


@pytest.mark.parametrize("device", ["", "x" * 65, "a b", "a/b", "é", "a\n", "\x00", "\ud800"])
def test_a_bad_device_id(device: str) -> None:
    with pytest.raises(ValueError, match="a device id has 1 to 64"):
        names.check_device_id(device)


@pytest.mark.parametrize("terminal", ["phone", "pc", "x", "tv-2", "a_b", "a" * 16])
def test_a_good_terminal_type(terminal: str) -> None:
    assert names.check_terminal(terminal) == terminal


@pytest.mark.parametrize("terminal", ["", "PC", "1x", "-x", "a" * 17, "a b", "é", "pc\n"])
def test_a_bad_terminal_type(terminal: str) -> None:
    with pytest.raises(ValueError, match="a terminal type is"):
        names.check_terminal(terminal)


@pytest.mark.parametrize("content_type", ["text/plain", "a", "text/markdown; charset=utf-8", "x" * 64])
def test_a_good_content_type(content_type: str) -> None:
    assert names.check_content_type(content_type) == content_type


@pytest.mark.parametrize("content_type", ["", "x" * 65, " a", "a ", "a\n", "a\tb", "é", "\x7f"])
def test_a_bad_content_type(content_type: str) -> None:
    with pytest.raises(ValueError, match="a content type is printable ASCII"):
        names.check_content_type(content_type)
