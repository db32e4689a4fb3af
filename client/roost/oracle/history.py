"""What a history of a run is made of, and how it is recorded, written and read.

A *history* is what one observer saw, in order: every event is something that a device sent, something that a device
was told, or something that the observer did. Time runs through the index of an event.

What goes out (`Sent`, `LoginAsked`, and all that ends in `Asked`) is recorded before it goes out, what comes in
(`Connected`, `Acknowledged`, `Delivered`, and all that ends in `Confirmed`) after it came in. So whatever the broker
did, it did between the two; where that leaves an order open, the oracle accepts every order. An asking event that is
left out is taken to coincide with its answer: right only if nothing else went on meanwhile.

Message ids are never used twice, and their string order is the order of commit.
Reasons are named as on the wire, in any case, with spaces or underscores: `session taken over`, `SUCCESS`.
"""

from pathlib import Path
from typing import TextIO

import msgspec

SUCCESS = "success"
TAKEN_OVER = "session_taken_over"


def reason_word(reason: str) -> str:
    """The one spelling in which reasons are compared: `session_taken_over`."""
    return reason.lower().replace(" ", "_")


class Event(msgspec.Struct, frozen=True, tag_field="event", tag=True, omit_defaults=True, forbid_unknown_fields=True):
    """Something the observer saw. A device is always named as in `Enrolled`."""


class Enrolled(Event, frozen=True):
    """There is a device, of this user and terminal type; before anything else is said of it."""

    device: str
    user: str
    terminal: str


class LoginAsked(Event, frozen=True):
    """CONNECT goes out; `resume`: an automatic reconnect, with the epoch it had."""

    device: str
    resume: bool = False


class Connected(Event, frozen=True):
    """CONNACK came, with success: a connection is there until `Disconnected` or `Kicked`."""

    device: str
    epoch: int
    position: int
    """The number that delivery starts after."""
    head: int
    incarnation: str
    resumed: bool
    asked: int | None
    """The last number the device stated; None if it asked for the newest n."""


class Disconnected(Event, frozen=True):
    """The device's connection is gone, for whatever reason."""

    device: str


class Kicked(Event, frozen=True):
    """The device was told that its session is over: by DISCONNECT, or when an automatic reconnect was refused."""

    device: str
    by: str | None
    """The device that did it, if one did and it was said."""
    reason: str


class Sent(Event, frozen=True):
    """PUBLISH goes out: also each retransmission, with the same `n`. `to` is an address, `user/bob` or `group/team`."""

    device: str
    n: int
    to: str
    content: str


class Acknowledged(Event, frozen=True):
    """PUBACK came: `success`, with the number in the sender's inbox and the message id, or why not."""

    device: str
    n: int
    reason: str
    seq: int | None = None
    id: str | None = None
    retransmission: bool = False

    def __post_init__(self) -> None:
        """A success names the message."""
        if reason_word(self.reason) == SUCCESS and (self.seq is None or self.id is None):
            raise ValueError(f"success for n={self.n} of {self.device} comes with seq and id")


class Delivered(Event, frozen=True):
    """DELIVER came. `content` is None where the device's own message came back without body.

    Of the user's own messages, `own_device` and `n` say which of his devices published it, and with which count.
    """

    device: str
    seq: int
    id: str
    sender: str
    to: str
    content: str | None
    own_device: str | None = None
    n: int | None = None


class GapTold(Event, frozen=True):
    """GAP came: the numbers `first` to `last` are lost to retention."""

    device: str
    first: int
    last: int
    reason: str


class ErasedTold(Event, frozen=True):
    """DELIVER came with nothing but a number: what was there is erased, or the broker says there that it erased."""

    device: str
    seq: int


class ErasureAsked(Event, frozen=True):
    """From here on, everything that the user has sent may be erased."""

    user: str


class Erased(Event, frozen=True):
    """From here on, everything that the user had sent when that was asked for is erased."""

    user: str


class StartedOver(Event, frozen=True):
    """The device was told to drop all it holds. If CONNACK said so: recorded before `Connected`."""

    device: str


class TrimAsked(Event, frozen=True):
    """Retention may be moving the user's floor from here on; the next `Trimmed` says how far."""

    user: str


class Trimmed(Event, frozen=True):
    """Retention has moved the user's floor: the first number still kept (head + 1 if there is none)."""

    user: str
    floor: int


class MembershipAsked(Event, frozen=True):
    """A change of membership is asked for; one at a time for each (group, user). `group` is a name, not an address."""

    group: str
    user: str
    member: bool


class MembershipConfirmed(Event, frozen=True):
    """From here on it is certain whether the user is in the group (after a refusal: as before)."""

    group: str
    user: str
    member: bool


class BlockAsked(Event, frozen=True):
    """`user` asks that `other` be blocked, or no longer; one change at a time for each pair."""

    user: str
    other: str
    blocked: bool


class BlockConfirmed(Event, frozen=True):
    """From here on it is certain whether `user` blocks `other`."""

    user: str
    other: str
    blocked: bool


class Acked(Event, frozen=True):
    """The device acknowledged every number up to `seq`."""

    device: str
    seq: int


class CaughtUp(Event, frozen=True):
    """The device has had the time to get everything stored so far: from now on it may be judged for what it lacks."""

    device: str


class BrokerRestarted(Event, frozen=True):
    """The broker was stopped or killed, and started; `restored`: with its store put back to a backup."""

    restored: bool = False


AnyEvent = (
    Enrolled | LoginAsked | Connected | Disconnected | Kicked | Sent | Acknowledged | Delivered | GapTold | ErasedTold
    | ErasureAsked | Erased | StartedOver | TrimAsked | Trimmed | MembershipAsked | MembershipConfirmed | BlockAsked
    | BlockConfirmed | Acked | CaughtUp | BrokerRestarted
)  # fmt: skip


class History(msgspec.Struct, frozen=True):
    """What one observer saw of a run, in order. `trims_known`: every move of a floor is in it."""

    events: tuple[AnyEvent, ...]
    trims_known: bool = False


class Recorder:
    """Collects a history as it happens; with `stream`, also writes each event there as a line, at once."""

    def __init__(self, trims_known: bool = False, stream: TextIO | None = None) -> None:
        self.events: list[AnyEvent] = []
        self._trims_known = trims_known
        self._stream = stream
        self._write(_Header(trims_known=trims_known))

    def record(self, event: AnyEvent) -> None:
        """Append the event. Never blocks on anything but the stream; safe to call between awaits."""
        self.events.append(event)
        self._write(event)

    def history(self) -> History:
        """Everything recorded so far."""
        return History(tuple(self.events), self._trims_known)

    def _write(self, line: msgspec.Struct) -> None:
        if self._stream is not None:
            self._stream.write(msgspec.json.encode(line).decode() + "\n")
            self._stream.flush()


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line of a history in a file."""

    trims_known: bool


def dump(history: History, path: Path | str) -> None:
    """Write a history as newline-delimited JSON: a line `{"trims_known": …}`, then one line for each event."""
    lines = [msgspec.json.encode(line) for line in (_Header(history.trims_known), *history.events)]
    Path(path).write_bytes(b"\n".join(lines) + b"\n")


def load(path: Path | str) -> History:
    """Read a history that `dump` or a `Recorder` wrote. Raises OSError, and ValueError naming the line that is bad."""
    header: _Header | None = None
    events: list[AnyEvent] = []
    decoder = msgspec.json.Decoder(AnyEvent)
    for number, line in enumerate(Path(path).read_bytes().splitlines(), start=1):
        try:
            if header is None:
                header = msgspec.json.decode(line, type=_Header)
            else:
                events.append(decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
    if header is None:
        raise ValueError(f"{path} is empty: a history begins with a line that says whether trims are known")
    return History(tuple(events), header.trims_known)
