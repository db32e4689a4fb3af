"""Backups of a broker that runs."""

from typing import Annotated, Literal

from msgspec import Meta

from roost_protocol.admin.route import Asked, Route, Told

FolderPath = Annotated[str, Meta(min_length=1, max_length=4_096)]
"""A path on the broker's machine (Linux, PATH_MAX)."""


class BackupAsked(Asked, frozen=True, kw_only=True):
    """Where the backup goes: an absolute path on the broker's own machine, of a folder that is not there yet."""

    folder: FolderPath


class BackupRecord(Told, frozen=True, kw_only=True):
    """What a backup holds: its `backup.json`. Times are Unix time in ms."""

    made: int
    version: str
    """Of the roost that made it."""
    schema: int
    """Of the store."""
    data_bytes: int
    data_sha256: str
    users: int
    devices: int
    groups: int
    messages: int
    entries: int
    last_message: str
    """Id of the newest message that was ever stored, 16 hexadecimal digits."""
    last_epoch: int


BackupStep = Literal["copying", "checking", "done", "failed"]


class BackupTold(Told, frozen=True, kw_only=True):
    """How far a backup is: it is copied, then checked, and then it is there, or has failed and left nothing."""

    step: BackupStep
    bytes: int
    """Written so far."""
    bytes_expected: int
    """What it will have, more or less."""
    record: BackupRecord | None = None
    """When it is done."""
    reason: int = 0
    """When it has failed: the code of a `Reason`."""
    text: str = ""
    """When it has failed: why, in one line."""


BACKUP = Route(
    method="POST",
    path="/v1/backup",
    summary="Make a backup of the store, checked, while everything goes on; ended by whoever ends the request",
    takes=BackupAsked,
    gives=BackupTold,
    role="admin",
    streams=True,
)

ROUTES = (BACKUP,)
