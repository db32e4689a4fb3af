"""Retention: the rules and the last walk, what the next would trim and who would lose it, and a walk now."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from roost_broker.administration.acts import Act, Acts, NotDone
from roost_broker.retention import Walk
from roost_broker.store import CommitRefused
from roost_broker.store.operations import Floor, Hold
from roost_broker.store.operations import Retention as Rules
from roost_broker.store.readings import Account, DeviceRecord
from roost_protocol.admin.retention import (
    RETENTION_PLAN,
    RETENTION_RUN,
    RETENTION_SHOW,
    PlannedLoss,
    PlannedTrim,
    PlanQuery,
    PlanStep,
    PlanSummary,
    RetentionStatus,
    RetentionWalk,
)
from roost_protocol.admin.route import PROGRAM, Caller, Route

EVERYBODY = PlanQuery()

USERS_A_SLICE = 16
"""Users looked at in one read: 0.5 ms (see `Acts._in_turns`)."""


class _Inbox(NamedTuple):
    """An inbox to look at: whose it is, and its bounds."""

    user: int
    name: str
    floor: int
    head: int


class _Found(NamedTuple):
    """An inbox that would be trimmed."""

    inbox: _Inbox
    trim: Floor
    devices: tuple[DeviceRecord, ...]


class _Slice(NamedTuple):
    """Some users looked at: how many, whose inbox would be trimmed, and the last name; None: there are no more."""

    users: int
    found: list[_Found]
    after: str | None


class RetentionActs(Acts):
    """Acts on retention."""

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {RETENTION_SHOW: self.show, RETENTION_PLAN: self.plan, RETENTION_RUN: self.run}

    async def show(self) -> RetentionStatus:
        """The rules, the last walk, and what the store holds."""
        core = self._core
        config, keeper = core.config.retention, core.retention
        store = await core.readers.run(core.store.statistics)
        return RetentionStatus(
            age_days=config.age_days,
            count=config.count,
            bytes=config.bytes,
            interval_s=config.interval_s,
            forget_devices_days=config.forget_devices_days,
            hold_days=config.hold_days,
            hold_bytes_max=config.hold_bytes_max,
            lag_s=keeper.lag_s,
            failure=keeper.failure,
            last=None if keeper.last is None else _told(keeper.last),
            users=store.users,
            entries=store.entries,
            messages=store.messages,
            store_used_bytes=store.used_bytes,
            store_map_bytes=store.map_bytes,
        )

    async def run(self, caller: Caller = PROGRAM) -> RetentionWalk:
        """Trim every inbox now, by the clock as it is."""
        del caller
        try:
            walk = await self._core.retention.walk_now()
        except CommitRefused as refused:
            raise NotDone(refused.reason, str(refused)) from refused
        return _told(walk)

    async def plan(self, query: PlanQuery = EVERYBODY) -> AsyncIterator[PlanStep]:
        """Each inbox that a walk now would trim, by the name of its user, with what its devices would lose."""
        account = None if query.user is None else await self._account(query.user)
        return self._plan(account)

    async def _plan(self, only: Account | None) -> AsyncIterator[PlanStep]:
        core = self._core
        rules, hold, now_ms = core.config.retention.policy(), core.retention.hold(), core.now_ms()
        users = inboxes = entries = devices = lost = 0
        after: str | None = ""
        while after is not None:
            some = await self._in_turns(self._look, after, only, rules, hold, now_ms)
            users += some.users
            for found in some.found:
                planned = self._planned(found)
                inboxes += 1
                entries += planned.entries
                devices += len(planned.losses)
                lost += sum(loss.entries for loss in planned.losses)
                yield PlanStep(inbox=planned)
            after = some.after
        yield PlanStep(summary=PlanSummary(users=users, inboxes=inboxes, entries=entries, devices=devices, lost=lost))

    def _look(self, after: str, only: Account | None, rules: Rules, hold: Hold | None, now_ms: int) -> _Slice:
        """Look at the next few users. Runs in a reader's thread."""
        store = self._core.store
        if only is None:
            rows = store.list_users(after, USERS_A_SLICE)
            inboxes = [_Inbox(row.user, row.name, row.floor, row.head) for row in rows]
        else:
            size = store.inbox_size(only.user)
            inboxes = [_Inbox(only.user, only.name, size.floor, size.head)]
        found: list[_Found] = []
        for inbox in inboxes:
            trim = store.would_trim(inbox.user, rules, now_ms, hold)
            if trim is not None:
                found.append(_Found(inbox, trim, store.devices(inbox.user)))
        more = only is None and len(inboxes) == USERS_A_SLICE
        return _Slice(len(inboxes), found, inboxes[-1].name if more else None)

    def _planned(self, found: _Found) -> PlannedTrim:
        core = self._core
        inbox, trim, devices = found
        live = {session.device: session for session in core.directory.of(inbox.user)}
        losses: list[PlannedLoss] = []
        for device in devices:
            session = live.get(device.device)
            # What it has acknowledged just now may not be in the store yet.
            acknowledged = session.acknowledged if session else core.cursors.get(device.device, device.cursor)
            first = max(acknowledged + 1, inbox.floor)
            if first >= trim.floor:
                continue
            losses.append(
                PlannedLoss(
                    device=device.device_id,
                    terminal=device.terminal,
                    acknowledged=acknowledged,
                    first=first,
                    last=trim.floor - 1,
                    entries=trim.floor - first,
                    last_seen=core.now_ms() if session else device.last_seen,
                    online=session is not None,
                )
            )
        return PlannedTrim(
            user=inbox.name,
            floor=inbox.floor,
            new_floor=trim.floor,
            head=inbox.head,
            entries=trim.floor - inbox.floor,
            reason=trim.reason,
            losses=tuple(losses),
        )


def _told(walk: Walk) -> RetentionWalk:
    return RetentionWalk(
        began=walk.began_ms, ended=walk.ended_ms, entries=walk.entries, inboxes=walk.inboxes, by_age=walk.by_age
    )
