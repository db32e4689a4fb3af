"""What a route is, and the messages that all nouns share."""

from dataclasses import dataclass
from typing import Annotated, Generic, Literal, TypeVar

from msgspec import Meta, Struct

from roost_protocol.hiding import shown_without_secrets
from roost_protocol.limits import NUMBER_MAX

Role = Literal["read", "operate", "admin"]
"""What somebody may do: look; change what users could change themselves, or can be undone; everything."""

ROLES: tuple[Role, ...] = ("read", "operate", "admin")
"""Each may do what those before it may."""

Method = Literal["GET", "POST", "PUT", "DELETE"]

Count = Annotated[int, Meta(ge=0, le=NUMBER_MAX)]
"""A number of things, a sequence number or a time (Unix time, ms): what JSON holds exactly."""

Limit = Annotated[int, Meta(ge=1, le=10_000)]
"""Rows asked for; the broker's own bound (`limits.listing_max`) may be lower."""

After = Annotated[str, Meta(max_length=100)]
"""Where a listing goes on: what `next` of the page before said. A name has 64 bytes at most, and LMDB takes keys of up
to 511."""


class Asked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body or a query that is sent to a broker: a key that is not known is an error, so that no slip goes unseen."""

    def __repr__(self) -> str:
        return shown_without_secrets(self)


class Told(Struct, frozen=True, kw_only=True):
    """Something that a broker says."""

    def __repr__(self) -> str:
        return shown_without_secrets(self)


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was not done (RFC 9457)."""

    status: int
    title: str
    detail: str = ""


class Paging(Asked, frozen=True, kw_only=True):
    """A page of a listing in the order of a key: what comes after a key is the same, whatever changes before it."""

    after: After = ""
    limit: Limit | None = None


FIRST_PAGE = Paging()
"""From the beginning, with as many rows as the broker gives."""


class Page(Told, frozen=True, kw_only=True):
    """A page of a listing; `next` is the `after` of the page that follows, None at the end."""

    next: str | None = None


class Caller(Struct, frozen=True, kw_only=True):
    """Who asks: a name for the audit log and for those who are kicked, what he may do, and where he is."""

    name: str
    role: Role
    address: str = ""


PROGRAM = Caller(name="admin", role="admin")
"""The program that a broker is embedded in."""

G = TypeVar("G", bound=Struct)


@dataclass(frozen=True, eq=False, kw_only=True)
class Route(Generic[G]):
    """One thing that can be asked for.

    In `path`, each `{word}` is one segment: percent-encoded UTF-8. `query` and `takes` are the query and the body, if
    there are any; `gives` is the answer, or with `streams` each of the server-sent events that follow one another until
    either side ends it. Whoever asks needs `role`. What needs more than `read` changes something, and is audited; so is
    a route with `audited`. With `told_caller` the act is told who asks although it changes nothing.
    """

    method: Method
    path: str
    summary: str
    gives: type[G]
    takes: type[Asked] | None = None
    query: type[Asked] | None = None
    role: Role = "read"
    streams: bool = False
    audited: bool = False
    told_caller: bool = False

    @property
    def changes(self) -> bool:
        """Whether it changes something; its act is told by whom."""
        return self.role != "read"
