"""The port `State`: one set of tests for all that fills it, and what only a file can get wrong."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

import roost
from roost.state import Changes, Saved, SavedPublish, State
from roost.state_writer import StateWriter

IDS = st.integers(0, 2**64 - 1).map(lambda number: f"{number:016x}")
NUMBERS = st.integers(0, 2**53 - 1)
PUBLISHES = st.builds(
    SavedPublish,
    n=st.integers(1, 6),
    to=st.sampled_from(["user/bob", "group/team ü"]),
    content_type=st.just("text/plain"),
    body=st.text(max_size=20) | st.binary(max_size=20),
)
CHANGES = st.builds(
    Changes,
    device=st.none() | st.just("phone-1"),
    position=st.none() | st.tuples(NUMBERS, st.none() | IDS),
    incarnation=st.none() | IDS,
    epoch=st.none() | NUMBERS,
    token=st.none() | st.text(max_size=10),
    ended=st.none() | st.sampled_from(["", "[142]"]),
    n=st.none() | NUMBERS,
    settled_n=st.none() | NUMBERS,
    added=st.lists(PUBLISHES, max_size=3, unique_by=lambda publish: publish.n).map(tuple),
    removed=st.lists(st.integers(7, 12), max_size=2).map(tuple),
)


def _memory(_: Path) -> State:
    return roost.MemoryState()


def _file(folder: Path) -> State:
    return roost.FileState(folder / "state")


@pytest.fixture(params=[_memory, _file])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> State:
    made: State = request.param(tmp_path)
    return made


def publish(n: int, body: str | bytes = "hi") -> SavedPublish:
    return SavedPublish(n=n, to="user/bob", content_type="text/plain", body=body)


# --- what every state does ----------------------------------------------------------------------------------------


def test_a_new_state_knows_only_whose_it_is(state: State) -> None:
    assert state.open("alice", "phone") == Saved(user="alice", terminal="phone")
    state.close()


def test_what_is_saved_is_there_when_it_is_opened_again(state: State) -> None:
    state.open("alice", "phone")
    state.save(Changes(device="phone-1", epoch=3, n=2, settled_n=1, added=(publish(1), publish(2, b"\x00\xff"))))
    state.save(Changes(position=(9, "00000000000000ff"), token="t", incarnation="aa", removed=(1,)))
    state.close()
    state.close()
    assert state.open("alice", "phone") == Saved(
        user="alice",
        terminal="phone",
        device="phone-1",
        last_seq=9,
        last_id="00000000000000ff",
        incarnation="aa",
        epoch=3,
        token="t",
        n=2,
        settled_n=1,
        unsettled=(publish(2, b"\x00\xff"),),
    )
    state.save(Changes(position=(10, None), token=""))
    state.close()
    saved = state.open("alice", "phone")
    assert (saved.last_id, saved.token, saved.epoch) == (None, None, 3)
    state.close()


def test_a_state_belongs_to_one_user_on_one_terminal(state: State) -> None:
    state.open("alice", "phone")
    state.close()
    for user, terminal in (("bob", "phone"), ("alice", "pc")):
        with pytest.raises(roost.StateUnusable, match=f"belongs to alice on phone, not to {user} on {terminal}"):
            state.open(user, terminal)
    state.open("alice", "phone")
    state.close()


def test_a_state_is_used_by_one_session_at_a_time(state: State) -> None:
    state.open("alice", "phone")
    with pytest.raises(roost.StateUnusable, match="in use by another session"):
        state.open("alice", "phone")
    state.close()
    with pytest.raises(roost.StateUnusable, match="not open"):
        state.save(Changes(epoch=1))


@settings(max_examples=12)
@given(st.lists(CHANGES, max_size=5))
def test_every_state_keeps_the_same(batches: list[Changes]) -> None:
    with TemporaryDirectory() as folder:
        kept: list[Saved] = []
        makers: list[Callable[[Path], State]] = [_memory, _file]
        for make in makers:
            state = make(Path(folder))
            for changes in batches:  # opened and closed between any two
                state.open("alice", "phone")
                state.save(changes)
                state.close()
            kept.append(state.open("alice", "phone"))
            state.close()
        assert kept[0] == kept[1]


# --- what only a file can get wrong -------------------------------------------------------------------------------


def _refused(path: Path) -> str:
    with pytest.raises(roost.StateUnusable) as unusable:
        roost.FileState(path).open("alice", "phone")
    assert str(path) in str(unusable.value)
    return str(unusable.value)


def test_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.touch(mode=0o644)
    state = roost.FileState(path)
    state.open("alice", "phone")
    state.save(Changes(token="secret"))
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    state.close()
    assert set(modes.values()) == {0o600}, modes
    assert [file.name for file in tmp_path.iterdir()] == ["state"]


def test_the_file_has_one_user_at_a_time_across_processes(tmp_path: Path) -> None:
    path = tmp_path / "state"
    state = roost.FileState(path)
    state.open("alice", "phone")
    program = f"import roost; roost.FileState({str(path)!r}).open('alice', 'phone')"
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "in use by another process" in other.stderr
    state.save(Changes(n=5))  # and this one goes on
    state.close()
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (other.returncode, other.stderr) == (0, "")


def test_what_was_saved_survives_the_death_of_the_process(tmp_path: Path) -> None:
    state = roost.FileState(tmp_path / "state")
    state.open("alice", "phone")
    state.save(Changes(n=7, added=(publish(7),)))
    died = tmp_path / "died"
    died.mkdir()
    for file in tmp_path.glob("state*"):  # as a crash would leave it: never closed
        shutil.copy(file, died)
    state.close()
    again = roost.FileState(died / "state")
    assert again.open("alice", "phone").unsettled == (publish(7),)
    again.close()


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("dear diary, " * 200)
    assert "damaged (file is not a database)" in _refused(text)
    assert text.read_text().startswith("dear diary")

    foreign = tmp_path / "foreign"
    with sqlite3.connect(foreign) as database:
        database.execute("CREATE TABLE photos (name)")
    database.close()
    assert "no state file of roost" in _refused(foreign)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    state = roost.FileState(path)
    state.open("alice", "phone")
    state.save(Changes(n=40, added=tuple(publish(n, "x" * 3_000) for n in range(1, 40))))
    state.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "damaged" in _refused(path)
    path.write_bytes(whole[:5_000] + os.urandom(6_000) + whole[11_000:])
    assert "damaged" in _refused(path)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE device SET n = 'many'",
        "UPDATE device SET settled_n = 1.5",
        "UPDATE device SET last_seq = x'00'",
        "UPDATE device SET epoch = 'e'",
        "UPDATE device SET device = x'6431'",
        "UPDATE device SET token = x'37'",
        "UPDATE publishes SET recipient = x'00'",
        "UPDATE publishes SET content_type = x'31'",
        "UPDATE publishes SET body = 1.5",
    ],
)
def test_a_file_with_values_of_other_types_is_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "state"
    state = roost.FileState(path)
    state.open("alice", "phone")
    state.save(Changes(n=1, added=(publish(1, "hello"),)))
    state.close()
    with sqlite3.connect(path) as database:
        assert database.execute(change).rowcount == 1
    database.close()
    assert "is damaged (what it says has other types)" in _refused(path)


def test_a_file_that_says_nothing_about_a_device_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    state = roost.FileState(path)
    state.open("alice", "phone")
    state.close()
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM device")
    database.close()
    assert "says nothing about a device" in _refused(path)


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    state = roost.FileState(path)
    state.open("alice", "phone")
    state.close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version=3")
    database.close()
    assert "has version 3, this software knows 2" in _refused(path)


def test_a_file_of_version_1_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "state"
    state = roost.FileState(path)
    state.open("alice", "phone")
    state.save(Changes(device="phone-1", position=(9, None), n=2, added=(publish(2),)))
    state.close()
    with sqlite3.connect(path) as database:  # as version 1 made it
        database.execute("ALTER TABLE device DROP COLUMN ended")
        database.execute("PRAGMA user_version=1")
    database.close()
    for ended in (None, "[142]"):
        saved = state.open("alice", "phone")
        assert (saved.device, saved.last_seq, saved.unsettled, saved.ended) == ("phone-1", 9, (publish(2),), ended)
        state.save(Changes(ended="[142]"))
        state.close()


def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path) -> None:
    assert "No such file or directory" in _refused(tmp_path / "nowhere" / "state")
    assert "Is a directory" in _refused(tmp_path)


def test_a_save_that_fails_changes_nothing_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "state"
    state = roost.FileState(path)
    state.open("alice", "phone")
    state.save(Changes(n=1))
    assert state._database is not None
    state._database.execute("PRAGMA max_page_count=1")  # as a full disk would have it
    with pytest.raises(roost.StateUnusable, match="cannot be used: database or disk is full"):
        state.save(Changes(n=2, added=(publish(2, "x" * 100_000),)))
    state.close()
    again = roost.FileState(path)
    saved = again.open("alice", "phone")
    again.close()
    assert (saved.n, saved.unsettled) == (1, ())


# --- the writer between a session and its state -------------------------------------------------------------------


class _Recording(roost.MemoryState):
    """A state that is not inline, and remembers each transaction."""

    inline = False

    def __init__(self) -> None:
        super().__init__()
        self.saved: list[Changes] = []

    def save(self, changes: Changes) -> None:
        super().save(changes)
        self.saved.append(changes)


async def test_changes_that_gather_are_one_transaction() -> None:
    state = _Recording()
    writer = StateWriter(state)
    await writer.open("alice", "phone")
    for n in (1, 2, 3):
        writer.note_publish(publish(n))
    writer.note_settled(2, 2)
    writer.note_position(5, "00000000000000ff")
    await writer.flush()
    await writer.flush()
    writer.note_settled(1, 2)
    await writer.close()
    assert state.saved == [
        Changes(position=(5, "00000000000000ff"), n=3, settled_n=2, added=(publish(1), publish(3))),
        Changes(settled_n=2, removed=(1,)),
    ]


async def test_flush_returns_only_when_what_was_noted_before_is_saved() -> None:
    state = _Recording()
    writer = StateWriter(state)
    await writer.open("alice", "phone")
    seen: list[int] = []

    async def publish_one(n: int) -> None:
        writer.note_publish(publish(n))
        await writer.flush()
        seen.append(n)
        assert n in {saved.n for changes in state.saved for saved in changes.added}

    async with trio.open_nursery() as nursery:
        for n in range(1, 30):
            nursery.start_soon(publish_one, n)
    assert sorted(seen) == [*range(1, 30)]
    assert len(state.saved) < 30
    await writer.close()


async def test_cancelling_a_flush_loses_no_change() -> None:
    state = _Recording()
    writer = StateWriter(state)
    await writer.open("alice", "phone")
    writer.note_login(4, "aa", None)
    with trio.move_on_after(0):
        await writer.flush()
    with trio.CancelScope() as scope:
        scope.cancel()
        await writer.close()
    assert state.open("alice", "phone").epoch == 4
