"""Failed log-ins at a whole broker: the attacker waits, before any hash; those whom it is not meant for do not."""

import logging

import pytest
import trio

from broker.house import PASSWORD, Device, House, in_house
from roost_protocol.admin.events import EventQuery
from roost_protocol.frames import Connack, Result, Sessions
from roost_protocol.reasons import Reason

THREE = {"login_failures_per_address_max": 3, "login_failures_per_user_max": 5}
WRONG = "guess"
ATTACKER = "198.51.100.1"


async def guess(house: House, user: str = "alice", host: str = ATTACKER, password: str = WRONG) -> Connack:
    """A log-in that is refused, of a device that nobody knows."""
    return await house.refusal(user, "pc", "new", host=host, password=password)


async def attack(house: House, times: int, user: str = "alice", host: str = ATTACKER) -> None:
    for _ in range(times):
        assert (await guess(house, user, host)).reason == Reason.BAD_USER_NAME_OR_PASSWORD


async def attack_from_everywhere(house: House, user: str = "alice") -> None:
    """So that the user is throttled, and not an address."""
    for number in range(5):
        await attack(house, 1, user, f"203.0.113.{number}")


@in_house(limits=THREE)
async def test_after_so_many_failures_an_address_waits_and_no_hash_is_computed(house: House) -> None:
    await attack(house, 3)
    hashes = house.calls["_check"]
    for user in ("alice", "bob", "nobody"):
        refused = await guess(house, user, password=PASSWORD)
        assert refused.reason == Reason.CONNECTION_RATE_EXCEEDED, "the right one, too: or it could be told from others"
        assert refused.retry_after_s == 1
        assert "from this address" in refused.text
    assert house.calls["_check"] == hashes
    await trio.sleep(1)
    await house.log_in("alice", "pc", "new", host=ATTACKER)


@in_house(limits=THREE)
async def test_a_token_is_let_in_whatever_others_tried(house: House) -> None:
    phone = await house.log_in("alice", want_token=True)
    assert phone.connack.token is not None
    await attack(house, 3, "nobody")
    await attack_from_everywhere(house)
    assert (await guess(house, host="192.0.2.9")).reason == Reason.CONNECTION_RATE_EXCEEDED
    await phone.expect_alive()
    again = await house.log_in("alice", token=phone.connack.token, epoch=phone.connack.epoch, host=ATTACKER)
    assert again.connack.resumed


@in_house(limits=THREE)
async def test_a_device_that_was_here_before_tries_passwords_by_itself(house: House) -> None:
    await house.log_in("alice", "phone", "phone-5f2c")
    await attack(house, 3, "nobody")
    await attack_from_everywhere(house)
    mistyped = await house.refusal("alice", "phone", "phone-5f2c", host=ATTACKER, password="mistyped")
    assert mistyped.reason == Reason.BAD_USER_NAME_OR_PASSWORD
    await house.log_in("alice", "phone", "phone-5f2c", host=ATTACKER)
    assert (await guess(house, host="192.0.2.9")).reason == Reason.CONNECTION_RATE_EXCEEDED, "a new one waits"


@in_house(limits=THREE)
async def test_a_known_device_id_is_no_way_around(house: House) -> None:
    await house.log_in("alice", "phone", "phone-5f2c")
    for _ in range(3):
        refused = await house.refusal("alice", "phone", "phone-5f2c", host=ATTACKER, password="wrong")
        assert refused.reason == Reason.BAD_USER_NAME_OR_PASSWORD
    refused = await house.refusal("alice", "phone", "phone-5f2c", host="192.0.2.9", password="wrong")
    assert refused.reason == Reason.CONNECTION_RATE_EXCEEDED
    assert "on this device" in refused.text


@in_house(limits=THREE)
async def test_a_name_that_nobody_has_is_answered_like_any_other(house: House) -> None:
    answers = []
    for user in ("alice", "nobody"):
        await attack_from_everywhere(house, user)
        answers.append(await guess(house, user, host="192.0.2.9"))
        await trio.sleep(301)
    assert answers[0] == answers[1]
    assert answers[0].reason == Reason.CONNECTION_RATE_EXCEEDED


@in_house(limits={**THREE, "password_checks_max": 1, "password_queue_max": 64}, offload_s=0.01)
async def test_guesses_that_come_all_at_once_are_not_all_tried(house: House) -> None:
    strangers: list[Device] = []
    for number in range(30):
        strangers.append(await house.ask_in("alice", "pc", f"d{number}", host=ATTACKER, password=f"guess {number}"))
    reasons = [(await stranger.expect(Connack)).reason for stranger in strangers]
    assert reasons.count(Reason.BAD_USER_NAME_OR_PASSWORD) == house.calls["_check"] == 3
    assert reasons.count(Reason.CONNECTION_RATE_EXCEEDED) == 27


@in_house(limits=THREE)
async def test_others_do_not_wait(house: House) -> None:
    await attack(house, 3)
    await house.log_in("alice", "pc", "new", host="192.0.2.9")
    await house.log_in("bob", host="192.0.2.9")


@in_house(limits=THREE)
async def test_a_log_in_of_ones_own_gives_no_new_guesses(house: House) -> None:
    """Or an attacker with an account would log in there after each few guesses."""
    await attack(house, 2)
    await house.log_in("carol", host=ATTACKER)
    await attack(house, 1)
    assert (await guess(house)).reason == Reason.CONNECTION_RATE_EXCEEDED


@in_house(limits=THREE)
async def test_an_open_session_does_not_find_out_the_password(house: House) -> None:
    alice = await house.log_in("alice")
    reasons = []
    for number in range(1, 5):
        password = PASSWORD if number == 4 else "wrong"
        await alice.say(Sessions(request=number, action="set_password", password=password, new_password="x"))
        reasons.append(await alice.expect(Result))
    assert [result.reason for result in reasons] == [Reason.BAD_USER_NAME_OR_PASSWORD] * 3 + [
        Reason.CONNECTION_RATE_EXCEEDED
    ]
    assert reasons[-1].retry_after_s == 1
    await alice.expect_alive()


@in_house(limits=THREE)
async def test_it_is_counted_logged_and_in_the_journal(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    await attack(house, 3)
    await guess(house)
    await attack_from_everywhere(house, "bob")
    await guess(house, "bob", host="192.0.2.9")
    assert house.core.guesses.throttled == {"address": 1, "user": 1}
    assert house.core.metrics.logins[Reason.CONNECTION_RATE_EXCEEDED] == 2
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2, said
    assert f"address '{ATTACKER}'" in said[0]
    assert "user 'bob'" in said[1]
    await trio.sleep(2)
    listed = await house.broker.admin.events.list(EventQuery(user="bob"))
    (refused,) = [row for row in listed.events if row.kind == "log-in refused"]
    assert refused.text == "not let in: too many failed log-ins"
    assert refused.address is not None
    assert refused.address.startswith("203.0.113.4:")
