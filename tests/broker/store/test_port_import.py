"""Importing a user: the account, its entries in slices, messages that are shared, those who are not here, the end."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from broker.store.tables import check_tables
from broker.store.world import SMALL_LIMITS, START_MS, World, make_store, reason_of, seeded
from roost_broker.store.account_operations import (
    Cleared,
    ClearRemoved,
    EraseMessages,
    RemoveUser,
    SetDisabled,
    TellErased,
)
from roost_broker.store.import_operations import (
    AHEAD_MS,
    BeginImport,
    EndImport,
    EntriesImported,
    EntryOrigin,
    ImportBegun,
    ImportedEntry,
    ImportEntries,
    ImportSource,
    OpenImport,
)
from roost_broker.store.journal import UserChanged, user_subject
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.operations import (
    ChangeMembers,
    CreateGroup,
    CreateUser,
    Done,
    Refused,
    Retention,
    SendMessage,
    SetRelation,
    Trim,
)
from roost_broker.store.readings import StoredEntry
from roost_protocol.admin.fsck import Finding
from roost_protocol.codec import encode_entry
from roost_protocol.frames import Entry
from roost_protocol.reasons import Reason

SOURCE = ImportSource(created=START_MS - 9_000, incarnation="0" * 15 + "1", floor=1, head=3)
FIRST_ID = (START_MS - 5_000) << 20


def own(seq: int, to: str = "user/bob", text: str = "from alice", **more: Any) -> ImportedEntry:
    """An entry that alice wrote."""
    return entry(seq, "alice", to, text, kind="own", **{"name": to.partition("/")[2], **more})


def entry(seq: int, sender: str = "bob", to: str = "user/alice", text: str = "to alice", **more: Any) -> ImportedEntry:
    """An entry of alice's, as an export has it; its message id rises with its number."""
    message_id = more.get("message_id", FIRST_ID + seq * 10)
    encoded = encode_entry(Entry(id=f"{message_id:016x}", sender=sender, to=to, time=START_MS - 5_000, text=text))
    kind, _, name = to.partition("/")
    fields: dict[str, Any] = {
        "seq": seq,
        "message_id": message_id,
        "kind": "message",
        "conversation": kind,
        "name": sender if kind == "user" else name,
        "encoded": encoded,
        "size": len(encoded),
        "inboxes": 2,
    }
    return ImportedEntry(**{**fields, **more})


def erased(of: ImportedEntry) -> ImportedEntry:
    """The same entry, if its message was erased."""
    return replace(of, encoded=None)


ENTRIES = (own(1), entry(2), own(3, "group/team", inboxes=3))


def begin(world: World, name: str = "alice", source: ImportSource = SOURCE) -> ImportBegun:
    """Begin an import, or go on with it."""
    begun = world.one(BeginImport(name=name, password_hash="secret", source=source, by="root"))
    assert isinstance(begun, ImportBegun), begun
    world.numbers[name] = begun.user
    return begun


def give(world: World, *entries: ImportedEntry, name: str = "alice") -> EntriesImported | Refused:
    """Give entries."""
    result = world.one(ImportEntries(user=world.numbers[name], entries=entries))
    assert isinstance(result, EntriesImported | Refused)
    return result


def finish(world: World, name: str = "alice") -> None:
    """Open, and end."""
    assert world.one(OpenImport(user=world.numbers[name])) == Done()
    assert world.one(EndImport(user=world.numbers[name], by="root")) == Done()


def bring(world: World, *entries: ImportedEntry, name: str = "alice", **source: Any) -> None:
    """A whole import."""
    begin(world, name, replace(SOURCE, head=entries[-1].seq, **source))
    assert isinstance(result := give(world, *entries, name=name), EntriesImported), result
    finish(world, name)


def findings(world: World) -> list[Finding]:
    """What a check of the store finds."""
    return [each for each in world.store.check() if isinstance(each, Finding)]


def inbox(world: World, name: str = "alice") -> tuple[StoredEntry, ...]:
    """Everything that an inbox holds."""
    return world.store.read_inbox(world.numbers[name], 0, 100, 1_000_000).entries


def as_bob_has_it(of: ImportedEntry, seq: int) -> ImportedEntry:
    """The other side of an entry of alice's: what an export of bob has of it."""
    name = of.name if of.conversation == "group" else "alice"
    return replace(of, seq=seq, kind="own" if of.kind == "message" else "message", name=name)


# --- the account --------------------------------------------------------------------------------------------------


def test_an_import_begins_with_a_disabled_account(world: World) -> None:
    (bob,) = world.users("bob")
    begun = begin(world)
    assert begun == ImportBegun(user=bob + 1, next_seq=1, last_id=0, opened=False, fresh=True)
    account = world.store.account("alice")
    assert account is not None
    assert (account.disabled, account.importing, account.created) == (True, True, SOURCE.created)
    assert account.incarnation != SOURCE.incarnation, "devices that knew the old inbox start over"
    assert [(row.name, row.importing) for row in world.store.list_users("", 9)] == [("alice", True), ("bob", False)]
    give(world, *ENTRIES)
    finish(world)
    account = world.store.account("alice")
    assert account is not None
    assert (account.disabled, account.importing) == (True, False)
    assert findings(world) == []


def test_the_journal_says_by_whom(world: World) -> None:
    bring(world, own(1))
    rows = world.store.read_journal(user_subject(1), limit=9).rows
    assert [row.event for row in rows] == [
        UserChanged(at=START_MS + 1, user=1, name="alice", what="being imported", by="root"),
        UserChanged(at=START_MS + 4, user=1, name="alice", what="imported", by="root"),
    ]


def test_a_name_has_to_be_free(world: World) -> None:
    world.users("alice")
    operation = BeginImport(name="alice", password_hash="secret", source=SOURCE)
    assert reason_of(world.one(operation)) is Reason.ALREADY_EXISTS
    world.one(RemoveUser(user=1))
    assert reason_of(world.one(operation)) is Reason.SERVER_BUSY, "his entries still count"
    assert world.one(ClearRemoved(user=1, rows_max=10)) == Cleared(done=True)
    assert isinstance(world.one(operation), ImportBegun)
    assert reason_of(world.one(CreateUser(name="alice", password_hash="x"))) is Reason.ALREADY_EXISTS


def test_a_cut_import_goes_on_with_the_same_export_alone(world: World) -> None:
    world.users("bob")
    begin(world)
    give(world, *ENTRIES[:2])
    begun = begin(world)
    assert begun == ImportBegun(user=2, next_seq=3, last_id=ENTRIES[1].message_id, opened=False, fresh=False)
    for other in ({"head": 4}, {"incarnation": "f" * 16}, {"created": 7}, {"floor": 2}, {"floor_reason": "count"}):
        refused = world.one(BeginImport(name="alice", password_hash="", source=replace(SOURCE, **other)))
        assert reason_of(refused) is Reason.ALREADY_EXISTS
    assert give(world, ENTRIES[2]) == EntriesImported(stored=1)
    world.one(OpenImport(user=2))
    assert begin(world) == ImportBegun(user=2, next_seq=4, last_id=ENTRIES[2].message_id, opened=True, fresh=False)
    assert world.one(OpenImport(user=2)) == Done(), "again is no error"
    assert world.one(EndImport(user=2)) == Done()
    assert reason_of(world.one(EndImport(user=2))) is Reason.NOT_FOUND
    assert reason_of(world.one(OpenImport(user=2))) is Reason.NOT_FOUND


def test_an_import_is_opened_when_every_entry_is_there(world: World) -> None:
    begin(world)
    give(world, *ENTRIES[:2])
    refused = world.one(OpenImport(user=1))
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.text) == (Reason.MALFORMED_PACKET, "entries 3 to 3 of the export are missing")
    assert reason_of(world.one(EndImport(user=1))) is Reason.NOT_FOUND
    give(world, ENTRIES[2])
    world.one(OpenImport(user=1))
    assert reason_of(world.one(ImportEntries(user=1, entries=(own(4),)))) is Reason.NOT_FOUND, "it is open"


def test_nothing_comes_for_a_user_until_all_entries_are_there(world: World) -> None:
    bob, _ = world.users("bob", "carol")
    phone = world.login("bob")
    world.one(CreateGroup(name="team", owner=bob, members=("carol",)))
    assert world.publish(phone, "user/alice").reason is Reason.UNKNOWN_RECIPIENT
    alice = begin(world).user
    assert world.publish(phone, "user/alice").reason is Reason.UNKNOWN_RECIPIENT
    closed = (
        SetDisabled(user=alice, disabled=False),
        ChangeMembers(group="team", by=None, add=("alice",)),
        CreateGroup(name="hers", owner=alice),
        CreateGroup(name="his", owner=bob, members=("alice",)),
        SendMessage(sender=alice, sender_name="alice", to="user/bob", content_type="text/plain", text="x"),
    )
    for operation in closed:
        refused = world.one(operation)
        assert isinstance(refused, Refused), operation
        assert refused.reason is Reason.SERVER_BUSY
        assert "'alice' is being imported" in refused.text
    assert world.one(SetRelation(user=alice, kind="contact", other="bob", present=True)) == Done()
    give(world, *ENTRIES)
    assert world.publish(phone, "user/alice").reason is Reason.UNKNOWN_RECIPIENT
    world.one(OpenImport(user=alice))
    assert world.one(closed[1]) == Done()
    assert world.publish(phone, "user/alice").entries == ((bob, 1), (alice, 4))
    assert world.publish(phone, "group/team").reason is Reason.SUCCESS
    assert world.head("alice") == 5
    world.one(EndImport(user=alice))
    assert findings(world) == []


# --- entries ------------------------------------------------------------------------------------------------------


def test_entries_keep_their_numbers_ids_and_bytes(world: World) -> None:
    world.users("bob")
    begin(world, source=replace(SOURCE, floor=7, floor_reason="count", head=9))
    entries = (own(7), entry(8), own(9, "user/bob", "again", n=5))
    assert give(world, *entries) == EntriesImported(stored=3)
    finish(world)
    page = world.store.read_inbox(world.numbers["alice"], 0, 9, 9_999)
    assert (page.floor, page.floor_reason, page.head) == (7, "count", 9)
    assert page.entries == (
        StoredEntry(seq=7, kind="own", encoded=entries[0].encoded),
        StoredEntry(seq=8, kind="message", encoded=entries[1].encoded),
        StoredEntry(seq=9, kind="own", encoded=entries[2].encoded),
    )
    found = world.store.find_entry(world.numbers["alice"], entries[2].message_id)
    assert found is not None
    assert (found.seq, found.inboxes, found.by_admin, found.n) == (9, 2, False, None), "no device, and no admin"
    scrolled = world.store.read_conversation(world.numbers["alice"], "user/bob", limit=9, bytes_max=9_999)
    assert [each.seq for each in scrolled.entries] == [7, 8, 9]
    assert findings(world) == []


def test_an_empty_inbox_keeps_its_head(world: World) -> None:
    begin(world, source=replace(SOURCE, floor=41, head=40))
    finish(world)
    page = world.store.read_inbox(1, 0, 9, 9_999)
    assert (page.floor, page.head, page.floor_reason) == (41, 40, "age")
    world.one(SetDisabled(user=1, disabled=False))
    assert world.publish(world.login("alice"), "user/alice").seq == 41


def test_old_devices_start_over(world: World) -> None:
    bring(world, *ENTRIES)
    world.one(SetDisabled(user=1, disabled=False))
    session = world.login("alice", "phone-of-before", last_seq=2, incarnation=SOURCE.incarnation)
    assert session.logged_in.start_over
    assert session.logged_in.position == 0


def test_ids_rise_after_those_that_came(world: World) -> None:
    """The clock of the other store was ahead, by a little."""
    world.users("bob")
    ahead = (START_MS + AHEAD_MS - 5) << 20
    bring(world, own(1), own(2, message_id=ahead))
    world.one(SetDisabled(user=2, disabled=False))
    published = world.publish(world.login("alice"), "user/bob")
    assert published.id is not None
    assert int(published.id, 16) > ahead + 1
    assert findings(world) == []


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ((own(2),), "entry 2: its number is not the next, which is 1"),
        ((own(1), own(3)), "entry 3: its number is not the next, which is 2"),
        ((own(1), own(2), own(3), own(4)), "entry 4: the export ends at 3"),
        ((own(1), own(2, message_id=FIRST_ID)), "does not come after"),
        ((own(1, message_id=(START_MS + AHEAD_MS + 60) << 20),), "more than 5 minutes ahead of the clock here"),
    ],
)
def test_entries_that_are_out_of_order(world: World, entries: tuple[ImportedEntry, ...], text: str) -> None:
    begin(world)
    refused = give(world, *entries)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.MALFORMED_PACKET
    assert text in refused.text
    assert world.head("alice") == 0, "none of them was added"
    assert findings(world) == []


def test_an_import_that_nobody_began(world: World) -> None:
    world.users("alice")
    assert reason_of(world.one(ImportEntries(user=1, entries=(own(1),)))) is Reason.NOT_FOUND
    assert reason_of(world.one(ImportEntries(user=7, entries=(own(1),)))) is Reason.NOT_FOUND
    assert reason_of(world.one(OpenImport(user=1))) is Reason.NOT_FOUND


# --- messages that others have ------------------------------------------------------------------------------------


def test_two_users_who_come_one_after_the_other_are_a_pair(world: World) -> None:
    """As they were, whoever is the first; and the body goes with the last of the two inboxes."""
    theirs = [own(1), entry(2), own(3)]
    bring(world, *theirs)
    assert world.store.statistics().messages == 3
    found = world.store.find_message(theirs[0].message_id)
    assert found is not None
    assert found.released == 1, "bob is not here"
    begin(world, "bob", replace(SOURCE, incarnation="b" * 16))
    assert give(world, *(as_bob_has_it(each, each.seq) for each in theirs), name="bob") == EntriesImported(shared=3)
    finish(world, "bob")
    found = world.store.find_message(theirs[0].message_id)
    assert found is not None
    assert found.released == 0
    assert findings(world) == []
    assert [each.kind for each in inbox(world)] == ["own", "message", "own"]
    assert [each.kind for each in inbox(world, "bob")] == ["message", "own", "message"]
    for one, other in (("alice", "bob"), ("bob", "alice")):
        page = world.store.read_conversation(world.numbers[one], f"user/{other}", limit=9, bytes_max=9_999)
        assert [each.seq for each in page.entries] == [1, 2, 3], "the conversation is with who came later, too"
    world.one(RemoveUser(user=world.numbers["alice"]))
    world.one(ClearRemoved(user=world.numbers["alice"], rows_max=99))
    assert world.store.statistics().messages == 3
    world.one(RemoveUser(user=world.numbers["bob"]))
    world.one(ClearRemoved(user=world.numbers["bob"], rows_max=99))
    assert world.store.statistics().messages == 0
    assert findings(world) == []


def test_the_last_inbox_takes_the_body_along(world: World) -> None:
    """A message whose other participants are not here counts as released by them."""
    bring(world, *ENTRIES)
    world.one(Trim(retention=Retention(count=1), users_max=9, entries_max=99))
    assert world.store.statistics().messages == 1
    assert world.store.find_message(ENTRIES[0].message_id) is None
    assert findings(world) == []


def test_back_after_a_removal(world: World) -> None:
    """What bob has is as it was, and alice has her side again."""
    world.users("alice", "bob")
    phone, pc = world.login("alice"), world.login("bob")
    world.publish(phone, "user/bob", "one")
    world.publish(pc, "user/alice", "two")
    world.publish(phone, "user/alice", "to myself")
    before, theirs = inbox(world), inbox(world, "bob")
    origins = world.store.entry_origins(1, 0, 9)
    account = world.store.account("alice")
    assert account is not None
    world.one(RemoveUser(user=1))
    world.one(ClearRemoved(user=1, rows_max=99))
    assert begin(world, source=replace(SOURCE, incarnation=account.incarnation)).user == 1
    assert give(world, *map(exported, before, origins)) == EntriesImported(stored=1, shared=2)
    finish(world)
    assert [each.encoded for each in inbox(world)] == [each.encoded for each in before]
    assert inbox(world, "bob") == theirs
    scrolled = world.store.read_conversation(2, "user/alice", limit=9, bytes_max=9_999)
    assert [each.seq for each in scrolled.entries] == [1, 2], "his conversation with her is with her again"
    assert findings(world) == []


def test_who_had_the_name_before_is_another(world: World) -> None:
    """Created anew, from another life of the inbox, or erased: no conversation of others becomes his."""
    world.users("alice")
    account = world.store.account("alice")
    assert account is not None
    world.one(RemoveUser(user=1))
    world.one(ClearRemoved(user=1, rows_max=99))
    assert begin(world).user == 2, "an export of another life"
    world.one(RemoveUser(user=2))
    world.one(ClearRemoved(user=2, rows_max=99))
    assert world.users("alice") == [3]
    third = world.store.account("alice")
    assert third is not None
    world.one(RemoveUser(user=3, erase=True))
    back = BeginImport(name="alice", password_hash="x", source=replace(SOURCE, incarnation=third.incarnation))
    assert reason_of(world.one(back)) is Reason.SERVER_BUSY
    world.one(EraseMessages(user=3, looked_at_max=9, erased_max=9))
    world.one(TellErased(user=3))
    world.one(ClearRemoved(user=3, rows_max=99))
    begun = world.one(back)
    assert isinstance(begun, ImportBegun)
    assert begun.user == 4, "he was erased"
    world.one(RemoveUser(user=4))
    world.one(ClearRemoved(user=4, rows_max=99))
    assert begin(world, source=replace(SOURCE, incarnation=account.incarnation)).user == 1, "an export of the first"
    assert findings(world) == []


def exported(stored: StoredEntry, origin: EntryOrigin) -> ImportedEntry:
    """What an import makes of an entry of an export."""
    return ImportedEntry(
        seq=stored.seq,
        message_id=origin.message_id,
        kind="own" if origin.own else "message",
        conversation=origin.conversation,
        name=origin.name,
        encoded=stored.encoded,
        size=origin.size,
        inboxes=origin.inboxes,
    )


def test_another_message_under_the_same_id_is_refused(world: World) -> None:
    bring(world, own(1, text="from alice"))
    begin(world, "bob", replace(SOURCE, head=1))
    refused = give(world, as_bob_has_it(own(1, text="forged"), 1), name="bob")
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.MALFORMED_PACKET
    assert f"entry 1: under the id {own(1).message_id:016x} there is another message here" in refused.text
    assert refused.text.count("one from 'alice' to 'user/bob'") == 2
    assert (
        f"with {own(1).size} bytes" in refused.text,
        f"with {own(1, text='forged').size} bytes" in refused.text,
    ) == (
        True,
        True,
    )
    assert world.head("bob") == 0


def test_a_message_that_nobody_else_can_have(world: World) -> None:
    bring(world, own(1, "group/team", inboxes=2))
    bring(world, as_bob_has_it(own(1, "group/team", inboxes=2), 1), name="bob")
    begin(world, "carol", replace(SOURCE, head=1))
    refused = give(world, as_bob_has_it(own(1, "group/team", inboxes=2), 1), name="carol")
    assert isinstance(refused, Refused)
    assert "every inbox that got its message" in refused.text
    assert findings(world) == []


def test_a_message_that_went_to_another_number_of_inboxes(world: World) -> None:
    bring(world, own(1, "group/team", inboxes=3))
    begin(world, "bob", replace(SOURCE, head=1))
    refused = give(world, as_bob_has_it(own(1, "group/team", inboxes=4), 1), name="bob")
    assert isinstance(refused, Refused)
    assert refused.text.endswith("went to 4 inboxes; by those here it went to 3")


# --- erased -------------------------------------------------------------------------------------------------------


def test_erased_entries_come_as_erased(world: World) -> None:
    gone = replace(erased(entry(2)), name=None)
    bring(world, own(1), gone, replace(erased(entry(3, to="group/team")), name=None), erased(own(4)))
    assert [each.kind for each in inbox(world)] == ["own", "erased", "erased", "erased"]
    assert world.store.entry_origins(1, 1, 2) == (
        EntryOrigin(
            seq=2, message_id=gone.message_id, own=False, conversation="user", name=None, size=gone.size, inboxes=2
        ),
        EntryOrigin(
            seq=3,
            message_id=gone.message_id + 10,
            own=False,
            conversation="group",
            name=None,
            size=entry(3, to="group/team").size,
            inboxes=2,
        ),
    )
    assert findings(world) == []


def test_what_is_erased_here_stays_so_and_what_is_not_stays_too(world: World) -> None:
    bring(world, erased(own(1)), own(2))
    begin(world, "bob", replace(SOURCE, head=2))
    shared = (as_bob_has_it(own(1), 1), as_bob_has_it(erased(own(2)), 2))
    assert give(world, *shared, name="bob") == EntriesImported(shared=2, erased=1, kept=1)
    finish(world, "bob")
    assert [each.kind for each in inbox(world, "bob")] == ["erased", "message"]
    assert [each.kind for each in inbox(world)] == ["erased", "own"]
    assert findings(world) == []


def test_an_erased_message_of_another_size_is_another(world: World) -> None:
    bring(world, erased(own(1)))
    begin(world, "bob", replace(SOURCE, head=1))
    refused = give(world, as_bob_has_it(own(1, text="longer than it was"), 1), name="bob")
    assert isinstance(refused, Refused)
    assert "an erased one of" in refused.text


def test_an_imported_user_is_erased_with_all_that_he_sent(world: World) -> None:
    """Before he was here, too; also where others have it who came from there."""
    bring(world, *ENTRIES)
    bring(world, as_bob_has_it(ENTRIES[0], 1), as_bob_has_it(ENTRIES[1], 2), name="bob")
    world.one(RemoveUser(user=world.numbers["alice"], erase=True))
    world.one(EraseMessages(user=world.numbers["alice"], looked_at_max=99, erased_max=99))
    assert [each.kind for each in inbox(world, "bob")] == ["erased", "own"]


# --- those who are not here ---------------------------------------------------------------------------------------


def test_a_conversation_waits_for_who_is_not_here(world: World) -> None:
    """Whether the other is created or imported, before or after."""
    world.users("zoe")
    bring(world, own(1, "user/bob"), own(2, "group/team", inboxes=3), own(3, "user/carol"))
    alice = world.numbers["alice"]
    assert [row.name for row in world.store.conversations(alice, mark(), 9).conversations] == [None] * 3
    bob, dave = world.users("bob", "dave")
    assert bob < dave, "the number that was kept for him"
    world.one(CreateGroup(name="team", owner=dave))
    assert [row.name for row in world.store.conversations(alice, mark(), 9).conversations] == ["bob", None, "team"]
    for where, seqs in (("user/bob", [1]), ("group/team", [2])):
        page = world.store.read_conversation(alice, where, limit=9, bytes_max=9_999)
        assert [each.seq for each in page.entries] == seqs
    assert findings(world) == []


def test_whoever_is_not_here_is_the_same_for_all(world: World) -> None:
    """In a later slice, and in the inbox of another."""
    begin(world, source=replace(SOURCE, head=2))
    for each in (own(1, "group/team", inboxes=3), own(2, "group/team", inboxes=3)):
        give(world, each)
    finish(world)
    bring(world, as_bob_has_it(own(1, "group/team", inboxes=3), 1), name="bob")
    world.one(CreateGroup(name="team", owner=world.numbers["bob"]))
    for name, seqs in (("alice", [1, 2]), ("bob", [1])):
        page = world.store.read_conversation(world.numbers[name], "group/team", limit=9, bytes_max=9_999)
        assert [each.seq for each in page.entries] == seqs
    assert findings(world) == []


def mark() -> Any:
    from roost_broker.store.readings import ConversationMark

    return ConversationMark()


# --- undone -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [0, 1, 3])
def test_removing_undoes_it(world: World, given: int) -> None:
    world.users("bob")
    bob = world.login("bob")
    world.publish(bob, "user/bob")
    before = (world.store.statistics().messages, inbox(world, "bob"))
    begin(world)
    give(world, *ENTRIES[:given])
    world.one(RemoveUser(user=2))
    world.one(ClearRemoved(user=2, rows_max=99))
    assert (world.store.statistics().messages, inbox(world, "bob")) == before
    assert world.store.account("alice") is None
    assert findings(world) == []
    begin(world)
    give(world, *ENTRIES)
    finish(world)
    assert findings(world) == []


# --- on disk ------------------------------------------------------------------------------------------------------


def test_cut_after_any_commit_it_goes_on(tmp_path: Path) -> None:
    """The store is opened anew between any two commits, and the import begun again: the end is the same."""
    limits = SMALL_LIMITS
    entries = [own(n) if n % 2 else entry(n) for n in range(1, 8)]
    source = replace(SOURCE, head=7)
    for cut in range(1, 10):
        path = tmp_path / str(cut)
        world = World(LmdbStore(path, limits=limits, random=seeded()))
        world.users("bob")
        commits = 0
        done = False
        while not done:
            begun = begin(world, source=source)
            left = entries[begun.next_seq - 1 :]
            while commits < cut and not done:
                commits += 1
                if left:
                    give(world, *left[:2])
                    left = left[2:]
                elif not begun.opened:
                    world.one(OpenImport(user=2))
                    begun = replace(begun, opened=True)
                else:
                    done = world.one(EndImport(user=2)) == Done()
            commits = 0
            world.store.close()
            world.store = LmdbStore(path, limits=limits, random=seeded())
        assert [each.encoded for each in inbox(world)] == [each.encoded for each in entries]
        assert findings(world) == []
        world.store.close()
        check_tables(path)


def test_a_full_store_takes_no_entries(tmp_path: Path) -> None:
    world = World(LmdbStore(tmp_path, limits=SMALL_LIMITS, random=seeded(), map_bytes=1 << 20, reserve_bytes=1 << 20))
    begin(world)
    assert reason_of(give(world, *ENTRIES)) is Reason.QUOTA_EXCEEDED
    world.store.close()


def test_large_messages_leave_nothing_behind_them(tmp_path: Path) -> None:
    """Messages that get a page of their own go through the same door as those that are published."""
    world = World(make_store("lmdb", tmp_path))
    bring(world, *(own(n, text="x" * size) for n, size in enumerate((1_900, 2_500, 3_900, 4_100, 20_000), 1)))
    assert [each.encoded for each in inbox(world)] == [
        own(n, text="x" * size).encoded for n, size in enumerate((1_900, 2_500, 3_900, 4_100, 20_000), 1)
    ]
    assert findings(world) == []
    world.store.close()
    check_tables(tmp_path)
