"""Checks of devices: their ids, tokens and cursors, the sessions they have, and the outcomes of their publishes."""

import hmac
from collections.abc import Iterator
from typing import NamedTuple

from roost_broker.store.fsck_accounts import odd_key, removed_devices
from roost_broker.store.fsck_problems import (
    CURSOR_AHEAD,
    CURSOR_INVALID,
    CURSOR_LEFT,
    CURSOR_LOST,
    DEVICE_ASTRAY,
    DEVICE_ID_ASTRAY,
    DEVICE_ID_LOST,
    OUTCOME_ASTRAY,
    OUTCOME_INVALID,
    OUTCOME_LEFT,
    SESSION_ASTRAY,
    TOKEN_ASTRAY,
    TOKEN_LOST,
    UNREADABLE,
)
from roost_broker.store.fsck_snapshot import Snapshot, Step, decoded, text, unpacked
from roost_broker.store.ids import message_time_ms
from roost_broker.store.lmdb_seal import SEAL_BYTES
from roost_broker.store.lmdb_tables import (
    CURSOR,
    KIND_OWN,
    NUMBER,
    OUTCOME,
    OWN_ENTRY,
    PAIR,
    SLOT,
    DeviceRecord,
    device_record,
    name_key,
    session_record,
)
from roost_protocol.reasons import Reason

SLOTS_MAX = 2**16
"""A slot has 16 bits (`lmdb_tables.SLOT`)."""


class Publishes(NamedTuple):
    """What the tables say of a device's publishes."""

    user: int
    settled_n: int
    slots: int
    long_ago: int

    @property
    def outcomes_from(self) -> int:
        """Of every n above it that was settled, the outcome is kept."""
        return max(self.settled_n - self.slots, self.long_ago)


def publishes(snapshot: Snapshot, device: int) -> Publishes | None:
    """What is kept of a device's publishes; None if it was forgotten, or its rows make no sense."""
    key = NUMBER.pack(device)
    value, row = snapshot.get("devices", key), snapshot.get("cursors", key)
    record = None if value is None else decoded(device_record, value)
    fields = None if row is None else unpacked(CURSOR, row)
    if record is None or fields is None:
        return None
    _, settled_n, _, slots, long_ago = fields
    return Publishes(record.user, settled_n, slots, long_ago) if 1 <= slots <= SLOTS_MAX else None


# --- devices ------------------------------------------------------------------------------------------------------


def check_devices(snapshot: Snapshot) -> Iterator[Step]:
    """Every device has a user who is there, and is found by its id and its token."""
    for chunk in snapshot.chunks("devices"):
        for key, value in chunk:
            if len(key) != NUMBER.size:
                yield odd_key(snapshot, "devices", key, NUMBER.size)
                continue
            (number,) = NUMBER.unpack(key)
            snapshot.note("device", number)
            record = decoded(device_record, value)
            if record is None:
                yield snapshot.finding(
                    UNREADABLE, "devices", device=number, found=f"{len(value)} bytes", expected="the record of a device"
                )
            else:
                yield from _device(snapshot, key, number, record)
        yield len(chunk)


def _device(snapshot: Snapshot, key: bytes, number: int, record: DeviceRecord) -> Iterator[Step]:
    user = record.user
    if snapshot.user_name(user) is None:
        yield snapshot.finding(
            DEVICE_ASTRAY, "devices", user=user, device=number, found="no such user", expected="a user who is there"
        )
    if (known := snapshot.get("device_ids", name_key(user, record.device_id))) != key:
        yield snapshot.finding(
            DEVICE_ID_LOST,
            "device_ids",
            user=user,
            device=number,
            found="no such row" if known is None else f"the id leads to device {int.from_bytes(known, 'big')}",
            expected=f"{record.device_id!r} → {number}",
        )
    if record.token_digest is not None and (known := snapshot.get("tokens", record.token_digest)) != key:
        yield snapshot.finding(
            TOKEN_LOST,
            "tokens",
            user=user,
            device=number,
            found="no such row" if known is None else f"the token leads to device {int.from_bytes(known, 'big')}",
            expected=f"the digest of its token → {number}",
        )
    if snapshot.get("cursors", key) is None:
        yield snapshot.finding(
            CURSOR_LOST, "cursors", user=user, device=number, found="no such row", expected="a row for each device"
        )


def check_device_ids(snapshot: Snapshot) -> Iterator[Step]:
    """Every id of a device leads to the device that has it."""
    for chunk in snapshot.chunks("device_ids"):
        for key, value in chunk:
            if len(key) <= NUMBER.size:
                yield odd_key(snapshot, "device_ids", key, NUMBER.size + 1)
                continue
            record = _record(snapshot, value)
            if record is None or name_key(record.user, record.device_id) != key:
                yield snapshot.finding(
                    DEVICE_ID_ASTRAY,
                    "device_ids",
                    user=NUMBER.unpack_from(key)[0],
                    device=_number(value),
                    found=f"{text(key[NUMBER.size :])} → device {_number(value)}, {_whose(record)}",
                    expected="the user's device of this id, or no such row",
                )
        yield len(chunk)


def check_tokens(snapshot: Snapshot) -> Iterator[Step]:
    """Every token leads to the device that it was made for."""
    for chunk in snapshot.chunks("tokens"):
        for key, value in chunk:
            record = _record(snapshot, value)
            if record is None or not hmac.compare_digest(record.token_digest or b"", key):
                yield snapshot.finding(
                    TOKEN_ASTRAY,
                    "tokens",
                    user=None if record is None else record.user,
                    device=_number(value),
                    found=f"a token of device {_number(value)}, {_whose(record, 'which has another, or none')}",
                    expected="the device that has this token, or no such row",
                )
        yield len(chunk)


def _record(snapshot: Snapshot, key: bytes) -> DeviceRecord | None:
    value = snapshot.get("devices", key) if len(key) == NUMBER.size else None
    return None if value is None else decoded(device_record, value)


def _number(value: bytes) -> int | None:
    return int(NUMBER.unpack(value)[0]) if len(value) == NUMBER.size else None


def _whose(record: DeviceRecord | None, otherwise: str | None = None) -> str:
    if record is None:
        return "which is not there"
    return otherwise or f"which is {record.device_id!r} of user {record.user}"


def check_cursors(snapshot: Snapshot) -> Iterator[Step]:
    """Every cursor is a device's, and not beyond the head of its inbox."""
    for chunk in snapshot.chunks("cursors"):
        for key, value in chunk:
            if len(key) != NUMBER.size:
                yield odd_key(snapshot, "cursors", key, NUMBER.size)
                continue
            yield from _cursor(snapshot, key, value)
        yield len(chunk)


def _cursor(snapshot: Snapshot, key: bytes, value: bytes) -> Iterator[Step]:
    (number,) = NUMBER.unpack(key)
    snapshot.note("device", number)
    if snapshot.get("devices", key) is None:
        yield snapshot.finding(
            CURSOR_LEFT, "cursors", device=number, found="a cursor, but no such device", expected="no such row"
        )
        return
    fields = unpacked(CURSOR, value)
    if fields is None:
        yield snapshot.finding(
            UNREADABLE, "cursors", device=number, found=f"{len(value)} bytes", expected=f"{CURSOR.size} bytes"
        )
        return
    cursor, settled_n, _, slots, long_ago = fields
    record = _record(snapshot, key)
    user = None if record is None else record.user
    if not 1 <= slots <= SLOTS_MAX or long_ago > settled_n:
        yield snapshot.finding(
            CURSOR_INVALID,
            "cursors",
            user=user,
            device=number,
            found=f"{slots} slots, settled up to {settled_n}, long ago up to {long_ago}",
            expected=f"1 to {SLOTS_MAX} slots, and nothing settled long ago that is not settled",
        )
    if user is not None:
        head = snapshot.head(user)
        if cursor > head:
            yield snapshot.finding(
                CURSOR_AHEAD, "cursors", user=user, device=number, found=f"acknowledged up to {cursor}",
                expected=f"at most {head}, the head of the inbox",
            )  # fmt: skip


# --- sessions -----------------------------------------------------------------------------------------------------


def check_sessions(snapshot: Snapshot) -> Iterator[Step]:
    """Every session is of a user who is there, and of one of his devices, unless that was forgotten."""
    for chunk in snapshot.chunks("sessions"):
        for key, value in chunk:
            if len(key) <= NUMBER.size:
                yield odd_key(snapshot, "sessions", key, NUMBER.size + 1)
                continue
            yield from _session(snapshot, key, value)
        yield len(chunk)


def _session(snapshot: Snapshot, key: bytes, value: bytes) -> Iterator[Step]:
    (user,) = NUMBER.unpack_from(key)
    terminal = key[NUMBER.size :].decode(errors="backslashreplace")
    session = decoded(session_record, value)
    if session is None:
        yield snapshot.finding(
            UNREADABLE, "sessions", user=user, found=f"{len(value)} bytes on {terminal!r}", expected="a session"
        )
        return
    snapshot.note("epoch", session.epoch)
    snapshot.note("device", session.device)
    device = _record(snapshot, NUMBER.pack(session.device))
    if snapshot.user_name(user) is None:
        wrong = "no such user"
    elif device is not None and (device.user, device.device_id, device.terminal) != (user, session.device_id, terminal):
        wrong = f"its device is {device.device_id!r} of user {device.user} on {device.terminal!r}"
    else:
        return
    yield snapshot.finding(
        SESSION_ASTRAY,
        "sessions",
        user=user,
        device=session.device,
        found=f"a session on {terminal!r}: {wrong}",
        expected=f"device {session.device_id!r} of the user, on {terminal!r}, or a forgotten one",
    )


# --- outcomes -----------------------------------------------------------------------------------------------------


def check_outcomes(snapshot: Snapshot) -> Iterator[Step]:
    """Every outcome is in its slot, of a publish that is settled, and agrees with the entry it tells of."""
    device, facts = -1, None
    removed = removed_devices(snapshot)
    for chunk in snapshot.chunks("outcomes"):
        for key, value in chunk:
            if len(key) != SLOT.size:
                yield odd_key(snapshot, "outcomes", key, SLOT.size)
                continue
            number, slot = SLOT.unpack(key)
            if number != device:
                device, facts = number, publishes(snapshot, number)
                snapshot.note("device", number)
                if number not in removed and snapshot.get("devices", NUMBER.pack(number)) is None:
                    yield snapshot.finding(
                        OUTCOME_LEFT, "outcomes", device=number, found="outcomes, but no such device",
                        expected="no such rows",
                    )  # fmt: skip
            if facts is not None:
                yield from _outcome(snapshot, device, facts, slot, value)
        yield len(chunk)


def _outcome(snapshot: Snapshot, device: int, facts: Publishes, slot: int, value: bytes) -> Iterator[Step]:
    fields = unpacked(OUTCOME, value)
    if fields is None:
        yield snapshot.finding(
            UNREADABLE, "outcomes", device=device, found=f"{len(value)} bytes", expected=f"{OUTCOME.size} bytes"
        )
        return
    n, reason, seq, message_id, time, _ = fields
    wrong = _wrong_outcome(facts, slot, n, reason, (seq, message_id, time))
    if wrong is not None:
        found, expected = wrong
        yield snapshot.finding(
            OUTCOME_INVALID, "outcomes", user=facts.user, device=device, found=found, expected=expected
        )
    elif reason == Reason.SUCCESS:
        snapshot.note("message", message_id)
        wrong = _wrong_entry(snapshot, device, facts.user, n, seq, message_id)
        if wrong is not None:
            found, expected = wrong
            yield snapshot.finding(
                OUTCOME_ASTRAY,
                "outcomes",
                user=facts.user,
                device=device,
                seq=seq,
                message=message_id,
                found=found,
                expected=expected,
            )


_REASONS = frozenset(int(reason) for reason in Reason)


def _wrong_outcome(
    facts: Publishes, slot: int, n: int, reason: int, stored: tuple[int, int, int]
) -> tuple[str, str] | None:
    """What is wrong with an outcome in itself, and what should be there."""
    if n % facts.slots != slot:
        return f"n {n} in slot {slot}", f"slot {n % facts.slots} of {facts.slots}"
    if not facts.long_ago < n <= facts.settled_n:
        return f"the outcome of n {n}", f"an n from {facts.long_ago + 1} to {facts.settled_n}, which are settled"
    if reason not in _REASONS:
        return f"n {n} has the reason {reason:#x}", "a reason that roost knows"
    if reason != Reason.SUCCESS:
        return None if not any(stored) else (f"n {n} was refused, and has a number", "none")
    if not all(stored):
        return f"n {n} was stored without number, id or time", "all three"
    _, message_id, time = stored
    if message_time_ms(message_id) < time:
        return f"n {n} was stored at {time}", f"at most {message_time_ms(message_id)}, as in the id of the message"
    return None


def _wrong_entry(
    snapshot: Snapshot, device: int, user: int, n: int, seq: int, message_id: int
) -> tuple[str, str] | None:
    """How an outcome and the sender's entry disagree, if that is still kept."""
    entry = snapshot.get("inbox", PAIR.pack(user, seq))
    said = f"n {n} became entry {seq}"
    if entry is None:
        begins = snapshot.begins(user)
        if begins is None or seq < begins.floor:
            return None
        return said, f"an entry from {begins.floor} to {snapshot.head(user)}, or one that was trimmed"
    if len(entry) != OWN_ENTRY.size + SEAL_BYTES:
        return f"{said}, which is no own message", "the sender's entry"
    found_id, kind, *_, found_device, found_n = OWN_ENTRY.unpack_from(entry)
    if (found_id, kind, found_device, found_n) != (message_id, KIND_OWN, device, n):
        return f"{said}, which is n {found_n} of device {found_device}", f"n {n} of device {device}, the same message"
    return None
