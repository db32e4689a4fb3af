"""Checks of users and their names, groups and their members, contacts and blocked users."""

from collections.abc import Iterator

from roost_broker.store.fsck_problems import (
    COUNTER,
    GROUP_EMPTY,
    MEMBER_ASTRAY,
    MEMBER_HALF,
    NAME_ASTRAY,
    NAME_LOST,
    ODD_KEY,
    OWNER_LEFT,
    RELATION_ASTRAY,
    REMOVAL_ASTRAY,
    REMOVAL_LOST,
    SCHEMA,
    UNREADABLE,
)
from roost_broker.store.fsck_snapshot import Counters, Snapshot, Step, decoded, text
from roost_broker.store.lmdb_tables import (
    CONVERSATION,
    META_LAST,
    META_SCHEMA,
    NUMBER,
    PAIR,
    RELATION,
    RELATION_KINDS,
    SCHEMA_VERSION,
    erased_record,
    group_record,
    removal_record,
    user_record,
)

_KINDS = {number: kind for kind, number in RELATION_KINDS.items()}


def check_schema(snapshot: Snapshot) -> Iterator[Step]:
    """The store says that it is laid out as these checks know it."""
    expected = NUMBER.pack(SCHEMA_VERSION)
    value = snapshot.get("meta", META_SCHEMA)
    if value != expected:
        found = "no schema version" if value is None else f"schema version {int.from_bytes(value, 'big')}"
        yield snapshot.finding(SCHEMA, "meta", found=found, expected=f"schema version {SCHEMA_VERSION}")
    yield snapshot.rows("meta")


def check_counters(snapshot: Snapshot) -> Iterator[Step]:
    """No number that is in use is above the last one given. The last check: it looks at what the others have seen."""
    last = snapshot.counters()
    if last is None:
        if snapshot.get("meta", META_LAST) is None and not any(snapshot.in_use.values()):
            return  # a new store, in which no number was given
        yield snapshot.finding(COUNTER, "meta", found="no counters that can be read", expected="the last numbers given")
        return
    for kind, given, used in zip(Counters._fields, last, snapshot.in_use.values(), strict=True):
        if used > given:
            yield snapshot.finding(
                COUNTER, "meta", found=f"the last {kind} given is {given}", expected=f"at least {used}, which is in use"
            )


# --- users --------------------------------------------------------------------------------------------------------


def check_users(snapshot: Snapshot) -> Iterator[Step]:
    """Every user has a record, and is found by his name."""
    for chunk in snapshot.chunks("users"):
        for key, value in chunk:
            if len(key) != NUMBER.size:
                yield odd_key(snapshot, "users", key, NUMBER.size)
                continue
            (number,) = NUMBER.unpack(key)
            snapshot.note("user", number)
            record = decoded(user_record, value)
            if record is None:
                yield snapshot.finding(
                    UNREADABLE, "users", user=number, found=f"{len(value)} bytes", expected="the record of a user"
                )
            elif record.removed:
                if snapshot.get("removals", key) is None:
                    yield snapshot.finding(
                        REMOVAL_LOST, "removals", user=number, found="no such row", expected="what is left to be done"
                    )
            elif (named := snapshot.get("names", record.name.encode())) != key:
                yield snapshot.finding(
                    NAME_LOST, "names", user=number, found=_leads_to(named), expected=f"{record.name!r} → {number}"
                )
        yield len(chunk)


def check_names(snapshot: Snapshot) -> Iterator[Step]:
    """Every name leads to the user who has it."""
    for chunk in snapshot.chunks("names"):
        for key, value in chunk:
            name = snapshot.user_name(NUMBER.unpack(value)[0]) if len(value) == NUMBER.size else None
            if name is None or (name and name.encode() != key):
                user = NUMBER.unpack(value)[0] if len(value) == NUMBER.size else None
                who = f", who is {name!r}" if name else ", who is not there"
                yield snapshot.finding(
                    NAME_ASTRAY,
                    "names",
                    user=user,
                    found=f"{text(key)} → {_number(value)}{who}",
                    expected=f"the user whose name is {text(key)}, or no such row",
                )
        yield len(chunk)


def check_removals(snapshot: Snapshot) -> Iterator[Step]:
    """What is left to be done is about users who are removed."""
    for chunk in snapshot.chunks("removals"):
        for key, value in chunk:
            whole = len(key) == NUMBER.size
            if not whole and len(key) != CONVERSATION.size:
                yield odd_key(snapshot, "removals", key, NUMBER.size)
                continue
            if decoded(removal_record if whole else erased_record, value) is None:
                found = f"{len(value)} bytes at {key.hex()}"
                yield snapshot.finding(UNREADABLE, "removals", found=found, expected="what is left to be done")
            user = snapshot.get("users", key[: NUMBER.size])
            record = None if user is None else decoded(user_record, user)
            if record is None or not record.removed:
                number = NUMBER.unpack(key[: NUMBER.size])[0]
                yield snapshot.finding(
                    REMOVAL_ASTRAY, "removals", user=number, found="a row", expected="none: the user is not removed"
                )
        yield len(chunk)


def removed_devices(snapshot: Snapshot) -> set[int]:
    """Devices of removed users whose outcomes are not cleared away yet."""
    found: set[int] = set()
    for chunk in snapshot.chunks("removals"):
        for key, value in chunk:
            record = decoded(removal_record, value) if len(key) == NUMBER.size else None
            found.update(() if record is None else record.devices)
    return found


def _leads_to(value: bytes | None) -> str:
    return "no such row" if value is None else f"the name leads to {_number(value)}"


def _number(value: bytes) -> str:
    return str(NUMBER.unpack(value)[0]) if len(value) == NUMBER.size else f"{len(value)} bytes"


def odd_key(snapshot: Snapshot, table: str, key: bytes, size: int) -> Step:
    """The finding for a key that no version of roost would write."""
    return snapshot.finding(
        ODD_KEY, table, found=f"a key of {len(key)} bytes: {key[:16].hex()}", expected=f"{size} bytes"
    )


# --- groups -------------------------------------------------------------------------------------------------------


def check_groups(snapshot: Snapshot) -> Iterator[Step]:
    """Every group has a record, a name that leads to it, at least one member, and an owner who is one."""
    for chunk in snapshot.chunks("groups"):
        for key, value in chunk:
            if len(key) != NUMBER.size:
                yield odd_key(snapshot, "groups", key, NUMBER.size)
                continue
            yield from _group(snapshot, key, value)
        yield len(chunk)


def _group(snapshot: Snapshot, key: bytes, value: bytes) -> Iterator[Step]:
    (number,) = NUMBER.unpack(key)
    snapshot.note("group", number)
    record = decoded(group_record, value)
    if record is None:
        yield snapshot.finding(
            UNREADABLE, "groups", group=number, found=f"{len(value)} bytes", expected="the record of a group"
        )
        return
    if (named := snapshot.get("group_names", record.name.encode())) != key:
        yield snapshot.finding(
            NAME_LOST, "group_names", group=number, found=_leads_to(named), expected=f"{record.name!r} → {number}"
        )
    first = snapshot.first_from("members", key)
    if first is None or not first.startswith(key):
        yield snapshot.finding(
            GROUP_EMPTY, "members", group=number, found="no member", expected="at least its owner, or no group"
        )
    elif snapshot.get("members", key + NUMBER.pack(record.owner)) is None:
        yield snapshot.finding(
            OWNER_LEFT,
            "groups",
            group=number,
            user=record.owner,
            found="the owner is no member",
            expected="an owner who is a member",
        )


def check_group_names(snapshot: Snapshot) -> Iterator[Step]:
    """Every name of a group leads to the group that has it."""
    for chunk in snapshot.chunks("group_names"):
        for key, value in chunk:
            name = snapshot.group_name(NUMBER.unpack(value)[0]) if len(value) == NUMBER.size else None
            if name is None or (name and name.encode() != key):
                group = NUMBER.unpack(value)[0] if len(value) == NUMBER.size else None
                which = f", which is {name!r}" if name else ", which is not there"
                yield snapshot.finding(
                    NAME_ASTRAY,
                    "group_names",
                    group=group,
                    found=f"{text(key)} → {_number(value)}{which}",
                    expected=f"the group whose name is {text(key)}, or no such row",
                )
        yield len(chunk)


def check_members(snapshot: Snapshot) -> Iterator[Step]:
    """Every member of a group is there, as is the group, and knows of it."""
    for chunk in snapshot.chunks("members"):
        for key, _ in chunk:
            if len(key) != PAIR.size:
                yield odd_key(snapshot, "members", key, PAIR.size)
                continue
            group, user = PAIR.unpack(key)
            if snapshot.group_name(group) is None or snapshot.user_name(user) is None:
                who = "group" if snapshot.group_name(group) is None else "user"
                yield snapshot.finding(
                    MEMBER_ASTRAY,
                    "members",
                    group=group,
                    user=user,
                    found=f"a member, but no such {who}",
                    expected="a user and a group that are there, or no such row",
                )
            elif snapshot.get("memberships", PAIR.pack(user, group)) is None:
                yield _half(snapshot, "memberships", user, group)
        yield len(chunk)


def check_memberships(snapshot: Snapshot) -> Iterator[Step]:
    """Every membership of a user is one of the group, too."""
    for chunk in snapshot.chunks("memberships"):
        for key, _ in chunk:
            if len(key) != PAIR.size:
                yield odd_key(snapshot, "memberships", key, PAIR.size)
                continue
            user, group = PAIR.unpack(key)
            if snapshot.get("members", PAIR.pack(group, user)) is None:
                yield _half(snapshot, "members", user, group)
        yield len(chunk)


def _half(snapshot: Snapshot, missing: str, user: int, group: int) -> Step:
    other = "members" if missing == "memberships" else "memberships"
    return snapshot.finding(
        MEMBER_HALF, missing, user=user, group=group, found=f"a row in {other} alone", expected=f"one in {missing}, too"
    )


# --- relations ----------------------------------------------------------------------------------------------------


def check_relations(snapshot: Snapshot) -> Iterator[Step]:
    """Every contact and every blocked user is there, as is the user who has them."""
    for chunk in snapshot.chunks("relations"):
        for key, _ in chunk:
            if len(key) != RELATION.size:
                yield odd_key(snapshot, "relations", key, RELATION.size)
                continue
            user, kind, other = RELATION.unpack(key)
            wrong = _wrong_relation(snapshot, user, kind, other)
            if wrong is not None:
                yield snapshot.finding(
                    RELATION_ASTRAY, "relations", user=user, found=wrong, expected="two users who are there, or no row"
                )
        yield len(chunk)


def _wrong_relation(snapshot: Snapshot, user: int, kind: int, other: int) -> str | None:
    if kind not in _KINDS:
        return f"a relation of kind {kind} to user {other}"
    for number in (user, other):
        if snapshot.user_name(number) is None:
            return f"a {_KINDS[kind]}: user {other} of user {user}; there is no user {number}"
    return "the user has blocked himself" if _KINDS[kind] == "block" and user == other else None
