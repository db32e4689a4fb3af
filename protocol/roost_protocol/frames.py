"""Every frame of the wire, as frozen structs that validate: what can be said, and nothing else.

The names of the fields are the keys on the wire, but for `sender` (`from`) and `content_type` (`type`), which are
words of Python. A field left at its default is omitted; a key that is not known here is ignored, so that a newer
peer can add some. A struct made by hand checks less than one that was decoded: the types are mypy's business then,
while `__post_init__` checks what types cannot say.

Frames are not tracked by the cyclic garbage collector (`gc=False`): they are immutable and hold nothing that could
point back at them, and a busy broker makes a hundred thousand a second (measured: a quarter of its time).

A body is either `text` (Unicode) or `data` (bytes), so that text is a plain string in both forms of the wire.
"""

from enum import IntEnum
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta, field

from roost_protocol import limits, names
from roost_protocol.hiding import shown_without_secrets
from roost_protocol.reasons import Reason

PROTOCOL_VERSION = 1
"""The only version so far. A broker refuses another with `unsupported protocol version`."""

Number = Annotated[int, Meta(ge=0, le=limits.NUMBER_MAX)]
Seq = Annotated[int, Meta(ge=1, le=limits.NUMBER_MAX)]
Code = Annotated[int, Meta(ge=0, le=255)]
Name = Annotated[str, Meta(min_length=1, max_length=limits.NAME_BYTES_MAX)]
AddressText = Annotated[str, Meta(min_length=6, max_length=limits.NAME_BYTES_MAX + 6)]
Id = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
Text = Annotated[str, Meta(max_length=limits.TEXT_CHARS_MAX)]
ContentType = Annotated[str, Meta(min_length=1, max_length=limits.CONTENT_TYPE_BYTES_MAX)]
Secret = Annotated[str, Meta(min_length=1, max_length=limits.PASSWORD_BYTES_MAX)]
Jwt = Annotated[str, Meta(min_length=1, max_length=limits.JWT_BYTES_MAX)]
Names = Annotated[tuple[Name, ...], Meta(max_length=limits.LIST_MAX)]

TEXT_TYPE = "text/plain"
"""The content type of a message that states none."""


class FrameType(IntEnum):
    """The type byte of each frame. MQTT's packet type where the idea is MQTT's (MQTT 5.0, 2.1.2)."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    DELIVER = 5
    ACK = 6
    GAP = 7
    SUBSCRIBE = 8
    PRESENCE = 9
    FETCH = 10
    PAGE = 11
    PING = 12
    PONG = 13
    DISCONNECT = 14
    EPHEMERAL = 15
    GROUP = 16
    RELATION = 17
    SESSIONS = 18
    RESULT = 19


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A map inside a frame."""


class Frame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One frame. `frame_type` is its type byte. Its `repr` hides passwords and tokens, so that no log can have them."""

    frame_type: ClassVar[FrameType]

    def __repr__(self) -> str:
        return shown_without_secrets(self)


def _check_body(text: str | None, data: bytes | None, content_type: str) -> None:
    if (text is None) == (data is None):
        raise ValueError("a message has either text or data")
    if content_type is not TEXT_TYPE:
        names.check_content_type(content_type)


def _check_secrets(*secrets: str | None) -> None:
    for secret in secrets:
        if secret is not None and len(secret.encode("utf-8", "surrogatepass")) > limits.PASSWORD_BYTES_MAX:
            raise ValueError(f"a password has at most {limits.PASSWORD_BYTES_MAX} bytes of UTF-8")


class Origin(Part, frozen=True, kw_only=True):
    """Who did it, when and from where: of a takeover, a kick or a log-out."""

    by: str
    """Id of the device, or the name of the administrator."""
    at: Number
    """Unix time, ms."""
    address: str = ""
    """Where it came from, when there is something to tell: a network address, or `admin socket`."""


class Granted(Part, frozen=True, kw_only=True):
    """The bounds that hold on this connection."""

    frame_bytes_max: Number
    body_bytes_max: Number
    publish_max: Number
    receive_max: Number
    receive_bytes_max: Number
    keepalive_s: Number


class Connect(Frame, frozen=True, kw_only=True):
    """A device asks for a session: the first frame on a connection."""

    frame_type = FrameType.CONNECT

    version: Number = PROTOCOL_VERSION
    user: Name
    password: Secret | None = None
    token: Annotated[str, Meta(max_length=limits.TOKEN_BYTES_MAX)] | None = None
    """A device token from an earlier CONNACK."""
    jwt: Jwt | None = None
    """A JSON Web Token (RFC 7519) of the site's own sign-on."""
    terminal: str
    device: str
    last_seq: Number = 0
    """The last number this device holds; what comes after it will be delivered."""
    last_id: Id | None = None
    """The message id at `last_seq`, so that a store that went back to a backup is noticed."""
    incarnation: Id | None = None
    """The incarnation of the inbox that `last_seq` belongs to."""
    newest: Annotated[int, Meta(ge=0, le=limits.NUMBER_MAX)] | None = None
    """Instead of `last_seq`: begin with the newest so many entries."""
    epoch: Number | None = None
    """The epoch of the session to resume (an automatic reconnect); none when a person logs in."""
    receive_max: Annotated[int, Meta(ge=1, le=65_535)] = 4_096
    receive_bytes_max: Annotated[int, Meta(ge=1, le=limits.NUMBER_MAX)] = limits.MIB
    keepalive_s: Annotated[int, Meta(ge=1, le=65_535)] = 60
    want_token: bool = False
    """Issue a device token; an earlier one of this device is revoked."""
    client: Annotated[str, Meta(max_length=64)] = ""
    """Name and version of the client software."""

    def __post_init__(self) -> None:
        """Check names, and that there is one credential at most. With none, the connection's certificate counts."""
        names.check_name(self.user)
        names.check_terminal(self.terminal)
        names.check_device_id(self.device)
        _check_secrets(self.password)
        if sum(given is not None for given in (self.password, self.token, self.jwt)) > 1:
            raise ValueError("CONNECT carries one of password, token and jwt")
        if self.newest is not None and self.last_seq:
            raise ValueError("CONNECT carries either last_seq or newest")


class Connack(Frame, frozen=True, kw_only=True):
    """The answer to CONNECT: the session begins, or why not."""

    frame_type = FrameType.CONNACK

    reason: Code = Reason.SUCCESS
    text: Text = ""
    retry_after_s: Number | None = None
    """After a refusal: try again after so many seconds; none: do not try again by yourself."""
    origin: Origin | None = None
    """After a refused resumption: who has taken the session over, or ended it."""
    epoch: Number = 0
    head: Number = 0
    floor: Number = 1
    position: Number = 0
    """The number that the stream starts after."""
    incarnation: Id | None = None
    start_over: bool = False
    """What this device holds is not of this inbox: drop it; the stream starts from the beginning."""
    settled_n: Number = 0
    """The highest count of this device's publishes that is settled."""
    granted: Granted | None = None
    token: str | None = None
    took_over: Origin | None = None
    """The session that this log-in ended: its device, since when it was there, its address."""
    resumed: bool = False


class Publish(Frame, frozen=True, kw_only=True):
    """A message, to be stored and delivered."""

    frame_type = FrameType.PUBLISH

    n: Seq
    """This device's own count of its publishes, from 1; a retransmission has the same."""
    to: AddressText
    content_type: ContentType = field(default=TEXT_TYPE, name="type")
    text: str | None = None
    data: bytes | None = None

    def __post_init__(self) -> None:
        """Check the address, the content type, and that there is exactly one body."""
        names.parse_address(self.to)
        _check_body(self.text, self.data, self.content_type)


class Puback(Frame, frozen=True, kw_only=True):
    """The outcome of a publish: stored for good in every inbox, or why not."""

    frame_type = FrameType.PUBACK

    n: Seq
    reason: Code = Reason.SUCCESS
    text: Text = ""
    retry_after_s: Number | None = None
    seq: Number | None = None
    """The number it got in the sender's inbox. For information: only DELIVER moves a device's last number."""
    id: Id | None = None
    time: Number | None = None
    """Unix time of the commit, ms."""
    retransmission: bool = False
    """This is the outcome of an earlier PUBLISH with the same `n`."""


class Entry(Part, frozen=True, kw_only=True):
    """A message as stored: the same bytes for every inbox that holds it."""

    id: Id
    sender: Name = field(name="from")
    to: AddressText
    time: Number
    content_type: ContentType = field(default=TEXT_TYPE, name="type")
    text: str | None = None
    data: bytes | None = None


EntryKind = Literal["message", "own", "erased", "damaged"]


class Deliver(Frame, frozen=True, kw_only=True):
    """One entry of the inbox. Exactly one comes for each number, in order (or a GAP that covers it)."""

    frame_type = FrameType.DELIVER

    seq: Seq
    kind: EntryKind = "message"
    device: str | None = None
    """Of one's own message: the device that published it, with its count `n`."""
    n: Number | None = None
    entry: Entry | None = None
    """None for an erased or damaged entry; without body on the very connection that published it."""

    def __post_init__(self) -> None:
        """Only an erased or damaged entry has nothing to show."""
        if self.entry is None and self.kind not in ("erased", "damaged"):
            raise ValueError("DELIVER carries an entry unless it is erased or damaged")


class Ack(Frame, frozen=True, kw_only=True):
    """The device holds every entry up to `seq`."""

    frame_type = FrameType.ACK

    seq: Number


GapReason = Literal["age", "count", "bytes"]


class Gap(Frame, frozen=True, kw_only=True):
    """The entries `first` to `last` are gone: retention trimmed them before this device fetched them."""

    frame_type = FrameType.GAP

    first: Seq
    last: Seq
    reason: GapReason

    def __post_init__(self) -> None:
        """A gap is not empty."""
        if self.last < self.first:
            raise ValueError(f"a gap ends before it begins: {self.first} to {self.last}")


class Subscribe(Frame, frozen=True, kw_only=True):
    """Follow the presence of users, or stop following them. Answered by RESULT, and a PRESENCE for each terminal."""

    frame_type = FrameType.SUBSCRIBE

    request: Number
    users: Names
    stop: bool = False

    def __post_init__(self) -> None:
        """Check names."""
        for name in self.users:
            names.check_name(name)


class Presence(Frame, frozen=True, kw_only=True):
    """A user followed has come or gone on a terminal type."""

    frame_type = FrameType.PRESENCE

    user: Name
    terminal: str | None = None
    """None with `online` false: the user is on no terminal at all (the first answer to SUBSCRIBE)."""
    online: bool
    since: Number | None = None
    """Unix time in ms at which this state began, where it is known."""


class Fetch(Frame, frozen=True, kw_only=True):
    """Scroll back: a page of a conversation (or of the whole inbox) before or after a number."""

    frame_type = FrameType.FETCH

    request: Number
    conversation: AddressText | None = None
    """The address of the peer or group; none for the whole inbox."""
    before: Number | None = None
    """Entries below this number, the newest of them; with neither `before` nor `after`: the newest."""
    after: Number | None = None
    """Entries above this number, the oldest of them."""
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 50

    def __post_init__(self) -> None:
        """Check the address, and that the direction is clear."""
        if self.conversation is not None:
            names.parse_address(self.conversation)
        if self.before is not None and self.after is not None:
            raise ValueError("FETCH carries either before or after")


class Page(Frame, frozen=True, kw_only=True):
    """The answer to FETCH: entries in rising order of their numbers."""

    frame_type = FrameType.PAGE

    request: Number
    reason: Code = Reason.SUCCESS
    text: Text = ""
    entries: tuple[Deliver, ...] = ()
    more: bool = False
    """There is more in the direction asked for."""
    floor: Number = 1
    head: Number = 0


class Ping(Frame, frozen=True, kw_only=True):
    """Are you there? Answered by PONG."""

    frame_type = FrameType.PING


class Pong(Frame, frozen=True, kw_only=True):
    """Yes."""

    frame_type = FrameType.PONG


class Disconnect(Frame, frozen=True, kw_only=True):
    """The last frame on a connection: it ends, and why."""

    frame_type = FrameType.DISCONNECT

    reason: Code = Reason.SUCCESS
    text: Text = ""
    origin: Origin | None = None
    """For a takeover, a kick or a log-out: by whom, when, from where."""
    reconnect: bool = False
    """Whether the device may come back by itself."""
    reconnect_after_s: Number | None = None
    """If so, not before so many seconds, plus a jitter of the device's own."""


class Ephemeral(Frame, frozen=True, kw_only=True):
    """A passing signal (typing and the like): not stored, not acknowledged, for live sessions only.

    From a device: `to` and a body. From the broker also `sender` and `time`.
    """

    frame_type = FrameType.EPHEMERAL

    to: AddressText
    sender: Name | None = field(default=None, name="from")
    time: Number | None = None
    content_type: ContentType = field(default=TEXT_TYPE, name="type")
    text: str | None = None
    data: bytes | None = None

    def __post_init__(self) -> None:
        """Check as for a PUBLISH."""
        names.parse_address(self.to)
        _check_body(self.text, self.data, self.content_type)


class Group(Frame, frozen=True, kw_only=True):
    """Create a group, change its members, leave it, or list members or one's own groups. Answered by RESULT."""

    frame_type = FrameType.GROUP

    request: Number
    action: Literal["create", "add", "remove", "leave", "members", "list"]
    group: Name | None = None
    users: Names = ()

    def __post_init__(self) -> None:
        """Every action but `list` names a group."""
        if (self.group is None) != (self.action == "list"):
            raise ValueError(f"GROUP {self.action}: {'no' if self.action == 'list' else 'a'} group is named")
        for name in (self.group, *self.users):
            if name is not None:
                names.check_name(name)


class Relation(Frame, frozen=True, kw_only=True):
    """Change or list one's contacts or blocked users. Answered by RESULT."""

    frame_type = FrameType.RELATION

    request: Number
    action: Literal["add", "remove", "list"]
    kind: Literal["contact", "block"]
    user: Name | None = None

    def __post_init__(self) -> None:
        """`add` and `remove` name a user, `list` does not."""
        if (self.user is None) != (self.action == "list"):
            raise ValueError(f"RELATION {self.action}: {'no' if self.action == 'list' else 'a'} user is named")
        if self.user is not None:
            names.check_name(self.user)


class Sessions(Frame, frozen=True, kw_only=True):
    """List one's own sessions and devices, log one of them out, or change one's password. Answered by RESULT."""

    frame_type = FrameType.SESSIONS

    request: Number
    action: Literal["list", "log_out", "set_password"]
    device: str | None = None
    """For `log_out`: the device to log out; its token is revoked."""
    password: Secret | None = None
    new_password: Secret | None = None

    def __post_init__(self) -> None:
        """Each action has its own fields."""
        if (self.device is not None) != (self.action == "log_out"):
            raise ValueError("SESSIONS: log_out, and it alone, names a device")
        if ((self.password is not None) != (self.action == "set_password")) or (
            (self.new_password is not None) != (self.action == "set_password")
        ):
            raise ValueError("SESSIONS: set_password, and it alone, carries password and new_password")
        _check_secrets(self.password, self.new_password)


class Member(Part, frozen=True, kw_only=True):
    """A member of a group."""

    user: Name
    owner: bool = False


class DeviceState(Part, frozen=True, kw_only=True):
    """One of the user's devices, and its session if it has one now."""

    device: str
    terminal: str
    client: str = ""
    acknowledged: Number = 0
    """The last number it has acknowledged."""
    last_seen: Number = 0
    """Unix time, ms."""
    online: bool = False
    since: Number | None = None
    address: str = ""
    this: bool = False
    """It is the device that asks."""


class Result(Frame, frozen=True, kw_only=True):
    """The answer to a request, with the same number."""

    frame_type = FrameType.RESULT

    request: Number
    reason: Code = Reason.SUCCESS
    text: Text = ""
    retry_after_s: Number | None = None
    users: tuple[Name, ...] | None = None
    groups: tuple[Name, ...] | None = None
    members: tuple[Member, ...] | None = None
    devices: tuple[DeviceState, ...] | None = None


FRAMES: tuple[type[Frame], ...] = (
    Connect, Connack, Publish, Puback, Deliver, Ack, Gap, Subscribe, Presence, Fetch,
    Page, Ping, Pong, Disconnect, Ephemeral, Group, Relation, Sessions, Result,
)  # fmt: skip
"""Every frame, in the order of its type byte."""
