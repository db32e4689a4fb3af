"""Importing: the steps as acts, what bad entries get, and that exports come back as they went."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from trio.testing import MockClock

from broker.house import House, in_house, open_house
from broker.store.world import seeded
from roost_broker.administration import NotDone
from roost_broker.administration.imports import SLICE_ENTRIES
from roost_broker.store import CommitRefused
from roost_broker.store.account_operations import RemoveUser
from roost_broker.store.import_operations import BeginImport, ImportEntries
from roost_broker.store.journal import UserChanged, user_subject
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.operations import Retention, Trim
from roost_broker.transport.memory import MemoryListener
from roost_protocol.admin.export import ErasedEntry, Exported, ExportedAccount, ExportedEntry
from roost_protocol.admin.fsck import Finding
from roost_protocol.admin.groups import GroupChange, GroupCreate
from roost_protocol.admin.imports import (
    ImportBegin,
    ImportedLine,
    ImportRelations,
    ImportSlice,
    ImportState,
    SliceImported,
    pack_lines,
)
from roost_protocol.admin.messages import MessageSend
from roost_protocol.admin.route import Caller
from roost_protocol.admin.users import PasswordSet
from roost_protocol.frames import Entry
from roost_protocol.limits import Limits
from roost_protocol.reasons import Reason

ROOT = Caller(name="root", role="admin")
ID = 0x18BCFE4F000 << 20
"""A message id of a time before every test's."""


async def export(house: House, user: str) -> list[Exported]:
    """Everything of a user."""
    return [record async for record in await house.broker.admin.export.export(user)]


def account_of(records: Sequence[Exported]) -> ExportedAccount:
    """The record that an export begins with."""
    assert records[0].account is not None
    return records[0].account


def entries_of(records: Sequence[Exported]) -> list[ExportedEntry]:
    """The entries of an export."""
    return [record.entry for record in records if record.entry is not None]


async def begin(house: House, records: Sequence[Exported], **more: Any) -> ImportState:
    """Begin an import."""
    account = account_of(records)
    begun = ImportBegin(
        created=account.created,
        incarnation=account.incarnation,
        floor=account.floor,
        floor_reason=account.floor_reason,
        head=account.head,
        **more,
    )
    return await house.broker.admin.imports.begin(account.name, begun, ROOT)


async def give(house: House, user: str, entries: Sequence[ExportedEntry], *, check: bool = False) -> SliceImported:
    """Give entries in one slice."""
    packed = pack_lines([ImportedLine(line=100 + entry.seq, entry=entry) for entry in entries])
    return await house.broker.admin.imports.entries(user, ImportSlice(entries=packed, check=check), ROOT)


async def bring(house: House, records: Sequence[Exported], size: int = 3) -> list[tuple[str, str]]:
    """A whole import, in slices; what was left out."""
    imports, user = house.broker.admin.imports, account_of(records).name
    state = await begin(house, records)
    left = [entry for entry in entries_of(records) if entry.seq >= state.next]
    for first in range(0, len(left), size):
        await give(house, user, left[first : first + size])
    names = {
        kind: tuple(getattr(record, kind) for record in records if record.kind == kind)
        for kind in ("contact", "block", "group")
    }
    told = await imports.relations(user, ImportRelations(contacts=names["contact"], blocks=names["block"]), ROOT)
    await imports.open(user, ROOT)
    also = await imports.relations(user, ImportRelations(groups=names["group"]), ROOT)
    await imports.end(user, ROOT)
    return [(each.kind, each.name) for each in (*told.left_out, *also.left_out)]


async def refusal(awaitable: Any) -> NotDone:
    """Why an act is not done."""
    with pytest.raises(NotDone) as caught:
        await awaitable
    return caught.value


def findings(house: House) -> list[Finding]:
    """What a check of the store finds."""
    return [each for each in house.store.check() if isinstance(each, Finding)]


async def settle(house: House) -> None:
    """Retention's walk, as far as it concerns removed users."""
    await house.core.removals.finish()


# --- there and back -----------------------------------------------------------------------------------------------


@in_house()
async def test_back_after_a_removal(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await house.fill(alice, "user/bob", 5)
    await bob.publish(1, "user/alice", data=b"\x00\xff", content_type="application/x")
    await house.broker.admin.groups.create(GroupCreate(name="team", owner="bob", members=("alice",)))
    await house.broker.admin.relations.change("contact", "alice", "bob", present=True)
    await house.broker.admin.relations.change("block", "alice", "carol", present=True)
    records = await export(house, "alice")
    await house.broker.admin.users.remove("alice")
    await bob.rest()
    assert await bring(house, records) == []
    assert house.store.removals(0, 9) == (), "what was left of her was cleared away for it"
    again = await export(house, "alice")
    assert [record.kind for record in again] == ["account", "group", "contact", "block", *["entry"] * 6, "end"]
    assert [entry.entry for entry in entries_of(again)] == [entry.entry for entry in entries_of(records)]
    account = account_of(again)
    assert account.disabled
    assert account.incarnation != account_of(records).incarnation
    assert replace(account, disabled=False, incarnation=account_of(records).incarnation) == account_of(records)
    assert await bob.rest() == [], "nobody is sent anything"
    assert (await house.refusal("alice")).reason == Reason.BAD_USER_NAME_OR_PASSWORD


@in_house()
async def test_an_imported_user_logs_in_and_goes_on(house: House) -> None:
    """An admin gives a password; old devices start over, and get everything."""
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await house.fill(alice, "user/bob", 3)
    incarnation = alice.connack.incarnation
    records = await export(house, "alice")
    admin = house.broker.admin
    await admin.users.remove("alice")
    await bring(house, records)
    detail = await admin.users.show("alice")
    assert (detail.disabled, detail.importing, detail.floor, detail.head) == (True, False, 1, 3)
    await admin.users.set_password("alice", PasswordSet(password="new words"))
    await admin.users.enable("alice")
    alice = await house.log_in("alice", password="new words", last_seq=2, incarnation=incarnation)
    assert alice.connack.start_over
    assert await alice.seqs() == [1, 2, 3]
    await bob.rest()
    assert (await alice.publish(1, "user/bob")).seq == 4
    assert (await bob.publish(1, "user/alice")).reason == Reason.SUCCESS


@in_house()
async def test_the_journal_says_who_did_it(house: House) -> None:
    records = await export(house, "alice")
    await house.broker.admin.users.remove("alice")
    await bring(house, records)
    rows = house.store.read_journal(user_subject(house.number("alice")), limit=99).rows
    changes = [(row.event.what, row.event.by) for row in rows if isinstance(row.event, UserChanged)]
    assert changes == [("created", ""), ("removed", ""), ("being imported", "root"), ("imported", "root")]


@in_house()
async def test_a_cut_import_goes_on_or_is_undone(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 7)
    records = await export(house, "alice")
    admin = house.broker.admin
    await admin.users.remove("alice")
    state = await begin(house, records)
    assert (state.next, state.again, state.opened, state.last_id) == (1, False, False, None)
    assert (state.slice_entries, state.slice_bytes) == (SLICE_ENTRIES, Limits().http_body_bytes_max * 3 // 4 - 512)
    await give(house, "alice", entries_of(records)[:3])
    assert [(row.name, row.importing) for row in (await admin.users.list()).users if row.importing] == [("alice", True)]
    state = await begin(house, records)
    third = entries_of(records)[2].entry
    assert third is not None
    assert (state.next, state.again, state.last_id) == (4, True, third.id)
    assert (await refusal(admin.users.enable("alice"))).reason == Reason.SERVER_BUSY
    assert "4 to 7 of the export are missing" in str(await refusal(admin.imports.open("alice", ROOT)))
    await admin.users.remove("alice")
    assert house.store.account("alice") is None
    await bring(house, records)
    assert [entry.seq for entry in entries_of(await export(house, "alice"))] == [1, 2, 3, 4, 5, 6, 7]


@in_house(listener=lambda: MemoryListener(pipe_bytes=1_024), limits={"write_timeout_s": 10})
async def test_a_session_from_before_the_removal_gets_nothing(house: House) -> None:
    """Its device takes nothing any more, so its connection is closed in time only; and the inbox was longer then."""
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await house.fill(alice, "user/bob", 3)
    records = await export(house, "alice")
    await house.fill(bob, "user/alice", 30, text="x" * 100)
    before = house.number("alice")
    await house.broker.admin.users.remove("alice")
    await bring(house, records)
    assert house.number("alice") == before
    assert (await bob.publish(31, "user/alice")).reason == Reason.SUCCESS
    assert house.store.inbox_size(before).head == 4


@in_house()
async def test_an_import_needs_a_free_name_and_a_file_that_fits(house: House) -> None:
    records = await export(house, "alice")
    taken = await refusal(begin(house, records))
    assert (taken.reason, str(taken)) == (
        Reason.ALREADY_EXISTS,
        "there is a user 'alice' already; the name has to be free",
    )
    assert (await refusal(begin(house, records, check=True))).reason == Reason.ALREADY_EXISTS
    imports = house.broker.admin.imports
    for step in (imports.open("alice", ROOT), imports.end("alice", ROOT), give(house, "alice", [])):
        assert str(await refusal(step)) == "the user 'alice' is not being imported"
    assert (await refusal(imports.open("zoe", ROOT))).reason == Reason.NOT_FOUND
    odd = ImportBegin(created=0, incarnation="0" * 16, floor=9, head=7)
    assert "at most one more" in str(await refusal(imports.begin("zoe", odd, ROOT)))
    assert "a time to come" in str(await refusal(imports.begin("zoe", replace(odd, floor=1, created=1 << 50), ROOT)))
    assert (await refusal(imports.begin("a/b", odd, ROOT))).reason == Reason.MALFORMED_PACKET
    assert not any(isinstance(op, BeginImport | ImportEntries) for batch in house.store.batches for op in batch[1:])


@in_house()
async def test_an_import_waits_for_the_erasure_of_who_had_the_name(house: House) -> None:
    await house.fill(await house.log_in("alice"), "user/bob", 2)
    records = await export(house, "alice")
    await house.core.batcher.run(RemoveUser(user=house.number("alice"), erase=True))
    assert (await refusal(begin(house, records))).reason == Reason.SERVER_BUSY
    await settle(house)
    await bring(house, records)
    kinds = [entry.kind for entry in entries_of(await export(house, "alice"))]
    assert kinds == ["erased", "erased"], "what was erased here stays so"


@in_house()
async def test_what_is_not_here_is_left_out(house: House) -> None:
    admin = house.broker.admin
    await admin.groups.create(GroupCreate(name="team", owner="bob"))
    begun = ImportBegin(created=1, incarnation="0" * 16, floor=1, head=0)
    given_ = ImportRelations(contacts=("bob", "xan"), blocks=("carol", "yul"), groups=("team", "gone"))
    checked = await admin.imports.relations("zoe", replace(given_, check=True), ROOT)
    await admin.imports.begin("zoe", begun, ROOT)
    await admin.imports.open("zoe", ROOT)
    told = await admin.imports.relations("zoe", given_, ROOT)
    assert told.taken == checked.taken == 3
    assert [(each.kind, each.name, each.text) for each in told.left_out] == [
        ("contact", "xan", "there is no user 'xan'"),
        ("block", "yul", "there is no user 'yul'"),
        ("group", "gone", "there is no group 'gone'"),
    ]
    assert [(each.kind, each.name) for each in checked.left_out] == [(each.kind, each.name) for each in told.left_out]
    house.store.faults.append(CommitRefused("full"))
    assert "full" in str(await refusal(admin.imports.relations("zoe", given_, ROOT))), "so that it is tried again"
    assert (await admin.groups.show("team")).members == ("bob", "zoe")
    assert (await admin.relations.list("block", "zoe")).others == ("carol",)


# --- a dry run ----------------------------------------------------------------------------------------------------


@in_house()
async def test_a_check_changes_nothing_and_says_what_would_be_done(house: House) -> None:
    alice = await house.log_in("alice")
    await house.fill(alice, "user/bob", 3)
    await alice.publish(4, "user/alice")
    records = await export(house, "alice")
    await house.broker.admin.users.remove("alice")
    await settle(house)
    house.store.batches.clear()
    state = await begin(house, records, check=True)
    assert (state.next, state.again) == (1, False)
    told = await give(house, "alice", entries_of(records), check=True)
    assert told == SliceImported(entries=4, stored=1, shared=3, erased=0, kept=0)
    first = entries_of(records)[0]
    assert first.entry is not None
    forged = replace(first, entry=replace(first.entry, text="forged"))
    assert "another message here" in str(await refusal(give(house, "alice", [forged], check=True)))
    assert house.store.batches == []
    assert house.store.account("alice") is None


# --- what does not fit --------------------------------------------------------------------------------------------

OWN = ExportedEntry(
    seq=1, kind="own", entry=Entry(id=f"{ID:016x}", sender="zoe", to="user/bob", time=ID >> 20, text="x")
)
THEIRS = ExportedEntry(seq=1, entry=Entry(id=f"{ID:016x}", sender="bob", to="user/zoe", time=ID >> 20, text="x"))
ERASED = ExportedEntry(seq=1, kind="erased", erased=ErasedEntry(id=f"{ID:016x}", bytes=90))


def but(entry: ExportedEntry, **message: Any) -> ExportedEntry:
    """The entry, but for its message."""
    assert entry.entry is not None
    return replace(entry, entry=replace(entry.entry, **message))


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (replace(OWN, entry=None), "it has no message, and is not erased"),
        (replace(ERASED, erased=None), "of an erased entry the export says what it was"),
        (replace(ERASED, entry=OWN.entry), "of an erased entry the export says what it was"),
        (but(OWN, sender="bob"), "it is the user's own, but from 'bob' and not from 'zoe'"),
        (but(THEIRS, sender="zoe"), "it is from 'zoe', but not the user's own"),
        (but(THEIRS, to="user/carol"), "it is from 'bob' to 'user/carol', and so in no inbox of 'zoe'"),
        (but(THEIRS, to="nowhere!"), "an address is user/NAME or group/NAME"),
        (but(OWN, text="x" * 2_000), "its body has 2000 bytes; at most 1024 are allowed here (limits.body_bytes_max)"),
        (but(OWN, text=None), "either text or data"),
        (but(OWN, data=b"x"), "either text or data"),
        (but(OWN, content_type="a\nb"), "content type"),
        (but(OWN, time=(ID >> 20) + 1), "is after that of its id"),
        (replace(OWN, inboxes=3), "in a conversation with user/bob, went to 3 inboxes, not 2"),
        (replace(THEIRS, inboxes=1), "in a conversation with user/bob, went to 1 inboxes, not 2"),
        (replace(but(OWN, to="user/zoe")), "in a conversation with user/zoe, went to 2 inboxes, not 1"),
        (replace(OWN, inboxes=0), "its message went to 0 inboxes"),
        (replace(but(THEIRS, to="group/g"), inboxes=1), "from another to a group, went to 1 inbox"),
        (replace(ERASED, inboxes=7), "in a conversation with nobody who is known, went to 7 inboxes"),
        (replace(OWN, seq=2), "its number is not the next"),
    ],
)  # fmt: skip
@in_house(limits={"body_bytes_max": 1_024})
async def test_an_entry_that_cannot_be(house: House, entry: ExportedEntry, text: str) -> None:
    begun = ImportBegin(created=1, incarnation="0" * 16, floor=1, head=9)
    await house.broker.admin.imports.begin("zoe", begun, ROOT)
    refused = await refusal(give(house, "zoe", [entry]))
    assert refused.reason == Reason.MALFORMED_PACKET
    assert text in str(refused)
    assert f"entry {entry.seq}: " in str(refused)
    for fine in (OWN, THEIRS, ERASED, replace(but(OWN, to="user/zoe"), inboxes=1)):
        assert (await give(house, "zoe", [fine])).entries == 1
        await house.broker.admin.users.remove("zoe")
        await house.broker.admin.imports.begin("zoe", begun, ROOT)


@in_house(limits={"trim_slice_max": 2})
async def test_a_slice_that_cannot_be(house: House) -> None:
    begun = ImportBegin(created=1, incarnation="0" * 16, floor=1, head=9)
    imports = house.broker.admin.imports
    state = await imports.begin("zoe", begun, ROOT)
    assert state.slice_entries == 2
    assert "at most 2 entries here, this one has 3" in str(await refusal(give(house, "zoe", [OWN] * 3)))
    for packed in (
        b"",
        b"\xc1",
        b"\x91\x80",
        b"\x91" * 5_000,
        msgspec.msgpack.encode([{"line": 1, "entry": {"seq": 0}}]),
    ):
        refused = await refusal(imports.entries("zoe", ImportSlice(entries=packed), ROOT))
        assert refused.reason == Reason.MALFORMED_PACKET
        assert "the entries cannot be read" in str(refused)


# --- any two users, in any order ----------------------------------------------------------------------------------

USERS = ("alice", "bob", "carol")
STEPS = st.one_of(
    st.tuples(
        st.just("publish"),
        st.sampled_from(USERS),
        st.sampled_from([*(f"user/{name}" for name in USERS), "user/keeper", "group/team", "group/team"]),
        st.sampled_from(["", "x", "line\nafter \u2028 \U0001f600 \x00", "y" * 2_100, b"", b"\x00\xff", b"z" * 5_000]),
    ),
    st.tuples(st.just("send"), st.sampled_from(USERS), st.sampled_from(["user/bob", "group/team"])),
    st.tuples(st.just("trim"), st.integers(1, 4)),
    st.tuples(st.just("leave"), st.sampled_from(USERS)),
    st.tuples(st.just("erase")),
    st.tuples(st.just("contact"), st.sampled_from(USERS), st.sampled_from(USERS)),
)


async def happen(house: House, steps: Sequence[tuple[Any, ...]]) -> None:
    """A life of three users, and of a keeper, who may be erased."""
    admin = house.broker.admin
    await admin.groups.create(GroupCreate(name="team", owner="keeper", members=USERS))
    devices = {name: await house.log_in(name) for name in (*USERS, "keeper")}
    counts = dict.fromkeys(devices, 0)

    async def publish(name: str, to: str, body: str | bytes) -> None:
        counts[name] += 1
        if isinstance(body, str):
            await devices[name].publish(counts[name], to, body)
        else:
            await devices[name].publish(counts[name], to, data=body)

    for step in steps:
        match step:
            case ("publish", name, to, body):
                await publish(name, to, body)
            case ("send", name, to):
                if house.store.route(house.number(name), to) not in (Reason.NOT_A_MEMBER, Reason.UNKNOWN_RECIPIENT):
                    await admin.messages.send(MessageSend(sender=name, to=to, text="by an admin"), ROOT)
            case ("trim", count):
                trim = Trim(retention=Retention(count=count), users_max=99, entries_max=99)
                await house.core.batcher.run(trim)
            case ("leave", name) if house.store.group("team"):
                await admin.groups.change("team", GroupChange(remove=(name,)))
            case ("contact", name, other):
                await admin.relations.change("contact", name, other, present=True)
            case ("erase",) if house.store.account("keeper"):
                for to in (*(f"user/{name}" for name in USERS), "group/team"):
                    await publish("keeper", to, "from the keeper")
                async for _ in await admin.erase.erase("keeper"):
                    pass


def comparable(records: Sequence[Exported], here: set[str]) -> list[Exported]:
    """An export without what docs/export.md says does not come back."""
    lines = []
    for record in records:
        if record.account is not None:
            lines.append(replace(record, account=replace(record.account, incarnation="", disabled=True)))
        elif record.entry is not None:
            lines.append(replace(record, entry=replace(record.entry, device=None, n=None)))
        elif record.kind != "device" and (record.kind != "contact" or record.contact in here):
            lines.append(record)
    return lines


@settings(max_examples=settings().max_examples // 2)
@given(
    st.lists(STEPS, min_size=1, max_size=14),
    st.permutations(USERS),
    st.integers(1, 4),
    st.integers(0, 3),
)
def test_exports_come_back_as_they_went(
    steps: list[tuple[Any, ...]], order: list[str], size: int, imported: int
) -> None:
    """Into another broker, in whatever order: the same lines, messages shared, and nothing amiss."""

    async def main(folder: str) -> None:
        async with open_house(users=(*USERS, "keeper")) as old:
            await happen(old, steps)
            exports = {name: await export(old, name) for name in USERS}
            assert findings(old) == []
        store = LmdbStore(Path(folder), limits=Limits(), random=seeded(2), sync=False)
        try:
            async with open_house(users=("keeper",), store=store) as new:
                await new.broker.admin.groups.create(GroupCreate(name="team", owner="keeper"))
                here = {"keeper"}
                for name in order[: imported + 1]:
                    here.add(name)
                    left_out = await bring(new, exports[name], size)
                    assert {other for kind, other in left_out if kind == "contact"}.isdisjoint(here)
                    assert comparable(await export(new, name), here) == comparable(exports[name], here)
                    assert findings(new) == []
                for name in here - {"keeper"}:
                    account = account_of(exports[name])
                    assert new.store.inbox_size(new.number(name)).head == account.head, "nobody else's inbox changed"
                ids = {_id_of(entry) for name in here - {"keeper"} for entry in entries_of(exports[name])}
                assert new.store.statistics().messages == len(ids)
                for name in sorted(here - {"keeper"}):
                    await new.broker.admin.users.remove(name)
                    await settle(new)
                    assert findings(new) == []
                assert new.store.statistics().messages == 0
        finally:
            store.close()

    with tempfile.TemporaryDirectory() as folder:
        trio.run(main, folder, clock=MockClock(autojump_threshold=0))


def _id_of(entry: ExportedEntry) -> str:
    if entry.entry is not None:
        return entry.entry.id
    assert entry.erased is not None
    return entry.erased.id
