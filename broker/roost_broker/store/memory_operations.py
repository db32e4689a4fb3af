"""The in-memory model: what each operation does to a `State`, messages and sessions. Accounts are next door.

Each function decides first and changes the state then, so that a refused operation changes nothing.
"""

import hmac
from random import Random
from typing import NamedTuple

from msgspec import Struct

from roost_broker.store import import_refusals, refusals
from roost_broker.store.ids import message_id_text, next_epoch
from roost_broker.store.journal import DeviceForgotten, InboxTrimmed
from roost_broker.store.memory_state import (
    Conversation,
    Device,
    End,
    InboxEntry,
    Outcome,
    Session,
    Start,
    State,
    replace,
)
from roost_broker.store.noted import session_ended, session_opened
from roost_broker.store.operations import (
    NO_DEVICE,
    Done,
    Ended,
    EndSession,
    Floor,
    ForgetDevices,
    Forgotten,
    Hold,
    LoggedIn,
    LogIn,
    MoveCursors,
    Owner,
    Published,
    PublishMessage,
    Refused,
    Retention,
    SendMessage,
    Sent,
    Trim,
    Trimmed,
)
from roost_broker.store.readings import Account
from roost_protocol.codec import encode_entry
from roost_protocol.frames import Entry
from roost_protocol.limits import Limits
from roost_protocol.reasons import Reason


class Batch(Struct, kw_only=True):
    """What holds for all operations of one commit."""

    now_ms: int
    limits: Limits
    random: Random
    next_message_id: int
    has_room: bool
    """Whether there is room for messages: decided once for the batch, before its first operation."""


# --- messages -----------------------------------------------------------------------------------------------------


def publish(state: State, op: PublishMessage, batch: Batch) -> Published:
    """Decide on a message, in the order that `PublishMessage` says, and store it or say why not."""
    session = state.sessions.get((op.sender, op.terminal))
    device = state.devices.get(op.device)
    if session is None or session.epoch != op.epoch:
        return Published(n=op.n, reason=Reason.SESSION_TAKEN_OVER, settled=False)
    if session.ended is not None:
        return Published(n=op.n, reason=session.ended.reason, settled=False)
    if device is None:
        return Published(n=op.n, reason=Reason.SESSION_TAKEN_OVER, settled=False)
    if op.n <= device.settled_n - batch.limits.publish_max:
        return Published(n=op.n, reason=Reason.SETTLED_LONG_AGO)
    earlier = state.outcomes.get((op.device, op.n))
    if earlier is not None:
        return _again(op, earlier)
    if op.refused is not None:
        return _settle(state, op, Outcome(digest=op.digest, reason=op.refused))
    recipients = state.recipients(op.sender, op.to)
    if isinstance(recipients, Reason):
        return _settle(state, op, Outcome(digest=op.digest, reason=recipients))
    if not batch.has_room:
        return Published(n=op.n, reason=Reason.QUOTA_EXCEEDED, settled=False)
    message_id, encoded, entries = _store(state, op, op.device, op.n, recipients, batch)
    outcome = Outcome(
        digest=op.digest, reason=Reason.SUCCESS, seq=entries[0][1], message_id=message_id, time=batch.now_ms
    )
    return replace(_settle(state, op, outcome), entries=entries, encoded=encoded)


def send(state: State, op: SendMessage, batch: Batch) -> Sent | Refused:
    """Decide on a message that no device publishes, and store it or say why not."""
    if op.sender not in state.users:
        return refusals.no_such_user(op.sender)
    if state.is_closed(op.sender):
        return import_refusals.being_imported(state.users[op.sender].name)
    recipients = state.recipients(op.sender, op.to)
    if isinstance(recipients, Reason):
        return refusals.not_sent(op.to, recipients)
    if not batch.has_room:
        return refusals.not_sent(op.to, Reason.QUOTA_EXCEEDED)
    message_id, encoded, entries = _store(state, op, NO_DEVICE, 0, recipients, batch)
    id_text = message_id_text(message_id)
    return Sent(seq=entries[0][1], id=id_text, time=batch.now_ms, entries=entries, encoded=encoded)


def _again(op: PublishMessage, earlier: Outcome) -> Published:
    if earlier.digest != op.digest:
        return Published(n=op.n, reason=Reason.PACKET_IDENTIFIER_IN_USE)
    return replace(_published(op.n, earlier), retransmission=True)


def _settle(state: State, op: PublishMessage, outcome: Outcome) -> Published:
    device = state.devices[op.device]
    state.outcomes[op.device, op.n] = outcome
    state.devices[op.device] = replace(device, settled_n=max(device.settled_n, op.n))
    return _published(op.n, outcome)


def outcome_of(state: State, device: int, n: int, publish_max: int) -> Published | None:
    """See `Store.publish_outcome`."""
    known = state.devices.get(device)
    if known is None:
        return None
    if n <= known.settled_n - publish_max:
        return Published(n=n, reason=Reason.SETTLED_LONG_AGO)
    outcome = state.outcomes.get((device, n))
    return None if outcome is None else _published(n, outcome)


def _published(n: int, outcome: Outcome) -> Published:
    message_id = None if outcome.message_id is None else message_id_text(outcome.message_id)
    return Published(n=n, reason=outcome.reason, seq=outcome.seq, id=message_id, time=outcome.time)


class _Stored(NamedTuple):
    """A message that has its numbers: its id, the entry as bytes, and (user, seq) of each inbox, the sender's first."""

    message_id: int
    encoded: bytes
    entries: tuple[tuple[int, int], ...]


def _store(
    state: State, op: PublishMessage | SendMessage, device: int, n: int, recipients: tuple[int, ...], batch: Batch
) -> _Stored:
    message_id = batch.next_message_id
    batch.next_message_id += 1
    state.last_message_id = message_id
    entry = Entry(
        id=message_id_text(message_id),
        sender=op.sender_name,
        to=op.to,
        time=batch.now_ms,
        content_type=op.content_type,
        text=op.text,
        data=op.data,
    )
    encoded = encode_entry(entry)
    conversation = state.conversation(op.to)
    assert conversation is not None  # noqa: S101  # it has recipients
    size = len(encoded)
    own = InboxEntry(message_id=message_id, conversation=conversation, encoded=encoded, size=size, device=device, n=n)
    theirs = InboxEntry(
        message_id=message_id,
        conversation=conversation if conversation.kind == "group" else Conversation("user", op.sender),
        encoded=encoded,
        size=size,
    )
    state.inboxes[message_id] = 1 + len(recipients)
    seq = append(state, op.sender, own)
    others = tuple((user, append(state, user, theirs)) for user in recipients)
    return _Stored(message_id, encoded, ((op.sender, seq), *others))


def append(state: State, user: int, entry: InboxEntry) -> int:
    """Put an entry at the end of an inbox; its number."""
    seq = state.head(user) + 1
    state.heads[user] = seq
    state.entries[user, seq] = entry
    return seq


def move_cursors(state: State, op: MoveCursors, batch: Batch) -> Done:
    """Note what devices have acknowledged."""
    for number, seq in op.cursors:
        device = state.devices.get(number)
        if device is not None:
            state.devices[number] = replace(device, cursor=max(device.cursor, seq), last_seen=batch.now_ms)
    return Done()


# --- sessions -----------------------------------------------------------------------------------------------------


def log_in(state: State, op: LogIn, batch: Batch) -> LoggedIn | Refused:
    """Begin a session and fence the one before it."""
    account = state.users.get(op.user)
    known = state.device_of(op.user, op.device_id)
    if account is None or account.disabled or not _credential_holds(state, account, known, op):
        return refusals.bad_credential()
    if known is not None and state.devices[known].terminal != op.terminal:
        return refusals.other_terminal(op.device_id, state.devices[known].terminal)
    if known is None and len(state.devices_of(op.user)) >= batch.limits.devices_per_user_max:
        return refusals.too_many("devices of one user", batch.limits.devices_per_user_max)
    before = state.sessions.get((op.user, op.terminal))
    if before is not None and op.epoch is not None:
        refused = _resumption_refused(before, op.device_id, op.epoch)
        if refused is not None:
            return refused

    number = known if known is not None else _add_device(state, op, batch)
    state.last_epoch = next_epoch(state.last_epoch, batch.now_ms)
    owner = Owner(device=number, device_id=op.device_id, at=batch.now_ms, address=op.address)
    state.sessions[op.user, op.terminal] = Session(epoch=state.last_epoch, owner=owner)
    start_over = _must_start_over(state, account, op)
    position = 0 if start_over else _position(state, op)
    device = state.devices[number]
    state.devices[number] = replace(
        device,
        client=op.client,
        token_digest=op.new_token_digest if op.new_token_digest is not None else device.token_digest,
        cursor=position,
        last_seen=batch.now_ms,
    )
    alive = before if before is not None and before.ended is None else None
    same_device = alive is not None and alive.owner.device_id == op.device_id
    logged_in = LoggedIn(
        device=number,
        epoch=state.last_epoch,
        head=state.head(op.user),
        floor=state.start(op.user).floor,
        position=position,
        incarnation=account.incarnation,
        start_over=start_over,
        settled_n=device.settled_n,
        took_over=alive.owner if alive is not None and not same_device else None,
        resumed=op.epoch is not None and same_device,
    )
    state.note(session_opened(op, logged_in, batch.now_ms), batch.now_ms)
    return logged_in


def _credential_holds(state: State, account: Account, device: int | None, op: LogIn) -> bool:
    if op.vouched:
        return True
    if op.token_digest is not None:
        kept = None if device is None else state.devices[device].token_digest
        return kept is not None and hmac.compare_digest(kept, op.token_digest)
    return op.password_version == account.password_version


def _resumption_refused(before: Session, device_id: str, epoch: int) -> Refused | None:
    """Why a device may not go on by itself with the session that had `epoch`."""
    if epoch > before.epoch:  # of a future that this store has lost: it went back to a backup
        return None
    if before.owner.device_id != device_id:
        return Refused(
            reason=Reason.SESSION_TAKEN_OVER,
            by=before.owner.device_id,
            at=before.owner.at,
            address=before.owner.address,
        )
    if before.ended is not None:
        ended = before.ended
        return Refused(reason=ended.reason, by=ended.by, at=ended.at, address=ended.address)
    return None


def _add_device(state: State, op: LogIn, batch: Batch) -> int:
    state.last_device += 1
    state.devices[state.last_device] = Device(
        user=op.user, device_id=op.device_id, terminal=op.terminal, client=op.client, last_seen=batch.now_ms
    )
    return state.last_device


def _must_start_over(state: State, account: Account, op: LogIn) -> bool:
    if op.last_seq > state.head(op.user):
        return True
    if op.last_seq > 0 and op.incarnation is not None and op.incarnation != account.incarnation:
        return True
    held = state.entries.get((op.user, op.last_seq))
    return op.last_id is not None and held is not None and op.last_id != message_id_text(held.message_id)


def _position(state: State, op: LogIn) -> int:
    if op.newest is not None:
        return max(state.head(op.user) - op.newest, state.start(op.user).floor - 1)
    return op.last_seq


def end_session(state: State, op: EndSession, batch: Batch) -> Ended | Refused:
    """End a session for good, and revoke the token of its device if asked to."""
    terminal = op.terminal
    if op.device_id is not None:
        number = state.device_of(op.user, op.device_id)
        if number is None:
            return refusals.no_such_session()
        device = state.devices[number]
        terminal = terminal or device.terminal
        if op.revoke:
            state.devices[number] = replace(device, token_digest=None)
    if terminal is None:
        return refusals.no_such_session()

    session = state.sessions.get((op.user, terminal))
    if session is None or session.ended is not None or op.device_id not in (None, session.owner.device_id):
        if op.device_id is None:
            return refusals.no_such_session()
        return Ended(terminal=terminal, epoch=0, at=batch.now_ms)
    ended = End(reason=op.reason, by=op.by, at=batch.now_ms, address=op.address)
    state.sessions[op.user, terminal] = replace(session, ended=ended)
    note = session_ended(op, terminal, session.owner.device_id, session.epoch, batch.now_ms)
    state.note(note, batch.now_ms)
    return Ended(terminal=terminal, epoch=session.epoch, at=batch.now_ms)


def forget_devices(state: State, op: ForgetDevices, batch: Batch) -> Forgotten:
    """Forget the devices not seen for long among the next few."""
    ahead = sorted(number for number in state.devices if number > op.after)
    looked_at = ahead[: op.devices_max]
    forgotten = tuple(
        number for number in looked_at if state.devices[number].last_seen < op.seen_before and number not in op.keep
    )
    for number in forgotten:
        device = state.devices.pop(number)
        gone = DeviceForgotten(at=batch.now_ms, user=device.user, device=number, device_id=device.device_id)
        state.note(gone, batch.now_ms)
    state.outcomes = {key: outcome for key, outcome in state.outcomes.items() if key[0] not in forgotten}
    return Forgotten(devices=forgotten, next_after=looked_at[-1] if len(ahead) > len(looked_at) else None)


# --- retention ----------------------------------------------------------------------------------------------------


def trim(state: State, op: Trim, batch: Batch) -> Trimmed:
    """Trim the next few inboxes, the oldest entries first."""
    left = op.entries_max
    floors: list[Floor] = []
    next_after: int | None = None
    ahead = sorted(user for user in (*state.users, *state.removed) if user > op.after)
    for user in ahead[: op.users_max]:
        first = state.start(user).floor
        trimmed = _trim_inbox(state, user, op, left, batch)
        left -= trimmed
        start = state.start(user)
        if trimmed and start.reason is not None:
            floors.append(Floor(user=user, floor=start.floor, reason=start.reason))
            last = start.floor - 1
            gone = InboxTrimmed(at=batch.now_ms, user=user, first=first, last=last, reason=start.reason)
            state.note(gone, batch.now_ms)
        if left == 0:
            next_after = user - 1  # this inbox may have more to trim
            break
        next_after = user if user != ahead[-1] else None
    return Trimmed(floors=tuple(floors), entries=op.entries_max - left, next_after=next_after)


def _trim_inbox(state: State, user: int, op: Trim, entries_max: int, batch: Batch) -> int:
    hold = op.hold if batch.has_room else None
    kept_bytes = state.inbox_bytes(user)
    for trimmed in range(entries_max):
        floor = state.start(user).floor
        reason = state.rule_against(user, floor, op.retention, hold, batch.now_ms, kept_bytes)
        if reason is None:
            return trimmed
        kept_bytes -= state.entries.pop((user, floor)).size
        state.starts[user] = Start(floor=floor + 1, reason=reason)
    return entries_max


def would_trim(state: State, user: int, retention: Retention, hold: Hold | None, now_ms: int) -> Floor | None:
    """What trimming one inbox as far as it goes would do."""
    kept_bytes = state.inbox_bytes(user)
    last: Floor | None = None
    for seq, entry in state.inbox(user):
        reason = state.rule_against(user, seq, retention, hold, now_ms, kept_bytes)
        if reason is None:
            break
        last = Floor(user=user, floor=seq + 1, reason=reason)
        kept_bytes -= entry.size
    return last
