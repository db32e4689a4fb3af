"""Retention in the background: inboxes are trimmed, and devices long unseen forgotten, in slices between the publishes.

What is left of removed users goes the same way.

A slice is one operation in a batch of its own bounds, so no publish ever waits for more than one slice.
"""

import logging
from typing import TYPE_CHECKING, NamedTuple

import trio

from roost_broker.batcher import Settlement
from roost_broker.config import DAY_MS, RetentionConfig
from roost_broker.store import CommitRefused, ReadFailed
from roost_broker.store.journal import first_number_at
from roost_broker.store.operations import (
    ForgetDevices,
    Forgotten,
    Hold,
    JournalTrimmed,
    Operation,
    Trim,
    TrimJournal,
    Trimmed,
)
from roost_protocol.limits import NUMBER_MAX

if TYPE_CHECKING:
    from roost_broker.core import Core

_log = logging.getLogger(__name__)

USERS_A_SLICE = 256
"""Inboxes looked at in one commit: a few reads each."""

DEVICES_A_SLICE = 64
"""Devices looked at in one commit: each that is forgotten has up to `publish_max` outcomes to remove."""

CLOCK_JUMP_MS = 3600 * 1000
"""When the wall clock and the monotonic one disagree by so much, nothing is trimmed by age until the next walk."""


class Walk(NamedTuple):
    """One walk through all inboxes: when it began and ended (Unix time, ms), and what came of it."""

    began_ms: int
    ended_ms: int
    entries: int
    """Entries that were trimmed."""
    inboxes: int
    """Inboxes whose floor moved."""
    by_age: bool
    """Whether age counted: not after the wall clock has jumped."""


class RetentionKeeper:
    """Walks through all inboxes and devices, over and over."""

    def __init__(self, core: "Core") -> None:
        self._core = core
        self._clock_offset_ms = self._offset_ms()
        self._clock_is_off = False
        self._due_at = trio.current_time() + self._config.interval_s
        self.last: Walk | None = None
        """The last walk that came to its end."""
        self.failure = ""
        """Why the walk after it did not, if so."""

    @property
    def lag_s(self) -> float:
        """How long ago a walk should have ended that has not."""
        return max(0.0, trio.current_time() - self._due_at)

    @property
    def _config(self) -> RetentionConfig:
        """As it is now: a reload may change it."""
        return self._core.config.retention

    async def serve(self) -> None:
        """Walk, rest for the configured interval, and so on, until cancelled."""
        while True:
            await trio.sleep(self._config.interval_s)
            try:
                await self.walk()
                await self.forget_devices()
                await self.trim_journal()
                await self._core.removals.finish()
            except CommitRefused as refused:
                self.failure = str(refused)
                _log.error("retention cannot write: %s; trying again in %s s", refused, self._config.interval_s)
            except ReadFailed as error:
                self.failure = str(error)
                _log.error("retention cannot read: %s; trying again in %s s", error, self._config.interval_s)

    def hold(self) -> Hold | None:
        """What must be kept all the same, as of now."""
        if not self._config.hold_days:
            return None
        return self._config.hold(self._core.now_ms(), frozenset(session.device for session in self._core.directory))

    async def walk(self) -> int:
        """Trim every inbox to the configured retention; how many entries went. Raises CommitRefused."""
        self._clock_is_off = self._clock_jumped()
        if self._clock_is_off:
            _log.warning("the wall clock jumped: nothing is trimmed by age until the next walk")
        return (await self.walk_now(by_age=not self._clock_is_off)).entries

    async def walk_now(self, *, by_age: bool = True) -> Walk:
        """The same, for somebody who has asked for it, and trusts the clock unless he says so. Raises CommitRefused."""
        core = self._core
        policy = self._config.policy()
        if not by_age:
            policy = type(policy)(age_ms=None, count=policy.count, bytes=policy.bytes)
        metrics = core.metrics.retention
        began_ms, began = core.now_ms(), trio.current_time()
        after: int | None = 0
        entries = inboxes = last_user = 0
        while after is not None:
            trim = Trim(
                retention=policy,
                hold=self.hold(),
                after=after,
                users_max=USERS_A_SLICE,
                entries_max=core.limits.trim_slice_max,
            )
            result = await core.batcher.run(trim, self._settled)
            if not isinstance(result, Trimmed):
                raise AssertionError(f"not the outcome of a trim: {result!r}")
            entries += result.entries
            metrics.entries_trimmed += result.entries
            for floor in result.floors:
                inboxes += floor.user > last_user  # the last inbox of a slice may come again in the next
                last_user = floor.user
            after = result.next_after
        metrics.walked_from, metrics.walk_s = began, trio.current_time() - began
        self.last = Walk(began_ms, core.now_ms(), entries, inboxes, by_age)
        self.failure = ""
        self._due_at = trio.current_time() + self._config.interval_s
        return self.last

    async def forget_devices(self) -> int:
        """Forget devices not seen for the configured time; how many. Raises CommitRefused."""
        if not self._config.forget_devices_days:
            return 0
        seen_before = self._core.now_ms() - int(self._config.forget_devices_days * DAY_MS)
        after: int | None = 0
        forgotten = 0
        while after is not None:
            live = frozenset(session.device for session in self._core.directory)
            forget = ForgetDevices(seen_before=seen_before, keep=live, after=after, devices_max=DEVICES_A_SLICE)
            result = await self._core.batcher.run(forget)
            if not isinstance(result, Forgotten):
                raise AssertionError(f"not the outcome of forgetting devices: {result!r}")
            forgotten += len(result.devices)
            self._core.metrics.retention.devices_forgotten += len(result.devices)
            after = result.next_after
        return forgotten

    async def trim_journal(self) -> int:
        """Let go of the journal's records beyond what it keeps; how many. Raises CommitRefused."""
        core, keeps = self._core, self._core.config.journal
        before = first_number_at(core.now_ms() - int(keeps.age_days * DAY_MS)) if keeps.age_days else 0
        if self._clock_is_off:
            before = 0
        trimmed = 0
        more = True
        while more:
            trim = TrimJournal(before=before, count=keeps.count or NUMBER_MAX, records_max=core.limits.trim_slice_max)
            result = await core.batcher.run(trim)
            if not isinstance(result, JournalTrimmed):
                raise AssertionError(f"not the outcome of trimming the journal: {result!r}")
            trimmed += result.records
            more = result.more
        return trimmed

    def _settled(self, _: Operation, result: Settlement) -> None:
        if isinstance(result, Trimmed):
            self._core.trimmed(result)

    def _offset_ms(self) -> int:
        return self._core.now_ms() - int(trio.current_time() * 1000)

    def _clock_jumped(self) -> bool:
        offset = self._offset_ms()
        jumped = abs(offset - self._clock_offset_ms) > CLOCK_JUMP_MS
        self._clock_offset_ms = offset
        return jumped
