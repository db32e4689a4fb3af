"""Accounts, groups, contacts and blocked users, and how they are listed."""

import re

import pytest

from broker.store.world import World, reason_of
from roost_broker.store.operations import ChangeMembers, CreateGroup, CreateUser, Done, SetPassword, SetRelation
from roost_broker.store.readings import Account, GroupRecord
from roost_protocol.reasons import Reason

# --- accounts -----------------------------------------------------------------------------------------------------


def test_a_user_is_created_once(world: World) -> None:
    (alice,) = world.users("alice")
    account = world.store.account("alice")
    assert account is not None
    assert re.fullmatch("[0-9a-f]{16}", account.incarnation)
    assert account == Account(
        user=alice,
        name="alice",
        password_hash="hash of alice",
        password_version=1,
        disabled=False,
        incarnation=account.incarnation,
        created=world.now_ms,
    )
    assert reason_of(world.one(CreateUser(name="alice", password_hash="x"))) is Reason.ALREADY_EXISTS
    assert world.store.account("alice") == account


def test_users_have_numbers_and_incarnations_of_their_own(world: World) -> None:
    numbers = world.users("alice", "bob", "Ünïcode")
    accounts = [world.store.account(name) for name in ("alice", "bob", "Ünïcode")]
    assert [account.user for account in accounts if account is not None] == numbers
    assert len({account.incarnation for account in accounts if account is not None}) == 3


def test_unknown_names(world: World) -> None:
    assert world.store.account("nobody") is None
    assert world.store.group("nothing") is None
    assert world.store.token_owner(b"none") is None
    assert world.store.groups_of(5) == ()
    assert world.store.relations(5, "contact") == ()


def test_a_password_has_a_version(world: World) -> None:
    (alice,) = world.users("alice")
    assert world.one(SetPassword(user=alice, password_hash="new")) == Done()
    account = world.store.account("alice")
    assert account is not None
    assert (account.password_hash, account.password_version) == ("new", 2)
    assert reason_of(world.one(SetPassword(user=99, password_hash="x"))) is Reason.NOT_FOUND


def test_users_are_listed_in_order_of_their_bytes(world: World) -> None:
    world.users("bob", "Ünal", "alice", "Zoe", "日本")
    rows = world.store.list_users("", 10)
    assert [row.name for row in rows] == ["Zoe", "alice", "bob", "Ünal", "日本"]
    assert [row.name for row in world.store.list_users("alice", 2)] == ["bob", "Ünal"]
    assert [row.name for row in world.store.list_users("alicf", 1)] == ["bob"]
    assert world.store.list_users("日本", 5) == ()


def test_what_a_listing_says_of_a_user(world: World) -> None:
    world.users("alice", "bob")
    phone = world.login("alice")
    world.login("alice", terminal="pc")
    world.publish(phone, "user/alice")
    alice, bob = world.store.list_users("", 10)
    assert (alice.user, alice.head, alice.floor, alice.devices, alice.disabled) == (1, 1, 1, 2, False)
    assert (bob.user, bob.head, bob.floor, bob.devices) == (2, 0, 1, 0)


# --- groups -------------------------------------------------------------------------------------------------------


def test_a_group_and_its_members(world: World) -> None:
    _, bob, _ = world.users("zoe", "bob", "alice")
    assert world.one(CreateGroup(name="team", owner=bob, members=("alice", "zoe", "alice", "bob"))) == Done()
    assert world.store.group("team") == GroupRecord(group=1, name="team", owner="bob", members=("zoe", "bob", "alice"))
    assert [world.store.groups_of(user) for user in (1, 2, 3)] == [("team",)] * 3


def test_groups_are_listed_in_order_of_their_bytes(world: World) -> None:
    (alice,) = world.users("alice")
    for name in ("b", "ä", "a"):
        world.one(CreateGroup(name=name, owner=alice))
    assert [group.name for group in world.store.list_groups("", 10)] == ["a", "b", "ä"]
    assert [group.name for group in world.store.list_groups("a", 1)] == ["b"]
    assert world.store.groups_of(alice) == ("a", "b", "ä")


def test_why_a_group_is_not_created(world: World) -> None:
    (alice,) = world.users("alice")
    world.one(CreateGroup(name="team", owner=alice))
    assert reason_of(world.one(CreateGroup(name="team", owner=alice))) is Reason.ALREADY_EXISTS
    assert reason_of(world.one(CreateGroup(name="other", owner=99))) is Reason.NOT_FOUND
    assert reason_of(world.one(CreateGroup(name="other", owner=alice, members=("bob",)))) is Reason.NOT_FOUND
    assert world.store.group("other") is None


def test_a_group_has_a_bounded_number_of_members(world: World) -> None:
    world.users("a", "b", "c", "d", "e")
    too_many = CreateGroup(name="all", owner=1, members=("b", "c", "d", "e"))
    assert reason_of(world.one(too_many)) is Reason.QUOTA_EXCEEDED
    assert world.one(CreateGroup(name="most", owner=1, members=("b", "c", "d"))) == Done()
    assert reason_of(world.one(ChangeMembers(group="most", by=1, add=("e",)))) is Reason.QUOTA_EXCEEDED
    assert world.one(ChangeMembers(group="most", by=1, add=("e",), remove=("b",))) == Done()


def test_a_user_is_a_member_of_a_bounded_number_of_groups(world: World) -> None:
    alice, bob = world.users("alice", "bob")
    for name in "xyz":
        world.one(CreateGroup(name=name, owner=alice))
    assert reason_of(world.one(CreateGroup(name="w", owner=alice))) is Reason.QUOTA_EXCEEDED
    assert reason_of(world.one(CreateGroup(name="w", owner=bob, members=("alice",)))) is Reason.QUOTA_EXCEEDED
    world.one(CreateGroup(name="w", owner=bob))
    assert reason_of(world.one(ChangeMembers(group="w", by=bob, add=("alice",)))) is Reason.QUOTA_EXCEEDED
    assert world.one(ChangeMembers(group="x", by=alice, add=("alice",))) == Done()


def team(world: World) -> None:
    """A group of alice (its owner), bob and carol; dave and erin are none of it."""
    world.users("alice", "bob", "carol", "dave", "erin")
    world.one(CreateGroup(name="team", owner=1, members=("bob", "carol")))


def members(world: World) -> tuple[str, ...]:
    group = world.store.group("team")
    return () if group is None else group.members


@pytest.mark.parametrize("by", [1, None])
def test_the_owner_and_an_admin_change_members(world: World, by: int | None) -> None:
    team(world)
    assert world.one(ChangeMembers(group="team", by=by, add=("dave", "bob"), remove=("carol", "erin"))) == Done()
    assert members(world) == ("alice", "bob", "dave")
    assert (world.store.groups_of(3), world.store.groups_of(4)) == ((), ("team",))


def test_a_member_may_leave_and_nothing_else(world: World) -> None:
    team(world)
    assert reason_of(world.one(ChangeMembers(group="team", by=2, add=("dave",)))) is Reason.NOT_AUTHORIZED
    assert reason_of(world.one(ChangeMembers(group="team", by=2, remove=("carol",)))) is Reason.NOT_AUTHORIZED
    assert reason_of(world.one(ChangeMembers(group="team", by=2, remove=("bob", "carol")))) is Reason.NOT_AUTHORIZED
    assert world.one(ChangeMembers(group="team", by=2)) == Done()
    assert members(world) == ("alice", "bob", "carol")
    assert world.one(ChangeMembers(group="team", by=2, remove=("bob",))) == Done()
    assert members(world) == ("alice", "carol")


def test_why_members_are_not_changed(world: World) -> None:
    team(world)
    assert reason_of(world.one(ChangeMembers(group="nothing", by=1))) is Reason.NOT_FOUND
    assert reason_of(world.one(ChangeMembers(group="team", by=4, add=("dave",)))) is Reason.NOT_A_MEMBER
    all_or_none = ChangeMembers(group="team", by=1, add=("dave", "nobody"), remove=("bob",))
    assert reason_of(world.one(all_or_none)) is Reason.NOT_FOUND
    assert reason_of(world.one(ChangeMembers(group="team", by=1, remove=("nobody",)))) is Reason.NOT_FOUND
    assert members(world) == ("alice", "bob", "carol")


def test_the_member_with_the_lowest_number_follows_the_owner(world: World) -> None:
    team(world)
    world.one(ChangeMembers(group="team", by=1, remove=("alice",)))
    assert world.store.group("team") == GroupRecord(group=1, name="team", owner="bob", members=("bob", "carol"))
    assert world.one(ChangeMembers(group="team", by=2, add=("alice",))) == Done()
    assert world.store.group("team") == GroupRecord(
        group=1, name="team", owner="bob", members=("alice", "bob", "carol")
    )


def test_a_group_without_members_is_removed_and_its_name_free(world: World) -> None:
    team(world)
    phone = world.login("alice")
    world.publish(phone, "group/team", "old")
    world.one(ChangeMembers(group="team", by=None, remove=("alice", "bob", "carol")))
    assert world.store.group("team") is None
    assert world.store.groups_of(1) == ()
    assert world.publish(phone, "group/team").reason is Reason.UNKNOWN_RECIPIENT
    world.one(CreateGroup(name="team", owner=4))
    page = world.store.read_conversation(1, "group/team", limit=10, bytes_max=10_000)
    assert page.entries == (), "the new group of that name is another conversation"
    assert world.head("alice") == 1


def test_routes_follow_the_members(world: World) -> None:
    team(world)
    phone = world.login("alice")
    assert world.store.route(1, "group/team") == (2, 3)
    assert len(world.publish(phone, "group/team").entries) == 3
    world.one(ChangeMembers(group="team", by=1, add=("dave",), remove=("bob",)))
    assert world.store.route(1, "group/team") == (3, 4)
    assert [user for user, _ in world.publish(phone, "group/team").entries] == [1, 3, 4]
    assert world.store.route(2, "group/team") is Reason.NOT_A_MEMBER


# --- relations ----------------------------------------------------------------------------------------------------


def relate(world: World, kind: str, other: str, present: bool = True, user: int = 1) -> SetRelation:
    return SetRelation(user=user, kind=kind, other=other, present=present)


def test_contacts_and_blocks_are_lists_of_their_own(world: World) -> None:
    world.users("alice", "carol", "bob")
    for operation in (
        relate(world, "contact", "carol"),
        relate(world, "contact", "bob"),
        relate(world, "block", "bob"),
    ):
        assert world.one(operation) == Done()
        assert world.one(operation) == Done()
    assert world.store.relations(1, "contact") == ("bob", "carol")
    assert world.store.relations(1, "block") == ("bob",)
    assert world.store.relations(3, "block") == ()
    world.one(relate(world, "contact", "bob", present=False))
    world.one(relate(world, "contact", "bob", present=False))
    assert world.store.relations(1, "contact") == ("carol",)
    assert world.store.relations(1, "block") == ("bob",)


def test_blocks_and_routes(world: World) -> None:
    world.users("alice", "bob")
    world.one(relate(world, "block", "bob"))
    assert world.store.is_blocked(2, 1)
    assert not world.store.is_blocked(1, 2)
    assert world.store.route(2, "user/alice") is Reason.BLOCKED
    assert world.store.route(1, "user/bob") == (2,)
    assert world.store.route(1, "user/alice") == ()
    assert world.store.route(1, "user/nobody") is Reason.UNKNOWN_RECIPIENT
    assert world.store.route(1, "group/nothing") is Reason.UNKNOWN_RECIPIENT


def test_why_a_relation_is_not_set(world: World) -> None:
    world.users("alice", "b", "c", "d")
    assert reason_of(world.one(relate(world, "contact", "nobody"))) is Reason.NOT_FOUND
    assert reason_of(world.one(relate(world, "contact", "nobody", present=False))) is Reason.NOT_FOUND
    assert reason_of(world.one(relate(world, "contact", "b", user=99))) is Reason.NOT_FOUND
    assert reason_of(world.one(relate(world, "block", "alice"))) is Reason.NOT_AUTHORIZED
    for operation in (relate(world, "contact", "alice"), relate(world, "contact", "b"), relate(world, "block", "c")):
        assert world.one(operation) == Done()
    assert reason_of(world.one(relate(world, "block", "d"))) is Reason.QUOTA_EXCEEDED
    assert world.one(relate(world, "block", "c")) == Done(), "what is there already takes no place"
    assert world.one(relate(world, "block", "c", present=False)) == Done()
    assert world.one(relate(world, "block", "d")) == Done()
