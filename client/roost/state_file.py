"""The state of a device in one SQLite file, which only its owner can read and one process at a time can use.

A write-ahead log costs one fsync for a transaction where a rollback journal costs three; beside the file there is
then a second one (`…-wal`) while it is open, and after a crash. `synchronous=FULL` syncs it at every commit. With
`locking_mode=EXCLUSIVE` the lock is taken once and kept, so that no two processes can count the same publishes.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from roost.errors import StateUnusable
from roost.state import Changes, Saved, SavedPublish, check_owner, fields_changed

_APPLICATION_ID = 0x726F6F73
"""`roos` in ASCII: tells a state file from any other SQLite file (https://sqlite.org/pragma.html#pragma_application_id)."""

_VERSION = 2
"""Version of the tables, in `user_version`. A newer one is refused; version 1 had no `ended`, and gets it."""

_TABLES = """
CREATE TABLE device (
    user TEXT NOT NULL, terminal TEXT NOT NULL, device TEXT, last_seq INTEGER, last_id TEXT, incarnation TEXT,
    epoch INTEGER, token TEXT, n INTEGER NOT NULL, settled_n INTEGER NOT NULL, ended TEXT
);
CREATE TABLE publishes (
    n INTEGER PRIMARY KEY, recipient TEXT NOT NULL, content_type TEXT NOT NULL, body NOT NULL
);
"""


class FileState:
    """The state in the file `path`, made (mode 0600) if it is not there.

    The calls wait for the disk: a session makes them in a thread.
    """

    inline = False

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._database: sqlite3.Connection | None = None

    def open(self, user: str, terminal: str) -> Saved:
        """See `State.open`."""
        if self._database is not None:
            raise StateUnusable(f"{self.path} is in use by another session of this process")
        database = self._connect()
        try:
            saved = self._load(database, user, terminal)
        except sqlite3.Error as error:
            database.close()
            raise self._unusable(error) from error
        except UnicodeError as error:
            database.close()
            raise self._damaged(str(error)) from error
        except BaseException:
            database.close()
            raise
        self._database = database
        return saved

    def save(self, changes: Changes) -> None:
        """See `State.save`."""
        if self._database is None:
            raise StateUnusable(f"{self.path} is not open")
        try:
            _write(self._database, changes)
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def close(self) -> None:
        """See `State.close`."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _connect(self) -> sqlite3.Connection:
        try:
            # Made by hand: SQLite would make it readable by others, if only for a moment.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self.path.chmod(0o600)
        except OSError as error:
            raise StateUnusable(f"{self.path} cannot be opened: {error.strerror}") from error
        try:
            # Another thread each time, never two at once: `StateWriter` holds a lock.
            return sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _load(self, database: sqlite3.Connection, user: str, terminal: str) -> Saved:
        database.execute("PRAGMA locking_mode=EXCLUSIVE")
        database.execute("BEGIN IMMEDIATE")
        database.execute("COMMIT")
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        self._check_schema(database, user, terminal)
        row = database.execute(
            "SELECT user, terminal, device, last_seq, last_id, incarnation, epoch, token, n, settled_n, ended "
            "FROM device"
        ).fetchone()
        if row is None:
            raise self._damaged("it says nothing about a device")
        publishes = database.execute("SELECT n, recipient, content_type, body FROM publishes ORDER BY n")
        saved = Saved(
            user=row[0], terminal=row[1], device=row[2], last_seq=row[3], last_id=row[4], incarnation=row[5],
            epoch=row[6], token=row[7], n=row[8], settled_n=row[9], ended=row[10],
            unsettled=tuple(SavedPublish(n=n, to=to, content_type=kind, body=body) for n, to, kind, body in publishes),
        )  # fmt: skip
        if not _is_sound(saved):
            raise self._damaged("what it says has other types")
        check_owner(saved, user, terminal, str(self.path))
        return saved

    def _check_schema(self, database: sqlite3.Connection, user: str, terminal: str) -> None:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version == application == tables == 0:
            _make(database, user, terminal)
        elif application != _APPLICATION_ID:
            raise StateUnusable(f"{self.path} is no state file of roost")
        elif version == 1:
            _bring_up(database)
        elif version != _VERSION:
            raise StateUnusable(
                f"{self.path} has version {version}, this software knows {_VERSION}: it was written by a newer one"
            )
        (health,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if health != "ok":
            raise self._damaged(health)

    def _damaged(self, found: str) -> StateUnusable:
        return StateUnusable(f"{self.path} is damaged ({found}); remove it to begin anew")

    def _unusable(self, error: sqlite3.Error) -> StateUnusable:
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StateUnusable(f"{self.path} is in use by another process; each has its own state file")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return self._damaged(str(error))
        return StateUnusable(f"{self.path} cannot be used: {error}")


def _is_sound(saved: Saved) -> bool:
    """Whether everything has its type: SQLite keeps anything in any column, and a file may have been changed."""
    numbers: list[object] = [saved.n, saved.settled_n, *(each.n for each in saved.unsettled)]
    texts: list[object] = [text for each in saved.unsettled for text in (each.to, each.content_type)]
    bodies: list[object] = [each.body for each in saved.unsettled]
    numbers += [number for number in (saved.last_seq, saved.epoch) if number is not None]
    texts += [text for text in (saved.device, saved.last_id, saved.incarnation, saved.token) if text is not None]
    kinds = ((numbers, int), (texts, str), (bodies, (str, bytes)))
    return all(isinstance(value, kind) for values, kind in kinds for value in values)


def _make(database: sqlite3.Connection, user: str, terminal: str) -> None:
    database.execute("BEGIN")
    for statement in _TABLES.split(";"):
        database.execute(statement)
    database.execute("INSERT INTO device (user, terminal, n, settled_n) VALUES (?, ?, 0, 0)", (user, terminal))
    database.execute(f"PRAGMA application_id={_APPLICATION_ID}")
    database.execute(f"PRAGMA user_version={_VERSION}")
    database.execute("COMMIT")


def _bring_up(database: sqlite3.Connection) -> None:
    database.execute("BEGIN")
    database.execute("ALTER TABLE device ADD COLUMN ended TEXT")
    database.execute(f"PRAGMA user_version={_VERSION}")
    database.execute("COMMIT")


def _write(database: sqlite3.Connection, changes: Changes) -> None:
    with closing(database.cursor()) as cursor:
        cursor.execute("BEGIN")
        try:
            fields = fields_changed(changes)
            if fields:
                # The names are those of our own fields; the values are bound.
                assignments = ", ".join(f"{name}=?" for name in fields)
                cursor.execute(f"UPDATE device SET {assignments}", tuple(fields.values()))  # noqa: S608
            cursor.executemany("DELETE FROM publishes WHERE n=?", [(n,) for n in changes.removed])
            cursor.executemany(
                "INSERT OR REPLACE INTO publishes VALUES (?, ?, ?, ?)",
                [(publish.n, publish.to, publish.content_type, publish.body) for publish in changes.added],
            )
            cursor.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                cursor.execute("ROLLBACK")
            raise
