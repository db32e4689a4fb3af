"""Admins in every filling of the port."""

import pytest

from broker.store.world import World, reason_of
from roost_broker.store.operations import AddAdmin, Done, RemoveAdmin
from roost_broker.store.readings import AdminRecord
from roost_protocol.admin.route import Role
from roost_protocol.limits import Limits
from roost_protocol.reasons import Reason


def digest(of: str) -> bytes:
    return of.encode().ljust(32, b".")


def add(name: str, role: Role = "read") -> AddAdmin:
    return AddAdmin(name=name, role=role, token_digest=digest(name))


def test_an_admin_is_found_by_the_digest_of_his_token(world: World) -> None:
    assert world.store.admin_by_digest(digest("zoë")) is None
    assert world.do(add("zoë", "operate"), add("ann", "admin")) == [Done(), Done()]
    expected = AdminRecord(name="zoë", role="operate", token_digest=digest("zoë"), created=world.now_ms)
    assert world.store.admin_by_digest(digest("zoë")) == expected
    found = world.store.admin_by_digest(digest("ann"))
    assert found is not None
    assert found.name == "ann"
    for other in (b"", digest("zoë")[:-1], digest("zoë") + b".", digest("bob")):
        assert world.store.admin_by_digest(other) is None


def test_a_removed_admin_is_gone_and_may_come_back_with_another_token(world: World) -> None:
    world.do(add("zoë"), add("ann"))
    assert world.one(RemoveAdmin(name="zoë")) == Done()
    assert world.store.admin_by_digest(digest("zoë")) is None
    assert reason_of(world.one(RemoveAdmin(name="zoë"))) is Reason.NOT_FOUND
    assert world.one(AddAdmin(name="zoë", role="admin", token_digest=digest("new"))) == Done()
    assert world.store.admin_by_digest(digest("zoë")) is None
    found = world.store.admin_by_digest(digest("new"))
    assert found is not None
    assert found.role == "admin"


def test_a_name_is_given_once(world: World) -> None:
    world.one(add("zoë"))
    assert reason_of(world.one(AddAdmin(name="zoë", role="admin", token_digest=digest("x")))) is Reason.ALREADY_EXISTS
    found = world.store.admin_by_digest(digest("zoë"))
    assert found is not None
    assert found.role == "read"


def test_there_is_a_bound(world: World) -> None:
    most = Limits().admins_max
    world.do(*(add(f"admin {number}") for number in range(most)))
    assert reason_of(world.one(add("one more"))) is Reason.QUOTA_EXCEEDED
    assert len(world.store.list_admins("", most + 1)) == most
    assert world.do(RemoveAdmin(name="admin 0"), add("one more")) == [Done(), Done()]


@pytest.mark.parametrize(
    ("after", "limit", "names"),
    [
        ("", 10, ["B", "a", "z", "ö"]),
        ("", 2, ["B", "a"]),
        ("a", 1, ["z"]),
        ("b", 10, ["z", "ö"]),
        ("ö", 10, []),
        ("x" * 100, 0, []),
    ],
)
def test_they_are_listed_by_name(world: World, after: str, limit: int, names: list[str]) -> None:
    world.do(*(add(name) for name in ("z", "B", "ö", "a")))
    assert [row.name for row in world.store.list_admins(after, limit)] == names
