"""Sessions and devices: log-in, takeover, resumption, positions, ends, tokens."""

from typing import Any

import pytest

from broker.store.world import World, reason_of
from roost_broker.store.account_operations import RemoveUser, SetDisabled
from roost_broker.store.operations import (
    Ended,
    EndSession,
    LoggedIn,
    MoveCursors,
    Owner,
    Refused,
    Retention,
    SetPassword,
    Trim,
)
from roost_protocol.reasons import Reason


def trim_to(world: World, count: int) -> None:
    world.one(Trim(retention=Retention(count=count), users_max=100, entries_max=1_000))


# --- log-in -------------------------------------------------------------------------------------------------------


def test_the_first_log_in(world: World) -> None:
    (alice,) = world.users("alice")
    result = world.try_login("alice", "a-phone", client="app 1", address="10.0.0.1")
    assert result == LoggedIn(
        device=1,
        epoch=world.now_ms,
        head=0,
        floor=1,
        position=0,
        incarnation=result.incarnation if isinstance(result, LoggedIn) else "",
        start_over=False,
        settled_n=0,
        took_over=None,
        resumed=False,
    )
    (record,) = world.store.devices(alice)
    assert (record.device, record.device_id, record.terminal, record.client) == (1, "a-phone", "phone", "app 1")
    assert (record.cursor, record.settled_n, record.last_seen) == (0, 0, world.now_ms)


def test_a_device_keeps_its_number_and_its_client_is_noted(world: World) -> None:
    (alice,) = world.users("alice")
    first = world.login("alice", "a", client="app 1")
    again = world.login("alice", "a", client="app 2")
    assert again.device == first.device
    assert [record.client for record in world.store.devices(alice)] == ["app 2"]


def test_the_same_device_id_of_two_users_are_two_devices(world: World) -> None:
    world.users("alice", "bob")
    assert world.login("alice", "shared").device != world.login("bob", "shared").device


def test_epochs_rise_even_if_the_clock_goes_back(world: World) -> None:
    world.users("alice", "bob")
    first = world.login("alice").epoch
    world.now_ms -= 1_000_000
    second = world.login("alice").epoch
    third = world.login("bob").epoch
    assert first < second < third


@pytest.mark.parametrize(
    "credential",
    [
        {"password_version": 2},
        {"password_version": None},
        {"token_digest": b"unknown"},
    ],
)
def test_a_credential_that_does_not_hold(world: World, credential: dict[str, Any]) -> None:
    (alice,) = world.users("alice")
    assert world.try_login("alice", "a", **credential) == Refused(reason=Reason.BAD_USER_NAME_OR_PASSWORD)
    assert world.store.devices(alice) == ()


def test_a_user_who_is_vouched_for_needs_no_credential(world: World) -> None:
    (alice,) = world.users("alice")
    world.login("alice", "a", vouched=True, password_version=None)
    world.one(SetPassword(user=alice, password_hash="other"))
    world.login("alice", "a", vouched=True, password_version=None, new_token_digest=b"token")
    world.login("alice", "a", token_digest=b"token")


@pytest.mark.parametrize("removed", [False, True])
def test_nobody_is_vouched_for_who_may_not_log_in(world: World, removed: bool) -> None:
    (alice,) = world.users("alice")
    world.one(RemoveUser(user=alice) if removed else SetDisabled(user=alice, disabled=True))
    refused = world.try_login("alice", "a", vouched=True, password_version=None)
    assert refused == Refused(reason=Reason.BAD_USER_NAME_OR_PASSWORD)


def test_an_unknown_user(world: World) -> None:
    world.numbers["nobody"] = 77
    assert reason_of(world.try_login("nobody", "a")) is Reason.BAD_USER_NAME_OR_PASSWORD


def test_a_device_keeps_its_terminal_type(world: World) -> None:
    world.users("alice")
    world.login("alice", "a", "phone")
    assert reason_of(world.try_login("alice", "a", "pc")) is Reason.CLIENT_IDENTIFIER_NOT_VALID


def test_a_user_has_a_bounded_number_of_devices(world: World) -> None:
    (alice,) = world.users("alice")
    for device in "abc":
        world.login("alice", device)
    refused = world.try_login("alice", "d")
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.QUOTA_EXCEEDED
    assert "3" in refused.text
    assert len(world.store.devices(alice)) == 3
    world.login("alice", "a")


def test_devices_are_listed_in_order_of_their_ids(world: World) -> None:
    (alice,) = world.users("alice")
    for device in ("m", "Z", "a"):
        world.login("alice", device)
    assert [record.device_id for record in world.store.devices(alice)] == ["Z", "a", "m"]
    assert world.store.devices(99) == ()


# --- where delivery starts ----------------------------------------------------------------------------------------


def backlog(world: World, count: int = 5) -> tuple[list[str], str]:
    """Messages from alice to bob; their ids, and the incarnation of bob's inbox."""
    world.users("alice", "bob")
    phone = world.login("alice")
    ids = [world.publish(phone, "user/bob", f"{number}").id or "" for number in range(1, count + 1)]
    return ids, world.login("bob", "first").logged_in.incarnation


def test_the_position_is_the_last_number_and_becomes_the_cursor(world: World) -> None:
    backlog(world)
    bob = world.numbers["bob"]
    session = world.login("bob", "first", last_seq=3)
    assert (session.logged_in.position, session.logged_in.head, session.logged_in.floor) == (3, 5, 1)
    world.one(MoveCursors(cursors=((session.device, 5),)))
    world.login("bob", "first", last_seq=2)
    assert [record.cursor for record in world.store.devices(bob)] == [2]


@pytest.mark.parametrize(("newest", "position"), [(0, 5), (2, 3), (5, 0), (6, 0), (2**53 - 1, 0)])
def test_the_newest_entries(world: World, newest: int, position: int) -> None:
    backlog(world)
    assert world.login("bob", newest=newest).logged_in.position == position


def test_the_newest_entries_end_at_the_floor(world: World) -> None:
    backlog(world)
    trim_to(world, 2)
    session = world.login("bob", newest=4).logged_in
    assert (session.floor, session.position) == (4, 3)


def test_what_agrees_goes_on(world: World) -> None:
    ids, incarnation = backlog(world)
    session = world.login("bob", last_seq=4, last_id=ids[3], incarnation=incarnation).logged_in
    assert (session.position, session.start_over) == (4, False)


@pytest.mark.parametrize(
    "held",
    [
        {"last_seq": 6},
        {"last_seq": 3, "last_id": "0123456789abcdef"},
        {"last_seq": 3, "incarnation": "0123456789abcdef"},
    ],
)
def test_what_is_of_another_inbox_starts_over(world: World, held: dict[str, Any]) -> None:
    backlog(world)
    session = world.login("bob", "first", **held).logged_in
    assert (session.position, session.start_over) == (0, True)
    assert [record.cursor for record in world.store.devices(world.numbers["bob"])] == [0]


def test_an_incarnation_says_nothing_when_nothing_is_held(world: World) -> None:
    backlog(world)
    assert not world.login("bob", incarnation="0123456789abcdef").logged_in.start_over


def test_an_id_that_was_trimmed_is_not_looked_at(world: World) -> None:
    backlog(world)
    trim_to(world, 2)
    session = world.login("bob", last_seq=2, last_id="0123456789abcdef").logged_in
    assert (session.position, session.floor, session.start_over) == (2, 4, False)


def test_the_id_of_an_entry_of_the_same_batch(world: World) -> None:
    world.users("alice", "bob")
    phone = world.login("alice")
    _, log_in = world.do(
        world.message(phone, "user/bob"), world.login_operation("bob", "b", last_seq=1, last_id="0123456789abcdef")
    )
    assert isinstance(log_in, LoggedIn)
    assert (log_in.start_over, log_in.head) == (True, 1)


# --- takeover and resumption --------------------------------------------------------------------------------------


def test_a_person_takes_over(world: World) -> None:
    world.users("alice")
    first = world.login("alice", "a", address="10.0.0.1")
    began = world.now_ms
    second = world.login("alice", "b")
    assert second.logged_in.took_over == Owner(device=first.device, device_id="a", at=began, address="10.0.0.1")
    assert not second.logged_in.resumed
    assert second.epoch > first.epoch


def test_terminal_types_do_not_take_each_other_over(world: World) -> None:
    world.users("alice")
    world.login("alice", "a", "phone")
    assert world.login("alice", "b", "pc").logged_in.took_over is None


def test_the_same_device_resumes(world: World) -> None:
    world.users("alice")
    first = world.login("alice", "a")
    second = world.login("alice", "a", epoch=first.epoch)
    assert second.logged_in.resumed
    assert second.logged_in.took_over is None
    assert second.epoch > first.epoch
    by_person = world.login("alice", "a")
    assert not by_person.logged_in.resumed
    assert by_person.logged_in.took_over is None


def test_a_kicked_device_is_told_by_whom_and_does_not_kick_back(world: World) -> None:
    world.users("alice")
    kicked = world.login("alice", "a")
    winner = world.login("alice", "b", address="10.0.0.2")
    taken_at = world.now_ms
    refused = world.try_login("alice", "a", epoch=kicked.epoch)
    assert refused == Refused(reason=Reason.SESSION_TAKEN_OVER, by="b", at=taken_at, address="10.0.0.2")
    assert world.login("alice", "b", epoch=winner.epoch).logged_in.resumed


def test_a_kicked_device_is_told_even_after_the_winner_was_ended(world: World) -> None:
    (alice,) = world.users("alice")
    kicked = world.login("alice", "a")
    world.login("alice", "b")
    world.one(EndSession(user=alice, terminal="phone", reason=Reason.LOGGED_OUT, by="a"))
    refused = world.try_login("alice", "a", epoch=kicked.epoch)
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.by) == (Reason.SESSION_TAKEN_OVER, "b")


def test_a_refused_resumption_changes_nothing(world: World) -> None:
    (alice,) = world.users("alice")
    world.login("alice", "b")
    world.try_login("alice", "new", epoch=1, new_token_digest=b"token")
    assert [record.device_id for record in world.store.devices(alice)] == ["b"]
    assert world.store.token_owner(b"token") is None


def test_an_epoch_of_a_lost_future_is_let_in(world: World) -> None:
    world.users("alice")
    first = world.login("alice", "a")
    session = world.login("alice", "b", epoch=first.epoch + 1_000).logged_in
    assert not session.resumed
    assert session.took_over is not None
    assert session.took_over.device_id == "a"


# --- the end of a session -----------------------------------------------------------------------------------------


def test_an_ended_session_cannot_be_resumed(world: World) -> None:
    (alice,) = world.users("alice")
    session = world.login("alice", "a")
    ended = world.one(
        EndSession(user=alice, terminal="phone", reason=Reason.ADMINISTRATIVE_ACTION, by="admin", address="10.0.0.9")
    )
    assert ended == Ended(terminal="phone", epoch=session.epoch, at=world.now_ms)
    ended_at = world.now_ms
    refused = world.try_login("alice", "a", epoch=session.epoch)
    assert refused == Refused(reason=Reason.ADMINISTRATIVE_ACTION, by="admin", at=ended_at, address="10.0.0.9")


def test_a_person_may_log_in_after_the_end(world: World) -> None:
    (alice,) = world.users("alice")
    world.login("alice", "a")
    world.one(EndSession(user=alice, terminal="phone", reason=Reason.ADMINISTRATIVE_ACTION, by="admin"))
    again = world.login("alice", "a").logged_in
    assert (again.took_over, again.resumed) == (None, False)
    world.one(EndSession(user=alice, terminal="phone", reason=Reason.ADMINISTRATIVE_ACTION, by="admin"))
    assert world.login("alice", "b").logged_in.took_over is None


def test_the_session_of_a_device(world: World) -> None:
    (alice,) = world.users("alice")
    phone, pc = world.login("alice", "a"), world.login("alice", "b", "pc")
    ended = world.one(EndSession(user=alice, device_id="b", reason=Reason.LOGGED_OUT, by="a"))
    assert ended == Ended(terminal="pc", epoch=pc.epoch, at=world.now_ms)
    assert world.login("alice", "a", epoch=phone.epoch).logged_in.resumed


def test_a_device_without_a_session(world: World) -> None:
    (alice,) = world.users("alice")
    world.login("alice", "a")
    winner = world.login("alice", "b")
    log_out = EndSession(user=alice, device_id="a", reason=Reason.LOGGED_OUT, by="b")
    assert world.one(log_out) == Ended(terminal="phone", epoch=0, at=world.now_ms)
    assert world.login("alice", "b", epoch=winner.epoch).logged_in.resumed


@pytest.mark.parametrize(
    "what", [{"terminal": "phone"}, {"device_id": "a"}, {"device_id": "a", "terminal": "phone"}, {}]
)
def test_no_such_session_or_device(world: World, what: dict[str, Any]) -> None:
    (alice,) = world.users("alice")
    result = world.one(EndSession(user=alice, reason=Reason.LOGGED_OUT, by="admin", **what))
    assert reason_of(result) is Reason.NOT_FOUND


def test_a_session_ends_once(world: World) -> None:
    (alice,) = world.users("alice")
    world.login("alice", "a")
    end = EndSession(user=alice, terminal="phone", reason=Reason.LOGGED_OUT, by="admin")
    assert isinstance(world.one(end), Ended)
    assert reason_of(world.one(end)) is Reason.NOT_FOUND


# --- device tokens ------------------------------------------------------------------------------------------------


def test_a_token_belongs_to_its_device(world: World) -> None:
    world.users("alice", "bob")
    world.login("alice", "a", new_token_digest=b"token")
    owner = world.store.token_owner(b"token")
    assert owner is not None
    assert (owner.account.name, owner.device_id) == ("alice", "a")
    world.login("alice", "a", token_digest=b"token")
    assert reason_of(world.try_login("alice", "b", token_digest=b"token")) is Reason.BAD_USER_NAME_OR_PASSWORD
    assert reason_of(world.try_login("bob", "a", token_digest=b"token")) is Reason.BAD_USER_NAME_OR_PASSWORD


def test_a_new_token_replaces_the_old(world: World) -> None:
    world.users("alice")
    world.login("alice", "a", new_token_digest=b"old")
    world.login("alice", "a", token_digest=b"old", new_token_digest=b"new")
    assert world.store.token_owner(b"old") is None
    assert reason_of(world.try_login("alice", "a", token_digest=b"old")) is Reason.BAD_USER_NAME_OR_PASSWORD
    world.login("alice", "a", token_digest=b"new")


def test_a_token_is_revoked_with_or_without_a_session(world: World) -> None:
    (alice,) = world.users("alice")
    world.login("alice", "a", new_token_digest=b"a's")
    world.login("alice", "b", new_token_digest=b"b's")
    world.one(EndSession(user=alice, device_id="a", reason=Reason.LOGGED_OUT, by="b", revoke=True))
    assert world.store.token_owner(b"a's") is None
    assert world.store.token_owner(b"b's") is not None
    world.one(EndSession(user=alice, device_id="b", reason=Reason.LOGGED_OUT, by="b", revoke=False))
    assert world.store.token_owner(b"b's") is not None


def test_a_new_password_revokes_the_tokens_of_other_devices(world: World) -> None:
    (alice,) = world.users("alice")
    kept = world.login("alice", "a", new_token_digest=b"a's")
    world.login("alice", "b", new_token_digest=b"b's")
    world.one(SetPassword(user=alice, password_hash="new", keep_device=kept.device))
    assert world.store.token_owner(b"a's") is not None
    assert world.store.token_owner(b"b's") is None
    world.one(SetPassword(user=alice, password_hash="newer"))
    assert world.store.token_owner(b"a's") is None
    assert reason_of(world.try_login("alice", "a", password_version=2)) is Reason.BAD_USER_NAME_OR_PASSWORD
    world.login("alice", "a", password_version=3)
