"""The life of a chat: a session, what it tells, and what is typed."""

import signal
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import trio

from roost.errors import PublishRefused, RequestRefused, RoostError, SessionEnded
from roost.events import Connected, Ended, Event, Gap, Message, TakenOver
from roost_admin.chat.screen import Screen
from roost_admin.chat.view import View
from roost_admin.failures import EX_NOPERM, EX_UNAVAILABLE
from roost_protocol.names import parse_address
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost.connecting import Connecting
    from roost.publication import Publication
    from roost.session import Session

HISTORY_ENTRIES = 20
"""Messages of the conversation shown at the start."""

HISTORY_S = 3.0
"""Seconds that the history may take: whoever just lost the connection should hear of that, not wait for it."""

WAITING_S = 1.0
"""Seconds after which a message that is not stored yet is said to be waiting."""

LEAVE_S = 5.0
"""Seconds that leaving waits for messages on their way; those that are left go out at the next start."""

BY_SOMEBODY = (Reason.SESSION_TAKEN_OVER, Reason.ADMINISTRATIVE_ACTION, Reason.LOGGED_OUT)


async def talk(connecting: "Connecting", screen: Screen, view: View) -> int:
    """Chat until the user leaves or the session is over; the exit status.

    With a signal (SIGINT, SIGTERM, SIGHUP) the user leaves. Raises a group with LoginRefused, ConnectionFailed or
    StateUnusable in it.
    """
    status = 0
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async with trio.open_nursery() as outer:
            leave = [outer.cancel_scope]
            outer.start_soon(_watch_signals, signals, leave)
            async with connecting as session:
                chat = _Chat(session, screen, view)
                async with trio.open_nursery() as nursery:
                    leave.append(nursery.cancel_scope)
                    nursery.start_soon(chat.watch_stops)
                    nursery.start_soon(chat.show_events, nursery)
                    nursery.start_soon(chat.send_lines, nursery)
                chat.say_left_over()
                status = chat.status
            outer.cancel_scope.cancel()
    return status


async def _watch_signals(signals: AsyncIterator[int], leave: list[trio.CancelScope]) -> None:
    """The user asks to leave: what is innermost by then is left, and the rest follows."""
    async for _ in signals:
        leave[-1].cancel()


class _Chat:
    """One session on one screen."""

    def __init__(self, session: "Session", screen: Screen, view: View) -> None:
        self._session = session
        self._screen = screen
        self._view = view
        self._on_their_way = 0
        self._shown_seq = -1
        self._shown_more = trio.lowlevel.ParkingLot()
        self.status = 0

    async def watch_stops(self) -> None:
        """The window has another size, or the process was stopped and goes on: draw again."""
        with trio.open_signal_receiver(signal.SIGWINCH, signal.SIGCONT) as signals:
            async for _ in signals:
                self._screen.again()

    # --- what comes -----------------------------------------------------------------------------------------------

    async def show_events(self, nursery: trio.Nursery) -> None:
        """Show what the session tells, to its end."""
        first = True
        async for event in self._session:
            self._show(self._view.lines_of(event))
            if first and isinstance(event, Connected):
                first = False
                await self._begin(event, nursery)
            self._note_shown(event)
            if isinstance(event, TakenOver) or (isinstance(event, Ended) and event.reason in BY_SOMEBODY):
                self.status = EX_NOPERM
            elif isinstance(event, Ended):
                self.status = EX_UNAVAILABLE
            self._prompt()
        nursery.cancel_scope.cancel()

    def _note_shown(self, event: Event) -> None:
        match event:
            case Connected(position=seq) | Message(seq=seq) | Gap(last=seq):
                self._shown_seq = seq
                self._shown_more.unpark_all()
            case _:
                pass

    async def _begin(self, connected: Connected, nursery: trio.Nursery) -> None:
        """What was said before this start: everything up to where the stream starts; the stream is the rest."""
        view, session = self._view, self._session
        with trio.move_on_after(HISTORY_S) as scope:
            try:
                page = await session.fetch(view.conversation, before=connected.position + 1, limit=HISTORY_ENTRIES)
            except (RequestRefused, SessionEnded) as error:
                self._show([view.aside(f"no history: {error}")])
            else:
                self._show(view.history(page))
        if scope.cancelled_caught:
            self._show([view.aside("no history: the broker does not answer")])
        for publication in session.unsettled:
            nursery.start_soon(self._follow, publication)
        address = parse_address(view.conversation)
        if address.kind == "user" and address.name != view.user:
            nursery.start_soon(self._follow_presence, address.name)

    async def _follow_presence(self, user: str) -> None:
        try:
            await self._session.subscribe([user])
        except RoostError as error:
            self._show([self._view.aside(f"the presence of {user} is not shown: {error}")])

    # --- what is typed --------------------------------------------------------------------------------------------

    async def send_lines(self, nursery: trio.Nursery) -> None:
        """Publish what is entered; at the end of the input, leave when it is stored."""
        self._prompt()
        while (lines := await self._screen.entered()) is not None:
            for line in filter(str.strip, lines):
                publication = await self._publish(line)
                if publication is not None:
                    nursery.start_soon(self._follow, publication)
        with trio.move_on_after(LEAVE_S):
            for publication in self._session.unsettled:
                await self._outcome(publication)
            # A pipe's input may end at once: what was stored is still to come back and be shown.
            await self._caught_up()
        nursery.cancel_scope.cancel()

    async def _publish(self, text: str) -> "Publication | None":
        """Put a message on its way, when there is room for one more. None if it cannot be."""
        while True:
            try:
                return self._session.publish_nowait(self._view.conversation, text)
            except trio.WouldBlock:
                await self._outcome(self._session.unsettled[0])
            except (PublishRefused, SessionEnded, ValueError) as error:
                self._show(self._view.refused(text, str(error)))
                return None

    async def _outcome(self, publication: "Publication") -> None:
        try:
            await publication.settled()
        except RoostError:
            pass  # said by the task that follows it

    async def _follow(self, publication: "Publication") -> None:
        """Say what becomes of a message, unless it is stored at once: then it comes back in its place."""
        view, text = self._view, str(publication.body)
        self._on_their_way += 1
        self._prompt()
        try:
            with trio.move_on_after(WAITING_S) as scope:
                await publication.settled()
            if scope.cancelled_caught:
                self._show(view.waiting(text))
                await publication.settled()
        except PublishRefused as refused:
            self._show(view.refused(text, str(refused)))
        except SessionEnded:
            self._show(view.waiting(text))
        finally:
            self._on_their_way -= 1
        self._prompt()

    async def _caught_up(self) -> None:
        """Wait until everything that the inbox holds has been shown."""
        while self._shown_seq < self._session.head:
            await self._shown_more.park()

    def say_left_over(self) -> None:
        """Messages that are not stored yet are not lost."""
        count = len(self._session.unsettled)
        if count:
            self._show([self._view.aside(f"{count} not stored yet: kept here, and sent when this device starts again")])

    def _show(self, lines: list[str]) -> None:
        for line in lines:
            self._screen.show(line)

    def _prompt(self) -> None:
        notes = [] if self._session.connected else ["offline"]
        if self._on_their_way:
            notes.append(f"{self._on_their_way} waiting")
        self._screen.prompt(f"[{', '.join(notes)}] {self._view.title}> " if notes else f"{self._view.title}> ")
