"""Exporting a user: all that a broker has of one, as records that follow one another.

First `account`; then a record for each `device`, each `group` the user is a member of, each `contact` and each `block`
(blocked user), by name; then one for each `entry` of the inbox, in the order of their numbers; last `end`, which says
how many entries there were, so that a cut file is known as one. Every record has its kind under `kind`, and what it is
about under that name. Later versions may add kinds and keys.
"""

from typing import Annotated, Literal

from msgspec import Meta

from roost_protocol.admin.devices import DeviceRow
from roost_protocol.admin.route import Route, Told
from roost_protocol.frames import Entry, EntryKind, GapReason, Id, Number, Seq
from roost_protocol.limits import FRAME_BYTES_MOST
from roost_protocol.names import AddressKind

EXPORT_VERSION = 1
"""Of the form of the records. It rises when a reader of the earlier one would go wrong."""


class ExportedAccount(Told, frozen=True, kw_only=True):
    """The account, without password; `incarnation` names this life of its inbox, which had `floor` to `head`."""

    name: str
    created: int
    disabled: bool
    incarnation: str
    floor: int
    head: int
    floor_reason: GapReason | None = None
    """The rule of retention that moved the floor there."""
    version: int = EXPORT_VERSION


class ErasedEntry(Told, frozen=True, kw_only=True, omit_defaults=True):
    """What is left of an entry whose message was erased: the message's id, and how many bytes it had when encoded.

    `own`: the user wrote it. `conversation` is its address, None if there is nobody of that name any more; then `kind`
    says whether it was a user or a group.
    """

    id: Id
    bytes: Annotated[int, Meta(ge=0, le=FRAME_BYTES_MOST)]
    own: bool = False
    conversation: str | None = None
    kind: AddressKind = "user"


class ExportedEntry(Told, frozen=True, kw_only=True, omit_defaults=True):
    """An entry of the inbox, as DELIVER has it: an erased one has no `entry`, bytes of a body are base64."""

    seq: Seq
    kind: EntryKind = "message"
    device: str | None = None
    n: Number | None = None
    entry: Entry | None = None
    inboxes: int = 2
    """How many inboxes got the message."""
    erased: ErasedEntry | None = None


class Exported(Told, frozen=True, kw_only=True, omit_defaults=True):
    """One record."""

    kind: Literal["account", "device", "group", "contact", "block", "entry", "damaged", "end"]
    account: ExportedAccount | None = None
    device: DeviceRow | None = None
    group: str | None = None
    contact: str | None = None
    block: str | None = None
    entry: ExportedEntry | None = None
    damaged: int | None = None
    """The number of an entry that the store cannot read any more: it is not in the export."""
    end: int | None = None


EXPORT = Route(
    method="GET",
    path="/v1/users/{user}/export",
    summary="All that there is of a user, with the bodies of messages",
    gives=Exported,
    role="admin",
    streams=True,
)

ROUTES = (EXPORT,)
