"""`roost explain`: why a device has, or has not, a message."""

from typing import TYPE_CHECKING

import click

from roost_admin.failures import EX_USAGE, Failure
from roost_admin.options import SEQ, asks_broker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from roost_admin.api import AdminApi
    from roost_protocol.admin.explain import DeviceExplained, Explanation, InboxExplained, MessageFacts, Step


@click.command("explain")
@click.argument("where", required=False, metavar="[USER[/TERMINAL]]")
@click.argument("seq", required=False, type=SEQ)
@click.option("--message", "message_id", metavar="ID", help="A message by its id, in every inbox that got it.")
@click.option(
    "--publish",
    type=(str, SEQ),
    metavar="DEVICE N",
    help="What came of publish N of this DEVICE of USER, if refused too.",
)
@asks_broker
def explain(
    api: "AdminApi",
    where: str | None,
    seq: int | None,
    message_id: str | None,
    publish: tuple[str, int] | None,
    as_json: bool,
) -> None:
    """Say why a device has, or has not, an entry of an inbox, or where a message went.

    From the journal and the store, not from samples: when it was stored, to which session of each device it was pushed,
    when it was acknowledged, or exactly why not. What the journal cannot know, since the broker stopped without a word
    or it does not go back so far, is said to be unknown.

    \b
    Example:
        roost explain alice/pc 1234
        roost explain alice 1234
        roost explain --message 0193a5c2f1e80004
        roost explain bob/phone --message 0193a5c2f1e80004
        roost explain alice --publish pc-1 17
    """
    from roost_admin.output import show_document
    from roost_protocol.admin.explain import EXPLAIN_ENTRY, EXPLAIN_MESSAGE, ExplainEntry, ExplainMessage

    user, _, terminal = (where or "").partition("/")
    if publish is not None:
        if not user or seq is not None or message_id is not None:
            raise Failure("give USER and --publish DEVICE N, and nothing else", EX_USAGE)
        _explain_publish(api, user, *publish, as_json=as_json)
        return
    if message_id is not None and seq is None:
        which = ExplainMessage(user=user or None, terminal=terminal or None)
        found = api.ask(EXPLAIN_MESSAGE, message_id, query=which)
    elif message_id is None and user and seq is not None:
        found = api.ask(EXPLAIN_ENTRY, user, str(seq), query=ExplainEntry(terminal=terminal or None))
    else:
        raise Failure("give USER and SEQ, or --message ID, or USER and --publish DEVICE N", EX_USAGE)
    if as_json:
        show_document(found)
        return
    for line in lines(found):
        click.echo(line)


def _explain_publish(api: "AdminApi", user: str, device: str, n: int, *, as_json: bool) -> None:
    from roost_admin.cells import printable
    from roost_admin.output import exact_time, show_document
    from roost_protocol.admin.explain import EXPLAIN_PUBLISH

    found = api.ask(EXPLAIN_PUBLISH, user, device, str(n))
    if as_json:
        show_document(found)
        return
    stored = f"STORED {exact_time(found.time or 0)}: it is entry {found.seq} of {user}, the message {found.id}"
    text = {
        "stored": stored,
        "refused": f"REFUSED: {found.reason}; nobody got it, and the device was told",
        "long ago": "SETTLED long ago: what came of it is not kept any more",
        "not settled": f"NOT SETTLED: it has not come, or was told to wait; the highest that is, is {found.settled_n}",
    }[found.state]
    click.echo(printable(f"publish {n} of {user}, device {device}: {text}"))


def lines(found: "Explanation") -> "Iterator[str]":
    """An explanation for a person."""
    from roost_admin.output import local_time

    if found.message is not None:
        yield from _message(found.message)
    for inbox in found.inboxes:
        yield ""
        yield from _inbox(inbox)
    if found.more:
        yield ""
        yield f"{found.more} more inboxes got it; ask for one with `roost explain USER --message ID`"
    yield ""
    yield f"the journal goes back to {local_time(found.journal_since)}"


def _message(message: "MessageFacts") -> "Iterator[str]":
    from roost_admin.cells import printable
    from roost_admin.output import exact_time

    yield printable(
        f"message {message.id} from {message.sender} to {message.to}: {message.body_bytes} bytes of "
        f"{message.content_type}, stored {exact_time(message.time)}"
    )
    if message.device is not None:
        yield printable(f"  published by the device {message.device}, as number {message.n} of its publishes")
    if message.by_admin:
        yield "  sent by an admin, and by no device: see the audit log"
    let_go = f", {message.released} of which have let go of it" if message.released else ""
    place = f"{message.batch_place} of {message.batch_size}"
    yield f"  committed as {place} in the batch {message.batch_first}, in {message.inboxes} inboxes{let_go}"


def _inbox(inbox: "InboxExplained") -> "Iterator[str]":
    from roost_admin.cells import printable

    number = "" if inbox.seq is None else f", entry {inbox.seq}"
    yield printable(f"{inbox.user}{number}: {inbox.text}")
    if not inbox.devices and inbox.state != "trimmed":
        yield "  no device has ever logged in"
    for device in inbox.devices:
        yield from _device(device)


def _device(device: "DeviceExplained") -> "Iterator[str]":
    from roost_admin.cells import printable
    from roost_admin.output import local_time

    since = "" if device.since is None else f" since {local_time(device.since)}"
    yield printable(f"  {device.terminal} {device.device}: {device.verdict.upper()}{since}: {device.text}")
    for step in device.steps:
        yield printable(f"    {_when(step)}  {step.text}{f' (session {step.session})' if step.session else ''}")


def _when(step: "Step") -> str:
    from roost_admin.output import exact_time

    at = exact_time(step.at)
    return at if step.since is None else f"{exact_time(step.since)} to {at.partition(' ')[2]}"
