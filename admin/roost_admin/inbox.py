"""`roost inbox`: what is in one user's inbox."""

from typing import TYPE_CHECKING

import click

from roost_admin.options import COUNT, SEQ, asks_broker

if TYPE_CHECKING:
    from roost_admin.api import AdminApi
    from roost_protocol.admin.inbox import InboxEntry, InboxStat

NEWEST = 20
"""Entries shown when none are asked for: a screen."""

SHOWN_MAX = 10_000
"""Entries shown at once; past it the command says where to go on."""

SHOWN_BYTES_MAX = 64 * 1024 * 1024
"""Bytes of the entries shown at once, with their bodies: they are kept until they are shown."""

DATA_SHOWN_BYTES = 32
"""Of a body that is no text, so many bytes are shown, as hexadecimal digits."""


@click.group("inbox")
def inbox() -> None:
    """A user's inbox: entries, live or not, and what is in it."""


@inbox.command("show")
@click.argument("user")
@click.option("--from", "first", type=SEQ, metavar="N", help="From this number on.")
@click.option("--to", "last", type=SEQ, metavar="N", help="Up to this number.")
@click.option(
    "--newest", type=click.IntRange(1, SHOWN_MAX), metavar="N", help=f"The newest so many of them. [{NEWEST}]"
)
@click.option("--conversation", metavar="user/NAME|group/NAME", help="Only those of this conversation.")
@click.option("--bodies", is_flag=True, help="Also what they say. Needs the role admin, and is audited.")
@asks_broker
def show(
    api: "AdminApi",
    user: str,
    first: int | None,
    last: int | None,
    newest: int | None,
    conversation: str | None,
    bodies: bool,
    as_json: bool,
) -> None:
    """Show entries of the inbox of USER.

    Every message that USER got or sent is an entry with a number; BYTES are those that are stored. What messages say
    is shown with --bodies only.

    \b
    Example:
        roost inbox show alice
        roost inbox show alice --from 100 --to 199
        roost inbox show alice --conversation user/bob --newest 5 --bodies
    """
    from roost_admin.columns import Column
    from roost_admin.failures import EX_USAGE, Failure, say
    from roost_admin.output import show_document, show_table
    from roost_protocol.admin.inbox import INBOX_BODIES, INBOX_SHOW, InboxQuery

    if first is None and newest is None:
        newest = NEWEST
    try:
        query = InboxQuery(first=first, last=last, newest=newest, conversation=conversation)
    except ValueError as error:
        raise Failure(str(error), EX_USAGE) from error
    route = INBOX_BODIES if bodies else INBOX_SHOW
    entries: list[InboxEntry] = []
    size = 0
    page = api.ask(route, user, query=query)
    while True:
        entries += page.entries
        size += sum(entry.entry_bytes for entry in page.entries)
        if page.next is None or len(entries) >= SHOWN_MAX or size >= SHOWN_BYTES_MAX:
            break
        query = InboxQuery(first=page.next, last=last, conversation=conversation)
        page = api.ask(route, user, query=query)
    if as_json:
        show_document({"head": page.head, "floor": page.floor, "entries": entries, "next": page.next})
        return
    columns = [Column("SEQ", right=True), Column("TIME", whole=True), Column("KIND", whole=True), Column("FROM")]
    columns += [Column("TO"), Column("TYPE", spare=1), Column("BYTES", right=True, spare=2)]
    columns += [Column("BODY", prose=True)] if bodies else []
    show_table(columns, [_cells(entry, bodies) for entry in entries], f"there is nothing like that in {user}'s inbox")
    if page.next is not None:
        say(f"there is more; go on with --from {page.next}")
    if page.floor > (first or 1):
        say(f"what was below number {page.floor} was trimmed by retention")


@inbox.command("tail")
@click.argument("user")
@click.option("--after", type=COUNT, metavar="N", help="Begin after this number, not with what is new.")
@click.option("--bodies", is_flag=True, help="Also what they say. Needs the role admin, and is audited.")
@asks_broker
def tail(api: "AdminApi", user: str, after: int | None, bodies: bool, as_json: bool) -> None:
    """Follow the inbox of USER: entries as they come, until Ctrl-C.

    With --json, each is one line. Entries that retention trims before they could be shown are said to be gone.

    \b
    Example:
        roost inbox tail alice
        roost inbox tail alice --after 100 --json | jq .seq
    """
    from roost_admin.cells import printable
    from roost_admin.output import show_line
    from roost_protocol.admin.inbox import INBOX_TAIL, INBOX_TAIL_BODIES, InboxFollow
    from roost_protocol.admin.users import USERS_SHOW

    route = INBOX_TAIL_BODIES if bodies else INBOX_TAIL
    with api.follow(route, user, query=InboxFollow(after=after)) as entries:
        for entry in entries:
            if as_json:
                show_line(entry)
            else:
                click.echo(printable("  ".join(_cells(entry, bodies))))
    api.ask(USERS_SHOW, user)  # he may have been removed
    raise api.ended()


@inbox.command("stat")
@click.argument("user")
@click.option(
    "--conversations",
    "most",
    type=click.IntRange(1, SHOWN_MAX),
    metavar="N",
    default=20,
    show_default=True,
    help="Show so many conversations, those with the newest entries.",
)
@asks_broker
def stat(api: "AdminApi", user: str, most: int, as_json: bool) -> None:
    """Show what the inbox of USER holds, as a whole and by conversation.

    \b
    Example:
        roost inbox stat alice
        roost inbox stat alice --conversations 100 --json
    """
    from roost_admin.output import show_document
    from roost_protocol.admin.inbox import INBOX_STAT, StatQuery

    found = api.ask(INBOX_STAT, user, query=StatQuery(conversations=most))
    if as_json:
        show_document(found)
    else:
        _show_stat(found)


def _show_stat(found: "InboxStat") -> None:
    from roost_admin.columns import Column
    from roost_admin.failures import say
    from roost_admin.output import byte_size, local_time, show_table

    trimmed = "" if found.floor_reason is None else f" (trimmed by {found.floor_reason})"
    rows = [
        ["head", str(found.head)],
        ["floor", f"{found.floor}{trimmed}"],
        ["entries", f"{found.entries}, {byte_size(found.bytes)}"],
        ["oldest", "-" if found.oldest is None else local_time(found.oldest)],
        ["conversations", str(found.conversations)],
    ]
    show_table([Column("WHAT"), Column("NOW", prose=True)], rows, "")
    if found.newest:
        click.echo()
        columns = [Column("CONVERSATION"), Column("ENTRIES", right=True), Column("NEWEST", right=True)]
        show_table(columns, [[each.address, str(each.entries), str(each.newest)] for each in found.newest], "")
    if found.conversations > len(found.newest):
        say(f"{found.conversations - len(found.newest)} more conversations have only older entries")


def _cells(entry: "InboxEntry", bodies: bool) -> list[str]:
    from roost_admin.output import local_time

    if entry.kind == "gap":
        gone = f"{entry.seq} to {entry.last} were trimmed by {entry.reason}"
        return [str(entry.seq), "-", "gap", gone, "", "", *([""] if bodies else [])]
    if entry.kind in ("erased", "damaged"):
        return [str(entry.seq), "-", entry.kind, "", "", "", "0", *([""] if bodies else [])]
    cells = [str(entry.seq), local_time(entry.time), entry.kind, entry.sender, entry.to, entry.content_type]
    return [*cells, str(entry.entry_bytes), *([_body(entry)] if bodies else [])]


def _body(entry: "InboxEntry") -> str:
    if entry.text is not None:
        return entry.text
    data = entry.data or b""
    more = "…" if len(data) > DATA_SHOWN_BYTES else ""
    return f"{len(data)} bytes: {data[:DATA_SHOWN_BYTES].hex(' ')}{more}"
