"""Exporting a user: all that a broker has of one, as records that follow one another.

First `account`; then a record for each `device`, each `group` the user is a member of, each `contact` and each `block`
(blocked user), by name; then one for each `entry` of the inbox, in the order of their numbers; last `end`, which says
how many entries there were, so that a cut file is known as one. Every record has its kind under `kind`, and what it is
about under that name. Later versions may add kinds and keys.
"""

from typing import Literal

from roost_protocol.admin.devices import DeviceRow
from roost_protocol.admin.route import Route, Told
from roost_protocol.frames import Entry, EntryKind


class ExportedAccount(Told, frozen=True, kw_only=True):
    """The account, without password; `incarnation` names this life of its inbox, which had `floor` to `head`."""

    name: str
    created: int
    disabled: bool
    incarnation: str
    floor: int
    head: int


class ExportedEntry(Told, frozen=True, kw_only=True, omit_defaults=True):
    """An entry of the inbox, as DELIVER has it: an erased one has no `entry`, bytes of a body are base64."""

    seq: int
    kind: EntryKind = "message"
    device: str | None = None
    n: int | None = None
    entry: Entry | None = None


class Exported(Told, frozen=True, kw_only=True, omit_defaults=True):
    """One record."""

    kind: Literal["account", "device", "group", "contact", "block", "entry", "end"]
    account: ExportedAccount | None = None
    device: DeviceRow | None = None
    group: str | None = None
    contact: str | None = None
    block: str | None = None
    entry: ExportedEntry | None = None
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
