"""Records whose bits have changed: what is told to whoever asks for them, and that nothing else suffers from it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker.store.damaging import ALICE, BOB, BOBS, CAROL, CAROLS, PHONE, Rows, damaging, make_store
from broker.store.world import SMALL_LIMITS, World, seeded
from roost_broker.store import CommitRefused
from roost_broker.store.damages import REMEMBERED_MAX, Damages
from roost_broker.store.errors import RecordDamaged
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.lmdb_tables import NUMBER, PAIR, SCROLL, SLOT, WITH_USER
from roost_broker.store.operations import MoveCursors, Published, Retention, SetRelation, Trim, Trimmed
from roost_protocol.limits import MIB
from roost_protocol.reasons import Reason

NUMBERED = NUMBER.pack
DAYS_LATER_MS = 90 * 86_400_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    make_store(tmp_path / "store")
    return tmp_path / "store"


@contextmanager
def opened(path: Path) -> Iterator[LmdbStore]:
    store = LmdbStore(path, limits=SMALL_LIMITS, random=seeded(), sync=False)
    try:
        yield store
    finally:
        store.close()


def world_on(store: LmdbStore) -> World:
    """Its accounts, as `make_store` has made them, a day later."""
    world = World(store)
    world.numbers = {"alice": 1, "bob": 2, "carol": 3, "dave": 4}
    world.now_ms += 86_400_000
    return world


def kinds(store: LmdbStore, user: int) -> dict[int, str]:
    """What a device is told that has nothing yet."""
    return {entry.seq: entry.kind for entry in store.read_inbox(user, 0, 100, MIB).entries}


# --- entries and messages -----------------------------------------------------------------------------------------


def swap_messages(rows: Rows) -> None:
    """Two messages have each other's places, with seals and all."""
    first, second = rows.message_key(BOB, 9), rows.message_key(BOB, 10)
    stored = [rows._txn.get(key, db=rows._tables["messages"]) or b"" for key in (first, second)]
    for key, value in zip((first, second), reversed(stored), strict=True):
        rows._txn.put(key, value, db=rows._tables["messages"])


def test_an_entry_is_told_as_damaged_and_its_neighbours_as_they_are(path: Path) -> None:
    with opened(path) as store:
        before = store.read_inbox(BOB, 0, 100, MIB).entries
    with damaging(path) as rows:
        rows.flip("inbox", PAIR.pack(BOB, 9), 3)
        rows.flip("messages", rows.message_key(BOB, 11), 400)
        rows.delete("messages", rows.message_key(BOB, 8))
    with opened(path) as store:
        after = store.read_inbox(BOB, 0, 100, MIB).entries
        assert [entry.seq for entry in after] == [entry.seq for entry in before]
        assert [entry.seq for entry in after if entry.kind == "damaged"] == [8, 9, 11]
        assert all(entry.encoded is None for entry in after if entry.kind == "damaged")
        assert [new for new in after if new.kind != "damaged"] == [
            old for old, new in zip(before, after, strict=True) if new.kind != "damaged"
        ]
        assert store.statistics().damaged == 3


def test_a_message_in_the_place_of_another_is_not_given_out(path: Path) -> None:
    with damaging(path) as rows:
        swap_messages(rows)
    with opened(path) as store:
        assert [seq for seq, kind in kinds(store, BOB).items() if kind == "damaged"] == [9, 10]


def test_it_is_logged_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with damaging(path) as rows:
        rows.flip("messages", rows.message_key(BOB, 11), 1)
    with opened(path) as store:
        for _ in range(3):
            kinds(store, BOB)
            kinds(store, ALICE)
    said = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(said) == 1
    assert "roost fsck" in said[0].getMessage()


def test_scrolling_back_tells_it_too(path: Path) -> None:
    with damaging(path) as rows:
        rows.flip("messages", rows.message_key(BOB, 9), 1)
    with opened(path) as store:
        page = store.read_conversation(BOB, "user/alice", after=0, limit=10, bytes_max=MIB)
        assert [entry.kind for entry in page.entries if entry.seq == 9] == ["damaged"]


def test_an_index_that_leads_to_another_conversation_is_not_followed(path: Path) -> None:
    with damaging(path) as rows:
        rows.put("scroll", SCROLL.pack(BOB, WITH_USER, ALICE, 11))
    with opened(path) as store, pytest.raises(RecordDamaged, match="another conversation"):
        store.read_conversation(BOB, "user/alice", after=0, limit=10, bytes_max=MIB)


def test_an_erasure_passes_over_what_it_cannot_read(path: Path) -> None:
    from roost_broker.store.account_operations import EraseMessages, MessagesErased, RemoveUser

    with damaging(path) as rows:
        rows.flip("messages", rows.message_key(ALICE, 12), 100)
    with opened(path) as store:
        world = world_on(store)
        world.do(RemoveUser(user=ALICE, erase=True))
        erased = world.one(EraseMessages(user=ALICE, looked_at_max=100, erased_max=100))
        assert isinstance(erased, MessagesErased)
        assert erased.messages > 3
        assert set(kinds(store, BOB).values()) == {"erased", "damaged", "message", "own"}


# --- the end of an inbox ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damaged", [1, 2, 3])
def test_an_inbox_goes_on_after_damaged_entries_at_its_end(path: Path, damaged: int) -> None:
    with opened(path) as store:
        head = store.inbox_size(BOB).head
    with damaging(path) as rows:
        for seq in range(head - damaged + 1, head + 1):
            rows.flip("inbox", PAIR.pack(BOB, seq), 30)
    with opened(path) as store:
        assert store.inbox_size(BOB).head == head
        world = world_on(store)
        published = world.publish(world.login("alice"), "user/bob")
        assert (BOB, head + 1) in published.entries


def lose_number(rows: Rows, user: int, seq: int) -> None:
    """The key of an entry has changed in a bit, and so its number is another."""
    value = rows.get("inbox", PAIR.pack(user, seq))
    rows.delete("inbox", PAIR.pack(user, seq))
    rows._txn.put(PAIR.pack(user, seq ^ 1 << 20), value, db=rows._tables["inbox"])


def test_an_inbox_whose_end_is_not_known_takes_nothing_and_the_others_do(path: Path) -> None:
    """To go on from the entry before would give a number a second time."""
    with opened(path) as store:
        head = store.inbox_size(BOB).head
    with damaging(path) as rows:
        lose_number(rows, BOB, head)
    with opened(path) as store:
        world = world_on(store)
        alice, carol = world.login("alice"), world.login("carol")
        with pytest.raises(RecordDamaged, match="the end of the inbox is unknown"):
            store.read_inbox(BOB, 0, 100, MIB)
        said = world.do(
            world.message(carol, "user/alice", "one"),
            world.message(alice, "user/bob", "two"),
            world.message(alice, "user/carol", "three"),
        )
        assert [each.reason for each in said if isinstance(each, Published)] == [
            Reason.SUCCESS, Reason.UNSPECIFIED_ERROR, Reason.SUCCESS,
        ]  # fmt: skip
        refused = said[1]
        assert isinstance(refused, Published)
        assert (refused.settled, refused.entries) == (False, ())
        assert isinstance(world.one(world.login_operation("bob", "bob-phone")), CommitRefused)


# --- other records ------------------------------------------------------------------------------------------------


def test_one_operation_that_needs_a_damaged_record_does_not_hold_up_the_others(path: Path) -> None:
    with damaging(path) as rows:
        rows.flip("users", NUMBERED(BOB), 10)
    with opened(path) as store:
        world = world_on(store)
        operations = [
            SetRelation(user=ALICE, kind="contact", other="carol", present=True),
            world.login_operation("bob", "bob-phone"),
            SetRelation(user=ALICE, kind="contact", other="dave", present=True),
            world.login_operation("carol", "carol-phone"),
        ]
        results = world.do(*operations)
        assert [isinstance(result, CommitRefused) for result in results] == [False, True, False, False]
        assert store.relations(CAROL, "contact") == ()
        with pytest.raises(RecordDamaged):
            store.account("bob")
        assert store.account("carol") is not None


def test_a_name_that_leads_to_another_user_leads_nowhere(path: Path) -> None:
    with damaging(path) as rows:
        rows.put("names", b"bob", NUMBERED(CAROL))
    with opened(path) as store:
        world = world_on(store)
        with pytest.raises(RecordDamaged):
            store.account("bob")
        published = world.one(world.message(world.login("alice"), "user/bob"))
        assert isinstance(published, Published)
        assert (published.reason, published.entries) == (Reason.UNSPECIFIED_ERROR, ())


def test_a_token_that_leads_to_another_device_lets_nobody_in(path: Path) -> None:
    with damaging(path) as rows:
        rows.put("tokens", b"token of a phone", NUMBERED(BOBS))
    with opened(path) as store, pytest.raises(RecordDamaged):
        store.token_owner(b"token of a phone")


def test_a_damaged_outcome_is_not_taken_for_none(path: Path) -> None:
    """Or the message would be stored a second time."""
    with damaging(path) as rows:
        rows.flip("outcomes", SLOT.pack(PHONE, 2), 7)
    with opened(path) as store:
        world = world_on(store)
        alice = world.login("alice")
        head = world.head("bob")
        again = world.publish(alice, "user/bob", n=6)
        assert (again.reason, world.head("bob")) == (Reason.UNSPECIFIED_ERROR, head)


def test_a_damaged_cursor_does_not_keep_others_from_theirs(path: Path) -> None:
    with damaging(path) as rows:
        rows.flip("cursors", NUMBERED(BOBS), 7)
    with opened(path) as store:
        world_on(store).do(MoveCursors(cursors=((BOBS, 8), (CAROLS, 5))))
        assert {device.device: device.cursor for device in store.devices(CAROL)} == {CAROLS: 5}
        assert store.statistics().damaged == 1


# --- retention ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seqs", [(7,), (8, 9), (7, 8, 9, 10, 11)], ids=str)
def test_retention_gets_past_damaged_entries(path: Path, seqs: tuple[int, ...]) -> None:
    with damaging(path) as rows:
        for seq in seqs:
            rows.flip("inbox", PAIR.pack(BOB, seq), 30)
    with opened(path) as store:
        world = world_on(store)
        alice = world.login("alice")
        world.now_ms += DAYS_LATER_MS
        new = dict(world.publish(alice, "user/bob").entries)[BOB]
        rule = Retention(age_ms=DAYS_LATER_MS // 2)
        would = store.would_trim(BOB, rule, world.now_ms)
        assert would is not None
        trimmed = world.one(Trim(retention=rule, after=ALICE, users_max=1, entries_max=100))
        assert isinstance(trimmed, Trimmed)
        assert (trimmed.floors[0].floor, would.floor) == (new, new)
        assert kinds(store, BOB) == {new: "message"}


def test_a_young_entry_is_not_trimmed_for_being_damaged(path: Path) -> None:
    with damaging(path) as rows:
        rows.flip("inbox", PAIR.pack(BOB, 7), 30)
    with opened(path) as store:
        trimmed = world_on(store).one(
            Trim(retention=Retention(age_ms=DAYS_LATER_MS), after=ALICE, users_max=1, entries_max=100)
        )
        assert isinstance(trimmed, Trimmed)
        assert trimmed.entries == 0
        assert kinds(store, BOB)[7] == "damaged"


# --- what is known of it ------------------------------------------------------------------------------------------


def test_what_is_remembered_of_damages_is_bounded() -> None:
    damages = Damages(Path("store"))
    for number in range(REMEMBERED_MAX + 10):
        damages.note(RecordDamaged("messages", NUMBERED(number)))
    assert damages.count == REMEMBERED_MAX
