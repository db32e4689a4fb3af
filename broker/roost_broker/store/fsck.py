"""Checking a whole store: everything that was promised of its tables, within one read transaction.

`STAGES` is all of it: to check more, add a function that yields findings, and a line there. Nothing is changed and
nothing is repaired.

Memory: what a check holds does not grow with messages and entries, see `fsck_inboxes` and `fsck_messages`. Measured:
32 MB for 1.7 million entries of 20,000 users, 42 MB for 4 million of 100,000, Python and all. Time: 5 to 7 s of a core
for a million entries (with their scroll keys, messages and outcomes), on the two cores that all benchmarks ran on;
`fsck_folder` looks at the pages of the file before, 4 s more.
"""

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, NamedTuple

import lmdb

from roost_broker.store.errors import ReadFailed
from roost_broker.store.fsck_accounts import (
    check_counters,
    check_group_names,
    check_groups,
    check_members,
    check_memberships,
    check_names,
    check_relations,
    check_removals,
    check_schema,
    check_users,
)
from roost_broker.store.fsck_devices import (
    check_cursors,
    check_device_ids,
    check_devices,
    check_outcomes,
    check_sessions,
    check_tokens,
)
from roost_broker.store.fsck_import import check_awaited
from roost_broker.store.fsck_inboxes import check_inboxes
from roost_broker.store.fsck_messages import check_messages
from roost_broker.store.fsck_problems import UNREADABLE
from roost_broker.store.fsck_records import check_admins, check_journal, check_journal_subjects
from roost_broker.store.fsck_seals import check_seals
from roost_broker.store.fsck_snapshot import Check, Snapshot
from roost_broker.store.lmdb_seal_all import SEALED
from roost_broker.store.port import CheckEvent
from roost_protocol.admin.fsck import Finding, FsckProgress, FsckVerdict
from roost_protocol.limits import FINDINGS_MAX

if TYPE_CHECKING:
    from roost_broker.store.lmdb_tables import Tables


class Stage(NamedTuple):
    """A part of a check: what it is called, and the tables whose rows it walks through."""

    name: str
    check: Check
    tables: tuple[str, ...]


STAGES = (
    Stage("schema", check_schema, ("meta",)),
    Stage("checksums", check_seals, SEALED),
    Stage("users", check_users, ("users",)),
    Stage("names", check_names, ("names",)),
    Stage("groups", check_groups, ("groups",)),
    Stage("names of groups", check_group_names, ("group_names",)),
    Stage("members", check_members, ("members",)),
    Stage("memberships", check_memberships, ("memberships",)),
    Stage("relations", check_relations, ("relations",)),
    Stage("removals", check_removals, ("removals",)),
    Stage("those who are awaited", check_awaited, ("awaited",)),
    Stage("devices", check_devices, ("devices",)),
    Stage("ids of devices", check_device_ids, ("device_ids",)),
    Stage("tokens", check_tokens, ("tokens",)),
    Stage("cursors", check_cursors, ("cursors",)),
    Stage("sessions", check_sessions, ("sessions",)),
    Stage("outcomes", check_outcomes, ("outcomes",)),
    Stage("inboxes", check_inboxes, ("floors", "inbox", "scroll")),
    Stage("messages", check_messages, ("messages", "released", "inbox")),
    Stage("journal", check_journal, ("journal",)),
    Stage("subjects of the journal", check_journal_subjects, ("journal_subjects",)),
    Stage("admins", check_admins, ("admins",)),
    Stage("counters", check_counters, ()),
)
"""In their order: `messages` needs what `inboxes` has noted, `counters` what all have."""


def walk(env: lmdb.Environment, tables: "Tables") -> Generator[CheckEvent, None, None]:
    """Check the store of this environment; findings and progress as they come, then the verdict.

    A generator that may rest after each event, for as long as it likes: the read transaction stays open, and keeps
    the pages of its snapshot from being used again, until the generator ends or is closed. Any thread may go on with
    it, one at a time. Stops with `FINDINGS_MAX` findings. Raises ReadFailed if nothing can be read at all.
    """
    try:
        txn = env.begin()
    except lmdb.Error as error:
        raise ReadFailed(f"the store cannot be checked: {error}") from error
    with txn:
        yield from _Walk(Snapshot(txn, tables)).events()


def check(
    env: lmdb.Environment,
    tables: "Tables",
    *,
    progress: Callable[[FsckProgress], None] | None = None,
    pace: Callable[[], None] | None = None,
) -> Iterator[Finding]:
    """The findings alone. `progress` is told how far it is, and `pace` may sleep, some hundred times a second.

    Raises ReadFailed.
    """
    for event in walk(env, tables):
        if isinstance(event, Finding):
            yield event
        elif isinstance(event, FsckProgress):
            if progress is not None:
                progress(event)
            if pace is not None:
                pace()


class _Walk:
    """One check through all stages."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._found = {"damage": 0, "warning": 0}
        self._rows = 0
        self._of = sum(snapshot.rows(table) for stage in STAGES for table in stage.tables)

    def events(self) -> Iterator[CheckEvent]:
        """See `walk`."""
        complete = True
        for stage in STAGES:
            for event in self._stage(stage):
                yield event
                if sum(self._found.values()) >= FINDINGS_MAX:
                    complete = False
                    break
            if not complete:
                break
        rows = self._snapshot.rows
        yield FsckVerdict(
            damages=self._found["damage"],
            warnings=self._found["warning"],
            complete=complete,
            users=rows("users"),
            devices=rows("devices"),
            groups=rows("groups"),
            messages=rows("messages"),
            entries=rows("inbox"),
        )

    def _stage(self, stage: Stage) -> Iterator[CheckEvent]:
        before = self._rows
        try:
            for step in stage.check(self._snapshot):
                if isinstance(step, int):
                    self._rows += step
                    yield FsckProgress(stage=stage.name, rows=self._rows, of=self._of)
                else:
                    self._found[step.severity] += 1
                    yield step
        except lmdb.Error as error:
            finding = self._snapshot.finding(
                UNREADABLE,
                stage.tables[0],
                found=f"the check of {stage.name} ended: {error}",
                expected="readable pages",
            )
            self._found["damage"] += 1
            yield finding
        # Where a check left rows out, those are done with all the same.
        self._rows = before + sum(self._snapshot.rows(table) for table in stage.tables)
