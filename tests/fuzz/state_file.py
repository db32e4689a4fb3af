"""The state file of a device: a file of SQLite that anything may have happened to.

The first byte says where the file begins: with nothing, or with a right one that is changed. A case of the latter is
a list of changes: 2 bytes of place, 1 of length, and so many bytes to put there.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from fuzz.target import Memory, Target
from fuzz.weighing import weighed
from roost.errors import StateUnusable
from roost.state import Changes, Saved, SavedPublish
from roost.state_file import FileState

USER, TERMINAL = "alice", "phone"


def one(data: bytes) -> None:
    """Open the file, save to it, and open it again."""
    folder = _folder()
    path = folder / "state"
    for old in folder.iterdir():
        old.unlink()
    path.write_bytes(_changed(data[1:]) if data[:1] == b"C" else data[1:])
    with weighed():
        saved = _opened(path)
        _check(saved)
        state = FileState(path)
        state.open(USER, TERMINAL)
        try:
            state.save(Changes(position=(5, None), n=saved.n + 1, removed=tuple(each.n for each in saved.unsettled)))
        finally:
            state.close()
        again = _opened(path)
        assert (again.last_seq, again.last_id, again.n, again.unsettled) == (5, None, saved.n + 1, ())


def _opened(path: Path) -> Saved:
    state = FileState(path)
    try:
        return state.open(USER, TERMINAL)
    finally:
        state.close()


def _check(saved: Saved) -> None:
    """What was read has the types that it says: whoever goes on with it does so unchecked."""
    assert (saved.user, saved.terminal) == (USER, TERMINAL)
    assert all(isinstance(n, int) for n in (saved.n, saved.settled_n))
    for number in (saved.last_seq, saved.epoch):
        assert number is None or isinstance(number, int)
    for text in (saved.device, saved.last_id, saved.incarnation, saved.token):
        assert text is None or isinstance(text, str)
    for publish in saved.unsettled:
        assert isinstance(publish.n, int)
        assert isinstance(publish.to, str)
        assert isinstance(publish.content_type, str)
        assert isinstance(publish.body, str | bytes)


@cache
def _folder() -> Path:
    return Path(mkdtemp(prefix="roost-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))  # noqa: S108


@cache
def right_file() -> bytes:
    """A state file with something in it, as a device leaves it behind."""
    folder = Path(mkdtemp(prefix="roost-fuzz-"))
    state = FileState(folder / "state")
    state.open(USER, TERMINAL)
    publishes = tuple(SavedPublish(n=n, to="user/bob", content_type="text/plain", body=f"hello {n}") for n in (1, 2))
    more = SavedPublish(n=3, to="group/team", content_type="application/octet-stream", body=b"\0\xff")
    state.save(
        Changes(
            device="d1",
            position=(3, "0" * 16),
            incarnation="1" * 16,
            epoch=7,
            token="token",
            n=3,
            added=(*publishes, more),
        )
    )
    state.close()
    content = (folder / "state").read_bytes()
    rmtree(folder)
    return content


def _changed(changes: bytes) -> bytes:
    content = bytearray(right_file())
    while len(changes) > 2:
        place = int.from_bytes(changes[:2], "big") % len(content)
        length = changes[2]
        new = changes[3 : 3 + length]
        content[place : place + len(new)] = new
        changes = changes[3 + length :]
    return bytes(content)


def change(place: int, new: bytes) -> bytes:
    """A change, as a case has it."""
    return place.to_bytes(2, "big") + bytes([len(new)]) + new


def seeds() -> Iterator[bytes]:
    """No file, the right one, one that is of something else; values of other types in the right places."""
    yield b"F"
    yield b"C"
    yield b"Fno database at all" * 20
    yield b"FSQLite format 3\0" + b"\0" * 84
    content = right_file()
    yield b"C" + change(60, b"\0\0\0\x09")  # user_version
    yield b"C" + change(68, b"else")  # application_id
    yield b"C" + change(16, b"\0\x01")  # page size 65536
    yield b"C" + change(28, b"\x7f\xff\xff\xff")  # pages
    for word in (b"alice", b"phone", b"d1", b"token", b"0" * 16, b"1" * 16, b"user/bob", b"hello 1", b"group/team"):
        for at in _places(content, word):
            yield b"C" + change(at, b"\xff\xfe" * (len(word) // 2))
    for kind in (0, 1, 7, 12, 13, 127):  # serial types: NULL, a byte, a float, blobs and texts
        at = content.index(b"alicephone")
        yield b"C" + b"".join(change(at - back, bytes([kind])) for back in range(1, 12, 3))
        yield b"C" + change(at - 8, bytes([kind]))
        yield b"C" + change(at - 4, bytes([kind]))
    for at in _places(content, b"CREATE TABLE"):
        yield b"C" + change(at, b"CREATE VIEW ")


def _places(content: bytes, word: bytes) -> list[int]:
    return [at for at in range(len(content)) if content.startswith(word, at)]


TARGET = Target(
    name="state_file",
    one=one,
    documented=(StateUnusable,),
    # What SQLite allocates, it does by itself; rows are as large as the file says, and no larger than it is.
    memory=Memory(for_each_byte=16, beside=64 * 1024),
    seeds=seeds,
    tokens=tuple(change(at, b"\x0c") for at in (100, 8_000, 8_150, 12_200)),
    bytes_max=1_024,
)
