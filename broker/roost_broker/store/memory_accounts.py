"""The in-memory model: what each operation on accounts, groups and relations does to a `State`."""

from roost_broker.store import import_refusals, refusals
from roost_broker.store.ids import new_incarnation
from roost_broker.store.journal import UserChanged
from roost_broker.store.memory_operations import Batch
from roost_broker.store.memory_state import Group, Relation, State, replace
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
from roost_broker.store.readings import Account


def create_user(state: State, op: CreateUser, batch: Batch) -> UserCreated | Refused:
    """Create an account."""
    if state.user_named(op.name) is not None:
        return refusals.user_exists(op.name)
    user = state.new_user(op.name)
    state.users[user] = Account(
        user=user,
        name=op.name,
        password_hash=op.password_hash,
        password_version=1,
        disabled=False,
        incarnation=new_incarnation(batch.random),
        created=batch.now_ms,
    )
    created = UserChanged(at=batch.now_ms, user=user, name=op.name, what="created")
    state.note(created, batch.now_ms)
    # Not the id that the next message would have now: it goes by the clock, which may go back before there is one.
    state.since_ids[user] = state.last_message_id + 1
    return UserCreated(user=user)


def set_password(state: State, op: SetPassword, batch: Batch) -> Done | Refused:
    """Change a password; the tokens of all devices but one are revoked."""
    account = state.users.get(op.user)
    if account is None:
        return refusals.no_such_user(op.user)
    state.users[op.user] = replace(
        account, password_hash=op.password_hash, password_version=account.password_version + 1
    )
    for number, device in state.devices_of(op.user).items():
        if number != op.keep_device:
            state.devices[number] = replace(device, token_digest=None)
    changed = UserChanged(at=batch.now_ms, user=op.user, name=account.name, what="password")
    state.note(changed, batch.now_ms)
    return Done()


def create_group(state: State, op: CreateGroup, batch: Batch) -> Done | Refused:
    """Create a group of its owner and members."""
    if state.group_named(op.name) is not None:
        return refusals.group_exists(op.name)
    if op.owner not in state.users:
        return refusals.no_such_user(op.owner)
    if state.is_closed(op.owner):
        return import_refusals.being_imported(state.users[op.owner].name)
    named = _numbers(state, op.members)
    if isinstance(named, Refused):
        return named
    members = named | {op.owner}
    refused = _too_many_members(state, before=frozenset(), after=members, batch=batch)
    if refused is not None:
        return refused
    number = state.new_group(op.name)
    state.groups[number] = Group(name=op.name, owner=op.owner, members=members)
    note = group_changed(number, op.name, op.owner, frozenset(), members, batch.now_ms)
    state.note(note, batch.now_ms)
    return Done()


def change_members(state: State, op: ChangeMembers, batch: Batch) -> Done | Refused:
    """Add and remove members of a group, all or none."""
    number = state.group_named(op.group)
    if number is None:
        return refusals.unknown_group(op.group)
    group = state.groups[number]
    if op.by is not None and op.by not in group.members:
        return refusals.not_a_member(op.group)
    if op.by is not None and op.by != group.owner and (op.add or set(op.remove) - {state.users[op.by].name}):
        return refusals.not_the_owner(op.group)
    add, remove = _numbers(state, op.add), _numbers(state, op.remove)
    if isinstance(add, Refused):
        return add
    if isinstance(remove, Refused):
        return remove
    members = (group.members | add) - remove
    refused = _too_many_members(state, before=group.members, after=members, batch=batch)
    if refused is not None:
        return refused
    if members != group.members:
        note = group_changed(number, group.name, op.by, group.members, members, batch.now_ms)
        state.note(note, batch.now_ms)
    if members:
        owner = group.owner if group.owner in members else min(members)
        state.groups[number] = replace(group, owner=owner, members=members)
    else:
        del state.groups[number]
    return Done()


def _numbers(state: State, names: tuple[str, ...]) -> frozenset[int] | Refused:
    numbers = set()
    for name in names:
        account = state.user_named(name)
        if account is None:
            return refusals.unknown_user(name)
        if state.is_closed(account.user):
            return import_refusals.being_imported(name)
        numbers.add(account.user)
    return frozenset(numbers)


def _too_many_members(state: State, before: frozenset[int], after: frozenset[int], batch: Batch) -> Refused | None:
    limits = batch.limits
    if len(after) > limits.group_members_max and len(after) > len(before):
        return refusals.too_many("members of a group", limits.group_members_max)
    if any(len(state.groups_of(user)) >= limits.groups_per_user_max for user in after - before):
        return refusals.too_many("groups of one user", limits.groups_per_user_max)
    return None


def set_relation(state: State, op: SetRelation, batch: Batch) -> Done | Refused:
    """Add a contact or a blocked user, or remove one."""
    if op.user not in state.users:
        return refusals.no_such_user(op.user)
    other = state.user_named(op.other)
    if other is None:
        return refusals.unknown_user(op.other)
    relation = Relation(op.user, op.kind, other.user)
    if not op.present:
        if relation in state.relations:
            state.relations.remove(relation)
            state.note(relation_changed(op, other.user, batch.now_ms), batch.now_ms)
        return Done()
    if op.kind == "block" and other.user == op.user:
        return refusals.block_of_oneself()
    if relation in state.relations:
        return Done()
    most = batch.limits.relations_per_user_max
    if len(state.relations_of(op.user)) >= most:
        return refusals.too_many("contacts and blocked users of one user", most)
    state.relations.add(relation)
    state.note(relation_changed(op, other.user, batch.now_ms), batch.now_ms)
    return Done()
