"""How a store fails as a whole.

::

    StoreError
    ├── StoreUnusable      it cannot be opened: unreadable, of a newer version, damaged
    │   └── StoreInUse     by a broker that runs
    ├── ReadFailed         something could not be read
    │   └── RecordDamaged  a record is not what was written: its checksum says so
    ├── CopyFailed         a backup, a restoration or a compaction was not done; what was there is as it was
    ├── CommitRefused      a transaction was not done, and is known not to be: nothing changed
    └── OutcomeUnknown     a transaction may or may not be durable: the process must stop and look again
"""

from typing import Final, Literal

from roost_protocol.reasons import Reason

EX_IOERR: Final = 74
"""sysexits.h: an error while doing input or output on a file."""
EX_CONFIG: Final = 78
"""sysexits.h: something was found in an unconfigured or misconfigured state."""


class StoreError(Exception):
    """Something is wrong with the store. Never raised itself."""


class StoreUnusable(StoreError):
    """The store cannot be opened; the message says where, what was found, and what to do.

    `exit_status` is that of sysexits.h: 78 when the configuration is at fault (in use, a newer version, no right to
    it), 74 when the data is.
    """

    def __init__(self, message: str, exit_status: Literal[74, 78]) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class StoreInUse(StoreUnusable):
    """A broker that runs has it open."""

    def __init__(self, message: str) -> None:
        super().__init__(message, EX_CONFIG)


class ReadFailed(StoreError):
    """A read came to nothing: the file is damaged, or more reads are under way than there are places for."""


class RecordDamaged(ReadFailed):
    """A record is not what was written, or not there although another says so. `table` and `key` say which."""

    def __init__(self, table: str, key: bytes, found: str = "its checksum does not fit", mark: bytes = b"") -> None:
        super().__init__(f"the store is damaged: a record of {table}{f' at {key.hex()}' if key else ''}: {found}")
        self.table = table
        self.key = key
        self.mark = mark or key
        """What tells it from other damaged records of the table."""


class CopyFailed(StoreError):
    """A backup, a restoration or a compaction was not done, and left nothing behind.

    `reason`: ALREADY_EXISTS (something is in its place), QUOTA_EXCEEDED (no space), NOT_AUTHORIZED (no right),
    NOT_FOUND (something is not there), MALFORMED_PACKET (what was asked cannot be), UNSPECIFIED_ERROR (damaged, or the
    disk failed).
    """

    def __init__(self, message: str, reason: Reason) -> None:
        super().__init__(message)
        self.reason = reason


class CommitRefused(StoreError):
    """The transaction was not done, and nothing changed: the map or the disk is full. `reason` is for the senders."""

    def __init__(self, message: str, reason: Reason = Reason.QUOTA_EXCEEDED) -> None:
        super().__init__(message)
        self.reason = reason


class OutcomeUnknown(StoreError):
    """The disk failed at a moment when the transaction may have become durable, or may not; or the store is damaged.

    The process must stop without telling any sender anything; after a restart the store says what is true.
    """
