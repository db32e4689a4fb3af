"""roost as it is started for a run: its accounts are there, its groups are made, and it is gone afterwards."""

from pathlib import Path

import pytest

from roost_benchmarks.brokers.port import PASSWORD, listens
from roost_benchmarks.brokers.roost import Roost, ask, cheap_hash
from roost_benchmarks.dialects.port import BrokenPromise
from roost_benchmarks.loop import Loop
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.operations import CreateUser

pytestmark = pytest.mark.process

USERS = tuple(f"user{number}" for number in range(1_200))


def test_accounts_are_there_when_it_is(tmp_path: Path) -> None:
    with Roost().start(tmp_path, USERS) as target:
        assert target.users == USERS
        assert target.rss_anon_bytes() > 0
        assert target.cpu_s() > 0
        with Loop(target) as loop:
            loop.log_in([target.login(USERS[0]), target.login(USERS[-1], "pc")])
            assert loop.live == 2
        port = target.address[1]
        assert listens(port)
    assert not listens(port)


def test_a_group_may_have_more_members_than_one_request_names(tmp_path: Path) -> None:
    with Roost().start(tmp_path, USERS) as target:
        target.make_group("all", USERS)
        (group,) = ask(tmp_path / "admin.sock", "GET", "/v1/groups")["groups"]
        assert (group["owner"], set(group["members"])) == (USERS[0], set(USERS))
        with pytest.raises(RuntimeError, match="POST /v1/groups"):
            target.make_group("all", USERS[:1])


def test_the_count_in_a_body_is_seen_in_what_it_really_delivers(tmp_path: Path) -> None:
    """Two who write are as one who repeats a message: the numbers are dense, and only the bodies show it."""
    with Roost().start(tmp_path, ["ann", "bob", "zoe"]) as target, Loop(target) as loop:
        bob, zoe, _ = loop.log_in([target.login(user) for user in ("bob", "zoe", "ann")])
        for device in (bob, zoe):
            device.send(target.dialect.publisher(device.login, "user/ann", 128).frames(1))
        with pytest.raises(BrokenPromise, match="ann/phone: the sender's message 1 where 2 was due"):
            loop.run(lambda: False, 20)


def test_the_store_is_filled_before_it_starts(tmp_path: Path) -> None:
    def prepare(store: LmdbStore) -> None:
        assert store.account("ann") is not None
        store.commit([CreateUser(name="zoe", password_hash=cheap_hash())], 1)

    with Roost(prepare=prepare).start(tmp_path, ["ann"]) as target, Loop(target) as loop:
        loop.log_in([target.login("zoe"), target.login("ann")])


def test_its_configuration_may_be_added_to(tmp_path: Path) -> None:
    with Roost(toml='terminal_types = ["desk"]\n').start(tmp_path, ["ann"]) as target, Loop(target) as loop:
        loop.log_in([target.login("ann", "desk")])


def test_one_that_cannot_start_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(RuntimeError, match="roost ended with status"),
        Roost(toml="nonsense = 1\n").start(tmp_path, []),
    ):
        pass
    assert "nonsense" in capfd.readouterr().err


def test_each_password_is_checked_by_the_hash_alone() -> None:
    from argon2 import PasswordHasher

    assert PasswordHasher().verify(cheap_hash(), PASSWORD)
