"""What a store has found damaged since it was opened: said once for each record, and counted."""

import logging
from pathlib import Path

from roost_broker.store.errors import RecordDamaged

_log = logging.getLogger(__name__)

REMEMBERED_MAX = 4_096
"""Damaged records that are told apart, 100 bytes each. A store with more is past the point where each has to be named,
and the count stays there."""


class Damages:
    """The damaged records of one store. Any thread may note one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: set[tuple[str, bytes]] = set()

    @property
    def count(self) -> int:
        """How many records were found damaged, each once; `REMEMBERED_MAX` at most."""
        return len(self._known)

    def note(self, damaged: RecordDamaged) -> None:
        """Somebody has come upon a damaged record: log it if it is the first time."""
        record = (damaged.table, damaged.mark)
        if record in self._known or len(self._known) >= REMEMBERED_MAX:
            return
        self._known.add(record)
        _log.error(
            "%s: %s; whoever asks for it is told that it is damaged: run `roost fsck` to see what is,"
            " and restore a backup from before it happened",
            self._path,
            damaged,
        )
