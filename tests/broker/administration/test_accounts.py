"""Users, devices, tokens, groups, contacts and blocks, erasing: what an admin may do with them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from broker.administration.test_acts import reason_of
from broker.house import START_MS, House, in_house, in_virtual_time, open_house, wall_clock_ms
from broker.store.world import seeded
from roost_broker.administration import NotDone
from roost_broker.administration.near import near_names
from roost_broker.config import RetentionConfig
from roost_broker.store import CommitRefused
from roost_broker.store.memory import MemoryStore
from roost_broker.store.operations import CreateUser
from roost_protocol.admin.devices import TokenQuery
from roost_protocol.admin.erase import ErasureStep
from roost_protocol.admin.groups import GroupChange, GroupCreate
from roost_protocol.admin.relations import BLOCKS_ADD, BLOCKS_LIST, BLOCKS_REMOVE, CONTACTS_ADD, CONTACTS_LIST
from roost_protocol.admin.route import Caller, Route
from roost_protocol.admin.users import PasswordSet
from roost_protocol.frames import Ack, Disconnect, Presence, Result, Subscribe
from roost_protocol.limits import Limits
from roost_protocol.reasons import Reason

ROOT = Caller(name="root", role="admin", address="unix")


async def text_of(act: Any) -> str:
    """What is said of an act that was not done."""
    with pytest.raises(NotDone) as error:
        await act
    return str(error.value)


# --- who may have been meant --------------------------------------------------------------------------------------


@in_house(users=["alice", "alicia", "bob"])
async def test_who_may_have_been_meant(house: House) -> None:
    admin = house.broker.admin
    await admin.groups.create(GroupCreate(name="choir", owner="alice"))
    missing = "there is no user 'alcie'; did you mean alice or alicia?"
    relations = admin.acts
    for act in (
        admin.users.show("alcie"),
        admin.users.remove("alcie"),
        admin.users.disable("alcie"),
        admin.users.enable("alcie"),
        admin.users.set_password("alcie", PasswordSet(password="x")),
        admin.devices.list("alcie"),
        admin.devices.forget("alcie", "x"),
        admin.devices.revoke_token("alcie", "x"),
        admin.devices.list_tokens(TokenQuery(user="alcie")),
        relations[BLOCKS_LIST]("alcie"),
        relations[BLOCKS_ADD]("bob", "alcie"),
        relations[CONTACTS_ADD]("alcie", "bob"),
        admin.groups.create(GroupCreate(name="new", owner="alcie")),
        admin.groups.of("alcie"),
        admin.groups.create(GroupCreate(name="new", owner="bob", members=("alice", "alcie"))),
        admin.groups.change("choir", GroupChange(add=("alcie",))),
        admin.erase.erase("alcie"),
    ):
        assert await text_of(act) == missing
    for act in (
        admin.groups.show("chor"),
        admin.groups.delete("chor"),
        admin.groups.change("chor", GroupChange(add=("alice",))),
    ):
        assert await text_of(act) == "there is no group 'chor'; did you mean choir?"
    assert await text_of(admin.users.show("nobody at all")) == "there is no user 'nobody at all'"


def test_near_names_are_found_among_many_and_few_are_read() -> None:
    store = MemoryStore(limits=Limits(), random=seeded())
    names = [f"a{number:05}" for number in range(3_000)] + ["alice", "zoe"]
    store.commit([CreateUser(name=name, password_hash="") for name in names], START_MS)
    assert near_names(store, "user", "alcie") == ["alice"]
    assert near_names(store, "user", "zeo") == ["zoe"]
    assert near_names(store, "user", "") == []
    assert near_names(store, "user", "\x00") == []


# --- users --------------------------------------------------------------------------------------------------------


@in_house()
async def test_a_user_with_all_that_belongs_to_him(house: House) -> None:
    admin = house.broker.admin
    alice = await house.log_in("alice", client="app 1", host="10.0.0.9")
    await (await house.log_in("alice", "pc")).say(Disconnect())
    await house.fill(alice, "user/bob", 3)
    await alice.say(Ack(seq=2))
    await admin.groups.create(GroupCreate(name="g", owner="alice"))
    await admin.relations.change("contact", "alice", "bob", present=True)
    await admin.relations.change("block", "alice", "bob", present=True)
    await admin.relations.change("block", "alice", "carol", present=True)
    await trio.sleep(3)
    user = await admin.users.show("alice")
    assert (user.name, user.disabled, user.online, user.floor, user.head) == ("alice", False, ("phone",), 1, 3)
    assert (user.groups, user.contacts, user.blocks) == (1, 1, 2)
    assert user.bytes > 3 * len("hello")
    pc, phone = user.devices
    assert (phone.device, phone.online, phone.address, phone.client) == ("alice-phone", True, "10.0.0.9:1", "app 1")
    assert (phone.cursor, phone.head, phone.lag, phone.epoch) == (2, 3, 1, alice.connack.epoch)
    assert phone.oldest_at is not None
    assert START_MS <= phone.oldest_at <= wall_clock_ms() - 3_000
    assert (pc.online, pc.address, pc.since, pc.epoch, pc.cursor, pc.lag) == (False, "", None, None, 0, 3)
    assert START_MS < pc.last_seen < wall_clock_ms()


@in_house(retention=RetentionConfig(count=2, interval_s=1_000))
async def test_what_a_device_would_lose(house: House) -> None:
    alice = await house.log_in("alice")
    await (await house.log_in("bob")).say(Disconnect())
    await house.fill(alice, "user/bob", 5)
    admin = house.broker.admin
    (row,) = (await admin.devices.list("bob")).devices
    assert (row.loses, row.loses_from, row.loses_by, row.lag) == (3, 1, "count", 5)
    await house.broker.trim()
    listed = await admin.devices.list("bob")
    (row,) = listed.devices
    assert (listed.floor, listed.head) == (4, 5)
    assert (row.loses, row.loses_from, row.loses_by, row.lag) == (0, None, None, 5), "what is lost is lost already"
    await house.fill(alice, "user/bob", 1, first=6)
    (row,) = (await admin.devices.list("bob")).devices
    assert (row.loses, row.loses_from) == (1, 4)
    (row,) = (await admin.devices.list("alice")).devices
    assert row.loses == 1
    await alice.say(Ack(seq=6))
    await trio.sleep(1)
    (row,) = (await admin.devices.list("alice")).devices
    assert (row.loses, row.oldest_at) == (0, None)


@in_house()
async def test_a_new_password_revokes_tokens_and_ends_sessions_if_asked(house: House) -> None:
    admin = house.broker.admin
    alice = await house.log_in("alice", want_token=True)
    changed = await admin.users.set_password("alice", PasswordSet(password="new"), ROOT)
    assert (changed.name, changed.logged_out) == ("alice", ())
    await alice.expect_alive()
    assert (await house.refusal("alice", token=alice.connack.token)).reason == Reason.BAD_USER_NAME_OR_PASSWORD
    assert (await house.refusal("alice")).reason == Reason.BAD_USER_NAME_OR_PASSWORD
    changed = await admin.users.set_password("alice", PasswordSet(password="newer", log_out=True), ROOT)
    assert changed.logged_out == ("phone",)
    dismissal = await alice.expect_dismissal(Reason.ADMINISTRATIVE_ACTION)
    assert (dismissal.text, dismissal.reconnect) == ("the password was changed", False)
    assert dismissal.origin is not None
    assert (dismissal.origin.by, dismissal.origin.address) == ("root", "unix")
    await house.log_in("alice", password="newer")
    too_long = PasswordSet(password="x" * 257)
    assert await reason_of(admin.users.set_password("alice", too_long)) == Reason.NOT_AUTHORIZED


@in_house()
async def test_a_disabled_user_is_out_until_enabled(house: House) -> None:
    admin = house.broker.admin
    phone, pc = await house.log_in("alice", want_token=True), await house.log_in("alice", "pc")
    changed = await admin.users.disable("alice", ROOT)
    assert (changed.disabled, changed.logged_out) == (True, ("pc", "phone"))
    for device in (phone, pc):
        dismissal = await device.expect_dismissal(Reason.ADMINISTRATIVE_ACTION)
        assert (dismissal.text, dismissal.reconnect) == ("the account is disabled", False)
        assert dismissal.origin is not None
        assert dismissal.origin.by == "root"
    token = phone.connack.token
    credentials: tuple[dict[str, Any], ...] = ({}, {"token": token})
    for credential in credentials:
        assert (await house.refusal("alice", **credential)).reason == Reason.BAD_USER_NAME_OR_PASSWORD
    assert (await admin.users.list()).users[0].disabled
    bob = await house.log_in("bob")
    assert (await bob.publish(1, "user/alice")).reason == Reason.SUCCESS, "messages are kept for when he is back"
    assert not (await admin.users.enable("alice", ROOT)).disabled
    await house.log_in("alice", token=token)


@in_house()
async def test_a_removed_user_is_gone(house: House) -> None:
    admin = house.broker.admin
    alice = await house.log_in("alice")
    removed = await admin.users.remove("alice", ROOT)
    assert (removed.name, removed.logged_out) == ("alice", ("phone",))
    assert (await alice.expect_dismissal(Reason.ADMINISTRATIVE_ACTION)).text == "the account was removed"
    assert await reason_of(admin.users.remove("alice", ROOT)) == Reason.NOT_FOUND
    assert [row.name for row in (await admin.users.list()).users] == ["bob", "carol"]
    await house.broker.create_user("alice", "another")
    assert (await house.log_in("alice", password="another")).connack.head == 0


@in_house()
async def test_when_the_store_has_no_room(house: House) -> None:
    admin = house.broker.admin
    await house.log_in("alice")
    for act in (
        lambda: admin.users.disable("alice"),
        lambda: admin.users.remove("alice"),
        lambda: admin.devices.forget("alice", "alice-phone"),
        lambda: admin.devices.revoke_token("alice", "alice-phone"),
        lambda: admin.relations.change("block", "alice", "bob", present=True),
        lambda: admin.erase.erase("alice"),
    ):
        house.store.faults.append(CommitRefused("full"))
        assert await reason_of(act()) == Reason.QUOTA_EXCEEDED


# --- devices and tokens -------------------------------------------------------------------------------------------


@in_house()
async def test_a_device_is_forgotten(house: House) -> None:
    admin = house.broker.admin
    alice = await house.log_in("alice", want_token=True)
    changed = await admin.devices.forget("alice", "alice-phone", ROOT)
    assert (changed.device, changed.logged_out) == ("alice-phone", True)
    dismissal = await alice.expect_dismissal(Reason.ADMINISTRATIVE_ACTION)
    assert dismissal.text == "this device was forgotten"
    assert (await admin.devices.list("alice")).devices == ()
    assert (await house.refusal("alice", token=alice.connack.token)).reason == Reason.BAD_USER_NAME_OR_PASSWORD
    await trio.sleep(2)
    assert (await admin.devices.list("alice")).devices == (), "its last cursor does not bring it back"
    text = await text_of(admin.devices.forget("alice", "alice-phone", ROOT))
    assert text == "alice has no device 'alice-phone'; there are: none"


@in_house()
async def test_a_token_is_revoked_and_its_session_ended(house: House) -> None:
    admin = house.broker.admin
    phone, pc = await house.log_in("alice", want_token=True), await house.log_in("alice", "pc", want_token=True)
    changed = await admin.devices.revoke_token("alice", "alice-phone", ROOT)
    assert changed.logged_out
    await phone.expect_dismissal(Reason.ADMINISTRATIVE_ACTION)
    await pc.expect_alive()
    assert (await house.refusal("alice", token=phone.connack.token)).reason == Reason.BAD_USER_NAME_OR_PASSWORD
    await house.log_in("alice")
    assert [row.device for row in (await admin.devices.list_tokens()).tokens] == ["alice-pc"]
    assert "there are: alice-pc, alice-phone" in await text_of(admin.devices.revoke_token("alice", "x", ROOT))


@in_house(users=[f"user{number}" for number in range(5)], limits={"listing_max": 2})
async def test_tokens_come_in_pages_of_users(house: House) -> None:
    for number in (0, 3, 4):
        await house.log_in(f"user{number}", want_token=True)
    await (await house.log_in("user4", "pc", want_token=True)).say(Disconnect())
    await trio.sleep(1)
    admin = house.broker.admin
    rows: list[tuple[str, str, bool]] = []
    after: str | None = ""
    pages = 0
    while after is not None:
        page = await admin.devices.list_tokens(TokenQuery(after=after))
        rows += [(row.user, row.device, row.online) for row in page.tokens]
        after = page.next
        pages += 1
    assert rows == [
        ("user0", "user0-phone", True),
        ("user3", "user3-phone", True),
        ("user4", "user4-pc", False),
        ("user4", "user4-phone", True),
    ]
    assert pages == 3
    mine = await admin.devices.list_tokens(TokenQuery(user="user4"))
    assert ([row.device for row in mine.tokens], mine.next) == (["user4-pc", "user4-phone"], None)


# --- groups, contacts and blocks ----------------------------------------------------------------------------------


@in_house()
async def test_a_group_is_shown_and_deleted(house: House) -> None:
    admin = house.broker.admin
    await admin.groups.create(GroupCreate(name="g", owner="alice", members=("bob",)))
    assert (await admin.groups.show("g")).members == ("alice", "bob")
    assert (await admin.groups.delete("g", ROOT)).members == ("alice", "bob")
    assert await reason_of(admin.groups.show("g")) == Reason.NOT_FOUND
    assert await reason_of(admin.groups.delete("g", ROOT)) == Reason.NOT_FOUND


@in_house()
async def test_contacts_and_blocks(house: House) -> None:
    acts: dict[Route[Any], Any] = house.broker.admin.acts
    assert (await acts[CONTACTS_LIST]("alice")).others == ()
    assert (await acts[CONTACTS_ADD]("alice", "carol", ROOT)).others == ("carol",)
    assert (await acts[CONTACTS_ADD]("alice", "bob", ROOT)).others == ("bob", "carol")
    assert (await acts[BLOCKS_ADD]("alice", "bob", ROOT)).others == ("bob",)
    bob = await house.log_in("bob")
    assert (await bob.publish(1, "user/alice")).reason == Reason.BLOCKED
    assert (await acts[BLOCKS_REMOVE]("alice", "bob", ROOT)).others == ()
    assert (await bob.publish(2, "user/alice")).reason == Reason.SUCCESS
    assert await reason_of(acts[BLOCKS_ADD]("alice", "alice", ROOT)) == Reason.NOT_AUTHORIZED


@in_house()
async def test_a_block_hides_presence(house: House) -> None:
    await house.log_in("alice")
    bob = await house.log_in("bob")
    await bob.say(Subscribe(request=1, users=("alice",)))
    assert (await bob.pick(Presence)).online
    await bob.pick(Result)
    await house.broker.admin.relations.change("block", "alice", "bob", present=True)
    assert not (await bob.expect(Presence)).online


# --- erasing ------------------------------------------------------------------------------------------------------


async def steps_of(events: AsyncIterator[ErasureStep]) -> list[ErasureStep]:
    return [step async for step in events]


@in_house(limits={"trim_slice_max": 3})
async def test_an_erasure_says_how_far_it_is_and_reports(house: House) -> None:
    admin = house.broker.admin
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 10)
    await alice.publish(11, "user/carol")
    await alice.rest()
    steps = await steps_of(await admin.erase.erase("alice", ROOT))
    assert (await alice.expect_dismissal(Reason.ADMINISTRATIVE_ACTION)).text == "the account was erased"
    assert steps[0].step == "erasing"
    report = steps[-1]
    assert (report.user, report.step, report.messages, report.conversations, report.inboxes) == (
        "alice", "done", 11, 2, 2
    )  # fmt: skip
    assert report.bytes > 11 * len("hello")
    assert await reason_of(admin.erase.erase("alice", ROOT)) == Reason.NOT_FOUND


@in_house(limits={"trim_slice_max": 2})
async def test_an_erasure_goes_on_when_nobody_listens(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 20)
    events = await house.broker.admin.erase.erase("alice", ROOT)
    await anext(events)
    await events.aclose()  # type: ignore[attr-defined]
    await trio.sleep(5)
    assert house.store.removals(0, 9) == ()


@in_house()
async def test_an_erasure_that_stopped_is_taken_up(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 2)
    admin = house.broker.admin
    events = await admin.erase.erase("alice", ROOT)
    house.store.faults.append(CommitRefused("full"))
    (stopped,) = await steps_of(events)
    assert (stopped.step, stopped.text) == ("stopped", "full; it goes on by itself")
    report = (await steps_of(await admin.erase.erase("alice", ROOT)))[-1]
    assert (report.step, report.messages, report.conversations) == ("done", 2, 1)


@in_virtual_time
async def test_a_new_user_of_the_name_is_the_one_who_is_erased() -> None:
    async with open_house() as house:
        admin = house.broker.admin
        await house.fill(await house.log_in("alice"), "user/bob", 1)
        await admin.users.remove("alice")
        await house.broker.create_user("alice", "x")
        await house.fill(await house.log_in("alice", password="x"), "user/bob", 1)
        report = (await steps_of(await admin.erase.erase("alice")))[-1]
        assert report.messages == 1
        page = house.store.read_inbox(house.number("bob"), 0, 9, 9_999)
        assert [entry.kind for entry in page.entries] == ["message", "erased", "message"]


# --- exporting ----------------------------------------------------------------------------------------------------


@in_house(limits={"page_entries_max": 3})
async def test_an_export_is_all_there_is_of_a_user(house: House) -> None:
    admin = house.broker.admin
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await house.fill(alice, "user/bob", 5, text="from alice")
    await bob.publish(1, "user/alice", data=b"\x00\xff")
    await admin.groups.create(GroupCreate(name="g", owner="alice"))
    await admin.relations.change("contact", "alice", "bob", present=True)
    await admin.relations.change("block", "alice", "carol", present=True)
    records = [record async for record in await admin.export.export("alice")]
    assert [record.kind for record in records] == [
        "account", "device", "group", "contact", "block", *["entry"] * 6, "end"
    ]  # fmt: skip
    account, device, *_ = records
    assert account.account is not None
    assert (account.account.name, account.account.floor, account.account.head) == ("alice", 1, 6)
    assert device.device is not None
    assert device.device.device == "alice-phone"
    entries = [record.entry for record in records if record.entry is not None]
    assert [(entry.seq, entry.kind, entry.n) for entry in entries] == [
        *((n, "own", n) for n in range(1, 6)), (6, "message", None)
    ]  # fmt: skip
    assert [entry.entry.text for entry in entries if entry.entry is not None] == ["from alice"] * 5 + [None]
    assert entries[-1].entry is not None
    assert entries[-1].entry.data == b"\x00\xff"
    assert records[-1].end == 6


@in_house()
async def test_what_comes_while_an_export_is_read_is_not_in_it(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 2)
    kinds: list[str] = []
    async for record in await house.broker.admin.export.export("alice"):
        if not kinds:
            await house.fill(alice, "user/bob", 2, first=3)
        kinds.append(record.kind)
    assert kinds == ["account", "device", "entry", "entry", "end"]


@in_house()
async def test_an_export_of_a_user_who_is_removed_meanwhile_has_no_end(house: House) -> None:
    """What is left of him is no whole export, and must not look like one."""
    await house.fill(await house.log_in("alice"), "user/bob", 2)
    kinds: list[str] = []
    async for record in await house.broker.admin.export.export("alice"):
        if not kinds:
            await house.broker.admin.users.remove("alice")
        kinds.append(record.kind)
    assert kinds[0] == "account"
    assert "end" not in kinds


@in_house()
async def test_erased_entries_are_exported_as_such(house: House) -> None:
    await house.fill(await house.log_in("alice"), "user/bob", 1)
    admin = house.broker.admin
    await steps_of(await admin.erase.erase("alice"))
    records = [record async for record in await admin.export.export("bob")]
    entries = [record.entry for record in records if record.entry is not None]
    assert [(entry.kind, entry.entry is None) for entry in entries] == [("erased", True), ("message", False)]
    assert await reason_of(admin.export.export("alice")) == Reason.NOT_FOUND
