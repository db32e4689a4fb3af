"""What a device may ask beside publishing: each request gets one answer, and what it changes is changed."""

from typing import Any

import pytest
import trio

from broker.house import PASSWORD, Device, House, in_house
from roost_broker.store import CommitRefused
from roost_protocol import codec
from roost_protocol.frames import (
    Deliver,
    Disconnect,
    Ephemeral,
    Fetch,
    Frame,
    Group,
    Member,
    Page,
    Ping,
    Pong,
    Publish,
    Relation,
    Result,
    Sessions,
    Subscribe,
)
from roost_protocol.limits import KIB
from roost_protocol.reasons import Reason


async def ask(device: Device, request: Frame) -> Result:
    """The RESULT of a request; entries that come meanwhile stay to be heard."""
    await device.say(request)
    result = await device.pick(Result)
    assert result.request == getattr(request, "request")  # noqa: B009  # all that are asked for here have one
    return result


async def group(device: Device, action: Any, name: str | None = "g", *users: str) -> Result:
    return await ask(device, Group(request=7, action=action, group=name, users=users))


async def relate(device: Device, action: Any, kind: Any, user: str | None = None) -> Result:
    return await ask(device, Relation(request=8, action=action, kind=kind, user=user))


async def sessions(asks: Device, action: Any, **more: Any) -> Result:
    return await ask(asks, Sessions(request=9, action=action, **more))


# --- in order -----------------------------------------------------------------------------------------------------


@in_house()
async def test_ping_is_answered(house: House) -> None:
    alice = await house.log_in("alice")
    await alice.say(Ping())
    await alice.expect(Pong)


@in_house()
async def test_many_in_one_piece_are_answered_in_order(house: House) -> None:
    alice = await house.log_in("alice")
    await alice.say(*(Group(request=n, action="list") for n in range(20)), Ping(), Fetch(request=99))
    answers = await alice.rest()
    assert [frame.request for frame in answers if isinstance(frame, Result | Page)] == [*range(20), 99]
    assert isinstance(answers[20], Pong)


@in_house()
async def test_a_change_is_decided_in_order_with_the_publishes_around_it(house: House) -> None:
    """In one piece: what is said before a block gets through, what is said after does not."""
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await bob.say(
        Publish(n=1, to="user/bob", text="x"),
        Relation(request=1, action="add", kind="block", user="alice"),
        Publish(n=2, to="user/bob", text="y"),
    )
    await bob.rest()
    await alice.say(
        Publish(n=1, to="user/carol", text="before"),
        Group(request=1, action="create", group="g", users=("carol",)),
        Publish(n=2, to="group/g", text="after"),
    )
    frames = await alice.rest()
    assert [getattr(frame, "reason", None) for frame in frames if not isinstance(frame, Deliver)] == [0, 0, 0]


@in_house()
async def test_a_request_that_cannot_be_written_may_be_tried_again(house: House) -> None:
    alice = await house.log_in("alice")
    await house.log_in("alice", "pc")
    await house.core.batcher.wait_idle()
    requests: list[Frame] = [
        Group(request=1, action="create", group="g"),
        Relation(request=2, action="add", kind="contact", user="bob"),
        Sessions(request=3, action="set_password", password=PASSWORD, new_password="another"),
        Sessions(request=4, action="log_out", device="alice-pc"),
    ]
    for request in requests:
        house.store.faults.append(CommitRefused("the map is full"))
        refused = await ask(alice, request)
        assert (refused.reason, refused.text) == (Reason.QUOTA_EXCEEDED, "the map is full")
        assert refused.retry_after_s is not None
        assert (await ask(alice, request)).reason == Reason.SUCCESS


# --- groups -------------------------------------------------------------------------------------------------------


@in_house()
async def test_a_group_from_first_to_last(house: House) -> None:
    alice, bob, carol = [await house.log_in(user) for user in ("alice", "bob", "carol")]
    assert (await group(alice, "create", "g", "bob")).reason == Reason.SUCCESS
    assert (await group(alice, "members")).members == (Member(user="alice", owner=True), Member(user="bob"))
    assert (await group(bob, "list", None)).groups == ("g",)
    assert (await group(carol, "list", None)).groups == ()

    assert (await group(alice, "add", "g", "carol", "bob")).reason == Reason.SUCCESS
    assert (await alice.publish(1, "group/g")).reason == Reason.SUCCESS
    assert (await group(alice, "remove", "g", "bob")).reason == Reason.SUCCESS
    assert (await alice.publish(2, "group/g")).reason == Reason.SUCCESS
    assert await carol.seqs() == [1, 2]
    assert await bob.seqs() == [1]

    assert (await group(alice, "leave")).reason == Reason.SUCCESS
    assert (await group(carol, "members")).members == (Member(user="carol", owner=True),)
    assert (await group(carol, "leave")).reason == Reason.SUCCESS
    assert (await alice.publish(3, "group/g")).reason == Reason.UNKNOWN_RECIPIENT
    assert (await group(bob, "create")).reason == Reason.SUCCESS, "the name is free again"


@in_house(limits={"group_members_max": 2, "groups_per_user_max": 1})
async def test_what_may_not_be_done_to_a_group(house: House) -> None:
    alice, bob, carol = [await house.log_in(user) for user in ("alice", "bob", "carol")]
    assert (await group(alice, "create", "g", "nobody")).reason == Reason.NOT_FOUND
    assert (await group(alice, "create", "g", "bob", "carol")).reason == Reason.QUOTA_EXCEEDED
    assert (await group(alice, "create", "g", "bob")).reason == Reason.SUCCESS
    assert (await group(alice, "create", "g2")).reason == Reason.QUOTA_EXCEEDED
    assert (await group(carol, "create", "g")).reason == Reason.ALREADY_EXISTS
    assert (await group(alice, "add", "g", "carol")).reason == Reason.QUOTA_EXCEEDED
    assert (await group(alice, "add", "g", "nobody")).reason == Reason.NOT_FOUND
    assert (await group(alice, "add", "nothing", "bob")).reason == Reason.NOT_FOUND
    assert (await group(bob, "add", "g", "carol")).reason == Reason.NOT_AUTHORIZED
    assert (await group(bob, "remove", "g", "alice")).reason == Reason.NOT_AUTHORIZED
    assert (await group(carol, "remove", "g", "alice")).reason == Reason.NOT_A_MEMBER
    assert (await group(carol, "leave")).reason == Reason.NOT_A_MEMBER
    assert (await group(alice, "members")).members == (Member(user="alice", owner=True), Member(user="bob"))


@in_house()
async def test_to_others_a_group_might_as_well_not_exist(house: House) -> None:
    alice, carol = await house.log_in("alice"), await house.log_in("carol")
    await group(alice, "create", "secret")
    there, nowhere = await group(carol, "members", "secret"), await group(carol, "members", "nowhere")
    assert (there.reason, there.members) == (nowhere.reason, nowhere.members) == (Reason.NOT_A_MEMBER, None)
    assert there.text.replace("secret", "nowhere") == nowhere.text


# --- contacts and blocks ------------------------------------------------------------------------------------------


@in_house(limits={"relations_per_user_max": 2})
async def test_contacts_and_blocks(house: House) -> None:
    alice = await house.log_in("alice")
    for kind in ("contact", "block"):
        assert (await relate(alice, "list", kind)).users == ()
        assert (await relate(alice, "add", kind, "bob")).reason == Reason.SUCCESS
        assert (await relate(alice, "add", kind, "bob")).reason == Reason.SUCCESS
        assert (await relate(alice, "list", kind)).users == ("bob",)
    assert (await relate(alice, "add", "contact", "carol")).reason == Reason.QUOTA_EXCEEDED
    assert (await relate(alice, "add", "contact", "nobody")).reason == Reason.NOT_FOUND
    assert (await relate(alice, "add", "block", "alice")).reason == Reason.NOT_AUTHORIZED
    for kind in ("contact", "block"):
        assert (await relate(alice, "remove", kind, "bob")).reason == Reason.SUCCESS
        assert (await relate(alice, "remove", kind, "bob")).reason == Reason.SUCCESS
        assert (await relate(alice, "list", kind)).users == ()


@in_house()
async def test_a_block_refuses_messages_and_signals_but_not_those_to_a_group(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await group(alice, "create", "g", "bob")
    await relate(bob, "add", "block", "alice")
    assert (await alice.publish(1, "user/bob")).reason == Reason.BLOCKED
    await alice.say(Ephemeral(to="user/bob", text="typing"))
    await bob.expect_silence()
    assert (await alice.publish(2, "group/g")).reason == Reason.SUCCESS
    assert await bob.seqs() == [1]
    await relate(bob, "remove", "block", "alice")
    assert (await alice.publish(3, "user/bob")).reason == Reason.SUCCESS


MANY = [f"{'x' * 60}{i:03}" for i in range(130)]


@in_house(users=["alice", *MANY], limits={"frame_bytes_max": 8 * KIB, "body_bytes_max": 4 * KIB})
async def test_a_list_that_fits_no_frame_is_refused_and_not_sent(house: House) -> None:
    alice = await house.log_in("alice")
    for name in MANY:
        assert (await relate(alice, "add", "contact", name)).reason == Reason.SUCCESS
    refused = await relate(alice, "list", "contact")
    assert (refused.reason, refused.users) == (Reason.PACKET_TOO_LARGE, None)
    for name in MANY[:20]:
        await relate(alice, "remove", "contact", name)
    assert (await relate(alice, "list", "contact")).users == tuple(MANY[20:])


# --- passing signals ----------------------------------------------------------------------------------------------


@in_house()
async def test_a_signal_reaches_the_live_sessions_of_the_other_side(house: House) -> None:
    alice, pc = await house.log_in("alice"), await house.log_in("alice", "pc")
    bobs = [await house.log_in("bob", terminal) for terminal in ("phone", "pc")]
    await trio.sleep(2)
    await alice.say(Ephemeral(to="user/bob", sender="mallory", time=5, content_type="x/typing", text="…"))
    for bob in bobs:
        signal = await bob.expect(Ephemeral)
        assert (signal.sender, signal.to, signal.content_type, signal.text) == ("alice", "user/bob", "x/typing", "…")
        assert signal.time == pytest.approx(house.core.now_ms(), abs=2_000)
    await alice.expect_silence()
    await pc.expect_silence()
    assert house.core.published == 0
    assert (await house.log_in("bob", "pad")).connack.head == 0, "nothing is stored"


@in_house(limits={"body_bytes_max": 1 * KIB})
async def test_a_signal_that_may_not_be_sent_is_not_and_nobody_is_told(house: House) -> None:
    alice, bob, carol = [await house.log_in(user) for user in ("alice", "bob", "carol")]
    await group(bob, "create", "g", "carol")
    for signal in [
        Ephemeral(to="user/nobody", text="x"),
        Ephemeral(to="group/nothing", text="x"),
        Ephemeral(to="group/g", text="x"),
        Ephemeral(to="user/bob", text="x" * 1025),
        Ephemeral(to="user/bob", data=bytes(1025)),
    ]:
        await alice.say(signal)
    for device in (alice, bob, carol):
        await device.expect_silence()
    await bob.say(Ephemeral(to="group/g", data=b"\1"))
    assert (await carol.expect(Ephemeral)).data == b"\1"
    await bob.expect_silence()


@in_house(limits={"write_buffer_bytes_max": 64 * KIB})
async def test_a_device_without_room_is_left_out(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    outlet = house.session("bob").link.outlet
    while not outlet.full:
        await alice.say(Ephemeral(to="user/bob", data=bytes(10_000)))
        await trio.sleep(0.1)
    pending = outlet.pending_bytes
    await alice.say(*[Ephemeral(to="user/bob", data=bytes(10_000))] * 50)
    await alice.expect_alive()
    assert outlet.pending_bytes == pending
    assert len(await bob.rest()) < 20


@in_house()
async def test_a_signal_amid_entries_keeps_the_order_of_the_stream(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    for n in range(1, 50):
        await alice.say(Publish(n=n, to="user/bob", text="x"), Ephemeral(to="user/bob", text="y"))
    frames = await bob.rest()
    assert [frame.seq for frame in frames if isinstance(frame, Deliver)] == list(range(1, 50))
    assert len([frame for frame in frames if isinstance(frame, Ephemeral)]) == 49


# --- scroll-back --------------------------------------------------------------------------------------------------


async def fetch(device: Device, **more: Any) -> Page:
    await device.say(Fetch(request=3, **more))
    page = await device.pick(Page)
    assert page.request == 3
    return page


def seqs(page: Page) -> list[int]:
    return [entry.seq for entry in page.entries]


@in_house()
async def test_pages_in_both_directions(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await house.fill(alice, "user/bob", 10)
    page = await fetch(bob, limit=3)
    assert (seqs(page), page.more, page.floor, page.head) == ([8, 9, 10], True, 1, 10)
    page = await fetch(bob, before=8, limit=3)
    assert (seqs(page), page.more) == ([5, 6, 7], True)
    page = await fetch(bob, before=3)
    assert (seqs(page), page.more) == ([1, 2], False)
    page = await fetch(bob, after=0, limit=4)
    assert (seqs(page), page.more) == ([1, 2, 3, 4], True)
    page = await fetch(bob, after=10)
    assert (seqs(page), page.more) == ([], False)


@in_house()
async def test_a_page_has_whole_entries_also_of_ones_own(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    puback = await alice.publish(1, "user/bob", "hi")
    (own,) = (await fetch(alice)).entries
    (theirs,) = (await fetch(bob)).entries
    assert (own.kind, own.device, own.n) == ("own", "alice-phone", 1)
    assert (theirs.kind, theirs.device, theirs.n) == ("message", None, None)
    assert own.entry == theirs.entry
    assert own.entry is not None
    assert (own.entry.id, own.entry.text) == (puback.id, "hi")
    assert isinstance(await bob.expect(Deliver), Deliver), "a page moves nothing in the stream"


@in_house()
async def test_one_conversation_alone(house: House) -> None:
    alice, bob, carol = [await house.log_in(user) for user in ("alice", "bob", "carol")]
    await group(alice, "create", "g", "bob")
    await alice.publish(1, "user/bob", "1")
    await carol.publish(1, "user/alice", "2")
    await alice.publish(2, "group/g", "3")
    await bob.publish(1, "user/alice", "4")
    assert seqs(await fetch(alice, conversation="user/bob")) == [1, 4]
    assert seqs(await fetch(alice, conversation="user/carol")) == [2]
    assert seqs(await fetch(alice, conversation="group/g")) == [3]
    assert seqs(await fetch(carol, conversation="group/g")) == []
    assert seqs(await fetch(alice, conversation="user/nobody")) == []
    assert seqs(await fetch(alice)) == [1, 2, 3, 4]


@in_house(limits={"fetch_max": 3})
async def test_a_site_bounds_a_page(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 5)
    page = await fetch(alice, limit=1_000)
    assert (seqs(page), page.more) == ([3, 4, 5], True)


SMALL_FRAMES = {"frame_bytes_max": 8 * KIB, "body_bytes_max": 4 * KIB, "connect_bytes_max": 4 * KIB}


@pytest.mark.parametrize("size", [0, 10, 1_000, 4 * KIB])
@in_house(limits=SMALL_FRAMES)
async def test_a_page_fits_a_frame_whatever_is_in_it(house: House, size: int) -> None:
    """The device's core refuses a longer one."""
    alice = await house.log_in("alice", device="a" * 64)
    await house.fill(alice, "user/bob", 200, text="x" * size)
    await alice.rest()
    found: list[int] = []
    before = None
    while True:
        page = await fetch(alice, before=before, limit=1_000)
        assert len(codec.encode(page)) <= 8 * KIB
        found = [*seqs(page), *found]
        if not page.more:
            break
        assert page.entries
        before = found[0]
    assert found == list(range(1, 201))
    after: list[int] = []
    while (page := await fetch(alice, after=after[-1] if after else 0, limit=1_000)).entries:
        after += seqs(page)
        assert page.more == (after[-1] < 200)
    assert after == found


# --- sessions, devices, password ----------------------------------------------------------------------------------


@in_house()
async def test_ones_own_devices(house: House) -> None:
    phone = await house.log_in("alice", "phone", client="app 1.0", host="10.0.0.1")
    pc = await house.log_in("alice", "pc", host="10.0.0.2")
    await house.log_in("bob")
    await house.fill(phone, "user/bob", 3)
    await pc.rest()
    await pc.say(Disconnect())
    await pc.expect_end()
    await trio.sleep(2)
    result = await sessions(phone, "list")
    assert result.devices is not None
    away, here = result.devices
    assert (here.device, here.terminal, here.client, here.online, here.this) == (
        "alice-phone", "phone", "app 1.0", True, True,
    )  # fmt: skip
    assert (here.address, here.since) == ("10.0.0.1:1", house.session("alice").since_ms)
    assert (away.device, away.online, away.this, away.since, away.address) == ("alice-pc", False, False, None, "")
    assert here.since is not None
    assert away.last_seen > here.since


@in_house()
async def test_another_device_is_logged_out_for_good(house: House) -> None:
    phone = await house.log_in("alice", "phone")
    pc = await house.log_in("alice", "pc", want_token=True)
    assert (await sessions(phone, "log_out", device="alice-pc")).reason == Reason.SUCCESS
    dismissal = await pc.expect_dismissal(Reason.LOGGED_OUT)
    assert not dismissal.reconnect
    assert dismissal.origin is not None
    assert (dismissal.origin.by, dismissal.origin.address) == ("alice-phone", "memory:1")
    refused = await house.refusal("alice", "pc", epoch=pc.connack.epoch)
    assert (refused.reason, refused.origin and refused.origin.by) == (Reason.LOGGED_OUT, "alice-phone")
    refused = await house.refusal("alice", "pc", token=pc.connack.token)
    assert refused.reason == Reason.BAD_USER_NAME_OR_PASSWORD
    await house.log_in("alice", "pc")
    await phone.expect_alive()


@in_house()
async def test_a_device_that_is_away_is_logged_out_as_well(house: House) -> None:
    phone = await house.log_in("alice", "phone")
    pc = await house.log_in("alice", "pc", want_token=True)
    pc.stream.cut()
    assert (await sessions(phone, "log_out", device="alice-pc")).reason == Reason.SUCCESS
    assert (await house.refusal("alice", "pc", token=pc.connack.token)).reason == Reason.BAD_USER_NAME_OR_PASSWORD
    assert (await house.refusal("alice", "pc", epoch=pc.connack.epoch)).reason == Reason.LOGGED_OUT


@in_house()
async def test_to_log_out_one_that_lost_its_session_ends_nobody_elses(house: House) -> None:
    phone = await house.log_in("alice", "phone")
    await house.log_in("alice", "pc", "old")
    new = await house.log_in("alice", "pc", "new")
    assert (await sessions(phone, "log_out", device="old")).reason == Reason.SUCCESS
    await new.expect_alive()


@in_house()
async def test_a_device_logs_itself_out(house: House) -> None:
    phone = await house.log_in("alice", "phone")
    await phone.say(Sessions(request=1, action="log_out", device="alice-phone"))
    await phone.expect_dismissal(Reason.LOGGED_OUT)


@pytest.mark.parametrize("device", ["unknown", "", "x" * 100, "x" * 100_000, "bob-phone", "\0"])
@in_house()
async def test_a_device_that_is_not_ones_own_is_not_found(house: House, device: str) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    assert (await sessions(alice, "log_out", device=device)).reason == Reason.NOT_FOUND
    await bob.expect_alive()


@in_house()
async def test_a_change_of_password_revokes_the_tokens_of_all_others(house: House) -> None:
    phone = await house.log_in("alice", "phone", want_token=True)
    pc = await house.log_in("alice", "pc", want_token=True)
    changed = await sessions(phone, "set_password", password=PASSWORD, new_password="tell nobody")
    assert changed.reason == Reason.SUCCESS
    await pc.expect_alive()
    assert (await house.refusal("alice", "pc", token=pc.connack.token)).reason == Reason.BAD_USER_NAME_OR_PASSWORD
    assert (await house.refusal("alice", "pc")).reason == Reason.BAD_USER_NAME_OR_PASSWORD
    await house.log_in("alice", "phone", token=phone.connack.token)
    await house.log_in("alice", "pc", password="tell nobody")


@in_house(limits={"password_checks_max": 1, "password_queue_max": 1}, offload_s=0.5)
async def test_what_does_not_change_a_password(house: House) -> None:
    alice = await house.log_in("alice")
    wrong = await sessions(alice, "set_password", password="wrong", new_password="x")
    assert wrong.reason == Reason.BAD_USER_NAME_OR_PASSWORD
    house.calls.clear()
    async with trio.open_nursery() as nursery:
        await alice.say(Sessions(request=2, action="set_password", password=PASSWORD, new_password="x"))
        await house.calls.wait("account")
        for _ in range(2):
            nursery.start_soon(house.core.accounts.check, None, "x")
        busy = await alice.expect(Result)
        assert (busy.reason, busy.retry_after_s is None) == (Reason.SERVER_BUSY, False)
    await house.log_in("alice")


@in_house(limits={"keepalive_s": 3_600})
async def test_no_request_ends_the_connection(house: House) -> None:
    """Whatever is asked about that does not exist: an answer, and on."""
    alice = await house.log_in("alice")
    requests: list[Frame] = [
        Subscribe(request=1, users=()),
        Subscribe(request=1, users=("x" * 64,)),
        Subscribe(request=1, users=("nobody",), stop=True),
        Fetch(request=1, conversation="group/nothing"),
        Fetch(request=1, before=0),
        Fetch(request=1, after=2**53 - 1),
        Group(request=1, action="create", group="x" * 64, users=("alice",) * 256),
        Group(request=1, action="add", group="x" * 64, users=()),
        Group(request=1, action="remove", group="nothing", users=("nobody",)),
        Relation(request=1, action="remove", kind="contact", user="nobody"),
        Sessions(request=1, action="list"),
    ]
    for request in requests:
        await alice.say(request)
        assert isinstance(await alice.hear(), Result | Page)
    await alice.expect_silence()
