"""`roost send`: a message in the name of a user."""

import sys
from typing import TYPE_CHECKING

import click

from roost_admin.options import asks_broker

if TYPE_CHECKING:
    from roost_admin.api import AdminApi

DATA_TYPE = "application/octet-stream"
"""The content type of a body that is no text, if none is given."""


@click.command("send")
@click.argument("text", metavar="TEXT|-")
@click.option("--from", "sender", required=True, metavar="USER", help="In whose name.")
@click.option("--to", required=True, metavar="user/NAME|group/NAME", help="To whom.")
@click.option("--type", "content_type", metavar="TYPE", help="Content type. [text/plain]")
@asks_broker
def send(api: "AdminApi", text: str, sender: str, to: str, content_type: str | None, as_json: bool) -> None:
    """Send a message in the name of a user, as a script or a service does.

    TEXT is what it says; with - it is read from standard input, without the newline at its end. What is no UTF-8 is
    sent as data. The message is stored and delivered like any other, if USER may write to that address, and his own
    devices get it too. Needs the role admin.

    \b
    Example:
        roost send --from backup --to group/admins "backup done"
        df -h | roost send --from backup --to user/alice -
    """
    from roost_admin.failures import EX_USAGE, Failure, say
    from roost_admin.output import show_document
    from roost_protocol.admin.messages import MESSAGES_SEND, MessageSend
    from roost_protocol.frames import TEXT_TYPE

    data: bytes | None = None
    said: str | None = text
    if text == "-":
        said, data = _from_stdin()
    try:
        message = MessageSend(
            sender=sender,
            to=to,
            content_type=content_type or (TEXT_TYPE if data is None else DATA_TYPE),
            text=said,
            data=data,
        )
    except ValueError as error:
        raise Failure(str(error), EX_USAGE) from error
    sent = api.ask(MESSAGES_SEND, body=message)
    if as_json:
        show_document(sent)
    else:
        inboxes = "1 inbox" if sent.inboxes == 1 else f"{sent.inboxes} inboxes"
        say(f"message {sent.id} is in {inboxes}, number {sent.seq} in that of {sender}")


def _from_stdin() -> tuple[str | None, bytes | None]:
    """What stands on standard input: as text, or else as data. Raises Failure."""
    from roost_admin.failures import EX_DATAERR, Failure
    from roost_protocol.limits import FRAME_BYTES_MOST

    given = sys.stdin.buffer.read(FRAME_BYTES_MOST + 1)
    if len(given) > FRAME_BYTES_MOST:
        raise Failure(f"standard input has more than {FRAME_BYTES_MOST} bytes: no broker takes that", EX_DATAERR)
    try:
        return given.decode().removesuffix("\n"), None
    except UnicodeDecodeError:
        return None, given
