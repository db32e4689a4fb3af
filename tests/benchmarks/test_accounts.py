"""Accounts that are given, and those that are made."""

import stat
from pathlib import Path

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from roost_benchmarks.accounts import PREFIX, UnusableAccounts, given, keep, made

NAMES = st.text("abcxyz0123-_.", min_size=1, max_size=8)
PASSWORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


@for_all(st.dictionaries(NAMES, PASSWORDS, min_size=1, max_size=5))
def test_what_was_kept_is_given(tmp_path_factory: pytest.TempPathFactory, accounts: dict[str, str]) -> None:
    path = tmp_path_factory.mktemp("accounts") / "users"
    keep(accounts, path)
    assert given(path, len(accounts)) == accounts
    assert given(path, 1) == dict([next(iter(accounts.items()))])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("a:b\n")
    with pytest.raises(FileExistsError):
        keep({"c": "d"}, tmp_path / "users")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has 0 accounts, this run needs 2"),
        ("a:secret\n\n# b:x\n", "has 1 accounts"),
        ("a:secret\nb\n", "line 2: not `user:password`"),
        ("a:secret\nb:\n", "line 2: not"),
        (":secret\n", "line 1: not"),
        ("a:secret\na:other\n", "line 2: a is there already"),
    ],
)
def test_a_file_that_cannot_be_used_says_why_and_no_secret(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "users"
    path.write_text(text)
    with pytest.raises(UnusableAccounts) as caught:
        given(path, 2)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_password_may_have_colons(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("a:b:c\n")
    assert given(tmp_path / "users", 1) == {"a": "b:c"}


def test_accounts_are_made_with_names_of_their_own_and_one_password() -> None:
    created: list[tuple[str, str]] = []
    told: list[float] = []
    accounts = made(3, lambda name, password: created.append((name, password)), told.append)
    assert list(accounts.items()) == created
    assert all(name.startswith(PREFIX) for name in accounts)
    assert len(set(accounts.values())) == 1
    assert told == [1 / 3, 2 / 3, 1.0]
    assert not accounts.keys() & made(3, lambda name, password: None, told.append).keys()
