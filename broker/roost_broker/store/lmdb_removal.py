"""Accounts in the LMDB store that end: disabled, removed, cleared away; devices forgotten, groups deleted.

What others could notice of a removed user goes at once; it is no more than the limits allow a user. The rest is found
by its `RemovalRecord`, in slices: outcomes of his devices, entries of his inbox, and relations of others with him,
which are found by looking at the relations of all users. Until then reading passes those over.
"""

from itertools import islice

from msgspec.structs import replace

from roost_broker.store import import_refusals, refusals
from roost_broker.store.account_operations import (
    Cleared,
    ClearRemoved,
    DeleteGroup,
    ForgetDevice,
    RemoveUser,
    SetDisabled,
    UserRemoved,
)
from roost_broker.store.journal import DeviceForgotten
from roost_broker.store.lmdb_accounts import find_group, leave_groups, put_group
from roost_broker.store.lmdb_batch import Batch, find_user, is_closed
from roost_broker.store.lmdb_sessions import find_device, forget_device, forget_device_row
from roost_broker.store.lmdb_tables import (
    NUMBER,
    RemovalRecord,
    device_record,
    keys_with_prefix,
    number_at_end,
    pack_record,
    removal_record,
    returning_key,
)
from roost_broker.store.lmdb_trim import clear_entries
from roost_broker.store.noted import group_changed, user_disabled, user_removed
from roost_broker.store.operations import Done, Refused


def set_disabled(batch: Batch, op: SetDisabled) -> Done | Refused:
    """Refuse log-ins of a user, or let them in again."""
    user = find_user(batch, op.user)
    if user is None:
        return refusals.no_such_user(op.user)
    if is_closed(user) and not op.disabled:
        return import_refusals.being_imported(user.name)
    changed = replace(user, disabled=op.disabled)
    batch.txn.put(NUMBER.pack(op.user), pack_record(changed), db=batch.tables.users)
    if changed != user:
        batch.note(user_disabled(op.user, user.name, disabled=op.disabled, now_ms=batch.now_ms))
    return Done()


def forget_one_device(batch: Batch, op: ForgetDevice) -> Done | Refused:
    """Forget one device."""
    batch.flush()
    number, device = find_device(batch, op.user, op.device_id)
    if number is None or device is None:
        return refusals.no_such_session()
    forget_device(batch, number, device)
    batch.note(DeviceForgotten(at=batch.now_ms, user=op.user, device=number, device_id=op.device_id))
    return Done()


def delete_group(batch: Batch, op: DeleteGroup) -> Done | Refused:
    """Delete a group."""
    found = find_group(batch, op.name)
    if found is None:
        return refusals.unknown_group(op.name)
    number, group = found
    keys = keys_with_prefix(batch.txn, batch.tables.members, NUMBER.pack(number))
    members = {number_at_end(key) for key in keys}
    put_group(batch, number, group, members, set())
    batch.note(group_changed(number, group.name, None, members, set(), batch.now_ms))
    return Done()


# --- removing -----------------------------------------------------------------------------------------------------


def remove_user(batch: Batch, op: RemoveUser) -> UserRemoved | Refused:
    """Remove an account, and note what is left to be done."""
    user = find_user(batch, op.user)
    if user is None:
        return refusals.no_such_user(op.user)
    batch.flush()
    batch.memory.forget_routes()
    txn, tables, key = batch.txn, batch.tables, NUMBER.pack(op.user)
    txn.delete(user.name.encode(), db=tables.names)
    txn.put(key, pack_record(replace(user, removed=True)), db=tables.users)
    for session in keys_with_prefix(txn, tables.sessions, key):
        txn.delete(session, db=tables.sessions)
        batch.memory.fences.pop((op.user, session[NUMBER.size :].decode()), None)
    if not op.erase:
        txn.put(returning_key(user.incarnation, user.name), key, db=tables.awaited)
    devices = _forget_devices(batch, op.user)
    leave_groups(batch, op.user)
    for relation in keys_with_prefix(txn, tables.relations, key):
        txn.delete(relation, db=tables.relations)
    removal = RemovalRecord(
        name=user.name,
        at=batch.now_ms,
        since_id=user.since_id,
        until_id=batch.memory.last_message_id + 1,
        erasing=op.erase,
        devices=devices,
    )
    put_removal(batch, op.user, removal)
    batch.note(user_removed(op.user, user.name, erased=op.erase, now_ms=batch.now_ms))
    return UserRemoved(name=user.name)


def _forget_devices(batch: Batch, user: int) -> tuple[int, ...]:
    """Forget the user's devices but for their outcomes; their numbers."""
    numbers = []
    for key in keys_with_prefix(batch.txn, batch.tables.device_ids, NUMBER.pack(user)):
        device = batch.txn.get(key, db=batch.tables.device_ids) or b""
        record = batch.txn.get(device, db=batch.tables.devices) or b""
        (number,) = NUMBER.unpack(device)
        forget_device_row(batch, number, device_record(record))
        numbers.append(number)
    return tuple(numbers)


def find_removal(batch: Batch, user: int) -> RemovalRecord | None:
    """What is left to be done about a removed user."""
    value = batch.txn.get(NUMBER.pack(user), db=batch.tables.removals)
    return None if value is None else removal_record(value)


def put_removal(batch: Batch, user: int, removal: RemovalRecord) -> None:
    """Note what is left to be done about a removed user."""
    batch.txn.put(NUMBER.pack(user), pack_record(removal), db=batch.tables.removals)


# --- clearing away ------------------------------------------------------------------------------------------------


def clear_removed(batch: Batch, op: ClearRemoved) -> Cleared | Refused:
    """Clear away the next rows of what is left; the record of the user is the last."""
    removal = find_removal(batch, op.user)
    if removal is None:
        return refusals.no_such_user(op.user)
    if removal.erasing:
        return refusals.still_erasing(removal.name)
    batch.flush()
    left = op.rows_max
    devices = removal.devices
    while devices and left > 0:
        left -= _clear_outcomes(batch, devices[0], left)
        if left > 0:
            devices = devices[1:]
    if left > 0:
        left -= clear_entries(batch, op.user, left)
    removal = replace(removal, devices=devices)
    if left > 0 and not removal.relations_done:
        removal, looked_at = _clear_relations(batch, op.user, removal, left)
        left -= looked_at
    if left > 0:
        _clear_account(batch, op.user)
        return Cleared(done=True)
    put_removal(batch, op.user, removal)
    return Cleared(done=False)


def _clear_outcomes(batch: Batch, device: int, rows_max: int) -> int:
    keys = keys_with_prefix(batch.txn, batch.tables.outcomes, NUMBER.pack(device))[:rows_max]
    for key in keys:
        batch.txn.delete(key, db=batch.tables.outcomes)
    return len(keys)


def _clear_relations(batch: Batch, user: int, removal: RemovalRecord, rows_max: int) -> tuple[RemovalRecord, int]:
    """Look at the next relations of all users; how many they were. Deletes those with the removed one."""
    txn, tables = batch.txn, batch.tables
    with txn.cursor(tables.relations) as cursor:
        found = cursor.set_range(removal.relations_to + b"\0") if removal.relations_to else cursor.first()
        keys = list(islice(cursor.iternext(values=False), rows_max)) if found else []
    for key in keys:
        if number_at_end(key) == user:
            txn.delete(key, db=tables.relations)
    if len(keys) < rows_max:
        return replace(removal, relations_done=True), len(keys)
    return replace(removal, relations_to=keys[-1]), len(keys)


def _clear_account(batch: Batch, user: int) -> None:
    txn, tables, key = batch.txn, batch.tables, NUMBER.pack(user)
    txn.delete(key, db=tables.users)
    txn.delete(key, db=tables.floors)
    for row in keys_with_prefix(txn, tables.removals, key):
        txn.delete(row, db=tables.removals)
    batch.memory.inboxes.pop(user, None)
