"""Throttling of guesses by itself: what waits, for how long, and who does not. What a log-in does is in
`test_login_throttling`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost_broker.guesses import KINDS, Guesses, Source, of_admin, of_login
from roost_protocol.limits import Limits

FEW = Limits(login_failures_per_address_max=3, login_failures_per_user_max=5, login_wait_max_s=8)


def fail(guesses: Guesses, sources: tuple[Source, ...], times: int, now: float = 0.0) -> None:
    for _ in range(times):
        guesses.failed(sources, now)


def test_the_wait_doubles_up_to_its_bound_and_is_over_with_the_window() -> None:
    guesses, mine = Guesses(FEW), of_login("192.0.2.7", "alice", "pc-1")
    now, waits = 0.0, []
    for _ in range(9):
        throttled = guesses.refuse(mine, now)
        waits.append(throttled.wait_s if throttled else 0)
        now += waits[-1]
        assert guesses.refuse(mine, now) is None, "after the wait it may be tried"
        guesses.failed(mine, now)
    assert waits == [0, 0, 0, 1, 2, 4, 8, 8, 8]
    assert guesses.refuse(mine, now + 299) is None
    fail(guesses, mine, 1, now + 300)
    assert guesses.refuse(mine, now + 300) is None, "what failed a window ago is forgotten"


def test_a_refused_attempt_makes_nobody_wait_longer() -> None:
    guesses, mine = Guesses(FEW), of_login("192.0.2.7", "alice", "pc-1")
    fail(guesses, mine, 3)
    for _ in range(100):
        throttled = guesses.refuse(mine, 0.5)
        assert throttled is not None
        assert (throttled.wait_s, throttled.failures) == (1, 3)
    assert guesses.throttled == {"device": 100}


def test_one_address_is_stopped_before_it_reaches_what_stops_everybody() -> None:
    """With the limits as they are: an attacker who tries as soon as he may, for an hour."""
    guesses = Guesses(Limits())
    attacker, person = of_login("198.51.100.1", "alice", None), of_login("192.0.2.7", "alice", None)
    now, tried = 0.0, 0
    while now < 3600:
        throttled = guesses.refuse(attacker, now)
        if throttled:
            assert throttled.source.kind == "address"
            now += throttled.wait_s
        else:
            guesses.failed(attacker, now)
            tried += 1
        assert guesses.refuse(person, now) is None
    assert tried < 200


def test_many_addresses_make_new_devices_of_a_user_wait_and_nobody_else() -> None:
    guesses = Guesses(FEW)
    for number in range(5):
        guesses.failed(of_login(f"198.51.100.{number}", "alice", None), 0.0)
    throttled = guesses.refuse(of_login("192.0.2.7", "alice", None), 0.0)
    assert throttled is not None
    assert throttled.source == ("user", "alice")
    assert "of this user" in throttled.text
    assert guesses.refuse(of_login("192.0.2.7", "alice", "pc-1"), 0.0) is None, "a device that she has used before"
    assert guesses.refuse(of_login("192.0.2.7", "bob", None), 0.0) is None


def test_a_known_device_is_not_shut_out_by_its_neighbours() -> None:
    guesses = Guesses(FEW)
    fail(guesses, of_login("192.0.2.7", "mallory", None), 3)
    assert guesses.refuse(of_login("192.0.2.7", "alice", None), 0.0) is not None
    assert guesses.refuse(of_login("192.0.2.7", "alice", "pc-1"), 0.0) is None


def test_addresses_of_one_site_are_one() -> None:
    guesses = Guesses(FEW)
    for number in range(3):
        guesses.failed(of_login(f"2001:db8:0:1::{number}", f"user{number}", None), 0.0)
    assert guesses.refuse(of_login("2001:db8:0:1:ffff::9", "alice", None), 0.0) is not None
    assert guesses.refuse(of_login("2001:db8:0:2::1", "alice", None), 0.0) is None


def test_admins_count_apart_from_users() -> None:
    guesses = Guesses(FEW)
    fail(guesses, of_login("192.0.2.7", "alice", None), 3)
    assert guesses.refuse(of_admin("192.0.2.7"), 0.0) is None
    fail(guesses, of_admin("192.0.2.8"), 3)
    assert guesses.refuse(of_admin("192.0.2.8"), 0.0) is not None
    assert guesses.refuse(of_login("192.0.2.8", "alice", None), 0.0) is None


def test_it_is_said_once_when_somebody_begins_to_wait() -> None:
    guesses = Guesses(FEW)
    said = [guesses.failed(of_login(f"192.0.2.{number % 2}", "alice", None), float(number)) for number in range(7)]
    assert said == [
        [], [], [], [], [("address", "192.0.2.0"), ("user", "alice")], [("address", "192.0.2.1")], [],
    ]  # fmt: skip


def test_who_guesses_most_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    guesses = Guesses(FEW)
    for host, refused in (("192.0.2.1", 2), ("192.0.2.2", 5), ("192.0.2.3", 0)):
        fail(guesses, of_admin(host), 3, 1.0)
        for _ in range(refused):
            guesses.refuse(of_admin(host), 1.0)
    fail(guesses, of_admin("192.0.2.4"), 2, 1.0)
    found = [(each.source.key, each.failures, each.refused, each.wait_s) for each in guesses.guessers(1.5, 10)]
    assert found == [("192.0.2.2", 3, 5, 1), ("192.0.2.1", 3, 2, 1), ("192.0.2.3", 3, 0, 1)]
    assert len(guesses.guessers(1.5, 2)) == 2
    assert [each.wait_s for each in guesses.guessers(10.0, 1)] == [None]
    assert guesses.guessers(301.0, 10) == []
    monkeypatch.setattr("roost_broker.guesses.LOOKED_AT_MAX", 2)
    assert [each.source.key for each in guesses.guessers(1.5, 10)] == ["192.0.2.3"]


def test_what_is_remembered_is_bounded() -> None:
    guesses = Guesses(Limits(login_failures_kept_max=10))
    for number in range(1_000):
        guesses.failed(of_login(f"10.0.{number // 250}.{number % 250}", f"user{number}", None), 0.0)
        guesses.failed(of_login("", "alice", f"device{number}"), 0.0)
        guesses.failed(of_admin(f"10.0.{number // 250}.{number % 250}"), 0.0)
    assert guesses.remembered() == dict.fromkeys(KINDS, 10)


def test_other_bounds_hold_from_now_on_and_what_happened_counts() -> None:
    guesses, mine = Guesses(FEW), of_login("192.0.2.7", "alice", "pc-1")
    fail(guesses, mine, 2)
    guesses.change(Limits(login_failures_per_address_max=2))
    assert guesses.refuse(mine, 0.0) is not None
    guesses.change(FEW)
    assert guesses.refuse(mine, 0.0) is None


@given(
    moments=st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([0.0, 0.25, 1.0, 5.0, 40.0])), max_size=80),
    wait_max_s=st.integers(1, 30),
)
def test_no_wait_is_longer_than_allowed_and_every_attempt_after_it_is_let_try(
    moments: list[tuple[str, float]], wait_max_s: int
) -> None:
    guesses = Guesses(Limits(login_failures_per_address_max=2, login_wait_max_s=wait_max_s, login_failures_window_s=60))
    now = 0.0
    for host, pause in moments:
        now += pause
        sources = of_login(host, "alice", None)
        throttled = guesses.refuse(sources, now)
        if throttled is None:
            guesses.failed(sources, now)
        else:
            assert 1 <= throttled.wait_s <= wait_max_s
            assert guesses.refuse(sources, now + throttled.wait_s) is None


@pytest.mark.parametrize("source", [Source("address", "192.0.2.7"), Source("user", "alice")])
def test_what_is_told_names_nobody(source: Source) -> None:
    guesses = Guesses(Limits(login_failures_per_user_max=1, login_failures_per_address_max=1))
    guesses.failed([source], 0.0)
    throttled = guesses.refuse([source], 0.0)
    assert throttled is not None
    assert source.key not in throttled.text
    assert throttled.text.endswith("try again in 1 s")
