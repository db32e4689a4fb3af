"""Delivery: pumping sessions along their inboxes.

The inbox is the queue; a session is a cursor over it. A live inbox (one whose user has a session) keeps its newest
entries in memory as the frames they go out in, encoded once for all devices. What a batch has added to an inbox is
joined into a few pieces, and a session whose position is just before them gets these very pieces: a delivery costs
an append to a list. A session that is further behind is pumped: out of that tail if the tail reaches back far enough,
else by a task that reads pages from the store, until it meets the tail. That is all there is to catch-up, live push,
and the slow device; there is no seam between them.

**Invariant:** a session is sent position + 1 next, or a GAP from there, and nothing else.
**Invariant:** a pump rests only after comparing the position with the head, or for want of room in the window or
the outlet, with no await between that and resting. Whoever makes room pumps again.
"""

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import trio

from roost_broker.offload import Offload
from roost_broker.store import ReadFailed, Store
from roost_broker.store.account_operations import Notice
from roost_broker.store.operations import Floor, Published, PublishMessage, Sent
from roost_broker.store.readings import InboxPage
from roost_protocol import codec
from roost_protocol.frames import Disconnect, EntryKind, Gap
from roost_protocol.limits import KIB, Limits
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.session import Session

_log = logging.getLogger(__name__)

UNREADABLE_RETRY_S = 30
"""When a device may come back whose inbox could not be read: time for somebody to look at the disk."""


PIECE_ENTRIES = 32
"""Entries that are joined into one piece at most: a device's window is counted off in pieces, so this is the grain of
cumulative ACKs, small beside the default window."""

PIECE_BYTES = 64 * KIB
"""Larger pieces are left as they are, frame by frame, for the same reason: a sixteenth of the default window."""


class Piece(NamedTuple):
    """Consecutive frames in one: the last number, how many they are, and their bytes."""

    last: int
    entries: int
    data: bytes


class LiveInbox:
    """The head of an inbox and its tail in memory: the frames of the numbers `first` to `head`."""

    __slots__ = ("_bytes_max", "_entries_max", "_fresh", "_tail", "_tail_bytes", "first", "head", "sessions", "user")

    def __init__(self, user: int, head: int, limits: Limits) -> None:
        self.user = user
        self.head = head
        self.first = head + 1
        self.sessions: list[Session] = []
        self._tail: deque[bytes] | None = None  # made with the first entry: most inboxes are idle
        self._tail_bytes = 0
        self._fresh: list[bytes] = []
        self._bytes_max = limits.tail_bytes_max
        self._entries_max = limits.tail_entries_max

    def append(self, seq: int, frame: bytes) -> bool:
        """The entry `seq` is in the store: keep its frame. Numbers come in order, each once.

        Whether it is the first since `take_fresh`.
        """
        if seq != self.head + 1:
            raise AssertionError(f"inbox of user {self.user}: {seq} follows {self.head}")
        self.head = seq
        if self._tail is None:
            self._tail = deque()
        self._tail.append(frame)
        self._tail_bytes += len(frame)
        fresh = self._fresh
        fresh.append(frame)
        return len(fresh) == 1

    def take_fresh(self) -> list[bytes]:
        """The frames that were appended since this was called last; the tail is brought back within its bounds."""
        fresh, self._fresh = self._fresh, []
        tail = self._tail
        while tail and (self._tail_bytes > self._bytes_max or len(tail) > self._entries_max):
            self._drop_first(tail)
        return fresh

    def trimmed(self, floor: int) -> None:
        """Entries below `floor` are gone from the store: nobody gets them any more."""
        while self._tail and self.first < floor:
            self._drop_first(self._tail)

    def forget(self) -> None:
        """Entries may be others in the store now: what is in memory goes, and sessions behind are served from there."""
        self._tail = None
        self._tail_bytes = 0
        self.first = self.head + 1

    def covers(self, seq: int) -> bool:
        """Whether the frame of `seq` is in memory."""
        return self.first <= seq <= self.head

    def frames_from(self, seq: int) -> Iterator[bytes]:
        """The frames of `seq` and all after it; `covers(seq)` must hold."""
        return islice(self._tail or (), seq - self.first, None)

    def _drop_first(self, tail: deque[bytes]) -> None:
        self._tail_bytes -= len(tail.popleft())
        self.first += 1


class FollowedInbox(LiveInbox):
    """An inbox on which nobody has a session, but somebody looks: it says that it grows, and keeps nothing."""

    __slots__ = ("_grown",)

    def __init__(self, user: int, limits: Limits) -> None:
        super().__init__(user, 0, limits)
        self._grown = False

    def append(self, seq: int, frame: bytes) -> bool:
        """See `LiveInbox.append`; where the inbox was before is not known here."""
        del frame
        self.head = seq
        self.first = seq + 1
        before, self._grown = self._grown, True
        return not before

    def take_fresh(self) -> list[bytes]:
        """Nothing: there is no session to send anything to."""
        self._grown = False
        return []


class Growth:
    """Somebody's view of one inbox: whether it has grown, or its user gone, since he looked last."""

    def __init__(self) -> None:
        self._grown = trio.Event()

    def notice(self) -> None:
        """A batch has added to the inbox."""
        self._grown.set()

    async def wait(self) -> None:
        """Wait until there is something to look at that was not when this was waited for last. Safe to cancel."""
        await self._grown.wait()
        self._grown = trio.Event()


class Delivery:
    """All live inboxes of this node, and the pumping of their sessions."""

    def __init__(self, store: Store, readers: Offload, limits: Limits, nursery: trio.Nursery) -> None:
        self._store = store
        self._readers = readers
        self._limits = limits
        self._nursery = nursery
        self._inboxes: dict[int, LiveInbox] = {}
        self._touched: list[Session] = []
        self._fresh: list[LiveInbox] = []
        self._followed: dict[int, list[Growth]] = {}
        self.gaps = 0

    def join(self, session: "Session", head: int) -> LiveInbox:
        """A session begins; its inbox lives from now on, at the latest. `head` is that of the log-in's commit."""
        inbox = self._inboxes.get(session.user)
        if inbox is None or not inbox.sessions:
            inbox = self._inboxes[session.user] = LiveInbox(session.user, head, self._limits)
        inbox.sessions.append(session)
        return inbox

    def leave(self, session: "Session") -> None:
        """A session ends; the last one takes the live inbox with it."""
        inbox = session.inbox
        inbox.sessions.remove(session)
        if not inbox.sessions:
            self._nobody_left(session.user)

    def _nobody_left(self, user: int) -> None:
        if user in self._followed:
            self._inboxes[user] = FollowedInbox(user, self._limits)
        else:
            del self._inboxes[user]

    @contextmanager
    def follow(self, user: int) -> Iterator[Growth]:
        """Be told when the inbox of `user` grows, from now on, with or without sessions on it."""
        growth = Growth()
        self._followed.setdefault(user, []).append(growth)
        if user not in self._inboxes:
            self._inboxes[user] = FollowedInbox(user, self._limits)
        try:
            yield growth
        finally:
            self._followed[user].remove(growth)
            if not self._followed[user]:
                del self._followed[user]
                if not self._inboxes[user].sessions:
                    del self._inboxes[user]

    def stored(self, by: "Session", operation: PublishMessage, published: Published) -> None:
        """A message is durable in every inbox: it goes to every session of every participant, with `flush`."""
        encoded = published.encoded
        (sender, seq), *others = published.entries
        inbox = self._inboxes.get(sender)
        if inbox is not None:
            is_text = operation.text is not None
            own, echo = codec.encode_own(seq, by.device_id, operation.n, encoded, operation.body_bytes, is_text=is_text)
            if not by.closed:
                by.echoes.append((seq, echo))
            if inbox.append(seq, own):
                self._fresh.append(inbox)
        for user, user_seq in others:
            inbox = self._inboxes.get(user)
            if inbox is not None and inbox.append(user_seq, codec.encode_message(user_seq, encoded)):
                self._fresh.append(inbox)

    def sent(self, sent: Sent) -> None:
        """A message that no device published is durable: likewise; all devices of its sender get it whole."""
        (sender, _), *_ = sent.entries
        for user, seq in sent.entries:
            inbox = self._inboxes.get(user)
            if inbox is not None:
                kind: EntryKind = "own" if user == sender else "message"
                if inbox.append(seq, codec.encode_deliver(seq, kind, None, None, sent.encoded)):
                    self._fresh.append(inbox)

    def trimmed(self, floors: tuple[Floor, ...]) -> None:
        """Retention moved these floors."""
        for floor in floors:
            inbox = self._inboxes.get(floor.user)
            if inbox is not None:
                inbox.trimmed(floor.floor)

    def noticed(self, notice: Notice) -> None:
        """A notice of the broker's own is durable in these inboxes: it goes to their sessions, with `flush`."""
        for user, seq in notice.entries:
            inbox = self._inboxes.get(user)
            if inbox is not None and inbox.append(seq, codec.encode_message(seq, notice.encoded)):
                self._fresh.append(inbox)

    def forget_tails(self) -> None:
        """Messages were erased, in whatever inboxes: nobody gets them out of memory any more."""
        for inbox in self._inboxes.values():
            inbox.forget()

    def touch(self, session: "Session") -> None:
        """The session has something queued: flush it with the rest of this batch."""
        self._touched.append(session)

    def flush(self) -> None:
        """Put on the wire what this batch has added and queued: one write for each connection."""
        fresh, self._fresh = self._fresh, []
        for inbox in fresh:
            self._offer_fresh(inbox)
        if self._followed:
            self._tell_followers(fresh)
        touched, self._touched = self._touched, []
        for session in touched:
            session.flush()

    def removed(self, user: int) -> None:
        """A user is removed: whoever follows the inbox looks, and finds that there is nobody."""
        for growth in self._followed.get(user, ()):
            growth.notice()

    def _tell_followers(self, fresh: list[LiveInbox]) -> None:
        for inbox in fresh:
            for growth in self._followed.get(inbox.user, ()):
                growth.notice()

    def pump(self, session: "Session") -> None:
        """Send the session what is next for it, as far as it has room, and rest."""
        inbox = session.inbox
        while session.position < inbox.head and session.may_deliver():
            if not inbox.covers(session.position + 1):
                self._start_catch_up(session)
                break
            if not _offer_frames(session, inbox.frames_from(session.position + 1)):
                break
        session.flush()

    def _offer_fresh(self, inbox: LiveInbox) -> None:
        """What was added to an inbox, for its sessions: in one go for each that has room and is up with it.

        Called for every inbox of every batch, and passes through for each of its sessions: plain and fast.
        """
        frames = inbox.take_fresh()
        before = inbox.head - len(frames)
        pieces = _pieces(before, frames)
        for session in inbox.sessions:
            own = pieces if not session.echoes else _pieces(before, _with_echoes(before, frames, session.take_echoes()))
            if session.position == before and session.deliver(own):
                continue
            if session.may_deliver():
                self.pump(session)

    def _start_catch_up(self, session: "Session") -> None:
        if not session.catching_up:
            session.catching_up = True
            self._nursery.start_soon(self._catch_up, session)

    async def _catch_up(self, session: "Session") -> None:
        """Read pages for a session that is behind the tail, until it meets the tail or has no room."""
        inbox = session.inbox
        try:
            while self._is_behind(session):
                await self._read_on(session)
        except ReadFailed as error:
            # Nothing is lost: the device comes back with its number, when the store can perhaps be read again.
            _log.error("%s/%s: catch-up: %s", session.user_name, session.device_id, error)
            text = "the store cannot be read"
            session.disconnect(
                Disconnect(
                    reason=Reason.UNSPECIFIED_ERROR, text=text, reconnect=True, reconnect_after_s=UNREADABLE_RETRY_S
                )
            )
        finally:
            session.catching_up = False
        if not session.closed and session.position < inbox.head:
            self.pump(session)

    async def _read_on(self, session: "Session") -> None:
        """Read the next page and send what it has. Raises ReadFailed, also for an inbox with a hole."""
        position = session.position
        page = await self._readers.run(
            self._store.read_inbox,
            session.user,
            session.position,
            min(self._limits.page_entries_max, session.room_entries),
            self._limits.page_bytes_max,
        )
        if not session.closed:
            self._take_page(session, page)
            session.flush()
        if session.position == position and self._is_behind(session):
            raise ReadFailed(f"the store is damaged: number {position + 1} is neither there nor below the floor")

    def _is_behind(self, session: "Session") -> bool:
        position, inbox = session.position, session.inbox
        return not session.closed and position < inbox.head and session.may_deliver() and not inbox.covers(position + 1)

    def _take_page(self, session: "Session", page: InboxPage) -> None:
        """Send what the page has for the session, or the gap before it.

        The session may have moved on while the page was read: what it is past already is skipped.
        """
        if page.floor > session.position + 1 and page.floor_reason is not None:
            session.tell_gap(Gap(first=session.position + 1, last=page.floor - 1, reason=page.floor_reason))
            self.gaps += 1
        before = session.position
        frames: list[bytes] = []
        for entry in page.entries:
            if entry.seq <= before:
                continue
            if entry.seq != before + len(frames) + 1:
                break
            frames.append(codec.encode_deliver(entry.seq, entry.kind, entry.device_id, entry.n, entry.encoded))
        if not _offer_pieces(session, _pieces(before, frames)):
            _offer_frames(session, frames[session.position - before :])


def _offer_pieces(session: "Session", pieces: list[Piece]) -> bool:
    """Offer the session these pieces, the first of which is next for it; whether it took everything."""
    return all(session.offer(last, data, entries) for last, entries, data in pieces)


def _offer_frames(session: "Session", frames: Iterable[bytes]) -> bool:
    """Offer the session these frames, the first of which is next for it; whether it took everything."""
    return all(session.offer(seq, frame) for seq, frame in enumerate(frames, session.position + 1))


def _pieces(before: int, frames: list[bytes]) -> list[Piece]:
    """The frames of the numbers after `before`, joined."""
    if len(frames) == 1:
        return [Piece(before + 1, 1, frames[0])]
    cut = (frames[at : at + PIECE_ENTRIES] for at in range(0, len(frames), PIECE_ENTRIES))
    pieces: list[Piece] = []
    for some in cut:
        joined = b"".join(some)
        if len(joined) > PIECE_BYTES:
            pieces += [Piece(seq, 1, frame) for seq, frame in enumerate(some, before + 1)]
        else:
            pieces.append(Piece(before + len(some), len(some), joined))
        before += len(some)
    return pieces


def _with_echoes(before: int, frames: list[bytes], echoes: list[tuple[int, bytes]]) -> list[bytes]:
    """The frames as the connection gets them that published some of them: those without their bodies."""
    own = frames.copy()
    for seq, echo in echoes:
        own[seq - before - 1] = echo
    return own
