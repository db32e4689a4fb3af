"""Checking the store: what is found, how far it has come, and the verdict."""

from typing import Literal

from roost_protocol.admin.route import Asked, Route, Told

Severity = Literal["damage", "warning"]
"""Damage: something that was promised does not hold. Warning: something is left over, and takes room alone."""


class FsckHow(Asked, frozen=True, kw_only=True):
    """How to check. `fast`: with all of a core, instead of a part that leaves room for deliveries."""

    fast: bool = False


class Finding(Told, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong with the store.

    `code` is one word for the kind of it, `table` the table whose row is wrong or missing (`file`: the file below all
    tables). The rest of where is given as far as it is known: users, devices and groups by number, and by name where
    the store still has one; `seq` in the user's inbox; `message` by its id.
    """

    severity: Severity
    code: str
    table: str
    found: str
    expected: str
    advice: str
    """What it means for users, and what to do."""
    user: str | None = None
    user_number: int | None = None
    device: str | None = None
    device_number: int | None = None
    group: str | None = None
    group_number: int | None = None
    seq: int | None = None
    message: str | None = None


class FsckProgress(Told, frozen=True, kw_only=True):
    """How far a check has come: rows looked at, of those there are to look at; and what is looked at now."""

    stage: str
    rows: int
    of: int


class FsckVerdict(Told, frozen=True, kw_only=True):
    """How a check has ended. `complete` is false if there were so many findings that it stopped looking."""

    damages: int
    warnings: int
    complete: bool
    users: int
    devices: int
    groups: int
    messages: int
    entries: int

    @property
    def clean(self) -> bool:
        """Whether everything that was promised holds. Warnings do not count."""
        return self.damages == 0


class FsckEvent(Told, frozen=True, kw_only=True, omit_defaults=True):
    """One event of a check that is under way: one of the three. The verdict is the last."""

    progress: FsckProgress | None = None
    finding: Finding | None = None
    verdict: FsckVerdict | None = None


FSCK = Route(
    method="POST",
    path="/v1/fsck",
    summary="Check the store as it is now, and follow what is found; one check at a time",
    query=FsckHow,
    gives=FsckEvent,
    role="operate",
    streams=True,
)

ROUTES = (FSCK,)
