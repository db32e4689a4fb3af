"""A whole store in which one row is not what was written: read, checked, written to.

A case is: which table, which of its rows (2 bytes), what is done (put another value, patch the one that is there,
remove it, add it under another key), whether its seal is made to fit, and the bytes to do it with. Whatever it is, a
read fails as reads may (`ReadFailed`) or gives something, a check finds or does not, and a commit is done, refused, or
not known to be done.
"""

import shutil
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp

import lmdb

from broker.store.damaging import ALICE, BOB, PHONE, make_store
from broker.store.world import SMALL_LIMITS, World, seeded
from fuzz import records
from fuzz.target import Memory, Target
from fuzz.weighing import weighed
from roost_broker.store.errors import CommitRefused, OutcomeUnknown, ReadFailed, StoreUnusable
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.lmdb_seal import SEAL_BYTES, is_intact, sealed
from roost_broker.store.lmdb_tables import Tables, name_in_file
from roost_broker.store.operations import (
    ChangeMembers,
    CreateGroup,
    CreateUser,
    LoggedIn,
    LogIn,
    MoveCursors,
    Operation,
    PublishMessage,
    Retention,
    SendMessage,
    Trim,
)
from roost_broker.store.readings import ConversationMark

MAP_BYTES = 64 * 1024 * 1024
_SHM = Path("/dev/shm")  # noqa: S108 - made there by mkdtemp, for ourselves alone
_ALL = 100
AGAIN = 4
"""In the byte that says what is done: the seal is made to fit, as if a broker had written it."""
_BYTES = 100_000


def one(data: bytes) -> None:
    """Damage a row, and use the store."""
    case = data.ljust(4, b"\0")
    folder = _copy()
    _damage(folder, Tables._fields[case[0] % len(Tables._fields)], int.from_bytes(case[1:3], "big"), case[3], case[4:])
    with weighed():
        store = LmdbStore(
            folder, limits=SMALL_LIMITS, random=seeded(), sync=False, map_bytes=MAP_BYTES, reserve_bytes=1 << 20
        )
        try:
            _read_all(store)
            for _ in store.check():
                pass
            _write_all(store)
        finally:
            store.close()


def _damage(folder: Path, table: str, row: int, how: int, new: bytes) -> None:
    with lmdb.open(str(folder), max_dbs=64, map_size=MAP_BYTES, sync=False) as env:
        handle = env.open_db(name_in_file(table), create=False)
        with env.begin(write=True, db=handle) as txn:
            keys = [key for key, _ in txn.cursor()]
            key = keys[row % len(keys)] if keys else b"\0" * 8
            stored = txn.get(key) or b""
            seal = _seal_of(stored, key) if how & AGAIN else None
            value = stored[:-SEAL_BYTES] if seal else stored
            match how % 4:
                case 0:
                    txn.put(key, seal(new) if seal else new)
                case 1:
                    at = new[0] % (len(value) + 1) if new else 0
                    changed = value[:at] + new[1:] + value[at + len(new) - 1 :]
                    txn.put(key, seal(changed) if seal else changed)
                case 2:
                    txn.delete(key)
                case _:
                    size = 1 + (new[0] if new else 0) % 64
                    other = (key + new[1:])[-size:][:500] or b"\0"
                    seal = _seal_of(stored, key, other) if how & AGAIN else None
                    txn.put(other, seal(stored[:-SEAL_BYTES]) if seal else stored)


def _seal_of(stored: bytes, key: bytes, other: bytes | None = None) -> Callable[[bytes], bytes] | None:
    """How a record of this table is sealed, for its key or another; None if it is not."""
    if is_intact(stored):
        return sealed
    return partial(sealed, key=other or key) if is_intact(stored, key) else None


def _copy() -> Path:
    source, folder = _folders()
    shutil.copyfile(source / "data.mdb", folder / "data.mdb")
    (folder / "lock.mdb").unlink(missing_ok=True)
    return folder


@cache
def _folders() -> tuple[Path, Path]:
    base = Path(mkdtemp(prefix="roost-fuzz-", dir=_SHM if _SHM.is_dir() else None))
    source, folder = base / "source", base / "case"
    make_store(source)
    folder.mkdir(0o700)
    return source, folder


def _read_all(store: LmdbStore) -> None:
    """Everything that is read of a store; what fails to be, does not keep from the rest."""
    reads: list[Callable[[], object]] = [
        partial(store.list_users, "", _ALL),
        partial(store.list_groups, "", _ALL),
        partial(store.list_admins, "", _ALL),
        partial(store.list_tokens, "", _ALL),
        partial(store.read_journal, None, limit=_ALL),
        partial(store.group, "team"),
        partial(store.route, ALICE, "group/team"),
        partial(store.route, ALICE, "user/bob"),
        partial(store.removals, 0, _ALL),
        store.statistics,
        partial(store.publish_outcome, PHONE, 1),
        partial(store.names_after, "user", "", _ALL),
        partial(store.account, "alice"),
    ]
    for user in (ALICE, BOB):
        reads += [
            partial(store.read_inbox, user, 0, _ALL, _BYTES),
            partial(store.read_conversation, user, None, limit=_ALL, bytes_max=_BYTES),
            partial(store.read_conversation, user, "user/bob", after=1, limit=_ALL, bytes_max=_BYTES),
            partial(store.conversations, user, ConversationMark(), _ALL),
            partial(store.inbox_size, user),
            partial(store.would_trim, user, Retention(count=1), 2**41),
            partial(store.devices, user),
            partial(store.relations, user, "contact"),
            partial(store.groups_of, user),
            partial(store.tokens_of, user),
            partial(store.entry_origins, user, 0, _ALL),
        ]
    for read in reads:
        try:
            read()
        except ReadFailed:
            pass


def _write_all(store: LmdbStore) -> None:
    """Some of each that is written, in commits of their own. Raises OutcomeUnknown and CommitRefused."""
    world = World(store)
    world.now_ms += 3_600_000
    log_in = LogIn(user=ALICE, device_id="alice-phone", terminal="phone", password_version=1)
    logged_in = world.one(log_in)
    epoch = logged_in.epoch if isinstance(logged_in, LoggedIn) else 0
    operations: tuple[Operation, ...] = (
        PublishMessage(
            sender=ALICE, sender_name="alice", device=PHONE, terminal="phone", epoch=epoch, n=7, to="group/team",
            content_type="text/plain", text="hi", digest=b"d" * 16,
        ),
        SendMessage(sender=BOB, sender_name="bob", to="user/alice", content_type="text/plain", text="hi"),
        MoveCursors(cursors=((PHONE, 2),)),
        Trim(retention=Retention(count=1), after=0, users_max=9, entries_max=_ALL),
        CreateUser(name="erin", password_hash="hash"),
        CreateGroup(name="new", owner=ALICE, members=("bob",)),
        ChangeMembers(group="team", by=None, add=("dave",), remove=("carol",)),
    )  # fmt: skip
    for operation in operations:
        world.do(operation)


def seeds() -> Iterator[bytes]:
    """Each table: a row that is gone, empty, too long, or of the next kind; each record in the wrong place."""
    for table in range(len(Tables._fields)):
        head = bytes([table, 0, 1])
        yield head + b"\2"
        yield head + b"\0"
        yield head + b"\4"
        yield head + b"\5\x04\xff\xff"
        yield head + b"\7\x07"
        yield head + b"\0" + b"\xff" * 60
        yield head + b"\1\x04\xff\xff"
        yield head + b"\1\x10\xff"
        yield head + b"\3\x07"
        yield head + b"\3\x0f\xff"
    for number, record in enumerate(records.seeds()):
        yield bytes([number % len(Tables._fields), 0, 0, 0]) + record[1:200]


TARGET = Target(
    name="store_rows",
    one=one,
    documented=(ReadFailed, OutcomeUnknown, CommitRefused, StoreUnusable),
    memory=Memory(for_each_byte=64, beside=256 * 1024),
    seeds=seeds,
    tokens=(b"\xc0", b"\xcf" + b"\xff" * 8, b"\xa1\xff", b"\0" * 8, b"\xff" * 8, b"\x91\x91"),
    bytes_max=400,
)
