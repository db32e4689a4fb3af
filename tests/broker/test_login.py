"""Log-in: from a stranger's CONNECT to a live session, or to the reason why there is none; and who takes over whom."""

import logging
from typing import Any

import pytest
import trio

from broker.house import PASSWORD, START_MS, Device, House, in_house, in_virtual_time, open_house
from roost_broker.store import CommitRefused
from roost_broker.store.operations import EndSession, LogIn, SetPassword
from roost_broker.transport import Transport
from roost_broker.transport.memory import MemoryListener
from roost_protocol import codec
from roost_protocol.admin.sessions import Kick
from roost_protocol.frames import (
    Connack,
    Connect,
    Deliver,
    Disconnect,
    Granted,
    Origin,
    Ping,
    Pong,
    Puback,
    Publish,
    Sessions,
)
from roost_protocol.limits import Limits
from roost_protocol.reasons import Reason

# --- the answer ---------------------------------------------------------------------------------------------------


@in_house()
async def test_a_first_log_in(house: House) -> None:
    alice = await house.log_in("alice")
    limits = Limits()
    connack = alice.connack
    assert (connack.head, connack.floor, connack.position, connack.settled_n) == (0, 1, 0, 0)
    assert connack.epoch > 0
    assert connack.incarnation is not None
    assert connack.granted == Granted(
        frame_bytes_max=limits.frame_bytes_max,
        body_bytes_max=limits.body_bytes_max,
        publish_max=limits.publish_max,
        receive_max=4_096,
        receive_bytes_max=1024 * 1024,
        keepalive_s=60,
    )
    assert (connack.start_over, connack.resumed, connack.took_over, connack.token) == (False, False, None, None)
    session = house.session("alice")
    assert (session.device_id, session.address, session.epoch) == ("alice-phone", "memory:1", connack.epoch)


@in_house(limits={"receive_max": 10, "receive_bytes_max": 20_000, "keepalive_s": 30})
async def test_the_smaller_of_what_is_asked_and_what_is_allowed_is_granted(house: House) -> None:
    granted = (await house.log_in("alice", receive_max=5, receive_bytes_max=5_000, keepalive_s=7)).connack.granted
    assert granted is not None
    assert (granted.receive_max, granted.receive_bytes_max, granted.keepalive_s) == (5, 5_000, 7)
    granted = (await house.log_in("bob", receive_max=50, receive_bytes_max=50_000, keepalive_s=70)).connack.granted
    assert granted is not None
    assert (granted.receive_max, granted.receive_bytes_max, granted.keepalive_s) == (10, 20_000, 30)


@in_house()
async def test_log_ins_get_rising_epochs_and_what_was_settled(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 3)
    again = await house.log_in("alice", last_seq=3)
    assert again.connack.epoch > alice.connack.epoch
    assert (again.connack.settled_n, again.connack.head, again.connack.position) == (3, 3, 3)


@in_house()
async def test_the_newest_entries_alone(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 5)
    bob = await house.log_in("bob", newest=2)
    assert (bob.connack.position, bob.connack.head) == (3, 5)
    assert await bob.seqs() == [4, 5]
    everything = await house.log_in("bob", "pc", newest=100)
    assert await everything.seqs() == [1, 2, 3, 4, 5]
    nothing = await house.log_in("bob", "pad", newest=0)
    await nothing.expect_silence()


async def held_by_bob(house: House) -> tuple[str, str]:
    """Message id at 2, and incarnation, of an inbox that has three entries."""
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await house.fill(alice, "user/bob", 3)
    entries = [frame for frame in await bob.rest() if isinstance(frame, Deliver)]
    assert entries[1].entry is not None
    assert bob.connack.incarnation is not None
    return entries[1].entry.id, bob.connack.incarnation


@in_house()
async def test_a_device_goes_on_after_what_it_holds(house: House) -> None:
    last_id, incarnation = await held_by_bob(house)
    bob = await house.log_in("bob", last_seq=2, last_id=last_id, incarnation=incarnation)
    assert (bob.connack.start_over, bob.connack.position) == (False, 2)
    assert await bob.seqs() == [3]


@pytest.mark.parametrize(
    "wrong",
    [{"last_seq": 4}, {"last_id": "0" * 16}, {"incarnation": "0" * 16}],
    ids=["beyond the head", "another message there", "another inbox"],
)
@in_house()
async def test_a_device_that_holds_what_is_not_here_starts_over(house: House, wrong: dict[str, Any]) -> None:
    last_id, incarnation = await held_by_bob(house)
    held: dict[str, Any] = {"last_seq": 2, "last_id": last_id, "incarnation": incarnation, **wrong}
    bob = await house.log_in("bob", **held)
    assert (bob.connack.start_over, bob.connack.position) == (True, 0)
    assert await bob.seqs() == [1, 2, 3]


# --- credentials --------------------------------------------------------------------------------------------------


@in_house(offload_s=0.1)
async def test_a_wrong_password_and_an_unknown_user_get_the_same_answer_after_the_same_time(house: House) -> None:
    answers: list[tuple[Connack, float, int]] = []
    for user, password in [("alice", "wrong"), ("nobody", "wrong"), ("nobody", PASSWORD)]:
        house.calls.clear()
        started = trio.current_time()
        connack = await house.refusal(user, password=password)
        answers.append((connack, trio.current_time() - started, house.calls["_check"]))
    connack, _, checks = answers[0]
    assert (connack.reason, connack.retry_after_s, checks) == (Reason.BAD_USER_NAME_OR_PASSWORD, None, 1)
    assert [answer[0] for answer in answers] == [connack] * 3
    assert [answer[1] for answer in answers] == pytest.approx([answers[0][1]] * 3)
    assert [answer[2] for answer in answers] == [1, 1, 1]
    assert len(house.core.directory) == 0


@in_house()
async def test_a_device_token_serves_in_place_of_the_password(house: House) -> None:
    token = (await house.log_in("alice", want_token=True)).connack.token
    assert token
    house.calls.clear()
    again = await house.log_in("alice", token=token)
    assert again.connack.token is None
    assert house.calls["_check"] == 0, "no password was hashed"


@in_house()
async def test_a_token_is_of_one_user_and_one_device(house: House) -> None:
    token = (await house.log_in("alice", want_token=True)).connack.token
    for user, device in [("alice", "other"), ("bob", "alice-phone"), ("nobody", "alice-phone")]:
        refused = await house.refusal(user, device=device, token=token)
        assert refused.reason == Reason.BAD_USER_NAME_OR_PASSWORD
    refused = await house.refusal("alice", token="made up")
    assert refused.reason == Reason.BAD_USER_NAME_OR_PASSWORD
    assert PASSWORD not in refused.text


@in_house()
async def test_a_newer_token_replaces_the_one_before(house: House) -> None:
    first = (await house.log_in("alice", want_token=True)).connack.token
    second = (await house.log_in("alice", token=first, want_token=True)).connack.token
    assert second not in (None, first)
    assert (await house.refusal("alice", token=first)).reason == Reason.BAD_USER_NAME_OR_PASSWORD
    await house.log_in("alice", token=second)


@in_house()
async def test_a_token_stays_when_none_is_asked_for(house: House) -> None:
    token = (await house.log_in("alice", want_token=True)).connack.token
    await house.log_in("alice")
    await house.log_in("alice", token=token)


@in_house(offload_s=0.1)
async def test_a_password_that_is_changed_during_the_check_does_not_hold(house: House) -> None:
    stranger = await house.ask_in("alice")
    await house.calls.wait("_check")
    house.core.batcher.submit(SetPassword(user=house.number("alice"), password_hash="$other"))
    assert (await stranger.expect(Connack)).reason == Reason.BAD_USER_NAME_OR_PASSWORD
    await stranger.expect_end()
    assert len(house.core.directory) == 0


@in_house(limits={"password_checks_max": 1, "password_queue_max": 1}, offload_s=0.1)
async def test_too_many_at_once_are_told_to_come_back(house: House) -> None:
    strangers = [await house.ask_in("alice", terminal) for terminal in ("phone", "pc", "pad")]
    answers = [await stranger.expect(Connack) for stranger in strangers]
    busy = [answer for answer in answers if answer.reason == Reason.SERVER_BUSY]
    assert len(busy) == 1
    assert busy[0].retry_after_s is not None
    assert len(house.core.directory) == 2


# --- devices and terminal types -----------------------------------------------------------------------------------


@in_house(terminal_types=("phone", "pc"))
async def test_an_unknown_terminal_type(house: House) -> None:
    refused = await house.refusal("alice", "pad")
    assert refused.reason == Reason.UNKNOWN_TERMINAL_TYPE
    assert "phone, pc" in refused.text
    assert house.calls["_check"] == 0


@in_house()
async def test_another_version(house: House) -> None:
    refused = await house.refusal("alice", version=2)
    assert (refused.reason, refused.retry_after_s) == (Reason.UNSUPPORTED_PROTOCOL_VERSION, None)


@in_house()
async def test_a_device_keeps_its_terminal_type(house: House) -> None:
    await house.log_in("alice", "phone", "a1")
    refused = await house.refusal("alice", "pc", "a1")
    assert refused.reason == Reason.CLIENT_IDENTIFIER_NOT_VALID
    await house.log_in("bob", "pc", "a1")


@in_house(limits={"devices_per_user_max": 2})
async def test_so_many_devices_of_one_user(house: House) -> None:
    await house.log_in("alice", "phone", "a1")
    await house.log_in("alice", "phone", "a2")
    refused = await house.refusal("alice", "phone", "a3")
    assert (refused.reason, refused.retry_after_s) == (Reason.QUOTA_EXCEEDED, None)
    await house.log_in("alice", "phone", "a1")
    await house.log_in("bob", "phone", "b1")


# --- time and size ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said", [b"", b"\0\0\0", codec.encode(Connect(user="a", password="b", terminal="pc", device="d"))[:-1]]
)
@in_house(limits={"login_timeout_s": 10})
async def test_a_stranger_has_so_long_to_say_who_it_is(house: House, said: bytes) -> None:
    stranger = await house.dial()
    await stranger.stream.send_all(said)
    assert not await stranger.rest(9.9)
    dismissal = await stranger.expect_dismissal(Reason.LOGIN_TIMEOUT)
    assert trio.current_time() == pytest.approx(10, abs=0.1)
    assert dismissal.reconnect


@in_house(limits={"login_timeout_s": 10}, offload_s=3.0)
async def test_a_log_in_that_takes_too_long_leaves_no_session(house: House) -> None:
    """The store is slow: when the log-in is committed at last, nobody waits for it any more."""
    stranger = await house.ask_in("alice")
    await stranger.expect_dismissal(Reason.LOGIN_TIMEOUT)
    await trio.sleep(60)
    assert any(isinstance(operation, LogIn) for batch in house.store.batches for operation in batch)
    assert len(house.core.directory) == 0
    assert not house.core.delivery._inboxes
    assert not house.core.names


@in_house(offload_s=0.1)
async def test_a_device_that_vanishes_during_its_log_in_leaves_no_session(house: House) -> None:
    for pause in range(0, 15):
        stranger = await house.ask_in("alice")
        await trio.sleep(pause * 0.05)
        stranger.stream.cut()
        await trio.sleep(5)
        assert len(house.core.directory) == 0, pause
        assert house.broker.server.connections == 0


@pytest.mark.parametrize("length", [4097, 2**32 - 1])
@in_house(limits={"connect_bytes_max": 4096})
async def test_a_stranger_may_say_so_much(house: House, length: int) -> None:
    """Refused as soon as the length is there: nothing is waited for."""
    stranger = await house.dial()
    await stranger.stream.send_all(length.to_bytes(4, "big"))
    await stranger.expect_dismissal(Reason.PACKET_TOO_LARGE)
    assert trio.current_time() < 1


@in_house(limits={"connect_bytes_max": 4096})
async def test_and_more_once_it_is_known(house: House) -> None:
    alice = await house.log_in("alice")
    assert (await alice.publish(1, "user/bob", "x" * 5_000)).reason == Reason.SUCCESS


# --- what may be said ---------------------------------------------------------------------------------------------

CONNECT = Connect(user="alice", password=PASSWORD, terminal="phone", device="a1")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (codec.encode(Ping()), Reason.PROTOCOL_ERROR),
        (codec.encode(Publish(n=1, to="user/bob", text="x")), Reason.PROTOCOL_ERROR),
        (codec.encode(Connack()), Reason.PROTOCOL_ERROR),
        (codec.encode(CONNECT) + codec.encode(Ping()), Reason.PROTOCOL_ERROR),
        (codec.encode(CONNECT) + codec.encode(CONNECT), Reason.PROTOCOL_ERROR),
        (b"GET / HTTP/1.1\r\n\r\n", Reason.PACKET_TOO_LARGE),
        (b"\0\0\0\0", Reason.MALFORMED_PACKET),
        (b"\0\0\0\x01\xff", Reason.PROTOCOL_ERROR),
        (b"\0\0\0\x02\x01\xc1", Reason.MALFORMED_PACKET),
    ],
)
@in_house()
async def test_what_a_stranger_may_not_say(
    house: House, said: bytes, reason: Reason, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "roost_broker"):
        stranger = await house.dial()
        await stranger.stream.send_all(said)
        await stranger.expect_dismissal(reason)
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
    assert not any(record.exc_info for record in caplog.records)
    assert len(house.core.directory) == 0


@pytest.mark.parametrize("said", [codec.encode(Disconnect()), b""])
@in_house()
async def test_a_stranger_may_go_without_a_word(house: House, said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    stranger = await house.dial()
    await stranger.stream.send_all(said)
    await stranger.stream.send_eof()
    await stranger.expect_end()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@in_house()
async def test_a_stranger_that_ends_inside_a_frame(house: House) -> None:
    stranger = await house.dial()
    await stranger.stream.send_all(b"\0\0")
    await stranger.stream.send_eof()
    await stranger.expect_dismissal(Reason.MALFORMED_PACKET)


@in_house(offload_s=0.1)
async def test_what_is_said_while_the_log_in_is_decided_waits(house: House) -> None:
    """It may not be said then, but it came in a piece of its own: the broker does not read before CONNACK."""
    stranger = await house.ask_in("alice")
    await trio.sleep(0.05)
    await stranger.stream.send_all(codec.encode(Ping()))
    await stranger.expect(Connack)
    await stranger.expect(Pong)


# --- when the store cannot ----------------------------------------------------------------------------------------


@in_house()
async def test_a_log_in_that_cannot_be_written_may_be_tried_again(house: House) -> None:
    house.store.faults.append(CommitRefused("full", Reason.QUOTA_EXCEEDED))
    refused = await house.refusal("alice")
    assert refused.reason == Reason.QUOTA_EXCEEDED
    assert refused.retry_after_s is not None
    await house.log_in("alice")


@in_house()
async def test_while_the_broker_drains_nobody_logs_in(house: House) -> None:
    house.core.draining = True
    stranger = await house.ask_in("alice")
    assert (await stranger.expect_dismissal(Reason.SERVER_SHUTTING_DOWN)).reconnect
    assert house.calls["_check"] == 0


@in_house(offload_s=0.1)
async def test_a_log_in_that_is_committed_while_the_broker_drains_is_told_to_come_back(house: House) -> None:
    stranger = await house.ask_in("alice")
    await house.calls.wait("_check")
    await trio.sleep(0.11)
    await house.core.drain()
    await stranger.expect_dismissal(Reason.SERVER_SHUTTING_DOWN)
    assert any(isinstance(operation, LogIn) for batch in house.store.batches for operation in batch)
    assert len(house.core.directory) == 0


# --- takeover -----------------------------------------------------------------------------------------------------


@in_house()
async def test_another_device_takes_over_and_both_are_told(house: House) -> None:
    old = await house.log_in("alice", "pc", "a1", host="10.0.0.1")
    await trio.sleep(5)
    new = await house.log_in("alice", "pc", "a2", host="10.0.0.2")
    dismissal = await old.expect_dismissal(Reason.SESSION_TAKEN_OVER)
    assert not dismissal.reconnect
    assert dismissal.origin is not None
    assert (dismissal.origin.by, dismissal.origin.address) == ("a2", "10.0.0.2:2")
    assert dismissal.origin.at >= START_MS + 5_000
    taken = new.connack.took_over
    assert taken is not None
    assert (taken.by, taken.address) == ("a1", "10.0.0.1:1")
    assert START_MS <= taken.at < START_MS + 5_000
    assert not new.connack.resumed


@in_house()
async def test_other_terminal_types_and_other_users_are_left_alone(house: House) -> None:
    phone, bob = await house.log_in("alice", "phone"), await house.log_in("bob", "pc")
    await house.log_in("alice", "pc", "a1")
    await house.log_in("alice", "pc", "a2")
    for other in (phone, bob):
        await other.expect_alive()


@in_house()
async def test_the_same_device_again_is_no_takeover(house: House) -> None:
    old = await house.log_in("alice", "pc", "a1")
    new = await house.log_in("alice", "pc", "a1")
    assert (await old.expect_dismissal(Reason.SUCCESS)).reconnect
    assert new.connack.took_over is None
    await new.expect_alive()


@in_house()
async def test_a_device_that_comes_back_by_itself_goes_on(house: House) -> None:
    old = await house.log_in("alice", "pc", "a1")
    old.stream.cut()
    back = await house.log_in("alice", "pc", "a1", epoch=old.connack.epoch)
    assert back.connack.resumed
    assert back.connack.epoch > old.connack.epoch


@in_house()
async def test_a_device_that_comes_back_by_itself_after_a_takeover_is_told_and_kicks_nobody(house: House) -> None:
    old = await house.log_in("alice", "pc", "a1")
    old.stream.cut()
    new = await house.log_in("alice", "pc", "a2", host="10.0.0.2")
    refused = await house.refusal("alice", "pc", "a1", epoch=old.connack.epoch)
    assert (refused.reason, refused.retry_after_s) == (Reason.SESSION_TAKEN_OVER, None)
    assert refused.origin is not None
    assert (refused.origin.by, refused.origin.address) == ("a2", "10.0.0.2:2")
    await new.expect_alive()
    person = await house.log_in("alice", "pc", "a1")
    assert person.connack.took_over is not None
    await new.expect_dismissal(Reason.SESSION_TAKEN_OVER)


@in_house()
async def test_a_session_that_was_ended_is_not_resumed(house: House) -> None:
    old = await house.log_in("alice", "pc", "a1")
    await house.broker.admin.sessions.kick(Kick(user="alice", terminal="pc", text="go home"))
    dismissal = await old.expect_dismissal(Reason.ADMINISTRATIVE_ACTION)
    assert (dismissal.text, dismissal.reconnect) == ("go home", False)
    refused = await house.refusal("alice", "pc", "a1", epoch=old.connack.epoch)
    assert (refused.reason, refused.origin and refused.origin.by) == (Reason.ADMINISTRATIVE_ACTION, "admin")
    await house.log_in("alice", "pc", "a1")


class RecordingListener(MemoryListener):
    """Notes what is said, on which connection, in the order in which it is put on the wire."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, bytes]] = []

    async def accept(self) -> Transport:
        transport = await super().accept()
        inner = transport.try_send

        def try_send(data: bytes | memoryview) -> int:
            taken = inner(data)
            self.said.append((transport.address, bytes(data[:taken])))
            return taken

        vars(transport)["try_send"] = try_send
        return transport


@in_virtual_time
async def test_the_old_is_told_before_the_new_is_answered() -> None:
    listener = RecordingListener()
    async with open_house(listener=lambda: listener) as house:
        await house.log_in("alice", "pc", "a1")
        listener.said.clear()
        await house.log_in("alice", "pc", "a2")
        buffer = codec.ReceiveBuffer(2**20)
        order = [(address, type(frame)) for address, data in listener.said for frame in buffer.cut(data)]
        assert order == [("memory:1", Disconnect), ("memory:2", Connack)]


@in_house(offload_s=0.1)
async def test_what_was_in_the_batch_before_a_takeover_is_acknowledged_and_nothing_after(house: House) -> None:
    old = await house.log_in("alice", "pc", "a1")
    bob = await house.log_in("bob")
    stranger = await house.ask_in("alice", "pc", "a2")
    n = 0
    while house.session("alice", "pc").device_id == "a1":
        n += 1
        await old.stream.send_all(codec.encode(Publish(n=n, to="user/bob", text=str(n))))
        await trio.sleep(0.03)
    assert (await stranger.expect(Connack)).reason == Reason.SUCCESS
    *frames, last = await old.rest()
    assert isinstance(last, Disconnect)
    acknowledged = [frame.n for frame in frames if isinstance(frame, Puback) and frame.reason == Reason.SUCCESS]
    assert acknowledged == list(range(1, len(acknowledged) + 1))
    assert not [frame for frame in frames if isinstance(frame, Puback) and frame.reason != Reason.SUCCESS]
    stored = [frame.entry.text for frame in await bob.rest() if isinstance(frame, Deliver) and frame.entry]
    assert stored == [str(each) for each in acknowledged]
    assert 0 < len(acknowledged) < n, "some before, some after"


@in_house()
async def test_a_takeover_does_not_wait_for_an_old_device_that_does_not_read(house: House) -> None:
    old = await house.log_in("alice", "pc", "a1")
    bob = await house.log_in("bob")
    n = 0
    while not house.session("alice", "pc").link.outlet.pending_bytes:
        n += 1
        await bob.publish(n, "user/alice", "x" * 20_000)
    before = trio.current_time()
    await house.log_in("alice", "pc", "a2", newest=0)
    assert trio.current_time() - before < 0.1
    frames = await old.rest()
    assert isinstance(frames[-1], Disconnect), "it was queued behind the rest, and is there when it reads"


@in_house(offload_s=0.1)
async def test_of_many_log_ins_at_once_one_session_is_left(house: House) -> None:
    devices = [await house.ask_in("alice", "pc", f"a{i}") for i in range(6)]
    ends: list[Device] = []
    for device in devices:
        assert (await device.expect(Connack)).reason == Reason.SUCCESS
    for device in devices:
        frames = await device.rest()
        if frames:
            assert [frame.reason for frame in frames if isinstance(frame, Disconnect)] == [Reason.SESSION_TAKEN_OVER]
            ends.append(device)
    assert len(ends) == 5
    assert len(house.core.directory) == 1


@in_house(limits={"takeovers_max": 2, "takeover_window_s": 60})
async def test_two_devices_that_kick_each_other_in_turn_are_damped(house: House) -> None:
    await house.log_in("alice", "pc", "a1")
    await house.log_in("alice", "pc", "a2")
    last = await house.log_in("alice", "pc", "a1")
    refused = await house.refusal("alice", "pc", "a2")
    assert refused.reason == Reason.CONNECTION_RATE_EXCEEDED
    assert "a1" in refused.text
    assert refused.retry_after_s is not None
    assert 50 < refused.retry_after_s <= 60
    await last.expect_alive()
    await house.log_in("alice", "pc", "a1")  # the same device may come back at any time
    await house.log_in("alice", "phone", "a3")  # and others are not concerned
    await trio.sleep(refused.retry_after_s)
    await house.log_in("alice", "pc", "a2")


@in_house(limits={"takeovers_max": 2})
async def test_who_has_gone_is_not_kicked_so_coming_and_going_is_not_damped(house: House) -> None:
    for device in ("a1", "a2") * 4:
        await (await house.log_in("alice", "pc", device)).say(Disconnect())
        await trio.sleep(0.1)


@in_house()
async def test_a_log_out_and_a_log_in_at_once_end_with_whoever_came_last(house: House) -> None:
    phone = await house.log_in("alice", "phone")
    await house.log_in("alice", "pc", "a1")
    await phone.say(Sessions(request=1, action="log_out", device="a1"))
    late = await house.ask_in("alice", "pc", "a1")
    assert (await late.expect(Connack)).reason == Reason.SUCCESS
    await late.expect_alive()


@in_house(offload_s=0.1)
async def test_a_session_that_is_ended_while_it_begins_is_told(house: House) -> None:
    """The log-in and its end are in the same batch: both are said, in that order."""
    stranger = await house.ask_in("alice", "pc", "a1")
    await house.calls.wait("_check")
    await trio.sleep(0.11)
    await house.core.end_session(
        EndSession(user=house.number("alice"), terminal="pc", reason=Reason.ADMINISTRATIVE_ACTION, by="admin")
    )
    frames = await stranger.rest()
    assert [type(frame) for frame in frames] == [Connack, Disconnect]
    assert frames[1] == Disconnect(
        reason=Reason.ADMINISTRATIVE_ACTION,
        text="administrative action by admin",
        origin=Origin(by="admin", at=frames[1].origin.at),  # type: ignore[attr-defined]
    )
    assert len(house.core.directory) == 0
