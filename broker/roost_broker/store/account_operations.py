"""What an admin can do to accounts: disable, remove and erase them, forget a device, delete a group.

A user is removed in two parts. `RemoveUser` does at once what others could notice: the name is free, sessions,
devices, tokens, memberships and relations are gone. What is left, the entries of the inbox above all, goes in slices
(`ClearRemoved`), and the record of the user with the last of it. Until then a `Removal` says what is to be done, so
that it is finished whatever happens between.

*Erasing* is a removal with two parts between: the bodies of all messages that the user sent go (`EraseMessages`), and
a notice is stored in each conversation that had some (`TellErased`), for the devices that hold them already. An entry
whose message was erased keeps everything else: number, message id, conversation, size. So numbers stay dense, and
retention trims it like any other.

Results here are kinds of `Done`.
"""

from msgspec import Struct

from roost_broker.store.operations import Done, Operation

ERASED_TYPE = "application/vnd.roost.erased"
"""Content type of the notice in a conversation of which messages were erased; see `docs/protocol.md`, Erasure."""


def erased_text(name: str, messages: int) -> str:
    """What the notice says, for people: devices that know its content type go by that."""
    what = "1 message" if messages == 1 else f"{messages} messages"
    return f"{what} of {name} {'was' if messages == 1 else 'were'} erased"


class SetDisabled(Operation, frozen=True, kw_only=True):
    """Refuse log-ins of a user, or let them in again. Tokens stay. Refused: `not found`.

    Sessions that are there already go on until they are ended.
    """

    user: int
    disabled: bool


class ForgetDevice(Operation, frozen=True, kw_only=True):
    """Forget one device: cursor, outcomes, token. Refused: `not found`."""

    user: int
    device_id: str


class DeleteGroup(Operation, frozen=True, kw_only=True):
    """Delete a group with all its memberships; what was written there stays in the inboxes. Refused: `not found`."""

    name: str


class RemoveUser(Operation, frozen=True, kw_only=True):
    """Remove an account; its name is free from now on. Refused: `not found`.

    Sessions, devices and tokens are gone, and so are memberships (an owner's groups pass on as when he leaves) and
    relations, those of others with this user too. With `erase`, the messages that the user sent are erased next.
    """

    user: int
    erase: bool = False


class UserRemoved(Done, frozen=True, kw_only=True):
    """The account is removed; `name` was its name."""

    name: str


class ClearRemoved(Operation, frozen=True, kw_only=True):
    """Clear away what is left of a removed user, at most about `rows_max` rows. Refused: `not found`.

    A user whose messages are still to be erased is not cleared: `not authorized`.
    """

    user: int
    rows_max: int


class Cleared(Done, frozen=True, kw_only=True):
    """`done`: nothing is left of the user."""

    done: bool


class EraseMessages(Operation, frozen=True, kw_only=True):
    """Erase messages that a removed user sent, of those with an id after `after`. Refused: `not found`.

    At most `looked_at_max` messages are looked at, and `erased_max` erased.
    """

    user: int
    after: int = 0
    looked_at_max: int
    erased_max: int


class MessagesErased(Done, frozen=True, kw_only=True):
    """How many went with this slice; `next_after` continues the walk, None at its end."""

    messages: int
    bytes: int
    next_after: int | None


class TellErased(Operation, frozen=True, kw_only=True):
    """Store notices of what was erased, and forget that they are to be told. Refused: `not found`.

    With `group` (its number): in that conversation, for `holders` (see `Store.erased_group_holders`) and with `last`,
    which ends it, for the members. Without: in at most `conversations_max` of those with users, until `Told.more` is
    False; no group may be left to be told by then, as this ends the erasing. Notices are stored also when nothing else
    may be: the reserve is for them too.
    """

    user: int
    group: int | None = None
    holders: tuple[int, ...] = ()
    last: bool = True
    conversations_max: int = 1


class Notice(Struct, frozen=True, kw_only=True):
    """One notice, as stored: `entries` are (user, seq) for each inbox, `encoded` as `codec.encode_entry` made it."""

    entries: tuple[tuple[int, int], ...]
    encoded: bytes


class Told(Done, frozen=True, kw_only=True):
    """The notices that were stored; `more`: there are further conversations with users."""

    notices: tuple[Notice, ...]
    more: bool


# --- what reading gives -------------------------------------------------------------------------------------------


class Removal(Struct, frozen=True, kw_only=True):
    """A removed user of whom something is left. The counts are of what was erased so far."""

    user: int
    name: str
    at: int
    """When he was removed (ms)."""
    erasing: bool
    """His messages are to be erased, or notices of it to be stored."""
    messages: int
    bytes: int
    conversations: int
    """In which a notice was stored."""


class GroupHolders(Struct, frozen=True, kw_only=True):
    """Of the groups in which messages were erased, and which are to be told: pairs (group, user who has entries of it).

    `next_after` continues the walk through all users, None at its end.
    """

    groups: tuple[int, ...]
    holders: tuple[tuple[int, int], ...]
    next_after: int | None


class TokenRow(Struct, frozen=True, kw_only=True):
    """A device that has a token (which is never told)."""

    user: int
    name: str
    device_id: str
    terminal: str
    last_seen: int


class TokenPage(Struct, frozen=True, kw_only=True):
    """Devices with tokens in order of user name and device id.

    `next_after` is the name of the last user that was looked at, None at the end.
    """

    rows: tuple[TokenRow, ...]
    next_after: str | None
