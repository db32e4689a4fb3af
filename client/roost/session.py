"""The session as an application sees it: what it can do, and the events that iterating gives.

Everything here is thin: `core` holds what a session knows, `upkeep` keeps it connected.
"""

from collections.abc import Iterable
from typing import Literal

import trio
from msgspec import Struct

from roost.core import SessionCore
from roost.errors import SessionEnded
from roost.events import Body, Event, Page, Receipt, message_of
from roost.publication import BYTES_TYPE, Publication, body_bytes, check_body
from roost.requests import RequestMaker
from roost.upkeep import Upkeep
from roost_protocol import frames
from roost_protocol.frames import (
    TEXT_TYPE,
    DeviceState,
    Ephemeral,
    Fetch,
    Group,
    Member,
    Relation,
    Result,
    Sessions,
    Subscribe,
)
from roost_protocol.limits import LIST_MAX
from roost_protocol.names import check_device_id, check_name
from roost_protocol.reasons import Reason


class SessionStatistics(Struct, frozen=True, kw_only=True):
    """Counts of one session, as of now."""

    connected: bool
    connects: int
    """Log-ins that succeeded, the first included."""
    events_waiting: int
    entries_waiting: int
    ephemeral_dropped: int
    """Ephemeral messages that the application was too slow for."""
    unsettled: int
    settled: int
    """Publishes with a known outcome."""
    retried: int
    """Times that the broker asked to wait with a publish."""
    requests_waiting: int


class Session:
    """One user on one terminal type, live. Made by `connect`; used by the tasks of one Trio program.

    Iterate it for the events, in one task at a time. Everything that asks the broker for something waits for a
    connection first, however long that takes: put `trio.fail_after` around it to bound that. All of it raises
    SessionEnded once the session is over.
    """

    def __init__(self, core: SessionCore, upkeep: Upkeep) -> None:
        self._core = core
        self._upkeep = upkeep
        self._iterating = False

    def __repr__(self) -> str:
        state = "ended" if self._core.ended else "connected" if self.connected else "disconnected"
        return f"<roost.Session {self.user}/{self.terminal} {state}>"

    # --- what it is -----------------------------------------------------------------------------------------------

    @property
    def user(self) -> str:
        """The user that is logged in."""
        return self._core.user

    @property
    def device(self) -> str:
        """The id of this device."""
        return self._core.device

    @property
    def terminal(self) -> str:
        """The terminal type it is logged in on."""
        return self._core.terminal

    @property
    def epoch(self) -> int:
        """The epoch of the session, as of the last log-in."""
        return self._core.epoch or 0

    @property
    def head(self) -> int:
        """The newest number of the inbox that is known here."""
        return self._core.head

    @property
    def last_seq(self) -> int:
        """The last number acknowledged: after a restart, what comes after it is told again."""
        return self._core.acknowledged

    @property
    def token(self) -> str | None:
        """The device token, if one was issued: a credential, to be kept as a password is."""
        return self._core.token

    @property
    def connected(self) -> bool:
        """Whether there is a live connection now."""
        return self._core.connected

    @property
    def unsettled(self) -> tuple[Publication, ...]:
        """The publishes whose outcome is not known, in order; those that an earlier process left are among them."""
        return tuple(self._core.publisher.outbox)

    def statistics(self) -> SessionStatistics:
        """Counts, as of now."""
        core = self._core
        return SessionStatistics(
            connected=core.connected,
            connects=core.connects,
            events_waiting=len(core.buffer),
            entries_waiting=core.buffer.entries,
            ephemeral_dropped=core.buffer.ephemeral_dropped,
            unsettled=len(self.unsettled),
            settled=core.publisher.settled,
            retried=core.publisher.retried,
            requests_waiting=len(core.requests),
        )

    # --- events ---------------------------------------------------------------------------------------------------

    def __aiter__(self) -> "Session":
        return self

    async def __anext__(self) -> Event:
        """The next event. Ends after TakenOver or Ended, and when the session is left.

        With automatic acknowledgement, asking for an event acknowledges the entry (or gap) handed out before. Not
        always a checkpoint: while many events wait, one in 64 is. Safe to cancel: no event is lost. Raises
        StateUnusable, and trio.BusyResourceError if another task is asking too.
        """
        if self._iterating:
            raise trio.BusyResourceError("another task is waiting for events of this session; hand them on from one")
        self._iterating = True
        try:
            event = await self._core.next_event()
        finally:
            self._iterating = False
        if event is None:
            raise StopAsyncIteration
        return event

    async def acknowledge(self, seq: int) -> None:
        """The application holds every entry up to `seq` for good; none of them will be told again.

        Needed with `auto_acknowledge=False`; else it only makes it sooner. When it returns, the number is in the
        state; the broker is told next. Safe to cancel. Raises ValueError for a number that was not handed out,
        StateUnusable.
        """
        self._core.acknowledge(seq)
        await self._core.writer.flush()

    # --- messages -------------------------------------------------------------------------------------------------

    async def publish(self, to: str, body: Body, content_type: str | None = None) -> Receipt:
        """Publish a message to `user/NAME` or `group/NAME`, and wait until it is stored in every inbox.

        It is sent again after each reconnect, and when the broker asks to try later, until its outcome is known. If
        as many are unsettled as the broker allows, this waits first. Cancelling gives it up: it is not sent any
        more, and whether it was stored is unknown; if it was, its entry comes in the stream, as every own message
        does. A checkpoint. Raises PublishRefused, SessionEnded, ValueError.
        """
        publication = await self._publish_when_room(to, body, content_type)
        try:
            return await publication.settled()
        finally:
            publication.give_up()  # does nothing unless this was cancelled

    def publish_nowait(self, to: str, body: Body, content_type: str | None = None) -> Publication:
        """As `publish`, without waiting: the outcome comes through the Publication.

        Raises trio.WouldBlock if as many are unsettled as the broker allows; PublishRefused (too large), SessionEnded,
        ValueError.
        """
        return self._core.publish_nowait(to, body, content_type)

    async def send_ephemeral(self, to: str, body: Body, content_type: str | None = None) -> None:
        """Send a passing signal (typing and the like) to whoever is online: not stored, and dropped when offline here.

        Waits only while many are queued. Safe to cancel. Raises SessionEnded, PublishRefused (too large), ValueError.
        """
        size = body_bytes(body)
        if self._core.granted is not None:
            check_body(size, self._core.granted.body_bytes_max)
        if isinstance(body, str):
            frame = Ephemeral(to=to, content_type=content_type or TEXT_TYPE, text=body)
        else:
            frame = Ephemeral(to=to, content_type=content_type or BYTES_TYPE, data=body)
        await self._core.send_ephemeral(frame)

    async def fetch(
        self, conversation: str | None = None, before: int | None = None, after: int | None = None, limit: int = 50
    ) -> Page:
        """Scroll back: entries of a conversation (an address; None: the whole inbox) that the inbox still holds.

        The newest below `before`, or the oldest above `after`, or with neither the newest; at most `limit` (1 to
        1000; the broker may give fewer, and says whether there are more). Moves nothing. A checkpoint; safe to
        cancel. Raises RequestRefused, SessionEnded, ValueError.
        """
        answer = await self._core.ask(
            lambda request: Fetch(request=request, conversation=conversation, before=before, after=after, limit=limit),
            again=True,
        )
        page = answer if isinstance(answer, frames.Page) else frames.Page(request=answer.request)
        entries = tuple(message_of(entry, self.user) for entry in page.entries)
        return Page(entries=entries, more=page.more, floor=page.floor, head=page.head)

    # --- presence -------------------------------------------------------------------------------------------------

    async def subscribe(self, users: Iterable[str]) -> None:
        """Follow the presence of these users: PresenceChanged events, the state as of now first. Kept over reconnects.

        A checkpoint. Raises RequestRefused, SessionEnded, ValueError.
        """
        for some in _in_parts(users):
            await self._ask(lambda request, some=some: Subscribe(request=request, users=some))  # type: ignore[misc]
            self._core.followed.update(some)

    async def unsubscribe(self, users: Iterable[str]) -> None:
        """Follow these users no longer. A checkpoint. Raises RequestRefused, SessionEnded, ValueError."""
        for some in _in_parts(users):
            self._core.followed.difference_update(some)
            await self._ask(lambda request, some=some: Subscribe(request=request, users=some, stop=True))  # type: ignore[misc]

    # --- groups ---------------------------------------------------------------------------------------------------

    async def create_group(self, name: str, members: Iterable[str] = ()) -> None:
        """Create a group with these members and oneself, its owner.

        A checkpoint. Raises RequestRefused, ConnectionFailed (the connection broke; whether it was created is
        unknown), SessionEnded, ValueError (more than 256 members at once).
        """
        users = tuple(members)
        await self._ask(lambda request: Group(request=request, action="create", group=name, users=users), again=False)

    async def add_members(self, group: str, users: Iterable[str]) -> None:
        """Add users to a group one owns, all or none; at most 256 at once.

        A checkpoint. Raises RequestRefused, SessionEnded, ValueError.
        """
        await self._change_group("add", group, tuple(users))

    async def remove_members(self, group: str, users: Iterable[str]) -> None:
        """Remove users from a group one owns. See `add_members`."""
        await self._change_group("remove", group, tuple(users))

    async def leave_group(self, group: str) -> None:
        """Leave a group. A checkpoint. Raises as `create_group`."""
        await self._ask(lambda request: Group(request=request, action="leave", group=group), again=False)

    async def group_members(self, group: str) -> tuple[Member, ...]:
        """The members of a group one is in, each with whether it is the owner. Raises as `add_members`."""
        answer = await self._ask(lambda request: Group(request=request, action="members", group=group))
        return answer.members or ()

    async def groups(self) -> tuple[str, ...]:
        """Names of the groups one is a member of. Raises as `add_members`."""
        return (await self._ask(lambda request: Group(request=request, action="list"))).groups or ()

    # --- contacts and blocks --------------------------------------------------------------------------------------

    async def add_contact(self, user: str) -> None:
        """Add a user to one's contacts. Doing it twice is no error. Raises as `add_members`."""
        await self._relate("add", "contact", user)

    async def remove_contact(self, user: str) -> None:
        """Remove a user from one's contacts. Raises as `add_members`."""
        await self._relate("remove", "contact", user)

    async def contacts(self) -> tuple[str, ...]:
        """Names of one's contacts. Raises as `add_members`."""
        return (await self._ask(lambda request: Relation(request=request, action="list", kind="contact"))).users or ()

    async def block(self, user: str) -> None:
        """Take no messages from this user any more; he is told so when he publishes. Raises as `add_members`."""
        await self._relate("add", "block", user)

    async def unblock(self, user: str) -> None:
        """Take messages from this user again. Raises as `add_members`."""
        await self._relate("remove", "block", user)

    async def blocked(self) -> tuple[str, ...]:
        """Names of the users one has blocked. Raises as `add_members`."""
        return (await self._ask(lambda request: Relation(request=request, action="list", kind="block"))).users or ()

    # --- one's own devices ----------------------------------------------------------------------------------------

    async def devices(self) -> tuple[DeviceState, ...]:
        """One's own devices, each with its session if it has one now. Raises as `add_members`."""
        return (await self._ask(lambda request: Sessions(request=request, action="list"))).devices or ()

    async def log_out(self, device: str) -> None:
        """End the session of one of one's own devices and revoke its token. Raises as `create_group`.

        A device that logs itself out ends its session: the last event is Ended.
        """
        check_device_id(device)
        try:
            await self._ask(lambda request: Sessions(request=request, action="log_out", device=device), again=False)
        except SessionEnded as ended:
            if device != self.device or ended.reason is not Reason.LOGGED_OUT:
                raise

    async def set_password(self, old: str, new: str) -> None:
        """Change one's own password; tokens of one's other devices are revoked. Raises as `create_group`."""
        await self._ask(
            lambda request: Sessions(request=request, action="set_password", password=old, new_password=new),
            again=False,
        )
        self._upkeep.password_changed(new)

    # --- the end --------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """End the session here: say goodbye, and close the connection; done by leaving `connect`'s block, too.

        Takes at most a few seconds, also when it is cancelled. Idempotent.
        """
        await self._upkeep.leave()

    async def _publish_when_room(self, to: str, body: Body, content_type: str | None) -> Publication:
        while True:
            try:
                return self.publish_nowait(to, body, content_type)
            except trio.WouldBlock:
                await self._core.publisher.wait_room()

    async def _ask(self, frame_of: RequestMaker, *, again: bool = True) -> Result:
        answer = await self._core.ask(frame_of, again=again)
        return answer if isinstance(answer, Result) else Result(request=answer.request)

    async def _change_group(self, action: Literal["add", "remove"], group: str, users: tuple[str, ...]) -> None:
        await self._ask(lambda request: Group(request=request, action=action, group=group, users=users))

    async def _relate(self, action: Literal["add", "remove"], kind: Literal["contact", "block"], user: str) -> None:
        await self._ask(lambda request: Relation(request=request, action=action, kind=kind, user=user))


def _in_parts(users: Iterable[str]) -> list[tuple[str, ...]]:
    """The names in parts that fit a frame. Raises ValueError for what cannot be a name."""
    names = [check_name(name) for name in users]
    return [tuple(names[start : start + LIST_MAX]) for start in range(0, len(names), LIST_MAX)]
