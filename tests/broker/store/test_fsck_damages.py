"""Damage of every kind, done to a whole store row by row: each is found, where it is, and said what to do about."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from broker.store.damaging import (
    ALICE,
    BOB,
    BOBS,
    CAROL,
    DAVE,
    NOBODY,
    PAIR_OF_TWO,
    PC,
    PHONE,
    TEAM,
    Rows,
    damaging,
    make_store,
)
from roost_broker.store import fsck_problems
from roost_broker.store.fsck_folder import check_folder
from roost_broker.store.fsck_problems import Problem
from roost_broker.store.journal import user_subject
from roost_broker.store.lmdb_tables import (
    COUNTERS,
    CURSOR,
    FLOOR,
    META_LAST,
    META_SCHEMA,
    NUMBER,
    OUTCOME,
    PAIR,
    RELATION,
    RELEASED,
    RELEASED_COUNT,
    SCROLL,
    SLOT,
    SUBJECT,
    WITH_GROUP,
    WITH_USER,
    RemovalRecord,
    device_record,
    group_record,
    name_key,
    pack_record,
    session_record,
    user_record,
)
from roost_protocol.admin.fsck import Finding

NUMBERED = NUMBER.pack


class Damage(NamedTuple):
    """What is done to a store, and the finding that tells of it."""

    name: str
    harm: Callable[[Rows], object]
    code: str
    table: str
    where: dict[str, Any]


def damage(name: str, harm: Callable[[Rows], object], code: str, table: str, **where: Any) -> Damage:
    return Damage(name, harm, code, table, where)


def hole(rows: Rows) -> None:
    """Bob's entry 9, Alice's first text to him, and all that is beside it."""
    rows.delete("inbox", PAIR.pack(BOB, 9))
    rows.delete("scroll", SCROLL.pack(BOB, WITH_USER, ALICE, 9))


def cut_off(rows: Rows) -> None:
    """The newest entry of Carol's inbox is not there, as after a write that was lost."""
    rows.delete("inbox", PAIR.pack(CAROL, 6))
    rows.delete("scroll", SCROLL.pack(CAROL, WITH_GROUP, TEAM, 6))


def another_inbox(rows: Rows) -> None:
    """An inbox of nobody: a copy of one of Bob's entries."""
    rows.put("inbox", PAIR.pack(NOBODY, 1), rows.get("inbox", PAIR.pack(BOB, 7)))


def twice(rows: Rows) -> None:
    """Dave, who is not in the team, has a message of it."""
    rows.put("inbox", PAIR.pack(DAVE, 2), rows.get("inbox", PAIR.pack(BOB, 12)))
    rows.edit_entry(DAVE, 2, _6=118 + 94)
    rows.put("scroll", SCROLL.pack(DAVE, WITH_GROUP, TEAM, 2))


def another_side(rows: Rows) -> None:
    """Carol's own entry of her message is Dave's, who has nothing to do with it."""
    cut_off(rows)
    twice(rows)


def below_floor(rows: Rows) -> None:
    """What was trimmed has come back."""
    rows.put("inbox", PAIR.pack(BOB, 3), rows.get("inbox", PAIR.pack(BOB, 7)))
    rows.put("inbox", PAIR.pack(BOB, 5), rows.get("inbox", PAIR.pack(BOB, 7)))


def other_sender(rows: Rows) -> None:
    """A message that says that Carol wrote it."""
    rows.edit_message(BOB, 9, sender="carol")


def swapped_names(rows: Rows) -> None:
    first, second = rows.get("names", b"alice"), rows.get("names", b"bob")
    rows.put("names", b"alice", second)
    rows.put("names", b"bob", first)


def emptied_group(rows: Rows) -> None:
    for user in (CAROL, DAVE):
        rows.delete("members", PAIR.pack(PAIR_OF_TWO, user))
        rows.delete("memberships", PAIR.pack(user, PAIR_OF_TWO))


def repeated(rows: Rows) -> None:
    """The outcome of Alice's last publish is that of one before."""
    rows.edit("outcomes", SLOT.pack(PHONE, 2), OUTCOME, _0=2, _2=6)


def forgotten_phone(rows: Rows) -> None:
    rows.delete("devices", NUMBERED(PHONE))


def low_counters(**last: int) -> Callable[[Rows], None]:
    return lambda rows: rows.edit("meta", META_LAST, COUNTERS, **last)


DAMAGES = (
    # --- meta ---
    damage("no schema", lambda rows: rows.delete("meta", META_SCHEMA), "schema", "meta"),
    damage("no counters", lambda rows: rows.delete("meta", META_LAST), "counter", "meta"),
    damage("short counters", lambda rows: rows.put("meta", META_LAST, b"short"), "counter", "meta"),
    damage("users counted too low", low_counters(_0=3), "counter", "meta"),
    damage("devices counted too low", low_counters(_1=4), "counter", "meta"),
    damage("groups counted too low", low_counters(_2=1), "counter", "meta"),
    damage("epochs counted too low", low_counters(_3=5), "counter", "meta"),
    damage("messages counted too low", low_counters(_4=1 << 60), "counter", "meta"),
    # --- users and names ---
    damage("no name", lambda rows: rows.delete("names", b"bob"), "name-lost", "names", user="bob", user_number=BOB),
    damage("swapped names", swapped_names, "name-lost", "names", user="alice", user_number=ALICE),
    damage("name astray", lambda rows: rows.put("names", b"eve", NUMBERED(BOB)), "name-astray", "names", user="bob"),
    damage("name of nobody", lambda rows: rows.put("names", b"eve", NUMBERED(NOBODY)), "name-astray", "names"),
    damage("short name row", lambda rows: rows.put("names", b"bob", b"\2"), "name-astray", "names", user_number=None),
    damage("no user", lambda rows: rows.delete("users", NUMBERED(BOB)), "inbox-astray", "users", user_number=BOB),
    damage(
        "user unreadable", lambda rows: rows.put("users", NUMBERED(BOB), b"\xc1"), "unreadable", "users",
        user_number=BOB, user=None,
    ),
    damage(
        "user renamed", lambda rows: rows.edit_record("users", NUMBERED(BOB), user_record, name="eve"), "name-lost",
        "names", user="eve", user_number=BOB,
    ),
    damage("odd user", lambda rows: rows.put("users", b"odd", b"\x90"), "odd-key", "users"),
    # --- groups ---
    damage("group unreadable", lambda rows: rows.put("groups", NUMBERED(TEAM), b"?"), "unreadable", "groups",
           group_number=TEAM),
    damage("no name of a group", lambda rows: rows.delete("group_names", b"team"), "name-lost", "group_names",
           group="team", group_number=TEAM),
    damage("name of no group", lambda rows: rows.put("group_names", b"gone", NUMBERED(NOBODY)), "name-astray",
           "group_names", group_number=NOBODY),
    damage("no group", lambda rows: rows.delete("groups", NUMBERED(TEAM)), "member-astray", "members",
           group_number=TEAM, user="alice"),
    damage("no member left", emptied_group, "group-empty", "members", group="pair"),
    damage("owner no member", lambda rows: rows.edit_record("groups", NUMBERED(TEAM), group_record, owner=DAVE),
           "owner-left", "groups", group="team", user="dave"),
    damage("half a membership", lambda rows: rows.delete("memberships", PAIR.pack(BOB, TEAM)), "member-half",
           "memberships", user="bob", group="team"),
    damage("half a member", lambda rows: rows.delete("members", PAIR.pack(TEAM, BOB)), "member-half", "members",
           user="bob", group="team"),
    damage("nobody a member", lambda rows: rows.put("members", PAIR.pack(TEAM, NOBODY)), "member-astray", "members",
           user_number=NOBODY, group="team"),
    damage("odd member", lambda rows: rows.put("members", b"x" * 15), "odd-key", "members"),
    # --- relations ---
    damage("contact gone", lambda rows: rows.put("relations", RELATION.pack(ALICE, 1, NOBODY)), "relation-astray",
           "relations", user="alice"),
    damage("blocks himself", lambda rows: rows.put("relations", RELATION.pack(BOB, 2, BOB)), "relation-astray",
           "relations", user="bob"),
    damage("unknown relation", lambda rows: rows.put("relations", RELATION.pack(BOB, 7, ALICE)), "relation-astray",
           "relations", user="bob"),
    damage("odd relation", lambda rows: rows.put("relations", b"odd"), "odd-key", "relations"),
    # --- devices ---
    damage("device unreadable", lambda rows: rows.put("devices", NUMBERED(BOBS), b"?"), "unreadable", "devices",
           device_number=BOBS),
    damage("device of nobody", lambda rows: rows.edit_record("devices", NUMBERED(BOBS), device_record, user=NOBODY),
           "device-astray", "devices", device="bob-phone", device_number=BOBS, user_number=NOBODY),
    damage("device of another", lambda rows: rows.edit_record("devices", NUMBERED(BOBS), device_record, user=DAVE),
           "own-astray", "inbox", device_number=BOBS, user="bob", seq=10),
    damage("no device", forgotten_phone, "device-id-astray", "device_ids", user="alice", device_number=PHONE),
    damage("cursor of no device", forgotten_phone, "cursor-left", "cursors", device_number=PHONE),
    damage("outcomes of no device", forgotten_phone, "outcome-left", "outcomes", device_number=PHONE),
    damage("no device id", lambda rows: rows.delete("device_ids", name_key(BOB, "bob-phone")), "device-id-lost",
           "device_ids", user="bob", device="bob-phone"),
    damage("device id astray", lambda rows: rows.put("device_ids", name_key(BOB, "eve"), NUMBERED(PC)),
           "device-id-astray", "device_ids", user="bob", device="alice-pc"),
    damage("odd device id", lambda rows: rows.put("device_ids", b"odd", NUMBERED(PC)), "odd-key", "device_ids"),
    damage("no token", lambda rows: rows.delete("tokens", b"token of a pc"), "token-lost", "tokens", device="alice-pc"),
    damage("token astray", lambda rows: rows.put("tokens", b"another", NUMBERED(PC)), "token-astray", "tokens",
           user="alice", device="alice-pc"),
    damage("token of no device", lambda rows: rows.put("tokens", b"another", b"odd"), "token-astray", "tokens"),
    # --- cursors ---
    damage("no cursor", lambda rows: rows.delete("cursors", NUMBERED(BOBS)), "cursor-lost", "cursors", user="bob",
           device="bob-phone"),
    damage("cursor beyond the head", lambda rows: rows.edit("cursors", NUMBERED(BOBS), CURSOR, _0=13), "cursor-ahead",
           "cursors", user="bob", device="bob-phone"),
    damage("nothing settled", lambda rows: rows.edit("cursors", NUMBERED(BOBS), CURSOR, _1=4), "outcome-invalid",
           "outcomes", user="bob", device="bob-phone"),
    damage("settled too low", lambda rows: rows.edit("cursors", NUMBERED(BOBS), CURSOR, _1=4), "own-astray", "inbox",
           user="bob", device="bob-phone", seq=10),
    damage("settled long ago", lambda rows: rows.edit("cursors", NUMBERED(BOBS), CURSOR, _4=9), "cursor-invalid",
           "cursors", device="bob-phone"),
    damage("no slots", lambda rows: rows.edit("cursors", NUMBERED(BOBS), CURSOR, _3=0), "cursor-invalid", "cursors",
           device="bob-phone"),
    damage("short cursor", lambda rows: rows.put("cursors", NUMBERED(BOBS), b"odd"), "unreadable", "cursors",
           device="bob-phone"),
    # --- sessions ---
    damage("session unreadable", lambda rows: rows.put("sessions", name_key(BOB, "phone"), b"?"), "unreadable",
           "sessions", user="bob"),
    damage("session of another", lambda rows: rows.edit_record(
               "sessions", name_key(BOB, "phone"), session_record, device=PHONE),
           "session-astray", "sessions", user="bob", device="alice-phone"),
    damage("session of nobody", lambda rows: rows.put(
               "sessions", name_key(NOBODY, "phone"), rows.get("sessions", name_key(DAVE, "tv"))),
           "session-astray", "sessions", user_number=NOBODY),
    damage("session elsewhere", lambda rows: rows.put(
               "sessions", name_key(BOB, "tv"), rows.get("sessions", name_key(BOB, "phone"))),
           "session-astray", "sessions", user="bob", device="bob-phone"),
    damage("odd session", lambda rows: rows.put("sessions", b"odd"), "odd-key", "sessions"),
    # --- outcomes ---
    damage("no outcome", lambda rows: rows.delete("outcomes", SLOT.pack(PHONE, 2)), "outcome-lost", "outcomes",
           user="alice", device="alice-phone", seq=16),
    damage("older outcome", repeated, "outcome-lost", "outcomes", user="alice", device="alice-phone", seq=16),
    damage("outcome in a wrong slot", lambda rows: rows.edit("outcomes", SLOT.pack(PHONE, 2), OUTCOME, _0=5),
           "outcome-invalid", "outcomes", device="alice-phone"),
    damage("outcome not settled", lambda rows: rows.edit("outcomes", SLOT.pack(PHONE, 2), OUTCOME, _0=10),
           "outcome-invalid", "outcomes", device="alice-phone"),
    damage("unknown reason", lambda rows: rows.edit("outcomes", SLOT.pack(PHONE, 2), OUTCOME, _1=1),
           "outcome-invalid", "outcomes", device="alice-phone"),
    damage("refused with a number", lambda rows: rows.edit("outcomes", SLOT.pack(BOBS, 0), OUTCOME, _2=1),
           "outcome-invalid", "outcomes", device="bob-phone"),
    damage("stored without a number", lambda rows: rows.edit("outcomes", SLOT.pack(PHONE, 2), OUTCOME, _2=0),
           "outcome-invalid", "outcomes", device="alice-phone"),
    damage("stored in the future", lambda rows: rows.edit("outcomes", SLOT.pack(PHONE, 2), OUTCOME, _4=1 << 50),
           "outcome-invalid", "outcomes", device="alice-phone"),
    damage("outcome of another entry", lambda rows: rows.edit("outcomes", SLOT.pack(PHONE, 2), OUTCOME, _2=12),
           "outcome-astray", "outcomes", user="alice", device="alice-phone", seq=12),
    damage("outcome of a received entry", lambda rows: rows.edit("outcomes", SLOT.pack(PHONE, 2), OUTCOME, _2=13),
           "outcome-astray", "outcomes", user="alice", device="alice-phone", seq=13),
    damage("outcome beyond the head", lambda rows: rows.edit("outcomes", SLOT.pack(PHONE, 2), OUTCOME, _2=17),
           "outcome-astray", "outcomes", user="alice", device="alice-phone", seq=17),
    damage("outcome of another message", lambda rows: rows.edit("outcomes", SLOT.pack(PHONE, 2), OUTCOME, _3=1 << 60),
           "outcome-invalid", "outcomes", device="alice-phone"),
    damage("short outcome", lambda rows: rows.put("outcomes", SLOT.pack(PHONE, 2), b"odd"), "unreadable", "outcomes",
           device="alice-phone"),
    damage("odd outcome", lambda rows: rows.put("outcomes", b"odd"), "odd-key", "outcomes"),
    # --- inboxes ---
    damage("a hole", hole, "hole", "inbox", user="bob", user_number=BOB, seq=9),
    damage("a message short of an entry", hole, "references-wrong", "inbox"),
    damage("the end cut off", cut_off, "outcome-astray", "outcomes", user="carol", seq=6),
    damage("inbox of nobody", another_inbox, "inbox-astray", "users", user_number=NOBODY, user=None),
    damage("no floor", lambda rows: rows.delete("floors", NUMBERED(BOB)), "hole", "inbox", user="bob", seq=1),
    damage("bit of an entry", lambda rows: rows.flip("inbox", PAIR.pack(BOB, 9), 77), "checksum", "inbox", user="bob",
           seq=9),
    damage("bit of a message", lambda rows: rows.flip("messages", rows.message_key(BOB, 9), 77), "checksum",
           "messages"),
    damage("bit of a message of his", lambda rows: rows.flip("messages", rows.message_key(BOB, 9), 77),
           "message-damaged", "inbox", user="bob", seq=9),
    damage("bit of her side of it", lambda rows: rows.flip("messages", rows.message_key(BOB, 9), 77),
           "message-damaged", "inbox", user="alice"),
    damage("bit of a seal", lambda rows: rows.flip("inbox", PAIR.pack(BOB, 9), 8 * 37), "checksum", "inbox", seq=9),
    damage("bit of a user", lambda rows: rows.flip("users", NUMBERED(BOB), 20), "checksum", "users", user_number=BOB),
    damage("bit of a device", lambda rows: rows.flip("devices", NUMBERED(BOBS), 20), "checksum", "devices",
           device_number=BOBS),
    damage("bit of an outcome", lambda rows: rows.flip("outcomes", SLOT.pack(PHONE, 2), 3), "checksum", "outcomes",
           device_number=PHONE),
    damage("bit of the counters", lambda rows: rows.flip("meta", b"last", 3), "checksum", "meta"),
    damage("bit of a record", lambda rows: rows.flip("journal", rows.keys("journal")[0], 9), "checksum", "journal"),
    damage("floor too high", lambda rows: rows.edit("floors", NUMBERED(BOB), FLOOR, _0=9), "below-floor", "inbox",
           user="bob", seq=7),
    damage("floor too low", lambda rows: rows.edit("floors", NUMBERED(BOB), FLOOR, _0=6), "hole", "inbox", user="bob",
           seq=6),
    damage("no such rule", lambda rows: rows.edit("floors", NUMBERED(BOB), FLOOR, _2=3), "floor-invalid", "floors",
           user="bob"),
    damage("floor 0", lambda rows: rows.edit("floors", NUMBERED(BOB), FLOOR, _0=0), "floor-invalid", "floors",
           user="bob"),
    damage("short floor", lambda rows: rows.put("floors", NUMBERED(BOB), b"odd"), "floor-invalid", "floors",
           user="bob"),
    damage("floor of nobody", lambda rows: rows.put("floors", NUMBERED(NOBODY), FLOOR.pack(1, 0, 0)), "inbox-astray",
           "users", user_number=NOBODY),
    damage("floor with wrong bytes", lambda rows: rows.edit("floors", NUMBERED(BOB), FLOOR, _1=1), "bytes-wrong",
           "inbox", user="bob", seq=7),
    damage("odd floor", lambda rows: rows.put("floors", b"odd"), "odd-key", "floors"),
    damage("entries before the floor", below_floor, "below-floor", "inbox", user="bob", seq=3),
    damage("bytes wrong", lambda rows: rows.edit_entry(BOB, 9, _6=811), "bytes-wrong", "inbox", user="bob", seq=9),
    damage("ids that fall", lambda rows: rows.edit_entry(BOB, 9, _0=5), "ids-fall", "inbox", user="bob", seq=9),
    damage("an id far ahead", lambda rows: rows.edit_entry(BOB, 9, _0=(1 << 63)), "ids-fall", "inbox", user="bob",
           seq=10),
    damage("a message that never was", lambda rows: rows.edit_entry(BOB, 12, _0=(1 << 63)), "counter", "meta"),
    damage("unknown kind", lambda rows: rows.edit_entry(BOB, 9, _1=9), "entry-invalid", "inbox", user="bob", seq=9),
    damage("short entry", lambda rows: rows.put("inbox", PAIR.pack(BOB, 9), b"odd"), "entry-invalid", "inbox",
           user="bob", seq=9),
    damage("unknown conversation", lambda rows: rows.edit_entry(BOB, 9, _2=5), "entry-invalid", "inbox", user="bob",
           seq=9),
    damage("conversation with nobody", lambda rows: rows.edit_entry(BOB, 9, _3=0), "entry-invalid", "inbox",
           user="bob", seq=9),
    damage("too many inboxes", lambda rows: rows.edit_entry(BOB, 9, _5=3), "entry-invalid", "inbox", user="bob", seq=9),
    damage("own of another device", lambda rows: rows.edit_entry(ALICE, 16, _7=BOBS), "own-astray", "inbox",
           user="alice", device="bob-phone", seq=16),
    damage("own not settled", lambda rows: rows.edit_entry(ALICE, 16, _8=7), "own-astray", "inbox", user="alice",
           device="alice-phone", seq=16),
    damage("odd entry", lambda rows: rows.put("inbox", NUMBERED(BOB) + b"odd", b""), "odd-key", "inbox"),
    damage("odd entry of nobody", lambda rows: rows.put("inbox", b"o", b""), "odd-key", "inbox"),
    # --- the scroll index ---
    damage("not in the index", lambda rows: rows.delete("scroll", SCROLL.pack(BOB, WITH_USER, ALICE, 9)), "scroll-lost",
           "scroll", user="bob", seq=9),
    damage("too much in the index", lambda rows: rows.put("scroll", SCROLL.pack(BOB, WITH_GROUP, TEAM, 9)),
           "scroll-astray", "scroll", user="bob", group="team", seq=9),
    damage("index of nobody", lambda rows: rows.put("scroll", SCROLL.pack(NOBODY, WITH_USER, ALICE, 1)),
           "scroll-astray", "scroll", user_number=NOBODY, seq=1),
    damage("odd index", lambda rows: rows.put("scroll", b"odd" * 6), "odd-key", "scroll"),
    damage("no index", lambda rows: rows.clear("scroll"), "scroll-lost", "scroll", user="dave", seq=1),
    # --- messages ---
    damage("no message", lambda rows: rows.delete("messages", rows.message_key(BOB, 9)), "message-lost", "messages",
           user="bob", seq=9),
    damage("no message, the other side", lambda rows: rows.delete("messages", rows.message_key(BOB, 9)), "message-lost",
           "messages", user="alice", seq=12),
    damage("message unreadable", lambda rows: rows.put("messages", rows.message_key(BOB, 9), b"?" * 88),
           "message-invalid", "messages"),
    damage("message too short", lambda rows: rows.edit_message(BOB, 9, text="to bob"), "size-wrong", "messages",
           user="bob", seq=9),
    damage("another id", lambda rows: rows.edit_message(BOB, 9, id="0" * 16), "message-invalid", "messages"),
    damage("another time", lambda rows: rows.edit_message(BOB, 9, time=1 << 50), "message-invalid", "messages"),
    damage("no address", lambda rows: rows.edit_message(BOB, 9, to="nowhere!"), "message-invalid", "messages"),
    damage("another sender", other_sender, "sides-wrong", "inbox", user="bob", seq=9),
    damage("another sender, his side", other_sender, "sides-wrong", "inbox", user="alice", seq=12),
    damage("another recipient", lambda rows: rows.edit_message(BOB, 9, to="user/eve"), "sides-wrong", "inbox",
           user="bob", seq=9),
    damage("another group", lambda rows: rows.edit_message(BOB, 11, to="group/pair"), "sides-wrong", "inbox",
           user="carol", seq=5),
    damage("another conversation", lambda rows: rows.edit_entry(BOB, 9, _3=CAROL), "sides-wrong", "inbox", user="bob",
           seq=9),
    damage("inboxes differ", lambda rows: rows.edit_entry(CAROL, 5, _5=4), "inboxes-differ", "inbox"),
    damage("once too often", twice, "references-wrong", "inbox"),
    damage("no side of the sender", another_side, "side-missing", "inbox"),
    damage("nobody's message", lambda rows: rows.put("messages", NUMBERED(1 << 60), rows.get(
               "messages", rows.message_key(BOB, 9))), "orphan", "messages", message=f"{1 << 60:016x}"),
    damage("no own entry", lambda rows: (rows.edit_entry(CAROL, 6, _1=0)), "entry-invalid", "inbox", user="carol",
           seq=6),
    damage("odd message", lambda rows: rows.put("messages", b"odd"), "odd-key", "messages"),
    damage("odd message at the end", lambda rows: rows.put("messages", b"\xff" * 20), "odd-key", "messages"),
    # --- released ---
    damage("released lost", lambda rows: rows.delete("released", rows.message_key(ALICE, 2)), "references-wrong",
           "inbox"),
    damage("released too often", lambda rows: rows.put("released", rows.message_key(ALICE, 2), RELEASED_COUNT.pack(2)),
           "released-invalid", "released"),
    damage("released by nobody", lambda rows: rows.put("released", rows.message_key(ALICE, 2), RELEASED_COUNT.pack(0)),
           "released-invalid", "released"),
    damage("released without message", lambda rows: rows.put("released", NUMBERED(1 << 62), RELEASED_COUNT.pack(1)),
           "released-left", "released", message=f"{1 << 62:016x}"),
    damage("odd released", lambda rows: rows.put("released", b"odd", RELEASED_COUNT.pack(1)), "odd-key", "released"),
    damage("released of another size", lambda rows: rows.put("released", rows.message_key(ALICE, 2),
               RELEASED.pack(1, 2, 9)), "size-wrong", "released"),
    damage("released of more inboxes", lambda rows: rows.put("released", rows.message_key(ALICE, 2),
               RELEASED.pack(1, 3, 0)), "inboxes-differ", "inbox"),
    # --- those who are awaited ---
    damage("awaited with a number that is taken", lambda rows: rows.put("awaited", b"\0zoe", NUMBERED(DAVE)),
           "awaited-astray", "awaited"),
    damage("awaited, but there", lambda rows: rows.put("awaited", b"\0dave", NUMBERED(NOBODY)), "awaited-astray",
           "awaited"),
    damage("back, but there", lambda rows: rows.put("awaited", b"\2" + b"0" * 16 + b"dave", NUMBERED(DAVE)),
           "awaited-astray", "awaited"),
    damage("odd one awaited", lambda rows: rows.put("awaited", b"odd", b"x"), "awaited-astray", "awaited"),
    # --- removals ---
    damage("removal lost", lambda rows: rows.edit_record("users", NUMBERED(DAVE), user_record, removed=True),
           "removal-lost", "removals", user="dave"),
    damage("removal of somebody who is there", lambda rows: rows.put("removals", NUMBERED(DAVE), pack_record(
               RemovalRecord("dave", 1, 0, 1, erasing=False))), "removal-astray", "removals", user="dave"),
    damage("removal unreadable", lambda rows: rows.put("removals", NUMBERED(DAVE), b"nonsense"), "unreadable",
           "removals"),
    damage("odd removal", lambda rows: rows.put("removals", b"odd", b"x"), "odd-key", "removals"),
    # --- the journal, admins ---
    damage("record unreadable", lambda rows: rows.put("journal", rows.keys("journal")[3], b"nonsense"), "unreadable",
           "journal"),
    damage("record that nobody finds", lambda rows: rows.delete("journal_subjects", rows.keys("journal_subjects")[3]),
           "record-lost", "journal_subjects"),
    damage("record that is not there", lambda rows: rows.delete("journal", rows.keys("journal")[3]), "record-astray",
           "journal_subjects"),
    damage("record of somebody else", lambda rows: rows.put("journal_subjects", SUBJECT.pack(*user_subject(NOBODY))
           + rows.keys("journal")[3]), "record-astray", "journal_subjects"),
    damage("odd record", lambda rows: rows.put("journal", b"odd", b"x"), "odd-key", "journal"),
    damage("odd subject", lambda rows: rows.put("journal_subjects", b"odd"), "odd-key", "journal_subjects"),
    damage("admin unreadable", lambda rows: rows.put("admins", b"zoe", b"nonsense"), "unreadable", "admins"),
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with nothing wrong."""
    path = tmp_path_factory.mktemp("whole") / "store"
    make_store(path)
    return path


def findings(path: Path) -> list[Finding]:
    found: list[Finding] = []
    verdict = check_folder(path, pages=False, found=found.append)
    assert verdict.damages == sum(finding.severity == "damage" for finding in found)
    assert verdict.warnings == sum(finding.severity == "warning" for finding in found)
    assert verdict.complete
    return found


def test_a_whole_store_is_clean(whole: Path) -> None:
    assert findings(whole) == []
    verdict = check_folder(whole)
    assert verdict.clean
    assert (verdict.users, verdict.devices, verdict.groups, verdict.messages, verdict.entries) == (4, 4, 2, 16, 29)


@pytest.mark.parametrize("damage", DAMAGES, ids=[damage.name for damage in DAMAGES])
def test_damage_is_found(damage: Damage, whole: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(whole, damaged)
    with damaging(damaged) as rows:
        damage.harm(rows)
    found = findings(damaged)
    problem = PROBLEMS[damage.code]
    told = [
        finding
        for finding in found
        if (finding.code, finding.table) == (damage.code, damage.table)
        and all(getattr(finding, name) == value for name, value in damage.where.items())
    ]
    assert told, found
    assert (told[0].severity, told[0].advice) == (problem.severity, problem.advice)
    assert told[0].found != told[0].expected
    assert len(found) < 60, "one damage is not told of a hundred times"


PROBLEMS = {each.code: each for each in vars(fsck_problems).values() if isinstance(each, Problem)}


def test_every_kind_of_finding_is_shown_by_a_damage() -> None:
    shown = {damage.code for damage in DAMAGES}
    elsewhere = {"page", "table-missing"}  # see test_fsck_folder.py
    assert shown | elsewhere == PROBLEMS.keys()
    assert not shown & elsewhere


def test_every_advice_says_what_to_do() -> None:
    for problem in PROBLEMS.values():
        assert "look for the cause" in problem.advice
        assert ("restore a backup" in problem.advice) == (problem.severity == "damage")
