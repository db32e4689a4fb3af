"""Accounts that end: disabled, removed, cleared away in slices; devices forgotten, groups deleted."""

from pathlib import Path

import pytest

from broker.store.tables import check_tables, read_tables
from broker.store.world import SMALL_LIMITS, World, make_store, reason_of, seeded
from roost_broker.store.account_operations import (
    Cleared,
    ClearRemoved,
    DeleteGroup,
    ForgetDevice,
    Removal,
    RemoveUser,
    SetDisabled,
    TokenPage,
    TokenRow,
    UserRemoved,
)
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.lmdb_tables import NUMBER, UserRecord, pack_record, user_record
from roost_broker.store.operations import (
    ChangeMembers,
    CreateGroup,
    CreateUser,
    Done,
    EndSession,
    Floor,
    MoveCursors,
    Refused,
    Retention,
    SetPassword,
    SetRelation,
    Trim,
)
from roost_broker.store.readings import InboxSize
from roost_protocol.reasons import Reason

EMPTY = InboxSize(floor=1, head=0, entries=0, bytes=0, oldest=None)

# --- disabled -----------------------------------------------------------------------------------------------------


def test_a_disabled_user_does_not_log_in_and_an_enabled_one_does(world: World) -> None:
    (alice,) = world.users("alice")
    world.login("alice", "a", new_token_digest=b"token")
    assert world.one(SetDisabled(user=alice, disabled=True)) == Done()
    account = world.store.account("alice")
    assert account is not None
    assert account.disabled
    for credential in ({"password_version": 1}, {"token_digest": b"token"}):
        refused = world.try_login("alice", "a", **credential)
        assert isinstance(refused, Refused)
        assert refused.reason is Reason.BAD_USER_NAME_OR_PASSWORD
    assert world.store.token_owner(b"token") is not None, "the token stays"
    assert [row.disabled for row in world.store.list_users("", 5)] == [True]
    world.one(SetDisabled(user=alice, disabled=False))
    world.login("alice", "a", token_digest=b"token")


def test_what_is_done_to_an_unknown_user(world: World) -> None:
    for operation in (
        SetDisabled(user=7, disabled=True),
        RemoveUser(user=7),
        ClearRemoved(user=7, rows_max=10),
        ForgetDevice(user=7, device_id="a"),
        DeleteGroup(name="team"),
    ):
        assert reason_of(world.one(operation)) is Reason.NOT_FOUND


# --- devices and groups -------------------------------------------------------------------------------------------


def test_one_device_is_forgotten(world: World) -> None:
    (alice,) = world.users("alice")
    old = world.login("alice", "old", new_token_digest=b"token")
    world.publish(old, "user/alice")
    world.login("alice", "kept", terminal="pc")
    assert world.one(ForgetDevice(user=alice, device_id="old")) == Done()
    assert [device.device_id for device in world.store.devices(alice)] == ["kept"]
    assert world.store.token_owner(b"token") is None
    assert world.publish(old, "user/alice").reason is Reason.SESSION_TAKEN_OVER
    assert reason_of(world.one(ForgetDevice(user=alice, device_id="old"))) is Reason.NOT_FOUND
    assert world.login("alice", "old").logged_in.settled_n == 0


def test_a_group_is_deleted_and_its_name_free(world: World) -> None:
    alice, bob = world.users("alice", "bob")
    world.one(CreateGroup(name="team", owner=alice, members=("bob",)))
    phone = world.login("bob")
    world.publish(phone, "group/team")
    assert world.one(DeleteGroup(name="team")) == Done()
    assert world.store.group("team") is None
    assert (world.store.groups_of(alice), world.store.groups_of(bob)) == ((), ())
    assert world.publish(phone, "group/team").reason is Reason.UNKNOWN_RECIPIENT
    assert world.head("alice") == 1
    assert world.one(CreateGroup(name="team", owner=bob)) == Done()


# --- removed ------------------------------------------------------------------------------------------------------


def town(world: World) -> None:
    """alice talks with bob and carol, owns a group with both, and knows them; she has two devices."""
    world.users("alice", "bob", "carol")
    world.one(CreateGroup(name="team", owner=1, members=("bob", "carol")))
    world.one(CreateGroup(name="alone", owner=1))
    for kind, user, other in (
        ("contact", 1, "bob"),
        ("block", 1, "carol"),
        ("contact", 2, "alice"),
        ("block", 3, "alice"),
        ("contact", 2, "carol"),
    ):
        world.one(SetRelation(user=user, kind=kind, other=other, present=True))
    phone = world.login("alice", "phone-1", new_token_digest=b"token")
    world.login("alice", "pc-1", terminal="pc")
    bob = world.login("bob")
    for number in range(3):
        world.publish(phone, "user/bob", f"to bob {number}")
        world.publish(bob, "user/alice", f"to alice {number}")
        world.publish(phone, "group/team", f"to all {number}")
    world.one(MoveCursors(cursors=((phone.device, 4),)))


def clear(world: World, user: int = 1, rows_max: int = 1_000) -> int:
    """Clear away to the end; in how many slices."""
    slices = 0
    while True:
        slices += 1
        result = world.one(ClearRemoved(user=user, rows_max=rows_max))
        assert isinstance(result, Cleared)
        if result.done:
            return slices


def test_a_removed_user_is_gone_for_everybody_at_once(world: World) -> None:
    town(world)
    store = world.store
    assert world.one(RemoveUser(user=1)) == UserRemoved(name="alice")
    assert store.account("alice") is None
    assert [row.name for row in store.list_users("", 9)] == ["bob", "carol"]
    assert store.names_after("user", "", 9) == ("bob", "carol")
    assert store.devices(1) == ()
    assert store.token_owner(b"token") is None
    assert store.groups_of(1) == ()
    team = store.group("team")
    assert team is not None
    assert (team.owner, team.members) == ("bob", ("bob", "carol")), "as when she leaves"
    assert store.group("alone") is None
    assert [store.relations(user, kind) for user in (1, 2, 3) for kind in ("contact", "block")] == [
        (), (), ("carol",), (), (), ()
    ]  # fmt: skip
    bob = world.login("bob")
    assert world.publish(bob, "user/alice").reason is Reason.UNKNOWN_RECIPIENT
    assert [user for user, _ in world.publish(bob, "group/team").entries] == [2, 3]
    assert reason_of(world.one(RemoveUser(user=1))) is Reason.NOT_FOUND


def test_a_removed_user_does_nothing_any_more(world: World) -> None:
    town(world)
    phone = world.login("alice", "phone-1")
    world.one(RemoveUser(user=1))
    refused = world.publish(phone, "user/bob")
    assert (refused.reason, refused.settled) == (Reason.SESSION_TAKEN_OVER, False)
    for credential in ({"password_version": 1}, {"token_digest": b"token"}):
        result = world.try_login("alice", "phone-1", **credential)
        assert isinstance(result, Refused)
        assert result.reason is Reason.BAD_USER_NAME_OR_PASSWORD
    for operation in (
        SetPassword(user=1, password_hash="x"),
        SetDisabled(user=1, disabled=False),
        CreateGroup(name="new", owner=1),
        SetRelation(user=1, kind="contact", other="bob", present=True),
        SetRelation(user=2, kind="contact", other="alice", present=True),
        ChangeMembers(group="team", by=None, add=("alice",)),
        EndSession(user=1, terminal="phone", reason=Reason.LOGGED_OUT, by="x"),
        ForgetDevice(user=1, device_id="phone-1"),
    ):
        assert reason_of(world.one(operation)) is Reason.NOT_FOUND
    world.one(MoveCursors(cursors=((phone.device, 9),)))
    assert world.store.statistics().devices == 1


def test_in_other_inboxes_messages_stay(world: World) -> None:
    town(world)
    before = world.store.read_inbox(2, 0, 100, 10_000).entries
    world.one(RemoveUser(user=1))
    clear(world)
    after = world.store.read_inbox(2, 0, 100, 10_000).entries
    assert [entry.encoded for entry in after] == [entry.encoded for entry in before]
    assert world.store.statistics().messages == 9, "all of them are in the inbox of bob"


def test_what_is_left_goes_in_slices_and_the_user_with_the_last(world: World) -> None:
    town(world)
    world.one(RemoveUser(user=1))
    at = world.now_ms
    removal = Removal(user=1, name="alice", at=at, erasing=False, messages=0, bytes=0, conversations=0)
    assert world.store.removals(0, 9) == (removal,)
    assert world.store.removals(1, 9) == ()
    assert world.store.statistics().users == 3
    assert clear(world, rows_max=2) > 4
    assert world.store.removals(0, 9) == ()
    sizes = world.store.statistics()
    assert (sizes.users, sizes.entries) == (2, 12)
    assert world.store.inbox_size(1) == EMPTY
    assert reason_of(world.one(ClearRemoved(user=1, rows_max=9))) is Reason.NOT_FOUND


def test_messages_that_nobody_else_holds_go_with_the_inbox(world: World) -> None:
    world.users("alice", "bob")
    phone = world.login("alice")
    world.publish(phone, "user/alice", "a note")
    world.publish(phone, "user/bob", "a letter")
    world.one(RemoveUser(user=1))
    clear(world)
    assert world.store.statistics().messages == 1


def test_the_name_is_that_of_another_user_at_once(world: World) -> None:
    town(world)
    world.one(RemoveUser(user=1))
    (number,) = world.users("alice")
    assert number == 4
    phone = world.login("alice")
    assert (phone.logged_in.head, phone.logged_in.settled_n) == (0, 0)
    assert world.publish(world.login("bob"), "user/alice").entries[1] == (4, 1)
    assert world.store.relations(2, "contact") == ("carol",), "who knew the old one does not know the new one"
    assert not world.store.is_blocked(4, 3)
    clear(world)
    account = world.store.account("alice")
    assert account is not None
    assert (account.user, world.head("alice")) == (4, 1)


def test_relations_with_a_removed_user_take_no_place(world: World) -> None:
    world.users("alice", "b", "c", "d", "e")
    for other in "bcd":
        world.one(SetRelation(user=1, kind="contact", other=other, present=True))
    full = SetRelation(user=1, kind="contact", other="e", present=True)
    assert reason_of(world.one(full)) is Reason.QUOTA_EXCEEDED
    world.one(RemoveUser(user=2))
    assert world.one(full) == Done()


def test_the_walk_of_retention_passes_over_removed_users(world: World) -> None:
    town(world)
    world.one(RemoveUser(user=1))
    world.one(Trim(retention=Retention(count=1), users_max=9, entries_max=99))
    assert world.store.inbox_size(1).floor == 9
    clear(world)
    world.one(Trim(retention=Retention(count=0), users_max=9, entries_max=99))
    assert world.store.statistics().messages == 0


def test_nothing_is_left_of_a_removed_user(tmp_path: Path) -> None:
    """Table by table: what is there names nobody by that number, but the messages that others hold."""
    path = tmp_path / "store"
    store = make_store("lmdb", path)
    world = World(store)
    town(world)
    world.one(RemoveUser(user=1))
    clear(world, rows_max=3)
    store.close()
    check_tables(path)
    tables = read_tables(path)
    number = NUMBER.pack(1)
    for table in (
        "users", "floors", "inbox", "device_ids", "sessions", "memberships", "relations", "removals", "names", "tokens"
    ):  # fmt: skip
        assert not [key for key in tables[table] if key.startswith(number)], table
    assert b"alice" not in tables["names"]
    assert not [key for key in tables["relations"] if key.endswith(number)]
    assert not [key for key in tables["members"] if key.endswith(number)]
    assert [NUMBER.unpack(key)[0] for key in tables["devices"]] == [3]
    assert {NUMBER.unpack(key[:8])[0] for key in tables["outcomes"]} == {3}
    assert set(tables["tokens"]) == set()
    assert set(tables["removals"]) == set()
    naming = {name for name, rows in tables.items() if any(b"alice" in value for value in rows.values())}
    # What others wrote, digests as tests have them; and that there was such a user, as long as the journal goes.
    assert naming == {"messages", "outcomes", "journal"}


def test_what_is_left_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "store"
    world = World(make_store("lmdb", path))
    town(world)
    world.one(RemoveUser(user=1))
    world.one(ClearRemoved(user=1, rows_max=2))
    world.store.close()
    world.store = make_store("lmdb", path)
    assert [removal.name for removal in world.store.removals(0, 9)] == ["alice"]
    clear(world, rows_max=2)
    assert world.store.removals(0, 9) == ()
    world.store.close()
    check_tables(path)


def test_a_user_of_an_older_store_is_read_as_before(tmp_path: Path) -> None:
    """Records had six fields before users could be removed."""
    old = pack_record(["alice", "hash", 1, True, "0" * 16, 5])
    assert user_record(old) == UserRecord("alice", "hash", 1, True, "0" * 16, 5, since_id=0, removed=False)
    store = LmdbStore(tmp_path / "store", limits=SMALL_LIMITS, random=seeded())
    store.commit([CreateUser(name="alice", password_hash="hash")], 1)
    with store._env.begin(write=True) as txn:
        txn.put(NUMBER.pack(1), old, db=store._tables.users)
    account = store.account("alice")
    assert account is not None
    assert (account.disabled, account.created) == (True, 5)
    assert store.commit([RemoveUser(user=1)], 2) == [UserRemoved(name="alice")]
    store.close()


# --- reading ------------------------------------------------------------------------------------------------------


def test_names_come_in_order_of_their_bytes(world: World) -> None:
    world.users("bob", "Ünal", "alice", "Zoe")
    world.one(CreateGroup(name="team", owner=1))
    assert world.store.names_after("user", "", 9) == ("Zoe", "alice", "bob", "Ünal")
    assert world.store.names_after("user", "alice", 1) == ("bob",)
    assert world.store.names_after("user", "alicf", 9) == ("bob", "Ünal")
    assert world.store.names_after("group", "", 9) == ("team",)
    assert world.store.names_after("group", "team", 9) == ()


def test_devices_with_tokens_come_in_pages_of_users(world: World) -> None:
    world.users("carol", "alice", "bob")
    world.login("bob", "b", new_token_digest=b"1")
    world.login("bob", "a", terminal="pc", new_token_digest=b"2")
    world.login("bob", "c", terminal="pad")
    seen = world.now_ms
    world.login("carol", "z", new_token_digest=b"3")
    page = world.store.list_tokens("", 2)
    assert [(row.name, row.device_id) for row in page.rows] == [("bob", "a"), ("bob", "b")]
    assert page.next_after == "bob"
    row = TokenRow(user=1, name="carol", device_id="z", terminal="phone", last_seen=seen + 1)
    assert world.store.list_tokens("bob", 2) == TokenPage(rows=(row,), next_after=None)
    assert world.store.tokens_of(1) == (row,)
    assert world.store.tokens_of(2) == world.store.tokens_of(9) == ()
    world.one(SetPassword(user=3, password_hash="x"))
    assert world.store.list_tokens("", 9).rows == (row,)


def test_what_an_inbox_holds(world: World) -> None:
    world.users("alice", "bob")
    phone = world.login("alice")
    assert world.store.inbox_size(1) == EMPTY
    sizes = [len(world.publish(phone, "user/bob", "x" * length).encoded) for length in (1, 20, 300)]
    size = world.store.inbox_size(2)
    assert (size.floor, size.head, size.bytes) == (1, 3, sum(sizes))
    world.one(Trim(retention=Retention(count=1), users_max=9, entries_max=99))
    size = world.store.inbox_size(2)
    assert (size.floor, size.head, size.bytes) == (3, 3, sizes[2])
    assert [world.store.time_of(2, seq) for seq in (2, 3, 4)] == [None, world.now_ms - 1, None]


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"count": 4},
        {"count": 9},
        {"bytes": 300},
        {"age_ms": 3},
        {"age_ms": 3, "count": 4},
        {"age_ms": 5, "count": 2, "bytes": 500},
        {"count": 0},
        {"bytes": 0},
    ],
)
def test_what_retention_would_do_is_what_it_does(world: World, rules: dict[str, int]) -> None:
    world.users("alice", "bob")
    phone = world.login("alice")
    for length in (1, 100, 5, 5, 70, 30, 1):
        world.publish(phone, "user/bob", "x" * length)
    would = world.store.would_trim(2, Retention(**rules), world.now_ms + 1)
    before = world.store.inbox_size(2)
    world.one(Trim(retention=Retention(**rules), users_max=9, entries_max=99))
    page = world.store.read_inbox(2, 0, 1, 1)
    if page.floor == before.floor:
        assert would is None
    else:
        assert would == Floor(user=2, floor=page.floor, reason=page.floor_reason or "age")
    assert world.store.would_trim(2, Retention(**rules), world.now_ms) is None
