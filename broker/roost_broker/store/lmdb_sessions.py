"""Sessions and devices in the LMDB store: log in, end, cursors, forget."""

import hmac
from typing import TYPE_CHECKING

from roost_broker.store import refusals
from roost_broker.store.errors import RecordDamaged
from roost_broker.store.ids import message_id_text, next_epoch
from roost_broker.store.journal import DeviceForgotten
from roost_broker.store.lmdb_batch import Batch, DeviceRow
from roost_broker.store.lmdb_publish import widen
from roost_broker.store.lmdb_tables import (
    ID_BYTES,
    NUMBER,
    PAIR,
    DeviceRecord,
    EndRecord,
    SessionRecord,
    UserRecord,
    device_record,
    is_entry,
    keys_with_prefix,
    name_key,
    pack_record,
    read_start,
    session_record,
    user_record,
)
from roost_broker.store.noted import session_ended, session_opened
from roost_broker.store.operations import (
    Done,
    Ended,
    EndSession,
    ForgetDevices,
    Forgotten,
    LoggedIn,
    LogIn,
    MoveCursors,
    Owner,
    Refused,
)
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.store.lmdb_tables import Cursor


def move_cursors(batch: Batch, op: MoveCursors) -> Done:
    """Note what devices have acknowledged."""
    for number, seq in op.cursors:
        try:
            row = batch.device(number)
        except RecordDamaged as error:  # those of the others must not wait for it
            batch.damaged.append(error)
            continue
        if row is not None:
            row.cursor = max(row.cursor, seq)
            row.last_seen = batch.now_ms
            batch.changed_devices[number] = row
    return Done()


def log_in(batch: Batch, op: LogIn) -> LoggedIn | Refused:
    """Begin a session and fence the one before it."""
    value = batch.txn.get(NUMBER.pack(op.user), db=batch.tables.users)
    if value is None:
        return refusals.bad_credential()
    user = user_record(value)
    number, device = find_device(batch, op.user, op.device_id)
    if user.disabled or user.removed or not _credential_holds(user, device, op):
        return refusals.bad_credential()
    before = _session(batch, op.user, op.terminal)
    refused = _device_refused(batch, op, device) or _resumption_refused(before, op)
    if refused is not None:
        return refused

    if number is None:
        number = _add_device(batch, op)
    elif device is not None:
        _update_device(batch, number, device, op)
    row = batch.device(number)
    if row is None:
        raise RecordDamaged("cursors", NUMBER.pack(number), "it is not there, but its device is")
    widen(batch, number, row)
    start_over = _must_start_over(batch, user, op)
    position = 0 if start_over else _position(batch, op)
    row.cursor = position
    row.last_seen = batch.now_ms
    batch.changed_devices[number] = row
    epoch = _begin_session(batch, op, number)
    alive = before if before is not None and before.ended is None else None
    other = alive if alive is not None and alive.device_id != op.device_id else None
    logged_in = LoggedIn(
        device=number,
        epoch=epoch,
        head=batch.inbox(op.user).head,
        floor=read_start(batch.txn, batch.tables, op.user).floor,
        position=position,
        incarnation=user.incarnation,
        start_over=start_over,
        settled_n=row.settled_n,
        took_over=None if other is None else _owner(other),
        resumed=op.epoch is not None and alive is not None and other is None,
    )
    batch.note(session_opened(op, logged_in, batch.now_ms))
    return logged_in


def find_device(batch: Batch, user: int, device_id: str) -> tuple[int, DeviceRecord] | tuple[None, None]:
    """The number and record of a user's device."""
    key = batch.txn.get(name_key(user, device_id), db=batch.tables.device_ids)
    value = None if key is None else batch.txn.get(key, db=batch.tables.devices)
    if key is None:
        return None, None
    device = None if value is None else device_record(value)
    if device is None or (device.user, device.device_id) != (user, device_id):
        raise RecordDamaged("device_ids", name_key(user, device_id), "there is no such device, or it is another")
    return NUMBER.unpack(key)[0], device


def _session(batch: Batch, user: int, terminal: str) -> SessionRecord | None:
    value = batch.txn.get(name_key(user, terminal), db=batch.tables.sessions)
    return None if value is None else session_record(value)


def _credential_holds(user: UserRecord, device: DeviceRecord | None, op: LogIn) -> bool:
    if op.vouched:
        return True
    if op.token_digest is None:
        return op.password_version == user.password_version
    kept = None if device is None else device.token_digest
    return kept is not None and hmac.compare_digest(kept, op.token_digest)


def _device_refused(batch: Batch, op: LogIn, device: DeviceRecord | None) -> Refused | None:
    """Why this device may not be one of the user's, with this terminal type."""
    if device is not None:
        return None if device.terminal == op.terminal else refusals.other_terminal(op.device_id, device.terminal)
    most = batch.limits.devices_per_user_max
    if len(keys_with_prefix(batch.txn, batch.tables.device_ids, NUMBER.pack(op.user))) >= most:
        return refusals.too_many("devices of one user", most)
    return None


def _resumption_refused(before: SessionRecord | None, op: LogIn) -> Refused | None:
    """Why an automatic reconnect may not go on: a later session of another device, or the end of its own."""
    if before is None or op.epoch is None or op.epoch > before.epoch:
        return None
    if op.device_id != before.device_id:
        return Refused(reason=Reason.SESSION_TAKEN_OVER, by=before.device_id, at=before.at, address=before.address)
    end = before.ended
    return None if end is None else Refused(reason=end.reason, by=end.by, at=end.at, address=end.address)


def _owner(session: SessionRecord) -> Owner:
    return Owner(device=session.device, device_id=session.device_id, at=session.at, address=session.address)


def _add_device(batch: Batch, op: LogIn) -> int:
    memory = batch.memory
    memory.last_device += 1
    number = memory.last_device
    key = NUMBER.pack(number)
    batch.txn.put(name_key(op.user, op.device_id), key, db=batch.tables.device_ids)
    _put_device(batch, key, DeviceRecord(op.user, op.device_id, op.terminal, op.client, op.new_token_digest))
    row = DeviceRow(cursor=0, settled_n=0, last_seen=0, slots=batch.limits.publish_max, long_ago=0)
    memory.devices[number] = batch.changed_devices[number] = row
    return number


def _update_device(batch: Batch, number: int, device: DeviceRecord, op: LogIn) -> None:
    token = device.token_digest if op.new_token_digest is None else op.new_token_digest
    changed = DeviceRecord(device.user, device.device_id, device.terminal, op.client, token)
    if changed == device:
        return
    if device.token_digest is not None and op.new_token_digest is not None:
        batch.txn.delete(device.token_digest, db=batch.tables.tokens)
    _put_device(batch, NUMBER.pack(number), changed)


def _put_device(batch: Batch, key: bytes, device: DeviceRecord) -> None:
    batch.txn.put(key, pack_record(device), db=batch.tables.devices)
    if device.token_digest is not None:
        batch.txn.put(device.token_digest, key, db=batch.tables.tokens)


def revoke_token(batch: Batch, number: int, device: DeviceRecord) -> None:
    """Make the token of a device worthless, if it has one."""
    if device.token_digest is not None:
        batch.txn.delete(device.token_digest, db=batch.tables.tokens)
        without = DeviceRecord(device.user, device.device_id, device.terminal, device.client, None)
        _put_device(batch, NUMBER.pack(number), without)


def _must_start_over(batch: Batch, user: UserRecord, op: LogIn) -> bool:
    """Whether what the device holds is of another inbox, or of a future that this one has lost."""
    if op.last_seq > batch.inbox(op.user).head:
        return True
    if op.last_seq > 0 and op.incarnation not in (None, user.incarnation):
        return True
    if op.last_id is None:
        return False
    batch.flush()  # the entry may be one of this batch
    entry = batch.txn.get(PAIR.pack(op.user, op.last_seq), db=batch.tables.inbox)
    if entry is None:  # trimmed: what had the number here is not known any more
        return op.last_seq > 0 and batch.memory.was_lost(int(op.last_id, 16))
    key = PAIR.pack(op.user, op.last_seq)
    if not is_entry(entry, key):  # nothing says that it is another one
        batch.damaged.append(RecordDamaged("inbox", key))
        return False
    return op.last_id != message_id_text(NUMBER.unpack(entry[:ID_BYTES])[0])


def _position(batch: Batch, op: LogIn) -> int:
    if op.newest is None:
        return op.last_seq
    return max(batch.inbox(op.user).head - op.newest, read_start(batch.txn, batch.tables, op.user).floor - 1)


def _begin_session(batch: Batch, op: LogIn, number: int) -> int:
    memory = batch.memory
    memory.last_epoch = epoch = next_epoch(memory.last_epoch, batch.now_ms)
    session = SessionRecord(epoch, number, op.device_id, batch.now_ms, op.address)
    batch.txn.put(name_key(op.user, op.terminal), pack_record(session), db=batch.tables.sessions)
    memory.fences[op.user, op.terminal] = epoch
    return epoch


def end_session(batch: Batch, op: EndSession) -> Ended | Refused:
    """End a session for good, and revoke the token of its device if asked to."""
    terminal = op.terminal
    if op.device_id is not None:
        number, device = find_device(batch, op.user, op.device_id)
        if number is None or device is None:
            return refusals.no_such_session()
        if op.revoke:
            revoke_token(batch, number, device)
        terminal = terminal or device.terminal
    if terminal is None:
        return refusals.no_such_session()

    session = _session(batch, op.user, terminal)
    if session is None or session.ended is not None or op.device_id not in (None, session.device_id):
        if op.device_id is None:
            return refusals.no_such_session()
        return Ended(terminal=terminal, epoch=0, at=batch.now_ms)
    end = EndRecord(op.reason, op.by, batch.now_ms, op.address)
    ended = SessionRecord(session.epoch, session.device, session.device_id, session.at, session.address, end)
    batch.txn.put(name_key(op.user, terminal), pack_record(ended), db=batch.tables.sessions)
    batch.memory.fences.pop((op.user, terminal), None)
    batch.note(session_ended(op, terminal, session.device_id, session.epoch, batch.now_ms))
    return Ended(terminal=terminal, epoch=session.epoch, at=batch.now_ms)


def forget_devices(batch: Batch, op: ForgetDevices) -> Forgotten:
    """Forget the devices not seen for long among the next few."""
    batch.flush()
    with batch.txn.cursor(batch.tables.devices) as cursor:
        looked_at, more = _next_devices(cursor, op.after, op.devices_max)
    forgotten: list[int] = []
    for key, value in looked_at:
        (number,) = NUMBER.unpack(key)
        try:
            row, device = batch.device(number), device_record(value)
        except RecordDamaged as error:
            batch.damaged.append(error)
            continue
        if number not in op.keep and row is not None and row.last_seen < op.seen_before:
            forget_device(batch, number, device)
            batch.note(DeviceForgotten(at=batch.now_ms, user=device.user, device=number, device_id=device.device_id))
            forgotten.append(number)
    next_after = NUMBER.unpack(looked_at[-1][0])[0] if more else None
    return Forgotten(devices=tuple(forgotten), next_after=next_after)


def _next_devices(cursor: "Cursor", after: int, devices_max: int) -> tuple[list[tuple[bytes, bytes]], bool]:
    """The next rows of the table, and whether there are more."""
    found: list[tuple[bytes, bytes]] = []
    more = cursor.set_range(NUMBER.pack(after + 1))
    while more and len(found) < devices_max:
        found.append(cursor.item())
        more = cursor.next()
    return found, more and bool(found)


def forget_device(batch: Batch, number: int, device: DeviceRecord) -> None:
    """Forget a device with its outcomes. Nothing of it may be left to be flushed."""
    for slot in keys_with_prefix(batch.txn, batch.tables.outcomes, NUMBER.pack(number)):
        batch.txn.delete(slot, db=batch.tables.outcomes)
    forget_device_row(batch, number, device)


def forget_device_row(batch: Batch, number: int, device: DeviceRecord) -> None:
    """Forget a device, but for its outcomes. Nothing of it may be left to be flushed."""
    txn, tables = batch.txn, batch.tables
    key = NUMBER.pack(number)
    if device.token_digest is not None:
        txn.delete(device.token_digest, db=tables.tokens)
    txn.delete(name_key(device.user, device.device_id), db=tables.device_ids)
    txn.delete(key, db=tables.cursors)
    txn.delete(key, db=tables.devices)
    batch.memory.devices.pop(number, None)
