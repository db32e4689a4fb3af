"""The decision on one message, and what is written for it: the path that every message takes.

What has to be known is remembered by the writer, so that in the steady state nothing is read here; what is written
is collected in the batch. See `PublishMessage` for the order of the decisions.

**Exactness of de-duplication.** Outcomes are kept in `slots` slots for each device, at n mod slots. An n above the
device's `settled_n` was never settled: nothing is looked up for it. An n within the newest `slots` below it is either
in its slot, or was left out until now (it was refused unsettled, and is tried again). Anything older was settled
long ago, since a device has never more than `slots` publishes unsettled. When a site raises `publish_max`, a device
gets more slots at its next log-in (`widen`), and `long_ago` keeps the mark below which outcomes were dropped before;
when a site lowers it, a device keeps the slots it has.
"""

from typing import TYPE_CHECKING

from roost_broker.store import import_refusals, refusals
from roost_broker.store.errors import RecordDamaged
from roost_broker.store.ids import message_id_text
from roost_broker.store.lmdb_batch import Batch, DeviceRow, Route, find_user, is_closed
from roost_broker.store.lmdb_seal import checksum as _checksum
from roost_broker.store.lmdb_tables import (
    ENTRY,
    KIND_MESSAGE,
    KIND_OWN,
    NUMBER,
    OUTCOME,
    OWN_ENTRY,
    PAIR,
    RELATION,
    RELATION_KINDS,
    SCROLL,
    SLOT,
    WITH_GROUP,
    WITH_USER,
    Tables,
    find_number,
    keys_with_prefix,
    name_key,
    number_at_end,
    session_record,
    user_record,
)
from roost_broker.store.operations import NO_DEVICE, Published, PublishMessage, Refused, SendMessage, Sent
from roost_protocol.codec import encode_entry
from roost_protocol.frames import Entry
from roost_protocol.names import parse_address
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.store.lmdb_tables import Transaction

_NOTHING = b""
_SUCCESS = Reason.SUCCESS
_SUCCESS_CODE = int(_SUCCESS)  # packed at half the cost
_pack_number = NUMBER.pack
_pack_pair = PAIR.pack
_pack_scroll = SCROLL.pack
_pack_entry = ENTRY.pack
_pack_own_entry = OWN_ENTRY.pack
_pack_outcome = OUTCOME.pack_unsealed
_pack_slot = SLOT.pack


def publish(batch: Batch, op: PublishMessage) -> Published:
    """Decide on a message, and collect what is to be written for it."""
    memory = batch.memory
    if memory.fences.get((op.sender, op.terminal)) != op.epoch:
        fenced = _fenced(batch, op)
        if fenced is not None:
            return Published(n=op.n, reason=fenced, settled=False)
    device = memory.devices.get(op.device) or batch.device(op.device)
    if device is None:
        return Published(n=op.n, reason=Reason.SESSION_TAKEN_OVER, settled=False)
    if op.n <= device.settled_n:
        earlier = _earlier(batch, op, device)
        if earlier is not None:
            return earlier
    if op.refused is not None:
        return _refuse(batch, op, device, op.refused)
    route = memory.routes.get((op.sender, op.to)) or _route(batch, op)
    if isinstance(route, Reason):
        return _refuse(batch, op, device, route)
    if not batch.has_room():
        return Published(n=op.n, reason=Reason.QUOTA_EXCEEDED, settled=False)

    # Settled here and not in a function of its own: a call is 1 % of what a message costs.
    n = op.n
    message_id, id_text, encoded, entries = store_message(batch, op, op.device, n, route)
    own_seq = entries[0][1]
    outcome = _pack_outcome(n, _SUCCESS_CODE, own_seq, message_id, batch.now_ms, op.digest)
    batch.outcomes[_pack_slot(op.device, n % device.slots)] = outcome + _checksum(outcome)
    device.settled_n = max(device.settled_n, n)
    batch.changed_devices[op.device] = device
    return Published(
        n=n, reason=_SUCCESS, seq=own_seq, id=id_text, time=batch.now_ms, entries=tuple(entries), encoded=encoded
    )


def _fenced(batch: Batch, op: PublishMessage) -> Reason | None:
    """Why the session may not publish any more; None if it may."""
    value = batch.txn.get(name_key(op.sender, op.terminal), db=batch.tables.sessions)
    session = None if value is None else session_record(value)
    if session is None or session.epoch != op.epoch:
        return Reason.SESSION_TAKEN_OVER
    if session.ended is not None:
        return session.ended.reason
    batch.memory.fences[op.sender, op.terminal] = session.epoch
    return None


def _earlier(batch: Batch, op: PublishMessage, device: DeviceRow) -> Published | None:
    """The answer to an n that is not new; None if it was never settled."""
    if op.n <= max(device.settled_n - device.slots, device.long_ago):
        return Published(n=op.n, reason=Reason.SETTLED_LONG_AGO)
    key = _pack_slot(op.device, op.n % device.slots)
    value = batch.outcomes.get(key) or batch.txn.get(key, db=batch.tables.outcomes)
    if value is None:
        return None
    n, reason, seq, message_id, time, digest = OUTCOME.unpack(value)
    if n != op.n:
        return None
    if digest != op.digest:
        return Published(n=op.n, reason=Reason.PACKET_IDENTIFIER_IN_USE)
    if reason != _SUCCESS:
        return Published(n=n, reason=Reason(reason), retransmission=True)
    return Published(n=n, reason=_SUCCESS, retransmission=True, seq=seq, id=message_id_text(message_id), time=time)


def unreadable(op: PublishMessage) -> Published:
    """The answer to a message that cannot be decided on, since a record that is needed for it is damaged."""
    return Published(n=op.n, reason=Reason.UNSPECIFIED_ERROR, settled=False)


def kept_outcome(row: bytes | None, n: int) -> Published | None:
    """What a slot of the outcomes says of `n`; None if nothing."""
    if row is None:
        return None
    kept, reason, seq, message_id, time, _ = OUTCOME.unpack(row)
    if kept != n:
        return None
    if reason != _SUCCESS:
        return Published(n=n, reason=Reason(reason))
    return Published(n=n, reason=_SUCCESS, seq=seq, id=message_id_text(message_id), time=time)


def _refuse(batch: Batch, op: PublishMessage, device: DeviceRow, reason: Reason) -> Published:
    """Settle `n` with a refusal."""
    batch.outcomes[_pack_slot(op.device, op.n % device.slots)] = OUTCOME.pack(op.n, reason, 0, 0, 0, op.digest)
    device.settled_n = max(device.settled_n, op.n)
    batch.changed_devices[op.device] = device
    return Published(n=op.n, reason=reason)


def send(batch: Batch, op: SendMessage) -> Sent | Refused:
    """Decide on a message that no device publishes, and collect what is to be written for it."""
    sender = find_user(batch, op.sender)
    if sender is None:
        return refusals.no_such_user(op.sender)
    if is_closed(sender):
        return import_refusals.being_imported(sender.name)
    route = _route(batch, op)
    if isinstance(route, Reason):
        return refusals.not_sent(op.to, route)
    if not batch.has_room():
        return refusals.not_sent(op.to, Reason.QUOTA_EXCEEDED)
    _, id_text, encoded, entries = store_message(batch, op, NO_DEVICE, 0, route)
    return Sent(seq=entries[0][1], id=id_text, time=batch.now_ms, entries=tuple(entries), encoded=encoded)


def _route(batch: Batch, op: PublishMessage | SendMessage) -> Route | Reason:
    """Where the message goes, or why it may not go there."""
    route = batch.memory.routes.get((op.sender, op.to))
    if route is None:
        route = find_route(batch.txn, batch.tables, op.sender, op.to)
        batch.memory.remember_route(op.sender, op.to, route)
    return route


def store_message(
    batch: Batch, op: PublishMessage | SendMessage, device: int, n: int, route: Route
) -> tuple[int, str, bytes, list[tuple[int, int]]]:
    """Give a message its numbers: one in the sender's inbox, one in that of every other user it reaches.

    Returns its id, as a number and as text, the entry as bytes, and (user, seq) of each inbox, the sender's first.
    """
    kind, peer, others = route
    inboxes = batch.memory.inboxes
    sender = op.sender
    own_inbox = inboxes.get(sender) or batch.inbox(sender)
    # All of them before anything is changed: one may have an end that cannot be read.
    theirs = [(user, inboxes.get(user) or batch.inbox(user)) for user in others]
    message_id = batch.next_message_id
    batch.next_message_id = message_id + 1
    batch.memory.last_message_id = message_id
    id_key = _pack_number(message_id)
    id_text = id_key.hex()  # as `ids.message_id_text` makes it, of the key that is there already
    encoded = encode_entry(
        Entry(
            id=id_text,
            sender=op.sender_name,
            to=op.to,
            time=batch.now_ms,
            content_type=op.content_type,
            text=op.text,
            data=op.data,
        )
    )
    size = len(encoded)
    reached = 1 + len(others)
    # Seals are made here and not by `sealed`: four calls less for a message.
    batch.messages.append((id_key, encoded + _checksum(id_key + encoded)))

    if not own_inbox.entries:
        batch.touch(own_inbox)
    own_seq = own_inbox.head = own_inbox.head + 1
    own_inbox.cumulative = cumulative = own_inbox.cumulative + size
    key = _pack_pair(sender, own_seq)
    entry = _pack_own_entry(message_id, KIND_OWN, kind, peer, size, reached, cumulative, device, n)
    own_inbox.entries.append((key, entry + _checksum(key + entry)))
    own_inbox.scroll.append((_pack_scroll(sender, kind, peer, own_seq), _NOTHING))

    peer = sender if kind == WITH_USER else peer  # a conversation with a user is named after the other of the two
    entries = [(sender, own_seq)]
    for user, inbox in theirs:
        if not inbox.entries:
            batch.touch(inbox)
        seq = inbox.head = inbox.head + 1
        inbox.cumulative = cumulative = inbox.cumulative + size
        key = _pack_pair(user, seq)
        entry = _pack_entry(message_id, KIND_MESSAGE, kind, peer, size, reached, cumulative)
        inbox.entries.append((key, entry + _checksum(key + entry)))
        inbox.scroll.append((_pack_scroll(user, kind, peer, seq), _NOTHING))
        entries.append((user, seq))
    return message_id, id_text, encoded, entries


def find_route(txn: "Transaction", tables: Tables, sender: int, to: str) -> Route | Reason:
    """Where a message from `sender` to this address goes now, or why it may not go there."""
    kind, name = parse_address(to)
    if kind == "user":
        number = txn.get(name.encode(), db=tables.names)
        if number is None:
            return Reason.UNKNOWN_RECIPIENT
        (user,) = NUMBER.unpack(number)
        record = txn.get(number, db=tables.users)
        recipient = None if record is None else user_record(record)
        if recipient is None or recipient.name != name:
            raise RecordDamaged("names", name.encode(), "it leads to another user, or to nobody")
        if is_closed(recipient):
            return Reason.UNKNOWN_RECIPIENT
        if txn.get(RELATION.pack(user, RELATION_KINDS["block"], sender), db=tables.relations) is not None:
            return Reason.BLOCKED
        return Route(WITH_USER, user, () if user == sender else (user,))
    number = find_number(txn, tables, "group", name)
    if number is None:
        return Reason.UNKNOWN_RECIPIENT
    members = [number_at_end(key) for key in keys_with_prefix(txn, tables.members, number)]
    if sender not in members:
        return Reason.NOT_A_MEMBER
    return Route(WITH_GROUP, NUMBER.unpack(number)[0], tuple(user for user in members if user != sender))


def widen(batch: Batch, number: int, device: DeviceRow) -> None:
    """Give a device as many slots as `publish_max` asks for, if it has fewer, and move its outcomes to them."""
    wanted = batch.limits.publish_max
    if device.slots >= wanted:
        return
    batch.flush()
    txn, table = batch.txn, batch.tables.outcomes
    dropped_to = max(device.settled_n - device.slots, device.long_ago)
    moved: list[tuple[bytes, bytes]] = []
    for key in keys_with_prefix(txn, table, NUMBER.pack(number)):
        value = txn.pop(key, db=table)
        if value is not None and (n := OUTCOME.unpack(value)[0]) > dropped_to:
            moved.append((SLOT.pack(number, n % wanted), value))
    for key, value in moved:
        txn.put(key, value, db=table)
    device.slots = wanted
    device.long_ago = max(dropped_to, 0)
    batch.changed_devices[number] = device
