"""The core of a broker node: everything between the connections and the store.

One object that holds the parts together: the batcher in front of the store's writer, the readers, the presence
directory, delivery, accounts, and the few rules that need several of them. No sockets: connections come to it as
`Link`s, over whatever transport.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import ClassVar

import trio

from roost_broker.accounts import Accounts
from roost_broker.batcher import Batcher, Settlement
from roost_broker.brakes import BusyBudget
from roost_broker.config import Config
from roost_broker.delivery import Delivery
from roost_broker.guesses import Guesses
from roost_broker.journal import Journal
from roost_broker.metrics import Metrics
from roost_broker.offload import Gathered, OffloadFactory, OwnThread
from roost_broker.presence import Directory
from roost_broker.rates import Rates
from roost_broker.removals import Removals
from roost_broker.retention import RetentionKeeper
from roost_broker.session import Session
from roost_broker.sign_on import SignOn
from roost_broker.store import CommitRefused, Store
from roost_broker.store.operations import (
    Ended,
    EndSession,
    LoggedIn,
    MoveCursors,
    Operation,
    OperationResult,
    Trimmed,
)
from roost_broker.strangers import Strangers
from roost_broker.takeovers import TakeoverDamper
from roost_broker.version import installed_version
from roost_protocol.frames import Disconnect, Origin, Presence
from roost_protocol.limits import KIB
from roost_protocol.reasons import Reason

_log = logging.getLogger(__name__)

CURSOR_WRITE_S = 1.0
"""Cursors that were acknowledged are durable after at most so long, also when nothing is published."""

CURSORS_SOON = 4 * KIB
"""So many moved cursors ride along with the next commit, however short ago the last were written."""


@dataclass(frozen=True)
class Surroundings:
    """What a broker takes from outside, so that a whole one can run in memory under virtual time.

    `now_ms` is the wall clock (Unix time, ms); monotonic time is Trio's own clock.
    """

    now_ms: Callable[[], int]
    random: Random
    offload: OffloadFactory
    writer: Callable[[], OwnThread] | None = None
    """What commits are made in; None: `offload(1)`."""


class Core:
    """The parts of one node. `serve` is its life; everything else is called from the event loop."""

    farewell: ClassVar = Disconnect(
        reason=Reason.SERVER_SHUTTING_DOWN, text="the broker shuts down", reconnect=True, reconnect_after_s=1
    )
    """What everybody is told when the broker shuts down."""

    def __init__(self, config: Config, store: Store, around: Surroundings, nursery: trio.Nursery) -> None:
        limits = config.limits
        self.config = config
        self.limits = limits
        self.store = store
        self.now_ms = around.now_ms
        self.metrics = Metrics(trio.current_time())
        self.nursery = nursery
        self.readers = around.offload(limits.readers_max)
        self.checker = around.offload(1)
        """Where the store is checked: it keeps no reader from its work."""
        self.token_owners = Gathered(store.token_owner, self.readers, nursery)
        self.accounts = Accounts(config.passwords, around.offload(limits.password_checks_max), limits, around.random)
        self.sign_on: SignOn | None = None
        """What JWTs are verified by; None: nobody logs in with one."""
        self.directory = Directory()
        self.delivery = Delivery(store, self.readers, limits, nursery)
        self.damper = TakeoverDamper(limits.takeovers_max, limits.takeover_window_s)
        self.rates = Rates()
        """How much each user may publish, where the site bounds that."""
        self.guesses = Guesses(limits)
        """Log-ins that failed lately, of users and of admins."""
        self.cursors: dict[int, int] = {}
        """Acknowledged numbers of devices that are not in the store yet."""
        self._cursors_due = trio.current_time()
        self.names: dict[int, str] = {}
        """Names of the users that somebody follows or that have a session, by number."""
        self.journal = Journal(self)
        self._writer = around.writer() if around.writer else around.offload(1)
        self.batcher = Batcher(
            store,
            self._writer,
            limits,
            around.now_ms,
            riders=self._take_riders,
            rider_settled=self._rider_settled,
            after_batch=self._after_batch,
            metrics=self.metrics.batches,
        )
        self.busy = BusyBudget()
        self.removals = Removals(self)
        self.strangers = Strangers()
        """Connections on which nobody has logged in yet."""
        self.draining = False
        self.published = 0
        """Messages stored since the start."""
        self.started_ms = around.now_ms()
        self.retention = RetentionKeeper(self)

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit, write cursors in time, and watch keepalives, until cancelled. Raises OutcomeUnknown.

        It is started when the journal says so: from then on somebody may log in.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.batcher.serve)
                self.journal.started(installed_version())
                self.journal.write()
                await self.batcher.wait_idle()
                task_status.started()
                nursery.start_soon(self._twice_a_second)
        finally:
            if isinstance(self._writer, OwnThread):
                self._writer.close()

    def adopt(self, config: Config) -> None:
        """Go by another configuration from now on, as far as it can change: see `reload`."""
        self.config = config
        self.limits = config.limits
        self.damper.change(config.limits.takeovers_max, config.limits.takeover_window_s)
        self.guesses.change(config.limits)

    # --- sessions ---

    def begin(self, session: Session, logged_in: LoggedIn) -> None:
        """A log-in is committed: end the session before it on this terminal type, and let the new one live.

        Called at the log-in's place in commit order: what the earlier session had put into a batch before is
        answered already, and what came after is fenced by the store.
        """
        before = self.directory.get(session.user, session.terminal)
        if before is not None and before.device == session.device:
            # It may be the older of its connections that comes last here, so the device is free to come once more.
            before.disconnect(Disconnect(text="this device has connected again", reconnect=True))
        elif before is not None:
            self.metrics.takeovers += 1
            self.damper.record(session.user, session.terminal, trio.current_time())
            origin = Origin(by=session.device_id, at=session.since_ms, address=session.address)
            before.fence(Reason.SESSION_TAKEN_OVER, f"logged in elsewhere: {session.device_id}", origin)
        # What its earlier session held, this device may not hold any more: its log-in has set the cursor.
        self.cursors.pop(session.device, None)
        self.names[session.user] = session.user_name
        self.directory.add(session)
        self.presence_changed(session.user, session.terminal)

    def end(self, session: Session, why: Disconnect | None = None) -> None:
        """A session ends; `why` as either side has said it, None if nobody has said anything. Idempotent."""
        if session.closed:
            return
        session.closed = True
        self.journal.closed(session, why)
        self.metrics.ended(session)
        self.delivery.leave(session)
        for user in tuple(session.watching):
            self.unwatch(session, user)
        # Also when nothing was acknowledged: the device was here until now.
        self.cursors[session.device] = session.acknowledged
        if self.directory.remove(session):
            self.presence_changed(session.user, session.terminal)
        self._forget_name(session.user)

    async def end_session(self, operation: EndSession, text: str = "") -> OperationResult:
        """End a session for good, and disconnect its device if it is here, with `text`. Raises CommitRefused."""

        def settled(_: Operation, result: Settlement) -> None:
            if not isinstance(result, Ended):
                return
            session = self.directory.get(operation.user, result.terminal)
            if session is not None and operation.device_id in (None, session.device_id):
                origin = Origin(by=operation.by, at=result.at, address=operation.address)
                session.fence(operation.reason, text or f"{operation.reason.phrase} by {operation.by}", origin)

        return await self.batcher.run(operation, settled)

    async def drain(self) -> None:
        """Tell every device to come back later, and wait until everything under way is durable and answered."""
        self.draining = True
        for link in self.strangers:
            link.disconnect(self.farewell)
        await self.batcher.wait_idle()
        for session in self.directory:
            session.disconnect(self.farewell)
        self.write_cursors()
        self.journal.stopped()
        await self.journal.flush()

    # --- presence ---

    def presence_changed(self, user: int, terminal: str) -> None:
        """Tell whoever follows `user` what is true now on this terminal type."""
        for watcher in self.directory.watchers(user):
            if watcher.link.outlet.full:
                watcher.presence_is_stale(user, terminal)
            else:
                self.say_presence(watcher, user, terminal)
                watcher.flush()

    def tell_presence(self, watcher: Session, user: int, *, hidden: bool = False) -> None:
        """Queue the whole presence of `user` for `watcher`: a frame for each terminal, or one that says offline."""
        sessions = [] if hidden else self.directory.of(user)
        if not sessions:
            watcher.link.say(Presence(user=self.names.get(user, ""), online=False))
        for session in sessions:
            self.say_presence(watcher, user, session.terminal)

    def unwatch(self, watcher: Session, user: int) -> None:
        """`watcher` does not follow `user` any more."""
        self.directory.unwatch(watcher, user)
        self._forget_name(user)

    def hide_presence(self, user: int, from_name: str) -> None:
        """`user` has blocked somebody, who must not follow his presence any more: to him, he is offline."""
        for watcher in self.directory.watchers(user):
            if watcher.user_name == from_name:
                watcher.link.say(Presence(user=self.names.get(user, ""), online=False))
                self.unwatch(watcher, user)
                watcher.flush()

    def say_presence(self, watcher: Session, user: int, terminal: str) -> None:
        """Queue what is true now of `user` on this terminal type, for `watcher`."""
        session = self.directory.get(user, terminal)
        watcher.link.say(
            Presence(
                user=self.names.get(user, ""),
                terminal=terminal,
                online=session is not None,
                since=session.since_ms if session else self.now_ms(),
            )
        )

    def _forget_name(self, user: int) -> None:
        if not self.directory.of(user) and not self.directory.watchers(user):
            self.names.pop(user, None)

    # --- retention ---

    def trimmed(self, result: Trimmed) -> None:
        """Retention moved floors: what is gone from the store is gone from memory."""
        self.delivery.trimmed(result.floors)

    # --- cursors and keepalive ---

    def write_cursors(self) -> None:
        """Have what was acknowledged written, with or without a publish to go with."""
        self._cursors_due = trio.current_time()
        for operation in self._take_cursors():
            self.batcher.submit(operation, self._cursors_settled)

    def _take_riders(self) -> list[Operation]:
        return self._take_cursors() + self.journal.take()

    def _rider_settled(self, operation: Operation, result: Settlement) -> None:
        self._cursors_settled(operation, result)
        self.journal.settled(operation, result)

    def _after_batch(self) -> None:
        self.delivery.flush()
        self.journal.committed()

    def _cursors_settled(self, operation: Operation, result: Settlement) -> None:
        """What could not be written is written later, unless something newer is there.

        Several writes may be refused one after the other: what the later ones had is newer than what the first had.
        """
        if isinstance(result, CommitRefused) and isinstance(operation, MoveCursors):
            for device, seq in operation.cursors:
                self.cursors[device] = max(seq, self.cursors.get(device, 0))

    def _take_cursors(self) -> list[Operation]:
        """The cursors that ride with the commit about to be made: at most one write for each device in a second."""
        if not self.cursors or (trio.current_time() < self._cursors_due and len(self.cursors) < CURSORS_SOON):
            return []
        self._cursors_due = trio.current_time() + CURSOR_WRITE_S / 2
        moved, self.cursors = self.cursors, {}
        return [MoveCursors(cursors=tuple(moved.items()))]

    async def _twice_a_second(self) -> None:
        noting = False
        due = trio.current_time()
        while True:
            due = max(due, trio.current_time() - CURSOR_WRITE_S) + CURSOR_WRITE_S / 2
            await trio.sleep_until(due)
            self.metrics.loop_lag_s.observe(trio.current_time() - due)
            if self.cursors:
                self.write_cursors()
            self._close_silent()
            if self.config.jwt.end_at_expiry:
                self._close_expired()
            noting = not noting
            if noting:
                await self.journal.note_progress()
            else:
                self.journal.write()  # unless it has gone along with something else since it was noted

    def _close_silent(self) -> None:
        """Close the sessions that said nothing for 1.5 × keepalive while they were listened to (MQTT 5.0, 3.1.2.10)."""
        now = trio.current_time()
        for session in self.directory:
            waiting = session.link.waiting_since
            if waiting is not None and now - waiting > 1.5 * session.keepalive_s:
                session.disconnect(
                    Disconnect(
                        reason=Reason.KEEP_ALIVE_TIMEOUT,
                        text=f"nothing heard for {1.5 * session.keepalive_s:g} s",
                        reconnect=True,
                    )
                )

    def _close_expired(self) -> None:
        """Close the sessions whose time is over, whatever they do (MQTT 5.0, 2.4: maximum connect time)."""
        now_ms = self.now_ms()
        for session in self.directory:
            if session.ends_ms is not None and now_ms >= session.ends_ms:
                session.disconnect(
                    Disconnect(reason=Reason.MAXIMUM_CONNECT_TIME, text="the log-in has expired", reconnect=True)
                )
