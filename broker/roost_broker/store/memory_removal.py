"""The in-memory model: accounts that end, and what is erased of them."""

from roost_broker.store import import_refusals, refusals
from roost_broker.store.account_operations import (
    ERASED_TYPE,
    Cleared,
    ClearRemoved,
    DeleteGroup,
    EraseMessages,
    ForgetDevice,
    MessagesErased,
    Notice,
    RemoveUser,
    SetDisabled,
    TellErased,
    Told,
    UserRemoved,
    erased_text,
)
from roost_broker.store.ids import message_id_text
from roost_broker.store.journal import DeviceForgotten
from roost_broker.store.memory_operations import Batch, append
from roost_broker.store.memory_state import Conversation, Erased, InboxEntry, Removed, Start, State, replace
from roost_broker.store.noted import group_changed, user_disabled, user_removed
from roost_broker.store.operations import Done, Refused
from roost_protocol.codec import decode_entry, encode_entry
from roost_protocol.frames import Entry


def set_disabled(state: State, op: SetDisabled, batch: Batch) -> Done | Refused:
    """Refuse log-ins of a user, or let them in again."""
    account = state.users.get(op.user)
    if account is None:
        return refusals.no_such_user(op.user)
    if state.is_closed(op.user) and not op.disabled:
        return import_refusals.being_imported(account.name)
    state.users[op.user] = replace(account, disabled=op.disabled)
    if account.disabled != op.disabled:
        note = user_disabled(op.user, account.name, disabled=op.disabled, now_ms=batch.now_ms)
        state.note(note, batch.now_ms)
    return Done()


def forget_one_device(state: State, op: ForgetDevice, batch: Batch) -> Done | Refused:
    """Forget one device."""
    number = state.device_of(op.user, op.device_id)
    if number is None:
        return refusals.no_such_session()
    _forget(state, number)
    gone = DeviceForgotten(at=batch.now_ms, user=op.user, device=number, device_id=op.device_id)
    state.note(gone, batch.now_ms)
    return Done()


def _forget(state: State, device: int) -> None:
    del state.devices[device]
    state.outcomes = {key: outcome for key, outcome in state.outcomes.items() if key[0] != device}


def delete_group(state: State, op: DeleteGroup, batch: Batch) -> Done | Refused:
    """Delete a group."""
    number = state.group_named(op.name)
    if number is None:
        return refusals.unknown_group(op.name)
    group = state.groups.pop(number)
    note = group_changed(number, group.name, None, group.members, frozenset(), batch.now_ms)
    state.note(note, batch.now_ms)
    return Done()


def remove_user(state: State, op: RemoveUser, batch: Batch) -> UserRemoved | Refused:
    """Remove an account, and everything of it but its inbox."""
    if op.user not in state.users:
        return refusals.no_such_user(op.user)
    account = state.users.pop(op.user)
    state.importing.pop(op.user, None)
    if not op.erase:
        state.returning[account.incarnation, account.name] = op.user
    state.removed[op.user] = Removed(
        account=account, at=batch.now_ms, until_id=state.last_message_id + 1, erasing=op.erase
    )
    state.sessions = {key: session for key, session in state.sessions.items() if key[0] != op.user}
    for device in state.devices_of(op.user):
        _forget(state, device)
    state.relations = {each for each in state.relations if op.user not in (each.user, each.other)}
    for number, group in tuple(state.groups.items()):
        members = group.members - {op.user}
        if members != group.members:
            note = group_changed(number, group.name, None, group.members, members, batch.now_ms)
            state.note(note, batch.now_ms)
        if not members:
            del state.groups[number]
        else:
            owner = min(members) if group.owner == op.user else group.owner
            state.groups[number] = replace(group, owner=owner, members=members)
    gone = user_removed(op.user, account.name, erased=op.erase, now_ms=batch.now_ms)
    state.note(gone, batch.now_ms)
    return UserRemoved(name=account.name)


def clear_removed(state: State, op: ClearRemoved, batch: Batch) -> Cleared | Refused:
    """Clear away the next entries of the inbox; the user is gone with the last."""
    del batch
    removed = state.removed.get(op.user)
    if removed is None:
        return refusals.no_such_user(op.user)
    if removed.erasing:
        return refusals.still_erasing(removed.account.name)
    for seq, _ in tuple(state.inbox(op.user))[: op.rows_max]:
        del state.entries[op.user, seq]
        state.starts[op.user] = Start(floor=seq + 1, reason="count")
    if any(state.inbox(op.user)):
        return Cleared(done=False)
    del state.removed[op.user]
    for table in (state.heads, state.starts, state.since_ids):
        table.pop(op.user, None)
    return Cleared(done=True)


# --- erasing ------------------------------------------------------------------------------------------------------


def erase_messages(state: State, op: EraseMessages, batch: Batch) -> MessagesErased | Refused:
    """Erase the next messages that the user sent."""
    del batch
    removed = state.removed.get(op.user)
    if removed is None or not removed.erasing:
        return refusals.no_such_user(op.user)
    first = max(op.after + 1, state.since_ids[op.user])
    ids = {entry.message_id for entry in state.entries.values() if first <= entry.message_id < removed.until_id}
    messages, size, last = 0, 0, None
    to_tell = dict(removed.to_tell)
    for looked_at, message_id in enumerate(sorted(ids), 1):
        to, encoded = _whole(state, message_id, removed.account.name)
        if encoded:
            messages, size = messages + 1, size + len(encoded)
            where = _conversation(state, op.user, message_id, to)
            if where is not None and where != Conversation("user", op.user):
                before = to_tell.get(where, Erased(address=to))
                to_tell[where] = replace(before, messages=before.messages + 1, bytes=before.bytes + len(encoded))
            _erase(state, message_id)
        if looked_at == op.looked_at_max or messages == op.erased_max:
            last = message_id
            break
    state.removed[op.user] = replace(
        removed, to_tell=to_tell, messages=removed.messages + messages, bytes=removed.bytes + size
    )
    return MessagesErased(messages=messages, bytes=size, next_after=last)


def _whole(state: State, message_id: int, sender: str) -> tuple[str, bytes]:
    """Where a message went and its bytes, if it is there and this user sent it."""
    for entry in state.entries.values():
        if entry.message_id == message_id and entry.encoded is not None:
            decoded = decode_entry(entry.encoded)
            return (decoded.to, entry.encoded) if decoded.sender == sender else ("", b"")
    return "", b""


def _conversation(state: State, user: int, message_id: int, to: str) -> Conversation | None:
    """As the sender's entry has it; if that was trimmed, as the address has it, if it still stands for the same."""
    for _, entry in state.inbox(user):
        if entry.message_id == message_id:
            return entry.conversation
    found = state.conversation(to)
    if found is not None and found.kind == "user" and message_id < state.since_ids[found.number]:
        return None
    return found


def _erase(state: State, message_id: int) -> None:
    for key, entry in state.entries.items():
        if entry.message_id == message_id:
            state.entries[key] = replace(entry, encoded=None)


def tell_erased(state: State, op: TellErased, batch: Batch) -> Told | Refused:
    """Store the next notices."""
    removed = state.removed.get(op.user)
    if removed is None:
        return refusals.no_such_user(op.user)
    if not removed.erasing:
        return Told(notices=(), more=False)
    to_tell = dict(removed.to_tell)
    notices: list[Notice] = []
    if op.group is not None:
        where = Conversation("group", op.group)
        members = state.groups[op.group].members if op.group in state.groups else frozenset()
        users = members.union(op.holders) if op.last else frozenset(op.holders) - members
        if where in to_tell:
            notices += _notice(state, batch, removed, to_tell[where], where, users)
            if op.last:
                del to_tell[where]
        more = True
    else:
        peers = sorted(where.number for where in to_tell if where.kind == "user")
        for peer in peers[: op.conversations_max]:
            erased = to_tell.pop(Conversation("user", peer))
            notices += _notice(state, batch, removed, erased, Conversation("user", op.user), frozenset({peer}))
        more = len(peers) > op.conversations_max
    told = removed.conversations + (len(notices) if op.last else 0)
    state.removed[op.user] = replace(removed, to_tell=to_tell, erasing=more, conversations=told)
    return Told(notices=tuple(notices), more=more)


def _notice(
    state: State, batch: Batch, removed: Removed, erased: Erased, where: Conversation, users: frozenset[int]
) -> list[Notice]:
    present = sorted(user for user in users if user in state.users)
    if not present:
        return []
    message_id = batch.next_message_id
    batch.next_message_id += 1
    state.last_message_id = message_id
    name = removed.account.name
    encoded = encode_entry(
        Entry(
            id=message_id_text(message_id),
            sender=name,
            to=erased.address,
            time=batch.now_ms,
            content_type=ERASED_TYPE,
            text=erased_text(name, erased.messages),
        )
    )
    entry = InboxEntry(message_id=message_id, conversation=where, encoded=encoded, size=len(encoded))
    state.inboxes[message_id] = len(present)
    return [Notice(entries=tuple((user, append(state, user, entry)) for user in present), encoded=encoded)]
