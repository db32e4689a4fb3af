"""What a session tells the application: frozen structs, named for what happened. And the answers it gives.

Every time is Unix time in milliseconds, every duration in seconds.
"""

from msgspec import Struct

from roost_protocol.frames import Deliver, Ephemeral, GapReason, Origin, Presence
from roost_protocol.names import user_address
from roost_protocol.reasons import Reason

Body = str | bytes
"""What a message says: Unicode text, or bytes."""


class Message(Struct, frozen=True, kw_only=True):
    """One entry of the inbox: a message to this user, or one of his own (from any of his devices, this one too)."""

    seq: int
    """Its number in this user's inbox, rising by one from entry to entry."""
    id: str
    """The message's id, the same for everybody; empty for an erased one."""
    sender: str
    to: str
    """The address it was published to: `user/NAME` or `group/NAME`."""
    time_ms: int
    content_type: str
    body: Body | None
    """None for an erased message (and for an own one that retention trimmed before it was handed out)."""
    own: bool = False
    """This user sent it."""
    device: str | None = None
    """Of an own message: the device that published it, with its count `n`."""
    n: int | None = None
    erased: bool = False
    damaged: bool = False
    """The broker's store has lost what was here: only the number is left, as of an erased one."""
    """The message is gone for good; only its number is left."""

    @property
    def conversation(self) -> str:
        """The address of the conversation it belongs to, from this user's point of view; empty for an erased one."""
        if self.own or not self.to.startswith("user/"):
            return self.to
        return user_address(self.sender)


class Gap(Struct, frozen=True, kw_only=True):
    """The entries `first` to `last` are gone: retention (`reason`) trimmed them before this device had them."""

    first: int
    last: int
    reason: GapReason


class StartedOver(Struct, frozen=True, kw_only=True):
    """The inbox is not the one this device knew (a backup was restored, say): drop what you hold of it.

    Everything the inbox holds follows, from its beginning.
    """

    incarnation: str | None


class PresenceChanged(Struct, frozen=True, kw_only=True):
    """A user that is followed has come or gone on a terminal type (None: on no terminal at all)."""

    user: str
    terminal: str | None
    online: bool
    since_ms: int | None


class EphemeralReceived(Struct, frozen=True, kw_only=True):
    """A passing signal (typing and the like), for whoever is online."""

    sender: str
    to: str
    time_ms: int | None
    content_type: str
    body: Body

    @property
    def conversation(self) -> str:
        """As `Message.conversation`, for a signal that another user sent."""
        return user_address(self.sender) if self.to.startswith("user/") else self.to


class Connected(Struct, frozen=True, kw_only=True):
    """The session is live: at the first log-in, and after each reconnect.

    `head` is the newest number of the inbox now, and entries follow from `position` + 1, so that the device has
    caught up with this moment when it has reached `head`. What was known about presence is to be forgotten: the
    broker tells it anew for users that are followed.
    """

    epoch: int
    head: int
    position: int
    resumed: bool
    took_over: Origin | None
    """The session of another device that this log-in ended."""


class Disconnected(Struct, frozen=True, kw_only=True):
    """The connection is gone; the next attempt is in `retry_in_s` seconds. Told again after each that failed."""

    reason: Reason
    text: str
    retry_in_s: float


class TakenOver(Struct, frozen=True, kw_only=True):
    """Another device logged in on this terminal type. The last event; a session never reconnects after it."""

    by: str
    """Id of that device."""
    at_ms: int
    address: str
    text: str


class Ended(Struct, frozen=True, kw_only=True):
    """The session is over for another reason, and must not be resumed by itself. The last event."""

    reason: Reason
    text: str
    origin: Origin | None = None
    """Who ended it, where the broker says so."""


Event = Message | Gap | StartedOver | PresenceChanged | EphemeralReceived | Connected | Disconnected | TakenOver | Ended
"""What iterating a session gives."""


class Receipt(Struct, frozen=True, kw_only=True):
    """The message is stored for good in every inbox."""

    n: int
    """This device's own count of it."""
    seq: int
    """Its number in the sender's inbox."""
    id: str
    time_ms: int
    retransmission: bool = False
    """The broker had it already: this is the outcome of an earlier attempt."""


class Page(Struct, frozen=True, kw_only=True):
    """Entries in rising order of their numbers; `more` says whether there are more in the direction asked for."""

    entries: tuple[Message, ...]
    more: bool
    floor: int
    """The first number the inbox still holds."""
    head: int


def message_of(deliver: Deliver, user: str) -> Message:
    """The entry that a DELIVER (to `user`) carries."""
    entry = deliver.entry
    erased, damaged = deliver.kind == "erased", deliver.kind == "damaged"
    if entry is None:
        return Message(
            seq=deliver.seq, id="", sender="", to="", time_ms=0, content_type="", body=None,
            own=deliver.n is not None, device=deliver.device, n=deliver.n, erased=erased, damaged=damaged,
        )  # fmt: skip
    return Message(
        seq=deliver.seq,
        id=entry.id,
        sender=entry.sender,
        to=entry.to,
        time_ms=entry.time,
        content_type=entry.content_type,
        body=entry.data if entry.text is None else entry.text,
        own=entry.sender == user,
        device=deliver.device,
        n=deliver.n,
        erased=erased,
    )


def presence_of(frame: Presence) -> PresenceChanged:
    """The event that a PRESENCE stands for."""
    return PresenceChanged(user=frame.user, terminal=frame.terminal, online=frame.online, since_ms=frame.since)


def ephemeral_of(frame: Ephemeral) -> EphemeralReceived:
    """The event that an EPHEMERAL from the broker stands for."""
    return EphemeralReceived(
        sender=frame.sender or "",
        to=frame.to,
        time_ms=frame.time,
        content_type=frame.content_type,
        body=(frame.data or b"") if frame.text is None else frame.text,
    )
