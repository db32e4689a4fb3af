"""What can be done to a store, and what came of it: the vocabulary of `Store.commit`.

Every change goes through one writer as an *operation*; a batch of operations is one transaction, applied in order,
each decided on the state that those before it left. An operation never fails for what it asks: it gives `Refused`
with a reason instead. Only the transaction as a whole fails (see `errors`), and then nothing of it happened.

Users, devices and groups go by number inside the store: numbers are never used again, so that a removed user's
entries can never be taken for those of a later one with the same name. Times are Unix time in milliseconds.
"""

from msgspec import Struct

from roost_broker.store.errors import CommitRefused
from roost_broker.store.journal import Event
from roost_protocol.admin.route import Role
from roost_protocol.frames import GapReason
from roost_protocol.hiding import shown_without_secrets
from roost_protocol.reasons import Reason

# gc=False as with frames: immutable, without cycles, and many.


class Operation(Struct, frozen=True, kw_only=True, gc=False):
    """One change asked for. Its `repr` hides what is kept of passwords and tokens."""

    __repr__ = shown_without_secrets


class Refused(Struct, frozen=True, kw_only=True):
    """The answer to an operation that may not be done; nothing was changed.

    `by`, `at` and `address` say who took a session over or ended it, where that is the reason.
    """

    reason: Reason
    text: str = ""
    by: str | None = None
    at: int | None = None
    address: str = ""


class Done(Struct, frozen=True, kw_only=True):
    """The answer to an operation that was done and has nothing else to say."""


# --- messages -----------------------------------------------------------------------------------------------------

NO_DEVICE = 0
"""In the place of a device's number: devices count from 1, and this message came from none."""


class Message(Operation, frozen=True, kw_only=True):
    """What is stored of a message, whoever it comes from."""

    sender: int
    sender_name: str
    to: str
    content_type: str
    text: str | None = None
    data: bytes | None = None
    body_bytes: int = 0
    """Length of the body, in UTF-8 if it is text."""


class PublishMessage(Message, frozen=True, kw_only=True):
    """Store a message in the inbox of its sender and of every recipient, in one go.

    Decided in this order: the fence (`epoch` is that of the session, or `session taken over`, unsettled); the
    outcome of (`device`, `n`) if there is one (same `digest`: that outcome again, `retransmission`; another digest:
    `packet identifier in use`; older than the newest `publish_max`: `settled long ago`); `refused`, if the session
    has found something wrong with it; the recipient, the block list, the membership; the space that is left
    (`quota exceeded`, unsettled). A refusal that is settled is what a retransmission gets as well.

    A session that was ended is refused with the reason it was ended for, one of a forgotten device with `session
    taken over`, both unsettled. `settled long ago` goes before an outcome that happens to be kept still.
    """

    device: int
    terminal: str
    epoch: int
    n: int
    digest: bytes
    """16 bytes that stand for recipient, type and body: what makes a retransmission the same publish."""
    refused: Reason | None = None


class Published(Struct, frozen=True, kw_only=True, gc=False):
    """The outcome of a publish. `entries` and `encoded` are there only when it was stored just now.

    `packet identifier in use` and `settled long ago` are answers of their own (`settled`, no `retransmission`).
    """

    n: int
    reason: Reason
    settled: bool = True
    """Whether the outcome is kept; an unsettled refusal may be tried again with the same `n`."""
    retransmission: bool = False
    seq: int | None = None
    """Its number in the sender's inbox."""
    id: str | None = None
    time: int | None = None
    entries: tuple[tuple[int, int], ...] = ()
    """(user, seq) for each inbox it went to, the sender's first."""
    encoded: bytes = b""
    """The entry as `codec.encode_entry` made it: the bytes that were stored."""


class SendMessage(Message, frozen=True, kw_only=True):
    """Store a message that no device publishes: an admin sends it in the name of `sender`.

    Recipient, block list and membership decide as for a publish; there is no session to be fenced, and nothing by
    which it could be known again. In the sender's inbox it is an `own` entry without device and n. Refused: `not
    found` (the sender), `unknown recipient`, `blocked`, `not a member`, `quota exceeded`. A sender who is disabled may
    be sent for: what is disabled is his log-in.
    """


class Sent(Struct, frozen=True, kw_only=True, gc=False):
    """A message that was sent is stored; `entries` and `encoded` as in `Published`."""

    seq: int
    """Its number in the sender's inbox."""
    id: str
    time: int
    entries: tuple[tuple[int, int], ...]
    encoded: bytes


class MoveCursors(Operation, frozen=True, kw_only=True):
    """Set the cursors of devices to what they acknowledged, and note them as seen now. Unknown devices are skipped."""

    cursors: tuple[tuple[int, int], ...]
    """(device, seq); a cursor never goes back here."""


# --- sessions -----------------------------------------------------------------------------------------------------


class LogIn(Operation, frozen=True, kw_only=True):
    """Begin a session of `user` on `terminal` for the device with id `device_id`, and fence the one before it.

    Refused: the user is gone or disabled, or the credential does not hold any more (`bad user name or password`);
    the device id belongs to another terminal type (`client identifier not valid`); the user has as many devices as
    allowed (`quota exceeded`); or an automatic reconnect (`epoch` is given) to a session that another device has
    taken over since (`session taken over`, even if that one's session was ended in the meantime), or that was ended
    (the reason it was ended for). An `epoch` beyond that of the session is of a future that this store has lost, and
    is let in.
    """

    user: int
    password_version: int | None = None
    """The version of the password that was checked; or: """
    token_digest: bytes | None = None
    """the digest of the device token that was shown; or:"""
    vouched: bool = False
    """neither of them: somebody who is trusted says that it is this user (a JWT, a certificate)."""
    device_id: str
    terminal: str
    epoch: int | None = None
    last_seq: int = 0
    last_id: str | None = None
    incarnation: str | None = None
    newest: int | None = None
    client: str = ""
    address: str = ""
    new_token_digest: bytes | None = None
    """Of a token to be issued to the device; it replaces the one it had."""


class Owner(Struct, frozen=True, kw_only=True):
    """The session before: its device, since when (ms), and from which address."""

    device: int
    device_id: str
    at: int
    address: str


class LoggedIn(Struct, frozen=True, kw_only=True):
    """The session as it begins."""

    device: int
    epoch: int
    """Larger than every epoch before, in this store and (as far as the clock is right) in one restored to its place."""
    head: int
    floor: int
    position: int
    """The number that delivery starts after; the device's cursor is set to it."""
    incarnation: str
    start_over: bool
    """`last_seq` is beyond the head, or `last_id` or `incarnation` is not what is here; `position` is 0 then."""
    settled_n: int
    took_over: Owner | None
    """The owner before, if it was another device and its session was not ended (whether or not it is connected)."""
    resumed: bool


class EndSession(Operation, frozen=True, kw_only=True):
    """End the session of `user` on `terminal` for good: an automatic reconnect of its device is refused with `reason`.

    With `device_id`: only if that device owns the session; and if `revoke`, its token is revoked in any case.
    Refused with `not found` if there is no such session or device.
    """

    user: int
    terminal: str | None = None
    """None: the terminal of the device."""
    device_id: str | None = None
    reason: Reason
    by: str
    address: str = ""
    text: str = ""
    """Why, as whoever ended it said; the journal keeps it."""
    revoke: bool = False


class Ended(Struct, frozen=True, kw_only=True):
    """The session that was ended: `epoch` is its last (0 if the device owned none), `terminal` its terminal type."""

    terminal: str
    epoch: int
    at: int


class ForgetDevices(Operation, frozen=True, kw_only=True):
    """Forget devices not seen since `seen_before`: cursor, outcomes, token. Looks at most at `devices_max` of them."""

    seen_before: int
    keep: frozenset[int]
    """Devices that have a session now."""
    after: int = 0
    devices_max: int


class Forgotten(Struct, frozen=True, kw_only=True):
    """`devices` are gone; `next_after` continues the walk, None at its end."""

    devices: tuple[int, ...]
    next_after: int | None


# --- accounts -----------------------------------------------------------------------------------------------------


class CreateUser(Operation, frozen=True, kw_only=True):
    """Create an account. Refused with `already exists`."""

    name: str
    password_hash: str


class UserCreated(Struct, frozen=True, kw_only=True):
    """The number of the new user."""

    user: int


class SetPassword(Operation, frozen=True, kw_only=True):
    """Change a password and revoke every device token of the user but that of `keep_device`. Refused: `not found`."""

    user: int
    password_hash: str
    keep_device: int | None = None


# --- groups and relations -----------------------------------------------------------------------------------------


class CreateGroup(Operation, frozen=True, kw_only=True):
    """Create a group; its owner is a member. Refused: `already exists`, `not found` (a member), `quota exceeded`."""

    name: str
    owner: int
    members: tuple[str, ...] = ()


class ChangeMembers(Operation, frozen=True, kw_only=True):
    """Add and remove members, all or none.

    `by` is the user who asks, None for an admin. The owner may do anything, a member remove himself (leave), nobody
    else anything (`not authorized`). Adding a member or removing a non-member changes nothing and is no error. When
    the owner leaves, the member with the lowest number becomes owner; a group without members is removed.
    Refused: `not found` (the group or a user), `not a member` (somebody who is none asks), `quota exceeded`.
    """

    group: str
    by: int | None
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class SetRelation(Operation, frozen=True, kw_only=True):
    """Add `other` to the user's contacts or blocked users, or remove it. Idempotent.

    Refused: `not found`, `quota exceeded`. A user cannot block himself (`not authorized`).
    """

    user: int
    kind: str
    """`contact` or `block`."""
    other: str
    present: bool


# --- the journal --------------------------------------------------------------------------------------------------


class WriteJournal(Operation, frozen=True, kw_only=True):
    """Record what the broker alone knows; see `journal`. What operations do themselves is recorded by them.

    Refused: `quota exceeded`, as a message would be: the reserve is not for this.
    """

    events: tuple[Event, ...]


class TrimJournal(Operation, frozen=True, kw_only=True):
    """Let go of the oldest records: those before the number `before`, and those beyond the newest `count`.

    At most `records_max` of them, and never the newest: the numbers go on from it.
    """

    before: int
    count: int
    records_max: int


class JournalTrimmed(Struct, frozen=True, kw_only=True):
    """How many records went; `more`: there are more to go."""

    records: int
    more: bool


# --- admins -------------------------------------------------------------------------------------------------------


class AddAdmin(Operation, frozen=True, kw_only=True):
    """Add somebody who may administer the broker over the network.

    Refused: `already exists` (the name), `quota exceeded`.
    """

    name: str
    role: Role
    token_digest: bytes
    """SHA-256 of his token, which nobody keeps."""


class RemoveAdmin(Operation, frozen=True, kw_only=True):
    """Remove an admin; his token does not count any more. Refused: `not found`."""

    name: str


# --- retention ----------------------------------------------------------------------------------------------------


class Retention(Struct, frozen=True, kw_only=True):
    """What an inbox may keep; None: no bound."""

    age_ms: int | None = None
    count: int | None = None
    bytes: int | None = None
    """Of encoded entries."""


class Hold(Struct, frozen=True, kw_only=True):
    """What no rule of `Retention` takes: entries that a device which was here lately has not acknowledged.

    That is a device seen at `seen_since` (ms) or later, or one of `live`; the lowest of their cursors counts. But an
    inbox has at most `bytes_max` bytes of entries because of it, the newest ones; and nothing is held while the store
    has no room for messages outside its reserve.
    """

    seen_since: int
    live: frozenset[int] = frozenset()
    """Devices that have a session now, whenever they were last noted as seen."""
    bytes_max: int


class Trim(Operation, frozen=True, kw_only=True):
    """Trim inboxes, in order of user number from `after`: at most `users_max` of them and `entries_max` entries.

    An entry is trimmed when it is older than allowed, or its inbox has more entries or bytes than allowed, and it is
    not held; always the oldest first, so that the floor moves up. A message goes when the last inbox lets go of it.
    """

    retention: Retention
    hold: Hold | None = None
    after: int = 0
    users_max: int
    entries_max: int


class Floor(Struct, frozen=True, kw_only=True):
    """Where an inbox begins now, and the rule that moved it there last."""

    user: int
    floor: int
    reason: GapReason


class Trimmed(Struct, frozen=True, kw_only=True):
    """The floors that moved; `next_after` continues the walk, None at its end."""

    floors: tuple[Floor, ...]
    entries: int
    next_after: int | None


OperationResult = (
    Refused | Done | Published | Sent | LoggedIn | Ended | Forgotten | UserCreated | Trimmed | JournalTrimmed
    | CommitRefused
)  # fmt: skip
"""CommitRefused in the place of a result: this operation alone was not done, since a record for it is damaged."""
