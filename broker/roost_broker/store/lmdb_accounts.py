"""Accounts, groups and relations in the LMDB store.

None of this is done often, so nothing is counted beside the tables: what has a limit is counted when something is
added to it. Every change that a route may depend on makes the writer forget its routes.
"""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from roost_broker.store import import_refusals, refusals
from roost_broker.store.errors import RecordDamaged
from roost_broker.store.ids import new_incarnation
from roost_broker.store.journal import UserChanged
from roost_broker.store.lmdb_batch import Batch, find_user, is_closed
from roost_broker.store.lmdb_import import take_number
from roost_broker.store.lmdb_sessions import revoke_token
from roost_broker.store.lmdb_tables import (
    NUMBER,
    PAIR,
    RELATION,
    RELATION_KINDS,
    GroupRecord,
    UserRecord,
    device_record,
    find_number,
    group_record,
    keys_with_prefix,
    number_at_end,
    pack_record,
)
from roost_broker.store.noted import group_changed, relation_changed
from roost_broker.store.operations import (
    ChangeMembers,
    CreateGroup,
    CreateUser,
    Done,
    Refused,
    SetPassword,
    SetRelation,
    UserCreated,
)

if TYPE_CHECKING:
    import lmdb

_NOTHING = b""


def create_user(batch: Batch, op: CreateUser) -> UserCreated | Refused:
    """Create an account."""
    if batch.txn.get(op.name.encode(), db=batch.tables.names) is not None:
        return refusals.user_exists(op.name)
    batch.memory.forget_routes()
    number = take_number(batch, "user", op.name)
    user = UserRecord(
        name=op.name,
        password_hash=op.password_hash,
        password_version=1,
        disabled=False,
        incarnation=new_incarnation(batch.random),
        created=batch.now_ms,
        # Not the id that the next message would have now: it goes by the clock, which may go back before there is one.
        since_id=batch.memory.last_message_id + 1,
    )
    batch.txn.put(NUMBER.pack(number), pack_record(user), db=batch.tables.users)
    batch.txn.put(op.name.encode(), NUMBER.pack(number), db=batch.tables.names)
    batch.note(UserChanged(at=batch.now_ms, user=number, name=op.name, what="created"))
    return UserCreated(user=number)


def set_password(batch: Batch, op: SetPassword) -> Done | Refused:
    """Change a password; the tokens of all devices but one are revoked."""
    user = find_user(batch, op.user)
    if user is None:
        return refusals.no_such_user(op.user)
    changed = replace(user, password_hash=op.password_hash, password_version=user.password_version + 1)
    txn, tables = batch.txn, batch.tables
    txn.put(NUMBER.pack(op.user), pack_record(changed), db=tables.users)
    for key in keys_with_prefix(txn, tables.device_ids, NUMBER.pack(op.user)):
        number = NUMBER.unpack(_must_have(batch, key, tables.device_ids))[0]
        if number != op.keep_device:
            device = device_record(_must_have(batch, NUMBER.pack(number), tables.devices))
            revoke_token(batch, number, device)
    batch.note(UserChanged(at=batch.now_ms, user=op.user, name=user.name, what="password"))
    return Done()


def _must_have(batch: Batch, key: bytes, table: "lmdb._Database") -> bytes:
    value = batch.txn.get(key, db=table)
    if value is None:
        raise RecordDamaged("another table", key, "it is not there, but a row that leads to it is")
    return value


# --- groups -------------------------------------------------------------------------------------------------------


def create_group(batch: Batch, op: CreateGroup) -> Done | Refused:
    """Create a group of its owner and members."""
    if batch.txn.get(op.name.encode(), db=batch.tables.group_names) is not None:
        return refusals.group_exists(op.name)
    owner = find_user(batch, op.owner)
    if owner is None:
        return refusals.no_such_user(op.owner)
    if is_closed(owner):
        return import_refusals.being_imported(owner.name)
    members = _numbers(batch, op.members)
    if isinstance(members, Refused):
        return members
    members.add(op.owner)
    refused = _too_many(batch, set(), members)
    if refused is not None:
        return refused
    number = take_number(batch, "group", op.name)
    batch.txn.put(op.name.encode(), NUMBER.pack(number), db=batch.tables.group_names)
    put_group(batch, number, GroupRecord(op.name, op.owner), set(), members)
    batch.note(group_changed(number, op.name, op.owner, set(), members, batch.now_ms))
    return Done()


def change_members(batch: Batch, op: ChangeMembers) -> Done | Refused:
    """Add and remove members of a group, all or none."""
    found = find_group(batch, op.group)
    if found is None:
        return refusals.unknown_group(op.group)
    number, group = found
    before = {number_at_end(key) for key in keys_with_prefix(batch.txn, batch.tables.members, NUMBER.pack(number))}
    if op.by is not None:
        if op.by not in before:
            return refusals.not_a_member(op.group)
        if op.by != group.owner and not _only_leaves(batch, op, op.by):
            return refusals.not_the_owner(op.group)
    added, removed = _numbers(batch, op.add), _numbers(batch, op.remove)
    for named in (added, removed):
        if isinstance(named, Refused):
            return named
    assert not isinstance(added, Refused)  # noqa: S101
    assert not isinstance(removed, Refused)  # noqa: S101
    after = (before | added) - removed
    refused = _too_many(batch, before, after)
    if refused is not None:
        return refused
    owner = group.owner if group.owner in after or not after else min(after)
    put_group(batch, number, GroupRecord(group.name, owner), before, after)
    if before != after:
        batch.note(group_changed(number, group.name, op.by, before, after, batch.now_ms))
    return Done()


def find_group(batch: Batch, name: str) -> tuple[int, GroupRecord] | None:
    """The number and the record of the group of this name."""
    key = find_number(batch.txn, batch.tables, "group", name)
    return None if key is None else (NUMBER.unpack(key)[0], group_record(_must_have(batch, key, batch.tables.groups)))


def leave_groups(batch: Batch, user: int) -> None:
    """Take a user out of every group, as if he left each."""
    txn, tables = batch.txn, batch.tables
    for membership in keys_with_prefix(txn, tables.memberships, NUMBER.pack(user)):
        number = number_at_end(membership)
        key = NUMBER.pack(number)
        group = group_record(_must_have(batch, key, tables.groups))
        txn.delete(membership, db=tables.memberships)
        txn.delete(PAIR.pack(number, user), db=tables.members)
        with txn.cursor(tables.members) as cursor:
            left = number_at_end(cursor.key()) if cursor.set_range(key) and cursor.key().startswith(key) else None
        batch.note(group_changed(number, group.name, None, {user}, set(), batch.now_ms))
        if left is None:
            put_group(batch, number, group, set(), set())
        elif group.owner == user:
            txn.put(key, pack_record(replace(group, owner=left)), db=tables.groups)


def _only_leaves(batch: Batch, op: ChangeMembers, by: int) -> bool:
    user = find_user(batch, by)
    return not op.add and user is not None and all(name == user.name for name in op.remove)


def _numbers(batch: Batch, names: tuple[str, ...]) -> set[int] | Refused:
    numbers: set[int] = set()
    for name in names:
        key = find_number(batch.txn, batch.tables, "user", name)
        if key is None:
            return refusals.unknown_user(name)
        (number,) = NUMBER.unpack(key)
        user = find_user(batch, number)
        if user is not None and is_closed(user):
            return import_refusals.being_imported(name)
        numbers.add(number)
    return numbers


def _too_many(batch: Batch, before: set[int], after: set[int]) -> Refused | None:
    """Why the group may not grow like this."""
    if len(after) > batch.limits.group_members_max and len(after) > len(before):
        return refusals.too_many("members of a group", batch.limits.group_members_max)
    most = batch.limits.groups_per_user_max
    for user in after - before:
        if len(keys_with_prefix(batch.txn, batch.tables.memberships, NUMBER.pack(user))) >= most:
            return refusals.too_many("groups of one user", most)
    return None


def put_group(batch: Batch, number: int, group: GroupRecord, before: set[int], after: set[int]) -> None:
    """Write a group with its members, who were `before`; one without members is removed."""
    txn, tables = batch.txn, batch.tables
    batch.memory.forget_routes()
    for user in before - after:
        txn.delete(PAIR.pack(number, user), db=tables.members)
        txn.delete(PAIR.pack(user, number), db=tables.memberships)
    for user in after - before:
        txn.put(PAIR.pack(number, user), _NOTHING, db=tables.members)
        txn.put(PAIR.pack(user, number), _NOTHING, db=tables.memberships)
    if after:
        txn.put(NUMBER.pack(number), pack_record(group), db=tables.groups)
    else:
        txn.delete(NUMBER.pack(number), db=tables.groups)
        txn.delete(group.name.encode(), db=tables.group_names)


# --- relations ----------------------------------------------------------------------------------------------------


def set_relation(batch: Batch, op: SetRelation) -> Done | Refused:
    """Add a contact or a blocked user, or remove one."""
    txn, tables = batch.txn, batch.tables
    if find_user(batch, op.user) is None:
        return refusals.no_such_user(op.user)
    other = find_number(txn, tables, "user", op.other)
    if other is None:
        return refusals.unknown_user(op.other)
    key = RELATION.pack(op.user, RELATION_KINDS[op.kind], NUMBER.unpack(other)[0])
    if not op.present:
        if txn.delete(key, db=tables.relations):
            batch.memory.forget_routes()
            batch.note(relation_changed(op, NUMBER.unpack(other)[0], batch.now_ms))
        return Done()
    if op.kind == "block" and other == NUMBER.pack(op.user):
        return refusals.block_of_oneself()
    if txn.get(key, db=tables.relations) is not None:
        return Done()
    most = batch.limits.relations_per_user_max
    if _has_relations(batch, op.user, most):
        return refusals.too_many("contacts and blocked users of one user", most)
    batch.memory.forget_routes()
    txn.put(key, _NOTHING, db=tables.relations)
    batch.note(relation_changed(op, NUMBER.unpack(other)[0], batch.now_ms))
    return Done()


def _has_relations(batch: Batch, user: int, count: int) -> bool:
    """Whether a user has so many relations, without those to users that were removed."""
    keys = keys_with_prefix(batch.txn, batch.tables.relations, NUMBER.pack(user))
    if len(keys) < count:
        return False
    return sum(find_user(batch, number_at_end(key)) is not None for key in keys) >= count
